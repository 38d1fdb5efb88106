"""Training of resshift-s: predict the true crop along the chain, and along walks of its own.

Source: Yue et al. 2023 (ResShift), eq. 8.
differs from ResShift: half of the updates see the states that the network itself reaches in one to
four steps, not those of the chain, so that the errors of its steps do not add up. The loss goes
from the squared error at the first step to the absolute one and that of features at the last.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from thcli.core.events import Listener
from thcli.core.options import ResshiftTrainOptions, TrainOptions
from thcli.refiners.resshift.network import (
    NOISE,
    SCALE,
    STEPS,
    Conditions,
    ShiftNetwork,
    advance,
    chosen_steps,
    first_state,
    shifts,
    walk,
)
from thcli.refiners.resshift.refiner import NAME, SIDE
from thcli.train.core.checkpoints import load_start
from thcli.train.core.fast_group_norm import replace_group_norms
from thcli.train.core.identity_features import TEACHER, IdentityFeatures
from thcli.train.core.task import (
    CosineTask,
    Hyperparameters,
    LossTerms,
    Phase,
    TrainingData,
    use_channels_last,
)
from thcli.train.data.batches import Batch
from thcli.train.resshift.data import DetailedCrops

OWN_SHARE = 0.5  # share of the updates on states that the network itself reaches
MOST_STEPS = 4  # of its walks
CORNER = 1e-3  # squared units of the chain below which the absolute error is quadratic
SQUARED, FEATURES = 1.5, 12.0  # weights
SAMPLED_STEPS = 8  # of the sample sheets
WIDTHS = (32, 48, 96)
GROUPS = 8  # of the group norms, by which widths are divisible


class ResshiftTask(CosineTask):
    """Training of resshift-s."""

    name = "resshift"
    entry = NAME
    exported = ("network",)
    sizes = (SIDE,)
    warmup, final_rate = 100, 0.03

    def __init__(
        self, options: TrainOptions, model_options: ResshiftTrainOptions, on: Listener
    ) -> None:
        super().__init__(options, model_options, on)
        self.model_options = model_options
        self.hyperparameters = Hyperparameters(20, 1, 8, 8e-4)
        self.network = ShiftNetwork([narrowed(width, options.narrow) for width in WIDTHS])
        if model_options.start:
            load_start(self.network, model_options.start, "network.")
        replace_group_norms(self.network)
        use_channels_last(self.network)
        self.networks = {"network": self.network}
        self.phases = (Phase("residual", ("network",)),)
        self.shifts = shifts()
        self.teacher = IdentityFeatures()
        self.frozen_modules = (self.teacher,)
        self.perceptual = TEACHER

    def load_data(self, folder: Path, batch: int, on: Listener) -> TrainingData:
        """Open the crops; those that are missing are rendered."""
        return DetailedCrops(folder, self.options, self.model_options, batch, on)

    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        truth, detailed = batch["truth"], batch["detailed"]
        clean = (truth - detailed) * SCALE
        conditions = _conditions(batch)
        fresh = torch.randn(truth.shape, generator=noise).to(truth.device)
        own = bool(torch.rand((), generator=noise) < OWN_SHARE)
        steps = self.draw_steps(noise) if own else [_draw(STEPS, noise)]
        x = self.reach(fresh, conditions, steps) if own else self.diffuse(clean, fresh, steps[0])
        numbers = torch.full((len(x),), steps[-1], device=x.device)
        predicted = self.network(_last(x), numbers, conditions).float()
        error, late = predicted - clean, 1 - steps[-1] / (STEPS - 1)
        terms = {
            "squared": SQUARED * (1 - late) * (error**2).mean(),
            "absolute": late * (error**2 + CORNER).sqrt().mean(),
        }
        if late > 0:
            shown = (detailed + predicted / SCALE).clamp(0, 1)
            terms["looks"] = FEATURES * late * self.feature_loss(shown, truth)
        return terms

    def draw_steps(self, noise: torch.Generator) -> list[int]:
        """Draw the steps of a walk: evenly spaced from the schedule's last down to a random one."""
        count = 1 + _draw(MOST_STEPS, noise)
        last = _draw(STEPS - 1, noise) if count > 1 else STEPS - 1
        spaced = torch.linspace(STEPS - 1, last, count).round().long()
        return [int(step) for step in torch.unique(spaced).flip(0)]

    def reach(self, fresh: Tensor, conditions: Tensor, steps: list[int]) -> Tensor:
        """Return the state at the last of the steps, as the network itself reaches it."""
        x = first_state(fresh, self.shifts, steps[0])
        with torch.no_grad():
            for step, following in pairwise(steps):
                numbers = torch.full((len(x),), step, device=x.device)
                clean = self.network(_last(x), numbers, conditions).float()
                x = advance(x, clean, self.shifts, step, following)
        torch.clear_autocast_cache()  # it holds weights without gradients
        return x

    def diffuse(self, clean: Tensor, fresh: Tensor, step: int) -> Tensor:
        """Return a state of the chain (eq. 2)."""
        eta = self.shifts[step]
        return (1 - eta) * clean + NOISE * eta.sqrt() * fresh

    def feature_loss(self, shown: Tensor, truth: Tensor) -> Tensor:
        """Return the squared difference of the teacher's maps, at twice the size."""
        both = (F.interpolate(one, scale_factor=2.0, mode="bilinear") for one in (shown, truth))
        pairs = zip(*(self.teacher(one) for one in both), strict=True)
        return torch.stack([((a - b) ** 2).sum(1).mean() for a, b in pairs]).mean()

    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        """Refine the sample batch, with the same noise every time."""
        detailed = batch["detailed"]
        fresh = torch.randn(detailed.shape, generator=torch.Generator().manual_seed(0))
        steps = chosen_steps(SAMPLED_STEPS)
        noise = fresh.to(detailed.device)
        residual = walk(self.network, noise, _conditions(batch), self.shifts, steps)
        return {
            "source": batch["source"],
            "coarse": batch["coarse"],
            "detailed": detailed,
            "refined": (detailed + residual.float() / SCALE).clamp(0, 1),
            "truth": batch["truth"],
        }

    def write_importable(self, path: Path) -> Path:
        """Write the bundled file: the same in half precision."""
        return self.write_half(path)


def narrowed(width: int, divisor: int) -> int:
    """Return a width divided by `divisor`, in whole groups."""
    return max(width // divisor // GROUPS, 1) * GROUPS


def _conditions(batch: Batch) -> Tensor:
    views = (batch[name] for name in ("detailed", "coarse", "source", "visibility"))
    return Conditions(*views).channels()


def _draw(count: int, noise: torch.Generator) -> int:
    """Draw a number below `count`."""
    return int(torch.randint(count, (), generator=noise))


def _last(x: Tensor) -> Tensor:
    """Return an image with channels last in memory."""
    return x.contiguous(memory_format=torch.channels_last)
