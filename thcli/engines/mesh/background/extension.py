"""Surroundings of a picture that its driver's camera has moved, beyond its edges.

Broad shapes go on: the edge's pixels are repeated, the smoother the further away. Fine detail is
that of the picture beside the edge, mirrored, as strong as it is along the edge itself, so that a
plain wall has no trace of the head before it; it ends soon. Both lean as the lines do that the edge
cuts off, so that an outline goes on straight: repeated pixels would bend it upright, and mirrored
ones back.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.sampling import REFLECT, box_mean, mix, odd_size, resize, to_levels

CELLS = 64  # rows of the reduced picture, of which the broad shapes are made
FINER = 2  # samples per cell of the distance from the edge
FADE = 0.3  # cells from the edge over which they take the place of repeated pixels
# Standard deviation of the smoothing over the distance from the edge; and at most, of the height
SPREAD, MAX_BLUR = 0.35, 0.1
FINE = 1.25  # cells that detail is finer than
STRONGEST = 2.0  # of it over its mean along the edge
REACH = (3.0, 9.0)  # cells from the edge over which detail ends
# Leans of lines: samples per cell beside the edge, in which they are seen, deviation of their mean
# along it in cells, levels per sample below which a slope is noise, and the most
SEEN, ALIKE, FAINT, MOST_LEAN = 4, 3.0, 1.0, 2.0
WINDOW = 64  # rows that are made at a time


def extend(image: Image, still: Image, image_from_still: Array) -> None:
    """Make what lies beyond the edges of a moved picture, in place.

    Args:
        image: (H, W, 3) uint8 moved picture; its edges are repeated.
        still: (H, W, 3) uint8 before it was moved.
        image_from_still: (2, 3).
    """
    height, width = image.shape[:2]
    cell = height / CELLS
    size = max(2, round(width / cell)), CELLS
    samples = [
        np.asarray((np.arange(FINER * count) + 0.5) * (side / (FINER * count)))
        for count, side in zip(size, (width, height), strict=True)
    ]
    source, beyond = _distance_beyond(image_from_still, (width, height), *samples)
    beyond /= np.float32(cell)
    near = resize(to_levels(np.maximum(beyond + 1, 0)), (width, height))
    strips = _edge_strips(still, cell)
    lean = _lean_beyond(strips, source, size, cell)
    beyond, aside = beyond[::FINER, ::FINER], lean[::FINER, ::FINER]
    smooth = _make_broad(image, beyond, aside @ image_from_still[:, :2].T / cell)
    column, row = (
        (place[::FINER, ::FINER].clip(0, side - 1) / side * count).astype(int)
        for place, side, count in zip(source, (width, height), size, strict=True)
    )
    strength = _edge_detail(strips, size, cell)[row, column] * (1 - smoothstep(*REACH, beyond))
    most = resize(np.rint(STRONGEST * strength).astype(np.int16), (width, height))
    margin = odd_size(FINE * cell)
    for region in _find_windows(near):
        wide = _grown(region, margin)
        across, along = (np.arange(part.start, part.stop, dtype=float) for part in wide[::-1])
        places, distance = _distance_beyond(image_from_still, (width, height), across, along)
        distance = distance[margin:-margin, margin:-margin].clip(0)
        weight = to_levels(np.asarray(distance / (FADE * cell), np.float32))
        made = smooth[region]
        limit = cv2.merge([most[region]] * 3)
        if limit.any():
            detail = _mirrored_detail(still, places, _upsample(lean, wide, still), margin)
            held = cv2.max(cv2.min(detail, limit), -limit)
            made = np.asarray(cv2.add(made, held, dtype=cv2.CV_8U), np.uint8)
        image[region] = mix(image[region], made, weight)


def _distance_beyond(
    matrix: Array, sides: tuple[int, int], x: Array, y: Array
) -> tuple[list[Array32], Array32]:
    """Return what pixels of a moved picture show, and how far that lies beyond its edges.

    Args:
        matrix: (2, 3) image_from_still.
        sides: (width, height) of the picture.
        x, y: of columns and rows of pixels.

    Returns:
        x and y in the still picture, (rows, columns) each, and pixels, negative inside.
    """
    still_from_image = cv2.invertAffineTransform(matrix).astype(np.float32)
    columns, rows = x.astype(np.float32), y.astype(np.float32)[:, None]
    source = [line[0] * columns + (line[1] * rows + line[2]) for line in still_from_image]
    outside = [
        np.asarray(cv2.max(-place, place - np.float32(side - 1)), np.float32)
        for place, side in zip(source, sides, strict=True)
    ]
    return source, np.asarray(cv2.max(*outside), np.float32)


def _edge_strips(still: Image, cell: float) -> list[Image]:
    """Return what lies within a cell of each edge of a picture, (depth, length, 3).

    The last row is the edge's: the upper and the lower one, the left and the right one.
    """
    depth, across = max(2, round(cell)), still.swapaxes(0, 1)
    strips = still[:depth][::-1], still[-depth:], across[:depth][::-1], across[-depth:]
    return [np.ascontiguousarray(strip) for strip in strips]


def _lean_beyond(
    strips: list[Image], source: list[Array32], size: tuple[int, int], cell: float
) -> Array32:
    """Return how far lines have gone aside beyond a picture's edges, (rows, columns, 2) pixels.

    Args:
        strips: beside the edges, see `_edge_strips`.
        source: x and y in the picture of samples, (rows, columns) each.
        size: (columns, rows) of cells.
        cell: pixels of one.
    """
    out = np.zeros((*source[0].shape, 2), np.float32)
    for axis, along in ((1, 0), (0, 1)):
        count = SEEN * size[along]
        places = (np.arange(count) + 0.5) * (cell / SEEN)
        first, last = strips[2 * along : 2 * along + 2]
        side = strips[2 * axis].shape[1]
        for strip, away in ((first, -source[axis]), (last, source[axis] - (side - 1))):
            leans = np.interp(source[along].ravel(), places, _leans(strip, count))
            out[..., along] += leans.reshape(away.shape) * np.maximum(away, 0)
    return out


def _leans(strip: Image, count: int) -> Array:
    """Return how far lines go aside for each pixel away from a picture, at places along an edge.

    The slope at which the brightness changes least, over the places around each.

    Args:
        strip: (depth, length, 3) uint8 beside the edge, whose last row is the edge.
        count: of places.
    """
    grey = cv2.cvtColor(strip, cv2.COLOR_RGB2GRAY)
    few = cv2.resize(grey, (count, SEEN), interpolation=cv2.INTER_AREA).astype(np.float32)
    down, aside = np.gradient(few)
    sums = np.stack([(down * aside).sum(0), (aside * aside).sum(0)])
    mixed, square = cv2.GaussianBlur(sums, (0, 0), ALIKE * SEEN, sigmaY=1e-3)
    leans = np.clip(-mixed / (square + SEEN * FAINT**2), -MOST_LEAN, MOST_LEAN)
    return np.asarray(leans, np.float64)


def _make_broad(image: Image, beyond: Array32, aside: Array) -> Image:
    """Return the broad shapes of a picture (H, W, 3) whose edges are repeated, leaning there.

    Args:
        image: the picture.
        beyond: (rows, columns) cells from its edges, negative inside.
        aside: (rows, columns, 2) cells by which lines have gone aside.
    """
    size = beyond.shape[::-1]
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    rows, columns = np.indices(beyond.shape, np.float32)
    places = (columns - aside[..., 0]).astype(np.float32), (rows - aside[..., 1]).astype(np.float32)
    leaning = cv2.remap(small, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    deviation = np.clip(beyond * SPREAD, 0, MAX_BLUR * CELLS)
    blurred = _blur(np.asarray(leaning, np.float32), deviation.astype(np.float32))
    return resize(np.asarray(cv2.convertScaleAbs(blurred), np.uint8), image.shape[1::-1])


def _mirrored_detail(
    still: Image, places: list[Array32], lean: Array32, margin: int
) -> npt.NDArray[np.int16]:
    """Return the fine detail beyond the edges of a picture, which is mirrored there, (h, w, 3).

    What is mirrored leans the other way, from which it is brought twice.

    Args:
        still: (H, W, 3) uint8.
        places: x and y in it, (h + 2 * margin, w + 2 * margin) each.
        lean: of these pixels, see `_lean_beyond`.
        margin: pixels over whose mean detail is seen.
    """
    x, y = (place - 2 * lean[..., axis] for axis, place in enumerate(places))
    shown = np.asarray(cv2.remap(still, x, y, cv2.INTER_LINEAR, borderMode=REFLECT), np.uint8)
    detail = cv2.subtract(shown, box_mean(shown, margin), dtype=cv2.CV_16S)
    return np.asarray(detail[margin:-margin, margin:-margin], np.int16)


def _grown(region: Region, margin: int) -> Region:
    """Return a region with so many more pixels on all sides, which may lie beyond the picture."""
    rows, columns = (slice(part.start - margin, part.stop + margin) for part in region)
    return rows, columns


def _upsample(lean: Array32, region: Region, still: Image) -> Array32:
    """Return a picture's samples (rows, columns, 2) for the pixels of a region of it."""
    rows, columns = region
    scale = np.divide(lean.shape[1::-1], still.shape[1::-1])
    first = (np.array([columns.start, rows.start]) + 0.5) * scale - 0.5
    size = columns.stop - columns.start, rows.stop - rows.start
    matrix = np.column_stack([np.diag(scale), first])
    linear = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(lean, matrix, size, flags=linear, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.float32)


def _edge_detail(strips: list[Image], size: tuple[int, int], cell: float) -> Array32:
    """Return how strong fine detail is along the edges of a picture, on (rows, columns) of cells.

    In levels; 0 inside. strips: see `_edge_strips`.  size: (columns, rows).
    """
    out = np.zeros(size[::-1], np.float32)
    for strip, cells in zip(strips, (out[0], out[-1], out[:, 0], out[:, -1]), strict=True):
        fine = cv2.absdiff(strip, box_mean(strip, odd_size(FINE * cell)))
        level = fine.mean((0, 2), dtype=np.float32)
        few = cv2.resize(level[None], (len(cells), 1), interpolation=cv2.INTER_AREA)
        np.maximum(cells, cv2.GaussianBlur(few, (0, 0), 1)[0], out=cells)
    return out


def _blur(image: Array32, deviation: Array32) -> Array32:
    """Return an image (h, w, 3), smoothed by another standard deviation (h, w) at each pixel.

    It lies between images that are smoothed by 0, 1, 2, 4, ... pixels.
    """
    out, below, above = image, 0.0, 1.0
    while below < deviation.max():
        share = np.clip((deviation - below) / (above - below), 0, 1)[..., None]
        out = out + share * (cv2.GaussianBlur(image, (0, 0), above) - out)
        below, above = above, 2 * above
    return np.asarray(out, np.float32)


def _find_windows(weight: Image) -> Iterator[Region]:
    """Yield the parts of a picture in which a weight (H, W) is not 0, WINDOW rows at a time.

    Beside an edge they are as wide as it is seen, at both sides of one picture apart.
    """
    width = weight.shape[1]
    for top in range(0, len(weight), WINDOW):
        rows = slice(top, min(top + WINDOW, len(weight)))
        line = weight[rows].max(0) > 0
        for half in (slice(0, width // 2), slice(width // 2, width)):
            found = np.flatnonzero(line[half])
            if len(found):
                yield rows, slice(half.start + int(found[0]), half.start + int(found[-1]) + 1)
