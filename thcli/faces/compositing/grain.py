"""Sensor noise and film grain: measurement in an image, and synthesis for a crop that has less.

Measured in octaves of frequency and in brightness and two colour differences (cameras and codecs
blur chroma noise more), where the skin is flattest. Synthesized for each frame from its number: the
same seed gives the same grain.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32

BANDS = 3  # octaves: detail of 2, 4 and 8 pixels
_BLOCK = 8  # pixels across the blocks whose flatness is compared
_FLAT_SHARE = 0.3  # share of the blocks that is measured
_QUIET_QUANTILE = 0.25  # quantile among them: wrinkles only add
_MAX_OCTAVE_RATIO = 0.75  # of the next finer octave: noise falls by half, wrinkles and pores rise
_MIN_BLOCKS = 6
_MAX_LEVEL = 0.04  # of full scale: a stronger octave is texture
_MAX_LEVEL_SINGLE = 0.006  # of full scale: limit for a single image, where pores look like grain
_NEGLIGIBLE = 0.0012  # of full scale: less than a third of an 8-bit level
_BRIGHTNESS_RANGE = (0.06, 0.94)  # brightness between which nothing is clipped
_TILE = 512  # pixels across the noise tiles, which wrap around
_SIGMAS = (0.7, 1.4, 2.8)  # the blurs between the octaves

# Orthonormal axes of R, G, B, by rows: brightness, blue-yellow, red-green.
_AXES = np.array([[1, 1, 1], [-1, -1, 2], [1, -1, 0]], np.float32)
_AXES /= np.linalg.norm(_AXES, axis=1, keepdims=True)
_GREY = np.full((1, 3), 1 / 3, np.float32)

Flags = npt.NDArray[np.bool_]


def _octaves(pixels: Array32, border: int = cv2.BORDER_REFLECT_101) -> list[Array32]:
    """Return the BANDS finest octaves of an image, each of its size."""
    out, last = [], pixels
    for sigma in _SIGMAS:
        blurred = np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=border), np.float32)
        out.append(last - blurred)
        last = blurred
    return out


def grain_level(pixels: Array32, flat: Flags) -> Array32:
    """Measure the strength of grain: standard deviations along `_AXES`, (BANDS, 3), of full scale.

    pixels: (h, w, 3) 0..1.  flat: (h // 8, w // 8), blocks to measure, from `find_flat_blocks`.
    """
    rotated = np.asarray(cv2.transform(pixels, _AXES), np.float32)
    height, width = (n * _BLOCK for n in flat.shape)
    rows: list[Array32] = []
    for octave in _octaves(rotated):
        square = octave[:height, :width] ** 2
        blocks = cv2.resize(square, flat.shape[::-1], interpolation=cv2.INTER_AREA)
        level = np.minimum(np.sqrt(np.quantile(blocks[flat], _QUIET_QUANTILE, axis=0)), _MAX_LEVEL)
        rows.append(level if not rows else np.minimum(level, _MAX_OCTAVE_RATIO * rows[-1]))
    return np.asarray(rows, np.float32)


def find_flat_blocks(images: list[Array32], mask: Array32) -> Flags | None:
    """Return the blocks of 8 x 8 pixels in which all images are flattest; None with too few.

    images: (h, w, 3) 0..1 each.  mask: (h, w); only blocks inside it count.
    """
    blocks = (mask.shape[1] // _BLOCK, mask.shape[0] // _BLOCK)
    if min(blocks) < 1:
        return None
    height, width = blocks[1] * _BLOCK, blocks[0] * _BLOCK
    inside = cv2.resize(mask[:height, :width], blocks, interpolation=cv2.INTER_AREA) > 0.95
    slope = np.zeros(blocks[::-1], np.float32)
    for image in images:
        grey = cv2.GaussianBlur(cv2.transform(image[:height, :width], _GREY), (0, 0), 3.0)
        dx, dy = cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1)
        slope += cv2.resize(np.hypot(dx, dy), blocks, interpolation=cv2.INTER_AREA)
        mean = cv2.resize(grey, blocks, interpolation=cv2.INTER_AREA)
        inside &= (mean > _BRIGHTNESS_RANGE[0]) & (mean < _BRIGHTNESS_RANGE[1])
    if int(inside.sum()) < _MIN_BLOCKS:
        return None
    limit = np.quantile(slope[inside], max(_FLAT_SHARE, _MIN_BLOCKS / int(inside.sum())))
    return np.asarray(inside & (slope <= limit))


def missing_grain(
    frame: Array32, composed: Array32, mask: Array32, previous: Array32 | None = None
) -> Array32 | None:
    """Return the grain that `composed` lacks, as `grain_level` gives it; None for none.

    Args:
        frame, composed: the same region, (h, w, 3) 0..1.
        mask: (h, w) 0..1, region to measure in both.
        previous: the frame before, same region: texture that is the same in both is skin, not
            grain.
    """
    flat = find_flat_blocks([frame, composed], mask)
    if flat is None:
        return None
    wanted = grain_level(frame, flat)
    if previous is not None:
        difference = (frame - previous) * np.float32(np.sqrt(0.5))
        wanted = np.minimum(wanted, grain_level(difference, flat))
    else:
        wanted *= min(_MAX_LEVEL_SINGLE / max(float(wanted.max()), 1e-9), 1.0)
    lack = np.sqrt(np.maximum(wanted**2 - grain_level(composed, flat) ** 2, 0))
    return np.asarray(lack, np.float32) if float(lack.max()) > _NEGLIGIBLE else None


@lru_cache(maxsize=2)
def _noise_tiles(seed: int) -> tuple[list[Array32], Array]:
    """Return seamless noise of unit strength in each octave, and the power of each tile.

    Returns:
        (TILE, TILE, 3) per octave, read-only; and (BANDS, BANDS), the power of column j's tile in
        octave i.
    """
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


def synthesize(strength: Array32, size: tuple[int, int], seed: int, number: int) -> Array32:
    """Synthesize grain that `grain_level` would measure as `strength`.

    Args:
        strength: (BANDS, 3).
        size: (width, height).
        seed: of the job.
        number: of the frame; another frame has other grain.

    Returns:
        (height, width, 3) float32, of full scale, mean 0.
    """
    tiles, power = _noise_tiles(seed)
    # The octaves overlap: the tiles' amounts are those whose sum has the measured power in each.
    squares = np.linalg.solve(power, np.asarray(strength, np.float64) ** 2)
    amounts = np.sqrt(np.clip(squares, 0, None))
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
                part += cv2.transform(_wrap_tile(tile, x, y, part.shape[1], part.shape[0]), rgb)
    return out


def _wrap_tile(tile: Array32, x: int, y: int, width: int, height: int) -> Array32:
    """Return the part of a tile that begins at x, y and wraps around its edges."""
    part = tile[y:]
    if y + height > _TILE:
        part = np.concatenate([part, tile[: y + height - _TILE]])
    part = part[:height]
    if x + width > _TILE:
        return np.concatenate([part[:, x:], part[:, : x + width - _TILE]], 1)
    return np.ascontiguousarray(part[:, x : x + width])
