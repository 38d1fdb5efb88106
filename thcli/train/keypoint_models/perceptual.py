"""Perceptual losses: VGG-19 features on an image pyramid, and a substitute without weights.

Both are sums of L1 means on the scales 1, 1/2, 1/4, 1/8 (FOMM sec. A.2: relu1_1 … relu5_1,
ImageNet's mean and standard deviation). The substitute compares pixels and their differences to the
right and below: it learns sharp edges and has no knowledge of faces.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.errors import WeightsError
from thcli.core.events import Listener, Warned
from thcli.core.options import Perceptual
from thcli.engines.shared.networks.layers import AntiAlias
from thcli.weights import is_ready, load_tensors, require_keys
from thcli.weights.layout import Checkpoint

ENTRY = "vgg19"
SCALES = (1, 2, 4, 8)  # factors by which the levels of the pyramid are reduced
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]
# Convolutions of torchvision's vgg19.features up to relu5_1: number -> channels in, out.
# Max pooling comes before 5, 10, 19 and 28.
CONVOLUTIONS = {
    0: (3, 64),
    2: (64, 64),
    5: (64, 128),
    7: (128, 128),
    10: (128, 256),
    12: (256, 256),
    14: (256, 256),
    16: (256, 256),
    19: (256, 512),
    21: (512, 512),
    23: (512, 512),
    25: (512, 512),
    28: (512, 512),
}
POOLED, OUTPUTS = (5, 10, 19, 28), (0, 5, 10, 19, 28)
COARSE = 2  # coarsest maps, relu4_1 and relu5_1, which tell persons apart


class FeatureExtractor(nn.Module, ABC):
    """A network from an image (B, 3, H, W) in [0, 1] to feature maps.

    name: stored in the log and in the exported file.
    """

    name: str

    @abstractmethod
    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the feature maps, from fine to coarse."""

    @abstractmethod
    def identity_maps(self, image: Tensor) -> list[Tensor]:
        """Return the features that tell persons apart and depend little on the pose."""


class Vgg19(FeatureExtractor):
    """relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 of torchvision's VGG-19.

    Keys are as published (features.N.weight).
    """

    name = "vgg19"
    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {str(n): nn.Conv2d(a, b, 3, padding=1) for n, (a, b) in CONVOLUTIONS.items()}
        )
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        x, out = (image - self.mean) / self.spread, []
        for number in CONVOLUTIONS:
            x = F.max_pool2d(x, 2) if number in POOLED else x
            x = F.relu(self.features[str(number)](x))
            if number in OUTPUTS:
                out.append(x)
        return out

    def identity_maps(self, image: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self(image)
        return maps[-COARSE:]

    @classmethod
    def load(cls, *, offline: bool = False) -> Vgg19:
        """Load the published weights.

        Raises:
            WeightsError: The weights are missing or do not fit.
        """
        network = cls()
        network.load_state_dict(_own_tensors(network, load_tensors(ENTRY, offline=offline)))
        return network.eval().requires_grad_(False)


def _own_tensors(network: Vgg19, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the network. Raises WeightsError when one is missing or differs."""
    wanted = network.state_dict()
    own = {k: v for k, v in tensors.items() if k in wanted}
    require_keys(own, wanted, ENTRY)
    return own


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the convolutions of VGG-19."""
    _own_tensors(Vgg19(), checkpoint.tensors())


class PixelGradients(FeatureExtractor):
    """The substitute features: the pixels and their differences along x and y."""

    name = "pyramid"

    def forward(self, image: Tensor) -> list[Tensor]:
        return [
            image,
            image[..., 1:] - image[..., :-1],
            image[..., 1:, :] - image[..., :-1, :],
        ]

    def identity_maps(self, image: Tensor) -> list[Tensor]:
        return [_mean_and_std(x) for x in self(image)]


class PyramidLoss(nn.Module):
    """The sum over scales and features of mean |difference|; no gradient reaches the target."""

    def __init__(self, features: FeatureExtractor, scales: Sequence[int] = SCALES) -> None:
        super().__init__()
        self.features = features
        self.reduce = nn.ModuleList(AntiAlias(3, s) if s > 1 else nn.Identity() for s in scales)

    @property
    def name(self) -> str:
        """Name of the feature extractor: vgg19 or pyramid."""
        return self.features.name

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        terms = []
        for reduce in self.reduce:
            with torch.no_grad():
                expected = self.features(reduce(target))
            for a, b in zip(self.features(reduce(output)), expected, strict=True):
                terms.append((a - b).abs().mean())
        return torch.stack(terms).sum()


def content_loss(maps: Callable[[Tensor], list[Tensor]], output: Tensor, target: Tensor) -> Tensor:
    """Sum the mean |difference| of feature maps; no gradient reaches the target.

    Args:
        maps: `FeatureExtractor.__call__` for two frames of one person in one pose, or
            `FeatureExtractor.identity_maps` for one person in two poses.
        output: (B, 3, H, W) in [0, 1].
        target: as output.
    """
    with torch.no_grad():
        expected = maps(target)
    found = maps(output)
    terms = [(a - b).abs().mean() for a, b in zip(found, expected, strict=True)]
    return torch.stack(terms).sum()


def identity_loss(features: FeatureExtractor, output: Tensor, source: Tensor) -> Tensor:
    """Compare mean and standard deviation of each feature, independent of the pose."""

    def statistics(image: Tensor) -> list[Tensor]:
        return [_mean_and_std(x) for x in features(image)]

    return content_loss(statistics, output, source)


def _mean_and_std(x: Tensor) -> Tensor:
    """Return mean and standard deviation over the image: (B, C, h, w) -> (B, 2 C)."""
    variance, mean = torch.var_mean(x, (2, 3), correction=0)
    return torch.cat([mean, torch.sqrt(variance + 1e-6)], 1)


def create_perceptual_loss(
    choice: Perceptual,
    on: Listener,
    *,
    offline: bool = False,
    scales: Sequence[int] = SCALES,
) -> PyramidLoss:
    """Create the loss of --perceptual; auto without VGG-19 warns and uses the substitute.

    Args:
        choice: of the option.
        on: receives the warning.
        offline: forbid downloads.
        scales: factors by which the images are reduced.

    Raises:
        WeightsError: `choice` is vgg19 and its weights are missing or do not fit.
    """
    if choice == "vgg19" or (choice == "auto" and is_ready(ENTRY)):
        try:
            return PyramidLoss(Vgg19.load(offline=offline), scales)
        except WeightsError as exc:
            raise WeightsError(
                exc.message, f"{exc.hint} Or train with --perceptual pyramid."
            ) from exc
    if choice == "auto":
        on(
            Warned(
                "The weights of VGG-19 are missing, so images are compared by pixels and edges; "
                "results are less sharp than published. "
                f"Get it: thcli weights pull {ENTRY} --trust"
            )
        )
    return PyramidLoss(PixelGradients(), scales)
