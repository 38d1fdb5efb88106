"""LPIPS 0.1 with AlexNet (Zhang et al. 2018), where its weights are: `thcli weights pull alexnet lpips-alex`.

AlexNet under torchvision's keys (features.N), the linear layers under the package's own (linN.model.1.weight).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.device import resolve
from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.core.types import Image
from thcli.evaluate.metrics.regions import Place
from thcli.evaluate.metrics.table import FACE, Mean, Metric, Sample
from thcli.faces.adapters.common import check_licence
from thcli.weights import load_tensors, present, require_keys

BACKBONE, LINEAR = "alexnet", "lpips-alex"
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of the input in -1..1
# number in torchvision's alexnet.features -> channels in, out, kernel, stride, padding; pooled 3 / 2 before the numbers in POOLED
CONVOLUTIONS = {
    0: (3, 64, 11, 4, 2),
    3: (64, 192, 5, 1, 2),
    6: (192, 384, 3, 1, 1),
    8: (384, 256, 3, 1, 1),
    10: (256, 256, 3, 1, 1),
}
POOLED = (3, 6)
_TINY = 1e-10


class Lpips(nn.Module):
    """(B, 3, H, W) twice, RGB in 0..1, sides of 63 pixels or more -> (B,) distances, 0 for equal pictures."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {
                str(n): nn.Conv2d(inputs, outputs, kernel, stride, padding)
                for n, (inputs, outputs, kernel, stride, padding) in CONVOLUTIONS.items()
            }
        )
        self.linear = nn.ParameterList(
            torch.zeros(1, shape[1], 1, 1) for shape in CONVOLUTIONS.values()
        )
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        total = first.new_zeros(len(first))
        for a, b, weights in zip(self.maps(first), self.maps(second), self.linear, strict=True):
            total = total + (weights * (a - b) ** 2).sum(1).mean((1, 2))
        return total

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """relu1 to relu5, each pixel of unit length over the channels."""
        x, out = (2 * pictures - 1 - self.shift) / self.scale, []
        for number in CONVOLUTIONS:
            x = F.max_pool2d(x, 3, 2) if number in POOLED else x
            x = F.relu(self.features[str(number)](x))
            out.append(x / (x.square().sum(1, keepdim=True).sqrt() + _TINY))
        return out


def filled(backbone: Mapping[str, Tensor], linear: Mapping[str, Tensor]) -> Lpips:
    """The network of two files as published. Raises WeightsError when their keys or shapes are others."""
    network = Lpips()
    wanted = {f"features.{key}": value for key, value in network.features.state_dict().items()}
    found = {key: value for key, value in backbone.items() if not key.startswith("classifier.")}
    require_keys(found, wanted, BACKBONE)
    layers = {f"lin{i}.model.1.weight": weights for i, weights in enumerate(network.linear)}
    require_keys(linear, layers, LINEAR)
    network.features.load_state_dict(
        {key.removeprefix("features."): value for key, value in found.items()}
    )
    with torch.no_grad():
        for key, weights in layers.items():
            weights.copy_(linear[key])
    return network.eval().requires_grad_(False)


def lpips(network: Lpips, first: Image, second: Image) -> float:
    """The distance of two pictures (H, W, 3) uint8 of one size, 0 for equal ones."""
    device = network.shift.device
    pair = torch.from_numpy(np.stack([first, second])).to(device).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        return float(network(pair[:1], pair[1:]))


def metrics(run: RunOptions) -> tuple[Metric, ...]:
    """LPIPS on the face box at 256 pixels; nothing where a file is not here or --licence leaves it out. Raises DeviceError."""
    if not (present(BACKBONE) and present(LINEAR)):
        return ()
    try:
        for name in (BACKBONE, LINEAR):
            check_licence(name, run.licence)
    except WeightsError:
        return ()
    network = filled(
        load_tensors(BACKBONE, offline=run.offline), load_tensors(LINEAR, offline=run.offline)
    )
    return (metric(network.to(resolve(run.device))),)


def metric(network: Lpips) -> Metric:
    """The mean distance of result and truth, named with its backbone."""

    def distance(sample: Sample) -> float:
        place: Place = sample.place
        return lpips(network, place.now, sample.now)

    return Metric(
        "lpips",
        "",
        "lower",
        "learned perceptual distance 0.1",
        FACE,
        lambda: Mean(distance),
        BACKBONE,
    )
