"""Attribute directions by weighted ridge regression: the effect of a label with all else fixed.

Source: Blanz and Vetter 1999, section 4.1 (facial attributes as vectors of a morphable model).
One regression has all attributes, the pose, the light and the complexion, so that the directions
are independent of each other. Every texel has its own weights, because hair, glasses and head pose
hide other texels in every image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32, Image
from thcli.editors.atlas import tone
from thcli.train.atlas.measure import BANDS

_CELL = 4  # side of the texel blocks that share one inverse; occluders are larger
_BLOCK = 256  # faces processed at a time
_RIDGE = 12.0  # ridge of every column, in faces
_HALF_TRUST = 100.0  # visible faces at which a texel's coefficients are halved


@dataclass(frozen=True, slots=True)
class MeasuredFaces:
    """Measurements of N faces.

    textures: (N, ROWS, HALF, 3) uint8. weights: (N, ROWS, HALF) uint8.
    details: (N, ROWS / 2, HALF / 2, 2) float16. shapes: (N, 468, 3) canonical.
    """

    textures: Image
    weights: Image
    details: npt.NDArray[np.float16]
    shapes: Array32

    def __len__(self) -> int:
        return len(self.shapes)


@dataclass(frozen=True, slots=True)
class NormalEquations:
    """The sums that every regression on these columns needs, for P columns.

    design: (P, P) products of columns. weighted: (ROWS / 4, HALF / 4, P, P) the same, weighted per
    cell. textures: (ROWS, HALF, P, 3), details: (ROWS / 2, HALF / 2, P, 2) and shapes: (P, 468 * 3)
    products of columns and observations.
    """

    design: Array
    weighted: Array32
    textures: Array32
    details: Array32
    shapes: Array


def accumulate(faces: MeasuredFaces, design: Array32) -> NormalEquations:
    """Accumulate the normal equations. design: (N, P), whose first column is 1."""
    count, columns = design.shape
    height, width = faces.textures.shape[1:3]
    upper = np.triu_indices(columns)
    detail_size = (height // 2) * (width // 2)
    cells = (height // _CELL) * (width // _CELL)
    products = np.zeros((cells, len(upper[0])), np.float32)
    textures = np.zeros((3, columns, height * width), np.float32)
    details = np.zeros((len(BANDS), columns, detail_size), np.float32)
    for start in range(0, count, _BLOCK):
        part = slice(start, start + _BLOCK)
        x = design[part]
        # All texels of a cell have the weight of its least visible one.
        blocks = faces.weights[part].reshape(len(x), height // _CELL, _CELL, width // _CELL, _CELL)
        cell = blocks.min((2, 4)).astype(np.float32) / 255
        weight = cell.repeat(_CELL, 1).repeat(_CELL, 2)
        detail_weight = weight[:, ::2, ::2].reshape(len(x), -1)
        products += cell.reshape(len(x), -1).T @ (x[:, upper[0]] * x[:, upper[1]])
        texture = decode_texture(faces.textures[part])
        for channel in range(3):
            textures[channel] += x.T @ (weight * texture[..., channel]).reshape(len(x), -1)
        detail = faces.details[part].astype(np.float32)
        for band in range(len(BANDS)):
            details[band] += x.T @ (detail_weight * detail[..., band].reshape(len(x), -1))
    weighted = np.zeros((cells, columns, columns), np.float32)
    weighted[:, upper[0], upper[1]] = products
    weighted[:, upper[1], upper[0]] = products
    textures = np.ascontiguousarray(textures.transpose(2, 1, 0))
    details = np.ascontiguousarray(details.transpose(2, 1, 0))
    design64 = design.astype(np.float64)
    return NormalEquations(
        design64.T @ design64,
        weighted.reshape(height // _CELL, width // _CELL, columns, columns),
        textures.reshape(height, width, columns, 3),
        details.reshape(height // 2, width // 2, columns, len(BANDS)),
        design64.T @ faces.shapes.reshape(count, -1).astype(np.float64),
    )


def solve(
    normal: NormalEquations, used: Sequence[int], wanted: Sequence[int]
) -> tuple[Array32, Array32, Array32]:
    """Return the coefficients of the `wanted` columns in the regression on the columns `used`.

    Coefficients fade where few faces are visible.

    Args:
        normal: The normal equations.
        used: Columns of the regression, including column 0 (the constant).
        wanted: Columns whose coefficients are returned.

    Returns:
        textures (K, ROWS, HALF, 3), details (K, ROWS / 2, HALF / 2, 2) and shapes (K, 468, 3).
    """
    columns = np.asarray(used)
    constant = list(used).index(0)
    rows = [list(used).index(column) for column in wanted]
    ridge = np.full(len(columns), _RIDGE)
    ridge[constant] = 1e-3
    weighted = normal.weighted[:, :, columns][:, :, :, columns].astype(np.float64)
    visible = weighted[:, :, constant, constant]
    trust = visible / (visible + _HALF_TRUST)
    inverse = np.linalg.inv(weighted + np.diag(ridge))[:, :, rows]  # (ROWS / 4, HALF / 4, K, P)
    inverse = inverse * trust[..., None, None]

    def coefficients(products: Array32) -> Array32:
        times = products.shape[0] // inverse.shape[0]
        per_texel = inverse.astype(np.float32).repeat(times, 0).repeat(times, 1)
        return np.moveaxis(per_texel @ products[:, :, columns], 2, 0)

    textures, details = coefficients(normal.textures), coefficients(normal.details)
    design = normal.design[np.ix_(columns, columns)]
    shape_inverse = np.linalg.inv(design + np.diag(ridge))[rows]
    shapes = (shape_inverse @ normal.shapes[columns]).reshape(len(rows), -1, 3)
    return textures, details, shapes.astype(np.float32)


def decode_texture(coded: Image) -> Array32:
    """Decode a stored texture to soft logarithms."""
    return np.asarray(
        coded.astype(np.float32) * np.float32((tone.HIGH - tone.LOW) / 255) + np.float32(tone.LOW)
    )
