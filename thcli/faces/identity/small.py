"""identity-s as a backend: our own network, trained by `thcli train identity`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from thcli.core.device import prepared
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Image
from thcli.faces.adapters.common import check_licence, fill
from thcli.faces.identity.encoder import CropEncoder
from thcli.faces.identity.network import IdentityNet, folded, seen
from thcli.weights.tensors import load_tensors

NAME = "identity-s"
SAME_PERSON = 0.32  # one of 300 pairs of strangers reaches it, two of three pairs of pictures of one person (docs/figures.md)
MOST = 32  # faces at a time


class IdentitySmall(CropEncoder):
    """512 numbers from an aligned 112 x 112 crop."""

    name = NAME
    same_person = SAME_PERSON

    def __init__(self, network: IdentityNet, device: torch.device) -> None:
        self._net = folded(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        self._device = device

    def vectors(self, crops: Sequence[Image]) -> Array32:
        rows = [np.zeros((0, 512), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(crops), MOST):
                pixels = torch.from_numpy(
                    np.stack([seen(crop) for crop in crops[start : start + MOST]])
                )
                planes = pixels.to(self._device).permute(0, 3, 1, 2).float() / 255
                both = self._net(torch.cat([planes, planes.flip(3)])).chunk(
                    2
                )  # a mirror image shows the same person
                rows.append(functional.normalize(both[0] + both[1]).cpu().numpy())
        return np.concatenate(rows)


def load(run: RunOptions) -> IdentitySmall:
    """Raises WeightsError when the weights are absent, other ones, or refused by --licence; DeviceError."""
    check_licence(NAME, run.licence)
    return _made(load_tensors(NAME, offline=run.offline), NAME, run)


def load_own(path: Path, run: RunOptions) -> IdentitySmall:
    """The same network with weights of one's own, as `thcli train identity` writes them. Raises WeightsError, DeviceError."""
    return _made(load_tensors(path), path.name, run)


def _made(tensors: dict[str, torch.Tensor], what: str, run: RunOptions) -> IdentitySmall:
    network, device = IdentityNet(), prepared(run.device, run.threads)
    fill(network, tensors, what, torch.device("cpu"))
    return IdentitySmall(network, device)
