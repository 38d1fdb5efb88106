"""FADM as a refiner.

Published: crops of 256 x 256, from pure noise in 100 steps. The options change that; fadm-s runs
its network once.
"""

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
from thcli.diffusion.noise import (
    INITIAL_NOISE_STEP,
    NoiseSource,
    noise_per_frame,
    noise_shared_by_frames,
)
from thcli.diffusion.process import diffuse
from thcli.diffusion.samplers import Denoiser, Sampler, sample
from thcli.diffusion.schedule import Schedule, even_steps
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.engines.shared.networks.engine import images_from_tensor, to_unit_image
from thcli.faces.model3d import deca
from thcli.refiners.fadm.agcn import ConditionFeatures
from thcli.refiners.fadm.alignment import still_background
from thcli.refiners.fadm.attributes import face_attributes
from thcli.refiners.fadm.network import OFFICIAL, Diffusion, shape_of
from thcli.refiners.shared.torch_refiner import TorchRefiner
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

WEIGHTS = "fadm-diffusion"
CROP = 256


class AttributeReader(Protocol):
    """Estimator of expression and pose: DECA."""

    def extract_attributes(self, images: Tensor) -> Array32:
        """Estimate the attributes (N, A) of whole images (N, 3, H, W), RGB in 0..1."""
        ...


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """Sampling settings that the options do not give; the fields are those of `RefineOptions`."""

    steps: int
    sampler: Sampler
    eta: float
    strength: float

    def with_options(self, options: RefineOptions) -> SamplingSettings:
        """Replace the settings that the options give."""
        return SamplingSettings(
            self.steps if options.steps is None else options.steps,
            self.sampler if options.sampler == "auto" else options.sampler,
            self.eta if options.eta is None else options.eta,
            self.strength if options.strength is None else options.strength,
        )


PUBLISHED = SamplingSettings(steps=100, sampler="ddim", eta=1.0, strength=1.0)


@dataclass(frozen=True, slots=True)
class EncodedSource:
    """An encoded source. attributes: (A,) expression and pose."""

    attributes: Array32


class FadmRefiner(TorchRefiner):
    """Refiner protocol over FADM's network.

    reader: estimator of the images' attributes; None: `fadm.attributes` of the faces' points.
    settings: its own sampling settings; None: more steps do not change its result, so the network
    runs once and no option is read.  crop_size: side of its images in pixels, as in training.
    """

    template: Template = "square"

    def __init__(
        self,
        network: Diffusion,
        reader: AttributeReader | None,
        run: RunOptions,
        settings: SamplingSettings | None = PUBLISHED,
        crop_size: int = CROP,
    ) -> None:
        super().__init__(run)
        self.schedule = network.schedule
        self.network = self.prepare(network)
        self.reader, self.settings = reader, settings
        self.crop_size, self.seed = crop_size, run.seed

    @property
    def still_camera(self) -> bool:
        """True of fadm-s, whose training set has no other clips."""
        return self.settings is None

    @property
    def mask(self) -> Image | None:
        """Blend mask of a refined crop: all of it but a soft rim."""
        return None

    def encode_source(self, image: Image, face: Face) -> EncodedSource:
        """Encode a source. The published network uses its attributes alone.

        Args:
            image: (H, W, 3) uint8.
            face: in the image's pixels, or another size of it.
        """
        return EncodedSource(np.asarray(self.extract_attributes([image], [face])[0], np.float32))

    def extract_attributes(self, images: Sequence[Image], faces: Sequence[Face | None]) -> Array32:
        """Estimate expression, then pose, of N images and their faces.

        Returns:
            (N, A) float32: DECA's 50 and 6 of each whole image, or 19 and 3 of the faces, NaN
            where there is no face.
        """
        if self.reader is None:
            return face_attributes(faces)
        parts = [
            self.reader.extract_attributes(self._tensor(part))
            for part in _batches(images, self.batch)
        ]
        return np.concatenate(parts).astype(np.float32)

    def network_calls(self, options: RefineOptions) -> int:
        """Count the network calls per frame.

        Raises:
            UsageError: the schedule does not have that number of steps.
        """
        return 1 if self.settings is None else len(self._sampling(self.settings, options)[1])

    def refine(
        self,
        coarse: Sequence[Image],
        source: EncodedSource,
        driving: Array32,
        numbers: Sequence[int],
        options: RefineOptions,
        reference_crops: Sequence[Image] | None = None,
        *,
        source_is_reference: bool = False,
    ) -> list[Image]:
        """Refine coarse frames; see `core.protocols.Refiner`.

        Args:
            coarse: B crops (crop_size, crop_size, 3) uint8.
            source: encoded source.
            driving: (B, A) attributes; as in FADM's demo, those of the coarse frames. NaN takes
                the source's value.
            numbers: B frame numbers, for the noise.
            options: sampling settings.
            reference_crops: the source image at each crop's position, or None.
            source_is_reference: the coarse frames are known to be warped from the source.

        Raises:
            UsageError: the schedule does not have that number of steps.
            DeviceError: memory does not suffice.
        """
        rows = torch.from_numpy(np.nan_to_num(source.attributes[None] - driving))
        rows = rows[:, : self.network.shape.attributes]  # none without motion weights
        # a source in another position has no information on a pixel; the published network has none
        sees_images = self.network.shape.sees_images
        references = reference_crops if reference_crops and sees_images else coarse
        out: list[Image] = []
        for first in range(0, len(coarse), self.batch):
            part = slice(first, first + self.batch)
            with self.inference():
                images, views = self._tensor(coarse[part]), self._tensor(references[part])
                attributes = rows[part].to(self.device)
                motion = self._motion(coarse[part], references[part])
                features = self.network.encode_frame(
                    images, views, motion, known_warped=source_is_reference
                )
                if (seen := features.refiner_input) is not None:
                    still = seen.confidence * still_background(motion, images)
                    features = features._replace(refiner_input=seen._replace(confidence=still))
                guidance = Guidance(images, features, attributes)
                refined = self._refine_images(guidance, numbers[part], options)
                out += images_from_tensor(refined)
        return out

    def _refine_images(
        self, guidance: Guidance, numbers: Sequence[int], options: RefineOptions
    ) -> Tensor:
        if self.settings is None:
            return refine_once(self.network, guidance)
        settings, schedule = self._sampling(self.settings, options)
        return sample_frames(
            self.network, guidance, self._noise(numbers, options), schedule, settings
        )

    def _sampling(
        self, settings: SamplingSettings, options: RefineOptions
    ) -> tuple[SamplingSettings, Schedule]:
        """Return the settings with the options, and their steps."""
        chosen = settings.with_options(options)
        return chosen, select_steps(self.schedule, chosen, given=options.steps is not None)

    def _noise(self, numbers: Sequence[int], options: RefineOptions) -> NoiseSource:
        shape = (3, self.crop_size, self.crop_size)
        if options.noise == "frame":
            return noise_per_frame(self.seed, numbers, shape, self.device)
        return noise_shared_by_frames(self.seed, len(numbers), shape, self.device)

    def _motion(self, coarse: Sequence[Image], references: Sequence[Image]) -> Tensor:
        """Compute the optical flow (B, 2, n, n) in pixels from coarse crops to their references.

        It is 0 where the two are the same object.
        """
        flows = [
            np.zeros((*image.shape[:2], 2), np.float32)
            if image is reference
            else optical_flow(image, reference)
            for image, reference in zip(coarse, references, strict=True)
        ]
        return torch.from_numpy(np.stack(flows)).to(self.device).permute(0, 3, 1, 2).contiguous()

    def _tensor(self, images: Sequence[Image]) -> Tensor:
        """Convert (H, W, 3) images to (B, 3, n, n) float32 in [0, 1] on the device."""
        scaled = np.stack([to_unit_image(image, self.crop_size) for image in images])
        return torch.from_numpy(scaled).to(self.device).permute(0, 3, 1, 2).contiguous()


def select_steps(schedule: Schedule, settings: SamplingSettings, *, given: bool = True) -> Schedule:
    """Select the steps from the settings' strength down to the frame, evenly spaced.

    Args:
        schedule: all steps.
        settings: number of steps and strength.
        given: the user asked for the number of steps, so an impossible one is refused; else it is
            reduced.

    Raises:
        UsageError: a given number of steps is impossible.
    """
    most = max(1, round(settings.strength * (len(schedule) - 1))) + 1
    steps = settings.steps if given else min(settings.steps, most)
    return schedule.respace(even_steps(steps, most))


@dataclass(frozen=True, slots=True)
class Guidance:
    """Inputs of the sampler for B frames.

    coarse: (B, 3, n, n) in 0..1.  features: of the frames.  attributes: (B, A), source minus
    driving.
    """

    coarse: Tensor
    features: ConditionFeatures
    attributes: Tensor


def refine_once(network: Diffusion, guidance: Guidance) -> Tensor:
    """Refine coarse frames by one evaluation at the last step, (B, 3, n, n) in about 0..1.

    For networks that predict the frame (x0) and hardly depend on the noisy one.
    """
    step = torch.zeros(len(guidance.coarse), dtype=torch.long, device=guidance.coarse.device)
    out: Tensor = network(guidance.coarse, step, guidance.features, guidance.attributes)
    return out


def sample_frames(
    network: Diffusion,
    guidance: Guidance,
    noise: NoiseSource,
    schedule: Schedule,
    settings: SamplingSettings,
) -> Tensor:
    """Sample refined frames (B, 3, n, n), in about 0..1, from coarse ones."""
    features, attributes = guidance.features, guidance.attributes
    denoiser = Denoiser(
        lambda x, t: network(x, t, features, attributes), schedule, network.predicts, clamp=False
    )
    x = noise(INITIAL_NOISE_STEP)
    if settings.strength < 1:
        last = torch.full((len(guidance.coarse),), len(schedule) - 1, dtype=torch.long)
        x = diffuse(schedule, guidance.coarse, last, x)
    return sample(settings.sampler, denoiser, x, noise, eta=settings.eta)


def _batches(images: Sequence[Image], size: int) -> list[Sequence[Image]]:
    return [images[first : first + size] for first in range(0, len(images), size)]


def load(run: RunOptions) -> FadmRefiner:
    """Load the published network and DECA.

    Raises:
        WeightsError: weights are missing, another model's, or refused by --licence.
    """
    check_licence(WEIGHTS, run.licence)
    tensors = load_tensors(WEIGHTS, prefix="diffusion.", offline=run.offline)
    network = load_state(Diffusion(shape_of(tensors, WEIGHTS)), tensors, WEIGHTS)
    return FadmRefiner(network, deca.load(run), run)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the diffusion network."""
    tensors = checkpoint.tensors("diffusion.")
    published = checkpoint.name == WEIGHTS
    shape = OFFICIAL if published else shape_of(tensors, checkpoint.name)
    load_state(Diffusion(shape), tensors, checkpoint.name)
