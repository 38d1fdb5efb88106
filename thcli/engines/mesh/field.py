"""Where the picture outside of the mesh comes from: hair and ears follow the head in depth, the neck bends, shoulders stay.

The head moves as a rigid body whose surface falls back behind the outline of the face, so that a turning head shows the
right parallax between face, ears and hair. What follows it is decided in axes of the face (and, where the source's hair is
known, by the hair). At the outline of the face the field meets the mesh exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.geometry import fit_similarity
from thcli.core.types import Array, Array32
from thcli.engines.mesh.anatomy import CHIN, FOREHEAD, RIGID, RIGID_WEIGHTS, height
from thcli.engines.mesh.raster import Grid
from thcli.engines.mesh.sampling import look_up, polygon
from thcli.faces.topology import OVAL

REACH = 2.2  # face heights from the face's middle: nothing moves beyond
SLOPE, DEPTH = 1.2, 0.6  # how steeply and how far (face heights) the head falls back behind the outline
BLEND = 0.05  # face heights over which neighbouring outline points mix
FADE, STEEP = (
    0.1,
    1.3,
)  # an outline point's own motion fades over FADE face heights, more for more motion: nothing folds
HULL = 0.04  # face heights that an outline point may lie inside of the mesh's hull


@dataclass(frozen=True, slots=True)
class Follow:
    """How the surroundings follow, in face heights from the middle of the face (up is positive).

    radius: full and no following of what lies around the face.  below: the same beneath it.  side: how much sooner that
    happens away from the middle line.
    """

    radius: tuple[float, float]
    below: tuple[float, float]
    side: float


BODY = Follow((1.4, 2.1), (0.38, 1.09), 0.62)
HAIR = Follow((1.4, 2.1), (0.6, 1.5), 0.2)
NO_MATTE = (0.95, 2.0)  # radius when the background moves along with its person


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Of the source. oval: (36, 2) pushed outline.  matte: whether the person moves over a plate.

    hair: (h, w) float32 0..1 where hair hangs, sampled at hair_step source pixels a sample, or None when not known.
    """

    oval: Array
    matte: bool
    hair: Array32 | None = None
    hair_step: int = 1


def smoothstep(low: float, high: float, value: npt.ArrayLike) -> npt.NDArray[np.floating]:
    """0 below low, 1 above high, smooth between."""
    x = np.clip((np.asarray(value) - low) / (high - low), 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def pushed_oval(mesh: Array) -> Array:
    """The 36 oval points of a (468, 3) mesh, those hidden behind its own outline moved out to it: (36, 2) pixels.

    On a turned head the far side of the oval lies behind the cheek; taken as it is, the old outline shows beside the new one.
    """
    flat = mesh[:, :2]
    oval = flat[OVAL].copy()
    start = cv2.convexHull(flat.astype(np.float32))[:, 0].astype(np.float64)
    along = np.roll(start, -1, 0) - start
    normal = np.stack([along[:, 1], -along[:, 0]], 1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    centre = start.mean(0)
    if ((centre - start[0]) * normal[0]).sum() > 0:
        normal = -normal
    reach = ((start - centre) * normal).sum(-1)
    ray = oval - centre
    beyond = ray @ normal.T
    depth = (reach - beyond).min(1)
    share = np.where(beyond > 1e-6, reach / np.maximum(beyond, 1e-6), np.inf).min(1)
    hidden = (depth > HULL * height(mesh)) & np.isfinite(share)
    return np.where(hidden[:, None], centre + ray * share[:, None], oval)


def _weight(across: npt.NDArray[np.floating], up: npt.NDArray[np.floating], follow: Follow) -> Array32:
    around = 1 - smoothstep(*follow.radius, np.hypot(across, 0.9 * np.maximum(up, 0)))
    under = 1 - smoothstep(*follow.below, follow.side * np.abs(across) - up)
    return (around * under).astype(np.float32)


def head(source: Array, target: Array) -> tuple[Array32, Array32]:
    """The rigid head: source = matrix @ target + shift, (3, 3) and (3,) float32."""
    scale, rotation, shift = fit_similarity(target[RIGID], source[RIGID], RIGID_WEIGHTS)
    return (scale * rotation).astype(np.float32), shift.astype(np.float32)


def outer(source: Array, around: Surroundings, target: Array, grid: Grid) -> Array32:
    """Displacement from target to source pixels at the samples of a grid, (rows, columns, 2) float32.

    source, target: (468, 3) meshes in pixels of the source picture.
    """
    x, y = grid.axes()
    points = np.stack(np.broadcast_arrays(x[None], y[:, None]), -1).reshape(-1, 2)
    oval, oval_z = pushed_oval(target).astype(np.float32), target[OVAL, 2].astype(np.float32)
    tall = height(target)

    # nearness to the outline, and which part of it
    square = ((points[:, None] - oval) ** 2).sum(-1)
    distance = np.sqrt(square)
    near = distance.min(1)
    share = np.exp((near[:, None] - distance) / np.float32(BLEND * tall))
    share /= share.sum(1, keepdims=True)
    near[polygon(grid.to_samples(oval.astype(np.float64)), (grid.columns, grid.rows)).ravel()] = 0

    # the head as a body: its surface falls back behind the outline
    matrix, shift = head(source, target)
    back = np.float32(RIGID_WEIGHTS @ target[RIGID, 2] + DEPTH * tall)
    z = share @ oval_z
    z = np.minimum(z + np.float32(SLOPE) * near, np.maximum(back, z))

    def moved(p: Array32, depth: Array32) -> Array32:
        return np.asarray(p @ matrix[:2, :2].T + depth[:, None] * matrix[:2, 2] + shift[:2] - p, np.float32)

    rigid, rigid_oval = moved(points, z), moved(oval, oval_z)

    middle = (target[FOREHEAD, :2] + target[CHIN, :2]) / 2
    up = (target[FOREHEAD, :2] - target[CHIN, :2]) / tall
    axes = np.stack([[-up[1], up[0]], up], 1).astype(np.float32) / np.float32(tall)

    def weight(p: Array32, step: Array32) -> Array32:
        across, above = ((p - middle.astype(np.float32)) @ axes).T
        radius = BODY.radius if around.matte else NO_MATTE
        body = _weight(across, above, Follow(radius, BODY.below, BODY.side))
        if around.hair is None:
            return body
        at = ((p + step + 0.5) / around.hair_step - 0.5)[None]
        hair = look_up(around.hair, at)[0]
        return np.asarray(body + hair * (_weight(across, above, Follow(radius, HAIR.below, HAIR.side)) - body))

    field = weight(points, rigid)[:, None] * rigid
    rest = (around.oval - oval).astype(np.float32) - weight(oval, rigid_oval)[:, None] * rigid_oval
    spread = share @ rest
    length = np.float32(FADE * tall) + np.float32(STEEP) * np.sqrt((spread**2).sum(1))
    faded = np.clip(near / length, 0, 1)
    field += (1 - faded * faded * (3 - 2 * faded))[:, None] * spread
    return field.reshape(grid.rows, grid.columns, 2)
