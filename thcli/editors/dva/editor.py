"""Backend dva: Diffusion Video Autoencoders as published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from thcli.core.options import EditorOptions, RunOptions
from thcli.core.types import Array32, Face, Image
from thcli.diffusion.schedule import Schedule
from thcli.editors.dva import sampling
from thcli.editors.dva.arcface import CROP_SIZE, LENGTH
from thcli.editors.dva.diffusion_editor import ConditionedDenoiser, DiffusionEditor, to_numpy
from thcli.editors.dva.encoder import Encoder
from thcli.editors.dva.network import NoiseEstimator
from thcli.editors.dva.parsing import BACKGROUND, VIDEO_BACKGROUND
from thcli.editors.shared.trajectory import hash_weights
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.tensors import load_tensors

WEIGHTS = "dva"
ENCODER = "encoder."
STEPS = 100  # the published program uses all thousand


class Dva(DiffusionEditor):
    """Editor with identities (N, 512) of unit length and landmarks (N, 102) in 0..1."""

    part_lengths = (LENGTH,)

    def __init__(
        self,
        network: NoiseEstimator,
        encoder: Encoder,
        run: RunOptions,
        options: EditorOptions | None = None,
    ) -> None:
        """Set up the networks.

        Raises:
            DeviceError: when the device is not available.
            UsageError: for a number of steps that no stride of the thousand gives.
        """
        super().__init__(run, options, STEPS, "ddim")
        self.fingerprint = hash_weights(encoder.linear)
        self.network, self.encoder = self.prepare(network), self.prepare(encoder)
        self.crop_size = network.shape.size

    def encode(self, crops: Sequence[Image], faces: Sequence[Face]) -> tuple[Array32, Array32]:
        """Encode crops alone; `faces` are not used."""
        found: list[tuple[Array32, Array32]] = []
        for here in self.batches(len(crops)):
            with self.inference():
                images = self.tensor(crops[here], CROP_SIZE)
                found.append(
                    (to_numpy(self.encoder.idnet(images)), to_numpy(self.encoder.lndnet(images)))
                )
        identities, landmarks = zip(*found, strict=True)
        return np.concatenate(identities), np.concatenate(landmarks)

    def condition(
        self, identity: Tensor, landmarks: Tensor, table: Schedule
    ) -> ConditionedDenoiser:
        """Return the noise estimator conditioned on z_face."""
        face = self.encoder.encode_face(identity, landmarks).float()
        return ConditionedDenoiser(sampling.condition_denoiser(self.network, face, table))

    def encode_crop(self, crop: Image, face: Face) -> tuple[Tensor, Tensor, Tensor]:
        """Encode one crop as `encode` does; the face mask keeps ears, neck and hair."""
        image = self.tensor([crop], CROP_SIZE)
        identity = self.encoder.idnet(image).float()
        landmarks = self.encoder.lndnet(image).float()
        return identity, landmarks, self.encoder.bgnet(image, BACKGROUND)

    def masks(
        self, crops: Sequence[Image], background: tuple[int, ...] = VIDEO_BACKGROUND
    ) -> list[Image]:
        """Return the masks within which the published program pastes the crop.

        Each is (256, 256) uint8, 255 on the face, else 0.
        """
        out: list[Image] = []
        for here in self.batches(len(crops)):
            with self.inference():
                found = self.encoder.bgnet(self.tensor(crops[here], CROP_SIZE), background)
                out += list((found[:, 0] * 255).to(torch.uint8).cpu().numpy())
        return out


def mean_identity(identities: Array32) -> Array32:
    """Average the identities (N, 512) of all frames to z_id,rep (512,), which is not normalised."""
    return np.asarray(identities.mean(0), np.float32)


def load(run: RunOptions, options: EditorOptions | None = None) -> Dva:
    """Load the published checkpoint.

    Raises WeightsError when it is absent, another model's, or refused by --licence.
    """
    check_licence(WEIGHTS, run.licence)
    network, encoder = assemble(load_tensors(WEIGHTS, offline=run.offline), WEIGHTS)
    return Dva(network, encoder, run, options)


def assemble(tensors: Mapping[str, Tensor], where: str) -> tuple[NoiseEstimator, Encoder]:
    """Build the networks from a checkpoint's moving average, with strict keys.

    Args:
        tensors: the checkpoint, prefix removed.
        where: its name, for messages.
    """
    own = {key: value for key, value in tensors.items() if not key.startswith(ENCODER)}
    encoder = {
        key.removeprefix(ENCODER): value
        for key, value in tensors.items()
        if key.startswith(ENCODER)
    }
    return load_state(NoiseEstimator(), own, where), load_state(Encoder(), encoder, where)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the networks."""
    assemble(checkpoint.tensors(), checkpoint.name)
