"""LivePortrait's motion algebra, without networks except for the three small ones."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thcli.core.options import LivePortraitOptions, Region
from thcli.core.types import Array32, Face
from thcli.engines.liveportrait import video
from thcli.engines.liveportrait.mask import soft_mask
from thcli.engines.liveportrait.networks import EYES, LIPS, STITCHING, Mlp
from thcli.engines.liveportrait.ratios import LANDMARKS, face_openings, openings
from thcli.engines.liveportrait.retargeting import RetargetingNetworks
from thcli.engines.liveportrait.transfer import (
    HeadMotion,
    TransferGains,
    rotation,
    transfer_absolute,
    transfer_relative,
    transfer_relative_to_rest,
)

REGIONS = get_args(Region)


def moves(seed: int, frames: int) -> HeadMotion:
    rng = np.random.default_rng(seed)
    parts = (
        1 + 0.1 * rng.standard_normal((frames, 1)),
        rotation(20 * rng.standard_normal((frames, 3))),
        0.02 * rng.standard_normal((frames, 21, 3)),
        0.05 * rng.standard_normal((frames, 3)),
    )
    return HeadMotion(*(np.asarray(p, np.float32) for p in parts))


def canonical(seed: int = 9) -> Array32:
    return (np.random.default_rng(seed).standard_normal((1, 21, 3)) / 3).astype(np.float32)


@pytest.fixture(scope="module")
def corrections() -> RetargetingNetworks:
    torch.manual_seed(0)
    return RetargetingNetworks(
        *(Mlp(widths).requires_grad_(False) for widths in (STITCHING, LIPS, EYES))
    )


@given(st.tuples(*[st.floats(-80, 80)] * 3))
def test_rotations_are_transposed_right_handed_ones(angles: tuple[float, float, float]) -> None:
    turn = rotation(angles).astype(np.float64)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(turn) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("angles", "point", "there"),
    [
        ((90, 0, 0), (0, 1, 0), (0, 0, 1)),
        ((0, 90, 0), (0, 0, 1), (1, 0, 0)),
        ((0, 0, 90), (1, 0, 0), (0, 1, 0)),
    ],
)
def test_each_angle_turns_about_its_axis(
    angles: tuple[int, ...], point: tuple[int, ...], there: tuple[int, ...]
) -> None:
    np.testing.assert_allclose(np.array(point) @ rotation(angles), there, atol=1e-6)


def test_depth_is_never_shifted() -> None:
    m = moves(1, 3)
    deeper = m._replace(shift=m.shift + np.array([0, 0, 5], np.float32))
    np.testing.assert_array_equal(m.keypoints(canonical()), deeper.keypoints(canonical()))


@pytest.mark.parametrize("region", REGIONS)
def test_a_driver_that_does_not_move_leaves_the_source(region: Region) -> None:
    own, driving = moves(1, 1), moves(2, 1)
    out = transfer_relative(own, driving, driving, TransferGains(region, 0.5, 2.0))
    np.testing.assert_allclose(out.keypoints(canonical()), own.keypoints(canonical()), atol=1e-6)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("mode", ["relative", "absolute"])
def test_without_gains_nothing_moves(region: Region, mode: str) -> None:
    own, driving, gains = moves(1, 1), moves(2, 3), TransferGains(region, 0.0, 0.0)
    first = moves(3, 1)
    out = (
        transfer_relative(own, driving, first, gains)
        if mode == "relative"
        else transfer_absolute(own, driving, gains)
    )
    np.testing.assert_allclose(
        out.keypoints(canonical()), np.repeat(own.keypoints(canonical()), 3, 0), atol=1e-6
    )


@pytest.mark.parametrize(
    ("region", "changes"),
    [
        ("pose", {"rotation", "shift"}),
        ("expression", {"expression"}),
        ("lips", {"expression"}),
        ("eyes", {"expression"}),
        ("all", {"rotation", "shift", "expression", "scale"}),
    ],
)
def test_regions_move_what_they_say(region: Region, changes: set[str]) -> None:
    own, driving, first = moves(1, 1), moves(2, 2), moves(3, 1)
    for out, beyond in (
        (transfer_relative(own, driving, first, TransferGains(region)), set()),
        (transfer_absolute(own, driving, TransferGains(region)), {"scale"}),
    ):
        moved = {
            name
            for name in HeadMotion._fields
            if not np.array_equal(getattr(out, name), np.repeat(getattr(own, name), 2, 0))
        }
        assert moved == changes - beyond


@pytest.mark.parametrize(
    ("region", "points"), [("lips", {6, 12, 14, 17, 19, 20}), ("eyes", {11, 13, 15, 16, 18})]
)
def test_lips_and_eyes_are_their_own_keypoints(region: Region, points: set[int]) -> None:
    own, driving = moves(1, 1), moves(2, 1)
    outs = [
        transfer_relative_to_rest(own, driving, TransferGains(region)),
        transfer_absolute(own, driving, TransferGains(region)),
    ]
    for out in outs:
        assert set(np.flatnonzero(np.any(out.expression != own.expression, (0, 2)))) == points


def test_half_the_turn_twice_is_the_turn() -> None:
    own, driving, first = moves(1, 1), moves(2, 1), moves(3, 1)
    half = transfer_relative(
        own, driving, first, TransferGains("pose", 0.5)
    ).rotation @ own.rotation.transpose(0, 2, 1)
    whole = transfer_relative(
        own, driving, first, TransferGains("pose")
    ).rotation @ own.rotation.transpose(0, 2, 1)
    np.testing.assert_allclose(half @ half, whole, atol=1e-5)


@pytest.mark.parametrize("cut", [1, 3, 6])
def test_corrections_do_not_depend_on_how_frames_are_grouped(
    corrections: RetargetingNetworks, cut: int
) -> None:
    own, moved = canonical(), moves(4, 7).keypoints(canonical())
    parts = np.concatenate(
        [corrections.stitch(own, moved[:cut]), corrections.stitch(own, moved[cut:])]
    )
    np.testing.assert_array_equal(parts, corrections.stitch(own, moved))


def test_closed_lips_are_left_alone(corrections: RetargetingNetworks) -> None:
    own, moved = canonical(), moves(4, 2).keypoints(canonical())
    driver = np.full((2, 3), 0.2, np.float32)
    plain, closing = LivePortraitOptions(), LivePortraitOptions(close_lips=True)

    def run(lips: float, options: LivePortraitOptions, *, relative: bool = True) -> Array32:
        mine = np.array([[0.3, 0.3, lips]], np.float32)
        return corrections.apply(own, moved, (mine, driver), options, relative=relative)

    np.testing.assert_array_equal(run(0.02, closing), run(0.02, plain))
    np.testing.assert_array_equal(
        run(0.2, closing, relative=False), run(0.2, plain, relative=False)
    )
    change = corrections.lip_offsets(
        own, np.array([[0.2]], np.float32), np.array([[0.0]], np.float32)
    )
    np.testing.assert_allclose(
        run(0.2, closing) - run(0.2, plain), np.repeat(change, 2, 0), atol=1e-6
    )


def test_retargeting_drops_relative_motion_and_keeps_absolute(
    corrections: RetargetingNetworks,
) -> None:
    own, moved = canonical(), moves(4, 2).keypoints(canonical())
    mine, driver = np.full((1, 3), 0.3, np.float32), np.full((2, 3), 0.2, np.float32)
    options = LivePortraitOptions(stitching=False, retarget_lips=True)
    change = corrections.lip_offsets(own, mine[:, 2:], driver[:1, 2:])
    out = corrections.apply(own, moved, (mine, driver), options, relative=True)
    np.testing.assert_allclose(out, np.repeat(own + change, 2, 0), atol=1e-6)
    out = corrections.apply(own, moved, (mine, driver), options, relative=False)
    np.testing.assert_allclose(out, moved + change, atol=1e-6)


@pytest.mark.parametrize("count", [68, 203, 468, 478])
def test_openings_are_gap_over_width_at_any_size(count: int) -> None:
    points = np.zeros((count, 3))
    wanted = (0.1, 0.2, 0.4)
    for (upper, lower, left, right), share in zip(LANDMARKS[min(count, 468)], wanted, strict=True):
        points[upper], points[lower], points[right] = (
            (20, 50, 7),
            (20, 50 + 40 * share, 9),
            (40, 0, 0),
        )
        points[left] = (0, 0, 3)
    np.testing.assert_allclose(openings(points), wanted, rtol=1e-5)
    np.testing.assert_allclose(openings(points * 3 + 5), wanted, rtol=1e-5)


def test_the_trained_points_count_before_the_mesh() -> None:
    box, mesh = np.zeros(4, np.float32), np.zeros((468, 3), np.float32)
    known = face_openings(Face(box, 1.0, mesh=mesh, points=np.ones((203, 2), np.float32)))
    np.testing.assert_array_equal(known, np.zeros(3))
    np.testing.assert_array_equal(
        face_openings(Face(box, 1.0, points=np.zeros((106, 2), np.float32))), [-1] * 3
    )
    np.testing.assert_array_equal(face_openings(Face(box, 1.0)), [-1] * 3)


def test_the_mask_is_soft_at_its_rim_alone() -> None:
    mask = soft_mask(512).astype(int)
    assert mask.shape == (512, 512) and (mask[16:-16, 16:-16] == 255).all()
    assert mask[0].max() == 0 and mask[:, 0].max() == 0 and mask[511, 256] == 15
    np.testing.assert_array_equal(np.diff(mask[:17, 256]), [15, *[16] * 15])
    np.testing.assert_array_equal(mask, mask.T)


@given(st.integers(0, 100))
def test_smoothing_keeps_what_stands_still_and_hardly_moves_the_rest(seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal((8, 2)).astype(np.float32)
    np.testing.assert_allclose(
        video.kalman_smooth(np.repeat(values[:1], 5, 0)), np.repeat(values[:1], 5, 0), atol=1e-6
    )
    smoothed = video.kalman_smooth(values, 1e-3)
    assert np.abs(np.diff(smoothed, axis=0)).sum() < np.abs(np.diff(values, axis=0)).sum()
    np.testing.assert_allclose(video.kalman_smooth(values, 1e-12), values, atol=1e-5)
