"""Places of glasses on a head: lenses, hinges, and where the source shows a temple."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.geometry import fit_similarity
from thcli.core.types import Array
from thcli.engines.mesh.anatomy import RIGID, RIGID_WEIGHTS, face_height
from thcli.motion.canonical import neutral

BRIDGE = 168
# Depth of the lenses behind the bridge of the nose, face heights: in the middle, for each face
# height to the side
LENS_DEPTH, WRAP = -0.01, 0.12
WIDTH = 0.6  # face heights to either side of the bridge in which glasses are looked for
CELLS = 160  # samples over that width
LEAST_BAR = 0.009  # face heights, height of a column of glasses that may be a temple
LEAST_LENS = 0.08  # face heights, least height of lenses
LEAST_WHOLE = 0.8  # width of a lens over the other one's from which it is whole
LENS_SHARE = 0.3  # of the tallest column of glasses, which is a lens; less is a temple


@dataclass(frozen=True, slots=True)
class Head:
    """Similarity from the mean face to a source's mesh: source = scale * rotation @ mean + shift.

    size: of the mean face's height.
    """

    scale: float
    rotation: Array
    shift: Array
    size: float

    def place(self, points: Array) -> Array:
        """Return source points (..., 3) of points in face heights behind the bridge."""
        mean = neutral()[BRIDGE] + self.size * np.asarray(points, np.float64)
        return np.asarray(self.scale * mean @ self.rotation.T + self.shift)


def find_head(mesh: Array) -> Head:
    """Fit the mean face to a mesh (468, 3) pixels."""
    mean = neutral()
    scale, rotation, shift = fit_similarity(mean[RIGID], mesh[RIGID], RIGID_WEIGHTS)
    return Head(float(scale), rotation, shift, face_height(mean))


@dataclass(frozen=True, slots=True)
class Places:
    """Places of the pixels of a crop on the lenses' planes, in face heights around the bridge.

    across, down: (h, w).  area: of a pixel.
    """

    across: Array
    down: Array
    area: float


def lens_point(side: int, across: float, down: float) -> tuple[float, float, float]:
    """Return the point of a lens's plane at a place, face heights."""
    return across, down, LENS_DEPTH + WRAP * side * across


def places_on_lenses(head: Head, low: npt.NDArray[np.integer], size: tuple[int, int]) -> Places:
    """Return the places of a crop's pixels; low: (2,) its first pixel.  size: (width, height)."""
    x, y = np.meshgrid(low[0] + np.arange(size[0]), low[1] + np.arange(size[1]))
    halves, area = [], 0.0
    for side in (-1, 1):
        origin, right, below = head.place(
            np.array([lens_point(side, 0, 0), lens_point(side, 1, 0), lens_point(side, 0, 1)])
        )[:, :2]
        inverse = np.linalg.inv(np.stack([right - origin, below - origin], 1))
        halves.append(inverse @ np.stack([x.ravel() - origin[0], y.ravel() - origin[1]]))
        area += abs(float(np.linalg.det(inverse))) / 2
    both = np.where(halves[1][0] >= 0, halves[1], halves[0]).reshape(2, *x.shape)
    return Places(both[0], both[1], area)


@dataclass(frozen=True, slots=True)
class Span:
    """Hinge of a lens and end of the temple that the source shows, (2,) places on the lens."""

    hinge: Array
    end: Array


def measure(is_glasses: npt.NDArray[np.bool_], places: Places) -> tuple[Span, Span] | None:
    """Find the hinges and temples of both sides; None where a lens is not whole."""
    across, down = places.across[is_glasses], places.down[is_glasses]
    near = np.abs(across) < WIDTH
    across, down = across[near], down[near]
    cell = 2 * WIDTH / CELLS
    bins = np.clip(((across + WIDTH) / cell).astype(int), 0, CELLS - 1)
    count = np.bincount(bins, minlength=CELLS)
    height = count * places.area / cell
    middle = np.bincount(bins, down, CELLS) / np.maximum(count, 1)
    top = np.full(CELLS, np.inf)
    np.minimum.at(top, bins, down)
    spans = []
    for side in (-1, 1):
        order = np.arange(CELLS // 2, CELLS) if side > 0 else np.arange(CELLS // 2 - 1, -1, -1)
        lens = np.flatnonzero(height[order] > LENS_SHARE * height.max())
        if not len(lens) or height.max() < LEAST_LENS:
            return None
        at = int(lens[-1])
        beyond = height[order][at + 1 :] > LEAST_BAR
        length = int(np.argmin(beyond)) if not beyond.all() else len(beyond)
        place = (order + 0.5) * cell - WIDTH
        outer = order[at]
        hinge_down = top[outer] + 0.3 * height[outer]
        end = place[at], hinge_down
        if length >= 2:
            stub = order[at + 1 : at + 1 + length]
            hinge_down = float(np.median(middle[stub[: max(2, length // 3)]]))
            end = place[at + length], float(np.median(middle[stub[-max(2, length // 3) :]]))
        spans.append(Span(np.array([place[at] + side * cell / 2, hinge_down]), np.array(end)))
    left, right = (abs(float(span.hinge[0])) for span in spans)
    # where the face's outline hides an end of a lens, or the parser missed it, one side is short
    return (spans[0], spans[1]) if min(left, right) > LEAST_WHOLE * max(left, right) else None
