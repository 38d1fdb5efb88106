"""Benchmark of `thcli.train.core.fast_group_norm` against torch.nn.functional.group_norm on a CPU.

    python tools/bench_group_norm.py [--threads 1,2] [--models fadm,dva] [--steps-only]

Measures the forward and backward pass at every shape that a training step of fadm-s, dva-s and dh-s
normalises, then whole training steps (losses, backward pass, optimiser). Both variants alternate;
the median time counts. Inputs are random, so no dataset is needed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from thcli.core.options import FadmTrainOptions, LabelledTrainOptions, TrainOptions
from thcli.editors.dva import small as dva_small
from thcli.refiners.fadm import small as fadm_small
from thcli.refiners.fadm.attributes import ATTRIBUTE_COUNT
from thcli.train.core.fast_group_norm import FastGroupNorm, replace_group_norms
from thcli.train.core.run import create_task
from thcli.train.core.task import TrainingTask, step_generator
from thcli.voices.diffused_heads import small as heads_small

Shape = tuple[tuple[int, ...], int, bool]  # input shape, groups, channels last


def fadm_batch(count: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Create a random batch of fadm-s."""
    side = fadm_small.SIDE
    images = torch.rand(3, count, 3, side, side, generator=generator)
    flows = torch.randn(2, count, 2, side, side, generator=generator)
    return {
        "coarse": images[0],
        "truth": images[1],
        "source": images[2],
        "inside": torch.ones(count, 1, side, side),
        "attributes": torch.randn(count, ATTRIBUTE_COUNT, generator=generator),
        "source_flow": flows[0],
        "residual_flow": flows[1],
        "untouched": (torch.arange(count) % 4 == 0).float(),
    }


def dva_batch(count: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Create a random batch of dva-s."""
    side = dva_small.SHAPE.size
    images = torch.rand(2, count, 3, side, side, generator=generator) * 2 - 1
    return {
        "target": images[0],
        "reference": images[1],
        "landmarks": torch.rand(count, 136, generator=generator),
        "identity": functional.normalize(torch.randn(count, 512, generator=generator)),
        "labels": (torch.rand(count, 40, generator=generator) < 0.3).float(),
        "known": torch.ones(count),
        "mask": torch.ones(count, 1, side, side),
    }


def heads_batch(count: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Create a random batch of dh-s."""
    side = heads_small.CONFIG.size
    images = torch.rand(2, count, 3, side, side, generator=generator) * 2 - 1
    low = torch.full((count, 2), side * 0.4)
    return {
        "target": images[0],
        "identity": images[1],
        "motion": torch.rand(count, 6, side, side, generator=generator) * 2 - 1,
        "codes": torch.randn(count, 5, 12, generator=generator),
        "lips": torch.cat([low, low + side * 0.2], 1),
    }


# name -> options of the model, batch size of docs/training.md, random batch
MODELS: dict[str, tuple[Any, int, Callable[[int, torch.Generator], dict[str, Tensor]]]] = {
    "fadm": (FadmTrainOptions(), 12, fadm_batch),
    "dva": (LabelledTrainOptions(), 16, dva_batch),
    "diffused-heads": (None, 8, heads_batch),
}


def torch_group_norms(network: nn.Module) -> None:
    """Replace fast group norms by torch's own, with the same parameters."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, FastGroupNorm):
                norm = nn.GroupNorm(child.num_groups, child.num_channels, child.eps)
                norm.weight, norm.bias = child.weight, child.bias
                setattr(module, name, norm)


class Step:
    """A training step of a model on one fixed batch."""

    def __init__(self, name: str, precision: str) -> None:
        options, count, make = MODELS[name]
        self.task: TrainingTask = create_task(name, TrainOptions(batch=count), options)
        self.batch = make(count, torch.Generator().manual_seed(0))
        self.dtype = torch.bfloat16 if precision == "bf16" else None
        self.phase = self.task.phases[0]
        parameters = [p for n in self.phase.networks for p in self.task.networks[n].parameters()]
        self.optimiser = self.task.optimiser(self.phase, parameters, 1e-5)
        self.task.train(True)

    def __call__(self) -> None:
        with torch.autocast("cpu", self.dtype, enabled=self.dtype is not None):
            terms = self.task.losses(self.phase.name, self.batch, step_generator(0, 0), {})
        self.optimiser.zero_grad(set_to_none=True)
        total = torch.stack([term.float() for term in terms.values()]).sum()
        total.backward()  # type: ignore[no-untyped-call]  # torch's own
        self.optimiser.step()

    def use(self, fast: bool, layout: torch.memory_format) -> None:
        """Switch the group norms and the memory layout of the step's networks."""
        for network in self.task.networks.values():
            (replace_group_norms if fast else torch_group_norms)(network)
            network.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stub lacks it

    def shapes(self) -> Counter[Shape]:
        """Run one step and count the shapes that it normalises."""
        found: Counter[Shape] = Counter()

        def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0]
            if x.dim() != 4:  # a vector: not worth a faster norm
                return
            last = x.is_contiguous(memory_format=torch.channels_last)
            last = last and not x.is_contiguous()
            assert isinstance(module, nn.GroupNorm)
            found[tuple(x.shape), module.num_groups, last] += 1

        hooks = [
            module.register_forward_pre_hook(note)
            for network in self.task.networks.values()
            for module in network.modules()
            if isinstance(module, nn.GroupNorm)
        ]
        self()
        for hook in hooks:
            hook.remove()
        return found


def median_ms(runs: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Return the median time of each run in ms; the runs alternate."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if number:  # the first round warms up
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def norm_pass(norm: nn.GroupNorm, x: Tensor) -> Callable[[], None]:
    """Return a function that runs one forward and backward pass."""
    gradient = torch.randn_like(x)

    def run() -> None:
        leaf = x.detach().requires_grad_()
        norm(leaf).backward(gradient)

    return run


def show(line: str) -> None:
    """Write a line to stdout at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def compare(label: str, runs: dict[str, Callable[[], None]], repeats: int) -> None:
    """Show the median times of the runs, and the ratio of the first and the second one."""
    times = median_ms(runs, repeats)
    ms = list(times.values())
    columns = "".join(f" {name} {time:8.2f}" for name, time in times.items())
    show(f"{label:56s}{columns}   {ms[0] / ms[1]:5.2f} x")


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps-only", action="store_true", help="Skip the single shapes.")
    arguments = parser.parse_args()
    dtype = torch.bfloat16 if arguments.precision == "bf16" else torch.float32
    for threads in (int(number) for number in arguments.threads.split(",")):
        torch.set_num_threads(threads)
        load = f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()} CPUs"
        show(f"# ms; {threads} threads, {arguments.precision}, {load}")
        for name in arguments.models.split(","):
            step = Step(name, arguments.precision)
            shapes = {} if arguments.steps_only else step.shapes()
            for (shape, groups, last), count in sorted(shapes.items(), reverse=True):
                layout = torch.channels_last if last else torch.contiguous_format
                x = torch.randn(shape).to(dtype).contiguous(memory_format=layout)
                norms = {
                    "torch": nn.GroupNorm(groups, shape[1]).to(dtype),
                    "fast": FastGroupNorm(groups, shape[1]).to(dtype),
                }
                runs = {kind: norm_pass(norm, x) for kind, norm in norms.items()}
                label = f"{name} {shape} {groups} groups, {'NHWC' if last else 'NCHW'}, x {count}"
                compare(label, runs, arguments.repeats)

            def whole(
                fast: bool, layout: torch.memory_format, step: Step = step
            ) -> Callable[[], None]:
                def run() -> None:
                    step.use(fast, layout)
                    step()

                return run

            layouts = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}
            for name_of_layout, memory_format in layouts.items():
                runs = {"torch": whole(False, memory_format), "fast": whole(True, memory_format)}
                compare(f"{name}: training step, {name_of_layout}", runs, arguments.repeats)


if __name__ == "__main__":
    main()
