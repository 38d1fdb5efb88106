"""Training of FADM as published: the network predicts the noise of a true frame.

Source: Zeng et al. 2023 (FADM), sec. 3; zengbohan0217/FADM, train.py and modules/diffusion
(facts): L_d is the L1 distance of the noise, the colour alignment has weight 1, 100 epochs of 75
passes in batches of 5, 100 steps. Adam's betas are the paper's; the code has (0, 0.9).
differs from FADM: the coarse frames are the mesh engine's, rendered once, not FOMM's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import (
    FadmPublishedTrainOptions,
    FadmTrainOptions,
    RunOptions,
    TrainOptions,
)
from thcli.core.options.train_models import PairTrainOptions
from thcli.diffusion import process
from thcli.diffusion.schedule import even_steps
from thcli.faces.model3d import deca
from thcli.refiners.fadm.agcn import ConditionFeatures, ConditionImages
from thcli.refiners.fadm.network import OFFICIAL, Diffusion
from thcli.refiners.fadm.refiner import (
    CROP,
    PUBLISHED,
    WEIGHTS,
    Guidance,
    sample_frames,
)
from thcli.train.core.checkpoints import load_start
from thcli.train.core.task import Hyperparameters, LossTerms, Phase, TrainingData, TrainingTask
from thcli.train.data.batches import Batch
from thcli.train.fadm.data import CoarsePairs

STEPS = 8  # sampling steps of the sample sheets


class PublishedFadmTask(TrainingTask):
    """Training of the paper's network, for the refiner fadm."""

    name = "fadm-published"
    entry = WEIGHTS
    exported = ("diffusion",)
    sizes = (CROP, 64)

    def __init__(
        self, options: TrainOptions, model_options: FadmPublishedTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.model_options = model_options
        self.hyperparameters = Hyperparameters(100, 75, 5, 2e-4)
        shape = replace(
            OFFICIAL,
            width=max(8, OFFICIAL.width // options.narrow),
            attributes=OFFICIAL.attributes if model_options.motion_weights else 0,
        )
        self.diffusion = Diffusion(shape)
        if model_options.start:
            load_start(self.diffusion, model_options.start, "diffusion.")
        self.networks = {"diffusion": self.diffusion}
        self.phases = (Phase("denoise", ("diffusion",)),)
        self.schedule = self.diffusion.schedule
        run = RunOptions(device=options.device, offline=options.offline)
        self.reader: deca.Deca | None = None
        if model_options.motion_weights:
            small = options.smoke
            self.reader = deca.Deca(deca.DecaEncoder(narrow=16), run) if small else deca.load(run)

    def load_data(self, folder: Path, batch: int, on: Listener) -> TrainingData:
        """Open the pairs, none of them degraded."""
        shared = {
            field.name: getattr(self.model_options, field.name)
            for field in fields(PairTrainOptions)
        }
        plain = FadmTrainOptions(**shared, untouched=0.0, degraded=0.0, alone=0.0)
        return CoarsePairs(folder, self.options, plain, batch, on)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        truth = batch["truth"]
        index = torch.randint(len(self.schedule), (len(truth),), generator=noise).to(truth.device)
        fresh = torch.randn(truth.shape, generator=noise).to(truth.device)
        noised = process.diffuse(self.schedule, truth, index, fresh)
        features = self.encode(batch, truth if self.model_options.colour_alignment else None)
        predicted = self.diffusion(noised, index, features, self.attributes(batch))
        terms = {"noise": (predicted.float() - fresh).abs().mean()}
        if self.model_options.colour_alignment:
            terms["colours"] = features.colour_loss
        return terms

    def encode(self, batch: Batch, driving: Tensor | None) -> ConditionFeatures:
        """Compute the conditions; driving (B, 3, n, n) gives its colours, None the coarse ones."""
        return self.diffusion.encode_conditions(ConditionImages.of(batch["coarse"], driving))

    def attributes(self, batch: Batch) -> Tensor:
        """Return DECA's attributes of the source minus those of the true frame, (B, A)."""
        reader = self.reader
        if reader is None:
            return batch["truth"].new_zeros(len(batch["truth"]), 0)
        source, driving = (
            torch.from_numpy(reader.extract_attributes(batch[name].float()))
            for name in ("source", "truth")
        )
        return (source - driving).to(batch["truth"].device)

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        """Refine the sample batch in STEPS steps, with the same noise every time."""
        coarse = batch["coarse"]
        schedule = self.schedule.respace(even_steps(STEPS, len(self.schedule)))
        fresh = torch.randn(coarse.shape, generator=torch.Generator().manual_seed(0))
        guidance = Guidance(coarse, self.encode(batch, None), self.attributes(batch))
        noise = fresh.to(coarse.device)
        settings = replace(PUBLISHED, sampler="ddim", steps=STEPS, strength=1.0, eta=0.0)
        refined = sample_frames(self.diffusion, guidance, lambda step: noise, schedule, settings)
        return {
            "source": batch["source"],
            "coarse": coarse,
            "refined": refined.clamp(0, 1),
            "truth": batch["truth"],
        }

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr, betas=(0.5, 0.9))
