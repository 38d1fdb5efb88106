"""The generators of face vid2vid, with the keys as published (config vox-256).

There is the original decoder and the SPADE one. Images are (B, 3, 256, 256) float32 RGB in [0, 1];
volumes (B, C, 16, 64, 64); points (x, y, z) as in `shared.networks.grid`. Every grid is sampled
with align_corners False, as in the checkpoints' training.
Source: One-Shot_Free-View_Neural_Talking_Head_Synthesis modules/{dense_motion,generator}.py at
9511d25.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from thcli.engines.facevid2vid.estimator import KEYPOINTS
from thcli.engines.shared.networks import grid
from thcli.engines.shared.networks.decoder import SpadeDecoder
from thcli.engines.shared.networks.layers import SameBlock, UpBlock, convolution, residual_blocks
from thcli.engines.shared.networks.volume import DEPTH, Appearance, DenseMotion, MotionField


class EncodedSource(NamedTuple):
    """Features of a source, computed once.

    volume: (1, 32, 16, 64, 64).  small: (1, 4, 16, 64, 64), compressed for the motion network.
    keypoints: (1, 15, 3).
    """

    volume: Tensor
    small: Tensor
    keypoints: Tensor


class Generator(Appearance, ABC):
    """Base class of both generators: source volume, warp, projection to 2-D.

    Subclasses decode the warped feature.
    kernel: of the first convolution.  width_divisor: divides every width (1: as published).
    """

    def __init__(self, kernel: int, *, width_divisor: int = 1):
        super().__init__(kernel, width_divisor=width_divisor)
        c, volume = 256 // width_divisor, 32 // width_divisor
        self.dense_motion_network = DenseMotion(KEYPOINTS, width_divisor=width_divisor)
        self.third = SameBlock(volume * DEPTH, c, slope=0.01)
        self.fourth = nn.Conv2d(c, c, 1)

    def encode(self, image: Tensor, keypoints: Tensor) -> EncodedSource:
        """Encode a source image (1, 3, 256, 256) with its keypoints (1, 15, 3), once."""
        volume = self.volume(image)
        return EncodedSource(volume, self.dense_motion_network.compress_source(volume), keypoints)

    def motion(self, source: EncodedSource, driving: Tensor) -> MotionField:
        """Compute the dense motion for driving keypoints (B, 15, 3)."""
        out: MotionField = self.dense_motion_network(source.small, source.keypoints, driving)
        return out

    def warp(self, source: EncodedSource, field: MotionField) -> Tensor:
        """Warp the source's feature to the keypoints: (B, 256, 64, 64) before occlusion."""
        volume = source.volume.expand(len(field.deformation), -1, -1, -1, -1)
        warped = grid.sample(volume, field.deformation, aligned=False)
        out: Tensor = self.fourth(self.third(warped.flatten(1, 2)))
        return out

    @abstractmethod
    def synthesize(self, feature: Tensor) -> Tensor:
        """Decode an occluded feature to an image (B, 3, 256, 256) in [0, 1]."""

    def forward(self, source: EncodedSource, driving: Tensor) -> Tensor:
        field = self.motion(source, driving)
        return self.synthesize(self.warp(source, field) * field.occlusion)


class OriginalGenerator(Generator):
    """Generator with residual blocks and upsampling, the trainer's default."""

    def __init__(self, *, width_divisor: int = 1):
        super().__init__(7, width_divisor=width_divisor)
        a, b, c = 64 // width_divisor, 128 // width_divisor, 256 // width_divisor
        self.resblocks_2d = residual_blocks("2dr", 6, c)
        self.up_blocks = nn.ModuleList([UpBlock(c, b), UpBlock(b, a)])
        self.final = convolution(2, a, 3, 7)

    def synthesize(self, feature: Tensor) -> Tensor:
        x = self.resblocks_2d(feature)
        for block in self.up_blocks:
            x = block(x)
        return torch.sigmoid(self.final(x).float())


class SpadeGenerator(Generator):
    """Generator with the SPADE decoder, the demo's default."""

    def __init__(self, *, width_divisor: int = 1):
        super().__init__(3, width_divisor=width_divisor)
        self.decoder = SpadeDecoder(width_divisor=width_divisor)

    def synthesize(self, feature: Tensor) -> Tensor:
        out: Tensor = self.decoder(feature)
        return out
