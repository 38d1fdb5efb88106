"""LPIPS 0.1 (Zhang et al. 2018) with AlexNet or VGG-16.

`thcli weights pull alexnet lpips-alex` gets the one, `thcli weights pull vgg16 lpips-vgg --trust`
the other. The backbones have torchvision's keys (features.N), the linear layers the package's
(linN.model.1.weight).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.device import resolve_device
from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.core.types import Image
from thcli.evaluate.metrics.table import FACE, Mean, Metric, Sample
from thcli.weights import check_licence, is_ready, load_tensors, require_keys
from thcli.weights.layout import Checkpoint

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of the input in -1..1
_TINY = 1e-10


@dataclass(frozen=True, slots=True)
class Variant:
    """Layout of LPIPS on one backbone.

    Attributes:
        metric: name of the metric.
        backbone, linear: rows of weights.toml.
        convolutions: index in torchvision's `features` -> input and output channels, kernel,
            stride, padding.
        pooled: layers that follow a max pooling.
        pool: kernel of it; its stride is 2.
        compared: layers whose ReLU is compared.
    """

    metric: str
    backbone: str
    linear: str
    convolutions: Mapping[int, tuple[int, int, int, int, int]]
    pooled: tuple[int, ...]
    pool: int
    compared: tuple[int, ...]


ALEX = Variant(
    "lpips",
    "alexnet",
    "lpips-alex",
    {
        0: (3, 64, 11, 4, 2),
        3: (64, 192, 5, 1, 2),
        6: (192, 384, 3, 1, 1),
        8: (384, 256, 3, 1, 1),
        10: (256, 256, 3, 1, 1),
    },
    (3, 6),
    3,
    (0, 3, 6, 8, 10),
)
VGG = Variant(
    "lpips_vgg",
    "vgg16",
    "lpips-vgg",
    {
        number: (inputs, outputs, 3, 1, 1)
        for number, inputs, outputs in (
            (0, 3, 64),
            (2, 64, 64),
            (5, 64, 128),
            (7, 128, 128),
            (10, 128, 256),
            (12, 256, 256),
            (14, 256, 256),
            (17, 256, 512),
            (19, 512, 512),
            (21, 512, 512),
            (24, 512, 512),
            (26, 512, 512),
            (28, 512, 512),
        )
    },
    (5, 10, 17, 24),
    2,
    (2, 7, 14, 21, 28),
)
VARIANTS = (ALEX, VGG)


class Lpips(nn.Module):
    """LPIPS network on pairs of images."""

    shift: Tensor
    scale: Tensor

    def __init__(self, variant: Variant = ALEX) -> None:
        super().__init__()
        self.variant = variant
        self.features = nn.ModuleDict(
            {
                str(n): nn.Conv2d(inputs, outputs, kernel, stride, padding)
                for n, (inputs, outputs, kernel, stride, padding) in variant.convolutions.items()
            }
        )
        self.linear = nn.ParameterList(
            torch.zeros(1, variant.convolutions[number][1], 1, 1) for number in variant.compared
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
        """Return the maps of five depths, normalised over the channels at each pixel."""
        x, out = (2 * images - 1 - self.shift) / self.scale, []
        variant = self.variant
        for number in variant.convolutions:
            x = F.max_pool2d(x, variant.pool, 2) if number in variant.pooled else x
            x = F.relu(self.features[str(number)](x))
            if number in variant.compared:
                out.append(x / (x.square().sum(1, keepdim=True).sqrt() + _TINY))
        return out


def build_lpips(
    backbone: Mapping[str, Tensor], linear: Mapping[str, Tensor], variant: Variant = ALEX
) -> Lpips:
    """Build the network from the two published files.

    Raises WeightsError for other keys or shapes.
    """
    network = Lpips(variant)
    found, layers = _require_backbone(network, backbone), _require_linear(network, linear)
    network.features.load_state_dict(
        {key.removeprefix("features."): value for key, value in found.items()}
    )
    with torch.no_grad():
        for key, weights in layers.items():
            weights.copy_(linear[key])
    return network.eval().requires_grad_(False)


def _require_backbone(network: Lpips, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the convolutions of the backbone. Raises WeightsError for other keys or shapes."""
    wanted = {f"features.{key}": value for key, value in network.features.state_dict().items()}
    found = {key: value for key, value in tensors.items() if not key.startswith("classifier.")}
    require_keys(found, wanted, network.variant.backbone)
    return found


def _require_linear(network: Lpips, tensors: Mapping[str, Tensor]) -> dict[str, nn.Parameter]:
    """Return the parameter of each key. Raises WeightsError for other keys or shapes."""
    layers = {f"lin{i}.model.1.weight": weights for i, weights in enumerate(network.linear)}
    require_keys(tensors, layers, network.variant.linear)
    return layers


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of a backbone or of linear layers."""
    (variant,) = (v for v in VARIANTS if checkpoint.name in (v.backbone, v.linear))
    require = _require_backbone if checkpoint.name == variant.backbone else _require_linear
    require(Lpips(variant), checkpoint.tensors())


def lpips(network: Lpips, first: Image, second: Image) -> float:
    """Return the distance of two images (H, W, 3) uint8 of equal size."""
    device = network.shift.device
    pair = torch.from_numpy(np.stack([first, second])).to(device).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        return float(network(pair[:1], pair[1:]))


def load_metrics(run: RunOptions) -> tuple[Metric, ...]:
    """Return the metrics on the 256-pixel face box; none without their weights or licence.

    Raises DeviceError.
    """
    found = []
    for variant in VARIANTS:
        rows = (variant.backbone, variant.linear)
        if not all(is_ready(row) for row in rows):
            continue
        try:
            for row in rows:
                check_licence(row, run.licence)
        except WeightsError:
            continue
        backbone, linear = (load_tensors(row, offline=run.offline) for row in rows)
        network = build_lpips(backbone, linear, variant)
        found.append(make_metric(network.to(resolve_device(run.device))))
    return tuple(found)


def make_metric(network: Lpips) -> Metric:
    """Return the metric of a network, named with its backbone."""

    def distance(sample: Sample) -> float:
        return lpips(network, sample.truth.image, sample.image)

    return Metric(
        network.variant.metric,
        "",
        "lower",
        "learned perceptual distance 0.1",
        FACE,
        lambda: Mean(distance),
        network.variant.backbone,
    )
