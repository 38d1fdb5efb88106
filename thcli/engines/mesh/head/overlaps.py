"""Edges along which a part of a turned face covers another, as a nose covers a cheek.

Between the samples of a map on either side of such an edge lies all that the edge hides. A ramp
from one displacement to the other shows it as a narrow line, dark along a nose. The nearer part is
laid over the further one instead, and either goes on for some samples beyond the edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy, raster
from thcli.engines.mesh.anatomy import Indices
from thcli.engines.mesh.head.outline import sine_of_yaw
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import box_mean, largest, nearest_to, resize
from thcli.faces.landmarks import topology
from thcli.motion import canonical

LEAST_DEPTH = 0.03  # face heights by which one part is before another
REACH = 3  # samples beside an edge over which either part goes on
ACROSS = 1.0  # slope of depth across the face over that along it: noses cover what is beside them
STEEP = 3.0  # steps that a sample on the flank itself is off both sides
FINE = 4  # samples per sample of the map, in which the edge is drawn
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Overlap:
    """The nearer parts of a face along the edges where they cover others.

    grid: part of the face's.  displacement: (rows, columns, 2) float32 of the nearer parts and
    their continuation.  opacity: (rows, columns) float32 in 0..1, theirs; 0 away from the edges.
    """

    grid: SampleGrid
    displacement: Array32
    opacity: Array32


def separate(
    displacement: Array32,
    torn: Flags,
    ids: Indices,
    target: Array,
    face: SampleGrid,
    order: npt.NDArray[np.intp],
) -> Overlap | None:
    """Separate what covers a part of a face from what it covers.

    Args:
        displacement: (rows, columns, 2) float32 of the face. Along the edges it becomes that of the
            further parts, in place.
        torn: (rows, columns) samples where it jumps; those of the edges are cleared, in place.
        ids: (rows, columns) triangles, -1 outside.
        target: (468, 3) target mesh.
        face: grid of the face.
        order: (K,) drawing order of the triangles.

    Returns:
        The nearer parts; None where nothing covers a part of the face.
    """
    jumps = torn & _of_nose()[ids]
    if not jumps.any():
        return None
    margin = np.ones((4 * REACH + 1, 4 * REACH + 1), np.uint8)
    around = cv2.dilate(jumps.astype(np.uint8), margin)
    rows, columns = np.flatnonzero(around.any(1)), np.flatnonzero(around.any(0))
    kept = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    part = face.part(*kept)
    # seen from behind: a gap beside an edge
    folded = np.append(anatomy.turned_away(target), False)[ids[kept]]
    own = displacement[kept].copy()
    folded |= _between(own) > STEEP * face.step
    near, far = _sides(torn[kept], folded, ids[kept], target, part)
    (to_near, nearest), (to_far, furthest) = nearest_to(near), nearest_to(far)
    beside = np.maximum(to_near, to_far) <= REACH
    near, far, folded = near & beside, far & beside, folded & beside
    if not near.any():
        return None
    is_near = (to_near < to_far) & beside & ~folded
    flat = own.reshape(-1, 2)
    goes_on = beside & ~is_near
    displacement[kept] = np.where((near | folded)[..., None], flat[furthest], own)
    torn[kept] &= ~(near | far | folded)
    nearer = box_mean(np.where(goes_on[..., None], flat[nearest], own), 3)
    covered = _coverage(ids[kept][is_near], target, order, part)
    return Overlap(part, nearer, box_mean(covered * np.float32(beside), 3))


def _between(displacement: Array32) -> Array32:
    """Return how far a displacement (rows, columns, 2) is off that of both sides, in pixels."""
    around = np.ones((3, 3), np.uint8)
    below = displacement - cv2.erode(displacement, around)
    above = cv2.dilate(displacement, around) - displacement
    return largest(np.minimum(below, above))


def _sides(
    torn: Flags, folded: Flags, ids: Indices, target: Array, part: SampleGrid
) -> tuple[Flags, Flags]:
    """Return the samples (rows, columns) on the nearer and on the further side of the edges.

    Args:
        torn: (rows, columns) samples of which some are at an edge.
        folded: (rows, columns) samples whose depth says nothing.
        ids: (rows, columns) triangles, -1 outside.
        target: (468, 3) target mesh.
        part: grid of the samples.
    """
    maps = raster.linear_maps(target, target[:, 2:], anatomy.TRIANGLES)
    depth = raster.sample_maps(ids, maps, part)[..., 0]
    inside = cv2.erode((ids >= 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    around = np.ones((5, 5), np.uint8)
    low = cv2.erode(np.where(folded, depth.max(), depth), around)
    high = cv2.dilate(np.where(folded, depth.min(), depth), around)
    down = target[anatomy.CHIN, :2] - target[anatomy.FOREHEAD, :2]
    height = float(np.hypot(*down))
    x, y = (cv2.Sobel(depth, cv2.CV_32F, *axis, ksize=5) for axis in ((1, 0), (0, 1)))
    # positive where depth grows towards the side that turns away
    across = np.sign(sine_of_yaw(target)) * (down[1] * x - down[0] * y)
    along = np.abs(down[0] * x + down[1] * y)
    edge = torn & ~folded & inside & (high - low > LEAST_DEPTH * height) & (across > ACROSS * along)
    is_near = depth < (low + high) / 2
    return edge & is_near & _of_nose()[ids], edge & ~is_near


@cache
def _of_nose() -> Flags:
    """Return which triangles are of the nose, (K + 1,); the last one is none."""
    flat = canonical.neutral()[:, :2].astype(np.float32)
    ring, middles = flat[topology.NOSE], flat[anatomy.TRIANGLES].mean(1)
    inside = [cv2.pointPolygonTest(ring, middle.tolist(), False) >= 0 for middle in middles]
    return np.array([*inside, False])


def _coverage(
    nearer: Indices, target: Array, order: npt.NDArray[np.intp], part: SampleGrid
) -> Array32:
    """Return how far samples (rows, columns) show some triangles, 0..1.

    Args:
        nearer: (N,) the triangles, each any number of times.
        target: (468, 3) target mesh.
        order: (K,) drawing order of all triangles.
        part: grid of the samples.
    """
    is_nearer = np.zeros(len(anatomy.TRIANGLES) + 1, bool)  # the last one is none
    is_nearer[nearer] = True
    points = (target[:, :2] + 0.5) * FINE - 0.5
    origin = part.x0 * FINE, part.y0 * FINE
    fine = SampleGrid(*origin, part.step, part.columns * FINE, part.rows * FINE)
    corners = fine.to_samples(points)[anatomy.TRIANGLES]
    inside = (corners.max(1) >= 0).all(1) & (corners.min(1) < (fine.columns, fine.rows)).all(1)
    drawn = raster.rasterize(points, anatomy.TRIANGLES, order[inside[order]], fine)
    shown = is_nearer[drawn].astype(np.float32)
    return resize(shown, (part.columns, part.rows), shrink=True)
