"""Backend clip-s: text and image embeddings for a closed vocabulary of facial attributes.

`thcli train clip` trains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from thcli.core.device import prepare_device
from thcli.core.options import RunOptions
from thcli.editors.clip.network import ClipSmall
from thcli.editors.clip.vocabulary import tokenize
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state
from thcli.weights.tensors import load_tensors

NAME = "clip-s"


class ClipSmallModel:
    """Adapter of clip-s to `editors.shared.text_image.TextImageModel`."""

    name = NAME
    templates = ("{}", "a photo of {}", "a portrait of {}")

    def __init__(self, network: ClipSmall, device: torch.device) -> None:
        self.network, self._device = network, device

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Return (N, 128). Raises UsageError that names unknown words and the nearest known."""
        with torch.no_grad():
            return self.network.encode_texts(torch.from_numpy(tokenize(texts)).to(self._device))

    def encode_image(self, images: Tensor) -> Tensor:
        """Return (B, 128) of images (B, 3, H, W) RGB in 0..1."""
        return self.network.encode_images(images)


def load(run: RunOptions) -> ClipSmallModel:
    """Load the bundled weights.

    Raises:
        WeightsError: when they are absent, not the expected ones, or refused by --licence.
        DeviceError: when the device is not available.
    """
    check_licence(NAME, run.licence)
    return _build(load_tensors(NAME, offline=run.offline), NAME, run)


def load_file(path: Path, run: RunOptions) -> ClipSmallModel:
    """Load weights that `thcli train clip` wrote. Raises WeightsError, DeviceError."""
    return _build(load_tensors(path), path.name, run)


def _build(tensors: dict[str, Tensor], what: str, run: RunOptions) -> ClipSmallModel:
    network, device = ClipSmall(), prepare_device(run.device, run.threads)
    load_state(network, tensors, what, device)
    return ClipSmallModel(network, device)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the network."""
    load_state(ClipSmall(), checkpoint.tensors(), checkpoint.name, torch.device("meta"))
