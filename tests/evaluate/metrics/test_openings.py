"""Metrics of eyes and mouth: amplitudes, blinks, closed lips and the square around the mouth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from thcli.core.types import Array, Face, Image
from thcli.evaluate.metrics import openings
from thcli.evaluate.metrics.regions import RegionView
from thcli.motion.canonical import neutral

BLINKING = np.array([0.22] * 30 + [0.04] * 6 + [0.22] * 30)


@dataclass(frozen=True)
class Compared:
    truth: RegionView
    face: Face | None
    frame: Image


def face_of(mesh: Array) -> Face:
    points = mesh.astype(np.float32)
    box = np.concatenate([points[:, :2].min(0), points[:, :2].max(0)])
    return Face(box, 1.0, mesh=points)


def compared(truth: Image, result: Image, face: Face | None = None) -> Compared:
    return Compared(RegionView("face", truth, None, face, None, truth), face, result)


@pytest.mark.parametrize("share", [0.5, 1.0, 1.4])
def test_the_amplitude_ratio_is_that_of_the_openings(share: float) -> None:
    result = 0.1 + share * BLINKING
    assert openings.amplitude_ratio(BLINKING, result) == pytest.approx(share)
    assert openings.amplitude_ratio(np.full(40, 0.2), BLINKING[:40]) is None


def test_lids_that_stay_open_in_a_blink_are_an_error_and_open_eyes_do_not_count() -> None:
    result = np.where(BLINKING < 0.1, 0.09, 0.3)
    assert openings.blink_error(BLINKING, result) == pytest.approx(0.05)
    assert openings.blink_error(np.full(40, 0.2), np.full(40, 0.1)) is None


def test_the_gap_of_closed_lips_is_relative_to_the_truths_and_has_a_floor() -> None:
    truth = np.array([0.01, 0.01, 0.3])
    assert openings.closed_gap_ratio(truth, np.array([0.03, 0.01, 0.9])) == pytest.approx(2.0)
    assert openings.closed_gap_ratio(truth * 0, np.zeros(3)) == 1.0
    assert openings.closed_gap_ratio(np.full(3, 0.2), np.zeros(3)) is None


def test_series_leave_out_frames_without_a_face() -> None:
    mesh = neutral() * 100 + (150, 150, 0)
    image = np.zeros((300, 300, 3), np.uint8)
    series = openings.eye_series(lambda truth, result: float(len(truth)))
    for face in (face_of(mesh), None, face_of(mesh), face_of(mesh * 1.1)):
        series.add(compared(image, image, face))
    assert series.value() == 3
    assert openings.lip_series(openings.closed_gap_ratio).value() is None


def test_the_mouths_difference_is_that_around_the_lips_alone() -> None:
    face = face_of(neutral() * 100 + (150, 150, 0))
    square = openings.mouth_square(face)
    assert square is not None
    _, y, side = square
    truth = np.full((300, 300, 3), 100, np.uint8)
    elsewhere, there = truth.copy(), truth.copy()
    elsewhere[: int(y - side / 2) - 2] = 0
    there[int(y - side / 2) - 1 :] = 110
    assert openings.mouth_l1(compared(truth, elsewhere, face)) == 0
    assert openings.mouth_l1(compared(truth, there, face)) == pytest.approx(10, abs=0.5)
    assert openings.mouth_l1(compared(truth, there)) is None
