"""LPIPS 0.1 with AlexNet (Zhang et al. 2018), after `thcli weights pull alexnet lpips-alex`.

AlexNet has torchvision's keys (features.N), the linear layers the package's (linN.model.1.weight).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.device import resolve_device
from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.core.types import Image
from thcli.evaluate.metrics.regions import RegionView
from thcli.evaluate.metrics.table import FACE, Mean, Metric, Sample
from thcli.weights import check_licence, is_ready, load_tensors, require_keys
from thcli.weights.layout import Checkpoint

BACKBONE, LINEAR = "alexnet", "lpips-alex"
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of the input in -1..1
# Index in torchvision's alexnet.features -> input and output channels, kernel, stride, padding.
# The layers in POOLED follow a max pooling (kernel 3, stride 2).
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
    """LPIPS network on pairs of images."""

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
        """Return distances (B,), 0 for equal images.

        Args:
            first, second: (B, 3, H, W) RGB in 0..1, sides of 63 pixels or more.
        """
        total = first.new_zeros(len(first))
        for a, b, weights in zip(self.maps(first), self.maps(second), self.linear, strict=True):
            total = total + (weights * (a - b) ** 2).sum(1).mean((1, 2))
        return total

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return relu1 to relu5, normalised over the channels at each pixel."""
        x, out = (2 * images - 1 - self.shift) / self.scale, []
        for number in CONVOLUTIONS:
            x = F.max_pool2d(x, 3, 2) if number in POOLED else x
            x = F.relu(self.features[str(number)](x))
            out.append(x / (x.square().sum(1, keepdim=True).sqrt() + _TINY))
        return out


def build_lpips(backbone: Mapping[str, Tensor], linear: Mapping[str, Tensor]) -> Lpips:
    """Build the network from the two published files.

    Raises WeightsError for other keys or shapes.
    """
    network = Lpips()
    found, layers = _require_backbone(network, backbone), _require_linear(network, linear)
    network.features.load_state_dict(
        {key.removeprefix("features."): value for key, value in found.items()}
    )
    with torch.no_grad():
        for key, weights in layers.items():
            weights.copy_(linear[key])
    return network.eval().requires_grad_(False)


def _require_backbone(network: Lpips, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the convolutions of AlexNet. Raises WeightsError for other keys or shapes."""
    wanted = {f"features.{key}": value for key, value in network.features.state_dict().items()}
    found = {key: value for key, value in tensors.items() if not key.startswith("classifier.")}
    require_keys(found, wanted, BACKBONE)
    return found


def _require_linear(network: Lpips, tensors: Mapping[str, Tensor]) -> dict[str, nn.Parameter]:
    """Return the parameter of each key. Raises WeightsError for other keys or shapes."""
    layers = {f"lin{i}.model.1.weight": weights for i, weights in enumerate(network.linear)}
    require_keys(tensors, layers, LINEAR)
    return layers


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of AlexNet or of the linear layers."""
    require = _require_backbone if checkpoint.name == BACKBONE else _require_linear
    require(Lpips(), checkpoint.tensors())


def lpips(network: Lpips, first: Image, second: Image) -> float:
    """Return the distance of two images (H, W, 3) uint8 of equal size."""
    device = network.shift.device
    pair = torch.from_numpy(np.stack([first, second])).to(device).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        return float(network(pair[:1], pair[1:]))


def load_metrics(run: RunOptions) -> tuple[Metric, ...]:
    """Return the metric on the 256-pixel face box; nothing without its weights or licence.

    Raises DeviceError.
    """
    if not (is_ready(BACKBONE) and is_ready(LINEAR)):
        return ()
    try:
        for name in (BACKBONE, LINEAR):
            check_licence(name, run.licence)
    except WeightsError:
        return ()
    network = build_lpips(
        load_tensors(BACKBONE, offline=run.offline), load_tensors(LINEAR, offline=run.offline)
    )
    return (make_metric(network.to(resolve_device(run.device))),)


def make_metric(network: Lpips) -> Metric:
    """Return the metric of a network, named with its backbone."""

    def distance(sample: Sample) -> float:
        truth: RegionView = sample.truth
        return lpips(network, truth.image, sample.image)

    return Metric(
        "lpips",
        "",
        "lower",
        "learned perceptual distance 0.1",
        FACE,
        lambda: Mean(distance),
        BACKBONE,
    )
