"""Shared parts of the three networks: ResNet-50 in torchvision's key layout, crops in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thcli.core.device import resolve_device
from thcli.core.imaging import to_uint8
from thcli.core.options import RunOptions
from thcli.core.types import Array, Array32, Crop, Face, Image
from thcli.faces.crops.crop import crop

# From the models' axes (y up, z towards the camera) to image axes (y down, z away), and back.
UPRIGHT = np.diag([1.0, -1.0, -1.0])


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolution to four times the width.

    He et al. 2016, in torchvision's variant 1.5.
    """

    def __init__(self, wide: int, narrow: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(wide, narrow, 1, bias=False), nn.BatchNorm2d(narrow)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(narrow)
        self.conv3 = nn.Conv2d(narrow, 4 * narrow, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * narrow)
        self.downsample: nn.Module | None = None
        if stride > 1 or wide != 4 * narrow:
            self.downsample = nn.Sequential(
                nn.Conv2d(wide, 4 * narrow, 1, stride, bias=False), nn.BatchNorm2d(4 * narrow)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    """ResNet-50 without a classifier: (N, 3, 224, 224) to the spatial mean (N, 2048, 1, 1).

    narrow: divisor of every width, for tests.
    """

    def __init__(self, narrow: int = 1) -> None:
        super().__init__()
        base = 64 // narrow
        self.conv1, self.bn1 = nn.Conv2d(3, base, 7, 2, 3, bias=False), nn.BatchNorm2d(base)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        wide = base
        for number, blocks in enumerate((3, 4, 6, 3)):
            width = base << number
            row = [
                Bottleneck(wide if not i else 4 * width, width, 2 if number and not i else 1)
                for i in range(blocks)
            ]
            self.add_module(f"layer{number + 1}", nn.Sequential(*row))
            wide = 4 * width
        self.width = wide

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for number in range(4):
            x = self.get_submodule(f"layer{number + 1}")(x)
        return x.mean((2, 3), keepdim=True)


class CropRegressor:
    """A network that reads crops of faces.

    network: the network.  placement_rule: places the crop of a face.  prepare: converts (N, 3, S,
    S) 0..255 RGB to the network's input.
    """

    def __init__(
        self,
        network: nn.Module,
        placement_rule: Callable[[Face], Crop],
        prepare: Callable[[Tensor], Tensor],
        run: RunOptions,
    ) -> None:
        module: Any = network  # torch's stub of `to` has no memory_format
        self._network: nn.Module = module.to(memory_format=torch.channels_last)
        self._placement_rule, self._prepare = placement_rule, prepare
        self._device, self._batch = resolve_device(run.device), run.batch_size

    def predict(self, images: Sequence[Image], faces: Sequence[Face]) -> tuple[Array32, Array]:
        """Predict each face; returns (N, C) float32, and image_from_crop (N, 3, 3)."""
        placements = [self._placement_rule(face) for face in faces]
        rows = [self.run(batch) for batch in self._crops(images, placements)]
        image_from_crop = [np.linalg.inv(p.crop_from_frame) for p in placements]
        return np.concatenate(rows), np.stack(image_from_crop)

    def run(self, crops: Tensor) -> Array32:
        """Predict crops (N, 3, S, S) of the right size, 0..255 RGB; returns (N, C)."""
        with torch.inference_mode():
            batch = self._prepare(crops.to(self._device, torch.float32))
            out = self._network(batch.contiguous(memory_format=torch.channels_last))
        return np.asarray(out.float().cpu().numpy(), np.float32)

    def _crops(self, images: Sequence[Image], placements: Sequence[Crop]) -> Iterator[Tensor]:
        for start in range(0, len(placements), self._batch):
            batch = slice(start, start + self._batch)
            pairs = zip(images[batch], placements[batch], strict=True)
            pixels = [crop(to_uint8(image), p, border="black") for image, p in pairs]
            yield torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


def split_columns(rows: Array32, **widths: int) -> dict[str, Array32]:
    """Split columns by name, in order. Raises ValueError when the widths do not add up."""
    if sum(widths.values()) != rows.shape[1]:
        raise ValueError(
            f"There are {rows.shape[1]} columns, not {sum(widths.values())} ({widths})."
        )
    ends = np.cumsum(list(widths.values()))
    parts = np.split(rows, ends[:-1], 1)
    return dict(zip(widths, parts, strict=True))


def image_points(image_from_crop: Array, points: Array) -> Array32:
    """Map one point (N, 2) of each crop to pixels of its image, (N, 2); image_from_crop.

    (N, 3, 3).
    """
    linear, shift = image_from_crop[:, :2, :2], image_from_crop[:, :2, 2]
    return ((linear @ points[:, :, None])[..., 0] + shift).astype(np.float32)
