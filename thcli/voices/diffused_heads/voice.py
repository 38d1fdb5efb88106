"""Voice `dh-s`: speech to images of a talking face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import torch
from torch import Tensor

from thcli.core.batches import require_finite
from thcli.core.device import resolve_device
from thcli.core.errors import WeightsError
from thcli.core.options import DiffusionVoiceOptions, RunOptions, Template, VoiceOptions
from thcli.core.protocols import Speech, Voice
from thcli.core.types import Array32, Image, Timestamps
from thcli.diffusion.noise import noise_shared_by_frames
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.voices.backends import VOICES
from thcli.voices.diffused_heads import small
from thcli.voices.diffused_heads.autoregressive import (
    SamplerState,
    sample_autoregressively,
    small_frame_sampler,
)
from thcli.voices.diffused_heads.network import DiffusedHeads, DiffusedHeadsConfig
from thcli.voices.diffused_heads.speech_codes import predict_codes
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

STEPS = 2
CROP_SIZE = 256  # side of input and output crops in pixels; the network's images are smaller
DETAIL_THRESHOLD = 0.06  # difference in [-1, 1] above which the portrait's detail is dropped


class SmallVoice:
    """RenderingVoice of dh-s. Stateless between calls.

    A motion voice predicts articulation codes. The network samples the difference to the portrait.
    """

    crop_size = CROP_SIZE
    template: Template = "close"

    def __init__(
        self, network: DiffusedHeads, voice: Voice, run: RunOptions, steps: int = STEPS
    ) -> None:
        self.device = resolve_device(run.device)
        self.network = network.eval().to(self.device)
        self.voice, self.seed, self.steps = voice, run.seed, steps

    @property
    def mask(self) -> Image | None:
        """Return None: the difference fades out at the rim of the crop."""
        return None

    def render_frames(
        self,
        portrait: Image,
        speech: Speech,
        pts: Timestamps,
        time_base: Fraction,
        options: VoiceOptions,
    ) -> Iterator[Image]:
        """Yield the images; see `RenderingVoice`. A resumed run starts again at the first image."""
        context = self.network.config.audio_context
        codes = predict_codes(self.voice, speech, pts, time_base, context, options)
        yield from self.frames(portrait, codes, options.diffusion)

    def frames(
        self, portrait: Image, codes: Iterator[Array32], options: DiffusionVoiceOptions
    ) -> Iterator[Image]:
        """Yield the images (CROP_SIZE, CROP_SIZE, 3) of a portrait of that size.

        Args:
            portrait: the portrait.
            codes: (window, 12) per frame.
            options: steps and sampler.

        Raises:
            NotFiniteError: an image is not finite; later images depend on each image.
        """
        sample_frame = small_frame_sampler(
            self.network,
            options.steps or self.steps,
            "dpm++" if options.sampler == "auto" else options.sampler,
        )
        side = self.network.config.size
        reduced = np.asarray(
            cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA), np.uint8
        )
        identity = image_to_tensor(reduced).to(self.device)
        audio_windows = (torch.from_numpy(window)[None].to(self.device) for window in codes)
        start = SamplerState.initial(identity, self.network.config.motion_frames)
        # the same noise for all frames: still regions stay still
        noise = noise_shared_by_frames(self.seed, 1, (3, side, side), self.device)
        with torch.inference_mode():
            for frame in sample_autoregressively(
                sample_frame, identity, audio_windows, lambda n: noise, start
            ):
                difference = (frame - identity)[0].permute(1, 2, 0).float().cpu().numpy()
                require_finite(difference)
                yield apply_difference(portrait, difference)


def image_to_tensor(image: Image) -> Tensor:
    """Convert an image (S, S, 3) uint8 to (1, 3, S, S) in [-1, 1]."""
    return (
        torch.from_numpy(image.astype(np.float32) / np.float32(127.5) - 1)
        .permute(2, 0, 1)[None]
        .contiguous()
    )


def apply_difference(portrait: Image, difference: Array32) -> Image:
    """Add a low-resolution difference (S, S, 3), for images in [-1, 1], to the portrait.

    Where little changes the portrait keeps its detail. Where much changes (the lips) the detail
    would be a ghost image and is dropped.
    """
    side, reduced_side = portrait.shape[0], difference.shape[0]
    pixels = portrait.astype(np.float32) / np.float32(127.5) - 1
    coarse = cv2.resize(
        cv2.resize(pixels, (reduced_side, reduced_side), interpolation=cv2.INTER_AREA),
        (side, side),
        interpolation=cv2.INTER_CUBIC,
    )
    magnitude = cv2.GaussianBlur(np.abs(difference).max(2), (0, 0), 1.0)
    dropped_detail = cv2.resize(
        np.clip((magnitude - DETAIL_THRESHOLD) / DETAIL_THRESHOLD, 0, 1),
        (side, side),
        interpolation=cv2.INTER_LINEAR,
    )[..., None]
    upscaled = cv2.resize(difference, (side, side), interpolation=cv2.INTER_CUBIC)
    result = pixels + upscaled - dropped_detail * (pixels - coarse)
    return np.asarray(np.clip(np.rint((result + 1) * 127.5), 0, 255), np.uint8)


def load(run: RunOptions) -> SmallVoice:
    """Load dh-s.

    Raises:
        WeightsError: the weights are not installed, or the licence does not permit their use.
    """
    name = "dh-s"
    check_licence(name, run.licence)
    network = build_network(
        load_tensors(name, offline=run.offline, prefix="unet."), small.CONFIG, name
    )
    return SmallVoice(network, VOICES.backend(VOICES.resolve("auto", run)).load(run), run)


def build_network(
    tensors: Mapping[str, Tensor], config: DiffusedHeadsConfig, name: str
) -> DiffusedHeads:
    """Build the network with these tensors; the width is inferred.

    Raises:
        WeightsError: the tensors are those of another model.
    """
    first = tensors.get("input_blocks.0.0.weight")
    if first is None or first.dim() != 4:
        raise WeightsError(f"{name} holds no U-Net of Diffused Heads.", "Fetch or import it again.")
    return load_state(
        DiffusedHeads(replace(config, base_channels=first.shape[0])),
        {k: v.float() for k, v in tensors.items()},
        name,
    )


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the U-Net."""
    build_network(checkpoint.tensors("unet."), small.CONFIG, checkpoint.name)
