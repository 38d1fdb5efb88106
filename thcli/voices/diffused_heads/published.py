"""The published checkpoints of Diffused Heads as voices: CREMA, and LRW where somebody has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from thcli.core.device import resolve
from thcli.core.options import RunOptions, Template, VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import Image, Stamps
from thcli.diffusion.noise import of_frames
from thcli.engines.shared.networks.engine import images_from_tensor
from thcli.faces.adapters.common import check_licence
from thcli.voices.diffused_heads import speech_encoder as listen
from thcli.voices.diffused_heads.autoregressive import State, film, published_painter
from thcli.voices.diffused_heads.network import OFFICIAL, DiffusedHeads, Shape
from thcli.voices.diffused_heads.speech_codes import near
from thcli.voices.diffused_heads.speech_encoder import SpeechEncoder
from thcli.voices.diffused_heads.voice import network_of, tensor_of
from thcli.weights.tensors import load_tensors

STEPS = 100  # the published program's
ENTRY, LRW = "diffused-heads", "diffused-heads-lrw"
UNET, SPEECH = "crema_script.pt", "audio_encoder.pt"


class Published:
    """A PictureVoice. Blinks and the head's movement are the model's own: of VoiceOptions it knows nothing."""

    template: Template = "ffhq"

    def __init__(
        self, network: DiffusedHeads, encoder: SpeechEncoder, run: RunOptions, steps: int = STEPS
    ) -> None:
        self.device = resolve(run.device)
        self.network, self.encoder = network.to(self.device), encoder
        self.crop_size = network.shape.size
        self.seed = run.seed
        self.paint = published_painter(self.network, steps)

    @property
    def mask(self) -> Image | None:
        """All but a soft rim."""
        return None

    def pictures(
        self,
        portrait: Image,
        speech: Speech,
        pts: Stamps,
        time_base: Fraction,
        options: VoiceOptions,
    ) -> Iterator[Image]:
        """See `PictureVoice`; at 25 frames a second exactly as published, at other rates the embeddings are linear between."""
        shape = self.network.shape
        heard = near(self.encoder.rows(speech), pts, time_base, shape.around)
        identity = tensor_of(portrait).to(self.device)
        windows = (
            torch.from_numpy(np.ascontiguousarray(window))[None].to(self.device) for window in heard
        )
        size = (3, shape.size, shape.size)
        start = State.beginning(identity, shape.frames)
        with torch.inference_mode():
            for frame in film(
                self.paint,
                identity,
                windows,
                lambda n: of_frames(self.seed, [n], size, self.device),
                start,
            ):
                yield images_from_tensor((frame + 1) / 2)[0]


def shape_of(tensors: Mapping[str, Tensor]) -> Shape:
    """What a checkpoint's tensors tell: grey motion frames, and whether all blocks of the last level have attention or only the middle."""
    first = tensors.get("input_blocks.0.0.weight")
    grey = first is not None and first.dim() == 4 and first.shape[1] == 8
    everywhere = any(key.startswith("input_blocks.7.1.") for key in tensors)
    return replace(
        OFFICIAL, motion=1 if grey else 3, attention=OFFICIAL.attention if everywhere else ()
    )


def unet(tensors: Mapping[str, Tensor], name: str) -> DiffusedHeads:
    """The U-Net of a TorchScript archive (plain names) or of a training checkpoint (`unet.`, beside a second copy). Raises WeightsError."""
    own = {
        key.removeprefix("unet."): value
        for key, value in tensors.items()
        if key.startswith("unet.")
    } or tensors
    return network_of(own, shape_of(own), name)


def load(run: RunOptions) -> Published:
    """The checkpoint trained on CREMA. Raises WeightsError when it is not here."""
    check_licence(ENTRY, run.licence)
    network = unet(load_tensors(ENTRY, member=UNET, offline=run.offline), ENTRY)
    return Published(network, speech_encoder(offline=run.offline), run)


def load_lrw(run: RunOptions) -> Published:
    """A checkpoint trained on LRW, with CREMA's speech encoder. Raises WeightsError when one of them is not here."""
    check_licence(LRW, run.licence)
    return Published(
        unet(load_tensors(LRW, offline=run.offline), LRW), speech_encoder(offline=run.offline), run
    )


def speech_encoder(*, offline: bool) -> SpeechEncoder:
    """The frozen encoder that comes with the checkpoint trained on CREMA. Raises WeightsError."""
    return listen.filled(load_tensors(ENTRY, member=SPEECH, offline=offline), ENTRY)
