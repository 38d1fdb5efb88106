"""clip-s as a backend: a closed vocabulary of what faces have, trained by `thcli train clip`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from thcli.core.device import prepared
from thcli.core.options import RunOptions
from thcli.editors.clip.network import ClipSmall
from thcli.editors.clip.vocabulary import numbers_of
from thcli.faces.adapters.common import check_licence, fill
from thcli.weights.tensors import load_tensors

NAME = "clip-s"


class SmallTextImage:
    """See `editors.shared.text_image.TextImage`."""

    name = NAME
    templates = ("{}", "a photo of {}", "a portrait of {}")

    def __init__(self, network: ClipSmall, device: torch.device) -> None:
        self.network, self._device = network, device

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """(N, 128). Raises UsageError naming words that are not in the vocabulary, with the nearest that are."""
        with torch.no_grad():
            return self.network.texts(torch.from_numpy(numbers_of(texts)).to(self._device))

    def encode_image(self, pictures: Tensor) -> Tensor:
        """(B, 128)."""
        return self.network.pictures(pictures)


def load(run: RunOptions) -> SmallTextImage:
    """Raises WeightsError when the weights are absent, other ones, or refused by --licence; DeviceError."""
    check_licence(NAME, run.licence)
    return _made(load_tensors(NAME, offline=run.offline), NAME, run)


def load_own(path: Path, run: RunOptions) -> SmallTextImage:
    """The same networks with weights of one's own, as `thcli train clip` writes them. Raises WeightsError, DeviceError."""
    return _made(load_tensors(path), path.name, run)


def _made(tensors: dict[str, Tensor], what: str, run: RunOptions) -> SmallTextImage:
    network, device = ClipSmall(), prepared(run.device, run.threads)
    fill(network, tensors, what, device)
    return SmallTextImage(network, device)
