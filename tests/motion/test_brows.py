"""Brows that move as far as the driver's."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.faces.landmarks import topology
from thcli.motion import brows
from thcli.motion.canonical import neutral


def test_a_rise_grows_and_eyes_and_mouth_stay() -> None:
    change = np.zeros((1, 468, 3))
    change[..., 1] = -0.05
    stronger = brows.strengthen(change)
    before, after = (brows.measure(one)[0] for one in (change, stronger))
    assert (after > 1.15 * before).all() and (after <= brows.GAIN * before).all()
    still = [*topology.EYES[0], *topology.EYES[1], *topology.LIPS_OUTER]
    np.testing.assert_allclose(stronger[0, still], change[0, still], atol=1e-3)


def test_knit_brows_come_down_and_together_but_not_over_a_grin() -> None:
    change = np.zeros((2, 468, 3))
    change[:, [55, 107], 0], change[:, [285, 336], 0] = 0.03, -0.03
    change[1, 61, 0], change[1, 291, 0] = -0.08, 0.08
    stronger = brows.strengthen(change)
    knit = brows.measure(stronger)[1]
    assert knit[0] > 1.5 * brows.measure(change)[1][0]
    assert stronger[0, 55, 1] > 0.015
    np.testing.assert_allclose(stronger[1, :, 1], 0, atol=1e-9)


@pytest.mark.parametrize("noise", [0.0, 0.004])
def test_noise_knits_no_brows(noise: float) -> None:
    rng = np.random.default_rng(3)
    change = rng.normal(0, noise, (8, 468, 3))
    limit = (brows.GAIN - 1) * np.abs(change).max() + 1e-9
    assert np.abs(brows.strengthen(change) - change).max() <= limit


def test_the_displacement_is_that_of_a_frown_on_both_sides() -> None:
    knit = brows.knitting()
    assert knit[55, 0] > 0 > knit[285, 0] and knit[55, 1] > 0.01
    mirrored = knit[topology.PAIRS] * (-1, 1, 1)
    np.testing.assert_allclose(knit, mirrored, atol=0.004)


@pytest.mark.parametrize(
    ("own", "falls", "most"),
    [(1.0, 1.0, 2.1), (0.5, 0.5, 0.25), (1.2, 1.0, 0.28), (1.6, 1.0, 0.24)],
)
def test_brows_stay_between_eyes_and_hair(own: float, falls: float, most: float) -> None:
    """A driver with high brows drew those of a frowning source onto its eyes.

    One that frowned at rest raised those of others up to their hair, and one with high brows drew
    out the lids of deep-set eyes.
    """
    reference, points = neutral(), np.concatenate([np.asarray(ring) for ring in topology.BROWS])
    distance = brows.eye_distances(reference)
    source = reference.copy()
    source[points, 1] += (1 - own) * distance.mean()
    change = np.zeros((4, *reference.shape))
    for row, by in zip(change, (0.1, -0.1, -0.5, -2.0), strict=True):
        row[points, 1] = by * distance.mean()
    found = brows.fit_room(change, source, reference)
    moved = (brows.eye_distances(reference + found) / distance).mean(-1) - 1
    assert moved[0] == pytest.approx(-0.1 * falls, rel=0.15)
    assert moved[1] == pytest.approx(0.1, rel=0.1)
    assert moved[1] < moved[2] < moved[3] <= most
    if own == 1:
        assert np.array_equal(found[1:], change[1:])  # what rises is left


@pytest.mark.parametrize("own", [0.16, 0.2, 0.24, 0.3])
def test_brows_fall_to_where_a_frown_ends(own: float) -> None:
    """Brows that were low at rest fell over the eyes."""
    reference, points = neutral(), np.concatenate([np.asarray(ring) for ring in topology.BROWS])
    source = reference.copy()
    source[points, 1] += brows.eye_distances(reference).mean() - own
    change = np.zeros((5, *reference.shape))
    change[:, points, 1] = np.array([0.005, 0.02, 0.06, 0.1, 0.2])[:, None]
    left = brows.eye_distances(source + brows.fit_room(change, source, source))
    lowest = min(brows.LOWEST, own - brows.LEAST_FALL)
    assert (left > lowest - 0.01).all()  # the two eyes differ a little
    assert (np.diff(left, axis=0) <= 1e-9).all()
    assert left[0].mean() == pytest.approx(own - 0.005, abs=1e-3)


def test_brows_hardly_fall_over_shut_eyes() -> None:
    points = np.concatenate([np.asarray(ring) for ring in topology.BROWS])
    change = np.zeros((3, 468, 3))
    change[:, points, 1] = 0.04
    change[2] *= -1
    opened = np.array([[1.0, 0.2], [0.9, 0.8], [0.1, 0.1]])
    found = brows.measure(brows.hold_over_shut_eyes(change, opened))[0]
    assert found[0] == pytest.approx([-0.04, -0.04 * brows.SHUT_FALL], rel=0.1)
    np.testing.assert_array_equal(found[1:], brows.measure(change)[0][1:])
