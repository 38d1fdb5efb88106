"""The generators of face vid2vid, keys as published (config vox-256): the original decoder and the SPADE one.

Pictures are (B, 3, 256, 256) float32 RGB in [0, 1]; volumes (B, C, 16, 64, 64); points (x, y, z) as in `blocks.grid`.
Every grid is read with align_corners False, which is what the checkpoints were trained with.
Source: One-Shot_Free-View_Neural_Talking_Head_Synthesis modules/{dense_motion,generator}.py at 9511d25.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.blocks import grid
from thcli.engines.blocks.layers import Down, Hourglass, Same, Up, convolution, norm, rectify, residuals
from thcli.engines.blocks.spade import SpadeBlock
from thcli.engines.facevid2vid.estimator import DEPTH, KEYPOINTS

REGIONS = KEYPOINTS + 1
COMPRESSED = 4


class Encoded(NamedTuple):
    """What a source gives once. volume: (1, 32, 16, 64, 64).  small: (1, 4, 16, 64, 64) for the motion network.  keypoints: (1, 15, 3)."""

    volume: Tensor
    small: Tensor
    keypoints: Tensor


class Field(NamedTuple):
    """Dense motion. deformation: (B, 16, 64, 64, 3) where to read.  occlusion: (B, 1, 64, 64) in 0..1.  mask: (B, 16, 16, 64, 64)."""

    deformation: Tensor
    occlusion: Tensor
    mask: Tensor


class DenseMotion(nn.Module):
    """Small volume and two sets of keypoints -> the field that carries the source there."""

    FOLDS: ClassVar[Sequence[tuple[str, str]]] = (("compress", "norm"),)

    def __init__(self, *, narrow: int = 1):
        super().__init__()
        inputs = REGIONS * (1 + COMPRESSED)
        wide = 32 // narrow + inputs
        self.hourglass = Hourglass(32 // narrow, inputs, 5, 1024 // narrow, dims=3, outputs=wide, normed=True)
        self.mask = convolution(3, wide, REGIONS, 7)
        self.compress = convolution(3, 32 // narrow, COMPRESSED, 1)
        self.norm = norm(3, COMPRESSED)
        self.occlusion = convolution(2, wide * DEPTH, 1, 7)

    def reduce(self, volume: Tensor) -> Tensor:
        """The source's volume in few channels."""
        return rectify(self.norm(self.compress(volume)))

    def forward(self, small: Tensor, source: Tensor, driving: Tensor) -> Field:
        sizes = tuple(small.shape[2:])
        heat = grid.gaussians(driving, sizes, 0.01) - grid.gaussians(source, sizes, 0.01)
        heat = F.pad(heat, (0,) * 6 + (1, 0))  # background first: no heat, no motion
        offsets = F.pad(source - driving, (0, 0, 1, 0))
        moved = grid.shift(small.expand(len(driving), *small.shape[1:]), offsets, aligned=False)
        feature = self.hourglass(torch.cat([heat[:, :, None], moved], 2).flatten(1, 2))
        mask = F.softmax(self.mask(feature).float(), 1)
        flow = (mask.flatten(2).transpose(1, 2) @ offsets).view(len(mask), *sizes, 3)
        deformation = flow + grid.identity(sizes, flow.device, flow.dtype)
        return Field(deformation, torch.sigmoid(self.occlusion(feature.flatten(1, 2)).float()), mask)


class Generator(nn.Module):
    """What both decoders share: source volume, warp, back to 2-D. Subclasses paint the picture from the warped feature.

    kernel: of the first convolution.  narrow: divides every width (1: as published).
    """

    def __init__(self, kernel: int, *, narrow: int = 1):
        super().__init__()
        a, b, c, volume = 64 // narrow, 128 // narrow, 256 // narrow, 32 // narrow
        self.dense_motion_network = DenseMotion(narrow=narrow)
        self.first = Same(3, a, kernel)
        self.down_blocks = nn.ModuleList([Down(a, b), Down(b, c)])
        self.second = nn.Conv2d(c, volume * DEPTH, 1)
        self.resblocks_3d = residuals("3dr", 6, volume, dims=3)
        self.third = Same(volume * DEPTH, c, slope=0.01)
        self.fourth = nn.Conv2d(c, c, 1)

    def encode(self, picture: Tensor, keypoints: Tensor) -> Encoded:
        """The part that depends on the source alone; picture (1, 3, 256, 256), keypoints (1, 15, 3) of the source."""
        x = self.first(picture)
        for block in self.down_blocks:
            x = block(x)
        x = self.second(x)
        volume = self.resblocks_3d(x.reshape(len(x), -1, DEPTH, *x.shape[2:]))
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

    def paint(self, feature: Tensor) -> Tensor:
        """Occluded feature -> picture (B, 3, 256, 256) in [0, 1]."""
        raise NotImplementedError

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


class SpadeDecoder(nn.Module):
    """Paints from the occluded feature, which also guides every norm."""

    def __init__(self, *, narrow: int = 1):
        super().__init__()
        a, c, d, hidden = 64 // narrow, 256 // narrow, 512 // narrow, 128 // narrow
        self.fc = convolution(2, c, d, 3)
        for i in range(6):
            self.add_module(f"G_middle_{i}", SpadeBlock(d, d, c, hidden))
        self.up_0 = SpadeBlock(d, c, c, hidden)
        self.up_1 = SpadeBlock(c, a, c, hidden)
        self.conv_img = convolution(2, a, 3, 3)

    def forward(self, feature: Tensor) -> Tensor:
        x = self.fc(feature)
        for i in range(6):
            x = self.get_submodule(f"G_middle_{i}")(x, feature)
        for block in (self.up_0, self.up_1):
            x = block(F.interpolate(x, scale_factor=2, mode="nearest"), feature)
        return torch.sigmoid(self.conv_img(rectify(x, 0.2)).float())


class SpadeGenerator(Generator):
    """The demo's default."""

    def __init__(self, *, narrow: int = 1):
        super().__init__(3, narrow=narrow)
        self.decoder = SpadeDecoder(narrow=narrow)

    def paint(self, feature: Tensor) -> Tensor:
        out: Tensor = self.decoder(feature)
        return out
