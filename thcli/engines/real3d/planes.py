"""Tri-planes and tri-grids: their layout, and the sampling of points on them.

Planes are (B, 3, C, H, W): xy, xz and zy, rows and columns turned as the renderer reads them. A
tri-grid has C = 32 * 3 channels, of which the depth is the fastest.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.real3d.config import FEATURES

BEFORE, AFTER = 1, 2  # zero pixels around a plane in its table


def as_planes(channels: Tensor) -> Tensor:
    """Split channels (B, 3 C, H, W) into planes, and turn them as they are read.

    All three have their rows reversed, and the third its columns too.
    """
    xy, xz, zy = channels.chunk(3, 1)
    return torch.stack([xy.flip(2), xz.flip(2), zy.flip((2, 3))], 1)


class GridResidual(nn.Module):
    """Residual block of a tri-grid's 3-D features, scaled by a learned number."""

    def __init__(self, channels: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor([0.01]))
        self.norm1 = nn.GroupNorm(4, channels)
        self.norm2 = nn.GroupNorm(4, channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1, padding_mode="replicate")
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1, padding_mode="replicate")

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        out: Tensor = x + self.alpha * self.conv2(F.relu(self.norm2(y)))
        return out


class PlaneToGrid(nn.Module):
    """Refinement of canonical tri-grids (B, 3, 32 D, H, W), as 3-D features of each plane."""

    def __init__(self) -> None:
        super().__init__()
        self.res_blocks_3d = nn.Sequential(GridResidual(FEATURES))

    def forward(self, planes: Tensor) -> Tensor:
        grids = planes.reshape(-1, FEATURES, planes.shape[2] // FEATURES, *planes.shape[3:])
        out: Tensor = self.res_blocks_3d(grids)
        return out.reshape(planes.shape)


class PlaneTable(NamedTuple):
    """Planes of one head as a table of rows, in which sampling is a weighted sum of rows.

    rows: (3 * D' * (H + 3) * (W + 3), 32), with zeros around every plane; D' is 1 or D + 3.
    depth: D.  size: H, equal to W.
    """

    rows: Tensor
    depth: int
    size: int

    @classmethod
    def of(cls, planes: Tensor) -> PlaneTable:
        """Create the table of planes (3, 32 D, H, W); gradients pass."""
        depth, size = planes.shape[1] // FEATURES, planes.shape[2]
        grids = planes.reshape(3, FEATURES, depth, size, size).permute(0, 2, 3, 4, 1)
        around = (0, 0, BEFORE, AFTER, BEFORE, AFTER) + ((BEFORE, AFTER) if depth > 1 else (0, 0))
        return cls(F.pad(grids, around).reshape(-1, FEATURES), depth, size)

    def sample(self, points: Tensor) -> Tensor:
        """Sample features (N, 32), the mean of the three planes, at points (N, 3) in [-1, 1].

        Interpolation is linear, with pixel edges at -1 and 1 and zeros outside. A plane takes two
        coordinates as its column and row (and the third as its depth): (x, y, z), (x, z, y) and, as
        EG3D does, (z, x, y).
        """
        side = self.size + BEFORE + AFTER
        slices = 1 if self.depth == 1 else self.depth + BEFORE + AFTER
        first, share = _cells(points, self.size)
        near, far = _cells(points, self.depth) if self.depth > 1 else (None, None)
        indices, weights = [], []
        for plane, (column, row, depth) in enumerate(((0, 1, 2), (0, 2, 1), (2, 0, 1))):
            start = first[:, row] * side + first[:, column] + plane * slices * side * side
            right, down = share[:, column], share[:, row]
            corners = [(0, (1 - right) * (1 - down)), (1, right * (1 - down))]
            corners += [(side, (1 - right) * down), (side + 1, right * down)]
            if near is None or far is None:
                indices += [start + step for step, _ in corners]
                weights += [weight for _, weight in corners]
                continue
            for level, part in ((0, 1 - far[:, depth]), (1, far[:, depth])):
                base = start + (near[:, depth] + level) * (side * side)
                indices += [base + step for step, _ in corners]
                weights += [weight * part for _, weight in corners]
        return F.embedding_bag(
            torch.stack(indices, 1),
            self.rows,
            mode="sum",
            per_sample_weights=torch.stack(weights, 1) / 3,
        )


def _cells(points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the first pixel of each point's cell in the padded table, and the second one's share.

    Both are (N, 3). Points far outside land among the zeros.
    """
    pixels = ((points + 1) * size - 1) / 2
    pixels = pixels.clamp(-BEFORE, size)
    whole = pixels.floor()
    return whole.to(torch.int32) + BEFORE, pixels - whole
