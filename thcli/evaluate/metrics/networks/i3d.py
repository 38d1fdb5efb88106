"""I3D on Kinetics-400 (Carreira and Zisserman 2017), whose logits FVD compares.

Layout of pytorch-i3d's `rgb_imagenet.pt`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.types import Array32, Image
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state

CPU = torch.device("cpu")
WEIGHTS = "i3d"
FRAMES, SIDE, CLASSES = 16, 224, 400
Kernel = tuple[int, int, int]
ONE: Kernel = (1, 1, 1)
THREE: Kernel = (3, 3, 3)
TWO: Kernel = (2, 2, 2)
_MIXED: tuple[tuple[str, tuple[int, int, int, int, int, int]], ...] = (
    ("Mixed_3b", (64, 96, 128, 16, 32, 32)),
    ("Mixed_3c", (128, 128, 192, 32, 96, 64)),
    ("Mixed_4b", (192, 96, 208, 16, 48, 64)),
    ("Mixed_4c", (160, 112, 224, 24, 64, 64)),
    ("Mixed_4d", (128, 128, 256, 24, 64, 64)),
    ("Mixed_4e", (112, 144, 288, 32, 64, 64)),
    ("Mixed_4f", (256, 160, 320, 32, 128, 128)),
    ("Mixed_5b", (256, 160, 320, 32, 128, 128)),
    ("Mixed_5c", (384, 192, 384, 48, 128, 128)),
)
_POOLS: dict[str, tuple[Kernel, Kernel]] = {  # before the block: kernel, stride
    "Conv3d_2b_1x1": ((1, 3, 3), (1, 2, 2)),
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": (THREE, TWO),
    "Mixed_5b": (TWO, TWO),
}


def pad_same(x: Tensor, kernel: Kernel, stride: Kernel) -> Tensor:
    """Pad (B, C, T, H, W) with zeros as TensorFlow's SAME: the odd one at the end."""
    borders: list[int] = []
    for size, window, step in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
        total = max((-(-size // step) - 1) * step + window - size, 0)
        borders += [total // 2, total - total // 2]
    return F.pad(x, borders)


def max_pool_same(x: Tensor, kernel: Kernel, stride: Kernel) -> Tensor:
    """Return the maxima of a map padded by `pad_same`."""
    return F.max_pool3d(pad_same(x, kernel, stride), kernel, stride)


class VideoUnit(nn.Module):
    """Convolution, batch normalisation and ReLU; or a convolution with bias alone."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Kernel = ONE,
        stride: Kernel = ONE,
        last: bool = False,
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=last)
        self.bn = None if last else nn.BatchNorm3d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, t, h, w)."""
        y: Tensor = self.conv3d(pad_same(x, self.kernel, self.stride))
        return y if self.bn is None else F.relu(self.bn(y))


class VideoMixedBlock(nn.Module):
    """Four parallel branches, joined by channels."""

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        self.outputs = widths[0] + widths[2] + widths[4] + widths[5]
        self.b0 = VideoUnit(inputs, widths[0])
        self.b1a, self.b1b = VideoUnit(inputs, widths[1]), VideoUnit(widths[1], widths[2], THREE)
        self.b2a, self.b2b = VideoUnit(inputs, widths[3]), VideoUnit(widths[3], widths[4], THREE)
        self.b3b = VideoUnit(inputs, widths[5])

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, t, h, w)."""
        pooled = max_pool_same(x, THREE, ONE)
        branches = self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)
        return torch.cat(branches, 1)


class I3D(nn.Module):
    """I3D from clips to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = VideoUnit(3, 64, (7, 7, 7), TWO)
        self.Conv3d_2b_1x1 = VideoUnit(64, 64)
        self.Conv3d_2c_3x3 = VideoUnit(64, 192, THREE)
        width = 192
        for name, widths in _MIXED:
            block = VideoMixedBlock(width, widths)
            self.add_module(name, block)
            width = block.outputs
        self.logits = VideoUnit(width, CLASSES, last=True)

    def forward(self, clips: Tensor) -> Tensor:
        """Return logits (B, 400), the mean over time. clips: (B, 3, T, 224, 224) in -1..1."""
        x = self.Conv3d_1a_7x7(clips)
        names = ["Conv3d_2b_1x1", "Conv3d_2c_3x3", *(name for name, _ in _MIXED)]
        for name in names:
            x = max_pool_same(x, *_POOLS[name]) if name in _POOLS else x
            x = self.get_submodule(name)(x)
        found: Tensor = self.logits(F.avg_pool3d(x, (2, 7, 7), 1))
        return found.mean((2, 3, 4))


def build_i3d(tensors: dict[str, Tensor], device: torch.device = CPU) -> I3D:
    """Build the network from the published file. Raises WeightsError for other keys or shapes."""
    network = I3D()
    load_state(network, tensors, WEIGHTS, device)
    return network


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the published layout."""
    load_state(I3D(), checkpoint.tensors(), WEIGHTS, CPU)


def encode_clip(network: I3D, frames: Sequence[Image]) -> Array32:
    """Return the logits (400,) of FRAMES images (H, W, 3) uint8."""
    device = network.logits.conv3d.weight.device
    pixels = torch.from_numpy(np.stack(frames)).to(device).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        small = F.interpolate(pixels, (SIDE, SIDE), mode="bilinear", align_corners=False)
        found = network((small / 127.5 - 1).transpose(0, 1)[None])[0]
        return np.asarray(found.cpu().numpy(), np.float32)
