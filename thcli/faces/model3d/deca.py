"""DECA's coarse encoder: a ResNet-50 that gives 236 coefficients of FLAME from 224 x 224. Feng et al. 2021 (SIGGRAPH).

FADM reads expression and pose of it, from the whole picture instead of a face's crop: `Deca.attributes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from thcli.core.device import resolve
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Coefficients, Face, Image
from thcli.faces.adapters.common import check_licence, fill
from thcli.faces.model3d import crops
from thcli.faces.model3d.network import UPRIGHT, Reader, ResNet50, places, split
from thcli.weights import load_tensors

WEIGHTS = "deca"
SIZE = 224
SHARES = {"shape": 100, "tex": 50, "exp": 50, "pose": 6, "cam": 3, "light": 27}
ATTRIBUTES = SHARES["exp"] + SHARES["pose"]


class Encoder(nn.Module):
    """(N, 3, 224, 224) RGB 0..1 -> (N, 236). Key layout of DECA's `E_flame` (shared/specs/FADM.md)."""

    def __init__(self, narrow: int = 1) -> None:
        super().__init__()
        self.encoder = ResNet50(narrow)
        hidden = 1024 // narrow
        self.layers = nn.Sequential(
            nn.Linear(self.encoder.width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, sum(SHARES.values())),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.layers(self.encoder(x).flatten(1)))


class Deca:
    """DECA as a FaceModel. Its camera is orthographic; the head turns about FLAME's root joint."""

    expression_names = tuple(f"exp_{i}" for i in range(1, SHARES["exp"] + 1))
    uses_pictures = True

    def __init__(self, network: nn.Module, run: RunOptions) -> None:
        self._reader = Reader(network, crops.deca, lambda x: x / 255, run)

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], run: RunOptions) -> Deca:
        """With the official file's tensors, `E_flame.` taken off; what the encoder does not have is left out, as DECA does.

        Raises WeightsError when a tensor is missing or misshapen.
        """
        network = Encoder()
        wanted = network.state_dict()
        fill(
            network,
            {k: v for k, v in tensors.items() if k in wanted},
            "DECA (E_flame)",
            resolve(run.device),
        )
        return cls(network, run)

    def fit(self, pictures: Sequence[Image], faces: Sequence[Face]) -> Coefficients:
        """Raises NoFaceError for a face whose box has no area."""
        rows, back = self._reader.read(pictures, faces)
        own = split(rows, **SHARES)
        cam = own["cam"].astype(np.float64)
        scale = cam[:, 0] * SIZE / 2
        origin = np.stack([scale * cam[:, 1] + SIZE / 2, SIZE / 2 - scale * cam[:, 2]], 1)
        zoom = np.sqrt(np.abs(np.linalg.det(back[:, :2, :2])))
        rotation = own["pose"][:, :3] * UPRIGHT.diagonal().astype(np.float32)
        return Coefficients(
            "deca",
            own["shape"],
            own["exp"],
            rotation,
            (scale * zoom).astype(np.float32),
            places(back, origin),
            own,
        )

    def attributes(self, pictures: Tensor) -> Array32:
        """Expression 50, then pose 6, of whole pictures as FADM has it: (N, 56) of (N, 3, H, W) RGB 0..1, without a crop.

        shared/specs/FADM.md: bilinear to 224, without antialiasing.
        """
        seen = nn.functional.interpolate(
            pictures, (SIZE, SIZE), mode="bilinear", align_corners=False
        )
        own = split(self._reader.run(255 * seen), **SHARES)
        return np.concatenate([own["exp"], own["pose"]], 1)


def load(run: RunOptions) -> Deca:
    """Raises WeightsError when the weights are absent or refused by --licence."""
    check_licence(WEIGHTS, run.licence)
    return Deca.of(load_tensors(WEIGHTS, prefix="E_flame."), run)
