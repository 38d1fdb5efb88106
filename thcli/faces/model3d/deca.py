"""DECA's coarse encoder: ResNet-50, 236 coefficients of FLAME from 224 x 224. Feng et al. 2021.

FADM reads expression and pose with it, of the whole image instead of a crop: `Deca.attributes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from thcli.core.device import resolve_device
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Coefficients, Face, Image
from thcli.faces.model3d import crops
from thcli.faces.model3d.network import (
    UPRIGHT,
    CropRegressor,
    ResNet50,
    image_points,
    split_columns,
)
from thcli.weights import check_licence, load_tensors
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state

WEIGHTS = "deca"
SIZE = 224
COLUMN_WIDTHS = {"shape": 100, "tex": 50, "exp": 50, "pose": 6, "cam": 3, "light": 27}
ATTRIBUTE_COUNT = COLUMN_WIDTHS["exp"] + COLUMN_WIDTHS["pose"]


class DecaEncoder(nn.Module):
    """Network from (N, 3, 224, 224) RGB 0..1 to (N, 236); key layout of DECA's `E_flame`."""

    def __init__(self, narrow: int = 1) -> None:
        super().__init__()
        self.encoder = ResNet50(narrow)
        hidden = 1024 // narrow
        self.layers = nn.Sequential(
            nn.Linear(self.encoder.width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, sum(COLUMN_WIDTHS.values())),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.layers(self.encoder(x).flatten(1)))


class Deca:
    """DECA as a FaceModel.

    Its camera is orthographic; the head rotates about FLAME's root joint.
    """

    expression_names = tuple(f"exp_{i}" for i in range(1, COLUMN_WIDTHS["exp"] + 1))
    uses_images = True

    def __init__(self, network: nn.Module, run: RunOptions) -> None:
        self._regressor = CropRegressor(network, crops.deca, lambda x: x / 255, run)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], run: RunOptions) -> Deca:
        """Build DECA with the official file's tensors, without the prefix `E_flame.`.

        Keys that the encoder lacks are ignored, as in DECA. Raises WeightsError when a tensor is
        missing or has another shape.
        """
        network = DecaEncoder()
        expected = network.state_dict()
        used = {k: v for k, v in tensors.items() if k in expected}
        load_state(network, used, "DECA (E_flame)", resolve_device(run.device))
        return cls(network, run)

    def fit(self, images: Sequence[Image], faces: Sequence[Face]) -> Coefficients:
        """Fit faces. Raises NoFaceError for a face whose box has no area."""
        rows, image_from_crop = self._regressor.predict(images, faces)
        columns = split_columns(rows, **COLUMN_WIDTHS)
        cam = columns["cam"].astype(np.float64)
        scale = cam[:, 0] * SIZE / 2
        origin = np.stack([scale * cam[:, 1] + SIZE / 2, SIZE / 2 - scale * cam[:, 2]], 1)
        zoom = np.sqrt(np.abs(np.linalg.det(image_from_crop[:, :2, :2])))
        rotation = columns["pose"][:, :3] * UPRIGHT.diagonal().astype(np.float32)
        return Coefficients(
            "deca",
            columns["shape"],
            columns["exp"],
            rotation,
            (scale * zoom).astype(np.float32),
            image_points(image_from_crop, origin),
            columns,
        )

    def extract_attributes(self, images: Tensor) -> Array32:
        """Return expression (50) and pose (6) of whole images, as FADM reads them, (N, 56).

        images: (N, 3, H, W) RGB 0..1; resized to 224, bilinear, without antialiasing.
        """
        size = (SIZE, SIZE)
        resized = nn.functional.interpolate(images, size, mode="bilinear", align_corners=False)
        columns = split_columns(self._regressor.run(255 * resized), **COLUMN_WIDTHS)
        return np.concatenate([columns["exp"], columns["pose"]], 1)


def load(run: RunOptions) -> Deca:
    """Load DECA. Raises WeightsError when its weights are absent or refused by --licence."""
    check_licence(WEIGHTS, run.licence)
    return Deca.from_tensors(load_tensors(WEIGHTS, prefix="E_flame."), run)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the tensors of DECA's encoder."""
    network = DecaEncoder()
    wanted = network.state_dict()
    state = {k: v for k, v in checkpoint.tensors("E_flame.").items() if k in wanted}
    load_state(network, state, checkpoint.name, torch.device("meta"))
