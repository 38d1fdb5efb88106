"""The training loop shared by all models.

It reads batches by step and runs the phases of each update, in mixed precision where asked. It
maintains averaged weights (EMA) and writes checkpoints, the log and sample sheets.
"""

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
from thcli.core.device import autocast_dtype, convert_out_of_memory, resolve_device
from thcli.core.errors import UsageError
from thcli.core.events import Finished, Listener, Started, Step
from thcli.core.stream import prefetch
from thcli.train.core.checkpoints import Checkpoints, pack_optimiser, save_tensors, unpack_optimiser
from thcli.train.core.run_log import RunLog, format_summary, read_log, save_sample_sheet
from thcli.train.core.task import (
    LAYER_STREAM,
    LossTerms,
    TrainingData,
    TrainingTask,
    step_generator,
)
from thcli.train.data.batches import Batch

PREFETCH = 2  # batches prepared while the networks run


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A finished run.

    exported: weights in the published layout. importable: the file for `thcli weights import`.
    rows: rows of the log.
    """

    steps: int
    seconds: float
    exported: Path
    importable: Path
    rows: list[dict[str, Any]]


class Trainer:
    """One training run in a folder.

    The folder holds log.jsonl, summary.txt, checkpoints/, samples/ and NAME.safetensors.
    batch: items per update. config: settings that a resumed run must share.
    """

    def __init__(
        self,
        task: TrainingTask,
        data: TrainingData,
        run: Path,
        batch: int,
        config: Mapping[str, Any],
        on: Listener,
    ) -> None:
        options = task.options
        self.task, self.data, self.run, self.on = task, data, run, on
        self.options, self.config, self.batch_size = options, config, batch
        self.device = resolve_device(options.device)
        self.half_dtype = autocast_dtype(options.precision, self.device, training=True)
        self.lr = options.lr or task.hyperparameters.lr
        self.epoch_steps, self.steps = task.count_updates(len(data), batch)
        task.to(self.device)
        self.optimisers = {
            phase.name: task.optimiser(
                phase, [p for n in phase.networks for p in task.networks[n].parameters()], self.lr
            )
            for phase in task.phases
        }
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.half_dtype is torch.float16
        )
        self.ema = {} if not options.ema else self._network_tensors()
        self.checkpoints = Checkpoints(run)
        self.log = RunLog(run / "log.jsonl", options.every)
        self.sample_batch = data.sample_batch() if options.samples else {}
        self.done = 0

    def __call__(self) -> TrainingResult:
        """Train to the end.

        Raises:
            UsageError: A loss is no longer finite, or the run cannot be resumed.
            OutputError: A file cannot be written.
            MediaError: A clip or image cannot be read.
            DeviceError: The device runs out of memory.
        """
        began = time.perf_counter()
        tensors: Mapping[str, Tensor] = {}
        if self.options.resume:
            self.done, tensors = self.checkpoints.load(self.config)
            self._restore(tensors)
        self.log.begin(self.done, tensors)
        self.on(Started("train", self.steps, "updates"))
        batches = prefetch(
            (self.data.batch(step) for step in range(self.done, self.steps)), PREFETCH
        )
        with (
            closing(batches),
            convert_out_of_memory(
                self.device, f"for batches of {self.batch_size}", "Use a smaller --batch."
            ),
        ):
            for batch in batches:
                self._run_step(batch, began)
        importable = self.export()
        seconds = time.perf_counter() - began
        self.on(Finished("train", self.done, seconds))
        rows = read_log(self.log.path)
        self._write_summary(rows, seconds)
        return TrainingResult(self.done, seconds, self._exported, importable, rows)

    def _run_step(self, batch: Batch, began: float) -> None:
        """Run one update and write the log line, checkpoint and samples that are due."""
        with self._seeded_layers():
            terms = self._update_networks(
                {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
            )
        self.done += 1
        facts = {
            "epoch": round(self.done / self.epoch_steps, 4),
            "lr": self.learning_rate(self.done - 1),
            "seconds": round(time.perf_counter() - began, 3),
        }
        means = self.log.add(self.done, terms, facts)
        if means is not None and not all(map(math.isfinite, means.values())):
            name = next(name for name, value in means.items() if not math.isfinite(value))
            raise UsageError(
                f"The loss {name} is not finite at update {self.done}: {means[name]}.",
                "Resume with a smaller --lr, or --precision fp32.",
            )
        last = self.done == self.steps
        if last or self.done % self.options.save == 0:
            self.checkpoints.save(self.done, self._checkpoint_tensors(), self.config)
        if self.options.samples and (last or self.done % self.options.samples == 0):
            self.write_samples()
        self.on(Step("train", self.done))

    @contextmanager
    def _seeded_layers(self) -> Iterator[None]:
        """Seed the global generator, which dropout uses, by (seed, step); restore it afterwards."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            generator = step_generator(self.options.seed, self.done, LAYER_STREAM)
            torch.manual_seed(generator.initial_seed())
            yield

    def _update_networks(self, batch: Batch) -> LossTerms:
        """Run all phases of one update and return their loss terms."""
        task, noise = self.task, step_generator(self.options.seed, self.done)
        task.train(True)
        cache: dict[str, Any] = {}
        logged: LossTerms = {}
        for phase in task.phases:
            optimiser = self.optimisers[phase.name]
            for name, network in task.networks.items():
                network.requires_grad_(name in phase.networks)
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate(self.done)
            with torch.autocast(
                self.device.type, self.half_dtype, enabled=self.half_dtype is not None
            ):
                terms = task.losses(phase.name, batch, noise, cache)
            optimiser.zero_grad(set_to_none=True)
            total = torch.stack([term.float() for term in terms.values()]).sum()
            self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]  # torch's own
            self.scaler.step(optimiser)
            logged |= terms
        self.scaler.update()
        self._update_ema()
        return logged

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of update `step`, counted from 0."""
        return self.task.learning_rate(self.lr, step, self.steps, self.epoch_steps)

    def _update_ema(self) -> None:
        """Update the exponential moving average of the weights; buffers are copied.

        The decay is smaller in the first updates: min(ema, (1 + n) / (10 + n)).
        """
        if not self.ema:
            return
        decay = min(self.options.ema, (1 + self.done) / (10 + self.done))
        with torch.no_grad():
            for name, network in self.task.networks.items():
                values = dict(network.named_parameters())
                averages = [self.ema[f"{name}.{key}"] for key in values]
                torch._foreach_lerp_(averages, list(values.values()), 1 - decay)
                for key, buffer in network.named_buffers():
                    if f"{name}.{key}" in self.ema:
                        self.ema[f"{name}.{key}"].copy_(buffer)

    def _network_tensors(self) -> dict[str, Tensor]:
        """Return copies of all networks' tensors, named NETWORK.KEY."""
        return {
            f"{n}.{k}": v.detach().clone()
            for n, net in self.task.networks.items()
            for k, v in net.state_dict().items()
        }

    def _checkpoint_tensors(self) -> dict[str, Tensor]:
        out = {f"network.{k}": v for k, v in self._network_tensors().items()} | {
            f"average.{k}": v for k, v in self.ema.items()
        }
        for name, optimiser in self.optimisers.items():
            out |= pack_optimiser(name, optimiser)
        if self.scaler.is_enabled():
            out["scale"] = torch.tensor(self.scaler.get_scale(), dtype=torch.float64)
        return out | self.log.state_tensors()

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        for name, network in self.task.networks.items():
            prefix = f"network.{name}."
            state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            try:
                network.load_state_dict(state)
            except RuntimeError as exc:
                raise UsageError(
                    f"{self.checkpoints.folder.parent} was started with another layout of its "
                    "networks, by another version of thcli.",
                    "Start again with --overwrite.",
                ) from exc
        for key in self.ema:
            self.ema[key].copy_(tensors[f"average.{key}"])
        for name, optimiser in self.optimisers.items():
            unpack_optimiser(name, optimiser, tensors)
        if self.scaler.is_enabled() and "scale" in tensors:
            self.scaler.load_state_dict(
                {**self.scaler.state_dict(), "scale": float(tensors["scale"])}
            )

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Switch the networks to the averaged weights, evaluation mode and no gradients."""
        current = self._network_tensors() if self.ema else {}
        self._load_networks(self.ema)
        self.task.train(False)
        try:
            with torch.no_grad():
                yield
        finally:
            self._load_networks(current)

    def _load_networks(self, tensors: Mapping[str, Tensor]) -> None:
        for name, network in self.task.networks.items():
            prefix = f"{name}."
            state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            if state:
                network.load_state_dict(state)

    def write_samples(self) -> Path:
        """Write a sheet of the sample batch, computed with the averaged weights."""
        batch = {name: value.to(self.device) for name, value in self.sample_batch.items()}
        with self.averaged_weights():
            rows = self.task.sample_images(batch)
        path = self.run / "samples" / f"step-{self.done:08d}.png"
        save_sample_sheet(path, rows)
        return path

    @property
    def _exported(self) -> Path:
        return self.run / f"{self.task.name}.safetensors"

    def export(self) -> Path:
        """Write the averaged weights in the published layout; return the importable file."""
        tensors = self.ema or self._network_tensors()
        states = {
            name: {
                k.removeprefix(f"{name}."): v
                for k, v in tensors.items()
                if k.startswith(f"{name}.")
            }
            for name in self.task.networks
        }
        metadata = {
            "model": self.task.name,
            "made_by": f"thcli {__version__}",
            "steps": str(self.done),
            "perceptual": self.task.perceptual,
            "narrow": str(self.options.narrow),
            "size": str(self.options.size),
            "ema": str(self.options.ema),
        }
        save_tensors(self._exported, self.task.export_tensors(states), metadata)
        return self.task.write_importable(self._exported)

    def _write_summary(self, rows: list[dict[str, Any]], seconds: float) -> None:
        facts = {
            "model": self.task.name,
            "updates": self.done,
            "batch size": self.batch_size,
            "device": self.device,
            "precision": "fp32"
            if self.half_dtype is None
            else str(self.half_dtype).removeprefix("torch."),
            "seconds (this run)": round(seconds, 1),
            "images compared by": self.task.perceptual,
            "weights": self._exported.name,
        }
        (self.run / "summary.txt").write_text(format_summary(rows, facts), "utf-8")
