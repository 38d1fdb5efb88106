"""The two observing networks of face vid2vid, with the keys as published.

They give the source's canonical keypoints, and the head pose and expression of any image.
Source: One-Shot_Free-View_Neural_Talking_Head_Synthesis modules/{keypoint_detector,util}.py at
9511d25, config vox-256.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.shared.networks import grid
from thcli.engines.shared.networks.layers import AntiAlias, DownBlock, UpBlock, convolution, rectify
from thcli.engines.shared.networks.volume import DEPTH

KEYPOINTS = 15
BINS = 66


class KeypointHourglass(nn.Module):
    """Image feature to volume: down in 2-D, channels folded into depth, up in 3-D without skips."""

    def __init__(self, *, width_divisor: int = 1):
        super().__init__()
        widths = [width // width_divisor for width in (32, 64, 128, 256, 512, 1024)]
        self.down_blocks, self.up_blocks = nn.Sequential(), nn.Sequential()
        for i, (a, b) in enumerate(pairwise([3, *widths[1:]])):
            self.down_blocks.add_module(f"down{i}", DownBlock(a, b))
        self.conv = nn.Conv2d(widths[-1], widths[-1] * DEPTH, 1)
        for i, (a, b) in enumerate(pairwise(widths[::-1])):
            self.up_blocks.add_module(f"up{i}", UpBlock(a, b, dims=3))

    def forward(self, x: Tensor) -> Tensor:
        flat = self.conv(self.down_blocks(x))
        out: Tensor = self.up_blocks(flat.reshape(len(flat), -1, DEPTH, *flat.shape[2:]))
        return out


class KeypointDetector(nn.Module):
    """Detector of canonical keypoints: image (B, 3, 256, 256) to (B, 15, 3) in [-1, 1], x y z.

    reduced: downsample the image to a quarter, as all but the older beta checkpoint do.
    width_divisor: divides every width.
    """

    EXACT = True

    def __init__(self, *, reduced: bool = True, width_divisor: int = 1):
        super().__init__()
        self.predictor = KeypointHourglass(width_divisor=width_divisor)
        self.kp = convolution(3, 32 // width_divisor, KEYPOINTS, 3)
        self.down: nn.Module = AntiAlias(3, 4) if reduced else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        logits = self.kp(self.predictor(self.down(image)))
        return grid.expectation(grid.softmax_maps(logits.float(), 0.1))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 (with the stride) and 1 x 1 convolutions around a shortcut.

    Each convolution is followed by a norm; ReLU comes last.
    """

    FOLDS: ClassVar[Sequence[tuple[str, str]]] = (
        ("conv1", "norm1"),
        ("conv2", "norm2"),
        ("conv3", "norm3"),
    )

    def __init__(self, channels: int, stride: int = 1):
        super().__init__()
        inner = channels // 4
        self.conv1 = nn.Conv2d(channels, inner, 1)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1)
        self.conv3 = nn.Conv2d(inner, channels, 1)
        self.norm1, self.norm2, self.norm3 = (
            nn.BatchNorm2d(inner),
            nn.BatchNorm2d(inner),
            nn.BatchNorm2d(channels),
        )
        self.strided = stride != 1
        if self.strided:
            self.skip = nn.Conv2d(channels, channels, 1, stride)
            self.norm4 = nn.BatchNorm2d(channels)
            # type: ignore: this instance has one pair more than the class
            self.FOLDS = (*Bottleneck.FOLDS, ("skip", "norm4"))  # type: ignore[misc]

    def forward(self, x: Tensor) -> Tensor:
        y = rectify(self.norm1(self.conv1(x)))
        y = rectify(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        return rectify(y + (self.norm4(self.skip(x)) if self.strided else x))


class HeadPose(NamedTuple):
    """Raw outputs of the estimator.

    yaw, pitch, roll: (B, 66) bin scores.  shift: (B, 3).  expression: (B, 45), 15 triples.
    """

    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    shift: Tensor
    expression: Tensor

    def angles(self) -> Tensor:
        """Compute yaw, pitch, roll (B, 3) in degrees.

        An angle is the mean of its bins, which are 3 degrees apart from -99 on.
        """
        bins = torch.softmax(torch.stack([self.yaw, self.pitch, self.roll], 1), -1)
        return (bins * torch.arange(BINS, device=bins.device, dtype=bins.dtype)).sum(-1) * 3 - 99


class HeadEstimator(nn.Module):
    """Estimator of head pose and expression: a residual network with five heads.

    Input: image (B, 3, 256, 256).  width_divisor: divides every width.
    """

    EXACT = True

    FOLDS: ClassVar[Sequence[tuple[str, str]]] = tuple(
        (f"conv{i}", f"norm{i}") for i in range(1, 6)
    )

    def __init__(self, *, width_divisor: int = 1):
        super().__init__()
        widths = [3, *(width // width_divisor for width in (64, 256, 512, 1024, 2048))]
        for i, (a, b) in enumerate(pairwise(widths), 1):
            self.add_module(f"conv{i}", nn.Conv2d(a, b, 7, 2, 3) if i == 1 else nn.Conv2d(a, b, 1))
            self.add_module(f"norm{i}", nn.BatchNorm2d(b))
        for i, (channels, count) in enumerate(zip(widths[2:], (3, 3, 5, 2), strict=True)):
            if i:
                self.add_module(f"block{2 * i}", Bottleneck(channels, 2))
            blocks = nn.Sequential()
            for j in range(count):
                blocks.add_module(f"b{2 * i + 1}_{j}", Bottleneck(channels))
            self.add_module(f"block{2 * i + 1}", blocks)
        last = widths[-1]
        self.fc_roll, self.fc_pitch = nn.Linear(last, BINS), nn.Linear(last, BINS)
        self.fc_yaw = nn.Linear(last, BINS)
        self.fc_t, self.fc_exp = nn.Linear(last, 3), nn.Linear(last, 3 * KEYPOINTS)

    def forward(self, image: Tensor) -> HeadPose:
        x = F.max_pool2d(self._step(1, image), 3, 2, 1)
        x = self.get_submodule("block1")(self._step(2, x))
        for i in (1, 2, 3):
            x = self._step(2 + i, x)
            x = self.get_submodule(f"block{2 * i + 1}")(self.get_submodule(f"block{2 * i}")(x))
        x = x.mean((2, 3))
        # The published heads are crossed: fc_roll was trained as yaw, fc_yaw as roll.
        heads = (self.fc_roll, self.fc_pitch, self.fc_yaw, self.fc_t, self.fc_exp)
        return HeadPose(*(head(x).float() for head in heads))

    def _step(self, i: int, x: Tensor) -> Tensor:
        return rectify(self.get_submodule(f"norm{i}")(self.get_submodule(f"conv{i}")(x)))
