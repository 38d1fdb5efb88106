"""Texture positions of the mesh's border where a turn brings it into view.

The source shows the skin beside the ears from the side, a few pixels wide, and the mesh's border
is no more exact than that: hair, ear and background lie on it. Where such skin turns towards the
camera it is stretched several times. It then takes its texture from further inside.
"""

from __future__ import annotations

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.head.outline import fit_rigid_head
from thcli.faces.landmarks.topology import FRONT_SIGNS, OVAL, POINTS, TRIANGLES
from thcli.motion.canonical import neutral

PULL = 0.055  # face heights by which the outermost texture moves inwards
TEMPLE_SHARE = 0.15  # of it above the eyes, where brows and glasses reach the border
BORDER_WIDTH = 0.15  # face heights from the oval to skin that stays
STEEP_COSINE = (0.25, 0.6)  # of surface and view in the source: steep, flat
TURN = (0.16, 0.38)  # growth of that cosine: none, full

_CORNERS = TRIANGLES.T.ravel()
COUNT = np.maximum(np.bincount(_CORNERS, minlength=POINTS), 1)


def sum_at_points(values: Array) -> Array:
    """Sum values (852,) of triangles at their corners: (468,)."""
    return np.asarray(np.bincount(_CORNERS, np.tile(values, 3), POINTS), np.float64)


def normals(mesh: Array) -> Array:
    """Compute the (468, 3) unit normals of a mesh.

    z is the cosine to the view: 1 towards the camera, negative away from it.
    """
    a, b, c = (mesh[TRIANGLES[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a) * FRONT_SIGNS[:, None]
    total = np.stack([sum_at_points(normal[:, k]) for k in range(3)], 1)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9))


def turned_cosines(normal: Array, mesh: Array, target: Array) -> Array:
    """Compute the cosines (468,) of a source's normals to the view of a target.

    The head turns, not the face: a smile hides no cheek.
    """
    view = fit_rigid_head(mesh, target)[0][:, 2]
    return np.asarray(normal @ (view / max(float(np.linalg.norm(view)), 1e-9)))


def texture_positions(normal: Array, mesh: Array, target: Array) -> Array:
    """Return the source pixels (468, 2) that the points of a target mesh show.

    Args:
        normal: (468, 3) `normals` of the source.
        mesh, target: (468, 3) source and target meshes.
    """
    growth = smoothstep(*TURN, turned_cosines(normal, mesh, target) - normal[:, 2])
    return pulled_positions(normal, mesh, growth)


def pulled_positions(normal: Array, mesh: Array, growth: Array | float) -> Array:
    """Return the source pixels (468, 2) of points that turned into view by a growth, 0..1."""
    pull = PULL * anatomy.face_height(mesh) * growth * BORDER
    pull = pull * (1 - smoothstep(*STEEP_COSINE, normal[:, 2]))
    sideways = normal[:, :2]  # of the inner side: towards the middle of the face
    length = np.maximum(np.linalg.norm(sideways, axis=1, keepdims=True), 1e-9)
    return np.asarray(mesh[:, :2] + pull[:, None] * sideways / length)


def _border_weights() -> Array:
    """Return weights (468,): 1 on the cheeks' border, falling to 0 at BORDER_WIDTH inside."""
    flat = neutral()[:, :2]
    border = 1 - smoothstep(0, BORDER_WIDTH, anatomy.neutral_distances(OVAL))
    eyes = flat[anatomy.LEFT_EYE, 1].mean()
    cheek = smoothstep(-0.05, 0.15, (flat[:, 1] - eyes) / anatomy.face_height(flat))
    return np.asarray(border * (TEMPLE_SHARE + (1 - TEMPLE_SHARE) * cheek))


BORDER = _border_weights()
