"""Fakes for `refine`: a refiner that adds red, a tiny untrained FADM, an identity by colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from thcli.core.errors import UsageError
from thcli.core.options import RefineOptions, RunOptions, Template
from thcli.core.types import Array32, Face, Identity, Image
from thcli.refiners.fadm.network import Diffusion, NetworkShape
from thcli.refiners.fadm.refiner import FadmRefiner, SamplingSettings

RED, MORE = 20, 4  # levels of red added to a frame: RED + MORE * (number % 4)


class RedRefiner:
    """A refiner that adds red to crops, a different amount in every frame."""

    crop_size = 64
    parallel = False
    template: Template = "square"
    mask = None
    sources: tuple[Image, ...] = ()  # source images of the last job
    source_is_reference = False
    reference_crops = False  # reference crops were given

    def __init__(self, run: RunOptions) -> None:
        RedRefiner.sources = ()

    def encode_source(self, image: Image, face: Face) -> Array32:
        require_centred(face)
        RedRefiner.sources = (*RedRefiner.sources, image)
        return np.array([image.mean()], np.float32)

    def extract_attributes(self, images: Sequence[Image], faces: Sequence[Face | None]) -> Array32:
        for face in faces:
            require_centred(face)
        return np.array([[p.mean()] for p in images], np.float32)

    def network_calls(self, options: RefineOptions) -> int:
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
        RedRefiner.source_is_reference = source_is_reference
        assert driving.shape == (len(coarse), 1)
        RedRefiner.reference_crops = reference_crops is not None
        if reference_crops is not None:  # same view: similar pixels
            apart = [
                np.abs(a.astype(int) - b).mean()
                for a, b in zip(reference_crops, coarse, strict=True)
            ]
            assert len(apart) == len(coarse) and max(apart) < 40
        return [add_red(p, RED + MORE * (n % 4)) for p, n in zip(coarse, numbers, strict=True)]


def add_red(image: Image, levels: int) -> Image:
    out = image.copy()
    out[..., 0] = np.minimum(out[..., 0].astype(int) + levels, 255)
    return out


def require_centred(face: Face | None) -> None:
    """Check that a face is in the pixels of its crop."""
    assert face is not None and face.mesh is not None
    assert 24 < float(face.box[0] + face.box[2]) / 2 < 40


class QuarterMeans:
    """An attribute encoder: the mean of each quarter of an image."""

    def extract_attributes(self, images: Tensor) -> Array32:
        return np.asarray(
            torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1).numpy(), np.float32
        )


def tiny_fadm(run: RunOptions) -> FadmRefiner:
    """Return an untrained FADM at 64 x 64: three steps from a coarse frame with noise 0.2."""
    torch.manual_seed(1)
    network = Diffusion(
        NetworkShape(width=32, multipliers=(1, 1), blocks=1, attention=(2,), inner=8, attributes=12)
    )
    return FadmRefiner(
        network.eval().requires_grad_(False),
        QuarterMeans(),
        run,
        SamplingSettings(3, "ddim", 0.0, 0.2),
        64,
    )


class ColourIdentity:
    """An identity encoder by the mean colour of the face box: a green face is another person."""

    name = "colours"
    same_person = 0.98

    def __init__(self, run: RunOptions) -> None:
        pass

    def encode_crops(self, crops: Sequence[Image]) -> Array32:
        means = np.array([crop.mean((0, 1)) - 40 for crop in crops], np.float32)
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)

    def identify(self, image: Image, face: Face) -> Identity:
        x0, y0, x1, y1 = (max(int(v), 0) for v in face.box)
        return Identity(
            self.encode_crops([np.asarray(image[y0:y1, x0:x1], np.uint8)])[0], self.name
        )
