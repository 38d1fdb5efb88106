"""Feature volumes moved by 3-D keypoints: what face vid2vid and LivePortrait have in common.

Volumes are (B, C, 16, 64, 64), points (x, y, z) as in `blocks.grid`; every grid is read with align_corners False, which is what the
checkpoints were trained with. Keys as published.
Sources: One-Shot_Free-View_Neural_Talking_Head_Synthesis modules/dense_motion.py at 9511d25; LivePortrait src/modules/dense_motion.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.shared.networks import grid
from thcli.engines.shared.networks.layers import (
    Down,
    Hourglass,
    Same,
    convolution,
    norm,
    rectify,
    residuals,
)

DEPTH = 16
COMPRESSED = 4
VARIANCE = 0.01  # of the keypoints' heat


class Appearance(nn.Module):
    """Picture (B, 3, 256, 256) -> feature volume (B, 32, 16, 64, 64): down in 2-D, channels folded into depth, residual blocks in 3-D.

    kernel: of the first convolution.  narrow: divides every width (1: as published).
    """

    def __init__(self, kernel: int = 3, *, narrow: int = 1):
        super().__init__()
        a, b, c, volume = 64 // narrow, 128 // narrow, 256 // narrow, 32 // narrow
        self.first = Same(3, a, kernel)
        self.down_blocks = nn.ModuleList([Down(a, b), Down(b, c)])
        self.second = nn.Conv2d(c, volume * DEPTH, 1)
        self.resblocks_3d = residuals("3dr", 6, volume, dims=3)

    def volume(self, picture: Tensor) -> Tensor:
        """The part that depends on the source alone."""
        x = self.first(picture)
        for block in self.down_blocks:
            x = block(x)
        x = self.second(x)
        out: Tensor = self.resblocks_3d(x.reshape(len(x), -1, DEPTH, *x.shape[2:]))
        return out


class Field(NamedTuple):
    """Dense motion. deformation: (B, 16, 64, 64, 3) where to read.  occlusion: (B, 1, 64, 64) in 0..1.  mask: (B, regions, 16, 64, 64)."""

    deformation: Tensor
    occlusion: Tensor
    mask: Tensor


class DenseMotion(nn.Module):
    """Small volume and two sets of keypoints -> the field that carries the source there.

    keypoints: how many.  narrow: divides every width (1: as published).
    """

    FOLDS: ClassVar[Sequence[tuple[str, str]]] = (("compress", "norm"),)

    def __init__(self, keypoints: int, *, narrow: int = 1):
        super().__init__()
        regions = keypoints + 1
        inputs = regions * (1 + COMPRESSED)
        wide = 32 // narrow + inputs
        self.hourglass = Hourglass(
            32 // narrow, inputs, 5, 1024 // narrow, dims=3, outputs=wide, normed=True
        )
        self.mask = convolution(3, wide, regions, 7)
        self.compress = convolution(3, 32 // narrow, COMPRESSED, 1)
        self.norm = norm(3, COMPRESSED)
        self.occlusion = convolution(2, wide * DEPTH, 1, 7)

    def reduce(self, volume: Tensor) -> Tensor:
        """The source's volume in few channels."""
        return rectify(self.norm(self.compress(volume)))

    def forward(self, small: Tensor, source: Tensor, driving: Tensor) -> Field:
        sizes = tuple(small.shape[2:])
        heat = grid.gaussians(driving, sizes, VARIANCE) - grid.gaussians(source, sizes, VARIANCE)
        heat = F.pad(heat, (0,) * 6 + (1, 0))  # background first: no heat, no motion
        offsets = F.pad(source - driving, (0, 0, 1, 0))
        moved = grid.shift(small.expand(len(driving), *small.shape[1:]), offsets, aligned=False)
        feature = self.hourglass(torch.cat([heat[:, :, None], moved], 2).flatten(1, 2)).contiguous()
        mask = F.softmax(self.mask(feature).float(), 1)
        flow = (mask.flatten(2).transpose(1, 2) @ offsets).view(len(mask), *sizes, 3)
        deformation = flow + grid.identity(sizes, flow.device, flow.dtype)
        return Field(
            deformation, torch.sigmoid(self.occlusion(feature.flatten(1, 2)).float()), mask
        )
