"""Sensor noise and film grain: how much of it a picture has, and more of the same for a crop that has less.

Measured in octaves of frequency and in brightness and two colour differences (cameras and codecs blur the noise of colours
more), where the skin is flattest, and made anew for each frame from its number: the same seed gives the same grain.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32

BANDS = 3  # octaves: detail of 2, 4 and 8 pixels
_BLOCK = 8  # pixels across the blocks whose flatness is compared
_FLATTEST = 0.3  # the part of the blocks that is looked at
_QUIETEST = 0.25  # the quantile among them that counts: a wrinkle only adds
_FALL = 0.75  # an octave has at most this much of the next finer one: noise falls by half, wrinkles and pores rise
_LEAST_BLOCKS = 6
_MOST = 0.04  # of full scale: more than this in one octave is texture
_UNSURE = 0.006  # of full scale: the most that is given on the word of one picture, which does not tell grain from pores
_NOTHING = 0.0012  # of full scale: less than a third of an 8-bit level is not added
_RANGE = (0.06, 0.94)  # brightness between which nothing is clipped
_TILE = 512  # pixels across the stock of noise, which wraps around
_SIGMAS = (0.7, 1.4, 2.8)  # the blurs between the octaves

# Orthonormal axes: brightness, blue-yellow, red-green; rows are made of R, G, B.
_AXES = np.array([[1, 1, 1], [-1, -1, 2], [1, -1, 0]], np.float32)
_AXES /= np.linalg.norm(_AXES, axis=1, keepdims=True)
_GREY = np.full((1, 3), 1 / 3, np.float32)

Flags = npt.NDArray[np.bool_]


def _octaves(pixels: Array32, border: int = cv2.BORDER_REFLECT_101) -> list[Array32]:
    """The BANDS finest octaves of a picture, each of its size."""
    out, last = [], pixels
    for sigma in _SIGMAS:
        blurred = np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=border), np.float32)
        out.append(last - blurred)
        last = blurred
    return out


def level(pixels: Array32, flat: Flags) -> Array32:
    """How strong the grain is, (BANDS, 3) standard deviations in parts of full scale, along `_AXES`.

    pixels: (h, w, 3) 0..1.  flat: (h // 8, w // 8), the blocks to look at, from `flat_blocks`.
    """
    turned = np.asarray(cv2.transform(pixels, _AXES), np.float32)
    height, width = (n * _BLOCK for n in flat.shape)
    rows: list[Array32] = []
    for octave in _octaves(turned):
        square = octave[:height, :width] ** 2
        blocks = cv2.resize(square, flat.shape[::-1], interpolation=cv2.INTER_AREA)
        found = np.minimum(np.sqrt(np.quantile(blocks[flat], _QUIETEST, axis=0)), _MOST)
        rows.append(found if not rows else np.minimum(found, _FALL * rows[-1]))
    return np.asarray(rows, np.float32)


def flat_blocks(pictures: list[Array32], mask: Array32) -> Flags | None:
    """The blocks of 8 x 8 pixels in which all pictures, (h, w, 3) 0..1, are flattest, inside the mask; None when there are too few."""
    blocks = (mask.shape[1] // _BLOCK, mask.shape[0] // _BLOCK)
    if min(blocks) < 1:
        return None
    height, width = blocks[1] * _BLOCK, blocks[0] * _BLOCK
    inside = cv2.resize(mask[:height, :width], blocks, interpolation=cv2.INTER_AREA) > 0.95
    slope = np.zeros(blocks[::-1], np.float32)
    for picture in pictures:
        grey = cv2.GaussianBlur(cv2.transform(picture[:height, :width], _GREY), (0, 0), 3.0)
        dx, dy = cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1)
        slope += cv2.resize(np.hypot(dx, dy), blocks, interpolation=cv2.INTER_AREA)
        mean = cv2.resize(grey, blocks, interpolation=cv2.INTER_AREA)
        inside &= (mean > _RANGE[0]) & (mean < _RANGE[1])
    if int(inside.sum()) < _LEAST_BLOCKS:
        return None
    limit = np.quantile(slope[inside], max(_FLATTEST, _LEAST_BLOCKS / int(inside.sum())))
    return np.asarray(inside & (slope <= limit))


def missing(
    frame: Array32, made: Array32, mask: Array32, before: Array32 | None = None
) -> Array32 | None:
    """What grain `made` lacks, as `level` gives it; None for none.

    frame, made: the same place, (h, w, 3) 0..1.  mask: (h, w) 0..1, where both are looked at.  before: the frame before, there:
    what of the texture stays from one to the other is skin, not grain.
    """
    flat = flat_blocks([frame, made], mask)
    if flat is None:
        return None
    wanted = level(frame, flat)
    if before is not None:
        wanted = np.minimum(wanted, level((frame - before) * np.float32(np.sqrt(0.5)), flat))
    else:
        wanted *= min(_UNSURE / max(float(wanted.max()), 1e-9), 1.0)
    lack = np.sqrt(np.maximum(wanted**2 - level(made, flat) ** 2, 0))
    return np.asarray(lack, np.float32) if float(lack.max()) > _NOTHING else None


@lru_cache(maxsize=2)
def _stock(seed: int) -> tuple[list[Array32], Array]:
    """Noise of unit strength in each octave, (TILE, TILE, 3) each, seamless, read-only; and the (BANDS, BANDS) power of column j's tile in octave i."""
    rng = np.random.default_rng([seed, 0x6E015E])
    tiles = []
    for band in range(BANDS):
        white = rng.standard_normal((_TILE, _TILE, 3), np.float32)
        padded = np.pad(white, ((16, 16), (16, 16), (0, 0)), "wrap")
        tile = _octaves(padded)[band][16:-16, 16:-16]
        tile = np.ascontiguousarray(tile / tile.std())
        tile.setflags(write=False)
        tiles.append(tile)
    power = [[float((octave**2).mean()) for octave in _octaves(tile)] for tile in tiles]
    return tiles, np.array(power).T


def make(strength: Array32, size: tuple[int, int], seed: int, number: int) -> Array32:
    """Grain that `level` would measure as `strength`, (height, width, 3) in parts of full scale, mean 0.

    size: (width, height).  number: of the frame; another one has another grain.
    """
    tiles, power = _stock(seed)
    # The octaves overlap: the tiles' strengths are those whose sum has the measured power in each.
    amounts = np.sqrt(
        np.clip(np.linalg.solve(power, np.asarray(strength, np.float64) ** 2), 0, None)
    )
    rng = np.random.default_rng([seed, number])
    width, height = size
    out = np.zeros((height, width, 3), np.float32)
    for tile, amount in zip(tiles, amounts, strict=True):
        x, y = (int(v) for v in rng.integers(0, _TILE, 2))
        if amount.max() <= 0:
            continue
        rgb = (amount[:, None] * _AXES).T.astype(np.float32)
        for row in range(0, height, _TILE):
            for column in range(0, width, _TILE):
                part = out[row : row + _TILE, column : column + _TILE]
                part += cv2.transform(_rolled(tile, x, y, part.shape[1], part.shape[0]), rgb)
    return out


def _rolled(tile: Array32, x: int, y: int, width: int, height: int) -> Array32:
    """The part of a tile that begins at x, y and goes on around its edges."""
    part = tile[y:]
    if y + height > _TILE:
        part = np.concatenate([part, tile[: y + height - _TILE]])
    part = part[:height]
    if x + width > _TILE:
        return np.concatenate([part[:, x:], part[:, : x + width - _TILE]], 1)
    return np.ascontiguousarray(part[:, x : x + width])
