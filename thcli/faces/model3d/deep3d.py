"""Deep3DFaceRecon: ResNet-50, 257 coefficients of BFM 2009 from 224 x 224. Deng et al. 2019.

PIRenderer, SadTalker and the measures AED and APD of the literature use it; Real3D-Portrait uses
the same coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from thcli.core.device import resolve_device
from thcli.core.geometry import matrix_from_angles, rotvec_from_matrix
from thcli.core.options import RunOptions
from thcli.core.types import Array, Array32, Coefficients, Face, Image
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

WEIGHTS = "deep3d"
SIZE = 224
COLUMN_WIDTHS = {"id": 80, "exp": 64, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
FOCAL, CENTRE, CAMERA = 1015.0, 112.0, 10.0  # pixels, pixels, decimetres
_HEADS = (80, 64, 80, 3, 27, 2, 1)  # the translation has a head for x and y and one for z


class ReconNet(nn.Module):
    """Network from (N, 3, 224, 224) RGB 0..1 to (N, 257).

    Key layout of sicxu/Deep3DFaceRecon_pytorch: models/networks.py (`net_recon`).
    """

    def __init__(self, narrow: int = 1) -> None:
        super().__init__()
        self.backbone = ResNet50(narrow)
        self.final_layers = nn.ModuleList(nn.Conv2d(self.backbone.width, n, 1) for n in _HEADS)

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone(x)
        return torch.cat([layer(features) for layer in self.final_layers], 1).flatten(1)


class Deep3d:
    """Deep3DFaceRecon as a FaceModel.

    Its camera is a perspective one; scale and position are those of the model's origin.
    """

    expression_names = tuple(f"exp_{i}" for i in range(1, COLUMN_WIDTHS["exp"] + 1))
    uses_images = True

    def __init__(self, network: nn.Module, run: RunOptions) -> None:
        self._regressor = CropRegressor(network, crops.deep3d, lambda x: x / 255, run)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], run: RunOptions) -> Deep3d:
        """Build it with the official file's tensors, without the prefix `net_recon.`.

        Raises WeightsError when the keys differ.
        """
        network = ReconNet()
        load_state(network, dict(tensors), "Deep3DFaceRecon", resolve_device(run.device))
        return cls(network, run)

    def fit(self, images: Sequence[Image], faces: Sequence[Face]) -> Coefficients:
        """Fit faces. Raises NoFaceError for a face without eyes, nose and mouth."""
        rows, image_from_crop = self._regressor.predict(images, faces)
        columns = split_columns(rows, **COLUMN_WIDTHS)
        scale, origin = project_origin(columns["trans"])
        zoom = np.sqrt(np.abs(np.linalg.det(image_from_crop[:, :2, :2])))
        return Coefficients(
            "deep3d",
            columns["id"],
            columns["exp"],
            rotvec_from_matrix(image_rotation(columns["angle"])).astype(np.float32),
            (scale * zoom).astype(np.float32),
            image_points(image_from_crop, origin),
            columns,
        )


def image_rotation(angle: Array32) -> Array:
    """Return the rotation in image axes, (N, 3, 3), of angles about x, y, z.

    angle: (N, 3) radians, z after y after x, with y up and z towards the camera.
    """
    return np.asarray(
        UPRIGHT @ matrix_from_angles(np.degrees(np.asarray(angle, np.float64))) @ UPRIGHT
    )


def project_origin(trans: Array32) -> tuple[Array, Array]:
    """Project the model's origin; trans: (N, 3) in decimetres.

    Returns crop pixels a decimetre (N,), and the crop pixel (N, 2).
    """
    t = np.asarray(trans, np.float64)
    scale = FOCAL / (CAMERA - t[:, 2])
    return scale, np.stack([CENTRE + scale * t[:, 0], SIZE - 1 - (CENTRE + scale * t[:, 1])], 1)


def load(run: RunOptions) -> Deep3d:
    """Load Deep3DFaceRecon.

    Raises WeightsError when its weights are absent or refused by --licence.
    """
    check_licence(WEIGHTS, run.licence)
    return Deep3d.from_tensors(load_tensors(WEIGHTS), run)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the network."""
    load_state(ReconNet(), checkpoint.tensors(), checkpoint.name, torch.device("meta"))
