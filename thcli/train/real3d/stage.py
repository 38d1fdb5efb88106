"""Common part of Real3D-Portrait's training stages: sizes, optimiser, dual discriminator."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import Real3dTrainOptions, TrainOptions
from thcli.engines.real3d.config import Real3DConfig
from thcli.train.core.task import LossTerms, Phase, TrainingTask
from thcli.train.keypoint_models.perceptual import create_perceptual_loss
from thcli.train.real3d import discriminator as dual
from thcli.train.real3d.synthetic import write_photographs

FULL_SIZE, SAMPLES, FEWEST_SAMPLES = 512, 48, 12
DECAY, DECAY_EVERY = 0.95, 5000  # of the learning rate


class Real3dStage(TrainingTask):
    """A stage of the training.

    differs from the reference in the discriminator, which learns from the first update and at the
    generator's rate.

    adversarial: weight of the discriminator's term, and the update from which it counts.
    """

    entry = "real3d-video"
    sizes: ClassVar[tuple[int, ...]] = (FULL_SIZE, 256, 128, 64)
    adversarial: tuple[float, int]
    discriminator: dual.DualDiscriminator

    def __init__(
        self, options: TrainOptions, model_options: Real3dTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.on = on
        if model_options.adversarial_after is not None:
            self.adversarial = (self.adversarial[0], model_options.adversarial_after)
        self.perceptual_loss = create_perceptual_loss(
            options.perceptual, on, offline=options.offline
        )
        self.perceptual = self.perceptual_loss.name
        self.frozen_modules = (self.perceptual_loss,)

    def config(self, *, torso: bool) -> Real3DConfig:
        """Return the layout of the networks that the options ask for."""
        samples = max(FEWEST_SAMPLES, SAMPLES * self.options.size // FULL_SIZE)
        return Real3DConfig(
            torso=torso,
            image_size=self.options.size,
            width_divisor=self.options.narrow,
            coarse_samples=samples,
            fine_samples=samples,
        )

    @classmethod
    def smoke_options(cls, options: TrainOptions) -> TrainOptions:
        return replace(super().smoke_options(options), narrow=16)

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        write_photographs(folder)

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr, betas=(0.0, 0.99))

    def learning_rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        return lr * float(DECAY ** (step // DECAY_EVERY))

    def adversarial_weight(self, step: int) -> float:
        """Return the weight of the discriminator's term in an update."""
        weight, first = self.adversarial
        return weight if step >= first else 0.0

    def judge(
        self, image: Tensor, raw: Tensor, real: tuple[Tensor, Tensor, Tensor], step: int
    ) -> LossTerms:
        """Return the discriminator's terms; `real` is the true image, rendering and camera."""
        penalised = step % dual.PENALTY_EVERY == 0
        target, small = (values.detach().requires_grad_(penalised) for values in real[:2])
        camera = real[2]
        fake, score = (
            self.discriminator(image, raw, camera),
            self.discriminator(target, small, camera),
        )
        penalty = dual.gradient_penalty(score, (target, small)) if penalised else score.sum() * 0
        return {"discriminator": dual.discriminator_loss(fake, score), "penalty": penalty}
