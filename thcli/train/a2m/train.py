"""Training of `a2m-s`, the default voice: what is heard -> how the lower face moves, of many speakers.

The likeliest motion (the middle of the prior) and motion from the posterior are both compared with the true one; see voices.a2m.networks.
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
from thcli.train.a2m.batches import Talks
from thcli.train.a2m.synthetic import talking_clips
from thcli.train.core.task import Batch, Data, Phase, Published, Terms, TrainingTask
from thcli.voices.a2m.networks import LATENT, STRIDE, WIDTH, Gated, Speaker

WARM = 100  # updates in which the rate rises
LEAST = 0.03  # of the rate at the end
DECAY = 0.01
OPENING = 6.0  # weight of the opening against the first shape
SHUT, SHUT_MORE = (
    0.15,
    1.0,
)  # openings (in its standard deviations) that are closures, and how much more these count
SPEED, LATENTS, POSTERIOR = (
    0.5,
    0.02,
    0.5,
)  # weights of velocities, of the latent's information, of motion from the posterior
REMEMBERS = 0.99  # of the running figures from which the gain is made
GAIN = (1.0, 1.5)


class Posterior(nn.Module):
    """(B, T, K + 1) true rows at the latent's STRIDE -> mean and log deviation (B, LATENT, T / STRIDE); for the training alone."""

    moments: Tensor

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.register_buffer(
            "moments", torch.zeros(2)
        )  # variances of the likeliest and of the true openings
        self.stem = nn.Conv1d(rows, width, 2 * STRIDE, STRIDE, STRIDE // 2)
        self.given = nn.Conv1d(width, width, 1)
        self.blocks = nn.ModuleList([Gated(width, 1) for _ in range(2)])
        self.out = nn.Conv1d(width, 2 * LATENT, 1)

    def forward(self, rows: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        x = F.gelu(self.stem(rows.transpose(1, 2)) + self.given(given))
        for block in self.blocks:
            x = block(x)
        mean, deviation = self.out(x).chunk(2, 1)
        return mean, deviation.clamp(-6, 2)


class A2m(TrainingTask):
    """The voice: `speaker` speaks, `posterior` teaches it."""

    name = "a2m"
    entry = "a2m-s"
    exported = ("speaker",)
    sizes = (256, 128)  # rows of sound an item, a hundred a second
    perceptual = "motion"

    def __init__(self, options: TrainOptions, own: A2mTrainOptions, on: Listener) -> None:
        super().__init__(options, own, on)
        self.own = own
        self.published = Published(60, 1, 16, 1e-3)
        width = WIDTH // options.narrow
        self.speaker = Speaker(width, own.shapes, own.drop)
        self.posterior = Posterior(own.shapes + 1, width)
        self.networks = {"speaker": self.speaker, "posterior": self.posterior}
        self.phases = (Phase("speaker", ("speaker", "posterior")),)

    @classmethod
    def trial(cls, options: TrainOptions) -> TrainOptions:
        return replace(options, narrow=8, size=128)

    @classmethod
    def trial_data(cls, folder: Path, options: TrainOptions) -> None:
        talking_clips(folder)

    def data(self, folder: Path, batch: int, on: Listener) -> Data:
        talks = Talks(folder, self.options, self.own, batch, on=on)
        self.speaker.basis.copy_(torch.from_numpy(talks.basis))
        self.speaker.unit.fill_(talks.unit)
        return talks

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr, weight_decay=DECAY)

    def rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Rises, then falls along a cosine."""
        falls = LEAST + (1 - LEAST) * 0.5 * (1 + math.cos(math.pi * step / max(steps, 1)))
        return lr * min(1.0, (step + 1) / WARM) * falls

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, kept: dict[str, Any]
    ) -> Terms:
        target, weight = batch["target"], batch["weight"]
        h, given = self.speaker.hear(batch["heard"])
        zero = torch.zeros(len(h), LATENT, given.shape[2], device=h.device)
        likeliest = self.speaker.decode(h, self.speaker.flow.reverse(zero, given))[:, ::2].float()
        mean, deviation = self.posterior(between(target), given)
        eps = torch.randn(mean.shape, generator=noise).to(h.device)
        z = mean + eps * deviation.exp()
        informed = self.speaker.decode(h, z)[:, ::2].float()
        back = self.speaker.flow(z, given)
        self._remember(likeliest.detach(), target, weight)
        return {
            "likeliest": self.apart(likeliest, target, weight),
            "posterior": POSTERIOR * self.apart(informed, target, weight),
            "latent": LATENTS * (0.5 * back.float() ** 2 - deviation.float() - 0.5 * eps**2).mean(),
        }

    def apart(self, made: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """How far motion (B, L, K + 1) is from the true one: places, closures more than others, and velocities."""
        scale = self.importance(made)
        each = ((made - target) ** 2 * scale).sum(-1)
        counts = weight * (1 + SHUT_MORE * (target[..., -1] < SHUT))
        speed = (made[:, 1:] - made[:, :-1] - target[:, 1:] + target[:, :-1]) ** 2 * scale
        both = weight[:, 1:] * weight[:, :-1]
        return (each * counts).sum() / counts.sum().clamp(min=1) + SPEED * (
            speed.sum(-1) * both
        ).sum() / both.sum().clamp(min=1)

    def importance(self, like: Tensor) -> Tensor:
        """(K + 1,) weights that sum to 1: shapes by the root of their deviations, the opening most."""
        sizes = self.speaker.basis.flatten(1).norm(dim=1)
        roots = (sizes / sizes[0].clamp(min=1e-9)).sqrt().nan_to_num(1.0)
        both = torch.cat([roots, torch.full((1,), OPENING, device=roots.device)]).to(like)
        return both / both.sum()

    def _remember(self, made: Tensor, target: Tensor, weight: Tensor) -> None:
        """Follows how much more true openings vary than the likeliest ones: that is what the mean of many truths loses."""
        now = torch.stack(
            [weighted_variance(made[..., -1], weight), weighted_variance(target[..., -1], weight)]
        )
        moments = self.posterior.moments
        moments.copy_(now if not moments.any() else moments.lerp(now, 1 - REMEMBERS))
        self.speaker.gain.copy_((moments[1] / moments[0].clamp(min=1e-6)).sqrt().clamp(*GAIN))

    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        made = self.speaker(
            batch["heard"], torch.zeros(len(batch["heard"]), LATENT, batch["heard"].shape[1] // 8)
        )[:, ::2]
        return {
            "true opening": curves(batch["target"][..., -1]),
            "likeliest": curves(made[..., -1]),
        }

    def layout(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The speaker alone, in half precision."""
        return {key: value.half() for key, value in states["speaker"].items()}


def between(rows: Tensor) -> Tensor:
    """(B, L, K) rows -> (B, 2 L, K), with the middle of two neighbours between them."""
    after = torch.cat([rows[:, 1:], rows[:, -1:]], 1)
    return torch.stack([rows, (rows + after) / 2], 2).flatten(1, 2)


def weighted_variance(values: Tensor, weight: Tensor) -> Tensor:
    """Of (B, L) values, each counted by its weight."""
    total = weight.sum().clamp(min=1)
    mean = (values * weight).sum() / total
    return ((values - mean) ** 2 * weight).sum() / total


def curves(openings: Tensor) -> Tensor:
    """(B, L) openings as pictures (B, 3, 96, 192) in 0..1."""
    out = []
    for row in openings.detach().cpu().numpy():
        picture = np.full((96, 192, 3), 255, np.uint8)
        x = np.linspace(0, 191, len(row))
        line = np.stack([x, 90 - 20 * np.clip(row, 0, 4)], 1).round().astype(np.int32)
        cv2.polylines(picture, [line], False, (30, 60, 160), 1, cv2.LINE_AA)
        out.append(picture)
    return torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float() / 255
