"""dh-s as a voice that makes pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import torch
from torch import Tensor

from thcli.core.device import resolve
from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions, Template, VoiceOptions
from thcli.core.protocols import Speech, Voice
from thcli.core.types import Array32, Image, Stamps
from thcli.diffusion.noise import shared_by_frames
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.faces.adapters.common import check_licence
from thcli.voices.backends import VOICES
from thcli.voices.diffused_heads import small
from thcli.voices.diffused_heads.autoregressive import State, film, small_painter
from thcli.voices.diffused_heads.network import DiffusedHeads, Shape
from thcli.voices.diffused_heads.speech_codes import codes
from thcli.weights.tensors import load_tensors

STEPS = 2
CROP = 256  # pixels of the square that the voice is given and gives back; it paints what changes in fewer
MOVED = 0.06  # difference (pictures in [-1, 1]) from which the portrait's own fine detail gives way to what was painted


class Small:
    """dh-s, a PictureVoice. Stateless between calls.

    A voice of motion says what the face does; dh-s paints the difference that it makes to the portrait.
    """

    crop_size = CROP
    template: Template = "close"

    def __init__(
        self, network: DiffusedHeads, voice: Voice, run: RunOptions, steps: int = STEPS
    ) -> None:
        self.device = resolve(run.device)
        self.network = network.eval().to(self.device)
        self.voice, self.seed = voice, run.seed
        self.paint = small_painter(self.network, steps)

    @property
    def mask(self) -> Image | None:
        """A soft rim, as every crop has: at it the difference is faded out."""
        return None

    def pictures(
        self,
        portrait: Image,
        speech: Speech,
        pts: Stamps,
        time_base: Fraction,
        options: VoiceOptions,
    ) -> Iterator[Image]:
        """See `PictureVoice`. A resume begins at the first picture again."""
        heard = codes(self.voice, speech, pts, time_base, self.network.shape.around, options)
        yield from self.frames(portrait, heard)

    def frames(self, portrait: Image, heard: Iterator[Array32]) -> Iterator[Image]:
        """The portrait (CROP, CROP, 3) painted from codes, (window, 12) a frame; one picture of its size for each."""
        side = self.network.shape.size
        little = np.asarray(
            cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA), np.uint8
        )
        identity = tensor_of(little).to(self.device)
        windows = (torch.from_numpy(window)[None].to(self.device) for window in heard)
        start = State.beginning(identity, self.network.shape.frames)
        noise = shared_by_frames(
            self.seed, 1, (3, side, side), self.device
        )  # the same for all: what is still stays still
        with torch.inference_mode():
            for frame in film(self.paint, identity, windows, lambda n: noise, start):
                yield enlarged(portrait, (frame - identity)[0].permute(1, 2, 0).cpu().numpy())


def tensor_of(picture: Image) -> Tensor:
    """(S, S, 3) uint8 -> (1, 3, S, S) in [-1, 1]."""
    return (
        torch.from_numpy(picture.astype(np.float32) / np.float32(127.5) - 1)
        .permute(2, 0, 1)[None]
        .contiguous()
    )


def enlarged(portrait: Image, difference: Array32) -> Image:
    """The portrait with a small difference (S, S, 3; pictures in [-1, 1]) brought to its size.

    Where little changes the portrait keeps its own detail; where much does (the lips) that detail would be a ghost, and gives way.
    """
    side, little = portrait.shape[0], difference.shape[0]
    own = portrait.astype(np.float32) / np.float32(127.5) - 1
    coarse = cv2.resize(
        cv2.resize(own, (little, little), interpolation=cv2.INTER_AREA),
        (side, side),
        interpolation=cv2.INTER_CUBIC,
    )
    changed = cv2.GaussianBlur(np.abs(difference).max(2), (0, 0), 1.0)
    gone = cv2.resize(
        np.clip((changed - MOVED) / MOVED, 0, 1), (side, side), interpolation=cv2.INTER_LINEAR
    )[..., None]
    moved = cv2.resize(difference, (side, side), interpolation=cv2.INTER_CUBIC)
    made = own + moved - gone * (own - coarse)
    return np.asarray(np.clip(np.rint((made + 1) * 127.5), 0, 255), np.uint8)


def load(run: RunOptions) -> Small:
    """dh-s. Raises WeightsError when it is not here, or may not be used under the job's licence."""
    name = "dh-s"
    check_licence(name, run.licence)
    network = network_of(load_tensors(name, offline=run.offline, prefix="unet."), small.SHAPE, name)
    return Small(network, VOICES.backend(VOICES.resolve("auto", run)).load(run), run)


def network_of(tensors: Mapping[str, Tensor], shape: Shape, name: str) -> DiffusedHeads:
    """The network with these tensors. Raises WeightsError when they are another model's."""
    first = tensors.get("input_blocks.0.0.weight")
    if first is None or first.dim() != 4:
        raise WeightsError(f"{name} holds no U-Net of Diffused Heads.", "Fetch or import it again.")
    return load_state(
        DiffusedHeads(replace(shape, width=first.shape[0])),
        {k: v.float() for k, v in tensors.items()},
        name,
    )
