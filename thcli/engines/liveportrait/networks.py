"""LivePortrait's networks that render and correct, with the keys as published.

They are the warping module, the generator, and three small ones for stitching, eyes and lips. The
appearance feature extractor is `shared.networks.volume.Appearance`. The generator is
`shared.networks.decoder.SpadeDecoder` with its last step doubled. Points (x, y, z) as in
`shared.networks.grid`; volumes (B, C, 16, 64, 64).
Source: LivePortrait src/modules/{warping_network,spade_generator,stitching_retargeting_network}.py
at 1986663.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn

from thcli.engines.liveportrait.observer import KEYPOINTS, MotionExtractor
from thcli.engines.shared.networks import grid
from thcli.engines.shared.networks.decoder import SpadeDecoder
from thcli.engines.shared.networks.layers import SameBlock
from thcli.engines.shared.networks.volume import DEPTH, Appearance, DenseMotion, MotionField

STITCHING = (126, 128, 128, 64, 65)
LIPS = (65, 128, 128, 64, 63)
EYES = (66, 256, 256, 128, 128, 64, 63)


class EncodedSource(NamedTuple):
    """Features of a source, computed once.

    volume: (1, 32, 16, 64, 64).  small: (1, 4, 16, 64, 64), compressed for the motion network.
    keypoints: (1, 21, 3).
    """

    volume: Tensor
    small: Tensor
    keypoints: Tensor


class Warping(nn.Module):
    """Warping of the source's volume to the driving keypoints, and its projection to 2-D.

    width_divisor: divides every width (1: as published).
    """

    def __init__(self, *, width_divisor: int = 1):
        super().__init__()
        c, volume = 256 // width_divisor, 32 // width_divisor
        self.dense_motion_network = DenseMotion(KEYPOINTS, width_divisor=width_divisor)
        self.third = SameBlock(volume * DEPTH, c, slope=0.01)
        self.fourth = nn.Conv2d(c, c, 1)

    def encode(self, volume: Tensor, keypoints: Tensor) -> EncodedSource:
        """Prepare a source from its volume (1, 32, 16, 64, 64) and its own keypoints (1, 21, 3)."""
        return EncodedSource(volume, self.dense_motion_network.compress_source(volume), keypoints)

    def motion(self, source: EncodedSource, driving: Tensor) -> MotionField:
        """Compute the dense motion for driving keypoints (B, 21, 3)."""
        out: MotionField = self.dense_motion_network(source.small, source.keypoints, driving)
        return out

    def warp(self, source: EncodedSource, field: MotionField) -> Tensor:
        """Warp the source's feature to the driver, (B, 256, 64, 64), with occluded parts masked."""
        volume = source.volume.expand(len(field.deformation), -1, -1, -1, -1)
        warped = grid.sample(volume, field.deformation, aligned=False)
        out: Tensor = self.fourth(self.third(warped.flatten(1, 2))) * field.occlusion
        return out

    def forward(self, source: EncodedSource, driving: Tensor) -> Tensor:
        return self.warp(source, self.motion(source, driving))


class Mlp(nn.Module):
    """Linear layers with ReLU between them. widths: of input, hidden layers and output."""

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.mlp = nn.Sequential()
        for a, b in pairwise(widths):
            if len(self.mlp):
                self.mlp.append(nn.ReLU())
            self.mlp.append(nn.Linear(a, b))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mlp(x)
        return out


class LivePortraitNetworks(NamedTuple):
    """The seven networks."""

    appearance: Appearance
    observer: MotionExtractor
    warping: Warping
    generator: SpadeDecoder
    stitching: Mlp
    lips: Mlp
    eyes: Mlp

    @classmethod
    def new(cls, *, width_divisor: int = 1) -> LivePortraitNetworks:
        """Create untrained networks.

        width_divisor: divides every width of the first four (1: as published).
        """
        big = (
            Appearance(width_divisor=width_divisor),
            MotionExtractor(width_divisor=width_divisor),
            Warping(width_divisor=width_divisor),
        )
        return cls(
            *big,
            SpadeDecoder(shuffle=True, width_divisor=width_divisor),
            *(Mlp(w) for w in (STITCHING, LIPS, EYES)),
        )
