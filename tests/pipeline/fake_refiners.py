"""Stand-ins for the tests of `refine`: a refiner that adds red, FADM's own network tiny and untrained, and an eye for persons that sees colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from thcli.core.errors import UsageError
from thcli.core.options import RefineOptions, RunOptions, Template
from thcli.core.types import Array32, Face, Identity, Image
from thcli.refiners.fadm.network import Diffusion, Shape
from thcli.refiners.fadm.refiner import Fadm, Recipe

RED, MORE = 20, 4  # levels of red that are added, and how many more in three frames of four


class Blush:
    """Adds red to all of a crop, more or less of it from frame to frame."""

    crop_size = 64
    template: Template = "square"
    mask = None
    sources: tuple[Image, ...] = ()  # that the last one was shown
    source_is_reference = False  # whether somebody said that the frames were made of the source
    reference_crops = False  # whether it saw the source where the crops lie

    def __init__(self, run: RunOptions) -> None:
        Blush.sources = ()

    def encode_source(self, picture: Image, face: Face) -> Array32:
        in_the_middle(face)
        Blush.sources = (*Blush.sources, picture)
        return np.array([picture.mean()], np.float32)

    def attributes(self, pictures: Sequence[Image], faces: Sequence[Face | None]) -> Array32:
        for face in faces:
            in_the_middle(face)
        return np.array([[p.mean()] for p in pictures], np.float32)

    def calls(self, options: RefineOptions) -> int:
        if options.steps is not None and options.steps > 9:
            raise UsageError(f"The number of steps must be within 2..9, not {options.steps}.")
        return options.steps or 3

    def refine(
        self,
        coarse: Sequence[Image],
        source: Array32,
        driving: Array32,
        numbers: Sequence[int],
        options: RefineOptions,
        reference_crops: Sequence[Image] | None = None,
        *,
        source_is_reference: bool = False,
    ) -> list[Image]:
        Blush.source_is_reference = source_is_reference
        assert driving.shape == (len(coarse), 1)
        Blush.reference_crops = reference_crops is not None
        if reference_crops is not None:  # the same view: most of it is the same
            apart = [
                np.abs(a.astype(int) - b).mean()
                for a, b in zip(reference_crops, coarse, strict=True)
            ]
            assert len(apart) == len(coarse) and max(apart) < 40
        return [reddened(p, RED + MORE * (n % 4)) for p, n in zip(coarse, numbers, strict=True)]


def reddened(picture: Image, levels: int) -> Image:
    out = picture.copy()
    out[..., 0] = np.minimum(out[..., 0].astype(int) + levels, 255)
    return out


def in_the_middle(face: Face | None) -> None:
    """Faces come in the pixels of their crops."""
    assert face is not None and face.mesh is not None
    assert 24 < float(face.box[0] + face.box[2]) / 2 < 40


class Means:
    """What is read of pictures: the mean of each quarter."""

    def attributes(self, pictures: Tensor) -> Array32:
        return np.asarray(
            torch.nn.functional.adaptive_avg_pool2d(pictures, 2).flatten(1).numpy(), np.float32
        )


def tiny(run: RunOptions) -> Fadm:
    """FADM's network of random numbers at 64 x 64, three steps from a coarse frame under a fifth of noise."""
    torch.manual_seed(1)
    network = Diffusion(
        Shape(width=32, times=(1, 1), blocks=1, attention=(2,), inner=8, attributes=12)
    )
    return Fadm(network.eval().requires_grad_(False), Means(), run, Recipe(3, "ddim", 0.0, 0.2), 64)


class Colours:
    """Tells persons apart by the mean colour of the face's box: one painted green is somebody else."""

    name = "colours"
    same_person = 0.98

    def __init__(self, run: RunOptions) -> None:
        pass

    def vectors(self, crops: Sequence[Image]) -> Array32:
        means = np.array([crop.mean((0, 1)) - 40 for crop in crops], np.float32)
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)

    def identify(self, picture: Image, face: Face) -> Identity:
        x0, y0, x1, y1 = (max(int(v), 0) for v in face.box)
        return Identity(self.vectors([np.asarray(picture[y0:y1, x0:x1], np.uint8)])[0], self.name)
