"""The networks that render and correct: warping module, generator, and the three small ones for stitching, eyes and lips. Keys as published.

The appearance feature extractor is `blocks.volume.Appearance`, the generator `blocks.decoder.SpadeDecoder` with its last step doubled.
Points (x, y, z) as in `blocks.grid`; volumes (B, C, 16, 64, 64).
Source: LivePortrait src/modules/{warping_network,spade_generator,stitching_retargeting_network}.py at 1986663.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn

from thcli.engines.liveportrait.observer import KEYPOINTS, MotionExtractor
from thcli.engines.shared.networks import grid
from thcli.engines.shared.networks.decoder import SpadeDecoder
from thcli.engines.shared.networks.layers import Same
from thcli.engines.shared.networks.volume import DEPTH, Appearance, DenseMotion, Field

STITCHING = (126, 128, 128, 64, 65)
LIPS = (65, 128, 128, 64, 63)
EYES = (66, 256, 256, 128, 128, 64, 63)


class Encoded(NamedTuple):
    """What a source gives once. volume: (1, 32, 16, 64, 64).  small: (1, 4, 16, 64, 64) for the motion network.  keypoints: (1, 21, 3)."""

    volume: Tensor
    small: Tensor
    keypoints: Tensor


class Warping(nn.Module):
    """Moves the source's volume to where the driving keypoints are, and flattens it. narrow: divides every width (1: as published)."""

    def __init__(self, *, narrow: int = 1):
        super().__init__()
        c, volume = 256 // narrow, 32 // narrow
        self.dense_motion_network = DenseMotion(KEYPOINTS, narrow=narrow)
        self.third = Same(volume * DEPTH, c, slope=0.01)
        self.fourth = nn.Conv2d(c, c, 1)

    def encode(self, volume: Tensor, keypoints: Tensor) -> Encoded:
        """volume: the source's (1, ...).  keypoints: the source's own (1, 21, 3)."""
        return Encoded(volume, self.dense_motion_network.reduce(volume), keypoints)

    def motion(self, source: Encoded, driving: Tensor) -> Field:
        """Dense motion for driving keypoints (B, 21, 3)."""
        out: Field = self.dense_motion_network(source.small, source.keypoints, driving)
        return out

    def warp(self, source: Encoded, field: Field) -> Tensor:
        """The source's feature (B, 256, 64, 64) where the driver is, what cannot be seen taken away."""
        volume = source.volume.expand(len(field.deformation), -1, -1, -1, -1)
        moved = grid.sample(volume, field.deformation, aligned=False)
        out: Tensor = self.fourth(self.third(moved.flatten(1, 2))) * field.occlusion
        return out

    def forward(self, source: Encoded, driving: Tensor) -> Tensor:
        return self.warp(source, self.motion(source, driving))


class Layers(nn.Module):
    """Linear layers with ReLU between. widths: of input, hidden layers and output."""

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


class Networks(NamedTuple):
    """All seven."""

    appearance: Appearance
    observer: MotionExtractor
    warping: Warping
    generator: SpadeDecoder
    stitching: Layers
    lips: Layers
    eyes: Layers

    @classmethod
    def new(cls, *, narrow: int = 1) -> Networks:
        """Untrained. narrow: divides every width of the first four (1: as published)."""
        big = (Appearance(narrow=narrow), MotionExtractor(narrow=narrow), Warping(narrow=narrow))
        return cls(
            *big,
            SpadeDecoder(shuffle=True, narrow=narrow),
            *(Layers(w) for w in (STITCHING, LIPS, EYES)),
        )
