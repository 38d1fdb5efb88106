"""What a model brings to the loop: its networks, its losses in phases, how it is optimised, how its weights are published."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from thcli.core.errors import UsageError
from thcli.core.events import Listener
from thcli.core.options import TrainOptions
from thcli.train.core.checkpoints import save_tensors
from thcli.train.core.synthetic import made_clips
from thcli.train.keypoint_models.pairs import Pairs

Batch = Mapping[str, Tensor]
Terms = dict[str, Tensor]


class Data(Protocol):
    """Where batches come from: batch(step) is always the same for the same step.

    len: items an epoch.  fixed: the few items that sample pictures show.  fingerprint: changes with the data.
    """

    def __len__(self) -> int: ...
    def batch(self, step: int) -> Batch: ...
    def fixed(self) -> Batch: ...
    @property
    def fingerprint(self) -> str: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Published:
    """How the paper's code trains. repeats: passes that count as one epoch.  milestones: epochs after which the rate falls tenfold."""

    epochs: float
    repeats: int
    batch: int
    lr: float
    milestones: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of an update with an optimiser of its own. networks: which it changes."""

    name: str
    networks: tuple[str, ...]


class TrainingTask(ABC):
    """One model's training. Made under a seeded generator, so that its random beginning is always the same.

    name: the command.  entry: the row of weights.toml that the result is imported as.  perceptual: what compares pictures.
    """

    name: ClassVar[str]
    entry: str
    published: Published
    phases: tuple[Phase, ...]
    exported: ClassVar[tuple[str, ...]]
    sizes: ClassVar[tuple[int, ...]] = (
        256,
        128,
        384,
        512,
    )  # that its networks can take, the engine's own first
    perceptual: str = ""
    helpers: tuple[nn.Module, ...] = ()  # frozen modules that must be on the device

    def __init__(self, options: TrainOptions, own: Any, on: Listener) -> None:
        if options.size not in self.sizes:
            raise UsageError(
                f"{self.name} cannot be trained with --size {options.size}.",
                f"It takes {', '.join(map(str, self.sizes))}.",
            )
        self.options = options
        self.networks: dict[str, nn.Module] = {}

    @classmethod
    def trial(cls, options: TrainOptions) -> TrainOptions:
        """The options of --smoke: as small as the networks can be."""
        return replace(options, narrow=16, size=min(cls.sizes), perceptual="pyramid")

    @classmethod
    def trial_data(cls, folder: Path, options: TrainOptions) -> None:
        """Makes what a trial without a dataset learns from."""
        made_clips(folder, options.size)

    def data(self, folder: Path, batch: int, on: Listener) -> Data:
        """Where batches come from. Raises MediaError for a folder that is no dataset."""
        return Pairs(folder, self.options, batch, on=on)

    @abstractmethod
    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, kept: dict[str, Any]
    ) -> Terms:
        """The weighted terms whose sum the phase lowers. kept: carries values from one phase of an update to the next."""

    @abstractmethod
    def pictures(self, batch: Batch) -> dict[str, Tensor]:
        """label -> (B, 3, H, W) in 0..1, the rows of a sheet of samples."""

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        """Adam with betas (0.5, 0.999), as all the keypoint models are trained."""
        return torch.optim.Adam(parameters, lr, betas=(0.5, 0.999))

    def rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """The learning rate of update `step` of `steps`: a tenth after each milestone."""
        passed = sum(step >= epoch * epoch_steps for epoch in self.published.milestones)
        return float(lr * 0.1**passed)

    def length(self, items: int, batch: int) -> tuple[int, int]:
        """Updates an epoch, and in all: what --steps says, or what --epochs (else the published ones) come to."""
        an_epoch = max(1, math.ceil(items * self.published.repeats / batch))
        return an_epoch, self.options.steps or math.ceil(
            (self.options.epochs or self.published.epochs) * an_epoch
        )

    def layout(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Networks' states as the published file names them."""
        return {
            f"{name}.{key}": value for name in self.exported for key, value in states[name].items()
        }

    def publish(self, path: Path) -> Path:
        """What `thcli weights import` takes, made from the exported safetensors; the same file for most."""
        return path

    def named_entry(self, path: Path, tensors: Mapping[str, Tensor]) -> Path:
        """Writes the file that is bundled, beside the exported one; for `publish`."""
        out = path.with_name(f"{self.entry}.safetensors")
        save_tensors(out, dict(tensors), {"model": self.entry})
        return out

    def use(self, importable: Path) -> str:
        """The command that takes the result into use."""
        return f"thcli weights import {self.entry} {importable} --trust"

    def to(self, device: torch.device) -> None:
        """Moves everything there."""
        for module in (*self.networks.values(), *self.helpers):
            module.to(device)

    def train(self, on: bool) -> None:
        """Training or evaluation mode of all networks."""
        for network in self.networks.values():
            network.train(on)


def rising_cosine(lr: float, step: int, steps: int, warm: int, last: float) -> float:
    """A rate that falls along a cosine from the first update on, to `last` of it, and is held back in the first `warm` ones."""
    fallen = last + (1 - last) * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1)))
    return lr * min(1, (step + 1) / warm) * fallen


def cosine_after_rise(lr: float, step: int, steps: int, part: float, last: float) -> float:
    """A rate that goes up in a straight line for a part of the updates, then down along a cosine to `last` of it."""
    warm = max(1, round(part * steps))
    if step < warm:
        return lr * (step + 1) / warm
    along = (step - warm) / max(1, steps - warm)
    return lr * (last + (1 - last) * (1 + math.cos(math.pi * min(along, 1.0))) / 2)


def noise_of(seed: int, step: int) -> torch.Generator:
    """The generator of an update: its numbers follow from (seed, step) alone, whatever ran before."""
    import numpy as np

    mixed = int(np.random.SeedSequence([seed, step, 2]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(mixed & (2**63 - 1))
