"""Articulation: sync, closures, recognised p, b and m, amplitudes."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.audio.phones import PHONES
from thcli.core.types import Array
from thcli.evaluate.metrics.speech import articulation
from thcli.motion import canonical, sliders

SECONDS = np.arange(200) / 25


def wave(late: float = 0.0) -> Array:
    """Return an opening that never repeats, `late` seconds late."""
    at = SECONDS - late
    curve: Array = 0.15 + 0.1 * np.sin(9 * at) + 0.05 * np.sin(23.7 * at + at**2)
    return curve


def test_the_shift_of_a_late_picture_is_found() -> None:
    for late in (-0.12, 0.0, 0.2):
        found = articulation.find_sync([(SECONDS, wave(late), wave())])
        assert found.seconds == pytest.approx(late, abs=1e-6)
        assert found.correlation > 0.98


def test_unknown_frames_do_not_count() -> None:
    truth = wave()
    truth[50:60] = np.nan
    assert articulation.correlation(truth, wave()) == pytest.approx(1)
    assert articulation.correlation(np.full(200, np.nan), wave()) == 0
    assert np.isnan(articulation.shift(SECONDS, wave(), 0.2)[-1])


def test_closures_match_within_a_frame() -> None:
    truth, result = np.full(200, 0.2), np.full(200, 0.2)
    truth[[20, 21, 60, 100]] = 0
    result[[22, 62, 150]] = 0  # one frame late, two frames late, alone
    assert articulation.closure_matches(SECONDS, truth, result) == (1, 3, 1, 3)
    assert articulation.closure_matches(SECONDS, truth, truth) == (3, 3, 3, 3)


def test_recognised_bilabials_and_shut_lips() -> None:
    phones = np.full((800, len(PHONES)), -9.0, np.float32)
    phones[:, PHONES.index("AA")] = 0
    for row, name in ((100, "P"), (104, "B"), (300, "M"), (500, "T")):
        phones[row - 2 : row + 3] = -9
        phones[row - 2 : row + 3, PHONES.index(name)] = 0
    times = articulation.bilabial_times(phones)
    assert len(times) == 2
    assert times == pytest.approx([1.0, 3.0], abs=0.05)
    opening = np.full(200, 0.2)
    opening[25] = 0
    assert articulation.shut_share(SECONDS, opening, times) == (1, 2)
    assert articulation.shut_share(SECONDS, np.full(200, np.nan), times) == (0, 0)


def test_amplitude_is_relative_to_the_truth() -> None:
    chosen = np.ones(200, bool)
    assert articulation.amplitude_ratio(wave(), 0.5 * wave(), chosen) == pytest.approx(0.5)
    assert articulation.amplitude_ratio(np.ones(200), wave(), chosen) is None


def test_features_of_sliders() -> None:
    """An open jaw opens and lowers, a wide mouth is wide, and lips that come forward protrude."""
    shapes = sliders.load_slider_shapes()
    forward = np.zeros((468, 3))
    forward[list(articulation.LIP_MIDDLES), 2] = -0.1
    rest, jaw, wide, out = (
        articulation.mouth_features((canonical.neutral() + added)[None])
        for added in (np.zeros((468, 3)), shapes.jaw, shapes.wide, forward)
    )
    assert jaw["opening"] > rest["opening"] + 0.1 and jaw["jaw"] > rest["jaw"] + 0.05
    assert wide["width"] > rest["width"] + 0.05
    assert out["protrusion"] == pytest.approx(rest["protrusion"] + 0.1)
