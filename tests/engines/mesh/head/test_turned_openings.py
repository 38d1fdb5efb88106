"""Eyes, mouth and outline of a turned head where its far side is foreshortened."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Image
from thcli.engines.mesh import anatomy, opening, warp
from thcli.engines.mesh.anatomy import EYES, LIPS
from thcli.engines.mesh.eyes.texture import turn_ratio
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.silhouette import find_silhouette
from thcli.engines.mesh.mouth import closed_lips
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.faces.landmarks.topology import OVAL

SIDE = 384


def build(source: MeshSource, target: Array) -> warp.WarpMap:
    texture = warp.TexturePositions(source.mesh[:, :2], source.mesh[:, :2])
    surroundings = source.surroundings
    found = warp.build_map(source.mesh, surroundings, target, texture, source.size, source.step)
    assert found is not None
    return found


def samples_inside(points: Array, found: warp.WarpMap) -> npt.NDArray[np.bool_]:
    face = found.face
    return faces.polygon_mask(face.to_samples(points), face.columns, face.rows, grow=-2)


@pytest.mark.parametrize("angle", [-50.0, 50.0])
def test_no_skin_that_has_turned_away_shows_in_an_open_mouth(angle: float) -> None:
    source = faces.make_source(SIDE, SIDE, share=0.8)
    target = faces.make_target(source, turn=(0, angle, 0), mouth=0.6).points
    found = build(source, target)
    inside = samples_inside(target[LIPS, :2], found)
    facing = anatomy.doubled_areas(target) * anatomy.FRONTAL_SIGNS > 0
    assert inside.sum() > 60
    assert np.append(facing, True)[found.ids][inside].all()


def make_open(side: int = SIDE) -> tuple[MeshSource, Image]:
    """Draw a face whose mouth is open and full of teeth."""
    mesh = faces.make_target(faces.make_source(side, side, share=0.8), mouth=0.35).points
    image = faces.render_face(mesh, side, side)
    return prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), None), image


def test_lips_that_close_show_no_inside_anywhere_in_the_map() -> None:
    source, _ = make_open()
    lips = source.parted_lips
    assert lips is not None
    own = warp.TexturePositions(source.mesh[:, :2].copy(), source.mesh[:, :2].copy())
    wide = faces.make_target(source, mouth=0.35).points
    assert closed_lips.hide_inside(own, lips, source.mesh, wide) is own
    shut = faces.make_target(source, mouth=0.0, turn=(0, 40, 0)).points
    hidden = closed_lips.hide_inside(own, lips, source.mesh, shut)
    for ring, shift in ((anatomy.LIPS[1:10], 1.0), (anatomy.LIPS[11:], -1.0)):
        moved = shift * (hidden.face[ring] - own.face[ring])[:, 1]
        assert moved.min() > 0.5  # pixels into the lip
    lower, upper = anatomy.LIPS[1:10], anatomy.LIPS[:10:-1]
    np.testing.assert_allclose(hidden.holes[lower], hidden.face[upper], atol=1e-6)


@pytest.mark.parametrize("angle", [-48.0, 48.0])
def test_lips_that_close_in_a_turn_show_no_teeth_at_the_far_corner(angle: float) -> None:
    source, _ = make_open()
    target = faces.make_target(source, mouth=0.0, turn=(0, angle, 0))
    out = render_frame(source, target, None).astype(int)
    points = target.points[LIPS, :2]
    low, high = np.floor(points.min(0) - 2).astype(int), np.ceil(points.max(0) + 3).astype(int)
    middle = round(float(points[:, 0].mean()))
    far = slice(low[0], middle) if angle > 0 else slice(middle, high[0])
    teeth = np.abs(out[low[1] : high[1], far] - faces.INSIDE).max(-1) < 60
    assert teeth.sum() <= 4


@pytest.mark.parametrize("angle", [-48.0, 48.0])
def test_a_far_eye_is_narrow_and_its_iris_as_high_as_before(angle: float) -> None:
    source = faces.make_source(SIDE, SIDE, share=0.8)
    target = faces.make_target(source, turn=(0, angle, 0))
    widths = [opening.fit_opening(target.points, ring).width for ring in EYES]
    side = int(np.argmin(widths))
    ratio = turn_ratio(source.eyes[side], EYES[side], target.points)
    assert ratio < 0.8
    assert turn_ratio(source.eyes[side], EYES[side], source.mesh) == 1.0

    def iris_height(image: Image, points: Array) -> int:
        inside = faces.polygon_mask(points[EYES[side], :2], SIDE, SIDE)
        dark = (np.abs(image.astype(int) - faces.IRIS).max(-1) < 60) & inside
        return int(dark.sum(0).max())

    before = iris_height(source.image, source.mesh)
    after = iris_height(render_frame(source, target, None), target.points)
    assert after >= 0.8 * before


def test_small_turns_leave_eyes_as_they_are() -> None:
    source = faces.make_source(SIDE, SIDE)
    for turn in ((0.0, 8.0, 0.0), (15.0, -6.0, 10.0)):
        target = faces.make_target(source, turn=turn).points
        for eye, ring in zip(source.eyes, EYES, strict=True):
            assert abs(turn_ratio(eye, ring, target) - 1) < 0.02


def test_a_turned_face_ends_at_its_last_samples_and_a_forehead_is_blended() -> None:
    source = faces.make_source(SIDE, SIDE, share=0.8)
    for turn, scale in (((0.0, 45.0, 0.0), 1.0), ((0.0, 45.0, 0.0), 0.6)):
        target = faces.make_target(source, turn=turn, grow=scale).points
        found = build(source, target)
        share = find_silhouette(source.mesh, target, found.ids, 3)
        assert share.max() > 0.95
        assert not share[found.ids < 0].max() > 0.35
        gained = (share > 0.5) & (found.mesh_weight < 0.35)
        assert gained.sum() > 20
    turned = faces.make_target(source, turn=(0.0, 60.0, 0.0)).points  # turned back from there
    found = build(source, source.mesh)
    share = find_silhouette(turned, faces.make_target(source, turn=(0, 75, 0)).points, found.ids, 3)
    border = np.append(np.isin(anatomy.TRIANGLES, OVAL).any(1), True)[found.ids]
    beside = cv2.erode(border.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert share.max() > 0.9 and share[beside].max() < 0.4
    for nod in (-20.0, 0.0, 20.0):
        target = faces.make_target(source, turn=(nod, 0.0, 0.0)).points
        found = build(source, target)
        share = find_silhouette(source.mesh, target, found.ids, 3)
        top = slice(0, found.face.rows // 4)
        assert ((share > 0.5) & (found.mesh_weight < 0.35))[top].sum() == 0
