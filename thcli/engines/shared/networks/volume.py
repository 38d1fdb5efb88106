"""Feature volumes warped by 3-D keypoints, shared by face vid2vid and LivePortrait.

Volumes are (B, C, 16, 64, 64), points (x, y, z) as in `shared.networks.grid`. Every grid is sampled
with align_corners False, as in the checkpoints' training. Keys as published.
Sources: One-Shot_Free-View_Neural_Talking_Head_Synthesis modules/dense_motion.py at 9511d25;
LivePortrait src/modules/dense_motion.py at 1986663.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.shared.networks import grid
from thcli.engines.shared.networks.layers import (
    DownBlock,
    Hourglass,
    PyramidSize,
    SameBlock,
    convolution,
    norm,
    rectify,
    residual_blocks,
)

DEPTH = 16
COMPRESSED = 4
VARIANCE = 0.01  # of the keypoints' heatmaps


class Appearance(nn.Module):
    """Image (B, 3, 256, 256) to feature volume (B, 32, 16, 64, 64).

    It reduces in 2-D, folds channels into depth and applies residual blocks in 3-D.
    kernel: of the first convolution.  width_divisor: divides every width (1: as published).
    """

    def __init__(self, kernel: int = 3, *, width_divisor: int = 1):
        super().__init__()
        a, b, c, volume = (
            64 // width_divisor,
            128 // width_divisor,
            256 // width_divisor,
            32 // width_divisor,
        )
        self.first = SameBlock(3, a, kernel)
        self.down_blocks = nn.ModuleList([DownBlock(a, b), DownBlock(b, c)])
        self.second = nn.Conv2d(c, volume * DEPTH, 1)
        self.resblocks_3d = residual_blocks("3dr", 6, volume, dims=3)

    def volume(self, image: Tensor) -> Tensor:
        """Compute the feature volume, which depends on the source alone."""
        x = self.first(image)
        for block in self.down_blocks:
            x = block(x)
        x = self.second(x)
        out: Tensor = self.resblocks_3d(x.reshape(len(x), -1, DEPTH, *x.shape[2:]))
        return out


class MotionField(NamedTuple):
    """Dense motion.

    deformation: (B, 16, 64, 64, 3) sampling grid.  occlusion: (B, 1, 64, 64) in 0..1. mask: (B,
    regions, 16, 64, 64).
    """

    deformation: Tensor
    occlusion: Tensor
    mask: Tensor


class DenseMotion(nn.Module):
    """Compressed volume and two sets of keypoints to the motion field between them.

    keypoints: their number.  width_divisor: divides every width (1: as published).
    """

    FOLDS: ClassVar[Sequence[tuple[str, str]]] = (("compress", "norm"),)

    def __init__(self, keypoints: int, *, width_divisor: int = 1):
        super().__init__()
        regions = keypoints + 1
        inputs = regions * (1 + COMPRESSED)
        wide = 32 // width_divisor + inputs
        size = PyramidSize(32 // width_divisor, inputs, 5, 1024 // width_divisor)
        self.hourglass = Hourglass(size, dims=3, outputs=wide, normed=True)
        self.mask = convolution(3, wide, regions, 7)
        self.compress = convolution(3, 32 // width_divisor, COMPRESSED, 1)
        self.norm = norm(3, COMPRESSED)
        self.occlusion = convolution(2, wide * DEPTH, 1, 7)

    def compress_source(self, volume: Tensor) -> Tensor:
        """Compress the source's volume to COMPRESSED channels."""
        return rectify(self.norm(self.compress(volume)))

    def forward(self, small: Tensor, source: Tensor, driving: Tensor) -> MotionField:
        sizes = tuple(small.shape[2:])
        heat = grid.gaussians(driving, sizes, VARIANCE) - grid.gaussians(source, sizes, VARIANCE)
        heat = F.pad(heat, (0,) * 6 + (1, 0))  # background first: no heat, no motion
        offsets = F.pad(source - driving, (0, 0, 1, 0))
        warped = grid.sample_shifted(
            small.expand(len(driving), *small.shape[1:]), offsets, aligned=False
        )
        feature = self.hourglass(
            torch.cat([heat[:, :, None], warped], 2).flatten(1, 2)
        ).contiguous()
        mask = F.softmax(self.mask(feature).float(), 1)
        flow = (mask.flatten(2).transpose(1, 2) @ offsets).view(len(mask), *sizes, 3)
        deformation = flow + grid.identity(sizes, flow.device, flow.dtype)
        return MotionField(
            deformation, torch.sigmoid(self.occlusion(feature.flatten(1, 2)).float()), mask
        )
