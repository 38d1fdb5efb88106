"""Shift of a picture's person over its plate, in blocks.

A block that shows the person or the plate alone is not blended. Within the picture a shift is one
small filter for all pixels, several times as fast as sampling each at a position.
"""

from __future__ import annotations

from itertools import pairwise, product

import cv2
import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import compose
from thcli.engines.mesh.background.blocks import SIDE
from thcli.engines.mesh.background.edges import sample_person

REACH = 3  # pixels around a position that it is sampled from, and one to spare
FRACTIONS = 32  # of a pixel, to which a shift is rounded, as positions are in cv2.remap
SHARPNESS = -0.75  # of the cubic kernel, as in OpenCV (Keys 1981, a)


def shift_person(image: Image, plate: Image, alpha: Image, shift: Array) -> Image:
    """Shift the person of a picture, mirrored where the picture's edges cut it off.

    Args:
        image, plate: (H, W, 3) uint8.
        alpha: (H, W) uint8 of the person.
        shift: (2,) pixels.

    Returns:
        (H, W, 3) uint8.
    """
    back = -np.round(np.asarray(shift, np.float64) * FRACTIONS) / FRACTIONS
    whole = np.floor(back).astype(int)
    out = np.empty_like(plate)
    kernel = _cubic_kernel(back - whole)
    sides = (_divide(side, int(n)) for side, n in zip(alpha.shape, whole[::-1], strict=True))
    for (rows, y, is_high), (columns, x, is_wide) in product(*sides):
        shown = alpha[y, x]
        least, most = cv2.minMaxLoc(shown)[:2]
        block = rows, columns
        if most == 0:
            out[block] = plate[block]
        elif not (is_high and is_wide):
            size = rows.stop - rows.start, columns.stop - columns.start
            start = np.array([columns.start - x.start, rows.start - y.start]) + back
            moved = _sample(_premultiply(image[y, x], shown), size, start)
            out[block] = compose.lay_over(moved, plate[block])
        elif least == 255:
            out[block] = _filter(image[y, x], kernel)
        else:
            moved = _filter(_premultiply(image[y, x], shown), kernel)
            out[block] = compose.lay_over(moved, plate[block])
    return out


def shift_cut_out(person: Image, shift: Array) -> Image:
    """Shift a person (H, W, 4) uint8 premultiplied without a plate, as `shift_person` does."""
    height, width = person.shape[:2]
    x, y = np.round(np.asarray(shift, np.float64) * FRACTIONS) / FRACTIONS
    is_whole = not (x % 1 or y % 1)
    moved = np.asarray(
        cv2.warpAffine(
            person,
            np.array([[1, 0, x], [0, 1, y]], np.float64),
            (width, height),
            flags=cv2.INTER_NEAREST if is_whole else cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )
    across, down = (min(int(np.ceil(abs(n))) + REACH, s) for n, s in ((x, width), (y, height)))
    beyond = [(x > 0, 0, 0, across, height), (x < 0, width - across, 0, across, height)]
    beyond += [(y > 0, 0, 0, width, down), (y < 0, 0, height - down, width, down)]
    for is_shown, left, top, columns, rows in beyond:
        if is_shown:
            start = np.array([left - x, top - y])
            sampled = _sample(person, (rows, columns), start)
            moved[top : top + rows, left : left + columns] = sampled
    return moved


def _divide(side: int, whole: int) -> list[tuple[slice, slice, bool]]:
    """Divide a side into blocks, so that few of them are sampled from beyond its ends.

    Args:
        side: pixels of the picture.
        whole: pixels by which the positions of a block's samples lie after the block.

    Returns:
        Pixels of each block, those that it is sampled from, and if none of them is mirrored.
    """
    ends = (np.clip(end - whole, 0, side) for end in (REACH, side - REACH))
    bounds = sorted({*range(0, side, SIDE), side, *(int(end) for end in ends)})
    return [
        (slice(first, last), *_find_samples(first, last, whole, side))
        for first, last in pairwise(bounds)
    ]


def _find_samples(start: int, stop: int, whole: int, side: int) -> tuple[slice, bool]:
    """Return the pixels of a side that a block is sampled from, and if none of them is mirrored.

    Args:
        start, stop: first pixel of the block, and the one after its last.
        whole, side: as in `_divide`.
    """
    first, last = start + whole - REACH, stop + whole + REACH
    low = min(first, 2 * side - 1 - last) if last > side else first
    high = max(last, 1 - first) if first < 0 else last
    return slice(max(low, 0), min(high, side)), first >= 0 and last <= side


def _premultiply(image: Image, alpha: Image) -> Image:
    """Return the pixels of a person (h, w, 4) of a picture and its alpha (h, w)."""
    weight = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB)
    colour = cv2.multiply(image, weight, scale=1 / 255)
    person = cv2.cvtColor(colour, cv2.COLOR_RGB2RGBA)
    return np.asarray(cv2.insertChannel(alpha, person, 3), np.uint8)


def _cubic_kernel(fraction: Array) -> Array32:
    """Return the (4, 4) kernel that samples a fraction (2,) of a pixel, x and y, after a pixel."""

    def weights(share: float) -> Array:
        distance = np.abs(np.arange(-1, 3) - share)
        near = ((SHARPNESS + 2) * distance - (SHARPNESS + 3)) * distance**2 + 1
        far = ((distance - 5) * distance + 8) * distance - 4
        return np.asarray(np.where(distance <= 1, near, SHARPNESS * far))

    return np.outer(weights(fraction[1]), weights(fraction[0])).astype(np.float32)


def _filter(around: Image, kernel: Array32) -> Image:
    """Filter a block with REACH pixels around it, and return the block."""
    filtered = np.asarray(cv2.filter2D(around, -1, kernel, anchor=(1, 1)), np.uint8)
    return filtered[REACH:-REACH, REACH:-REACH]


def _sample(person: Image, size: tuple[int, int], start: Array) -> Image:
    """Sample a person (h, w, 4) at size (rows, columns) positions from start (x, y) on."""
    positions = np.empty((*size, 2), np.float32)
    positions[..., 0] = np.arange(size[1]) + start[0]
    positions[..., 1] = (np.arange(size[0]) + start[1])[:, None]
    return sample_person(person, positions, cv2.INTER_CUBIC)
