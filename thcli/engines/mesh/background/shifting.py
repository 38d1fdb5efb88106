"""Shift of a picture's person over its plate, in blocks.

A block that shows the person or the plate alone is not blended. Within the picture a shift is one
small filter for all pixels, several times as fast as sampling each at a position. Beside an edge
from which the person moves away, the picture is stretched: mirrored hair and ears are seen as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import cv2
import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import compose
from thcli.engines.mesh.background.blocks import SIDE
from thcli.engines.mesh.background.edges import sample_mirrored
from thcli.engines.mesh.sampling import merge_positions, mix

REACH = 3  # pixels around a position that it is sampled from, and one to spare
FRACTIONS = 32  # of a pixel, to which a shift is rounded, as positions are in cv2.remap
SHARPNESS = -0.75  # of the cubic kernel, as in OpenCV (Keys 1981, a)
SPREAD = 3.0  # width of the band that is stretched, in shifts
BESIDE = 0.75  # alpha up to which a pixel is the background's as long as the person hardly moves


@dataclass(frozen=True, slots=True)
class _Axis:
    """Positions (N,) float32 that the pixels of one axis are sampled at.

    exact: those that are all moved by one shift, with all that they are sampled from.
    """

    positions: Array32
    exact: slice

    @staticmethod
    def of(side: int, back: float) -> _Axis:
        """Return the positions of a side that is sampled `back` pixels further on."""
        if back > 0:
            mirrored = _Axis.of(side, -back)
            exact = slice(side - mirrored.exact.stop, side - mirrored.exact.start)
            return _Axis(np.ascontiguousarray(side - 1 - mirrored.positions[::-1]), exact)
        pixels, shift = np.arange(side, dtype=np.float64), -back
        positions, band = pixels + back, pixels < SPREAD * shift
        near = pixels[band]  # a parabola from the edge itself to where the shift is whole
        positions[band] = (1 - 2 / SPREAD) * near + near**2 / (SPREAD**2 * max(shift, 1e-6))
        whole = int(np.floor(back))
        start = min(max(int(band.sum()), REACH - whole), side)
        stop = min(max(side - whole - REACH - 1, start), side)
        return _Axis(positions.astype(np.float32), slice(start, stop))

    def blocks(self) -> list[tuple[slice, bool]]:
        """Return blocks of the pixels, and whether they are exact."""
        side = len(self.positions)
        bounds = sorted({*range(0, side, SIDE), side, self.exact.start, self.exact.stop})
        return [
            (slice(*block), self.exact.start <= block[0] and block[1] <= self.exact.stop)
            for block in pairwise(bounds)
        ]

    def source(self, block: slice) -> slice:
        """Return the pixels that a block is sampled from."""
        low, high = self.positions[block.start], self.positions[block.stop - 1]
        return slice(max(int(low) - REACH, 0), min(int(high) + 1 + REACH, len(self.positions)))


def shift_person(
    image: Image, plate: Image, alpha: Image, shift: Array, turned: Image | None = None
) -> Image:
    """Shift the person of a picture, stretched where the picture's edges cut it off.

    Args:
        image, plate: (H, W, 3) uint8.
        alpha: (H, W) uint8 of the person.
        shift: (2,) pixels.
        turned: (H, W) uint8, how far pixels show another part of the source before the shift; None
            where none does.

    Returns:
        (H, W, 3) uint8.
    """
    back, left = -_round(shift), 1 - compose.moved_share(shift, image)
    out = np.empty_like(plate)
    kernel = _cubic_kernel(back % 1)
    across, down = (
        _Axis.of(side, float(n)) for side, n in zip(alpha.shape[::-1], back, strict=True)
    )
    for (rows, is_high), (columns, is_wide) in product(down.blocks(), across.blocks()):
        block, y, x = (rows, columns), down.source(rows), across.source(columns)
        shown = alpha[y, x]
        least, most = cv2.minMaxLoc(shown)[:2]
        if least == 255 and is_high and is_wide:
            out[block] = _filter(image[y, x], kernel)
            continue
        own = None if turned is None else turned[block]
        behind = _left_behind((image[block], plate[block]), alpha[block], left, own)
        if most == 0:
            out[block] = behind
            continue
        person = _premultiply(image[y, x], shown)
        if is_high and is_wide:
            moved = _filter(person, kernel)
        else:
            moved = _sample(
                person, across.positions[columns] - x.start, down.positions[rows] - y.start
            )
        out[block] = compose.lay_over(moved, behind)
    return out


def _left_behind(
    shown: tuple[Image, Image], alpha: Image, share: float, turned: Image | None
) -> Image:
    """Return the plate with a share of what the picture shows beside its person.

    A matte takes some of the background for a half transparent person. As long as the person has
    hardly moved that stays as it is, so that nothing changes at once. Where the head has moved by
    itself it would be a line along its outline.

    Args:
        shown: (h, w, 3) uint8 picture and plate.
        alpha: (h, w) uint8 of the person.
        share: 0..1, of what stays.
        turned: (h, w) uint8, how far it does not; None where it does.
    """
    picture, plate = shown
    if share <= 0:
        return plate
    beside = cv2.convertScaleAbs(255 - alpha, alpha=share / (1 - BESIDE))
    stays = np.minimum(beside, np.uint8(round(255 * share)))
    if turned is not None:
        cv2.multiply(stays, 255 - turned, stays, 1 / 255)
    return mix(plate, picture, stays)


def shift_cut_out(person: Image, shift: Array) -> Image:
    """Shift a person (H, W, 4) uint8 premultiplied without a plate, as `shift_person` does."""
    height, width = person.shape[:2]
    x, y = _round(shift)
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
    across, down = _Axis.of(width, -float(x)), _Axis.of(height, -float(y))
    for (rows, is_high), (columns, is_wide) in product(down.blocks(), across.blocks()):
        if not (is_high and is_wide):
            sampled = _sample(person, across.positions[columns], down.positions[rows])
            moved[rows, columns] = sampled
    return moved


def _round(shift: Array) -> Array:
    return np.asarray(np.round(np.asarray(shift, np.float64) * FRACTIONS) / FRACTIONS)


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


def _sample(person: Image, across: Array32, down: Array32) -> Image:
    """Sample a person (h, w, 4) at columns (W,) and rows (H,) of positions."""
    x, y = np.meshgrid(across, down)
    return sample_mirrored(person, merge_positions(x, y), cv2.INTER_CUBIC)
