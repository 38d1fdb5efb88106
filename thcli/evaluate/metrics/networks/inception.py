"""Inception-v3 as FID uses it: the graph of 2015-12-05 in pytorch-fid's layout.

It differs from torchvision's network: means ignore the border, the last block takes maxima, and
there are 1008 classes. Szegedy et al. 2016; keys of `pt_inception-2015-12-05`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as Pillow
from torch import Tensor, nn

from thcli.core.types import Array32, Image
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state

CPU = torch.device("cpu")
WEIGHTS = "inception-fid"
SIDE, WIDTH, CLASSES = 299, 2048, 1008
Unit = tuple[str, int, tuple[int, int], int]  # name, channels, kernel, stride
Chain = list[tuple[Unit, ...]]  # steps; the units of one step are joined by channels


class ConvolutionUnit(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], stride: int, padded: bool = True
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if stride == 1 and padded else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, h, w)."""
        return F.relu(self.bn(self.conv(x)))


class MixedBlock(nn.Module):
    """Parallel chains of units, joined by channels.

    Args:
        inputs: channels.
        chains: units of each chain.
        pool: "mean", "max" or "reduce": pooling of the last chain, which begins with it.
    """

    def __init__(self, inputs: int, chains: Sequence[Chain], pool: str) -> None:
        super().__init__()
        self.pool, self.outputs = pool, 0
        self.chains = [[[unit[0] for unit in step] for step in chain] for chain in chains]
        for chain in chains:
            width = inputs
            for step in chain:
                for name, outputs, kernel, stride in step:
                    self.add_module(name, ConvolutionUnit(width, outputs, kernel, stride))
                width = sum(unit[1] for unit in step)
            self.outputs += width

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, h, w)."""
        found = []
        for number, chain in enumerate(self.chains):
            y = self._pooled(x) if number == len(self.chains) - 1 else x
            for names in chain:
                y = torch.cat([self.get_submodule(name)(y) for name in names], 1)
            found.append(y)
        return torch.cat(found, 1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "mean":
            return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return F.max_pool2d(x, 3, 2) if self.pool == "reduce" else F.max_pool2d(x, 3, 1, 1)


def _unit(name: str, outputs: int, height: int = 1, width: int = 0, stride: int = 1) -> Unit:
    return f"branch{name}", outputs, (height, width or height), stride


def _small(pooled: int) -> list[Chain]:
    """Return the chains of the blocks of 35 x 35."""
    return [
        [(_unit("1x1", 64),)],
        [(_unit("5x5_1", 48),), (_unit("5x5_2", 64, 5),)],
        [
            (_unit("3x3dbl_1", 64),),
            (_unit("3x3dbl_2", 96, 3),),
            (_unit("3x3dbl_3", 96, 3),),
        ],
        [(_unit("_pool", pooled),)],
    ]


def _long(width: int) -> list[Chain]:
    """Return the chains of the blocks of 17 x 17, with kernels of 7."""
    return [
        [(_unit("1x1", 192),)],
        [
            (_unit("7x7_1", width),),
            (_unit("7x7_2", width, 1, 7),),
            (_unit("7x7_3", 192, 7, 1),),
        ],
        [
            (_unit("7x7dbl_1", width),),
            (_unit("7x7dbl_2", width, 7, 1),),
            (_unit("7x7dbl_3", width, 1, 7),),
            (_unit("7x7dbl_4", width, 7, 1),),
            (_unit("7x7dbl_5", 192, 1, 7),),
        ],
        [(_unit("_pool", 192),)],
    ]


def _wide() -> list[Chain]:
    """Return the chains of the blocks of 8 x 8, whose ends fork."""
    return [
        [(_unit("1x1", 320),)],
        [
            (_unit("3x3_1", 384),),
            (_unit("3x3_2a", 384, 1, 3), _unit("3x3_2b", 384, 3, 1)),
        ],
        [
            (_unit("3x3dbl_1", 448),),
            (_unit("3x3dbl_2", 384, 3),),
            (_unit("3x3dbl_3a", 384, 1, 3), _unit("3x3dbl_3b", 384, 3, 1)),
        ],
        [(_unit("_pool", 192),)],
    ]


_TO_17: list[Chain] = [
    [(_unit("3x3", 384, 3, stride=2),)],
    [
        (_unit("3x3dbl_1", 64),),
        (_unit("3x3dbl_2", 96, 3),),
        (_unit("3x3dbl_3", 96, 3, stride=2),),
    ],
    [],
]
_TO_8: list[Chain] = [
    [(_unit("3x3_1", 192),), (_unit("3x3_2", 320, 3, stride=2),)],
    [
        (_unit("7x7x3_1", 192),),
        (_unit("7x7x3_2", 192, 1, 7),),
        (_unit("7x7x3_3", 192, 7, 1),),
        (_unit("7x7x3_4", 192, 3, stride=2),),
    ],
    [],
]
_STEM: tuple[tuple[str, int, int, int, bool], ...] = (  # name, channels, kernel, stride, padded
    ("Conv2d_1a_3x3", 32, 3, 2, False),
    ("Conv2d_2a_3x3", 32, 3, 1, False),
    ("Conv2d_2b_3x3", 64, 3, 1, True),
    ("Conv2d_3b_1x1", 80, 1, 1, True),
    ("Conv2d_4a_3x3", 192, 3, 1, False),
)
_POOLED = ("Conv2d_2b_3x3", "Conv2d_4a_3x3")  # followed by a maximum
_MIXED: tuple[tuple[str, list[Chain], str], ...] = (
    ("Mixed_5b", _small(32), "mean"),
    ("Mixed_5c", _small(64), "mean"),
    ("Mixed_5d", _small(64), "mean"),
    ("Mixed_6a", _TO_17, "reduce"),
    ("Mixed_6b", _long(128), "mean"),
    ("Mixed_6c", _long(160), "mean"),
    ("Mixed_6d", _long(160), "mean"),
    ("Mixed_6e", _long(192), "mean"),
    ("Mixed_7a", _TO_8, "reduce"),
    ("Mixed_7b", _wide(), "mean"),
    ("Mixed_7c", _wide(), "max"),
)


class InceptionV3(nn.Module):
    """Inception-v3 from images to the features of FID."""

    def __init__(self) -> None:
        super().__init__()
        width = 3
        for name, outputs, kernel, stride, padded in _STEM:
            unit = ConvolutionUnit(width, outputs, (kernel, kernel), stride, padded)
            self.add_module(name, unit)
            width = outputs
        for name, chains, pool in _MIXED:
            block = MixedBlock(width, chains, pool)
            self.add_module(name, block)
            width = block.outputs
        self.fc = nn.Linear(WIDTH, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, 2048) of images (B, 3, 299, 299), (level - 128) / 128."""
        x = images
        for name, *_ in _STEM:
            x = self.get_submodule(name)(x)
            x = F.max_pool2d(x, 3, 2) if name in _POOLED else x
        for name, *_ in _MIXED:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))


def build_inception(tensors: dict[str, Tensor], device: torch.device = CPU) -> InceptionV3:
    """Build the network from the published file. Raises WeightsError for other keys or shapes."""
    network = InceptionV3()
    load_state(network, tensors, WEIGHTS, device)
    return network


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the published layout."""
    load_state(InceptionV3(), checkpoint.tensors(), WEIGHTS, CPU)


def resize_cleanly(image: Image, side: int = SIDE) -> Array32:
    """Resize (H, W, 3) uint8 to (side, side, 3) float32 in 0..255, bicubic and free of aliasing.

    Parmar et al. 2022: Pillow's filter on each channel as floats, without rounding.
    """
    planes = [
        np.asarray(
            Pillow.fromarray(image[..., channel].astype(np.float32)).resize(
                (side, side), Pillow.Resampling.BICUBIC
            )
        )
        for channel in range(3)
    ]
    return np.asarray(np.clip(np.stack(planes, -1), 0, 255), np.float32)


def encode_images(network: InceptionV3, images: Sequence[Image]) -> Array32:
    """Return features (N, 2048) of images (H, W, 3) uint8."""
    pixels = np.stack([resize_cleanly(image) for image in images])
    device = network.fc.weight.device
    with torch.inference_mode():
        x = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2)
        return np.asarray(network((x - 128) / 128).cpu().numpy(), np.float32)
