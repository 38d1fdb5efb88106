"""Eyes that are drawn larger than a person's, whose landmarks lie on the iris."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Image
from thcli.engines.mesh import anatomy, opening
from thcli.engines.mesh.eyes import drawn_eyes
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.prepared_source import prepare
from thcli.faces.landmarks import topology

SIZE = 512
WHITE, IRIS = (245, 240, 235), (150, 90, 30)


def drawn_face(axes: tuple[float, float], tilt: float) -> tuple[Image, Array, list[Array]]:
    """Return a drawn face, its landmarks and the outlines (64, 2) of its eyes, dark rims included.

    axes: half axes of the white over the distance of the landmarks' corners.
    """
    mesh = faces.centred_mesh(SIZE, SIZE)
    middle = mesh[:, 0].mean()
    mesh[:, 0] = middle + 1.3 * (mesh[:, 0] - middle)
    image = np.full((SIZE, SIZE, 3), faces.SKIN, np.uint8)
    outlines = []
    for side, ring in enumerate(anatomy.EYES):
        centre = mesh[ring, :2].mean(0)
        mesh[ring, 1] = centre[1] + 2.4 * (mesh[ring, 1] - centre[1])
        width = opening.fit_opening(mesh, ring).width
        outward = (-1, 1)[side]
        place = centre + width * np.array([0.2 * outward, -0.05])
        angle = np.degrees(tilt) * outward
        for length, colour in ((1.0, WHITE), (1.06, (30, 20, 15))):
            size = [float(2 * length * axis * width) for axis in axes]
            thickness = -1 if colour == WHITE else max(round(0.05 * width), 1)
            cv2.ellipse(image, (place.tolist(), size, angle), colour, thickness, cv2.LINE_AA)
        for radius, colour in ((0.4, IRIS), (0.2, (15, 10, 10))):
            at, length = np.round(centre).astype(int).tolist(), round(radius * width)
            cv2.circle(image, at, length, colour, -1, cv2.LINE_AA)
        turns = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        outer = 1.06 * np.array(axes) + 0.025  # of the rim, as lashes are
        x, y = outer[:, None] * width * np.stack([np.cos(turns), np.sin(turns)])
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        outlines.append(place + np.stack([c * x - s * y, s * x + c * y], -1))
    return image, mesh, outlines


@pytest.mark.parametrize(
    ("axes", "tilt"), [((0.7, 0.5), 0.0), ((0.75, 0.8), 0.0), ((0.8, 0.6), 0.2)]
)
def test_landmarks_move_onto_the_outline_of_drawn_eyes(
    axes: tuple[float, float], tilt: float
) -> None:
    image, mesh, outlines = drawn_face(axes, tilt)
    face = faces.make_face(mesh, faces.iris_points(mesh))
    refined = drawn_eyes.refine(image, face)
    assert refined.mesh is not None and refined.iris is not None
    for side, (ring, outline) in enumerate(zip(anatomy.EYES, outlines, strict=True)):
        width = opening.fit_opening(mesh, ring).width
        away = np.linalg.norm(refined.mesh[ring, None, :2] - outline, axis=-1).min(1)
        assert away.max() < 0.1 * width and away.mean() < 0.05 * width
        centre, *rim = refined.iris[side]
        assert np.linalg.norm(centre - mesh[ring, :2].mean(0)) < 0.08 * width
        radii = np.linalg.norm(np.array(rim) - centre, axis=1)
        assert np.allclose(radii, 0.4 * width, atol=0.08 * width)
    stays = np.concatenate([topology.OVAL, topology.LIPS_OUTER])
    assert np.allclose(refined.mesh[stays], mesh[stays], atol=1e-3)
    turned = [
        int((anatomy.doubled_areas(points) * anatomy.FRONTAL_SIGNS < 0).sum())
        for points in (mesh, refined.mesh.astype(float))
    ]
    assert turned[1] < turned[0] + 10  # of 900 triangles


def test_drawn_eyes_close_whole() -> None:
    """Lids met on the iris: its white stayed above and below them."""
    image, mesh, outlines = drawn_face((0.75, 0.7), 0.0)
    source = prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), None)
    assert source.has_drawn_eyes and not any(eye.sees_iris for eye in source.eyes)
    points = source.mesh.copy()
    for lid in topology.LIDS:
        points[lid.upper] = points[lid.lower] - (0, 0.3, 0)
    out = render_frame(source, replace(faces.rest_target(source), points=points), None)

    def white(picture: Image) -> int:
        inside = np.any(
            [faces.polygon_mask(outline, SIZE, SIZE, grow=0) for outline in outlines], 0
        )
        return int((picture[inside].min(-1) > 200).sum())

    assert white(image) > 1000
    assert white(out) < 0.02 * white(image)


def test_a_persons_eyes_keep_their_landmarks() -> None:
    image, mesh, _ = drawn_face((0.75, 0.7), 0.0)
    skin = np.full_like(image, faces.SKIN)
    person = faces.centred_mesh(SIZE, SIZE)
    cases = [
        (faces.render_face(person, SIZE, SIZE), person),
        (image, person),  # a person's proportions, whatever the picture shows
        (skin, mesh),  # no outline is seen
        (faces.render_face(mesh, SIZE, SIZE), mesh),  # landmarks that lie on the lids
    ]
    for picture, landmarks in cases:
        face = faces.make_face(landmarks, faces.iris_points(landmarks))
        assert drawn_eyes.refine(picture, face) is face
    without = replace(faces.make_face(mesh, None), mesh=None)
    assert drawn_eyes.refine(image, without) is without
