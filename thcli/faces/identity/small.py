"""identity-s as a backend: our own network, trained by `thcli train identity`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from thcli.core.device import resolve
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Face, Identity, Image
from thcli.faces.backends.common import check_licence, fill
from thcli.faces.identity.aligned import aligned
from thcli.faces.identity.network import IdentityNet, folded
from thcli.weights.tensors import load_tensors

NAME = "identity-s"
MOST = 32  # faces at a time


class IdentitySmall:
    """Identity: 512 numbers from an aligned 112 x 112 crop."""

    def __init__(self, network: IdentityNet, device: torch.device) -> None:
        self._net = folded(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        self._device = device

    def vectors(self, crops: Sequence[Image]) -> Array32:
        """Crops (112, 112, 3) uint8 RGB, as `aligned` cuts them -> (N, 512) of unit length. What a face gives does not depend on the others."""
        rows = [np.zeros((0, 512), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(crops), MOST):
                pixels = torch.from_numpy(np.stack(crops[start : start + MOST])).to(self._device)
                rows.append(self._net(pixels.permute(0, 3, 1, 2).float() / 255).cpu().numpy())
        return np.concatenate(rows)

    def identify(self, picture: Image, face: Face) -> Identity:
        """Raises NoFaceError when the face has no landmarks to align by."""
        return Identity(self.vectors([aligned(picture, face)])[0], NAME)


def load(run: RunOptions) -> IdentitySmall:
    """Raises WeightsError when the weights are absent, other ones, or refused by --licence; DeviceError."""
    check_licence(NAME, run.licence)
    network = IdentityNet()
    device = resolve(run.device)
    fill(network, load_tensors(NAME, offline=run.offline), NAME, torch.device("cpu"))
    return IdentitySmall(network, device)
