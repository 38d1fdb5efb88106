"""Lines of the forehead and between the brows."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Image
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.shades import brow_lines, eye_lines, lines_of_skin
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.motion import brows, canonical, closure
from thcli.motion.render_target import RenderTarget

SIDE = 256


@cache
def mesh() -> Array:
    return faces.centred_mesh(SIDE, SIDE, 0.7)


def skin() -> Image:
    return faces.add_relief(np.full((SIDE, SIDE, 3), faces.SKIN, np.uint8))


def source(image: Image) -> MeshSource:
    return prepare(image, faces.make_face(mesh()), None, with_folds=True)


def moved(displacement: Array) -> RenderTarget:
    posed = canonical.decompose(mesh())
    points = np.asarray(replace(posed, shape=posed.shape + displacement).mesh())
    return RenderTarget(points, np.zeros((2, 2)), np.ones(2))


def raised(amount: float) -> RenderTarget:
    return moved(brows.weights()[:, None] * np.array([0, -amount, 0]))


def change(own: MeshSource, target: RenderTarget) -> Array:
    """Return what lines and folds change in a frame, (H, W)."""
    plain = render_frame(replace(own, folds=None), target, None)
    return np.asarray((render_frame(own, target, None).astype(int) - plain).mean(-1))


def test_raised_brows_draw_lines_on_the_forehead_alone() -> None:
    found = change(source(skin()), raised(0.15))
    brow = int(mesh()[[105, 334], 1].min())
    assert found[:brow].min() < -3
    assert not found[int(mesh()[1, 1]) :].any()


def test_a_still_face_and_noise_change_no_pixel() -> None:
    own = source(skin())
    for amount in (0.0, 0.02):
        assert not change(own, raised(amount)).any()


def test_knit_brows_draw_lines_between_them() -> None:
    target = moved(brows.knitting() * 2)
    found = change(source(skin()), target)
    (left, top), (right, bottom) = target.points[66, :2], target.points[285, :2]
    between = found[int(top) - 3 : int(bottom) + 3, int(left) : int(right)]
    assert between.min() < -3


def test_distances_in_the_field_are_those_of_the_nearest_point() -> None:
    curve, _ = lines_of_skin.spline(lines_of_skin.places()[[105, 104, 69]], np.ones(3))
    width, height = lines_of_skin.size()
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    gaps = np.hypot(x[..., None] - curve[:, 0], y[..., None] - curve[:, 1])
    distance, nearest = lines_of_skin.distances(curve)
    assert np.array_equal(distance, (gaps.min(-1) / lines_of_skin.UNIT).astype(np.float32))
    assert np.array_equal(nearest, gaps.argmin(-1))


def test_nothing_is_drawn_on_hair() -> None:
    image = skin()
    image[: int(mesh()[[105, 334], 1].min()) - 3, ::3] = (60, 40, 30)  # strands
    found = change(source(image), raised(0.15))
    assert np.abs(found).max() <= 1


def test_nothing_is_drawn_on_glasses() -> None:
    worn = np.zeros(len(mesh()))
    worn[[105, 104, 63, 68, 69, 66, 107, 108]] = 1  # the brow on the image's left
    plain, framed = (brow_lines.prepare(skin(), mesh(), 0.0, w).field for w in (None, worn))
    column, row = np.rint(lines_of_skin.places()[[104, 105, 69]].mean(0)).astype(int)
    near = np.s_[row - 2 : row + 3, column - 2 : column + 3]
    assert np.abs(plain[near]).max() > 0.01 and np.abs(framed[near]).max() < 1e-4
    other = np.s_[:, int(lines_of_skin.places()[338, 0]) :]
    assert np.array_equal(plain[other], framed[other])


def test_own_lines_grow_with_a_rise_and_fade_where_raised_brows_come_down() -> None:
    image = skin()
    line = int(mesh()[[69, 299], 1].mean())
    image[line - 1 : line + 2] = (np.array(faces.SKIN) * 0.8).astype(np.uint8)
    lines = brow_lines.prepare(image, mesh(), 0.0)
    column, row = lines_of_skin.places()[[69, 299]].mean(0).astype(int)
    shape = canonical.decompose(mesh()).shape
    rise = brows.weights()[:, None] * np.array([0, -0.15, 0])
    deeper, fainter = lines.shown(shape + rise, 0.0), lines.shown(shape - rise, 0.0)
    assert deeper is not None and fainter is not None
    near = np.s_[row - 3 : row + 4, column - 3 : column + 4]
    assert deeper[near].min() < -0.05 and fainter[near].max() > 0.02


def test_lines_of_a_blurred_picture_are_fainter() -> None:
    sharp, blurred = (np.ptp(brow_lines.prepare(skin(), mesh(), b).field) for b in (0.0, 0.02))
    assert blurred < 0.8 * sharp


def test_a_smile_draws_lines_beside_the_eyes_unless_they_open_wide() -> None:
    own = brow_lines.prepare(skin(), mesh(), 0.0)
    shape = canonical.decompose(mesh()).shape
    wide = shape[None].copy()
    closure.set_lids(wide, shape, np.full((1, 2), 1.4))
    drawn = own.shown(shape, 1.0)
    assert drawn is not None
    column, row = np.rint(lines_of_skin.places()[23]).astype(int)
    assert drawn[row : row + 6, column].min() < -0.05
    assert own.shown(shape, 0.0) is None
    assert own.shown(wide[0], 1.0) is None


def test_crows_feet_are_dark_lines_without_a_rim_of_light() -> None:
    feet = eye_lines.drawn()[..., 0]
    assert feet.max() <= 0 and feet.min() < -0.1


def test_no_fold_of_a_lid_is_drawn_on_dark_glasses_and_lashes_leave_it() -> None:
    places = lines_of_skin.places()
    rows, columns = np.rint(places[[22, 23, 24], 1]).astype(int), places[23, 0].astype(int)
    low, high = mesh()[[23, 66], 1]
    shown = []
    for top, bottom in ((0.0, 0.0), (low - 3, low), (high, low + 0.12 * SIDE)):
        image = skin()
        image[int(top) : int(bottom)] = 30
        field = brow_lines.prepare(image, mesh(), 0.0).field[..., -1]
        shown.append(field[rows.min() : rows.max() + 6, columns].min())
    plain, lashes, glasses = shown
    assert plain < -0.05 and lashes < 0.8 * plain and abs(glasses) < 0.05 * abs(plain)


def test_no_fold_of_a_lid_is_drawn_on_glasses_that_are_known() -> None:
    worn = np.zeros(len(mesh()))
    worn[[112, 26, 22, 23, 24, 110, 25, 230, 229, 228, 231, 145, 144, 153, 163, 154]] = 1
    plain, framed = (brow_lines.prepare(skin(), mesh(), 0.0, w).field for w in (None, worn))
    column, row = np.rint(lines_of_skin.places()[23]).astype(int)
    near = np.s_[row : row + 3, column, -1]
    assert np.abs(plain[near]).max() > 0.05 and np.abs(framed[near]).max() < 1e-3
