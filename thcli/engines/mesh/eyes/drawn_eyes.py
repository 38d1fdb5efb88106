"""Outlines of eyes that are drawn much larger than a person's, as in animated films.

Landmarks lie on the iris of such an eye, so that lids would meet in its middle. `refine` finds the
ellipse around the white of both eyes and moves the landmarks onto it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Face, Image
from thcli.engines.mesh import anatomy, opening
from thcli.engines.mesh.anatomy import EYES, Indices
from thcli.engines.mesh.eyes.eye_outline import EyeView, fit_ellipses
from thcli.engines.mesh.opening import Opening
from thcli.faces.landmarks.topology import LIPS_OUTER, OVAL
from thcli.motion import canonical

# A drawn face: distance of its eyes in face heights, gap / width of their landmarks, least cosine
# of its turn. Of 2,550 faces eleven have all, persons hardly.
LEAST_DISTANCE, LEAST_GAP, LEAST_COSINE = 0.42, 0.35, 0.94
LEAST_WIDTH = 10.0  # pixels of an eye in which an outline is looked for
# The outline of both eyes: least contrast of each, and the mean of both; least means of its area
# over that between the landmarks, of the white between the two, and of its reach below, in widths
LEAST_CONTRAST, LEAST_AREA, LEAST_WHITE, LEAST_BELOW = (0.25, 0.4), 1.35, 0.15, 0.06

REACH = 3.0  # over which a point's shift fades around an eye, in shifts
# Angles of an ellipse at a ring's points: from its left end along the lower lid, then back above
AROUND = np.pi * (1 - np.arange(16) / 8)
BESIDE = 0.4  # radians between the directions of a point that stays and one in front of it


def refine(image: Image, face: Face) -> Face:
    """Move the landmarks of eyes that are drawn large onto the outline of their white.

    Args:
        image: (H, W, 3) uint8.
        face: with its mesh in pixels of the image.

    Returns:
        The face itself where its eyes are a person's, or no such outline is clear in both.
    """
    if face.mesh is None:
        return face
    mesh = np.asarray(face.mesh, np.float64)
    if not _looks_drawn(mesh):
        return face
    views = [EyeView.of(image, mesh, ring) for ring in EYES]
    found = list(zip(views, fit_ellipses(views), strict=True))
    if not _are_large(found):
        return face
    moved, irises = mesh.copy(), []
    for ring, (view, ellipse) in zip(EYES, found, strict=True):
        fixed = np.concatenate([OVAL, LIPS_OUTER, *(other for other in EYES if other is not ring)])
        rim = view.rim(ellipse, AROUND)
        moved[:, :2] += _shifts(mesh, ring, view.opening, rim, fixed)
        u, v, radius = view.find_iris(ellipse)
        circle = radius * np.array([[0, 0], [1, 0], [0, -1], [-1, 0], [0, 1]]) + (u, v)
        irises.append((view.opening.corner + circle @ view.opening.axes).astype(np.float32))
    return replace(face, mesh=moved.astype(np.float32), iris=np.stack(irises))


def _looks_drawn(mesh: Array) -> bool:
    """Return whether the eyes of a mesh (468, 3) are as far apart and wide open as drawn ones."""
    eyes = [opening.fit_opening(mesh, ring) for ring in EYES]
    left, right = (mesh[ring, :2].mean(0) for ring in EYES)
    distance = float(np.linalg.norm(left - right)) / anatomy.face_height(mesh)
    return (
        distance > LEAST_DISTANCE
        and min(eye.gap for eye in eyes) > LEAST_GAP
        and min(eye.width for eye in eyes) > LEAST_WIDTH
        and float(canonical.decompose(mesh).rotation[2, 2]) > LEAST_COSINE
    )


def _are_large(found: list[tuple[EyeView, Array]]) -> bool:
    """Return whether ellipses go clearly round both eyes, whose landmarks lie well within."""
    contrasts, areas, whites, below = np.transpose(
        [
            (
                view.contrast(ellipse[None])[0],
                view.area_ratio(ellipse),
                view.white_share(ellipse),
                view.reaches_below(ellipse),
            )
            for view, ellipse in found
        ]
    )
    return bool(
        contrasts.min() > LEAST_CONTRAST[0]
        and contrasts.mean() > LEAST_CONTRAST[1]
        and areas.mean() > LEAST_AREA
        and whites.mean() > LEAST_WHITE
        and below.mean() > LEAST_BELOW
    )


def _shifts(
    mesh: Array, ring: npt.NDArray[np.int32], eye: Opening, rim: Array, fixed: Indices
) -> Array:
    """Return the way (468, 2) in pixels of points around an eye as its ring moves onto its rim.

    Args:
        mesh: (468, 3) pixels.
        ring, eye: landmarks of the eye, and their opening.
        rim: (16, 2) places of the landmarks in its coordinates.
        fixed: points that stay.
    """
    points = eye.to_local(mesh[:, :2])
    ways = rim - points[ring]
    # of every point: the landmark in its direction from the middle, and how far it lies beyond that
    middle = points[ring].mean(0)
    offsets = points - middle
    own = offsets[ring]
    order = np.argsort(np.arctan2(own[:, 1], own[:, 0]))
    angles = np.arctan2(own[order, 1], own[order, 0])
    at = np.arctan2(offsets[:, 1], offsets[:, 0])

    def around(values: Array) -> Array:
        return np.asarray(np.interp(at, angles, values[order], period=2 * np.pi))

    beyond = np.linalg.norm(offsets, axis=1) - around(np.linalg.norm(own, axis=1))
    way = np.stack([around(ways[:, 0]), around(ways[:, 1])], -1)
    reach = REACH * max(float(np.linalg.norm(ways, axis=1).max()), 1e-6)
    # it ends at points that stay
    turns = np.abs((at[:, None] - at[fixed] + np.pi) % (2 * np.pi) - np.pi)
    room = np.where(turns < BESIDE, np.maximum(beyond[fixed], 1e-6), reach).min(1)
    share = np.clip(1 - beyond / np.minimum(room, reach), 0, 1)
    share[fixed] = 0
    way *= share[:, None]
    way[ring] = ways
    return np.asarray(way @ eye.axes)
