"""The training loop that every model shares: batches by step, phases, mixed precision, averaged weights, checkpoints, log, samples."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thcli import __version__
from thcli.core.device import enough_memory, half_of, resolve
from thcli.core.errors import UsageError
from thcli.core.events import Finished, Listener, Started, Step
from thcli.core.stream import prefetch
from thcli.train.core.checkpoints import Checkpoints, pack_optimiser, save_tensors, unpack_optimiser
from thcli.train.core.run_log import Log, read_log, save_samples, summary
from thcli.train.core.task import Batch, Data, Terms, TrainingTask, noise_of

AHEAD = 2  # batches that are made while the networks work


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run. exported: the published layout.  importable: what `thcli weights import` takes.  rows: of the log."""

    steps: int
    seconds: float
    exported: Path
    importable: Path
    rows: list[dict[str, Any]]


class Trainer:
    """One run in a folder: log.jsonl, summary.txt, checkpoints/, samples/, NAME.safetensors.

    batch: items an update.  config: what must be the same when the run is resumed.
    """

    def __init__(
        self,
        recipe: TrainingTask,
        data: Data,
        run: Path,
        batch: int,
        config: Mapping[str, Any],
        on: Listener,
    ) -> None:
        options = recipe.options
        self.recipe, self.data, self.run, self.on = recipe, data, run, on
        self.options, self.config, self.items = options, config, batch
        self.device = resolve(options.device)
        self.half = half_of(options.precision, self.device, training=True)
        self.lr = options.lr or recipe.published.lr
        self.epoch_steps, self.steps = recipe.length(len(data), batch)
        recipe.to(self.device)
        self.optimisers = {
            phase.name: recipe.optimiser(
                phase, [p for n in phase.networks for p in recipe.networks[n].parameters()], self.lr
            )
            for phase in recipe.phases
        }
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.half is torch.float16)
        self.average = {} if not options.ema else self._state()
        self.checkpoints = Checkpoints(run)
        self.log = Log(run / "log.jsonl", options.every)
        self.shown = data.fixed() if options.samples else {}
        self.done = 0

    def __call__(self) -> Trained:
        """Trains to the end. Raises OutputError, MediaError, DeviceError, and UsageError when the losses are no longer numbers."""
        began = time.perf_counter()
        tensors: Mapping[str, Tensor] = {}
        if self.options.resume:
            self.done, tensors = self.checkpoints.load(self.config)
            self._restore(tensors)
        self.log.begin(self.done, tensors)
        self.on(Started("train", self.steps, "updates"))
        batches = prefetch((self.data.batch(step) for step in range(self.done, self.steps)), AHEAD)
        with (
            closing(batches),
            enough_memory(self.device, f"for batches of {self.items}", "Use a smaller --batch."),
        ):
            for batch in batches:
                self._advance(batch, began)
        importable = self.export()
        seconds = time.perf_counter() - began
        self.on(Finished("train", self.done, seconds))
        rows = read_log(self.log.path)
        self._summarise(rows, seconds)
        return Trained(self.done, seconds, self._exported, importable, rows)

    def _advance(self, batch: Batch, began: float) -> None:
        """One update and what is due after it."""
        terms = self._update(
            {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        )
        self.done += 1
        facts = {
            "epoch": round(self.done / self.epoch_steps, 4),
            "lr": self.rate(self.done - 1),
            "seconds": round(time.perf_counter() - began, 3),
        }
        means = self.log.add(self.done, terms, facts)
        if means is not None and not all(map(math.isfinite, means.values())):
            wrong = next(name for name, value in means.items() if not math.isfinite(value))
            raise UsageError(
                f"The loss {wrong} is no longer a number at update {self.done}.",
                "Resume with a smaller --lr, or --precision fp32.",
            )
        last = self.done == self.steps
        if last or self.done % self.options.save == 0:
            self.checkpoints.save(self.done, self._tensors(), self.config)
        if self.options.samples and (last or self.done % self.options.samples == 0):
            self.sample()
        self.on(Step("train", self.done))

    def _update(self, batch: Batch) -> Terms:
        recipe, noise = self.recipe, noise_of(self.options.seed, self.done)
        recipe.train(True)
        kept: dict[str, Any] = {}
        logged: Terms = {}
        for phase in recipe.phases:
            optimiser = self.optimisers[phase.name]
            for name, network in recipe.networks.items():
                network.requires_grad_(name in phase.networks)
            for group in optimiser.param_groups:
                group["lr"] = self.rate(self.done)
            with torch.autocast(self.device.type, self.half, enabled=self.half is not None):
                terms = recipe.losses(phase.name, batch, noise, kept)
            optimiser.zero_grad(set_to_none=True)
            total = torch.stack([term.float() for term in terms.values()]).sum()
            self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]  # torch's own
            self.scaler.step(optimiser)
            logged |= terms
        self.scaler.update()
        self._average()
        return logged

    def rate(self, step: int) -> float:
        """The learning rate of an update."""
        return self.recipe.rate(self.lr, step, self.steps, self.epoch_steps)

    def _average(self) -> None:
        """Exponential moving average of the weights, quicker at first; statistics and counters are taken as they are."""
        if not self.average:
            return
        decay = min(self.options.ema, (1 + self.done) / (10 + self.done))
        with torch.no_grad():
            for name, network in self.recipe.networks.items():
                for key, value in network.named_parameters():
                    self.average[f"{name}.{key}"].lerp_(value, 1 - decay)
                for key, fact in network.named_buffers():
                    if f"{name}.{key}" in self.average:
                        self.average[f"{name}.{key}"].copy_(fact)

    def _state(self) -> dict[str, Tensor]:
        """Copies of all networks' tensors, NETWORK.KEY."""
        return {
            f"{n}.{k}": v.detach().clone()
            for n, net in self.recipe.networks.items()
            for k, v in net.state_dict().items()
        }

    def _tensors(self) -> dict[str, Tensor]:
        out = {f"network.{k}": v for k, v in self._state().items()} | {
            f"average.{k}": v for k, v in self.average.items()
        }
        for name, optimiser in self.optimisers.items():
            out |= pack_optimiser(name, optimiser)
        if self.scaler.is_enabled():
            out["scale"] = torch.tensor(self.scaler.get_scale(), dtype=torch.float64)
        return out | self.log.tensors()

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        for name, network in self.recipe.networks.items():
            head = f"network.{name}."
            network.load_state_dict(
                {k.removeprefix(head): v for k, v in tensors.items() if k.startswith(head)}
            )
        for key in self.average:
            self.average[key].copy_(tensors[f"average.{key}"])
        for name, optimiser in self.optimisers.items():
            unpack_optimiser(name, optimiser, tensors)
        if self.scaler.is_enabled() and "scale" in tensors:
            self.scaler.load_state_dict(
                {**self.scaler.state_dict(), "scale": float(tensors["scale"])}
            )

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The networks with the averaged weights, in evaluation mode, without gradients."""
        own = self._state() if self.average else {}
        self._put(self.average)
        self.recipe.train(False)
        try:
            with torch.no_grad():
                yield
        finally:
            self._put(own)

    def _put(self, tensors: Mapping[str, Tensor]) -> None:
        for name, network in self.recipe.networks.items():
            head = f"{name}."
            if own := {k.removeprefix(head): v for k, v in tensors.items() if k.startswith(head)}:
                network.load_state_dict(own)

    def sample(self) -> Path:
        """Writes a sheet of the fixed items with the averaged weights."""
        batch = {name: value.to(self.device) for name, value in self.shown.items()}
        with self.averaged():
            rows = self.recipe.pictures(batch)
        path = self.run / "samples" / f"step-{self.done:08d}.png"
        save_samples(path, rows)
        return path

    @property
    def _exported(self) -> Path:
        return self.run / f"{self.recipe.name}.safetensors"

    def export(self) -> Path:
        """Writes the averaged weights in the published layout; returns what `thcli weights import` takes."""
        tensors = self.average or self._state()
        states = {
            name: {
                k.removeprefix(f"{name}."): v
                for k, v in tensors.items()
                if k.startswith(f"{name}.")
            }
            for name in self.recipe.networks
        }
        words = {
            "model": self.recipe.name,
            "made_by": f"thcli {__version__}",
            "steps": str(self.done),
            "perceptual": self.recipe.perceptual,
            "narrow": str(self.options.narrow),
            "size": str(self.options.size),
            "ema": str(self.options.ema),
        }
        save_tensors(self._exported, self.recipe.layout(states), words)
        return self.recipe.publish(self._exported)

    def _summarise(self, rows: list[dict[str, Any]], seconds: float) -> None:
        facts = {
            "model": self.recipe.name,
            "updates": self.done,
            "items an update": self.items,
            "device": self.device,
            "precision": "fp32" if self.half is None else str(self.half).removeprefix("torch."),
            "seconds (this run)": round(seconds, 1),
            "pictures compared by": self.recipe.perceptual,
            "weights": self._exported.name,
        }
        (self.run / "summary.txt").write_text(summary(rows, facts), "utf-8")
