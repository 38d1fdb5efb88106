"""Top of a head that the picture's upper edge cuts off.

Where a head that nods or turns brings it into view, hair beyond the edge is made of that below it
and ends in a dome. Without that it would go on up to the edge of the frame, as a plume.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.raster import SampleGrid

CUT_ALPHA = 128  # of the person in the picture's first row, from which the edge cuts it off
RADIUS = 0.62  # face heights of the top of a head with its hair
MOST_HEIGHT = 0.45  # face heights of a dome
# Face heights to either side of the head's axis where the edge cuts hair, and between strands of it
# that are cut as one
REACH, GAP = 0.8, 0.1
EDGE = 0.02  # face heights over which a dome ends
# Face heights below the edge in which the direction of the head's outline is measured
OUTLINE = 0.12
SLOPES = (0.4, 4.0)  # least and greatest steepness of an outline, rows per column
# Steepness at the edge of an ellipse over its mean one from there to the top; a parabola's is 2
LEAST_STEEP = 2.1


@dataclass(frozen=True, slots=True)
class Crown:
    """Dome above a picture's upper edge: halves of two ellipses with one top.

    Each begins in the direction of the head's outline, which would have a corner there.

    middle: pixels along the edge.  height: of the top above it.  below: pixels from the edge down
    to the middle of the left and of the right ellipse.  reach: their half widths.  edge: pixels
    over which the dome ends.
    """

    middle: float
    height: float
    below: tuple[float, float]
    reach: tuple[float, float]
    edge: float

    def flip(self, width: int) -> Crown:
        """Return the dome of the mirror image of a picture of a width."""
        below, reach = self.below[::-1], self.reach[::-1]
        return replace(self, middle=width - 1 - self.middle, below=below, reach=reach)

    def distance_beyond(self, displacement: Array32, grid: SampleGrid) -> Array32 | None:
        """Return how far samples (rows, columns) lie beyond the dome, in pixels; None within it.

        What is inside of the picture is within it.

        Args:
            displacement: (rows, columns, 2) pixels from the frame to the picture.
            grid: the samples.
        """
        x, y = grid.pixel_axes()
        above = -(displacement[..., 1] + y[:, None])
        if above.max() <= 0:
            return None
        across = displacement[..., 0] + x - np.float32(self.middle)
        on_left = across < 0
        below, reach = (
            np.where(on_left, *(np.float32(side) for side in sides))
            for sides in (self.below, self.reach)
        )
        tall = below + np.float32(self.height)
        beyond = tall * (np.hypot(across / reach, (above + below) / tall) - 1)
        beyond = np.minimum(beyond, above)
        return np.asarray(beyond, np.float32) if beyond.max() > 0 else None

    def share_beyond(self, distance: Array32) -> Array32:
        """Return shares 0..1 by which distances of `distance_beyond` lie beyond the dome."""
        return np.asarray(smoothstep(0, self.edge, distance), np.float32)


def find(person: Image, mesh: Array, left: int = 0) -> Crown | None:
    """Find the dome of a head that the upper edge cuts off; None where it does not.

    It is that of the widest part of the hair on the edge: of strands that just reach it, hardly
    one. A head that is cut off at a side, too, has none: nothing is seen beside it. Between steep
    outlines it is higher than that of a head of usual size: its height is the geometric mean with
    that of a circle that goes on as they do.

    Args:
        person: (H, W, 4) uint8, premultiplied colour and alpha.
        mesh: (468, 3) pixels of the picture.
        left: columns of the person before the picture's first one.
    """
    size = anatomy.face_height(mesh)
    cut = np.flatnonzero(person[0, :, 3] >= CUT_ALPHA)
    if not len(cut):
        return None
    forehead, chin = mesh[anatomy.FOREHEAD, :2], mesh[anatomy.CHIN, :2]
    up = (forehead - chin) / max(float(np.linalg.norm(forehead - chin)), 1.0)
    at_edge = float(left + forehead[0] + up[0] * max(forehead[1], 0.0) / max(-up[1], 0.3))
    parts = np.split(cut, np.flatnonzero(np.diff(cut) > GAP * size) + 1)
    near = [(part[0], part[-1]) for part in parts if np.abs(part - at_edge).min() < REACH * size]
    if not near:
        return None
    first, last = max(near, key=lambda ends: ends[1] - ends[0])
    if first == 0 or last == person.shape[1] - 1:
        return None
    half = (last + 1 - first) / 2
    near_edge = person[: max(2, round(OUTLINE * size)), :, 3] >= CUT_ALPHA
    slopes = (
        _steepness(near_edge[:, : last + 1][:, ::-1], last - first),
        _steepness(near_edge[:, first:], last - first),
    )
    return _over((first + last) / 2 - left, half, slopes, size)


def _over(middle: float, half: float, slopes: tuple[float, float], size: float) -> Crown:
    """Return the dome of a head.

    Args:
        middle, half: of the cut, and half of its width, in pixels.
        slopes: `_steepness` of the left and of the right outline.
        size: of the face, in pixels.
    """
    radius = max(RADIUS * size, half)
    usual = radius - float(np.sqrt(radius**2 - half**2))
    round_on = half * float(np.tan(np.arctan(slopes).mean() / 2))
    height = min(max(usual, float(np.sqrt(usual * round_on))), MOST_HEIGHT * size)
    steep = [max(slope * half / height, LEAST_STEEP) for slope in slopes]
    left, right = (1 / (share - 1) for share in steep)
    below = left * height / (1 - left), right * height / (1 - right)
    reach = half / float(np.sqrt(1 - left**2)), half / float(np.sqrt(1 - right**2))
    return Crown(middle, height, below, reach, EDGE * size)


def _steepness(shown: npt.NDArray[np.bool_], column: int) -> float:
    """Return how steep the right outline of a head is at a picture's edge, rows per column.

    Args:
        shown: (n, W) the first rows of the picture, from the left end of the head on.
        column: at which the head ends in the first of them.
    """
    rows = np.arange(len(shown))
    near = shown[:, : column + 1 + round(len(shown) / SLOPES[0])]
    ends = near.shape[1] - 1 - near[:, ::-1].argmax(1)
    away = np.where(near.any(1), ends - column, 0)
    return float(np.clip((rows @ rows) / max(float(rows @ away), 1e-6), *SLOPES))
