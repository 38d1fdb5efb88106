"""identity-s: a small residual network from an aligned face to a unit vector of 512 numbers.

Dense 3 x 3 convolutions, because a CPU does them several times faster, for each multiplication, than depthwise ones. The map
is not averaged over the whole face but over 4 x 4 fields, each with weights of its own: in an aligned crop an eye is where
an eye is (Deng et al. 2019, sec. 3.1, found the same of global pooling).
"""

from __future__ import annotations

import copy

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from thcli.core.types import Image

LENGTH = 512
SIDE = 64  # pixels that it sees of a crop: a third of the work of all 112, for a loss that is small
WIDTHS = (32, 48, 96, 224)  # channels of the stem and of the three stages
BLOCKS = (1, 2, 2)
FIELDS = 4


def seen(crop: Image) -> Image:
    """A crop (112, 112, 3) at the size that the network sees, (64, 64, 3): each pixel the mean of the area under it."""
    return np.asarray(cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


class Block(nn.Module):
    """Two convolutions beside a way through; `stride` 2 halves the map."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(after)
        self.stride, self.straight = stride, before == after and stride == 1
        if not self.straight:
            self.way = nn.Conv2d(before, after, 1, bias=False)
            self.way_norm = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.first_norm(self.first(x)), inplace=True)
        y = self.second_norm(self.second(y))
        if not self.straight:
            x = self.way_norm(self.way(functional.avg_pool2d(x, self.stride, ceil_mode=True)))
        return functional.relu(y + x, inplace=True)


class IdentityNet(nn.Module):
    """(B, 3, 64, 64) RGB in 0..1, as `seen` reduces a crop -> (B, 512) of unit length.

    narrow: divides the widths, for trials.
    """

    def __init__(self, narrow: int = 1) -> None:
        super().__init__()
        stem, *stages = (max(width // narrow, 4) for width in WIDTHS)
        self.stem = nn.Conv2d(3, stem, 3, 2, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(stem)
        blocks: list[Block] = []
        before = stem
        for width, count in zip(stages, BLOCKS, strict=True):
            for number in range(count):
                blocks.append(Block(before, width, 1 if number else 2))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.map_widths = tuple(stages[1:])
        self.vector = nn.Linear(before * FIELDS**2, LENGTH, bias=False)
        self.vector_norm = nn.BatchNorm1d(LENGTH, affine=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.with_maps(pictures)[0]

    def with_maps(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The vectors, and the maps at the ends of the last two stages, an eighth and a sixteenth of the pictures' side."""
        x = functional.relu(self.stem_norm(self.stem(pictures * 2 - 1)), inplace=True)
        ends = [BLOCKS[0] + BLOCKS[1] - 1, sum(BLOCKS) - 1]
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in ends:
                maps.append(x)
        flat = functional.adaptive_avg_pool2d(x, FIELDS).flatten(1)
        return functional.normalize(self.vector_norm(self.vector(flat)).float()), maps


def folded(network: IdentityNet) -> IdentityNet:
    """A copy for evaluation with every normalisation inside its convolution: the same vectors in about two thirds of the time."""
    net = copy.deepcopy(network).eval()

    def fold(module: nn.Module, convolution: str) -> None:
        norm = getattr(module, f"{convolution}_norm")
        setattr(module, convolution, fuse_conv_bn_eval(getattr(module, convolution), norm))
        setattr(module, f"{convolution}_norm", nn.Identity())

    fold(net, "stem")
    for block in net.blocks:
        fold(block, "first")
        fold(block, "second")
        if not block.straight:
            fold(block, "way")
    with torch.no_grad():
        norm = net.vector_norm
        net.vector = fuse_linear_bn_eval(net.vector, _with_ones(norm))
    net.vector_norm = nn.Identity()  # type: ignore[assignment]  # in place of the BatchNorm1d that is now in `vector`
    return net


def _with_ones(norm: nn.BatchNorm1d) -> nn.BatchNorm1d:
    """The same normalisation with the affine part spelt out, which folding asks for."""
    whole = nn.BatchNorm1d(norm.num_features, norm.eps).eval()
    whole.load_state_dict({**whole.state_dict(), **norm.state_dict()})
    return whole
