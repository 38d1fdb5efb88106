"""Where the picture outside of the mesh comes from: hair and ears follow the head in depth, the neck bends, shoulders stay.

The head moves as a rigid body whose surface falls back behind the outline of the face, so that a turning head shows the
right parallax between face, ears and hair. What follows it is decided in axes of the face (and, where the source's hair is
known, by the hair). At the outline of the face the field meets the mesh exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.geometry import fit_similarity
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh.anatomy import CHIN, FOREHEAD, RIGID, RIGID_WEIGHTS, height
from thcli.engines.mesh.raster import Grid
from thcli.engines.mesh.sampling import look_up, polygon
from thcli.faces.landmarks.topology import CHIN as JAW
from thcli.faces.landmarks.topology import OVAL

REACH = 2.2  # face heights from the face's middle: nothing moves beyond
SLOPE, DEPTH = (
    0.95,
    0.7,
)  # how steeply and how far (face heights) the head falls back behind the outline
BLEND = 0.05  # face heights over which neighbouring outline points mix
FADE, STEEP = (
    0.1,
    1.2,
)  # an outline point's own motion fades over FADE face heights, more for more motion: nothing folds
SOFT = 0.35  # face heights of motion up to which hair and what is beside it may part
STRETCH = 1.2  # how much further following reaches, of the motion's length
_UPPER = np.flatnonzero(~np.isin(OVAL, JAW))
HULL = 0.04  # face heights that an outline point may lie inside of the mesh's hull


@dataclass(frozen=True, slots=True)
class Follow:
    """How the surroundings follow, in face heights from the middle of the face (up is positive).

    below: full and no following of what lies beneath the face.  side: how much sooner that happens away from the middle line.
    """

    below: tuple[float, float]
    side: float


BODY = Follow((0.32, 1.09), 0.7)
HAIR = Follow((1.0, 1.5), 0.2)
AROUND = (1.4, 2.1)  # face heights over which following ends above and beside
NO_MATTE = (0.95, 2.0)  # the same when the background moves along with its person


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Of the source. oval: (36, 2) pushed outline.  lower_edge: y of the picture's last row.  matte: whether the person moves over a plate.

    hair: (h, w) float32 0..1 where hair hangs, sampled at hair_step source pixels a sample, or None when not known.
    """

    oval: Array
    lower_edge: float
    matte: bool
    hair: Array32 | None = None
    hair_step: int = 1


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
    centre = flat.mean(0)  # not of the hull's corners: their number jumps
    if ((centre - start[0]) * normal[0]).sum() > 0:
        normal = -normal
    reach = ((start - centre) * normal).sum(-1)
    ray = oval - centre
    beyond = ray @ normal.T
    depth = (reach - beyond).min(1)
    share = np.where(beyond > 1e-6, reach / np.maximum(beyond, 1e-6), np.inf).min(1)
    hidden = np.where(np.isfinite(share), smoothstep(0.25, 2.0, depth / (HULL * height(mesh))), 0)
    factor = 1 + hidden * (np.where(np.isfinite(share), share, 1) - 1)
    return np.asarray(centre + ray * factor[:, None])


def head(source: Array, target: Array) -> tuple[Array32, Array32]:
    """The rigid head: source = matrix @ target + shift, (3, 3) and (3,) float32."""
    scale, rotation, shift = fit_similarity(target[RIGID], source[RIGID], RIGID_WEIGHTS)
    return (scale * rotation).astype(np.float32), shift.astype(np.float32)


def _similarity_part(oval: Array32, rest: Array) -> Array32:
    """(2, 3) the linear motion, half of it, in what the rigid head leaves of the upper outline's own: the tracked depth is not exact."""
    at, value = oval[:, _UPPER], rest[:, _UPPER]
    middle, shift = at.mean(1, keepdims=True), value.mean(1, keepdims=True)
    (x, y), (dx, dy) = at - middle, value - shift
    size = max(float((x * x + y * y).sum()), 1e-6)
    grow, turn = float((x * dx + y * dy).sum()) / size, float((x * dy - y * dx).sum()) / size
    linear = np.array([[grow, -turn], [turn, grow]])
    return np.asarray(0.5 * np.concatenate([linear, shift - linear @ middle], 1), np.float32)


def _ending(below: tuple[float, float], far: float, room: float) -> tuple[float, float]:
    """Where following begins and ends to die out for a motion of `far` face heights: never so fast that the picture folds."""
    end = min(below[1] + STRETCH * far, max(room, 0.0))
    start = min(below[0], end)
    return start, max(end, start + 1.6 * far + 0.05)


def outer(source: Array, around: Surroundings, target: Array, grid: Grid) -> Array32:
    """Displacement from target to source pixels at the samples of a grid, (rows, columns, 2) float32.

    source, target: (468, 3) meshes in pixels of the source picture.
    """
    x, y = grid.axes()
    points = np.stack([np.tile(x, grid.rows), np.repeat(y, grid.columns)])
    outline = pushed_oval(target)
    oval, oval_z = outline.astype(np.float32).T, target[OVAL, 2].astype(np.float32)
    tall = height(target)

    # nearness to the outline, and which part of it: (36, N)
    distance = (points[0] - oval[0, :, None]) ** 2
    distance += (points[1] - oval[1, :, None]) ** 2
    np.sqrt(distance, out=distance)
    near = distance.min(0)
    share = np.exp((near - distance) * np.float32(1 / (BLEND * tall)))
    total = share.sum(0)
    near[polygon(grid.to_samples(outline), (grid.columns, grid.rows)).ravel()] = 0

    # the head as a body: its surface falls back behind the outline
    matrix, shift = head(source, target)
    middle = ((target[FOREHEAD, :2] + target[CHIN, :2]) / 2).astype(np.float32)
    up = (target[FOREHEAD, :2] - target[CHIN, :2]) / tall
    axes = (np.array([[-up[1], up[0]], up]) / tall).astype(np.float32)
    back = np.float32(RIGID_WEIGHTS @ target[RIGID, 2] + DEPTH * tall)
    z = oval_z @ share / total
    z = np.minimum(z + np.float32(SLOPE) * near, np.maximum(back, z))
    # what does not change with the place is left out of the map: displacement, not position
    stays = matrix[:2, :2] - np.eye(2, dtype=np.float32)

    def moved(p: Array32, depth: Array32) -> Array32:
        return np.asarray(stays @ p + matrix[:2, 2:] * depth + shift[:2, None])

    rigid, rigid_oval = moved(points, z), moved(oval, oval_z)
    left = _similarity_part(oval, (around.oval - outline).T - rigid_oval)
    rigid += left[:, :2] @ points + left[:, 2:]
    rigid_oval += left[:, :2] @ oval + left[:, 2:]

    radius = AROUND if around.matte else NO_MATTE
    # the larger the motion, the longer the way over which it dies out, but no further than to the picture's lower edge when the head rises
    far = float(np.hypot(*moved(oval, np.full(len(OVAL), back))).max()) / tall
    room = (around.lower_edge - float(middle[1])) / tall if rigid_oval[1].mean() > 0 else np.inf
    trust = min(1.0, SOFT / max(far, 1e-6))  # the hair's own border is only so wide
    body_below, hair_below = (_ending(follow.below, far, room) for follow in (BODY, HAIR))

    def weight(p: Array32, step: Array32) -> Array32:
        across, above = axes @ (p - middle[:, None])
        across = np.abs(across)
        ring = 1 - smoothstep(*radius, np.hypot(across, 0.9 * np.maximum(above, 0)))
        body = 1 - smoothstep(*body_below, BODY.side * across - above)
        if around.hair is not None:
            at = ((p + step).T[None] + np.float32(0.5)) / np.float32(around.hair_step) - np.float32(
                0.5
            )
            hair = look_up(around.hair, np.ascontiguousarray(at))[0]
            body = body + trust * hair * (
                (1 - smoothstep(*hair_below, HAIR.side * across - above)) - body
            )
        return np.asarray(ring * body, np.float32)

    field = weight(points, rigid) * rigid
    rest = (around.oval - outline).T.astype(np.float32) - weight(oval, rigid_oval) * rigid_oval
    spread = rest @ share / total
    length = np.float32(FADE * tall) + np.float32(STEEP) * np.hypot(spread[0], spread[1])
    field += (1 - smoothstep(0, 1, near / length)) * spread
    return np.ascontiguousarray(field.T).reshape(grid.rows, grid.columns, 2)
