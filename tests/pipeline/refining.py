"""Two refiners without trained weights for the tests of `refine`: one that adds red, and FADM's own network, tiny and untrained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from thcli.core.errors import UsageError
from thcli.core.options import RefineOptions, RunOptions, Template
from thcli.core.types import Array32, Face, Image
from thcli.refiners.fadm.network import Diffusion, Shape
from thcli.refiners.fadm.refiner import Fadm, Recipe

RED = 40


class Blush:
    """Adds RED levels of red to all of a crop, and remembers what it was asked."""

    crop_size = 64
    template: Template = "square"
    mask = None

    def __init__(self, run: RunOptions) -> None:
        self.sources: list[Image] = []
        self.numbers: list[int] = []

    def encode_source(self, picture: Image, face: Face) -> Array32:
        assert face.mesh is not None
        self.sources.append(picture)
        return np.float32([picture.mean()])

    def attributes(self, pictures: Sequence[Image], faces: Sequence[Face | None]) -> Array32:
        """A face lies in the middle of its crop."""
        for face in faces:
            assert face is not None and 20 < float(np.mean(face.box)) < 44
        return np.float32([[p.mean()] for p in pictures])

    def calls(self, options: RefineOptions) -> int:
        if options.steps is not None and options.steps > 9:
            raise UsageError("The number of steps must be within 2..9.")
        return options.steps or 3

    def refine(
        self, coarse: Sequence[Image], source: Array32, driving: Array32, numbers: Sequence[int], options: RefineOptions
    ) -> list[Image]:
        assert driving.shape == (len(coarse), 1)
        self.numbers += numbers
        return [np.clip(p.astype(int) + (RED, 0, 0), 0, 255).astype(np.uint8) for p in coarse]


class Means:
    """What is read of pictures: the mean of each quarter."""

    def attributes(self, pictures: Tensor) -> Array32:
        return np.asarray(torch.nn.functional.adaptive_avg_pool2d(pictures, 2).flatten(1).numpy(), np.float32)


def tiny(run: RunOptions) -> Fadm:
    """FADM's network of random numbers at 64 x 64, three steps from a coarse frame under a fifth of noise."""
    torch.manual_seed(1)
    network = Diffusion(Shape(width=32, times=(1, 1), blocks=1, attention=(2,), inner=8, attributes=12))
    return Fadm(network.eval().requires_grad_(False), Means(), run, Recipe(3, "ddim", 0.0, 0.2), 64)
