"""The interface between a model and the training loop.

A task has the networks, the losses in phases, the optimiser settings and the export layout.
"""

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
from thcli.train.core.synthetic import write_synthetic_clips
from thcli.train.data.batches import Batch
from thcli.train.keypoint_models.pairs import FramePairs
from thcli.weights.tensors import load_tensors

LossTerms = dict[str, Tensor]
Part = slice | tuple[slice, ...]  # of a tensor
NOISE_STREAM, LAYER_STREAM = 2, 3  # random numbers of the losses, and of layers such as dropout


class TrainingData(Protocol):
    """A source of batches; batch(step) depends on the data, the seed and the step alone.

    len: items per epoch. sample_batch: the fixed items of the sample sheets. fingerprint: changes
    with the data.
    """

    def __len__(self) -> int: ...
    def batch(self, step: int) -> Batch: ...
    def sample_batch(self) -> Batch: ...
    @property
    def fingerprint(self) -> str: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Default settings of a training run, as the paper's code has them where there is one.

    epochs: passes over the data. repeats: passes over the clips that count as one epoch.
    batch: items per update. lr: learning rate. milestones: epochs after which lr falls tenfold.
    updates: all updates, where the paper counts these instead of epochs.
    """

    epochs: float
    repeats: int
    batch: int
    lr: float
    milestones: tuple[float, ...] = ()
    updates: int | None = None


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of an update with its own optimiser. networks: names of the trained networks."""

    name: str
    networks: tuple[str, ...]


class TrainingTask(ABC):
    """The training of one model, created under a seeded generator for reproducible initial weights.

    name: the model in `thcli train MODEL`.
    entry: row of weights.toml that the result is imported as.
    hyperparameters: defaults for the options that are not given.
    phases: parts of an update, in order.
    exported: names of the networks in the exported file.
    sizes: image sides in pixels that the networks accept; the first is the engine's.
    loads_any_width, loads_any_size: whether the engine loads networks of any width, and for images
        of any size.
    perceptual: what compares images, for the log and the exported file.
    frozen_modules: modules that are not trained but must be on the device.
    """

    name: ClassVar[str]
    entry: str
    hyperparameters: Hyperparameters
    phases: tuple[Phase, ...]
    exported: ClassVar[tuple[str, ...]]
    sizes: ClassVar[tuple[int, ...]] = (256, 128, 384, 512)
    loads_any_width: ClassVar[bool] = False
    loads_any_size: ClassVar[bool] = False
    perceptual: str = ""
    frozen_modules: tuple[nn.Module, ...] = ()

    def __init__(self, options: TrainOptions, model_options: Any, on: Listener) -> None:
        if options.size not in self.sizes:
            raise UsageError(
                f"{self.name} cannot be trained with --size {options.size}.",
                f"Use one of {', '.join(map(str, self.sizes))}.",
            )
        self.options = options
        self.networks: dict[str, nn.Module] = {}

    @classmethod
    def smoke_options(cls, options: TrainOptions) -> TrainOptions:
        """Return the options of --smoke: networks and images as small as possible."""
        return replace(options, narrow=16, size=min(cls.sizes), perceptual="pyramid")

    @classmethod
    def write_synthetic_data(cls, folder: Path, options: TrainOptions) -> None:
        """Write the data of a smoke run without a dataset."""
        write_synthetic_clips(folder, options.size)

    def load_data(self, folder: Path, batch: int, on: Listener) -> TrainingData:
        """Open the dataset.

        Raises:
            MediaError: The folder is not a dataset.
        """
        return FramePairs(folder, self.options, batch, on=on)

    @abstractmethod
    def losses(
        self, phase: str, batch: Batch, noise: torch.Generator, cache: dict[str, Any]
    ) -> LossTerms:
        """Return the weighted terms whose sum the phase minimises.

        Args:
            phase: Name of the phase.
            batch: Tensors on the device.
            noise: Generator of this update, on the CPU.
            cache: Values passed from one phase of an update to the next.
        """

    @abstractmethod
    def sample_images(self, batch: Batch) -> dict[str, Tensor]:
        """Return the rows of a sample sheet: label -> (B, 3, H, W) in [0, 1]."""

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        """Create the optimiser of a phase: Adam with betas (0.5, 0.999), for keypoint models."""
        return torch.optim.Adam(parameters, lr, betas=(0.5, 0.999))

    def learning_rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Return the learning rate of update `step`: divided by ten after each milestone.

        Args:
            lr: Base learning rate.
            step: Update, counted from 0.
            steps: Updates in all.
            epoch_steps: Updates per epoch.
        """
        passed = sum(step >= epoch * epoch_steps for epoch in self.hyperparameters.milestones)
        return float(lr * 0.1**passed)

    def count_updates(self, items: int, batch: int) -> tuple[int, int]:
        """Return the updates per epoch and in all.

        The total is --steps, else that of --epochs, else the default.
        """
        epoch_steps = max(1, math.ceil(items * self.hyperparameters.repeats / batch))
        updates = self.options.steps
        if not updates and not self.options.epochs:
            updates = self.hyperparameters.updates
        epochs = self.options.epochs or self.hyperparameters.epochs
        return epoch_steps, updates or math.ceil(epochs * epoch_steps)

    def export_tensors(self, states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return the networks' states under the names of the published file."""
        return {
            f"{name}.{key}": value for name in self.exported for key, value in states[name].items()
        }

    def write_importable(self, path: Path) -> Path:
        """Write and return the file for `thcli weights import`; by default the exported file."""
        return path

    def write_bundled(self, path: Path, tensors: Mapping[str, Tensor]) -> Path:
        """Write ENTRY.safetensors beside the exported file, for `write_importable`."""
        out = path.with_name(f"{self.entry}.safetensors")
        save_tensors(out, dict(tensors), {"model": self.entry})
        return out

    def write_half(self, path: Path) -> Path:
        """Write ENTRY.safetensors in half precision, for `write_importable`."""
        return self.write_bundled(path, {k: v.half() for k, v in load_tensors(path).items()})

    def usage_command(self, importable: Path) -> str:
        """Return the command that puts the result to use."""
        return f"thcli weights import {self.entry} {importable} --trust"

    def to(self, device: torch.device) -> None:
        """Move networks and frozen modules to the device."""
        for module in (*self.networks.values(), *self.frozen_modules):
            module.to(device)

    def train(self, on: bool) -> None:
        """Set all networks to training or evaluation mode."""
        for network in self.networks.values():
            network.train(on)


def use_channels_last(network: nn.Module) -> None:
    """Store the convolutions' weights with channels last in memory."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lacks it


def fix_parameters(parameters: Iterable[Tensor], part: Part = slice(None)) -> None:
    """Keep a part of parameters at its values, whichever phase trains them.

    Its gradients become 0. `requires_grad_` does not last: the loop sets it in each phase.

    Args:
        parameters: Trained tensors.
        part: Rows of the first axis (outputs), or slices of the first axes.
    """

    def zero_part(gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        gradient[part] = 0
        return gradient

    for parameter in parameters:
        parameter.register_hook(zero_part)  # type: ignore[no-untyped-call]  # torch's own


def fix_at_zero(parameters: Iterable[Tensor], part: Part = slice(None)) -> None:
    """Set a part of parameters to 0 and keep it there, as `fix_parameters`."""
    for parameter in parameters:
        with torch.no_grad():
            parameter[part] = 0
        fix_parameters([parameter], part)


def ignore_inputs(layer: nn.Module, channels: slice) -> None:
    """Keep the weights of a convolution's input channels at 0: what they carry has no effect.

    Args:
        layer: Convolution; in groups, channels are those of each group.
        channels: Input channels.
    """
    assert isinstance(layer, nn.Conv2d | nn.Conv3d)
    fix_at_zero([layer.weight], (slice(None), channels))


class CosineTask(TrainingTask):
    """A task of AdamW, whose learning rate warms up and falls along a cosine.

    warmup: updates. final_rate: fraction of the learning rate at the end. beta: first of AdamW.
    """

    warmup: ClassVar[int]
    final_rate: ClassVar[float]
    beta: ClassVar[float] = 0.9

    def optimiser(
        self, phase: Phase, parameters: Iterable[nn.Parameter], lr: float
    ) -> torch.optim.Optimizer:
        """Create AdamW."""
        return torch.optim.AdamW(parameters, lr, betas=(self.beta, 0.99), weight_decay=0.01)

    def learning_rate(self, lr: float, step: int, steps: int, epoch_steps: int) -> float:
        """Return a cosine learning rate with warm-up."""
        return cosine_with_warmup(lr, step, steps, self.warmup, self.final_rate)


def cosine_with_warmup(lr: float, step: int, steps: int, warmup: int, final: float) -> float:
    """Return a cosine learning rate multiplied by a linear warm-up.

    The cosine falls from the first update on; the warm-up only scales it.

    Args:
        lr: Base learning rate.
        step: Update, counted from 0.
        steps: Updates in all.
        warmup: Updates of the warm-up.
        final: Fraction of `lr` at the end.
    """
    decay = final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1)))
    return lr * min(1, (step + 1) / warmup) * decay


def warmup_then_cosine(lr: float, step: int, steps: int, warmup: float, final: float) -> float:
    """Return a learning rate that rises linearly, then falls along a cosine.

    Args:
        lr: Base learning rate.
        step: Update, counted from 0.
        steps: Updates in all.
        warmup: Fraction of the updates in which the rate rises.
        final: Fraction of `lr` at the end.
    """
    warmup_steps = max(1, round(warmup * steps))
    if step < warmup_steps:
        return lr * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return lr * (final + (1 - final) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2)


def step_generator(seed: int, step: int, stream: int = NOISE_STREAM) -> torch.Generator:
    """Create a random generator of an update, a function of (seed, step, stream) alone."""
    import numpy as np

    mixed = int(np.random.SeedSequence([seed, step, stream]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(mixed & (2**63 - 1))
