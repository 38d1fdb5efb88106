"""A small convolutional network that sees a face of 64 x 64 pixels and says so many numbers of it.

Its blocks are identity-s's: dense 3 x 3 convolutions, and weights of their own for each field of the last map, because in an aligned
picture an eye is where an eye is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from thcli.faces.identity.network import Block

SIDE = 64  # pixels of the whole picture, cut as FFHQ's are
FIELDS = 4


class FaceTrunk(nn.Module):
    """(B, 3, H, W) RGB in 0..1 -> (B, numbers); pictures of another size than 64 x 64 are resized, with gradients.

    widths: channels of the stem and of each stage.  counts: blocks of each stage.  narrow: divides the widths, for trials.
    """

    def __init__(
        self, widths: Sequence[int], counts: Sequence[int], numbers: int, narrow: int = 1
    ) -> None:
        super().__init__()
        stem, *stages = (max(width // narrow, 4) for width in widths)
        self.stem = nn.Conv2d(3, stem, 3, 2, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(stem)
        blocks: list[Block] = []
        before = stem
        for width, count in zip(stages, counts, strict=True):
            for number in range(count):
                blocks.append(Block(before, width, 1 if number else 2))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(0.2)
        self.out = nn.Linear(before * FIELDS**2, numbers)

    def forward(self, pictures: Tensor) -> Tensor:
        x = sized(pictures) * 2 - 1
        x = functional.relu(self.stem_norm(self.stem(x)))
        maps: Tensor = self.blocks(x)
        flat = functional.adaptive_avg_pool2d(maps, FIELDS).flatten(1)
        out: Tensor = self.out(self.dropout(flat))
        return out


def sized(pictures: Tensor) -> Tensor:
    """Pictures at the size that the network sees, smoothed where they shrink; differentiable."""
    if pictures.shape[-2:] == (SIDE, SIDE):
        return pictures
    return functional.interpolate(
        pictures, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False
    )


def planes(pictures: npt.NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) -> (N, 3, H, W) in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
