"""3DDFA_V2: a MobileNet that gives pose, 40 shape and 10 expression coefficients from 120 x 120. Guo et al. 2020 (ECCV)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from thcli.core.device import resolve
from thcli.core.errors import WeightsError
from thcli.core.geometry import rotvec_from_matrix
from thcli.core.options import RunOptions
from thcli.core.types import AnyArray, Array, Array32, Coefficients, Face, Image
from thcli.faces.adapters.common import check_licence, fill
from thcli.faces.model3d import crops
from thcli.faces.model3d.network import UPRIGHT, Reader, places, split
from thcli.weights import load_arrays, load_tensors

SIZE, NUMBERS = 120, 62
POSE, SHAPE, EXPRESSION = 12, 40, 10
MEAN_STD = "tddfa-mean-std"
_WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
_NAMES = ("2_1", "2_2", "3_1", "3_2", "4_1", "4_2", "5_1", "5_2", "5_3", "5_4", "5_5", "5_6", "6")
_STRIDED = ("2_2", "3_2", "4_2", "5_6")


class Separable(nn.Module):
    """A depth-wise 3x3 and a 1x1 convolution, each with normalisation and ReLU."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv_dw, self.bn_dw = (
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
        )
        self.conv_sep, self.bn_sep = nn.Conv2d(inner, outer, 1, bias=False), nn.BatchNorm2d(outer)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn_dw(self.conv_dw(x)))
        return torch.relu(self.bn_sep(self.conv_sep(x)))


class MobileNet(nn.Module):
    """(N, 3, 120, 120) BGR in about -1..1 -> (N, 62) standardised coefficients. width: 1 (mb1) or 0.5 (mb05).

    Howard et al. 2017, in the layout of cleardusk/3DDFA_V2: models/mobilenet_v1.py.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        inner = int(32 * width)
        self.conv1, self.bn1 = nn.Conv2d(3, inner, 3, 2, 1, bias=False), nn.BatchNorm2d(inner)
        for name, full in zip(_NAMES, _WIDTHS, strict=True):
            outer = int(full * width)
            self.add_module(f"dw{name}", Separable(inner, outer, 2 if name in _STRIDED else 1))
            inner = outer
        self.fc = nn.Linear(inner, NUMBERS)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        for name in _NAMES:
            x = self.get_submodule(f"dw{name}")(x)
        return torch.as_tensor(self.fc(x.mean((2, 3))))


class Tddfa:
    """3DDFA_V2 as a FaceModel. Its pose is a 3 x 4 matrix with the scale in it, from which the nearest rotation is taken.

    mean, std: (62,) of the coefficients.
    """

    expression_names = tuple(f"exp_{i}" for i in range(1, EXPRESSION + 1))
    uses_pictures = True

    def __init__(
        self, network: nn.Module, mean: Array32, std: Array32, name: str, run: RunOptions
    ) -> None:
        self._reader = Reader(network, crops.tddfa, lambda x: (x.flip(1) - 127.5) / 128, run)
        self._mean, self._std, self._name = mean, std, name

    @classmethod
    def of(
        cls,
        tensors: Mapping[str, Tensor],
        moments: Mapping[str, AnyArray],
        name: str,
        run: RunOptions,
    ) -> Tddfa:
        """With the official files' content. tensors: `state_dict.module.` taken off.  moments: mean and std.

        Raises WeightsError when a key is missing, strange or misshapen.
        """
        # the file also has fc_lm, a head of landmarks that only training uses; fc_param is fc in the public network
        state = {
            k.replace("fc_param.", "fc."): v
            for k, v in tensors.items()
            if not k.startswith("fc_lm.")
        }
        first = state.get("conv1.weight")
        network = MobileNet(1.0 if first is None else first.shape[0] / 32)
        fill(network, state, f"3DDFA_V2 ({name})", resolve(run.device))
        both = [np.asarray(moments.get(key, ()), np.float32) for key in ("mean", "std")]
        if any(values.shape != (NUMBERS,) for values in both):
            raise WeightsError(
                f"{MEAN_STD} does not hold a mean and std of {NUMBERS}.",
                f"thcli weights verify {MEAN_STD}",
            )
        return cls(network, both[0], both[1], name, run)

    def fit(self, pictures: Sequence[Image], faces: Sequence[Face]) -> Coefficients:
        """Raises NoFaceError for a face whose box has no area."""
        rows, back = self._reader.read(pictures, faces)
        param = rows * self._std + self._mean
        parts = split(param, pose=POSE, shape=SHAPE, expression=EXPRESSION)
        rotation, scale, shift = pose_of(parts["pose"])
        zoom = np.sqrt(np.abs(np.linalg.det(back[:, :2, :2])))
        # the model counts pixels from 1, and rows from below (utils/tddfa_util.py: similar_transform)
        origin = np.stack([shift[:, 0] - 1, SIZE - shift[:, 1]], 1)
        return Coefficients(
            self._name,
            parts["shape"],
            parts["expression"],
            rotvec_from_matrix(rotation).astype(np.float32),
            (scale * zoom).astype(np.float32),
            places(back, origin),
            {"param": param},
        )


def pose_of(pose: Array32) -> tuple[Array, Array, Array]:
    """Rotation in picture axes (N, 3, 3), scale (N,) in crop pixels a unit, shift (N, 3) in crop pixels, y up, of (N, 12) coefficients.

    Scale: the mean length of the first two rows (utils/pose.py: P2sRt). Differs from it: the rows are brought to a right angle
    both alike, instead of leaving the mistake to the third.
    """
    matrix = np.asarray(pose, np.float64).reshape(-1, 3, 4)
    rows, shift = matrix[:, :2, :3], matrix[:, :, 3]
    scale = np.linalg.norm(rows, axis=2).mean(1)
    u, _, vt = np.linalg.svd(rows, full_matrices=False)
    two = u @ vt
    turned = np.concatenate([two, np.cross(two[:, 0], two[:, 1])[:, None]], 1)
    return UPRIGHT @ turned @ UPRIGHT, scale, shift


def _load(name: str, weights: str, run: RunOptions) -> Tddfa:
    check_licence(weights, run.licence)
    return Tddfa.of(load_tensors(weights), load_arrays(MEAN_STD), name, run)


def load(run: RunOptions) -> Tddfa:
    """mb1. Raises WeightsError when the weights are absent or refused by --licence."""
    return _load("tddfa", "tddfa-mb1", run)


def load_small(run: RunOptions) -> Tddfa:
    """mb05, half as wide. Raises as `load` does."""
    return _load("tddfa-mb05", "tddfa-mb05", run)
