"""Deep3DFaceRecon: a ResNet-50 that gives 257 coefficients of BFM 2009 from 224 x 224. Deng et al. 2019 (CVPR workshops).

What PIRenderer, SadTalker and the measures AED and APD of the literature read; Real3D-Portrait uses the same coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from thcli.core.device import resolve
from thcli.core.geometry import matrix_from_angles, rotvec_from_matrix
from thcli.core.options import RunOptions
from thcli.core.types import Array, Array32, Coefficients, Face, Image
from thcli.faces.adapters.common import check_licence, fill
from thcli.faces.model3d import crops
from thcli.faces.model3d.network import UPRIGHT, Reader, ResNet50, places, split
from thcli.weights import load_tensors

WEIGHTS = "deep3d"
SIZE = 224
SHARES = {"id": 80, "exp": 64, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
FOCAL, CENTRE, CAMERA = 1015.0, 112.0, 10.0  # pixels, pixels, decimetres
_HEADS = (80, 64, 80, 3, 27, 2, 1)  # the translation has a head for x and y and one for z


class Recon(nn.Module):
    """(N, 3, 224, 224) RGB 0..1 -> (N, 257). Key layout of sicxu/Deep3DFaceRecon_pytorch: models/networks.py (`net_recon`)."""

    def __init__(self, narrow: int = 1) -> None:
        super().__init__()
        self.backbone = ResNet50(narrow)
        self.final_layers = nn.ModuleList(nn.Conv2d(self.backbone.width, n, 1) for n in _HEADS)

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone(x)
        return torch.cat([layer(features) for layer in self.final_layers], 1).flatten(1)


class Deep3d:
    """Deep3DFaceRecon as a FaceModel. Its camera is a perspective one; scale and place are those of the model's origin."""

    expression_names = tuple(f"exp_{i}" for i in range(1, SHARES["exp"] + 1))
    uses_pictures = True

    def __init__(self, network: nn.Module, run: RunOptions) -> None:
        self._reader = Reader(network, crops.deep3d, lambda x: x / 255, run)

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], run: RunOptions) -> Deep3d:
        """With the official file's tensors, `net_recon.` taken off. Raises WeightsError when the keys differ."""
        network = Recon()
        fill(network, dict(tensors), "Deep3DFaceRecon", resolve(run.device))
        return cls(network, run)

    def fit(self, pictures: Sequence[Image], faces: Sequence[Face]) -> Coefficients:
        """Raises NoFaceError for a face without eyes, nose and mouth."""
        rows, back = self._reader.read(pictures, faces)
        own = split(rows, **SHARES)
        scale, origin = projected(own["trans"])
        zoom = np.sqrt(np.abs(np.linalg.det(back[:, :2, :2])))
        return Coefficients(
            "deep3d",
            own["id"],
            own["exp"],
            rotvec_from_matrix(rotation_of(own["angle"])).astype(np.float32),
            (scale * zoom).astype(np.float32),
            places(back, origin),
            own,
        )


def rotation_of(angle: Array32) -> Array:
    """(N, 3, 3) in picture axes of (N, 3) angles about x, y, z in radians, z after y after x, with y up and z towards the camera."""
    return np.asarray(
        UPRIGHT @ matrix_from_angles(np.degrees(np.asarray(angle, np.float64))) @ UPRIGHT
    )


def projected(trans: Array32) -> tuple[Array, Array]:
    """Crop pixels a decimetre (N,) and the crop pixel (N, 2) of the model's origin, of (N, 3) translations in decimetres."""
    t = np.asarray(trans, np.float64)
    scale = FOCAL / (CAMERA - t[:, 2])
    return scale, np.stack([CENTRE + scale * t[:, 0], SIZE - 1 - (CENTRE + scale * t[:, 1])], 1)


def load(run: RunOptions) -> Deep3d:
    """Raises WeightsError when the weights are absent or refused by --licence."""
    check_licence(WEIGHTS, run.licence)
    return Deep3d.of(load_tensors(WEIGHTS), run)
