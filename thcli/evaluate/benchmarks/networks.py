"""Every network on a device beside the CPU: equal numbers, speed and memory (`thcli bench`)."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from thcli.core.device import autocast_dtype, convert_out_of_memory, prepare_device
from thcli.core.errors import DeviceError
from thcli.core.events import Listener, silent
from thcli.core.options import BenchOptions, RunOptions
from thcli.engines.shared.fast_conv.fast import prepare_network
from thcli.evaluate.benchmarks.network_probes import PROBES, Draw, Probe
from thcli.evaluate.benchmarks.progress import step_progress

# Largest error over max(1, largest value of the CPU), float32 throughout.
ERROR_BAR = 1e-3
COMPARED = 2  # items of the comparison; as many are timed on a CPU
HEAD = ["network", "max error fp32", "as asked", "items/s fp32", "as asked", "memory", "equal"]


@dataclass(frozen=True, slots=True)
class NetworkResult:
    """One network on the device, with random weights.

    error: of float32 against the CPU, over max(1, largest value).
    asked_error: of the asked precision.
    rate, asked_rate: items a second in float32 and in the asked precision.
    memory: peak bytes on the device, 0 where it does not count them.
    """

    name: str
    error: float
    asked_error: float
    rate: float
    asked_rate: float
    memory: int

    @property
    def equal(self) -> bool:
        """True when the float32 result is that of the CPU; False for NaN."""
        return self.error <= ERROR_BAR

    def as_json(self) -> dict[str, Any]:
        """Return all values for JSON."""
        return {
            "network": self.name,
            "max_error": self.error,
            "max_error_asked": self.asked_error,
            "bar": ERROR_BAR,
            "equal": self.equal,
            "items_per_second": round(self.rate, 3),
            "items_per_second_asked": round(self.asked_rate, 3),
            "device_bytes": self.memory,
        }


def network_table(results: Sequence[NetworkResult]) -> tuple[list[str], list[list[str]]]:
    """Return the heading and a line for each network."""
    lines = [
        [
            one.name,
            f"{one.error:.1e}",
            f"{one.asked_error:.1e}",
            f"{one.rate:.2f}",
            f"{one.asked_rate:.2f}",
            f"{one.memory / 2**20:.0f} MiB" if one.memory else "-",
            "yes" if one.equal else "NO",
        ]
        for one in results
    ]
    return HEAD, lines


def compare_networks(
    run: RunOptions, names: Sequence[str] = tuple(PROBES), repeat: int = 3, on: Listener = silent
) -> list[NetworkResult]:
    """Run networks with random weights on a device and on the CPU.

    On a CPU the networks and batches are small: what is compared is the form in which backends
    prepare a network with the network as published.

    Args:
        run: device, precision and batch size.
        names: of `network_probes.PROBES`.
        repeat: timed runs; the fastest counts.
        on: receives progress events.

    Raises:
        DeviceError: the device does not exist, or its memory does not suffice.
    """
    device = prepare_device(run.device, run.threads)
    results = []
    with step_progress("networks", len(names), on) as step:
        for name in names:
            with convert_out_of_memory(device, f"to compare {name}"):
                results.append(_compare(name, PROBES[name], run, device, repeat))
            step()
    return results


def includes_networks(bench: BenchOptions, run: RunOptions) -> bool:
    """Return True with --networks, and always where a device is not the CPU. Raises DeviceError."""
    return bench.networks or prepare_device(run.device, run.threads).type != "cpu"


class Compared(Protocol):
    """A result of the device beside the CPU's."""

    @property
    def name(self) -> str: ...
    @property
    def equal(self) -> bool: ...


def require_equal(results: Sequence[Compared], device: str) -> None:
    """Raise DeviceError that names what is computed on the device otherwise than on the CPU."""
    different = [one.name for one in results if not one.equal]
    if different:
        raise DeviceError(
            f"On {device} {', '.join(different)} computed other numbers than on the CPU.",
            "Use --device cpu, and report it with the output of thcli doctor.",
        )


def _compare(
    name: str, probe: Probe, run: RunOptions, device: torch.device, repeat: int
) -> NetworkResult:
    trial = _Trial(probe, run.seed, small=device.type == "cpu")
    timed = COMPARED if trial.small else run.batch_size
    networks = trial.build()
    expected = trial.call(networks, COMPARED, torch.device("cpu"), None)
    half = autocast_dtype(run.precision, device)
    found = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for dtype in (None,) if half is None else (None, half):
        prepared = [_prepare(net, probe, device, exact=dtype is None) for net in networks]
        out = trial.call(prepared, COMPARED, device, dtype)
        seconds = min(trial.seconds(prepared, timed, device, dtype) for _ in range(repeat))
        found.append((_error(out, expected), timed / seconds))
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    (error, rate), (asked_error, asked_rate) = found[0], found[-1]
    return NetworkResult(name, error, asked_error, rate, asked_rate, memory)


def _prepare(network: nn.Module, probe: Probe, device: torch.device, *, exact: bool) -> nn.Module:
    own = copy.deepcopy(network)
    return prepare_network(own, device, exact=exact) if probe.folded else own.to(device)


@dataclass(frozen=True, slots=True)
class _Trial:
    """A probe with its seed and size, which are the same on every device."""

    probe: Probe
    seed: int
    small: bool

    def build(self) -> list[nn.Module]:
        """Make the networks with random weights, on the CPU."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return [net.eval().requires_grad_(False) for net in self.probe.build(self.small)]

    def call(
        self,
        networks: Sequence[nn.Module],
        batch: int,
        device: torch.device,
        half: torch.dtype | None,
    ) -> Tensor:
        """Run the networks on random inputs; half: type of autocast. Returns float32 on the CPU."""
        draw = Draw(batch, torch.Generator().manual_seed(self.seed), device, self.small)
        with torch.inference_mode(), torch.autocast(device.type, half, enabled=half is not None):
            return self.probe.call(networks, draw).float().cpu()

    def seconds(
        self,
        networks: Sequence[nn.Module],
        batch: int,
        device: torch.device,
        half: torch.dtype | None,
    ) -> float:
        """Return the seconds of one call, inputs and result to the host included."""
        began = time.perf_counter()
        self.call(networks, batch, device, half)
        return max(time.perf_counter() - began, 1e-9)


def _error(found: Tensor, expected: Tensor) -> float:
    largest = max(1.0, float(expected.abs().max()))
    return float((found - expected).abs().max()) / largest
