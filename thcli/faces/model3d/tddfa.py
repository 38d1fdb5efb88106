"""3DDFA_V2: a MobileNet, pose, 40 shape and 10 expression coefficients from 120 x 120.

Guo et al. 2020 (ECCV).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from thcli.core.device import resolve_device
from thcli.core.errors import WeightsError
from thcli.core.geometry import rotvec_from_matrix
from thcli.core.options import RunOptions
from thcli.core.types import AnyArray, Array, Array32, Coefficients, Face, Image
from thcli.faces.model3d import crops
from thcli.faces.model3d.network import UPRIGHT, CropRegressor, image_points, split_columns
from thcli.weights import check_licence, load_arrays, load_tensors
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state
from thcli.weights.pickles import read_arrays

SIZE, COEFFICIENTS = 120, 62
POSE, SHAPE, EXPRESSION = 12, 40, 10
MEAN_STD = "tddfa-mean-std"
_WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
_NAMES = ("2_1", "2_2", "3_1", "3_2", "4_1", "4_2", "5_1", "5_2", "5_3", "5_4", "5_5", "5_6", "6")
_STRIDE_2 = ("2_2", "3_2", "4_2", "5_6")


class DepthwiseSeparable(nn.Module):
    """Depthwise 3x3 and 1x1 convolution, each with batch norm and ReLU."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False)
        self.bn_dw = nn.BatchNorm2d(inner)
        self.conv_sep, self.bn_sep = nn.Conv2d(inner, outer, 1, bias=False), nn.BatchNorm2d(outer)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn_dw(self.conv_dw(x)))
        return torch.relu(self.bn_sep(self.conv_sep(x)))


class MobileNet(nn.Module):
    """Network from (N, 3, 120, 120) BGR in about -1..1 to (N, 62) standardized coefficients.

    width: 1 (mb1) or 0.5 (mb05). Howard et al. 2017, in the key layout of cleardusk/3DDFA_V2:
    models/mobilenet_v1.py.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        inner = int(32 * width)
        self.conv1, self.bn1 = nn.Conv2d(3, inner, 3, 2, 1, bias=False), nn.BatchNorm2d(inner)
        for name, full in zip(_NAMES, _WIDTHS, strict=True):
            outer = int(full * width)
            self.add_module(
                f"dw{name}", DepthwiseSeparable(inner, outer, 2 if name in _STRIDE_2 else 1)
            )
            inner = outer
        self.fc = nn.Linear(inner, COEFFICIENTS)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        for name in _NAMES:
            x = self.get_submodule(f"dw{name}")(x)
        return torch.as_tensor(self.fc(x.mean((2, 3))))


class Tddfa:
    """3DDFA_V2 as a FaceModel.

    Its pose is a 3 x 4 matrix that includes the scale; the nearest rotation is extracted.
    mean, std: (62,) of the coefficients.
    """

    expression_names = tuple(f"exp_{i}" for i in range(1, EXPRESSION + 1))
    uses_images = True

    def __init__(
        self, network: nn.Module, mean: Array32, std: Array32, name: str, run: RunOptions
    ) -> None:
        self._regressor = CropRegressor(
            network, crops.tddfa, lambda x: (x.flip(1) - 127.5) / 128, run
        )
        self._mean, self._std, self._name = mean, std, name

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, Tensor],
        moments: Mapping[str, AnyArray],
        name: str,
        run: RunOptions,
    ) -> Tddfa:
        """Build it with the official files' content.

        Args:
            tensors: of the network, without the prefix `state_dict.module.`.
            moments: mean and std of the coefficients.
            name: of the backend.
            run: device and batch size.

        Raises:
            WeightsError: a key is missing, unexpected or has another shape.
        """
        network = _build_network(tensors, f"3DDFA_V2 ({name})", resolve_device(run.device))
        mean, spread = _unpack_moments(moments)
        return cls(network, mean, spread, name, run)

    def fit(self, images: Sequence[Image], faces: Sequence[Face]) -> Coefficients:
        """Fit faces. Raises NoFaceError for a face whose box has no area."""
        rows, image_from_crop = self._regressor.predict(images, faces)
        param = rows * self._std + self._mean
        parts = split_columns(param, pose=POSE, shape=SHAPE, expression=EXPRESSION)
        rotation, scale, shift = decompose_pose(parts["pose"])
        zoom = np.sqrt(np.abs(np.linalg.det(image_from_crop[:, :2, :2])))
        # Its pixels count from 1, and its rows from below (utils/tddfa_util.py: similar_transform).
        origin = np.stack([shift[:, 0] - 1, SIZE - shift[:, 1]], 1)
        return Coefficients(
            self._name,
            parts["shape"],
            parts["expression"],
            rotvec_from_matrix(rotation).astype(np.float32),
            (scale * zoom).astype(np.float32),
            image_points(image_from_crop, origin),
            {"param": param},
        )


def decompose_pose(pose: Array32) -> tuple[Array, Array, Array]:
    """Decompose pose coefficients (N, 12) to rotation, scale and shift.

    The scale is the mean length of the first two rows (utils/pose.py: P2sRt). Differs from it: the
    two rows are made orthogonal symmetrically, instead of leaving the error to the third.

    Returns:
        Rotation in image axes (N, 3, 3), scale (N,) in crop pixels per unit, shift (N, 3) in crop
        pixels, y up.
    """
    matrix = np.asarray(pose, np.float64).reshape(-1, 3, 4)
    rows, shift = matrix[:, :2, :3], matrix[:, :, 3]
    scale = np.linalg.norm(rows, axis=2).mean(1)
    u, _, vt = np.linalg.svd(rows, full_matrices=False)
    two = u @ vt
    rotation = np.concatenate([two, np.cross(two[:, 0], two[:, 1])[:, None]], 1)
    return UPRIGHT @ rotation @ UPRIGHT, scale, shift


def _build_network(tensors: Mapping[str, Tensor], name: str, device: torch.device) -> MobileNet:
    """Build the network that the tensors belong to. Raises WeightsError for other tensors."""
    # The file also has fc_lm, a head of landmarks that only training uses. fc_param is fc in the
    # public network.
    state = {
        k.replace("fc_param.", "fc."): v for k, v in tensors.items() if not k.startswith("fc_lm.")
    }
    first = state.get("conv1.weight")
    network = MobileNet(1.0 if first is None else first.shape[0] / 32)
    load_state(network, state, name, device)
    return network


def _unpack_moments(moments: Mapping[str, AnyArray]) -> tuple[Array32, Array32]:
    """Return mean and std of the coefficients. Raises WeightsError for other arrays."""
    both = [np.asarray(moments.get(key, ()), np.float32) for key in ("mean", "std")]
    if any(values.shape != (COEFFICIENTS,) for values in both):
        raise WeightsError(
            f"{MEAN_STD} has no mean and std of {COEFFICIENTS} numbers.",
            f"thcli weights verify {MEAN_STD}",
        )
    return both[0], both[1]


def _load(name: str, weights: str, run: RunOptions) -> Tddfa:
    check_licence(weights, run.licence)
    return Tddfa.from_tensors(load_tensors(weights), load_arrays(MEAN_STD), name, run)


def load(run: RunOptions) -> Tddfa:
    """Load mb1. Raises WeightsError when its weights are absent or refused by --licence."""
    return _load("tddfa", "tddfa-mb1", run)


def load_small(run: RunOptions) -> Tddfa:
    """Load mb05, half as wide. Raises as `load` does."""
    return _load("tddfa-mb05", "tddfa-mb05", run)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the network, or its moments."""
    if checkpoint.name == MEAN_STD:
        _unpack_moments(read_arrays(checkpoint.path))
        return
    _build_network(checkpoint.tensors(), checkpoint.name, torch.device("meta"))
