"""FADM as a refiner: as published from crops of 256 x 256 and pure noise in 100 steps, or as fadm-s and the options say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from thcli.core.imaging import optical_flow
from thcli.core.options import RefineOptions, RunOptions, Template
from thcli.core.types import Array32, Face, Image
from thcli.diffusion.noise import START, Noise, of_frames, shared_by_frames
from thcli.diffusion.process import diffuse
from thcli.diffusion.samplers import Denoiser, Sampler, sample
from thcli.diffusion.schedule import Schedule, evenly
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.engines.shared.networks.compute import Computing
from thcli.engines.shared.networks.engine import as_unit, images_from_tensor
from thcli.faces.adapters.common import check_licence
from thcli.faces.model3d import deca
from thcli.refiners.fadm.agcn import Read
from thcli.refiners.fadm.attributes import numbers_of_faces
from thcli.refiners.fadm.network import Diffusion, shape_of
from thcli.weights.tensors import load_tensors

WEIGHTS = "fadm-diffusion"
CROP = 256


class Attributes(Protocol):
    """What reads expression and pose: DECA. pictures: (N, 3, H, W) RGB 0..1, whole -> (N, A)."""

    def attributes(self, pictures: Tensor) -> Array32: ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a picture is sampled where the options do not say; the fields are theirs (`RefineOptions`)."""

    steps: int
    sampler: Sampler
    eta: float
    strength: float

    def under(self, options: RefineOptions) -> Recipe:
        """With what the options say in place of its own."""
        return Recipe(
            self.steps if options.steps is None else options.steps,
            self.sampler if options.sampler == "auto" else options.sampler,
            self.eta if options.eta is None else options.eta,
            self.strength if options.strength is None else options.strength,
        )


PUBLISHED = Recipe(steps=100, sampler="ddim", eta=1.0, strength=1.0)


@dataclass(frozen=True, slots=True)
class Encoded:
    """All that is known of a source: expression and pose (A,)."""

    attributes: Array32


class Fadm(Computing):
    """A Refiner. reader: of pictures' attributes; None: those of `fadm.attributes`, from the faces' points.

    recipe: its own choices.  crop_size: the side of its pictures, as large as the network was trained for.
    """

    template: Template = "square"

    def __init__(
        self,
        network: Diffusion,
        reader: Attributes | None,
        run: RunOptions,
        recipe: Recipe = PUBLISHED,
        crop_size: int = CROP,
    ) -> None:
        super().__init__(run)
        self.schedule = network.schedule
        self.network = self.ready(network)
        self.reader, self.recipe, self.crop_size, self.seed = reader, recipe, crop_size, run.seed

    @property
    def mask(self) -> Image | None:
        """All of a crop but a soft rim."""
        return None

    def encode_source(self, picture: Image, face: Face) -> Encoded:
        """face: in the picture's pixels, or another size of it. The published network sees the attributes alone."""
        return Encoded(np.asarray(self.attributes([picture], [face])[0], np.float32))

    def attributes(self, pictures: Sequence[Image], faces: Sequence[Face | None]) -> Array32:
        """Expression, then pose, (N, A): DECA's 50 and 6 of each whole picture, or 19 and 3 of the faces, not a number where there is none."""
        if self.reader is None:
            return numbers_of_faces(faces)
        parts = [
            self.reader.attributes(self._tensor(part)) for part in _batches(pictures, self.batch)
        ]
        return np.concatenate(parts).astype(np.float32)

    def calls(self, options: RefineOptions) -> int:
        """Network calls a frame. Raises UsageError for a number of steps that the schedule does not have."""
        return len(self.steps(self.recipe.under(options), given=options.steps is not None))

    def refine(
        self,
        coarse: Sequence[Image],
        source: Encoded,
        driving: Array32,
        numbers: Sequence[int],
        options: RefineOptions,
        reference_crops: Sequence[Image] | None = None,
        *,
        source_is_reference: bool = False,
    ) -> list[Image]:
        """See `core.protocols.Refiner`. driving: as the demo has it, the coarse frames' own attributes; what is not a number is as in the source.

        Raises UsageError for a number of steps that the schedule does not have, DeviceError when memory does not suffice.
        """
        recipe = self.recipe.under(options)
        schedule = self.steps(recipe, given=options.steps is not None)
        rows = torch.from_numpy(np.nan_to_num(source.attributes[None] - driving))
        # a source that is somewhere else says nothing of a pixel; the published network sees none
        beside = reference_crops if reference_crops and self.network.shape.beside else coarse
        out: list[Image] = []
        for first in range(0, len(coarse), self.batch):
            here = slice(first, first + self.batch)
            with self.computing():
                pictures, views = self._tensor(coarse[here]), self._tensor(beside[here])
                apart, noise = rows[here].to(self.device), self._noise(numbers[here], options)
                read = self.network.look(
                    pictures,
                    views,
                    self._motion(coarse[here], beside[here]),
                    sure=source_is_reference,
                )
                out += images_from_tensor(
                    sampled(self.network, pictures, read, apart, noise, schedule, recipe)
                )
        return out

    def steps(self, recipe: Recipe, *, given: bool = True) -> Schedule:
        """See `steps_of`."""
        return steps_of(self.schedule, recipe, given=given)

    def _noise(self, numbers: Sequence[int], options: RefineOptions) -> Noise:
        shape = (3, self.crop_size, self.crop_size)
        if options.noise == "frame":
            return of_frames(self.seed, numbers, shape, self.device)
        return shared_by_frames(self.seed, len(numbers), shape, self.device)

    def _motion(self, coarse: Sequence[Image], beside: Sequence[Image]) -> Tensor:
        """(B, 2, n, n) pixels, where each coarse picture's content is in the one beside it; nothing has moved where that is the same."""
        ways = [
            np.zeros((*picture.shape[:2], 2), np.float32)
            if picture is other
            else optical_flow(picture, other)
            for picture, other in zip(coarse, beside, strict=True)
        ]
        return torch.from_numpy(np.stack(ways)).to(self.device).permute(0, 3, 1, 2).contiguous()

    def _tensor(self, pictures: Sequence[Image]) -> Tensor:
        """(H, W, 3) pictures -> (B, 3, n, n) float32 in [0, 1] on the device."""
        scaled = np.stack([as_unit(picture, self.crop_size) for picture in pictures])
        return torch.from_numpy(scaled).to(self.device).permute(0, 3, 1, 2).contiguous()


def steps_of(schedule: Schedule, recipe: Recipe, *, given: bool = True) -> Schedule:
    """The steps that a recipe takes, from its strength down to the picture, evenly.

    given: the number of steps is a wish, and one that is not possible is refused; else it is made smaller.
    """
    most = max(1, round(recipe.strength * (len(schedule) - 1))) + 1
    return schedule.respaced(evenly(recipe.steps if given else min(recipe.steps, most), most))


def sampled(
    network: Diffusion,
    coarse: Tensor,
    read: Read,
    attributes: Tensor,
    noise: Noise,
    schedule: Schedule,
    recipe: Recipe,
) -> Tensor:
    """Pictures (B, 3, n, n) in about 0..1 of coarse ones. read: what the network saw of them.  attributes: (B, A) source minus driving."""
    denoiser = Denoiser(
        lambda x, t: network(x, t, read, attributes), schedule, network.predicts, clip=False
    )
    x = noise(START)
    if recipe.strength < 1:
        last = torch.full((len(coarse),), len(schedule) - 1, dtype=torch.long)
        x = diffuse(schedule, coarse, last, x)
    return sample(recipe.sampler, denoiser, x, noise, eta=recipe.eta)


def _batches(pictures: Sequence[Image], size: int) -> list[Sequence[Image]]:
    return [pictures[first : first + size] for first in range(0, len(pictures), size)]


def load(run: RunOptions) -> Fadm:
    """The published network and DECA. Raises WeightsError when one is not here, is another model's, or is refused by --licence."""
    check_licence(WEIGHTS, run.licence)
    tensors = load_tensors(WEIGHTS, prefix="diffusion.", offline=run.offline)
    network = load_state(Diffusion(shape_of(tensors, WEIGHTS)), tensors, WEIGHTS)
    return Fadm(network, deca.load(run), run)
