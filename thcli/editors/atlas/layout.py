"""The atlas: a picture of a face unrolled from its mesh, the same place in it for the same place of every face.

The 468 points are laid out as the neutral mesh looks when it is unrolled from an upright cylinder; two rings around the outline add what
lies just beside the face (the rim of the hair, the throat). A mesh in a picture is brought to the atlas, or the atlas to it, by the
triangles that both have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy, raster
from thcli.engines.mesh.surroundings import pushed_oval
from thcli.faces.landmarks.topology import FRONT_SIGNS, OVAL, POINTS
from thcli.faces.landmarks.topology import TRIANGLES as FACE
from thcli.motion.canonical import decompose, neutral

Indices = npt.NDArray[np.int32]

DENSITY = 64  # samples of the atlas to a canonical unit, the distance of the outer eye corners
COLUMNS, ROWS = 192, 176
LEFT, TOP = -1.5, -1.0  # canonical units
AXIS = 1.5  # of the cylinder: so far behind the points that do not move
RINGS = (0.14, 0.36)  # canonical units outside of the outline
FALLS = 0.8  # how steeply the head falls back behind the outline
_CENTRE = np.array([0.0, 0.27])  # of the outline, canonical units
SIDE_ON, FACING = (
    0.02,
    0.22,
)  # cosine to the camera: texture shows from the first on, in full from the second

COUNT = POINTS + 3 * len(OVAL)
"""Points of an extended mesh: the mesh, its outline pushed out of what hides it, the two rings."""
_PUSHED, _FIRST, _SECOND = (
    np.arange(len(OVAL), dtype=np.int32) + POINTS + i * len(OVAL) for i in range(3)
)


FADES: Array = np.repeat([1.0, 1.0, 0.7, 0.0], [POINTS, len(OVAL), len(OVAL), len(OVAL)])
"""(COUNT,) how much of a texture is shown at each point: it ends with the outer ring."""


def _strip(inner: Indices, outer: Indices) -> Indices:
    nextin, nextout = np.roll(inner, -1), np.roll(outer, -1)
    return np.concatenate(
        [np.stack([inner, outer, nextin], 1), np.stack([nextin, outer, nextout], 1)]
    )


TRIANGLES: Indices = np.concatenate(
    [_strip(_FIRST, _SECOND), _strip(_PUSHED, _FIRST), anatomy.TRIANGLES]
).astype(np.int32)
"""Of the extended mesh, (K, 3): outer ring, inner ring, eyes, mouth, face."""
_BESIDE = 4 * len(OVAL)  # triangles of the rings


def _outward() -> Array:
    """(36, 2) unit vectors from the centre of the outline through each of its points."""
    away = neutral()[OVAL, :2] - _CENTRE
    return np.asarray(away / np.linalg.norm(away, axis=1, keepdims=True))


def extended(mesh: Array) -> Array:
    """(COUNT, 3) pixels: a (468, 3) mesh with what lies around it."""
    posed = decompose(mesh)
    turn = np.exp(posed.log_scale) * posed.rotation
    outline = mesh[OVAL].astype(np.float64)
    outline[:, :2] = pushed_oval(np.asarray(mesh, np.float64))
    rings = []
    for far in RINGS:
        step = np.concatenate([_outward() * far, np.full((len(OVAL), 1), FALLS * far)], 1)
        rings.append(outline + step @ turn.T)
    return np.concatenate([mesh, outline, *rings])


def facing(mesh: Array) -> Array:
    """(COUNT,) how much of the texture shows at each point, 0..1: nothing of what is turned away."""
    a, b, c = (np.asarray(mesh, np.float64)[FACE[:, i]] for i in range(3))
    cross = np.cross(b - a, c - a)
    normals = np.zeros((POINTS, 3))
    for corner in range(3):
        for axis in range(3):
            normals[:, axis] += np.bincount(
                FACE[:, corner], cross[:, axis] * np.abs(FRONT_SIGNS), POINTS
            )
    cosine = -normals[:, 2] / np.maximum(np.linalg.norm(normals, axis=1), 1e-9)
    shows = smoothstep(SIDE_ON, FACING, cosine)
    return np.concatenate([shows, np.tile(shows[OVAL], 3)])


def unrolled(shape: Array) -> Array:
    """Canonical points (..., 3) in the atlas, (..., 2) samples, whole numbers at their centres."""
    angle = np.arctan2(shape[..., 0], AXIS - shape[..., 2])
    plane = np.stack([angle * AXIS - LEFT, shape[..., 1] - TOP], -1)
    return np.asarray(plane * DENSITY - 0.5)


@dataclass(frozen=True, slots=True)
class Layout:
    """points: (COUNT, 2) where each point of an extended mesh lies, samples.

    rows, columns: (N,) the samples that lie in a triangle.  corners, shares: (N, 3), its corners and how near each is (sum 1).
    triangle: (N,).
    """

    points: Array
    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    triangle: npt.NDArray[np.intp]
    corners: Indices
    shares: Array32


@cache
def layout() -> Layout:
    """The atlas itself, from the neutral mesh."""
    flat = unrolled(neutral())
    outline = flat[OVAL]
    rings = [outline + _outward() * far * DENSITY for far in RINGS]
    points = np.concatenate([flat, outline, *rings])
    grid = raster.Grid(0, 0, 1, COLUMNS, ROWS)
    ids = raster.paint(points, TRIANGLES, np.arange(len(TRIANGLES)), grid)
    rows, columns = np.nonzero(ids >= 0)
    triangle = ids[rows, columns].astype(np.intp)
    a, b, c = (points[TRIANGLES[triangle, i]] for i in range(3))
    p = np.stack([columns, rows], 1)
    e, f, g = b - a, c - a, p - a
    det = e[:, 0] * f[:, 1] - e[:, 1] * f[:, 0]
    second = (g[:, 0] * f[:, 1] - g[:, 1] * f[:, 0]) / det
    third = (e[:, 0] * g[:, 1] - e[:, 1] * g[:, 0]) / det
    shares = np.clip(np.stack([1 - second - third, second, third], 1), 0, 1).astype(
        np.float32
    )  # on the edge of a sliver
    shares /= shares.sum(1, keepdims=True)
    return Layout(points, rows, columns, triangle, TRIANGLES[triangle], shares)


def spread(values: Array) -> Array32:
    """Values of the extended mesh's points (COUNT, C) over the atlas, (ROWS, COLUMNS, C) float32; 0 outside of all triangles."""
    place = layout()
    out = np.zeros((ROWS, COLUMNS, values.shape[1]), np.float32)
    out[place.rows, place.columns] = np.einsum(
        "nk,nkc->nc", place.shares, values.astype(np.float32)[place.corners]
    )
    return out


def order(points: Array) -> npt.NDArray[np.intp]:
    """Which triangle of an extended mesh is painted after which: the rings, the holes, then the face from far to near."""
    signs = np.concatenate([np.zeros(_BESIDE), anatomy.SIGNS])
    away = anatomy.doubled_areas(points, TRIANGLES) * signs < 0
    depth = points[TRIANGLES, 2].mean(1) + np.where(away, 1e4, 0) * anatomy.height(points)
    depth[:_BESIDE] = np.inf
    depth[_BESIDE : _BESIDE + anatomy.HOLES] = 1e9 * anatomy.height(points)
    return np.argsort(-depth, kind="stable")
