"""identity-s as a backend: our small network, trained by `thcli train identity`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from thcli.core.device import prepare_device
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Image
from thcli.faces.identity.encoder import AlignedCropEncoder
from thcli.faces.identity.network import IdentityNet, fold_batch_norm, reduce_crop
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state
from thcli.weights.tensors import load_tensors

NAME = "identity-s"
# Reached by one of 300 pairs of strangers, and by two of three pairs of images of one person
# (docs/figures).
SAME_PERSON = 0.32
MAX_BATCH = 32  # faces per batch


class IdentitySmall(AlignedCropEncoder):
    """Identity encoder, 512 numbers from an aligned 112 x 112 crop."""

    name = NAME
    same_person = SAME_PERSON

    def __init__(self, network: IdentityNet, device: torch.device) -> None:
        folded: Any = fold_batch_norm(network)  # torch's stub of `to` has no memory_format
        self._net: IdentityNet = folded.to(device, memory_format=torch.channels_last)
        self._device = device

    def encode_crops(self, crops: Sequence[Image]) -> Array32:
        rows = [np.zeros((0, 512), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(crops), MAX_BATCH):
                batch = np.stack([reduce_crop(crop) for crop in crops[start : start + MAX_BATCH]])
                pixels = torch.from_numpy(batch).to(self._device)
                planes = pixels.permute(0, 3, 1, 2).float() / 255
                # A mirror image shows the same person: the two vectors are added.
                direct, mirrored = self._net(torch.cat([planes, planes.flip(3)])).chunk(2)
                rows.append(functional.normalize(direct + mirrored).cpu().numpy())
        return np.concatenate(rows)


def load(run: RunOptions) -> IdentitySmall:
    """Load the bundled network.

    Raises:
        WeightsError: its weights are absent, of another network, or refused by --licence.
        DeviceError: the device does not exist.
    """
    check_licence(NAME, run.licence)
    return _build(load_tensors(NAME, offline=run.offline), NAME, run)


def load_file(path: Path, run: RunOptions) -> IdentitySmall:
    """Load the network with other weights, as `thcli train identity` writes them.

    Raises WeightsError and DeviceError as `load` does.
    """
    return _build(load_tensors(path), path.name, run)


def _build(tensors: dict[str, torch.Tensor], name: str, run: RunOptions) -> IdentitySmall:
    network, device = IdentityNet(), prepare_device(run.device, run.threads)
    load_state(network, tensors, name, torch.device("cpu"))
    return IdentitySmall(network, device)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the network."""
    load_state(IdentityNet(), checkpoint.tensors(), checkpoint.name, torch.device("meta"))
