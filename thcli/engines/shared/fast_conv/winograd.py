"""3 x 3 (x 3) convolutions with a quarter of the multiplications, for float32 on a CPU.

Libraries compute them directly there. In Winograd's F(4 x 4, 3 x 3) every 4 x 4 tile of the output
comes from 36 products in place of 144. Three small matrices transform the input's tiles, the
kernels and the products; the products are 36 matrix multiplications over the channels. The depth of
a 3-D kernel is summed directly. Errors are about ten times those of a direct convolution (1e-5 of
the output's size), thanks to the interpolation points 0, 1, -1, 1/2, -2.

Sources: Lavin and Gray 2016, sec. 4; Barabasz et al. 2018 (points).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from thcli.core.types import Array

TILE, TAPS = 4, 3
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)  # and infinity
SIDE = TILE + TAPS - 1
TILES_AT_A_TIME = 256  # so that their data stay in the processor's cache
WEIGHTS_AT_A_TIME = 4096  # likewise, of a kernel's channels in times those out


def matrices() -> tuple[Array, Array, Array]:
    """Compute the matrices of F(4, 3) for one dimension.

    y = a ((g kernel) * (b tile)) is the correlation of a tile of 6 with a kernel of 3.

    Returns:
        a (4, 6), g (6, 3) and b (6, 6), float64.
    """

    def powers(count: int) -> Array:
        table = [[point**i for i in range(count)] for point in POINTS]
        return np.array([*table, [0.0] * (count - 1) + [1.0]])

    a, g, b = powers(TILE).T, powers(TAPS), np.linalg.inv(powers(SIDE)).T
    size = np.abs(b).max(1)  # balanced, so that the tile's transform does not amplify
    return a, g * size[:, None], b / size[:, None]


def channels_last(volume: Tensor) -> Tensor:
    """Convert a view (B, D, H, W, C) of (B, C, D, H, W) memory to memory in its own order.

    The transposition of a matrix is faster in torch than `contiguous` of the view.
    """
    if volume.is_contiguous() or not volume.permute(0, 4, 1, 2, 3).is_contiguous():
        return volume
    batch, *_, channels = volume.shape
    turned = [
        sample.permute(3, 0, 1, 2).reshape(channels, -1).t().contiguous() for sample in volume
    ]
    return torch.stack(turned).view(volume.shape) if batch > 1 else turned[0].view(volume.shape)


class WinogradConv(nn.Module):
    """The same output as `conv`: 3 x 3 or 3 x 3 x 3, stride 1, zero padding 1."""

    def __init__(self, conv: nn.Conv2d | nn.Conv3d):
        super().__init__()
        a, g, b = matrices()
        weight = conv.weight.detach().cpu()
        self.deep = weight.ndim == 5
        outputs, inputs = weight.shape[:2]
        taps = weight.reshape(outputs, inputs, -1, TAPS * TAPS).permute(2, 3, 1, 0)
        by_tap = torch.from_numpy(np.kron(g, g))
        kernel = weight.new_empty((len(taps), SIDE * SIDE, inputs, outputs), dtype=torch.float32)
        step = max(1, WEIGHTS_AT_A_TIME // outputs)
        for transformed, planes in zip(kernel, taps, strict=True):
            for part, rows in zip(transformed.split(step, 1), planes.split(step, 1), strict=True):
                part.copy_((by_tap @ rows.flatten(1).double()).view(part.shape))
        self.register_buffer("kernel", kernel)
        self.register_buffer("input_transform", torch.from_numpy(np.kron(b, b)).float())
        self.register_buffer("output_transform", torch.from_numpy(np.kron(a, a)).float())
        bias = torch.zeros(outputs) if conv.bias is None else conv.bias.detach().cpu().float()
        self.register_buffer("bias", bias)

    kernel: Tensor  # (depth taps, 36, inputs, outputs)
    input_transform: Tensor  # (36, 36)
    output_transform: Tensor  # (16, 36)
    bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, [D,] H, W) to (B, O, [D,] H, W), channels last in memory."""
        volume = (x if self.deep else x[:, :, None]).permute(0, 2, 3, 4, 1)
        batch, depth, height, width, inputs = volume.shape
        taps, outputs = len(self.kernel), len(self.bias)
        down, across = -(-height // TILE), -(-width // TILE)
        edge = taps // 2
        padded = x.new_zeros(batch, depth + taps - 1, TILE * down + 2, TILE * across + 2, inputs)
        padded[:, edge : edge + depth, 1 : height + 1, 1 : width + 1] = channels_last(volume)
        out = x.new_empty(batch, depth, down, TILE, across, TILE, outputs)
        step = max(1, TILES_AT_A_TIME // (across * depth))
        for sample in range(batch):
            for first in range(0, down, step):
                last = min(down, first + step)
                rows = padded[sample, :, TILE * first : TILE * last + 2]
                self._band(rows, out[sample, :, first:last].permute(2, 4, 0, 1, 3, 5))
        whole = out.view(batch, depth, TILE * down, TILE * across, outputs)[:, :, :height, :width]
        result = whole.permute(0, 4, 1, 2, 3)
        return result if self.deep else result[:, :, 0]

    def _band(self, rows: Tensor, out: Tensor) -> None:
        """Compute some rows of tiles into `out`.

        Args:
            rows: (depth + taps - 1, 4 down + 2, 4 across + 2, C) padded input.
            out: (4, 4, depth, down, across, O), filled.
        """
        _, _, depth, down, across, outputs = out.shape
        deep, high, wide, _ = rows.stride()
        inputs, tiles = rows.shape[3], down * across
        shape = (SIDE, SIDE, len(rows), down, across, inputs)
        tile_pixels = rows.as_strided(
            shape, (high, wide, deep, TILE * high, TILE * wide, 1)
        ).reshape(SIDE * SIDE, -1)
        transformed = (self.input_transform @ tile_pixels).view(
            SIDE * SIDE, len(rows) * tiles, inputs
        )
        count = depth * tiles
        products = torch.bmm(transformed[:, :count], self.kernel[0])
        for tap in range(1, len(self.kernel)):
            products.baddbmm_(transformed[:, tap * tiles : tap * tiles + count], self.kernel[tap])
        back = (self.output_transform @ products.view(SIDE * SIDE, -1)).view(
            TILE, TILE, depth, down, across, outputs
        )
        torch.add(back, self.bias, out=out)
