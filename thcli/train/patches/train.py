"""Training of patches-s: a U-Net that paints the eyes of a warped frame.

The losses compare the composited patch with the true frame of the same person: pixels, image
gradients, features of identity-s, the change from frame to frame, and a small discriminator
(hinge loss, Lim and Ye 2017) that sees the rasters as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.core.events import Listener
from thcli.core.options import PatchTrainOptions, TrainOptions
from thcli.engines.mesh.patches.inputs import EYE_BLUR, EYE_CHANNELS, MOST_EYE_CHANGE
from thcli.engines.mesh.patches.network import PatchNet
from thcli.train.core.painting import PaintingTask, gradient_loss, paint
from thcli.train.core.synthetic import write_synthetic_clips
from thcli.train.core.task import Hyperparameters, LossTerms, Phase
from thcli.train.data.batches import Batch
from thcli.train.patches.data import PatchBatches

EDGES, FEATURES = 1.0, 0.3  # weights of gradients and features
INSIDE = 2.0  # weight of the pixels between the rims, added to 1
RASTERS = 3  # channels that the discriminator sees beside the colours
SIDES = 2  # eyes of a frame


class PatchTask(PaintingTask):
    """Training of patches-s."""

    name = "patches"
    entry = "patches-s"
    exported = ("eyes",)
    sizes = (96,)
    hyperparameters = Hyperparameters(10, 1, 8, 1e-3)
    warmup = 100

    def __init__(
        self, options: TrainOptions, model_options: PatchTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.model_options = model_options
        networks: dict[str, nn.Module] = {"eyes": PatchNet(EYE_CHANNELS, options.narrow)}
        self.phases = (Phase("paint", ("eyes",)),)
        if model_options.adversarial:
            networks["judge"] = PatchJudge(3 + RASTERS, options.narrow)
            self.phases += (Phase("judge", ("judge",)),)
        self.add_networks(networks, model_options.start)

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        """Write two clips of a moving image, large enough for tracking."""
        write_synthetic_clips(folder, 128)

    def load_data(self, folder: Path, batch: int, on: Listener) -> PatchBatches:
        """Open the pairs, rendered now where they are missing."""
        return PatchBatches(folder, self.options, self.model_options, batch, on)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        if phase == "judge":
            return {"judge": self._judge_loss(*cache["judged"])}
        kept = changed_pairs(batch["eye_window"], SIDES)
        names = "eyes", "true_eyes", "eye_window"
        inputs, truth, window = (batch[name][kept].flatten(0, 1) for name in names)
        out = self._paint(inputs, window)
        cache["judged"] = inputs, truth, out.detach()
        return self._paint_losses(out, truth, inputs, window)

    def _paint(self, inputs: Tensor, window: Tensor) -> Tensor:
        return paint(self.networks["eyes"], inputs, window, MOST_EYE_CHANGE, EYE_BLUR)

    def _paint_losses(
        self, out: Tensor, truth: Tensor, inputs: Tensor, window: Tensor
    ) -> LossTerms:
        inside = (inputs[:, 3:4] > 0) & (inputs[:, 4:5] > 0)
        weight = window * (1 + INSIDE * inside)
        weight = weight / weight.mean().clamp(min=1e-6)
        error = out - truth
        steady = (error[1::2] - error[::2]).abs() * weight[::2]
        features = [
            (a - b).square().sum(1).mean()
            for a, b in zip(
                self.teacher(out[::2] + 0.5), self.teacher(truth[::2] + 0.5), strict=True
            )
        ]
        terms = {
            "pixels": (error.abs() * weight).mean(),
            "edges": EDGES * gradient_loss(error, weight),
            "features": FEATURES * torch.stack(features).mean(),
            "steady": self.model_options.steady * steady.mean(),
        }
        if self.model_options.adversarial:
            judge = self.networks["judge"]
            score = judge(_judge_input(inputs, out))
            terms["adversarial"] = -self.model_options.adversarial * score.mean()
        return terms

    def _judge_loss(self, inputs: Tensor, truth: Tensor, out: Tensor) -> Tensor:
        judge = self.networks["judge"]
        real, made = judge(_judge_input(inputs, truth)), judge(_judge_input(inputs, out))
        return F.relu(1 - real).mean() + F.relu(1 + made).mean()

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        """Return the eyes of both sides in the first frame, enlarged."""
        step = 2 * SIDES
        inputs, truth, window = (
            batch[name][::step] for name in ("eyes", "true_eyes", "eye_window")
        )
        images = {
            "source": inputs[:, 6:9],
            "coarse": inputs[:, :3],
            "painted": self._paint(inputs, window),
            "truth": truth,
        }
        return {
            name: F.interpolate((value + 0.5).clamp(0, 1), (96, 96))
            for name, value in images.items()
        }


def _judge_input(inputs: Tensor, colours: Tensor) -> Tensor:
    return torch.cat([colours, inputs[:, 3 : 3 + RASTERS]], 1)


class PatchJudge(nn.Module):
    """Discriminator of patches (Isola et al. 2017): one score for each 8 x 8 pixels."""

    def __init__(self, channels: int, narrow: int = 1) -> None:
        super().__init__()
        first, second, third = (max(width // narrow, 4) for width in (24, 48, 64))
        self.layers = nn.Sequential(
            nn.utils.spectral_norm(nn.Conv2d(channels, first, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            nn.utils.spectral_norm(nn.Conv2d(first, second, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            nn.utils.spectral_norm(nn.Conv2d(second, third, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            nn.Conv2d(third, 1, 3, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Score a batch (B, C, H, W); positive for real patches."""
        score: Tensor = self.layers(x)
        return score


def changed_pairs(window: Tensor, sides: int) -> Tensor:
    """Select the pairs of consecutive patches that are painted at all.

    Args:
        window: (B x 2 frames x sides, 1, h, w) windows.
        sides: patches of a frame.

    Returns:
        (K, 2) rows of the batch, K >= 1: the patch in both frames.
    """
    rows = torch.arange(len(window), device=window.device).view(-1, 2, sides)
    rows = rows.transpose(1, 2).reshape(-1, 2)
    shown = window.flatten(1).amax(1)[rows].amax(1)
    kept = shown > 0
    return rows[kept] if bool(kept.any()) else rows[:1]
