"""Diffusion Video Autoencoders as an Editor: one identity for a clip, landmarks and x_T a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from thcli.core.options import EditorOptions, RunOptions
from thcli.core.types import Array32, Face, Image
from thcli.diffusion.schedule import Schedule
from thcli.editors.dva import sampling
from thcli.editors.dva.arcface import INSIDE, LENGTH
from thcli.editors.dva.diffusion_editor import Diffusing, Told, array
from thcli.editors.dva.encoder import Encoder
from thcli.editors.dva.network import NoiseEstimator
from thcli.editors.dva.parsing import BACKGROUND, VIDEO_BACKGROUND
from thcli.editors.shared.trajectory import fingerprint
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.faces.adapters.common import check_licence
from thcli.weights.tensors import load_tensors

WEIGHTS = "dva"
ENCODER = "encoder."
STEPS = 100  # the published program takes all thousand


class Dva(Diffusing):
    """An Editor. Identities (N, 512) of unit length, landmarks (N, 102) in 0..1."""

    units = (LENGTH,)

    def __init__(
        self,
        network: NoiseEstimator,
        encoder: Encoder,
        run: RunOptions,
        options: EditorOptions | None = None,
    ) -> None:
        """Raises DeviceError when the device is not there, UsageError for a number of steps that no stride of the thousand gives."""
        super().__init__(run, options, STEPS, "ddim")
        self.fingerprint = fingerprint(encoder.linear)
        self.network, self.encoder = self.ready(network), self.ready(encoder)
        self.crop_size = network.shape.size

    def encode(self, crops: Sequence[Image], faces: Sequence[Face]) -> tuple[Array32, Array32]:
        """Read of the crops alone: faces are not looked at."""
        found: list[tuple[Array32, Array32]] = []
        for here in self.batches(len(crops)):
            with self.computing():
                pictures = self.tensor(crops[here], INSIDE)
                found.append(
                    (array(self.encoder.idnet(pictures)), array(self.encoder.lndnet(pictures)))
                )
        identities, landmarks = zip(*found, strict=True)
        return np.concatenate(identities), np.concatenate(landmarks)

    def told(self, identity: Tensor, landmarks: Tensor, table: Schedule) -> Told:
        """The noise estimator with z_face."""
        return Told(
            sampling.denoiser(self.network, self.encoder.face(identity, landmarks).float(), table)
        )

    def seen(self, crop: Image, face: Face) -> tuple[Tensor, Tensor, Tensor]:
        """As `encode`; the face region is the plain one."""
        inside = self.tensor([crop], INSIDE)
        identity, points = self.encoder.idnet(inside).float(), self.encoder.lndnet(inside).float()
        return identity, points, self.encoder.bgnet(inside, BACKGROUND)

    def masks(
        self, crops: Sequence[Image], background: tuple[int, ...] = VIDEO_BACKGROUND
    ) -> list[Image]:
        """Where the published program lays the edited crop over the frame: (256, 256) each, 255 on the face, else 0."""
        out: list[Image] = []
        for here in self.batches(len(crops)):
            with self.computing():
                found = self.encoder.bgnet(self.tensor(crops[here], INSIDE), background)
                out += list((found[:, 0] * 255).to(torch.uint8).cpu().numpy())
        return out


def together(identities: Array32) -> Array32:
    """The clip's identity (512,) of those of all its frames (N, 512): their mean, not brought to unit length (z_id,rep)."""
    return np.asarray(identities.mean(0), np.float32)


def load(run: RunOptions, options: EditorOptions | None = None) -> Dva:
    """The published checkpoint. Raises WeightsError when it is not here, is another model's, or --licence refuses it."""
    check_licence(WEIGHTS, run.licence)
    network, encoder = assemble(load_tensors(WEIGHTS, offline=run.offline), WEIGHTS)
    return Dva(network, encoder, run, options)


def assemble(tensors: Mapping[str, Tensor], where: str) -> tuple[NoiseEstimator, Encoder]:
    """The networks of a checkpoint's moving average, prefix taken off; strictly. where: its name, for messages."""
    own = {key: value for key, value in tensors.items() if not key.startswith(ENCODER)}
    encoder = {
        key.removeprefix(ENCODER): value
        for key, value in tensors.items()
        if key.startswith(ENCODER)
    }
    return load_state(NoiseEstimator(), own, where), load_state(Encoder(), encoder, where)
