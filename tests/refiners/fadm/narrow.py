"""A narrow FADM with random weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tests.golden import fill
from thcli.core.options import RefineOptions, RunOptions
from thcli.core.types import Array32, Face, Image
from thcli.refiners.fadm.network import Diffusion, NetworkShape
from thcli.refiners.fadm.refiner import PUBLISHED, FadmRefiner

RUN = RunOptions(device="cpu", threads=1, seed=3)


NARROW = NetworkShape(
    width=32, multipliers=(1, 1), blocks=1, attention=(2,), inner=8, attributes=12
)


SIDE = 32


FACE = Face(np.array([8, 8, 24, 24], np.float32), 1.0)


FEW = RefineOptions(steps=3)


class MeanColours:
    """Stand-in for DECA: mean colours of four squares."""

    def extract_attributes(self, images: Tensor) -> Array32:
        return np.asarray(
            torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1).numpy(), np.float32
        )


def network(shape: NetworkShape = NARROW) -> Diffusion:
    """Create a network as if trained: every parameter acts, and the tables are correct."""
    own = Diffusion(shape)
    filled = fill.state(
        own.state_dict(), 0, keep=lambda key: not key.startswith("denoise_fn.") or "inv_freq" in key
    )
    own.load_state_dict(filled)
    return own.eval().requires_grad_(False)


def refiner(run: RunOptions = RUN) -> FadmRefiner:
    return FadmRefiner(network(), MeanColours(), run, PUBLISHED, SIDE)


def crops(count: int, seed: int = 0) -> list[Image]:
    small = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return list(small.repeat(SIDE // 4, 1).repeat(SIDE // 4, 2))
