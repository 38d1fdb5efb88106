"""Head, brow and blink statistics of motions with known ones."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from thcli.core.types import Motion
from thcli.evaluate.metrics.speech.liveliness import band_share, brow_slider, measure_liveliness
from thcli.motion.sliders import SliderCurves, blink_curve, load_slider_shapes, motion_from_sliders

RATE = 50


def moving(hertz: float, seconds: float = 8.0) -> Motion:
    """Return a head that turns by 5 degrees, with four blinks and brows at the same rate."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = np.sin(2 * np.pi * hertz * time)
    curves = SliderCurves(
        yaw=5 * wave, brow=0.3 * wave, blink=blink_curve(time, [1.0, 3.0, 5.0, 6.5])
    )
    return motion_from_sliders(curves, np.arange(len(time)), Fraction(1, RATE))


@pytest.mark.parametrize(("hertz", "inside"), [(0.25, False), (1.0, True), (4.0, False)])
def test_speed_share_and_blinks_of_a_known_motion(hertz: float, inside: bool) -> None:
    found = measure_liveliness(moving(hertz))
    assert found is not None and found.share is not None and found.brow_share is not None
    if hertz <= 1:  # faster motion is smoothed
        assert found.speed == pytest.approx(20 * hertz, rel=0.08)
        assert found.brow_speed == pytest.approx(1.2 * hertz, rel=0.1)
    assert (found.share > 0.9) == inside == (found.brow_share > 0.9)
    assert found.spread == pytest.approx((0, 5 / np.sqrt(2), 0), abs=0.1)
    assert found.blinks == pytest.approx(60 * 4 / found.seconds)


def test_a_short_clip_has_no_spectrum_and_a_lost_face_no_statistics() -> None:
    short = measure_liveliness(moving(1.0, 2.0))
    assert short is not None and short.share is None and short.speed > 10
    assert measure_liveliness(moving(1.0, 0.5)) is None
    motion = moving(1.0)
    lost = np.arange(len(motion.pts)) % 5 > 0
    assert measure_liveliness(replace(motion, valid=lost)) is None


def test_lost_frames_are_filled() -> None:
    motion = moving(1.0)
    arrays = {name: np.array(values) for name, values in motion.arrays.items()}
    valid = np.ones(len(motion.pts), bool)
    valid[100:105] = False
    arrays["pose"][100:105] = 0
    arrays["expression"][100:105] = 0
    found = measure_liveliness(replace(motion, valid=valid, arrays=arrays))
    assert found is not None and found.speed == pytest.approx(20, rel=0.08)


def test_the_brow_slider_is_measured_back() -> None:
    brow = load_slider_shapes().brow
    amounts = np.array([0.0, 0.4, -0.2])
    np.testing.assert_allclose(brow_slider(amounts[:, None, None] * brow), amounts, atol=1e-9)


def test_the_share_of_white_noise_is_that_of_its_derivative() -> None:
    rows = np.cumsum(np.random.default_rng(0).normal(size=(20000, 2)), axis=0)
    assert band_share(rows) == pytest.approx(1.5 / 5.9, abs=0.05)
