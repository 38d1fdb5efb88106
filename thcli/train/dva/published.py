"""Training of Diffusion Video Autoencoders as published: noise estimator and projection of faces.

Source: Kim et al. 2023, sec. 3.2; man805/Diffusion-Video-Autoencoders, templates and losses
(facts): L_simple, the L1 error of two noises at one of T = 1000 steps; L_reg, the L1 difference of
the two images that they predict, within the face; Adam 1e-4, batches of 16, a million updates.
The encoders of identity, landmarks and regions are frozen, as in the paper. Directions of
attributes are then fitted to the identities (`train attributes --editor dva --kind classifier`).
differs from the paper: images of a folder of labelled faces and clips instead of VoxCeleb, drawn as
for dva-s: slightly moved, with changed colours (--jitter), faces with rare labels more often, one
item in eight of a clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import DvaPublishedTrainOptions, TrainOptions
from thcli.editors.dva import sampling
from thcli.editors.dva.arcface import CROP_SIZE
from thcli.editors.dva.editor import ENCODER, WEIGHTS, assemble
from thcli.editors.dva.encoder import Encoder
from thcli.editors.dva.losses import compute_losses
from thcli.editors.dva.network import OFFICIAL, NoiseEstimator
from thcli.evaluate.datasets.labelled_images import parse_digits
from thcli.train.core.task import Hyperparameters, LossTerms, Phase, TrainingTask
from thcli.train.data.batches import Batch
from thcli.train.dva.faces import DvaFaces, write_synthetic_faces
from thcli.weights.registry import registry
from thcli.weights.tensors import load_tensors

UPDATES = 1_000_000
PREVIEW_STEPS = 20  # of the sample sheets


class PublishedDvaTask(TrainingTask):
    """Training of the paper's networks, for the editor dva."""

    name = "dva-published"
    entry = WEIGHTS
    exported = ("estimator", "linear")
    sizes = (OFFICIAL.size, 64)

    def __init__(
        self, options: TrainOptions, model_options: DvaPublishedTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.model_options = model_options
        self.hyperparameters = Hyperparameters(1, 1, 16, 1e-4, updates=UPDATES)
        width = max(32, OFFICIAL.width // options.narrow)
        self.estimator = NoiseEstimator(replace(OFFICIAL, size=options.size, width=width))
        self.encoder = Encoder().eval()
        if not options.smoke:
            _, published = assemble(load_tensors(WEIGHTS, offline=options.offline), WEIGHTS)
            for name in ("idnet", "lndnet", "bgnet"):
                setattr(self.encoder, name, getattr(published, name))
        self.networks = {"estimator": self.estimator, "linear": self.encoder.linear}
        self.phases = (Phase("denoise", ("estimator", "linear")),)
        self.frozen_modules = (self.encoder.idnet, self.encoder.lndnet, self.encoder.bgnet)
        self.table = sampling.schedule(sampling.STEPS)

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        write_synthetic_faces(folder)

    def load_data(self, folder: Path, batch: int, on: Listener) -> DvaFaces:
        digits = parse_digits(self.model_options.persons)
        return DvaFaces(folder, digits, self.options.size, batch, self.options, on)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        clean = batch["target"]
        face, mask = self.encode(clean)
        index = torch.randint(len(self.table), (len(clean),), generator=noise).to(clean.device)
        noises = [torch.randn(clean.shape, generator=noise).to(clean.device) for _ in range(2)]
        both = noises[0], noises[1]
        found = compute_losses(self.estimator, self.table, clean, face, mask, index, both)
        terms = {"simple": found.simple.mean()}
        if self.model_options.regularisation:
            terms["regular"] = found.regularization.mean()
        return terms

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return z_face (B, 512) and the mask (B, 1, S, S) of images (B, 3, S, S) in -1..1."""
        large = images
        if images.shape[-1] != CROP_SIZE:
            large = F.interpolate(images, (CROP_SIZE, CROP_SIZE), mode="bilinear")
        encoder = self.encoder
        with torch.no_grad():
            identity, points = encoder.idnet(large), encoder.lndnet(large)
            mask = encoder.bgnet(large)
        small = F.interpolate(mask, images.shape[-2:], mode="nearest")
        return encoder.encode_face(identity, points), small

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        """Sample from one noise: each face with its own code, and with the next item's."""
        images = batch["target"]
        face, mask = self.encode(images)
        start = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
        rows = {"truth": images, "mask": mask.expand_as(images) * 2 - 1}
        for name, code in (("own face", face), ("next item's face", face.roll(-1, 0))):
            drawn = sampling.render(self.estimator, start.to(images.device), code, PREVIEW_STEPS)
            rows[name] = drawn.clamp(-1, 1)
        return {name: (value + 1) / 2 for name, value in rows.items()}

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr)

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the networks under the names of the published checkpoint, encoders included."""
        encoder = self.encoder.state_dict() | {
            f"linear.{key}": value for key, value in states["linear"].items()
        }
        tensors = dict(states["estimator"]) | {f"{ENCODER}{k}": v for k, v in encoder.items()}
        prefix = registry()[WEIGHTS].key_prefix
        return {f"{prefix}{key}": value.cpu() for key, value in tensors.items()}
