"""Layout of the atlas: the unrolled face, in which a position has the same meaning for every face.

The 468 points lie as the neutral mesh unrolled from an upright cylinder. Two rings around the
outline add the surroundings of the face (hairline, throat). Shared triangles map a mesh in an image
to the atlas, and back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy, raster
from thcli.engines.mesh.head.outline import find_outline
from thcli.faces.landmarks.topology import FRONT_SIGNS, OVAL, POINTS
from thcli.faces.landmarks.topology import TRIANGLES as FACE
from thcli.motion.canonical import decompose, neutral

Indices = npt.NDArray[np.int32]

DENSITY = 64  # samples of the atlas to a canonical unit, the distance of the outer eye corners
COLUMNS, ROWS = 192, 176
LEFT, TOP = -1.5, -1.0  # canonical units
AXIS = 1.5  # distance of the cylinder's axis behind the rigid points
RINGS = (0.14, 0.36)  # canonical units outside of the outline
SLOPE = 0.8  # of the head behind the outline: depth per distance
_CENTRE = np.array([0.0, 0.27])  # of the outline, canonical units
# Cosine of the normal to the camera: texture is visible from the first on, fully from the second.
SIDE_ON, FACING = 0.02, 0.22

COUNT = POINTS + 3 * len(OVAL)
"""Points of an extended mesh: the mesh, its outline pushed to the hull, the two rings."""
_PUSHED, _FIRST, _SECOND = (
    np.arange(len(OVAL), dtype=np.int32) + POINTS + i * len(OVAL) for i in range(3)
)


FADES: Array = np.repeat([1.0, 1.0, 0.7, 0.0], [POINTS, len(OVAL), len(OVAL), len(OVAL)])
"""(COUNT,) visibility of a texture at each point; it fades to 0 at the outer ring."""


def _strip(inner: Indices, outer: Indices) -> Indices:
    nextin, nextout = np.roll(inner, -1), np.roll(outer, -1)
    return np.concatenate(
        [np.stack([inner, outer, nextin], 1), np.stack([nextin, outer, nextout], 1)]
    )


TRIANGLES: Indices = np.concatenate(
    [_strip(_FIRST, _SECOND), _strip(_PUSHED, _FIRST), anatomy.TRIANGLES]
).astype(np.int32)
"""Triangles of the extended mesh, (K, 3): outer ring, inner ring, eyes, mouth, face."""
_RING_TRIANGLES = 4 * len(OVAL)


def _outward() -> Array:
    """Return (36, 2) unit vectors from the outline's centre through each of its points."""
    away = neutral()[OVAL, :2] - _CENTRE
    return np.asarray(away / np.linalg.norm(away, axis=1, keepdims=True))


def extend_mesh(mesh: Array) -> Array:
    """Return (COUNT, 3): a (468, 3) mesh, its outline and the two rings, in pixels."""
    posed = decompose(mesh)
    turn = np.exp(posed.log_scale) * posed.rotation
    outline = mesh[OVAL].astype(np.float64)
    outline[:, :2] = find_outline(np.asarray(mesh, np.float64)).points
    rings = []
    for far in RINGS:
        step = np.concatenate([_outward() * far, np.full((len(OVAL), 1), SLOPE * far)], 1)
        rings.append(outline + step @ turn.T)
    return np.concatenate([mesh, outline, *rings])


def facing_cosines(mesh: Array) -> Array:
    """Return (COUNT,) cosines of normals to the camera; around the face those of its outline."""
    a, b, c = (np.asarray(mesh, np.float64)[FACE[:, i]] for i in range(3))
    cross = np.cross(b - a, c - a)
    normals = np.zeros((POINTS, 3))
    for corner in range(3):
        for axis in range(3):
            normals[:, axis] += np.bincount(
                FACE[:, corner], cross[:, axis] * np.abs(FRONT_SIGNS), POINTS
            )
    cosine = -normals[:, 2] / np.maximum(np.linalg.norm(normals, axis=1), 1e-9)
    return np.concatenate([cosine, np.tile(cosine[OVAL], 3)])


def facing_weights(mesh: Array) -> Array:
    """Return (COUNT,) 0..1, how far each point faces the camera; 0 for points turned away."""
    return np.asarray(smoothstep(SIDE_ON, FACING, facing_cosines(mesh)))


def unroll_points(shape: Array) -> Array:
    """Map canonical points (..., 3) to atlas samples (..., 2); whole numbers are sample centres."""
    angle = np.arctan2(shape[..., 0], AXIS - shape[..., 2])
    plane = np.stack([angle * AXIS - LEFT, shape[..., 1] - TOP], -1)
    return np.asarray(plane * DENSITY - 0.5)


@dataclass(frozen=True, slots=True)
class AtlasLayout:
    """Points and rasterised triangles of the atlas.

    points: (COUNT, 2) positions of the extended mesh, in samples.
    rows, columns: (N,) samples within a triangle.
    triangle: (N,) its index.
    corners, barycentric: (N, 3) its corner points and their weights, which sum to 1.
    """

    points: Array
    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    triangle: npt.NDArray[np.intp]
    corners: Indices
    barycentric: Array32


@cache
def build_layout(fine: float = 1.0) -> AtlasLayout:
    """Rasterise the neutral mesh.

    Args:
        fine: samples per sample of the atlas, in each direction.
    """
    flat = unroll_points(neutral())
    outline = flat[OVAL]
    rings = [outline + _outward() * far * DENSITY for far in RINGS]
    points = (np.concatenate([flat, outline, *rings]) + 0.5) * fine - 0.5
    grid = raster.SampleGrid(0, 0, 1, round(COLUMNS * fine), round(ROWS * fine))
    ids = raster.rasterize(points, TRIANGLES, np.arange(len(TRIANGLES)), grid)
    rows, columns = np.nonzero(ids >= 0)
    triangle = ids[rows, columns].astype(np.intp)
    a, b, c = (points[TRIANGLES[triangle, i]] for i in range(3))
    p = np.stack([columns, rows], 1)
    e, f, g = b - a, c - a, p - a
    det = e[:, 0] * f[:, 1] - e[:, 1] * f[:, 0]
    second = (g[:, 0] * f[:, 1] - g[:, 1] * f[:, 0]) / det
    third = (e[:, 0] * g[:, 1] - e[:, 1] * g[:, 0]) / det
    # On the edge of a sliver a weight may be slightly negative.
    barycentric = np.clip(np.stack([1 - second - third, second, third], 1), 0, 1).astype(np.float32)
    barycentric /= barycentric.sum(1, keepdims=True)
    return AtlasLayout(points, rows, columns, triangle, TRIANGLES[triangle], barycentric)


def rasterize(values: Array, fine: float = 1.0) -> Array32:
    """Interpolate point values (COUNT, C) over the atlas: (ROWS, COLUMNS, C) float32, 0 outside.

    With `fine` the atlas has that many times the rows and columns.
    """
    atlas = build_layout(fine)
    size = round(ROWS * fine), round(COLUMNS * fine)
    out = np.zeros((*size, values.shape[1]), np.float32)
    corner_values = values.astype(np.float32)[atlas.corners]
    out[atlas.rows, atlas.columns] = np.einsum("nk,nkc->nc", atlas.barycentric, corner_values)
    return out


def painter_order(points: Array) -> npt.NDArray[np.intp]:
    """Return the order in which triangles of an extended mesh are painted.

    Rings come first, then holes, then the face from far to near.
    """
    signs = np.concatenate([np.zeros(_RING_TRIANGLES), anatomy.FRONTAL_SIGNS])
    away = anatomy.doubled_areas(points, TRIANGLES) * signs < 0
    depth = points[TRIANGLES, 2].mean(1) + np.where(away, 1e4, 0) * anatomy.face_height(points)
    holes = slice(_RING_TRIANGLES, _RING_TRIANGLES + anatomy.HOLE_TRIANGLE_COUNT)
    depth[:_RING_TRIANGLES] = np.inf
    depth[holes] = 1e9 * anatomy.face_height(points)
    return np.argsort(-depth, kind="stable")
