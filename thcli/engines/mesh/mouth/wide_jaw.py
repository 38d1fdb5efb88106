"""Skin below the lips of a wide open mouth.

The lips of the mesh follow a mouth that opens wide, the skin of the chin does so by about half: its
landmarks lie on the lower lip, which a closing mouth would draw out over the chin.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Face
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.motion import canonical, closure

WIDE_RANGE = (0.25, 0.4)  # gap / width of a mouth between which it counts as wide open
LEAST_CHIN = 0.7  # height of the chin below the lip over that of the neutral mesh
LEAST_SHARE = 0.8  # of the way from lip to jaw at which skin lies, over the neutral mesh's
# Columns of point indices, from the lower lip's outer edge down to the edge of the jaw
_COLUMNS = np.array(
    [
        [146, 91, 181, 84, 17, 314, 405, 321, 375],
        [43, 106, 182, 83, 18, 313, 406, 335, 273],
        [202, 204, 194, 201, 200, 421, 418, 424, 422],
        [210, 211, 32, 208, 199, 428, 262, 431, 430],
        [169, 170, 140, 171, 175, 396, 369, 395, 394],
        [150, 149, 176, 148, 152, 377, 400, 378, 379],
    ],
    np.intp,
)


def refine(face: Face) -> Face:
    """Move the skin of a face's mesh as `lower_skin` does; the face itself where none moves."""
    if face.mesh is None:
        return face
    mesh = np.asarray(face.mesh, np.float64)
    moved = lower_skin(mesh)
    return face if moved is mesh else replace(face, mesh=moved.astype(np.float32))


def lower_skin(mesh: Array) -> Array:
    """Move chin and jaw of a wide open mouth down, and the skin between lip and jaw off the lip.

    Args:
        mesh: (468, 3) pixels.

    Returns:
        (468, 3); the mesh itself where its mouth is not wide open, or its skin lies below its lips.
    """
    wide = float(smoothstep(*WIDE_RANGE, opening.fit_opening(mesh, LIPS).gap))
    if wide <= 0:
        return mesh
    posed, neutral = canonical.decompose(mesh), canonical.neutral()
    shape = posed.shape.copy()
    missing = LEAST_CHIN * closure.chin_height(neutral) - closure.chin_height(shape)
    shape[:, 1] += wide * max(float(missing), 0.0) * closure.chin_shares()
    lip, edge = _COLUMNS[0], _COLUMNS[-1]
    for skin in _COLUMNS[1:-1]:
        own, usual = (_shares(points, skin, lip, edge) for points in (shape, neutral))
        lacking = wide * np.maximum(LEAST_SHARE * usual - own, 0)
        shape[skin] += lacking[:, None] * (shape[edge] - shape[lip])
    if np.array_equal(shape, posed.shape):
        return mesh
    moved = (shape - posed.shape) @ posed.rotation.T * np.exp(posed.log_scale)
    return np.asarray(mesh + moved)


def _shares(points: Array, skin: Array, lip: Array, edge: Array) -> Array:
    """Return the shares of the way from lip to jaw at which skin lies, (9,)."""
    whole = points[edge] - points[lip]
    part = points[skin] - points[lip]
    return np.asarray((part * whole)[:, :2].sum(-1) / np.maximum((whole**2)[:, :2].sum(-1), 1e-6))
