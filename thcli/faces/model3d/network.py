"""What the three networks share: a ResNet-50 trunk in torchvision's key layout, loading, and crops in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from thcli.core.device import resolve
from thcli.core.imaging import to_uint8
from thcli.core.options import RunOptions
from thcli.core.types import Array, Array32, Crop, Face, Image
from thcli.faces.crops.crop import crop

UPRIGHT = np.diag(
    [1.0, -1.0, -1.0]
)  # picture axes (y down, z away) from those of the models (y up, z towards the camera)


class Bottleneck(nn.Module):
    """1x1, 3x3 (which has the stride), 1x1 to four times the width; He et al. 2016, in torchvision's variant 1.5."""

    def __init__(self, wide: int, narrow: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(wide, narrow, 1, bias=False), nn.BatchNorm2d(narrow)
        self.conv2, self.bn2 = (
            nn.Conv2d(narrow, narrow, 3, stride, 1, bias=False),
            nn.BatchNorm2d(narrow),
        )
        self.conv3, self.bn3 = (
            nn.Conv2d(narrow, 4 * narrow, 1, bias=False),
            nn.BatchNorm2d(4 * narrow),
        )
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
    """(N, 3, 224, 224) -> (N, 2048, 1, 1), the mean over places; without a classifier. narrow: divides every width, for tests."""

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


class Reader:
    """A network and the rule by which it cuts its crops. rule: where a face's crop lies.  prepare: (N, 3, S, S) 0..255 RGB -> what the network reads."""

    def __init__(
        self,
        network: nn.Module,
        rule: Callable[[Face], Crop],
        prepare: Callable[[Tensor], Tensor],
        run: RunOptions,
    ) -> None:
        # torch's stubs do not know memory_format.
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._rule, self._prepare = rule, prepare
        self._device, self._batch = resolve(run.device), run.batch_size

    def read(self, pictures: Sequence[Image], faces: Sequence[Face]) -> tuple[Array32, Array]:
        """What the network gives for each face, (N, C) float32, and picture_from_crop (N, 3, 3)."""
        places = [self._rule(face) for face in faces]
        rows = [self.run(part) for part in self._crops(pictures, places)]
        back = [np.linalg.inv(where.crop_from_frame) for where in places]
        return np.concatenate(rows), np.stack(back)

    def run(self, crops: Tensor) -> Array32:
        """(N, C) of crops (N, 3, S, S), 0..255 RGB, as the network wants them in size."""
        with torch.inference_mode():
            batch = self._prepare(crops.to(self._device, torch.float32))
            out = self._network(batch.contiguous(memory_format=torch.channels_last))
        return np.asarray(out.float().cpu().numpy(), np.float32)

    def _crops(self, pictures: Sequence[Image], places: Sequence[Crop]) -> Iterator[Tensor]:
        for start in range(0, len(places), self._batch):
            pairs = zip(
                pictures[start : start + self._batch],
                places[start : start + self._batch],
                strict=True,
            )
            cut = np.stack(
                [crop(to_uint8(picture), where, border="black") for picture, where in pairs]
            )
            yield torch.from_numpy(cut).permute(0, 3, 1, 2)


def split(rows: Array32, **widths: int) -> dict[str, Array32]:
    """Columns by name, in order. Raises ValueError when they do not come to all of them."""
    if sum(widths.values()) != rows.shape[1]:
        raise ValueError(f"{rows.shape[1]} columns are not {widths}")
    ends = np.cumsum(list(widths.values()))
    parts = np.split(rows, ends[:-1], 1)
    return dict(zip(widths, parts, strict=True))


def places(back: Array, points: Array) -> Array32:
    """(N, 2) pixels of the pictures of one point (N, 2) in each crop. back: (N, 3, 3) picture_from_crop."""
    found = (back[:, :2, :2] @ points[:, :, None])[..., 0] + back[:, :2, 2]
    return found.astype(np.float32)
