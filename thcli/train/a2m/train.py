"""Training of `a2m-s`, the default voice: from sound features to lower-face motion, many speakers.

The most likely motion (the mean of the prior) and motion from the posterior are both compared with
the true motion; see voices.a2m.networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import A2mTrainOptions, TrainOptions
from thcli.train.a2m.batches import SpeechMotionBatches
from thcli.train.a2m.synthetic import write_talking_clips
from thcli.train.core.task import (
    Batch,
    Hyperparameters,
    LossTerms,
    Phase,
    TrainingData,
    TrainingTask,
)
from thcli.voices.a2m.networks import LATENT, LATENT_STRIDE, WIDTH, GatedConv, MouthNetwork

WARMUP = 100  # updates
FINAL_RATE = 0.03  # fraction of the learning rate at the end
WEIGHT_DECAY = 0.01
OPENING = 6.0  # weight of the lip opening relative to the first shape
CLOSED = 0.15  # openings below this count as closures, in standard deviations
CLOSED_WEIGHT = 1.0  # extra weight of closures
VELOCITY, LATENTS, POSTERIOR = 0.5, 0.02, 0.5  # weights of the loss terms
MOMENTUM = 0.99  # of the running variances from which the gain follows
GAIN_RANGE = (1.0, 1.5)


class Posterior(nn.Module):
    """Encoder from true motion to the latent distribution, used in training only.

    (B, T, K + 1) rows at the latent's STRIDE -> mean and log deviation (B, LATENT, T / STRIDE).
    moments: variances of the most likely and of the true lip openings.
    """

    moments: Tensor

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.register_buffer("moments", torch.zeros(2))
        self.stem = nn.Conv1d(rows, width, 2 * LATENT_STRIDE, LATENT_STRIDE, LATENT_STRIDE // 2)
        self.given = nn.Conv1d(width, width, 1)
        self.blocks = nn.ModuleList([GatedConv(width, 1) for _ in range(2)])
        self.out = nn.Conv1d(width, 2 * LATENT, 1)

    def forward(self, rows: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        x = F.gelu(self.stem(rows.transpose(1, 2)) + self.given(given))
        for block in self.blocks:
            x = block(x)
        mean, deviation = self.out(x).chunk(2, 1)
        return mean, deviation.clamp(-6, 2)


class A2mTask(TrainingTask):
    """Training of the voice: `speaker` is exported, `posterior` guides its training."""

    name = "a2m"
    entry = "a2m-s"
    exported = ("speaker",)
    sizes = (256, 128)  # rows of sound features per item, 100 per second
    perceptual = "motion"

    def __init__(self, options: TrainOptions, model_options: A2mTrainOptions, on: Listener) -> None:
        super().__init__(options, model_options, on)
        self.model_options = model_options
        self.hyperparameters = Hyperparameters(60, 1, 16, 1e-3)
        width = WIDTH // options.narrow
        self.speaker = MouthNetwork(width, model_options.shapes, model_options.drop)
        self.posterior = Posterior(model_options.shapes + 1, width)
        self.networks = {"speaker": self.speaker, "posterior": self.posterior}
        self.phases = (Phase("speaker", ("speaker", "posterior")),)

    @classmethod
    def smoke_options(cls, options: TrainOptions) -> TrainOptions:
        return replace(options, narrow=8, size=128)

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        write_talking_clips(folder)

    def load_data(self, folder: Path, batch: int, on: Listener) -> TrainingData:
        data = SpeechMotionBatches(folder, self.options, self.model_options, batch, on=on)
        self.speaker.basis.copy_(torch.from_numpy(data.basis))
        self.speaker.unit.fill_(data.unit)
        return data

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr, weight_decay=WEIGHT_DECAY)

    def learning_rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Return a cosine learning rate with warm-up."""
        cosine = 0.5 * (1 + math.cos(math.pi * step / max(steps, 1)))
        return lr * min(1.0, (step + 1) / WARMUP) * (FINAL_RATE + (1 - FINAL_RATE) * cosine)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        target, weight = batch["target"], batch["weight"]
        h, given = self.speaker.encode_audio(batch["heard"])
        zero = torch.zeros(len(h), LATENT, given.shape[2], device=h.device)
        most_likely = self.speaker.decode(h, self.speaker.flow.reverse(zero, given))[:, ::2].float()
        mean, deviation = self.posterior(insert_midpoints(target), given)
        eps = torch.randn(mean.shape, generator=noise).to(h.device)
        z = mean + eps * deviation.exp()
        sampled = self.speaker.decode(h, z)[:, ::2].float()
        prior = self.speaker.flow(z, given)
        self._update_gain(most_likely.detach(), target, weight)
        return {
            "likeliest": self.motion_error(most_likely, target, weight),
            "posterior": POSTERIOR * self.motion_error(sampled, target, weight),
            "latent": LATENTS
            * (0.5 * prior.float() ** 2 - deviation.float() - 0.5 * eps**2).mean(),
        }

    def motion_error(self, motion: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the squared error of motion (B, L, K + 1) and its velocity.

        Closures count more.
        """
        scale = self.importance(motion)
        error = ((motion - target) ** 2 * scale).sum(-1)
        row_weight = weight * (1 + CLOSED_WEIGHT * (target[..., -1] < CLOSED))
        position = (error * row_weight).sum() / row_weight.sum().clamp(min=1)
        difference = motion[:, 1:] - motion[:, :-1] - target[:, 1:] + target[:, :-1]
        pair_weight = weight[:, 1:] * weight[:, :-1]
        velocity = ((difference**2 * scale).sum(-1) * pair_weight).sum()
        return position + VELOCITY * velocity / pair_weight.sum().clamp(min=1)

    def importance(self, like: Tensor) -> Tensor:
        """Return weights (K + 1,) with sum 1.

        A shape's weight is the root of its deviation; the opening has the largest weight.
        """
        sizes = self.speaker.basis.flatten(1).norm(dim=1)
        roots = (sizes / sizes[0].clamp(min=1e-9)).sqrt().nan_to_num(1.0)
        weights = torch.cat([roots, torch.full((1,), OPENING, device=roots.device)]).to(like)
        return weights / weights.sum()

    def _update_gain(self, motion: Tensor, target: Tensor, weight: Tensor) -> None:
        """Track the variances of true and most likely openings, and set the gain from their ratio.

        The mean of many possible motions has too little variance.
        """
        current = torch.stack(
            [weighted_variance(motion[..., -1], weight), weighted_variance(target[..., -1], weight)]
        )
        moments = self.posterior.moments
        moments.copy_(current if not moments.any() else moments.lerp(current, 1 - MOMENTUM))
        ratio = moments[1] / moments[0].clamp(min=1e-6)
        self.speaker.gain.copy_(ratio.sqrt().clamp(*GAIN_RANGE))

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        heard = batch["heard"]
        zero = torch.zeros(len(heard), LATENT, heard.shape[1] // 8, device=heard.device)
        motion = self.speaker(heard, zero)[:, ::2]
        return {
            "true opening": plot_openings(batch["target"][..., -1]),
            "most likely opening": plot_openings(motion[..., -1]),
        }

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the speaker's tensors in half precision."""
        return {key: value.half() for key, value in states["speaker"].items()}


def insert_midpoints(rows: Tensor) -> Tensor:
    """Insert the mean of neighbours between rows: (B, L, K) -> (B, 2 L, K)."""
    after = torch.cat([rows[:, 1:], rows[:, -1:]], 1)
    return torch.stack([rows, (rows + after) / 2], 2).flatten(1, 2)


def weighted_variance(values: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted variance of (B, L) values."""
    total = weight.sum().clamp(min=1)
    mean = (values * weight).sum() / total
    return ((values - mean) ** 2 * weight).sum() / total


def plot_openings(openings: Tensor) -> Tensor:
    """Plot (B, L) openings as images (B, 3, 96, 192) in [0, 1]."""
    out = []
    for row in openings.detach().cpu().numpy():
        image = np.full((96, 192, 3), 255, np.uint8)
        x = np.linspace(0, 191, len(row))
        line = np.stack([x, 90 - 20 * np.clip(row, 0, 4)], 1).round().astype(np.int32)
        cv2.polylines(image, [line], False, (30, 60, 160), 1, cv2.LINE_AA)
        out.append(image)
    return torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float() / 255
