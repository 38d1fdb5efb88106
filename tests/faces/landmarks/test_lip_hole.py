"""Inner lips of rounded mouths, fitted to the hole that a frame shows."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Face, Image
from thcli.faces.landmarks import topology
from thcli.faces.landmarks.lip_hole import fit_lip_hole

SKIN, LIP, DARK, TEETH = (190, 140, 120), (180, 85, 85), (30, 15, 15), (220, 205, 190)
FACING = topology.LIPS.upper, topology.LIPS.lower
LIPS = np.unique(np.r_[topology.LIPS_OUTER, topology.LIPS_INNER])


def rounded_face(width: float = 0.5) -> Face:
    """Return a face whose mouth is open, and drawn together to a part of its width."""
    target = faces.make_target(faces.make_source(), mouth=0.6)
    mesh = (2 * target.points).astype(np.float32)
    middle = mesh[LIPS, 0].mean()
    mesh[LIPS, 0] = middle + width * (mesh[LIPS, 0] - middle)
    box = np.r_[mesh[:, :2].min(0), mesh[:, :2].max(0)].astype(np.float32)
    return Face(box, 1.0, mesh=mesh)


def picture(face: Face, hole: tuple[float, float], colour: tuple[int, int, int] = DARK) -> Image:
    """Return a frame of a face whose lips leave a hole, of a part of the inner ring's size."""
    assert face.mesh is not None
    image = np.full((512, 512, 3), SKIN, np.uint8)
    for ring, scale, paint in (
        (topology.LIPS_OUTER, (1.0, 1.0), LIP),
        (topology.LIPS_INNER, hole, colour),
    ):
        points = face.mesh[ring, :2].astype(np.float64)
        centre = points.mean(0)
        points = centre + np.array(scale) * (points - centre)
        cv2.fillPoly(image, [np.rint(16 * points).astype(np.int32)], paint, cv2.LINE_AA, 4)
    return image


def gaps(face: Face) -> Array:
    assert face.mesh is not None
    upper, lower = (face.mesh[row, :2].astype(np.float64) for row in FACING)
    return np.asarray(np.linalg.norm(lower - upper, axis=-1))


@pytest.mark.parametrize("colour", [DARK, TEETH])
@pytest.mark.parametrize("bits", [8, 16])
def test_rounded_lips_are_those_of_the_hole(colour: tuple[int, int, int], bits: int) -> None:
    face = rounded_face()
    image = picture(face, (0.5, 0.6), colour)
    pixels = image if bits == 8 else image.astype(np.uint16) * 257
    fitted = fit_lip_hole(pixels, face)
    share = gaps(fitted) / gaps(face)
    assert share[4] == pytest.approx(0.65, abs=0.1)
    assert share[[0, 1, -2, -1]].max() < 0.15
    assert fitted.mesh is not None and face.mesh is not None
    rows = np.concatenate(FACING)
    np.testing.assert_array_equal(np.delete(fitted.mesh, rows, 0), np.delete(face.mesh, rows, 0))


@pytest.mark.parametrize("tall", [0.3, 0.45, 0.6, 0.75])
def test_the_gap_follows_the_hole(tall: float) -> None:
    face = rounded_face()
    share = gaps(fit_lip_hole(picture(face, (0.5, tall)), face)) / gaps(face)
    assert share[4] == pytest.approx(tall + 0.05, abs=0.1)


@pytest.mark.parametrize(
    ("width", "hole", "colour", "grey"),
    [
        (0.5, (1.0, 1.0), DARK, False),  # the ring is the hole
        (0.5, (0.5, 0.6), (170, 80, 80), False),  # a tongue
        (0.5, (0.5, 0.6), DARK, True),  # no red tells lips
        (1.3, (0.5, 0.6), DARK, False),  # lips that talk or laugh
    ],
)
def test_other_mouths_stay_as_they_are(
    width: float, hole: tuple[float, float], colour: tuple[int, int, int], grey: bool
) -> None:
    face = rounded_face(width)
    image = picture(face, hole, colour)
    if grey:
        image[:] = image.mean(-1, keepdims=True)
    assert fit_lip_hole(image, face) is face


def test_a_face_without_a_mesh_or_with_shut_lips_stays_as_it_is() -> None:
    bare = replace(rounded_face(), mesh=None)
    image = np.zeros((512, 512, 3), np.uint8)
    assert fit_lip_hole(image, bare) is bare
    mesh = 2 * faces.make_target(faces.make_source(), mouth=0.0).points
    shut = replace(rounded_face(), mesh=mesh.astype(np.float32))
    assert fit_lip_hole(picture(shut, (1.0, 1.0)), shut) is shut
