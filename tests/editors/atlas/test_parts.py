"""Tests of the atlas: layout, projection to and from an image, sums of directions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.errors import WeightsError
from thcli.core.geometry import matrix_from_angles
from thcli.core.types import Array
from thcli.editors.atlas import appearance, layout, sampling, tone, wrinkles
from thcli.editors.atlas.directions import (
    HALF,
    MAX_RISE,
    AtlasDirections,
    limit_texture,
    merge_directions,
    pack_directions,
    quantize,
    symmetrize,
    unpack_directions,
)
from thcli.editors.atlas.mouth import fit_to_mouth, smile_amount, smile_share
from thcli.editors.atlas.regions import region_mask
from thcli.faces.landmarks.topology import LIPS, MOUTH_CORNERS, OVAL, PAIRS, POINTS
from thcli.motion.canonical import neutral

SIDE = 256


def make_mesh(yaw: float = 0.0, pitch: float = 0.0) -> Array:
    """Return a neutral mesh in an image of SIDE pixels."""
    return np.asarray(70 * neutral() @ matrix_from_angles([pitch, yaw, 0.0]).T + (128, 115, 0))


def random_directions(names: tuple[str, ...] = ("young", "male"), seed: int = 0) -> AtlasDirections:
    """Return random directions."""
    rng = np.random.default_rng(seed)
    count = len(names)
    texture, scale = quantize(rng.normal(0, 0.05, (count, layout.ROWS, HALF, 3)).astype(np.float32))
    wide = np.zeros((count, appearance.COVARIATES, layout.ROWS, HALF, 3), np.float32)
    wide[0, 1] = 0.1
    depends, depends_scale = quantize(wide)
    detail = rng.normal(0, 0.1, (count, layout.ROWS // 2, HALF // 2, 2)).astype(np.float16)
    shape = symmetrize(rng.normal(0, 0.01, (count, 468, 3))).astype(np.float16)
    return AtlasDirections(
        names,
        texture,
        scale,
        depends,
        depends_scale,
        detail,
        shape,
        np.zeros(2, np.float32),
        np.ones(2, np.float32),
    )


def test_atlas_layout_holds_every_point_and_is_symmetric() -> None:
    known = layout.build_layout()
    # The outer ring, where nothing is visible, may be beyond the edge.
    inside = known.points[: layout.COUNT - 36]
    assert (inside >= 0).all() and (inside < (layout.COLUMNS, layout.ROWS)).all()
    assert np.allclose(known.barycentric.sum(1), 1, atol=1e-5) and known.barycentric.min() >= 0
    outline = [list(OVAL).index(PAIRS[point]) for point in OVAL]
    other = np.concatenate([PAIRS, *(np.array(outline) + POINTS + i * len(OVAL) for i in range(3))])
    mirrored = known.points[other] * [-1, 1] + [layout.COLUMNS - 1, 0]
    assert np.allclose(mirrored, known.points, atol=1e-6)
    # Position of each sample, interpolated from the corners of its triangle.
    where = layout.rasterize(known.points)
    rows, columns = known.rows, known.columns
    off = np.hypot(where[rows, columns, 0] - columns, where[rows, columns, 1] - rows)
    # A sample on a border may get the position in the neighbouring triangle.
    assert np.median(off) < 1e-3 and off.max() < 2.0


@settings(max_examples=12, deadline=None)
@given(yaw=st.floats(-35, 35), pitch=st.floats(-20, 20))
def test_unrolling_and_projecting_restores_the_image(yaw: float, pitch: float) -> None:
    """An image that is unrolled and projected again is unchanged where the face is visible."""
    mesh = make_mesh(yaw, pitch)
    points = layout.extend_mesh(mesh)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    image = np.stack([x, y], -1)
    unrolled = sampling.unroll_image(image, sampling.sample_positions(points))
    projection = sampling.project(mesh, points, SIDE, 2)
    back = projection.sample_atlas(np.ascontiguousarray(unrolled))
    here = np.stack(np.meshgrid(*projection.grid.pixel_axes()), -1)
    seen = projection.visibility > 0.9
    assert seen.mean() > 0.15
    assert np.quantile(np.abs(back - here)[seen], 0.9) < 1.0


def test_atlas_fades_surfaces_turned_away() -> None:
    front, turned = layout.facing_weights(make_mesh()), layout.facing_weights(make_mesh(60.0))
    left, right = 50, 280  # cheeks
    assert front[left] == front[right] == 1
    assert min(turned[left], turned[right]) == 0 and max(turned[left], turned[right]) == 1


def test_atlas_of_a_frontal_mesh_is_the_mesh_and_its_rings() -> None:
    points = layout.extend_mesh(make_mesh())
    assert points.shape == (layout.COUNT, 3) and (points[:468] == make_mesh()).all()
    centre = points[:468, :2].mean(0)
    rings = [
        np.linalg.norm(points[468 + i * 36 : 468 + (i + 1) * 36, :2] - centre, axis=1)
        for i in range(3)
    ]
    assert (rings[1] > rings[0]).all() and (rings[2] > rings[1]).all()


def test_atlas_tone_is_its_own_inverse() -> None:
    values = np.arange(256, dtype=np.uint8)
    assert np.allclose(tone.from_log(tone.to_log(values)), values / 255, atol=1e-6)
    assert np.allclose(
        tone.to_log(values), tone.to_log((values / 255).astype(np.float32)), atol=1e-6
    )


@settings(max_examples=20, deadline=None)
@given(strength=st.floats(-3, 3))
def test_atlas_changes_grow_with_the_strength(strength: float) -> None:
    change = random_directions().change(
        {"male": strength}, np.zeros(appearance.APPEARANCE_SIZE, np.float32)
    )
    unit = random_directions().change(
        {"male": 1.0}, np.zeros(appearance.APPEARANCE_SIZE, np.float32)
    )
    assert np.allclose(change.shape, strength * unit.shape, atol=1e-9)
    assert np.allclose(change.detail, strength * unit.detail, atol=1e-5)
    assert np.allclose(change.texture[:, ::-1], change.texture) and change.wrinkle_depth == 0


def test_atlas_texture_depends_on_the_appearance_and_age_adds_wrinkles() -> None:
    dark, light = np.zeros((2, appearance.APPEARANCE_SIZE), np.float32)
    dark[3], light[3] = -1, 1  # brows
    first, second = (
        random_directions().change({"young": 1.0}, one).texture for one in (dark, light)
    )
    assert np.isclose(np.median(second - first), 0.2, atol=0.01)
    assert random_directions().change({"young": -1.0}, dark).wrinkle_depth > 0
    same = [random_directions().change({"male": 1.0}, one).texture for one in (dark, light)]
    assert (same[0] == same[1]).all()
    unknown = random_directions().change({"hat": 1.0}, dark)
    assert not unknown.texture.any() and not unknown.shape.any() and not unknown.detail.any()


def test_atlas_limits_the_brightening_of_dark_regions() -> None:
    glowing = np.full((layout.ROWS, HALF, 3), 2.0, np.float32) * [1, 0.5, 0.25]
    bent = limit_texture(glowing.astype(np.float32))
    assert bent.max() <= 0.4 and np.allclose(bent[..., 1] / bent[..., 0], 0.5, atol=1e-4)
    careful = region_mask("dark")[:, :HALF] > 0.99
    assert bent[careful].max() < 0.15 < MAX_RISE
    weak = np.full((layout.ROWS, HALF, 3), 0.03, np.float32)
    assert (limit_texture(weak) == weak).all()


def test_atlas_files_hold_all() -> None:
    before = random_directions()
    after = unpack_directions(pack_directions(before), "here")
    for name in ("texture", "depends", "detail", "shape", "texture_scale", "depends_scale"):
        assert (getattr(after, name) == getattr(before, name)).all(), name
    assert after.names == before.names
    assert pack_directions(before)["depends"].shape[0] == 1  # what is nothing is not kept
    with pytest.raises(WeightsError, match="lacks texture"):
        unpack_directions({"names": pack_directions(before)["names"]}, "here")
    other = dict(
        pack_directions(before),
        texture=np.zeros((2, 4, 4, 3), np.int8),
        depends=np.zeros((1, 4, 4, 3), np.int8),
    )
    with pytest.raises(WeightsError, match="another layout"):
        unpack_directions(other, "here")


def test_atlas_merges_two_sets_of_directions() -> None:
    one, other = random_directions(), random_directions(("male", "smiling"), 1)
    both = merge_directions(one, other)
    assert both.names == ("young", "male", "smiling")
    assert (both.texture[0] == one.texture[0]).all() and (both.texture[1] == other.texture[0]).all()
    assert (both.shape[2] == other.shape[1]).all()


def test_atlas_lines_darken_more_than_they_light() -> None:
    drawn = wrinkles.line_texture()
    assert drawn.shape == (
        layout.ROWS * wrinkles.LINE_SCALE,
        layout.COLUMNS * wrinkles.LINE_SCALE,
        3,
    )
    assert drawn.min() < -0.05 and 0 < drawn.max() < -drawn.min()
    assert (drawn != 0).any(-1).mean() < 0.35  # most of the face has none


def test_atlas_appearance_separates_skin_from_brows() -> None:
    texture = np.full((layout.ROWS, layout.COLUMNS, 3), -0.4, np.float32)
    texture[region_mask("brows") > 0.5] = -1.5
    found = appearance.measure(texture, np.ones(texture.shape[:2], np.float32))
    assert np.allclose(found[:3], -0.4, atol=0.1) and found[3] < -0.8


def mouth(gap: float, width: float = 1.0) -> Array:
    """Return the neutral face with lips `gap` apart and a mouth of `width` times its width."""
    face = neutral().copy()
    face[LIPS.upper, 1] -= gap / 2
    face[LIPS.lower, 1] += gap / 2
    face[list(MOUTH_CORNERS), 0] *= width
    return face


def smile() -> Array:
    """Return a direction that raises the corners and opens the lips."""
    shape = np.zeros((POINTS, 3))
    shape[LIPS.upper, 1], shape[LIPS.lower, 1] = -0.03, 0.04
    shape[list(MOUTH_CORNERS), 1] = -0.06
    return shape


def opening(shape: Array) -> Array:
    """Return the change of the gap of the lips."""
    return np.asarray((shape[LIPS.lower] - shape[LIPS.upper])[:, 1])


def test_a_smile_opens_only_lips_that_are_open() -> None:
    shut, opened = (fit_to_mouth(smile(), mouth(gap)) for gap in (0.0, 0.2))
    np.testing.assert_allclose(opening(shut), 0, atol=2e-3)
    np.testing.assert_allclose(opened, smile(), atol=1e-9)
    np.testing.assert_allclose(shut[list(MOUTH_CORNERS)], smile()[list(MOUTH_CORNERS)], atol=0.01)


def test_lips_never_pass_through_each_other() -> None:
    closing = fit_to_mouth(-smile(), mouth(0.05))
    assert (opening(closing) > -0.05).all()


def test_pursed_lips_move_less() -> None:
    moved = fit_to_mouth(smile(), mouth(0.2, 0.7))[list(MOUTH_CORNERS), 1]
    assert (moved > -0.03).all()
    assert (moved < 0).all()


def test_pouting_lips_and_a_frown_hold_a_smile_back() -> None:
    plain = mouth(0.02)
    raised = [fit_to_mouth(smile(), plain)[MOUTH_CORNERS[0], 1]]
    for points, shift in (([0, 17], (-0.1, 0.1)), ([105, 334], (0.12, 0.12))):
        face = plain.copy()
        face[points, 1] += shift
        raised.append(fit_to_mouth(smile(), face)[MOUTH_CORNERS[0], 1])
    assert raised[0] < -0.05
    assert raised[0] * 0.75 < min(raised[1:]) <= max(raised[1:]) < 0


def test_a_smile_is_taken_away_as_far_as_there_is_one() -> None:
    smiling = mouth(0.05, 1.15)
    smiling[list(MOUTH_CORNERS), 1] -= 0.04
    assert smile_share(smile_amount(mouth(0.05))) == 0
    assert smile_share(smile_amount(smiling)) > 0.9
    look = np.zeros(appearance.APPEARANCE_SIZE, np.float32)
    change = random_directions(("smiling",)).change({"smiling": -1.0}, look)
    assert not change.with_unsmile(0).shape.any()
    half, whole = (change.with_unsmile(share).shape for share in (0.5, 1.0))
    assert whole.any()
    np.testing.assert_allclose(half, whole / 2)


def test_a_change_of_age_leaves_fair_brows_their_tone() -> None:
    fair, dark = np.zeros((2, appearance.APPEARANCE_SIZE), np.float32)
    dark[3] = -1
    brows = region_mask("brows") > 0.99
    rise = [
        random_directions().change({"young": -6.0}, look).texture[brows].max()
        for look in (fair, dark)
    ]
    assert rise[0] < 0.01 < rise[1]


@pytest.mark.parametrize(("red", "hue"), [(0.1, 0.5), (0.5, 0.0)])
def test_a_shadow_that_gender_brings_is_not_grey_on_warm_skin(red: float, hue: float) -> None:
    plain = random_directions(("male",))
    scale = np.full(1, 0.001, np.float32)
    shadow = np.broadcast_to(np.array([-127, -90, -60], np.int8), plain.texture.shape)
    cold = replace(
        plain, texture=shadow, texture_scale=scale, depends_scale=plain.depends_scale * 0
    )
    look = np.zeros(appearance.APPEARANCE_SIZE, np.float32)
    look[0] = red
    texture = cold.change({"male": 1.0}, look).texture[:, :HALF]
    jaw = texture[region_mask("jaw")[:, :HALF] > 0.99].mean(0)
    assert jaw[2] - jaw[0] == pytest.approx(0.067 * hue, abs=0.004) and jaw.max() < 0


def test_gender_brightens_neither_lids_nor_the_rim_of_the_lips() -> None:
    plain = random_directions(("male",))
    scale = np.full(1, 0.003, np.float32)
    bright = replace(plain, texture=np.full_like(plain.texture, 127), texture_scale=scale)
    look = np.zeros(appearance.APPEARANCE_SIZE, np.float32)
    texture = bright.change({"male": 1.0}, look).texture[:, :HALF]
    lips, red, eyes = (region_mask(name)[:, :HALF] for name in ("lips", "red", "eyes"))
    rim = (lips > 0.99) & (red < 0.01)
    assert rim.any()
    assert texture[rim].max() < 0.05
    assert texture[eyes > 0.99].max() < 0.07


def test_gender_does_not_blacken_lids() -> None:
    plain = random_directions(("male",))
    scale = np.full(1, 0.008, np.float32)
    dark = replace(plain, texture=np.full_like(plain.texture, -127), texture_scale=scale)
    look = np.zeros(appearance.APPEARANCE_SIZE, np.float32)
    texture = dark.change({"male": 1.0}, look).texture[:, :HALF]
    eyes = region_mask("eyes")[:, :HALF] > 0.99
    assert -0.4 < texture[eyes].min() < -0.3
