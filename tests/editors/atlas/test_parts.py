"""The atlas: its layout, the way to and from a picture, and how directions add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.errors import WeightsError
from thcli.core.geometry import matrix_from_angles
from thcli.core.types import Array, Array32
from thcli.editors.atlas import appearance, layout, sampling, tone, wrinkles
from thcli.editors.atlas.directions import (
    BRIGHTER,
    HALF,
    Directions,
    in_bytes,
    joined,
    limited,
    packed,
    symmetric,
    unpacked,
)
from thcli.editors.atlas.regions import area
from thcli.faces.landmarks.topology import OVAL, PAIRS, POINTS
from thcli.motion.canonical import neutral

SIDE = 256


def posed(yaw: float = 0.0, pitch: float = 0.0) -> Array:
    """A neutral mesh in a picture of SIDE pixels."""
    return np.asarray(70 * neutral() @ matrix_from_angles([pitch, yaw, 0.0]).T + (128, 115, 0))


def some(names: tuple[str, ...] = ("young", "male"), seed: int = 0) -> Directions:
    """Directions of chance."""
    dice = np.random.default_rng(seed)
    count = len(names)
    texture, scale = in_bytes(
        dice.normal(0, 0.05, (count, layout.ROWS, HALF, 3)).astype(np.float32)
    )
    wide = np.zeros((count, appearance.LEANINGS, layout.ROWS, HALF, 3), np.float32)
    wide[0, 1] = 0.1
    depends, depends_scale = in_bytes(wide)
    detail = dice.normal(0, 0.1, (count, layout.ROWS // 2, HALF // 2, 2)).astype(np.float16)
    shape = symmetric(dice.normal(0, 0.01, (count, 468, 3))).astype(np.float16)
    man = np.zeros((layout.ROWS // appearance.COARSE, HALF // appearance.COARSE, 4), np.float32)
    return Directions(
        names,
        texture,
        scale,
        depends,
        depends_scale,
        detail,
        shape,
        np.zeros(2, np.float32),
        np.ones(2, np.float32),
        man,
    )


def test_atlas_layout_holds_every_point_and_is_symmetric() -> None:
    known = layout.layout()
    inside = known.points[
        : layout.COUNT - 36
    ]  # the outer ring, where nothing shows, may lie beyond the edge
    assert (inside >= 0).all() and (inside < (layout.COLUMNS, layout.ROWS)).all()
    assert np.allclose(known.shares.sum(1), 1, atol=1e-5) and known.shares.min() >= 0
    outline = [list(OVAL).index(PAIRS[point]) for point in OVAL]
    other = np.concatenate([PAIRS, *(np.array(outline) + POINTS + i * len(OVAL) for i in range(3))])
    mirrored = known.points[other] * [-1, 1] + [layout.COLUMNS - 1, 0]
    assert np.allclose(mirrored, known.points, atol=1e-6)
    where = layout.spread(known.points)  # each sample's own place, told by its triangle's corners
    rows, columns = known.rows, known.columns
    off = np.hypot(where[rows, columns, 0] - columns, where[rows, columns, 1] - rows)
    assert (
        np.median(off) < 1e-3 and off.max() < 2.0
    )  # one on a border may be told by the triangle next to its own


@settings(max_examples=12, deadline=None)
@given(yaw=st.floats(-35, 35), pitch=st.floats(-20, 20))
def test_atlas_finds_its_way_back(yaw: float, pitch: float) -> None:
    """What is unrolled and laid on again is the picture, wherever the face shows."""
    mesh = posed(yaw, pitch)
    points = layout.extended(mesh)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    picture = np.stack([x, y], -1)
    unrolled = sampling.to_atlas(picture, sampling.places(points))
    pinned = sampling.pin(mesh, points, SIDE, 2)
    back = pinned.lift(np.ascontiguousarray(unrolled))
    here = np.stack(np.meshgrid(*pinned.grid.axes()), -1)
    seen = pinned.shows > 0.9
    assert seen.mean() > 0.15
    assert np.quantile(np.abs(back - here)[seen], 0.9) < 1.0


def test_atlas_shows_less_of_what_is_turned_away() -> None:
    front, turned = layout.facing(posed()), layout.facing(posed(60.0))
    left, right = 50, 280  # cheeks
    assert front[left] == front[right] == 1
    assert min(turned[left], turned[right]) == 0 and max(turned[left], turned[right]) == 1


def test_atlas_of_a_frontal_mesh_is_the_mesh_and_its_rings() -> None:
    points = layout.extended(posed())
    assert points.shape == (layout.COUNT, 3) and (points[:468] == posed()).all()
    centre = points[:468, :2].mean(0)
    rings = [
        np.linalg.norm(points[468 + i * 36 : 468 + (i + 1) * 36, :2] - centre, axis=1)
        for i in range(3)
    ]
    assert (rings[1] > rings[0]).all() and (rings[2] > rings[1]).all()


def test_atlas_tone_is_its_own_inverse() -> None:
    values = np.arange(256, dtype=np.uint8)
    assert np.allclose(tone.colours(tone.logs(values)), values / 255, atol=1e-6)
    assert np.allclose(tone.logs(values), tone.logs((values / 255).astype(np.float32)), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(strength=st.floats(-3, 3))
def test_atlas_changes_grow_with_the_strength(strength: float) -> None:
    change = some().change({"male": strength}, np.zeros(appearance.NUMBERS, np.float32))
    unit = some().change({"male": 1.0}, np.zeros(appearance.NUMBERS, np.float32))
    assert np.allclose(change.shape, strength * unit.shape, atol=1e-9)
    assert np.allclose(change.detail, strength * unit.detail, atol=1e-5)
    assert np.allclose(change.texture[:, ::-1], change.texture) and change.lines == 0


def test_atlas_texture_depends_on_the_look_and_age_brings_lines() -> None:
    dark, light = np.zeros((2, appearance.NUMBERS), np.float32)
    dark[3], light[3] = -1, 1  # brows
    first, second = (some().change({"young": 1.0}, one).texture for one in (dark, light))
    assert np.isclose(np.median(second - first), 0.2, atol=0.01)
    assert some().change({"young": -1.0}, dark).lines > 0
    same = [some().change({"male": 1.0}, one).texture for one in (dark, light)]
    assert (same[0] == same[1]).all()
    unknown = some().change({"hat": 1.0}, dark)
    assert not unknown.texture.any() and not unknown.shape.any() and not unknown.detail.any()


def test_atlas_does_not_let_the_dark_glow() -> None:
    glowing = np.full((layout.ROWS, HALF, 3), 2.0, np.float32) * [1, 0.5, 0.25]
    bent = limited(glowing.astype(np.float32))
    assert bent.max() <= 0.4 and np.allclose(bent[..., 1] / bent[..., 0], 0.5, atol=1e-4)
    careful = area("dark")[:, :HALF] > 0.99
    assert bent[careful].max() < 0.15 < BRIGHTER
    weak = np.full((layout.ROWS, HALF, 3), 0.03, np.float32)
    assert (limited(weak) == weak).all()


def test_atlas_files_hold_all() -> None:
    before = some()
    after = unpacked(packed(before), "here")
    for name in ("texture", "depends", "detail", "shape", "texture_scale", "depends_scale"):
        assert (getattr(after, name) == getattr(before, name)).all(), name
    assert after.names == before.names
    assert packed(before)["depends"].shape[0] == 1  # what is nothing is not kept
    with pytest.raises(WeightsError, match="lacks texture"):
        unpacked({"names": packed(before)["names"]}, "here")
    other = dict(
        packed(before),
        texture=np.zeros((2, 4, 4, 3), np.int8),
        depends=np.zeros((1, 4, 4, 3), np.int8),
    )
    with pytest.raises(WeightsError, match="another layout"):
        unpacked(other, "here")


def test_atlas_takes_the_better_of_two() -> None:
    one, other = some(), some(("male", "smiling"), 1)
    both = joined(one, other)
    assert both.names == ("young", "male", "smiling")
    assert (both.texture[0] == one.texture[0]).all() and (both.texture[1] == other.texture[0]).all()
    assert (both.shape[2] == other.shape[1]).all()


def test_atlas_lines_darken_more_than_they_light() -> None:
    drawn = wrinkles.lines()
    assert drawn.shape == (layout.ROWS * wrinkles.FINER, layout.COLUMNS * wrinkles.FINER, 3)
    assert drawn.min() < -0.05 and 0 < drawn.max() < -drawn.min()
    assert (drawn != 0).any(-1).mean() < 0.35  # most of the face has none


def test_atlas_looks_tell_skin_from_brows() -> None:
    texture = np.full((layout.ROWS, layout.COLUMNS, 3), -0.4, np.float32)
    texture[area("brows") > 0.5] = -1.5
    found = appearance.measured(texture, np.ones(texture.shape[:2], np.float32))
    assert np.allclose(found[:3], -0.4, atol=0.1) and found[3] < -0.8


def test_atlas_looks_do_not_change_with_the_light() -> None:
    """What tells a man's face is free of how light the picture is."""
    dice = np.random.default_rng(1)
    texture: Array32 = dice.normal(-0.5, 0.1, (layout.ROWS, layout.COLUMNS, 3)).astype(np.float32)
    weight = np.ones(texture.shape[:2], np.float32)
    assert np.allclose(
        appearance.coarse(texture, weight),
        appearance.coarse(texture + np.float32(0.3), weight),
        atol=1e-4,
    )
    nothing = appearance.coarse(texture, np.zeros_like(weight))
    assert not nothing.any()
