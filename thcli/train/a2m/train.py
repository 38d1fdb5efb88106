"""Training of `a2m-s`, the default voice: from sound features to lower-face motion, many speakers.

The linear filter is solved in closed form before the first update; the networks are trained by
gradient descent, each by itself. See voices.a2m.networks.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
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
from thcli.train.a2m.clips import TalkingClip
from thcli.train.a2m.fitting import fit_linear, set_amplitudes
from thcli.train.a2m.synthetic import write_talking_clips
from thcli.train.core.task import Hyperparameters, LossTerms, Phase, TrainingData, TrainingTask
from thcli.train.data.batches import Batch
from thcli.voices.a2m.networks import CLOSURES, MEMBERS, MouthNetwork

WARMUP = 50  # updates
FINAL_RATE = 0.03  # fraction of the learning rate at the end
WEIGHT_DECAY = 0.02
OPENING = 6.0  # weight of the lip opening relative to the first shape
CLOSED = 0.15  # openings below this count as closures, in standard deviations
CLOSED_WEIGHT = 1.0  # extra weight of closures
VELOCITY, CLOSURE, CORRELATION = 2.0, 0.3, 1.0  # weights of the loss terms
FULL = 0.6  # rows of a larger weight count for the correlation: the face was seen
LEAST_ROWS = 10  # of an item, for a correlation of it
VARIANCE = 1e-3  # added under the root


class A2mTask(TrainingTask):
    """Training of the voice: every predictor of `speaker` learns alone; their mean is exported."""

    name = "a2m"
    entry = "a2m-s"
    exported = ("speaker",)
    sizes = (192, 128)  # rows of sound features per item, 100 per second
    perceptual = "motion"

    def __init__(self, options: TrainOptions, model_options: A2mTrainOptions, on: Listener) -> None:
        super().__init__(options, model_options, on)
        self.model_options = model_options
        self.hyperparameters = Hyperparameters(40, 1, 24, 3e-3)
        self.speaker = MouthNetwork(options.narrow, model_options.shapes, model_options.drop)
        self.networks = {"speaker": self.speaker}
        self.phases = (Phase("speaker", ("speaker",)),)
        self._tuning: Sequence[TalkingClip] = ()

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
        fit_linear(self.speaker, data.clips)
        self._tuning = data.tuning or data.clips
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
        truth, closures = target[..., :-CLOSURES], target[..., -CLOSURES:]
        terms = {}
        _, *members = self.speaker.members(batch["heard"])[:, :, ::2].float()
        for member, rows in zip(MEMBERS, members, strict=True):
            name, motion = member.name, rows[..., :-CLOSURES]
            terms[name] = self.motion_error(motion, truth, weight)
            if member.correlated:
                terms[f"{name}' correlation"] = CORRELATION * self.mismatch(motion, truth, weight)
            error = F.binary_cross_entropy_with_logits(
                rows[..., -CLOSURES:], closures, reduction="none"
            ).sum(-1)
            terms[f"{name}' closures"] = (
                CLOSURE * (error * weight).sum() / weight.sum().clamp(min=1)
            )
        return terms

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

    def mismatch(self, motion: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return 1 less the correlation of each column in time, the mean over items and columns."""
        seen = (weight > FULL).to(motion)[..., None]
        count = seen.sum(1, keepdim=True).clamp(min=1)
        ours, true = (
            (rows - (rows * seen).sum(1, keepdim=True) / count) * seen for rows in (motion, target)
        )
        sizes = (ours**2).sum(1) * (true**2).sum(1)
        correlation = (ours * true).sum(1) / (sizes + VARIANCE).sqrt()
        enough = (count[:, 0, 0] > LEAST_ROWS).to(motion)
        errors = ((1 - correlation) * self.importance(motion)).sum(-1)
        return (errors * enough).sum() / enough.sum().clamp(min=1)

    def importance(self, like: Tensor) -> Tensor:
        """Return weights (K + 1,) with sum 1.

        A shape's weight is the root of its deviation; the opening has the largest weight.
        """
        sizes = self.speaker.basis.flatten(1).norm(dim=1)
        roots = (sizes / sizes[0].clamp(min=1e-9)).sqrt().nan_to_num(1.0)
        weights = torch.cat([roots, torch.full((1,), OPENING, device=roots.device)]).to(like)
        return weights / weights.sum()

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        motion = self.speaker(batch["heard"])[:, ::2]
        return {
            "true opening": plot_openings(batch["target"][..., -1 - CLOSURES]),
            "most likely opening": plot_openings(motion[..., -1 - CLOSURES]),
        }

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the speaker's tensors in half precision, with the amplitudes of people."""
        network = copy.deepcopy(self.speaker).cpu().eval()
        network.load_state_dict(states["speaker"])
        set_amplitudes(network, self._tuning, self.model_options.width)
        return {key: value.half() for key, value in network.state_dict().items()}


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
