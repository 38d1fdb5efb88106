"""parse-s as a backend: our small network, trained by `thcli train parse`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thcli.core.device import autocast_dtype, convert_out_of_memory, prepare_device
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array32, Face, Image
from thcli.faces.parsing.classes import CLASSES
from thcli.faces.parsing.graph import NAME, SIDE
from thcli.faces.parsing.network import ParseNet, fold_batch_norm, upsample_twice
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state
from thcli.weights.tensors import load_tensors


class ParseS:
    """Parser of the 19 regions of crops, from pixels alone.

    Crops are placed by `faces.crops.align.ffhq`.
    """

    crop_size = SIDE
    template: Template = "ffhq"

    def __init__(self, tensors: Mapping[str, Tensor], name: str, run: RunOptions) -> None:
        """Build the network from tensors of any precision.

        name: name of the tensors, for messages. Raises WeightsError, DeviceError.
        """
        self._device = prepare_device(run.device, run.threads)
        network = ParseNet()
        load_state(network, dict(tensors), name, torch.device("cpu"))
        folded: Any = fold_batch_norm(network)  # torch's stub of `to` has no memory_format
        self._net: ParseNet = folded.to(self._device, memory_format=torch.channels_last)
        self._half = autocast_dtype(run.precision, self._device)
        # A CPU is as fast image by image, and the batch then cannot change a single bit.
        self._batch = 1 if self._device.type == "cpu" else run.batch_size

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        """Parse crops (256, 256, 3) uint8 to probabilities (N, 19, 256, 256) float32.

        The probabilities of a pixel sum to 1. Raises DeviceError.
        """
        out = np.empty((len(crops), len(CLASSES), SIDE, SIDE), np.float32)
        with self._inference():
            for start in range(0, len(crops), self._batch):
                batch = self._tensor(crops[start : start + self._batch])
                logits = self._net(batch).float().contiguous()
                found = torch.from_numpy(out[start : start + self._batch])
                found.copy_(upsample_twice(logits).softmax(1))
        return out

    def features(self, crops: Sequence[Image]) -> list[Array32]:
        """Return feature maps at five depths, for a perceptual distance of face regions.

        Each channel has a scale of its own, so compare maps whose pixels are scaled to unit length
        over the channels.

        Args:
            crops: (256, 256, 3) uint8, as for `parse`.

        Returns:
            The encoder's maps, float32 and not negative: (N, 16, 128, 128), (N, 32, 64, 64),
            (N, 64, 32, 32), (N, 128, 16, 16), (N, 160, 8, 8).

        Raises:
            DeviceError: the device's memory is full.
        """
        rows = []
        with self._inference():
            for start in range(0, max(len(crops), 1), self._batch):
                maps = self._net.features(self._tensor(crops[start : start + self._batch]))
                rows.append([np.ascontiguousarray(found.float().cpu().numpy()) for found in maps])
        return [np.concatenate(depth) for depth in zip(*rows, strict=True)]

    def _tensor(self, crops: Sequence[Image]) -> Tensor:
        """Stack crops as (B, 3, 256, 256) float32 in 0..1 on the device, channels last."""
        stacked = np.stack(crops) if len(crops) else np.zeros((0, SIDE, SIDE, 3), np.uint8)
        return torch.from_numpy(stacked).to(self._device).permute(0, 3, 1, 2).float() / 255

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """Disable gradients, set the precision, and map the device's errors to ours."""
        half = torch.autocast(self._device.type, self._half, enabled=self._half is not None)
        with convert_out_of_memory(self._device, "to parse"), torch.inference_mode(), half:
            yield


def load(run: RunOptions, name: str = NAME) -> ParseS:
    """Load the bundled network.

    name: row of weights.toml with its layout.

    Raises:
        WeightsError: its weights are absent, of another network, or refused by --licence.
        DeviceError: the device does not exist.
    """
    check_licence(name, run.licence)
    return ParseS(load_tensors(name, offline=run.offline), name, run)


def load_file(path: Path, run: RunOptions) -> ParseS:
    """Load the network with other weights, as `thcli train parse` exports them.

    Raises WeightsError and DeviceError as `load` does.
    """
    return ParseS(load_tensors(path), str(path), run)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the network."""
    load_state(ParseNet(), checkpoint.tensors(), checkpoint.name, torch.device("meta"))
