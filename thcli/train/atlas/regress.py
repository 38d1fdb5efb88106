"""Directions of attributes by weighted ridge regression: what a label changes when everything else stays as it is.

Blanz and Vetter 1999, section 4.1 (facial attributes as vectors of a morphable model), with every attribute, the pose, the light and the
complexion in one regression, so that each direction is clean of the others; every place of the atlas has its own weights, for hair,
glasses and a turned head hide other places in every picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32, Image
from thcli.editors.atlas import tone
from thcli.train.atlas.measure import BANDS

_CELL = 4  # samples of the atlas that share the weights' inverse: what hides a face is larger
_BLOCK = 256  # pictures at a time
_RIDGE = 12.0  # pictures' worth of doubt in every column
_LEAST = 100.0  # pictures that show a place where half of what they say is believed


@dataclass(frozen=True, slots=True)
class Rows:
    """N pictures, measured. textures: (N, ROWS, HALF, 3) uint8.  weights: (N, ROWS, HALF) uint8.  details: (N, ROWS / 2, HALF / 2, 2).

    shapes: (N, 468, 3) canonical.
    """

    textures: Image
    weights: Image
    details: npt.NDArray[np.float16]
    shapes: Array32

    def __len__(self) -> int:
        return len(self.shapes)


@dataclass(frozen=True, slots=True)
class Normal:
    """The sums that every regression on these columns needs.

    own: (P, P), alike: (ROWS / 4, HALF / 4, P, P), columns with columns; textures (ROWS, HALF, P, 3), details (ROWS / 2, HALF / 2, P, 2)
    and shapes (P, 468 * 3): columns with what is explained.
    """

    own: Array
    alike: Array32
    textures: Array32
    details: Array32
    shapes: Array


def sums(rows: Rows, columns: Array32) -> Normal:
    """columns: (N, P), the first of which is 1."""
    count, wide = columns.shape
    high, half = rows.textures.shape[1:3]
    upper = np.triu_indices(wide)
    small = (high // 2) * (half // 2)
    cells = (high // _CELL) * (half // _CELL)
    alike = np.zeros((cells, len(upper[0])), np.float32)
    textures = np.zeros((3, wide, high * half), np.float32)
    details = np.zeros((len(BANDS), wide, small), np.float32)
    for start in range(0, count, _BLOCK):
        part = slice(start, start + _BLOCK)
        x = columns[part]
        # A cell counts as much as the least of it that is seen, so that all of it has the same weights.
        blocks = rows.weights[part].reshape(len(x), high // _CELL, _CELL, half // _CELL, _CELL)
        cell = blocks.min((2, 4)).astype(np.float32) / 255
        weight = cell.repeat(_CELL, 1).repeat(_CELL, 2)
        less = weight[:, ::2, ::2].reshape(len(x), -1)
        alike += cell.reshape(len(x), -1).T @ (x[:, upper[0]] * x[:, upper[1]])
        texture = decoded(rows.textures[part])
        for channel in range(3):
            textures[channel] += x.T @ (weight * texture[..., channel]).reshape(len(x), -1)
        detail = rows.details[part].astype(np.float32)
        for band in range(len(BANDS)):
            details[band] += x.T @ (less * detail[..., band].reshape(len(x), -1))
    full = np.zeros((cells, wide, wide), np.float32)
    full[:, upper[0], upper[1]] = alike
    full[:, upper[1], upper[0]] = alike
    wide_columns = columns.astype(np.float64)
    return Normal(
        wide_columns.T @ wide_columns,
        full.reshape(high // _CELL, half // _CELL, wide, wide),
        np.ascontiguousarray(textures.transpose(2, 1, 0)).reshape(high, half, wide, 3),
        np.ascontiguousarray(details.transpose(2, 1, 0)).reshape(
            high // 2, half // 2, wide, len(BANDS)
        ),
        wide_columns.T @ rows.shapes.reshape(count, -1).astype(np.float64),
    )


def solved(
    normal: Normal, used: Sequence[int], wanted: Sequence[int]
) -> tuple[Array32, Array32, Array32]:
    """The coefficients of `wanted` columns when the columns `used` explain what is seen, column 0 (the constant) among them.

    Gives textures (K, ROWS, HALF, 3), details (K, ROWS / 2, HALF / 2, 2), shapes (K, 468, 3). Where few pictures show a place they fade.
    """
    use = np.asarray(used)
    constant = list(used).index(0)
    at = [list(used).index(one) for one in wanted]
    ridge = np.full(len(use), _RIDGE)
    ridge[constant] = 1e-3
    alike = normal.alike[:, :, use][:, :, :, use].astype(np.float64)
    seen = alike[:, :, constant, constant]
    sure = seen / (seen + _LEAST)
    inverse = (
        np.linalg.inv(alike + np.diag(ridge))[:, :, at] * sure[..., None, None]
    )  # (., ., K, P)

    def applied(to: Array32) -> Array32:
        times = to.shape[0] // inverse.shape[0]
        whole = inverse.astype(np.float32).repeat(times, 0).repeat(times, 1)
        return np.moveaxis(whole @ to[:, :, use], 2, 0)

    textures, details = applied(normal.textures), applied(normal.details)
    own = np.linalg.inv(normal.own[np.ix_(use, use)] + np.diag(ridge))[at]
    shapes = (own @ normal.shapes[use]).reshape(len(at), -1, 3)
    return textures, details, shapes.astype(np.float32)


def decoded(coded: Image) -> Array32:
    """Soft logarithms of what `atlas_measure` keeps."""
    return np.asarray(
        coded.astype(np.float32) * np.float32((tone.HIGH - tone.LOW) / 255) + np.float32(tone.LOW)
    )
