"""The generators of face vid2vid, keys as published (config vox-256): the original decoder and the SPADE one.

Pictures are (B, 3, 256, 256) float32 RGB in [0, 1]; volumes (B, C, 16, 64, 64); points (x, y, z) as in `blocks.grid`.
Every grid is read with align_corners False, which is what the checkpoints were trained with.
Source: One-Shot_Free-View_Neural_Talking_Head_Synthesis modules/{dense_motion,generator}.py at 9511d25.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from thcli.engines.facevid2vid.estimator import KEYPOINTS
from thcli.engines.shared.networks import grid
from thcli.engines.shared.networks.decoder import SpadeDecoder
from thcli.engines.shared.networks.layers import Same, Up, convolution, residuals
from thcli.engines.shared.networks.volume import DEPTH, Appearance, DenseMotion, Field


class Encoded(NamedTuple):
    """What a source gives once. volume: (1, 32, 16, 64, 64).  small: (1, 4, 16, 64, 64) for the motion network.  keypoints: (1, 15, 3)."""

    volume: Tensor
    small: Tensor
    keypoints: Tensor


class Generator(Appearance, ABC):
    """What both decoders share: source volume, warp, back to 2-D. Subclasses paint the picture from the warped feature.

    kernel: of the first convolution.  narrow: divides every width (1: as published).
    """

    def __init__(self, kernel: int, *, narrow: int = 1):
        super().__init__(kernel, narrow=narrow)
        c, volume = 256 // narrow, 32 // narrow
        self.dense_motion_network = DenseMotion(KEYPOINTS, narrow=narrow)
        self.third = Same(volume * DEPTH, c, slope=0.01)
        self.fourth = nn.Conv2d(c, c, 1)

    def encode(self, picture: Tensor, keypoints: Tensor) -> Encoded:
        """The part that depends on the source alone; picture (1, 3, 256, 256), keypoints (1, 15, 3) of the source."""
        volume = self.volume(picture)
        return Encoded(volume, self.dense_motion_network.reduce(volume), keypoints)

    def motion(self, source: Encoded, driving: Tensor) -> Field:
        """Dense motion for driving keypoints (B, 15, 3)."""
        out: Field = self.dense_motion_network(source.small, source.keypoints, driving)
        return out

    def warp(self, source: Encoded, field: Field) -> Tensor:
        """The source's feature (B, 256, 64, 64) where the driver is, before occlusion."""
        volume = source.volume.expand(len(field.deformation), -1, -1, -1, -1)
        moved = grid.sample(volume, field.deformation, aligned=False)
        out: Tensor = self.fourth(self.third(moved.flatten(1, 2)))
        return out

    @abstractmethod
    def paint(self, feature: Tensor) -> Tensor:
        """Occluded feature -> picture (B, 3, 256, 256) in [0, 1]."""

    def forward(self, source: Encoded, driving: Tensor) -> Tensor:
        field = self.motion(source, driving)
        return self.paint(self.warp(source, field) * field.occlusion)


class OriginalGenerator(Generator):
    """Residual blocks and upsampling: the trainer's default."""

    def __init__(self, *, narrow: int = 1):
        super().__init__(7, narrow=narrow)
        a, b, c = 64 // narrow, 128 // narrow, 256 // narrow
        self.resblocks_2d = residuals("2dr", 6, c)
        self.up_blocks = nn.ModuleList([Up(c, b), Up(b, a)])
        self.final = convolution(2, a, 3, 7)

    def paint(self, feature: Tensor) -> Tensor:
        x = self.resblocks_2d(feature)
        for block in self.up_blocks:
            x = block(x)
        return torch.sigmoid(self.final(x).float())


class SpadeGenerator(Generator):
    """The demo's default."""

    def __init__(self, *, narrow: int = 1):
        super().__init__(3, narrow=narrow)
        self.decoder = SpadeDecoder(narrow=narrow)

    def paint(self, feature: Tensor) -> Tensor:
        out: Tensor = self.decoder(feature)
        return out
