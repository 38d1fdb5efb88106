"""Limits of a warp map near the edges of its picture."""

from __future__ import annotations

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.raster import SampleGrid
from thcli.faces.landmarks.topology import OVAL

FREE_ROOM = 0.25  # of the room below a chin, up to which a displacement is not limited
# Width of the band along an edge that is stretched over a displacement, and of the way from the
# edge to the face up to which it reaches
SPREAD, BEFORE_FACE = 2.0, 0.8
# Face heights of displacement beyond which it may show what a person is continued by
LARGE = (0.05, 0.15)
CHIN_MARGIN = 0.05  # face heights below a chin that are not mirrored below the picture
BESIDE_FACE = 0.1  # face heights beside a face over which what is mirrored loses that limit


def keep_inside(
    displacement: Array32,
    grid: SampleGrid,
    width: int,
    beyond: float,
    source: Array,
    continued: tuple[float, float] = (0.0, 0.0),
    ends_above: float = 0.0,
) -> Array32:
    """Limit a displacement so that it shows little of what lies beside and above the picture.

    What the picture's edge cuts off is stretched, and mirrored a little. What is shown lies in a
    band along the edge that is SPREAD times as wide as the displacement towards it, and ends before
    the source's face, from where on the map joins the mesh's. A side beyond which the person is
    continued limits small displacements alone.

    Args:
        displacement: (rows, columns, 2) pixels.
        grid: its samples.
        width: of the picture.
        beyond: pixels that may be mirrored.
        source: (468, 3) mesh.
        continued: pixels over the left and the right side up to which the person may be shown as
            continued there.
        ends_above: 0..1, how far the person ends at the upper edge, which limits nothing then.
    """
    x, y = grid.pixel_axes()
    moves, far_moves = (size * anatomy.face_height(source) for size in LARGE)
    low, high = source[OVAL, :2].min(0), source[OVAL, :2].max(0)
    out = displacement.copy()
    rooms = (x, low[0]), (width - 1 - x, width - 1 - high[0])
    for sign, (room, face), more in zip((-1, 1), rooms, continued, strict=True):
        length = sign * out[..., 0]
        shown = beyond + np.asarray(smoothstep(moves, far_moves, length), np.float32) * more
        out[..., 0] = sign * _limit_towards(length, room, face, shown)
    limited = -_limit_towards(-out[..., 1], y[:, None], low[1], beyond)
    out[..., 1] += np.float32(1 - ends_above) * (limited - out[..., 1])
    return out


def keep_below_chin(
    displacement: Array32, grid: SampleGrid, lower_edge: float, source: Array
) -> Array32 | None:
    """Limit a displacement so that no chin is mirrored below the picture, in place.

    Args:
        displacement: (rows, columns, 2) pixels.
        grid: its samples.
        lower_edge: y of the picture's last row.
        source: (468, 3) mesh. What lies beside it is mirrored without a limit.

    Returns:
        (rows, columns) float32 in 0..1, how far samples are drawn out by the limit; None where
        there is nothing below the picture.
    """
    x, y = grid.pixel_axes()
    first = int(np.searchsorted(y, lower_edge - float(displacement[..., 1].max())))
    if first >= grid.rows:
        return None
    face_size = anatomy.face_height(source)
    room = max(lower_edge - source[anatomy.CHIN, 1] - CHIN_MARGIN * face_size, 1.0)
    shown = displacement[first:, :, 0] + x
    left, right = source[OVAL, 0].min(), source[OVAL, 0].max()
    beside = np.maximum(left - shown, shown - right) / face_size
    over_edge = displacement[first:, :, 1] + y[first:, None] - np.float32(lower_edge)
    excess = _excess(over_edge, room)
    softened = room * (FREE_ROOM + (1 - FREE_ROOM) * excess / (1 + excess))
    limited = np.minimum(over_edge, softened)
    share = 1 - np.asarray(smoothstep(0, BESIDE_FACE, beside), np.float32)
    # less the slope of the limit; samples that lie below the picture at rest, too, count by how
    # they move
    excess = _excess(np.minimum(over_edge, displacement[first:, :, 1]), room)
    drawn_out = np.zeros(displacement.shape[:2], np.float32)
    drawn_out[first:] = share * (1 - 1 / (1 + excess) ** 2)
    displacement[first:, :, 1] += share * (limited - over_edge)
    return drawn_out


def _limit_towards(length: Array32, room: Array32, face: float, beyond: float | Array32) -> Array32:
    """Limit displacements towards an edge, so that none leads further than `beyond` over it.

    At the edge itself exactly that is shown. From the start of the band on, what is shown falls by
    band * e / (1 + c e), with e the way into the band over the whole of it: its steps begin as they
    are and shrink, and the samples keep their order.

    Args:
        length: (rows, columns) pixels towards the edge; what is negative stays.
        room: of the samples to the edge.
        face: distance of the source's face from the edge.
        beyond: pixels, one or (rows, columns).
    """
    start = np.clip(SPREAD * length, 0, np.float32(max(BEFORE_FACE * face, 0)))
    band = start + np.asarray(beyond, np.float32)
    into = np.maximum(start + length - room, 0) / band
    shrunk = np.maximum(length - beyond, 0) / np.maximum(start + length, 1)
    limited = room - start + band * into / (1 + shrunk * into)
    return np.asarray(np.minimum(length, limited), np.float32)


def _excess(length: Array32, room: float) -> Array32:
    """Return by how much lengths exceed FREE_ROOM of the room, over the rest of it, 0 or more."""
    return np.asarray(np.maximum(length / room - FREE_ROOM, 0) / (1 - FREE_ROOM), np.float32)
