"""Published checkpoints of Diffused Heads as voices: CREMA, and LRW where the user has one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from thcli.core.device import resolve_device
from thcli.core.errors import UsageError
from thcli.core.options import DiffusionVoiceOptions, RunOptions, Template, VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import Image, Timestamps
from thcli.diffusion.noise import noise_per_frame
from thcli.engines.shared.networks.engine import images_from_tensor
from thcli.voices.diffused_heads.autoregressive import (
    SamplerState,
    published_frame_sampler,
    sample_autoregressively,
)
from thcli.voices.diffused_heads.network import OFFICIAL, DiffusedHeads, DiffusedHeadsConfig
from thcli.voices.diffused_heads.speech_codes import gather_context
from thcli.voices.diffused_heads.speech_encoder import SpeechEncoder, build_speech_encoder
from thcli.voices.diffused_heads.voice import build_network, image_to_tensor
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

STEPS = 100  # of the published program
ENTRY, LRW = "diffused-heads", "diffused-heads-lrw"
UNET, SPEECH = "crema_script.pt", "audio_encoder.pt"


class PublishedVoice:
    """RenderingVoice of a published checkpoint.

    Blinks and head motion are the model's own. Of the options it reads those of Diffused Heads.
    """

    template: Template = "ffhq"

    def __init__(
        self, network: DiffusedHeads, encoder: SpeechEncoder, run: RunOptions, steps: int = STEPS
    ) -> None:
        self.device = resolve_device(run.device)
        self.network, self.encoder = network.to(self.device), encoder
        self.crop_size = network.config.size
        self.seed, self.steps = run.seed, steps

    @property
    def mask(self) -> Image | None:
        """Return None: the whole crop is used up to a soft rim."""
        return None

    def render_frames(
        self,
        portrait: Image,
        speech: Speech,
        pts: Timestamps,
        time_base: Fraction,
        options: VoiceOptions,
    ) -> Iterator[Image]:
        """Yield the images; see `RenderingVoice`.

        At 25 frames per second the frames are those of the published program. At other rates the
        audio embeddings are interpolated linearly.

        Raises:
            UsageError: the checkpoint does not take --motion-frames, or too few --steps.
        """
        config, chosen = self.network.config, options.diffusion
        frames, channels = motion_inputs(config, chosen)
        sample_frame = published_frame_sampler(
            self.network,
            chosen.steps or self.steps,
            "ddpm" if chosen.sampler == "auto" else chosen.sampler,
            grey=channels == 1,
        )
        embeddings = self.encoder.encode_speech(speech)
        context = gather_context(embeddings, pts, time_base, config.audio_context)
        identity = image_to_tensor(portrait).to(self.device)
        audio_windows = (
            torch.from_numpy(np.ascontiguousarray(window))[None].to(self.device)
            for window in context
        )
        size = (3, config.size, config.size)
        start = SamplerState.initial(identity, frames)
        with torch.inference_mode():
            for frame in sample_autoregressively(
                sample_frame,
                identity,
                audio_windows,
                lambda n: noise_per_frame(self.seed, [n], size, self.device),
                start,
            ):
                yield images_from_tensor((frame + 1) / 2)[0]


def motion_inputs(config: DiffusedHeadsConfig, options: DiffusionVoiceOptions) -> tuple[int, int]:
    """Return the number of previous frames of a checkpoint and their channels, 3 or 1.

    Six channels are two frames in colour or six grey ones, so that the options decide.

    Raises:
        UsageError: the checkpoint has another number of channels than --motion-frames needs.
    """
    total = config.motion_frames * config.motion_channels
    wanted = options.motion_frames
    grey = options.grey or config.motion_channels == 1 or wanted == total
    frames = total if grey else total // 3
    if wanted not in (None, frames):
        raise UsageError(
            f"The checkpoint takes {frames} motion frames, not --motion-frames {wanted}.",
            "Leave --motion-frames and --grey out.",
        )
    return frames, 1 if grey else 3


def infer_config(tensors: Mapping[str, Tensor]) -> DiffusedHeadsConfig:
    """Infer the configuration from a checkpoint's tensors.

    The channels of the first convolution are those of the noisy frame, of the motion frames and of
    the identity frame; a number that three does not divide shows grey motion frames. Attention is
    in all blocks of the last level or in the middle alone.
    """
    first = tensors.get("input_blocks.0.0.weight")
    images = 6  # channels of noisy and identity frame
    motion = OFFICIAL.motion_channels * OFFICIAL.motion_frames
    if first is not None and first.dim() == 4:
        motion = max(1, first.shape[1] - images)
    grey = motion % 3 != 0
    level_attention = any(key.startswith("input_blocks.7.1.") for key in tensors)
    return replace(
        OFFICIAL,
        motion_channels=1 if grey else 3,
        motion_frames=motion if grey else motion // 3,
        attention_factors=OFFICIAL.attention_factors if level_attention else (),
    )


def build_unet(tensors: Mapping[str, Tensor], name: str) -> DiffusedHeads:
    """Build the U-Net of a TorchScript archive or of a training checkpoint and load it.

    TorchScript archives have plain names. Training checkpoints have the prefix `unet.` beside a
    second copy.

    Raises:
        WeightsError: the tensors are those of another model.
    """
    state = {
        key.removeprefix("unet."): value
        for key, value in tensors.items()
        if key.startswith("unet.")
    } or tensors
    return build_network(state, infer_config(state), name)


def load(run: RunOptions) -> PublishedVoice:
    """Load the checkpoint trained on CREMA.

    Raises:
        WeightsError: the weights are not installed.
    """
    check_licence(ENTRY, run.licence)
    network = build_unet(load_tensors(ENTRY, member=UNET, offline=run.offline), ENTRY)
    return PublishedVoice(network, load_speech_encoder(offline=run.offline), run)


def load_lrw(run: RunOptions) -> PublishedVoice:
    """Load a checkpoint trained on LRW, with CREMA's speech encoder.

    Raises:
        WeightsError: one of them is not installed.
    """
    check_licence(LRW, run.licence)
    return PublishedVoice(
        build_unet(load_tensors(LRW, offline=run.offline), LRW),
        load_speech_encoder(offline=run.offline),
        run,
    )


def load_speech_encoder(*, offline: bool) -> SpeechEncoder:
    """Load the frozen speech encoder of the checkpoint trained on CREMA.

    Raises:
        WeightsError: the weights are not installed.
    """
    return build_speech_encoder(load_tensors(ENTRY, member=SPEECH, offline=offline), ENTRY)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the U-Net and its encoder."""
    if checkpoint.name == LRW:
        build_unet(checkpoint.tensors(), LRW)
    else:
        build_unet(checkpoint.tensors(member=UNET), checkpoint.name)
        build_speech_encoder(checkpoint.tensors(member=SPEECH), checkpoint.name)
