"""Lips of a source that are sampled again, column by column up to their inner rims."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.background.windows import iterate_windows
from thcli.engines.mesh.opening import COLUMNS, Opening, Region
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import pair, remap
from thcli.faces.landmarks.topology import LIPS_OUTER

HEIGHT_RANGE = (0.45, 0.9)  # share of a lip's height, from its inner rim, in which it fades out
LEAST_HEIGHT = 0.02  # of a lip, widths
# Widths beside each corner over which lips fade out, since landmarks of turned faces miss the far
# one; and up to which they have the texture that they have there: corners of a grin are shadows
# and teeth
CORNER_FADE, FROM_CORNER = 0.05, 0.09
LEAST_NARROWING = 0.02  # widths by which a turn moves points towards a corner, from which it counts
LIP_SAMPLES = 128  # of a mouth's width: lips of larger ones are measured on a coarser grid
_HALF = len(LIPS) // 2
UPPER = np.r_[0, np.arange(len(LIPS) - 1, _HALF - 1, -1)]
LOWER = np.arange(_HALF + 1)
SIDES = (UPPER, LOWER)
"""Positions of the points of the upper and of the lower lip, from left to right, in their rings."""


@dataclass(frozen=True, slots=True)
class ShownLips:
    """Lips of a source that a frame shows beside their inner rims.

    rims: (2, 2, 11, 2), see `closed_lips.PartedLips`.  left_out: (2, 11) shares of their heights
    that are not shown.  part: share of their width that is shown, its middle.
    """

    rims: Array
    left_out: Array
    part: float = 1.0


def render(
    out: Image,
    image: Image,
    lips: ShownLips,
    target: Array,
    mouth: Opening,
    region: Region,
    shown: float,
) -> None:
    """Sample both lips again beside their inner rims, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        image: (H, W, 3) uint8 source.
        lips: what is shown of them.
        target: (468, 3) target mesh.
        mouth: its opening.
        region: of the frame.
        shown: share of the sampled colours.
    """
    measured = [_measure_lip(mouth, target, lips, side) for side in range(len(SIDES))]
    step = max(1, round(mouth.width / LIP_SAMPLES))
    u, v = opening.local_coordinates(mouth, region, step)
    grid = SampleGrid(region[1].start, region[0].start, step, u.shape[1], u.shape[0])
    rims, pixels = mouth.rims(u), np.float32(mouth.width)
    inside = fade_corners(lips.rims, mouth, target, u)
    for side, lip in enumerate(measured):
        beyond = v - rims[1] if side else rims[0] - v
        highest = np.float32(HEIGHT_RANGE[1] * float(lip[:, 0].max()))
        shows = (beyond * pixels > -step) & (beyond < highest) & (inside > 0)
        left, top, width, height = cv2.boundingRect(shows.view(np.uint8))
        if not width:
            continue
        kept = (
            slice(max(top - 1, 0), min(top + height + 1, grid.rows)),
            slice(max(left - 1, 0), min(left + width + 1, grid.columns)),
        )
        away = np.ascontiguousarray(beyond[kept])
        high, positions = _sample_positions(lip, np.ascontiguousarray(u[kept]), away)
        cover = shown * inside[kept] * (1 - smoothstep(*HEIGHT_RANGE, away / high))
        samples = np.dstack([positions, cover, away * pixels]).astype(np.float32)
        share = shows[kept].astype(np.float32)
        size = out.shape[1], out.shape[0]
        for part, values in iterate_windows(samples, share, grid.part(*kept), size):
            mask = values[..., 2] * np.clip(1 + values[..., 3], 0, 1)
            opening.blend(out, part, mask, remap(image, pair(values)))


def fade_corners(rims: Array, mouth: Opening, target: Array, u: Array32) -> Array32:
    """Return the share of the sampled lips at u, which fades out beside the corners, as u.

    A corner that a turn foreshortens fades over as much of the lip as in the source.

    Args:
        rims: (2, 2, 11, 2) of the source's lips, see `closed_lips.PartedLips`.
        mouth: opening of the target.
        target: (468, 3) target mesh.
        u: (h, w).
    """
    inner = rims[:, 0].mean(0)
    along = inner[-1] - inner[0]
    own = np.clip((inner - inner[0]) @ along / max(float(along @ along), 1e-6), 0, 1)
    points = mouth.to_local(target[LIPS[UPPER], :2]) + mouth.to_local(target[LIPS[LOWER], :2])
    places = np.maximum.accumulate(points[:, 0] / 2)
    from_corner, at = np.minimum(own, 1 - own), np.minimum(u, 1 - u)
    if (from_corner - np.minimum(places, 1 - places)).max() > LEAST_NARROWING:
        at = np.maximum(at, np.interp(u, places, from_corner, 0.0, 0.0))
    return np.asarray(smoothstep(0.0, CORNER_FADE, at), np.float32)


def _measure_lip(mouth: Opening, target: Array, lips: ShownLips, side: int) -> Array32:
    """Measure a lip of the target, and where the source shows it, at COLUMNS.

    Args:
        mouth: opening of the target.
        target: (468, 3) target mesh.
        lips: of the source.
        side: 0 for the upper lip, 1 for the lower one.

    Returns:
        (97, 6) float32: height in widths, share left out, pixels of the inner and the outer rim.
    """
    rims, left_out, ring = lips.rims[side], lips.left_out[side], SIDES[side]
    inner, outer = (mouth.to_local(target[points[ring], :2]) for points in (LIPS, LIPS_OUTER))
    places = np.maximum.accumulate(inner[:, 0])
    edge = np.interp(COLUMNS, np.maximum.accumulate(outer[:, 0]), outer[:, 1])
    high = np.maximum(np.abs(edge - np.interp(COLUMNS, places, inner[:, 1])), LEAST_HEIGHT)
    shown = np.clip(0.5 + lips.part * (COLUMNS - 0.5), FROM_CORNER, 1 - FROM_CORNER)
    own = [np.interp(shown, places, rims[k, :, axis]) for k in range(2) for axis in range(2)]
    return np.stack([high, np.interp(COLUMNS, places, left_out), *own], -1).astype(np.float32)


def _sample_positions(lip: Array32, u: Array32, beyond: Array32) -> tuple[Array32, Array32]:
    """Find where the source shows a lip.

    Args:
        lip: from `_measure_lip`.
        u, beyond: (h, w) each, u, and the distance from the lip's inner rim outwards in widths.

    Returns:
        Height of the lip in widths, (h, w), and positions (h, w, 2) in pixels.
    """
    at = np.clip((u + 0.25) * 64, 0, 95.999)
    low = at.astype(np.intp)
    part = (at - low).astype(np.float32)
    found = lip.take(low, 0) + part[..., None] * np.diff(lip, axis=0).take(low, 0)
    depth = np.maximum(beyond, 0)[..., None] / found[..., :1]
    depth += found[..., 1:2] * (1 - np.minimum(depth, 1))
    positions = found[..., 2:4] + depth * (found[..., 4:] - found[..., 2:4])
    return found[..., 0], np.asarray(positions, np.float32)
