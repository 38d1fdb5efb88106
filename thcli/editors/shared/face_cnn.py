"""Small convolutional network on face crops of 64 x 64 pixels.

Its blocks are those of identity-s: dense 3 x 3 convolutions. The output layer has its own weights
for each cell of the last feature map, because facial features have fixed positions in an aligned
crop.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from thcli.faces.identity.network import Block

SIDE = 64  # pixels of the input, in FFHQ's crop
GRID = 4  # cells of the last feature map along a side


class FaceCnn(nn.Module):
    """Convolutional network that maps face crops to a vector.

    widths: channels of the stem and of each stage.
    counts: blocks of each stage.
    outputs: length of the output vector.
    width_divisor: divides the widths, for tests.
    """

    def __init__(
        self, widths: Sequence[int], counts: Sequence[int], outputs: int, width_divisor: int = 1
    ) -> None:
        super().__init__()
        stem, *stages = (max(width // width_divisor, 4) for width in widths)
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
        self.out = nn.Linear(before * GRID**2, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) RGB in 0..1 to (B, outputs); other sizes than 64 x 64 are resized."""
        out: Tensor = self.out(self.dropout(self.features(images)))
        return out

    def features(self, images: Tensor) -> Tensor:
        """Map images, as for `forward`, to what the output layer sees, (B, C * GRID^2)."""
        x = resize_to_input(images) * 2 - 1
        x = functional.relu(self.stem_norm(self.stem(x)))
        maps: Tensor = self.blocks(x)
        return functional.adaptive_avg_pool2d(maps, GRID).flatten(1)


def resize_to_input(images: Tensor) -> Tensor:
    """Resize images (B, 3, H, W) to SIDE x SIDE with antialiasing; differentiable."""
    if images.shape[-2:] == (SIDE, SIDE):
        return images
    return functional.interpolate(
        images, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False
    )


def images_to_tensor(images: npt.NDArray[np.uint8]) -> Tensor:
    """Convert (N, H, W, 3) uint8 to (N, 3, H, W) float32 in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
