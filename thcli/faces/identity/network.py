"""identity-s: a small residual network from an aligned face to a unit vector of 512 numbers.

Dense 3 x 3 convolutions, because on a CPU they run several times faster per multiplication than
depthwise ones. The last map is not averaged over the whole face, but over 4 x 4 cells with weights
of
their own: an aligned crop has each facial feature in a fixed place (Deng et al. 2019, sec. 3.1, on
global pooling).
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

VECTOR_LENGTH = 512
SIDE = 64  # pixels of the input: a third of the work of 112, for a small loss of accuracy
WIDTHS = (32, 48, 96, 224)  # channels of the stem and of the three stages
BLOCKS = (1, 2, 2)
POOL_GRID = 4


def reduce_crop(crop: Image) -> Image:
    """Reduce a crop (112, 112, 3) to the network input (64, 64, 3) by area means."""
    return np.asarray(cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


class Block(nn.Module):
    """Residual block of two convolutions; `stride` 2 halves the map."""

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
    """Network from (B, 3, 64, 64) RGB in 0..1 to (B, 512) of unit length.

    `reduce_crop` makes its input. narrow: divisor of the widths, for experiments.
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
        self.vector = nn.Linear(before * POOL_GRID**2, VECTOR_LENGTH, bias=False)
        self.vector_norm = nn.BatchNorm1d(VECTOR_LENGTH, affine=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_with_maps(images)[0]

    def forward_with_maps(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the vectors, and the maps at the ends of the last two stages.

        The maps have an eighth and a sixteenth of the side of the images.
        """
        x = functional.relu(self.stem_norm(self.stem(images * 2 - 1)), inplace=True)
        ends = [BLOCKS[0] + BLOCKS[1] - 1, sum(BLOCKS) - 1]
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in ends:
                maps.append(x)
        flat = functional.adaptive_avg_pool2d(x, POOL_GRID).flatten(1)
        return functional.normalize(self.vector_norm(self.vector(flat)).float()), maps


def fold_batch_norm(network: IdentityNet) -> IdentityNet:
    """Return a copy for evaluation with every normalization folded into its convolution.

    It gives the same vectors in about two thirds of the time.
    """
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
        net.vector = fuse_linear_bn_eval(net.vector, _with_affine(norm))
    # The BatchNorm1d is now in `vector`.
    net.vector_norm = nn.Identity()  # type: ignore[assignment]
    return net


def _with_affine(norm: nn.BatchNorm1d) -> nn.BatchNorm1d:
    """Return the same normalization with an explicit affine part, which folding requires."""
    affine = nn.BatchNorm1d(norm.num_features, norm.eps).eval()
    affine.load_state_dict({**affine.state_dict(), **norm.state_dict()})
    return affine
