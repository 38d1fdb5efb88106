"""parse-s as a backend: our own network, trained by `thcli train parse`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from thcli.core.device import enough_memory, half_of, prepared
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array32, Face, Image
from thcli.faces.adapters.common import check_licence, fill
from thcli.faces.parsing.classes import CLASSES
from thcli.faces.parsing.network import ParseNet, enlarged, folded
from thcli.weights.tensors import load_tensors

NAME = "parse-s"
SIDE = 256


class ParseS:
    """The 19 regions of crops as `faces.crops.align.ffhq` places them; it looks at the pixels alone."""

    crop_size = SIDE
    template: Template = "ffhq"

    def __init__(self, tensors: Mapping[str, Tensor], where: str, run: RunOptions) -> None:
        """tensors: of ParseNet, any precision.  where: their name, for messages.  Raises WeightsError, DeviceError."""
        self._device = prepared(run.device, run.threads)
        network = ParseNet()
        fill(network, dict(tensors), where, torch.device("cpu"))
        self._net = folded(network).to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        self._half = half_of(run.precision, self._device)
        # A CPU is as quick picture by picture, and then the batch cannot change a single bit.
        self._batch = 1 if self._device.type == "cpu" else run.batch_size

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        """crops: (256, 256, 3) uint8.  Gives (N, 19, 256, 256) float32, a pixel's probabilities sum to 1.  Raises DeviceError."""
        out = np.empty((len(crops), len(CLASSES), SIDE, SIDE), np.float32)
        with self._computing():
            for start in range(0, len(crops), self._batch):
                logits = (
                    self._net(self._tensor(crops[start : start + self._batch])).float().contiguous()
                )
                out[start : start + self._batch] = enlarged(logits).softmax(1).cpu().numpy()
        return out

    def features(self, crops: Sequence[Image]) -> list[Array32]:
        """What the network sees at five depths, for measuring how like two faces look in their regions (a perceptual distance).

        crops: (256, 256, 3) uint8, as for `parse`.  Gives the encoder's maps, float32 and not negative: (N, 16, 128, 128),
        (N, 32, 64, 64), (N, 64, 32, 32), (N, 128, 16, 16), (N, 160, 8, 8); each channel has a scale of its own, so compare maps
        whose pixels are scaled to unit length over the channels.  Raises DeviceError.
        """
        rows = []
        with self._computing():
            for start in range(0, max(len(crops), 1), self._batch):
                maps = self._net.features(self._tensor(crops[start : start + self._batch]))
                rows.append([np.ascontiguousarray(found.float().cpu().numpy()) for found in maps])
        return [np.concatenate(depth) for depth in zip(*rows, strict=True)]

    def _tensor(self, crops: Sequence[Image]) -> Tensor:
        """(B, 3, 256, 256) float32 in 0..1 on the device, channels last in memory."""
        stacked = np.stack(crops) if len(crops) else np.zeros((0, SIDE, SIDE, 3), np.uint8)
        return torch.from_numpy(stacked).to(self._device).permute(0, 3, 1, 2).float() / 255

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """No gradients, the chosen precision, and the device's own errors as ours."""
        half = torch.autocast(self._device.type, self._half, enabled=self._half is not None)
        with enough_memory(self._device, "to parse"), torch.inference_mode(), half:
            yield


def load(run: RunOptions) -> ParseS:
    """The shipped network. Raises WeightsError when its weights are absent, other ones, or refused by --licence; DeviceError."""
    check_licence(NAME, run.licence)
    return ParseS(load_tensors(NAME, offline=run.offline), NAME, run)


def load_file(path: Path, run: RunOptions) -> ParseS:
    """The network with weights of one's own, as `thcli train parse` exports them. Raises WeightsError, DeviceError."""
    return ParseS(load_tensors(path), str(path), run)
