"""How far two pictures are apart to the eye: VGG-19 features on an image pyramid as published, or, without its weights, our own stand-in.

Both are L1 means on the scales 1, 1/2, 1/4, 1/8 (FOMM sec. A.2: relu1_1 … relu5_1, ImageNet's mean and spread). The stand-in compares
pixels and their differences to the right and below: it needs no weights, learns sharp edges, and knows nothing of faces.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.errors import WeightsError
from thcli.core.events import Listener, Warned
from thcli.core.options import Perceptual
from thcli.engines.shared.networks.layers import AntiAlias
from thcli.weights import load_tensors, present, require_keys

ENTRY = "vgg19"
SCALES = (1, 2, 4, 8)  # whole factors by which the pyramid is reduced
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Convolutions of torchvision's vgg19.features up to relu5_1: number -> channels in, out; pooling before 5, 10, 19, 28.
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
POOLED, KEPT = (5, 10, 19, 28), (0, 5, 10, 19, 28)


class Features(nn.Module, ABC):
    """A picture (B, 3, H, W) in [0, 1] as a list of feature maps; `name` goes into the log and the exported file."""

    name: str

    @abstractmethod
    def forward(self, picture: Tensor) -> list[Tensor]:
        """The maps, coarser and coarser."""


class Vgg19(Features):
    """relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 of torchvision's VGG-19, keys as published (features.N.weight)."""

    name = "vgg19"
    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {str(n): nn.Conv2d(a, b, 3, padding=1) for n, (a, b) in CONVOLUTIONS.items()}
        )
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(SPREAD).view(1, 3, 1, 1), persistent=False)

    def forward(self, picture: Tensor) -> list[Tensor]:
        x, out = (picture - self.mean) / self.spread, []
        for number in CONVOLUTIONS:
            x = F.max_pool2d(x, 2) if number in POOLED else x
            x = F.relu(self.features[str(number)](x))
            if number in KEPT:
                out.append(x)
        return out

    @classmethod
    def load(cls, *, offline: bool = False) -> Vgg19:
        """With the published weights. Raises WeightsError when they are not here."""
        network = cls()
        wanted = network.state_dict()
        tensors = {k: v for k, v in load_tensors(ENTRY, offline=offline).items() if k in wanted}
        require_keys(tensors, wanted, ENTRY)
        network.load_state_dict(tensors)
        return network.eval().requires_grad_(False)


class Edges(Features):
    """The stand-in: the pixels themselves, and their differences along x and y."""

    name = "pyramid"

    def forward(self, picture: Tensor) -> list[Tensor]:
        return [
            picture,
            picture[..., 1:] - picture[..., :-1],
            picture[..., 1:, :] - picture[..., :-1, :],
        ]


class PyramidLoss(nn.Module):
    """sum over scales and features of mean |difference|; no gradient reaches the truth."""

    def __init__(self, features: Features, scales: Sequence[int] = SCALES) -> None:
        super().__init__()
        self.features = features
        self.reduce = nn.ModuleList(AntiAlias(3, s) if s > 1 else nn.Identity() for s in scales)

    @property
    def name(self) -> str:
        """What compares: vgg19 or pyramid."""
        return self.features.name

    def forward(self, made: Tensor, truth: Tensor) -> Tensor:
        terms = []
        for reduce in self.reduce:
            with torch.no_grad():
                wanted = self.features(reduce(truth))
            for a, b in zip(self.features(reduce(made)), wanted, strict=True):
                terms.append((a - b).abs().mean())
        return torch.stack(terms).sum()


def identity_loss(features: Features, made: Tensor, person: Tensor) -> Tensor:
    """How much the look of two pictures of one person differs whatever the pose: mean and spread of each feature over the picture.

    differs from X2Face sec. 3.2, which compares maps of a VGG-Face network: its weights are not published with it, and maps of two
    poses do not lie over each other.
    """
    with torch.no_grad():
        wanted = [_summary(x) for x in features(person)]
    terms = [(_summary(a) - b).abs().mean() for a, b in zip(features(made), wanted, strict=True)]
    return torch.stack(terms).sum()


def _summary(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, 2 C) mean and spread over the picture."""
    variance, mean = torch.var_mean(x, (2, 3), correction=0)
    return torch.cat([mean, torch.sqrt(variance + 1e-6)], 1)


def perceptual(choice: Perceptual, on: Listener, *, offline: bool = False) -> PyramidLoss:
    """The loss that --perceptual means; with auto and no VGG-19 here, the stand-in, and a warning that says so."""
    if choice == "vgg19" or (choice == "auto" and present(ENTRY)):
        try:
            return PyramidLoss(Vgg19.load(offline=offline))
        except WeightsError as exc:
            raise WeightsError(
                exc.message, f"{exc.hint} Or train with --perceptual pyramid."
            ) from exc
    if choice == "auto":
        on(
            Warned(
                f"VGG-19 is not here, so pictures are compared by their pixels and edges: less sharp than published. Get it: thcli weights pull {ENTRY} --trust"
            )
        )
    return PyramidLoss(Edges())
