"""Folds that a source's own smile draws."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.geometry import matrix_from_angles
from thcli.core.types import Array, Image
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.shades import folds, own_folds
from thcli.engines.mesh.head.shades.own_folds import OwnFolds
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.faces.landmarks.topology import LIPS_OUTER
from thcli.motion import canonical
from thcli.motion.render_target import RenderTarget

SIDE = 384


def smiling(amount: float) -> Array:
    """Return the mesh of a face with so many mean smiles."""
    posed = canonical.decompose(faces.centred_mesh(SIDE, SIDE, 0.7))
    shape = posed.shape + amount * folds.load().smile
    return np.asarray(replace(posed, shape=shape).mesh())


def lines_of(mesh: Array) -> list[Array]:
    return [mesh[np.array(fold)[:, 0], :2] for fold in own_folds.FOLDS]


def portrait(mesh: Array, *, dark: float = 0.7, beard: float = 1.0) -> Image:
    """Return a face of relief whose folds are dark lines, and whose chin is so dark."""
    image = faces.add_relief(np.full((SIDE, SIDE, 3), faces.SKIN, np.uint8)).astype(np.float32)
    lines, chin = np.zeros((2, SIDE, SIDE), np.float32)
    for line in lines_of(mesh):
        cv2.polylines(lines, [np.rint(line[:5]).astype(np.int32)], False, 1.0, 5)
    image *= (1 - (1 - dark) * cv2.GaussianBlur(lines, (0, 0), 1.5))[..., None]
    low, high = mesh[[0, 152], 1].astype(int)
    chin[low:high] = 1
    lips = mesh[LIPS_OUTER, :2]
    cv2.fillPoly(chin, [np.rint(lips).astype(np.int32)], 0.0)
    return np.asarray(np.rint(image * (1 - (1 - beard) * chin)[..., None]), np.uint8)


def source(amount: float, image: Image) -> MeshSource:
    return prepare(image, faces.make_face(smiling(amount)), None, with_folds=True)


def depth(image: Image, mesh: Array) -> float:
    """Return by how much the log brightness along the folds is below that on both sides."""
    logs = np.log(cv2.GaussianBlur(image, (0, 0), 1.0).mean(-1))
    found = []
    for line in lines_of(mesh):
        middle = line[1:4]
        across = np.array([1.0, 0.0]) * 0.05 * np.ptp(mesh[:, 1])
        on, left, right = (
            [logs[y, x] for x, y in np.rint(middle + shift).astype(int)]
            for shift in (0 * across, -across, across)
        )
        found.append((np.mean(left) + np.mean(right)) / 2 - np.mean(on))
    return float(np.mean(found))


def at_rest(amount: float) -> RenderTarget:
    return RenderTarget(smiling(amount), np.zeros((2, 2)), np.ones(2))


def test_dark_lines_of_a_laugh_go_as_it_relaxes() -> None:
    own = source(2.0, portrait(smiling(2.0)))
    drawn = depth(own.image, own.mesh)
    assert own.folds is not None and own.folds.smiling is not None and drawn > 0.15
    left = [depth(render_frame(own, at_rest(a), None), smiling(a)) for a in (2.0, 1.0, 0.0)]
    assert left[0] > 0.9 * drawn
    assert left[0] > left[1] + 0.05 and left[1] > left[2] + 0.03
    assert abs(left[2]) < 0.35 * drawn


def test_skin_beside_the_folds_stays() -> None:
    own = source(2.0, portrait(smiling(2.0)))
    assert own.folds is not None
    target = at_rest(0.0)
    kept = replace(own, folds=replace(own.folds, smiling=None))
    change = np.abs(render_frame(own, target, None).astype(int) - render_frame(kept, target, None))
    mesh = target.points
    near = np.ones((SIDE, SIDE), np.uint8)
    for line in lines_of(mesh):
        cv2.polylines(near, [np.rint(line).astype(np.int32)], False, 0)
    away = cv2.distanceTransform(near, cv2.DIST_L2, 5) / np.ptp(mesh[:, 1])
    assert change[away < 0.02].mean() > 10
    assert not change[away > 0.25].any()


@pytest.mark.parametrize(
    ("amount", "beard"), [(0.0, 1.0), (0.7, 1.0), (2.0, 0.4)], ids=["rest", "faint", "beard"]
)
def test_faces_at_rest_and_beards_keep_their_lines(amount: float, beard: float) -> None:
    own = source(amount, portrait(smiling(amount), beard=beard))
    assert own.folds is not None and own.folds.smiling is None


def test_hair_along_the_folds_is_no_fold() -> None:
    smiling_mesh = smiling(2.0)
    even = source(2.0, portrait(smiling_mesh, dark=0.75)).folds
    hair = source(2.0, portrait(smiling_mesh, dark=0.05)).folds
    assert even is not None and hair is not None
    assert even.smiling is not None and hair.smiling is not None

    def evened(smiling: OwnFolds) -> Array:
        """Return how far the middle of both folds is brightened."""
        middle = [line[2] - smiling.corner for line in lines_of(smiling_mesh)]
        x, y = np.rint(middle).astype(int).T
        return np.asarray(smiling.even[y, x].mean(-1))

    assert (evened(even.smiling) > 0.08).all()
    assert (evened(hair.smiling) < evened(even.smiling)).all()


def test_clipped_highlights_keep_their_colour() -> None:
    """Evened skin is darkened before the smile shade brightens it, and keeps its hue."""
    mesh = smiling(2.0)
    image = portrait(mesh, dark=1.0)
    warm = np.array([255, 228, 205], np.uint8)
    for line in lines_of(mesh):
        cv2.polylines(image, [np.rint(line[:4]).astype(np.int32)], False, warm.tolist(), 15)
    out = render_frame(source(2.0, image), at_rest(0.0), None).astype(float)
    x, y = np.rint(smiling(0.0)[[206, 426], :2]).astype(int).T
    red, green, blue = out[y, x].T
    assert (red > green).all() and (green > blue).all()


def test_folds_of_a_far_cheek_are_not_told_from_what_lies_behind_it() -> None:
    """In a turned face the far fold runs along the outline, before a dark ground."""
    mesh = smiling(2.0)
    posed = canonical.decompose(mesh)
    rotation = matrix_from_angles([0, 45, 0]) @ posed.rotation
    turned = np.asarray(replace(posed, rotation=rotation).mesh())
    face = cv2.convexHull(np.rint(turned[:, :2]).astype(np.int32))
    image = portrait(turned)
    ground = np.ones((SIDE, SIDE), np.uint8)
    cv2.fillConvexPoly(ground, face, (0,))
    image[ground > 0] = 20
    prepared = folds.prepare(image, turned, None, 1.0)
    assert prepared.smiling is not None
    changes = []
    for fold in own_folds.FOLDS:
        points = np.array(fold)[1:4].ravel()
        x, y = np.rint(turned[points, :2] - prepared.smiling.corner).astype(int).T
        changes.append(float(np.abs(prepared.smiling.even[y, x]).mean()))
    assert min(changes) < 0.04 < 0.1 < max(changes)


@pytest.mark.parametrize("level", [0.1, 0.3])
def test_dark_hair_before_the_cheeks_is_no_skin_beside_the_folds(level: float) -> None:
    """Hair that the mesh covers at its sides darkened the cheeks of a smile that relaxed."""
    mesh = smiling(2.0)
    image = portrait(mesh, dark=1.0)
    haired = image.copy()
    middle, half = mesh[:, 0].mean(), np.ptp(mesh[:, 0]) / 2
    sides = np.abs(np.arange(SIDE) - middle) > 0.72 * half
    haired[:, sides] = np.rint(level * haired[:, sides]).astype(np.uint8)
    found = [folds.prepare(shown, mesh, None, 1.0).smiling for shown in (image, haired)]
    assert found[0] is not None and found[1] is not None
    x, y = np.rint(mesh[[206, 426, 216, 436], :2] - found[0].corner).astype(int).T
    bare, beside_hair = (smiling.even[y, x].mean(-1) for smiling in found if smiling is not None)
    assert np.abs(beside_hair - bare).max() < 0.06


def test_a_fold_that_ends_beside_the_corner_of_the_mouth_is_brightened_once() -> None:
    """Its dark end went with the corner's own shade, and the rest of it left a bright dash."""
    mesh, target = smiling(2.0), at_rest(0.0)
    image, spots = portrait(mesh, dark=1.0), np.zeros((SIDE, SIDE), np.float32)
    corners = mesh[[61, 291], :2]
    ends = corners + 0.1 * (corners - corners[::-1]) - (0, 10)
    for end in np.rint(ends).astype(int).tolist():
        cv2.ellipse(spots, end, (5, 10), 0, 0, 360, 1.0, -1)
    shade = 1 - 0.65 * cv2.GaussianBlur(spots, (0, 0), 1.5)[..., None]
    own = source(2.0, np.rint(image * shade).astype(np.uint8))
    twice = replace(own, folds=folds.prepare(own.image, own.mesh, None, 1.0))
    plain = render_frame(source(2.0, image), target, None).mean(-1)
    lighter = [(render_frame(made, target, None).mean(-1) - plain) for made in (own, twice)]
    for x, y in np.rint(target.points[[61, 291], :2]).astype(int):
        once, again = (part[y - 40 : y + 40, x - 40 : x + 40].max() for part in lighter)
        assert once < 10 < 30 < again
