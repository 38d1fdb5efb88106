"""Lips of single sounds: closures of p, b, m, f and v, and front vowels."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.audio.phones import PHONES
from thcli.core.types import Array32
from thcli.motion import anatomy, sliders
from thcli.voices.a2m import articulation, mouth, vowels
from thcli.voices.a2m.features import INPUT_COLUMNS, SOUND_COLUMNS, silent_inputs


def test_a_closure_shuts_the_lips_for_two_frames_of_video() -> None:
    """Whatever the phase of 25 frames per second, two frames see shut lips."""
    logits = np.full((60, 2), -4.0, np.float32)
    logits[[20, 40], [articulation.SHUT, articulation.TEETH]] = 3
    opening = articulation.close_lips(np.ones(60, np.float32), logits, silent_inputs(120))
    for phase in np.linspace(0, 2, 9, endpoint=False):
        frames = np.interp(np.arange(phase, 59, 2), np.arange(60), opening)
        assert (frames[:15] < 1e-6).sum() >= 2
    assert opening[40] == pytest.approx(articulation.TEETH_OPENING)
    assert opening[[0, 12, 30, 55]].tolist() == [1, 1, 1, 1]
    assert np.abs(np.diff(opening)).max() < 0.4


def test_a_recognised_p_shuts_the_lips_and_an_s_does_not() -> None:
    logits = np.full((60, 2), -3.0, np.float32)
    for phone, row, gap in (("P", 60, 0.0), ("S", 60, 1.0), ("F", 60, articulation.TEETH_OPENING)):
        opening = articulation.close_lips(np.ones(60, np.float32), logits, hearing(phone, row))
        shut = row // 2 - articulation.LEAD
        assert opening[shut] == pytest.approx(gap) and opening[10] == opening[shut + 8] == 1


def hearing(phone: str, row: int) -> Array32:
    """Return inputs (120, INPUT_COLUMNS) with a phone that is sure for 0.09 s."""
    inputs = silent_inputs(120)
    inputs[row - 4 : row + 5, SOUND_COLUMNS:] = -1
    inputs[row - 4 : row + 5, SOUND_COLUMNS + PHONES.index(phone)] = 1
    return inputs


def test_the_lips_of_i_and_e_are_told_apart() -> None:
    known = sliders.load_slider_shapes()
    basis = np.stack([0.1 * known.jaw, 0.5 * known.wide]).astype(np.float32)
    apart = vowels.FrontVowels(basis)
    spread = np.tile(np.array([0, 0.2, 1], np.float32), (60, 1))
    rounded = spread * np.array([1, -10, 1], np.float32)
    i, e = (apart.separate(spread, hearing(phone, 60)) for phone in ("IY", "EH"))
    assert i[30, -1] < 0.85 and e[30, -1] > 1.15
    assert np.allclose(i[:20], spread[:20], atol=2e-3)
    faces = mouth.MouthShapes(basis, 0.04)
    plain, i_face, e_face = (faces.faces(rows[30:31])[0] for rows in (spread, i, e))
    corners = list(anatomy.INNER_MOUTH_CORNERS)
    widths = [np.ptp(face[corners, 0]) for face in (plain, i_face, e_face)]
    assert widths[0] + 0.015 < widths[1] and widths[2] == pytest.approx(widths[0], abs=1e-6)
    assert i_face[anatomy.CHIN, 1] == pytest.approx(plain[anatomy.CHIN, 1], abs=0.004)
    assert np.allclose(apart.separate(rounded, hearing("IY", 60)), rounded, atol=1e-3)
    shut = spread * np.array([1, 1, 0], np.float32)
    assert apart.separate(shut, hearing("EH", 60))[30, -1] == 0


def test_closures_depend_on_rows_within_reach() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(-2, 1, (80, 2)).astype(np.float32)
    inputs = generator.uniform(-1, 1, (160, INPUT_COLUMNS)).astype(np.float32)
    part, inner = slice(20, 60), slice(articulation.REACH, -articulation.REACH)
    whole = articulation.close_lips(np.ones(80, np.float32), logits, inputs)[part][inner]
    alone = articulation.close_lips(np.ones(40, np.float32), logits[part], inputs[40:120])[inner]
    assert np.array_equal(whole, alone) and whole.min() < 0.5
