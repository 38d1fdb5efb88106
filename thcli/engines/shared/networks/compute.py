"""Where a backend's networks compute: device, precision, how many pictures at once; the device's errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from thcli.core.device import enough_memory, half_of, prepared
from thcli.core.options import RunOptions
from thcli.engines.shared.fast_conv import fast
from thcli.engines.shared.memory import keep_memory

Network = TypeVar("Network", bound=nn.Module)


class Computing:
    """What a backend over torch networks is built on. half: the type that autocast computes in; None: float32 throughout."""

    def __init__(self, run: RunOptions) -> None:
        """Raises DeviceError when the device is not there."""
        self.device = prepared(run.device, run.threads)
        self.half = half_of(run.precision, self.device)
        # A CPU is as quick frame by frame, and then the batch size cannot change a single bit.
        self.batch = 1 if self.device.type == "cpu" else run.batch_size
        if self.device.type == "cpu":
            keep_memory()

    def ready(self, network: Network) -> Network:
        """A loaded network made quick, on the backend's device; gradients can pass through it."""
        with torch.no_grad(), self.steering():
            return fast.prepare(network, self.device, exact=self.half is None)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """No gradients, the chosen precision, and the device's own errors as ours."""
        with torch.inference_mode(), self.steering():
            yield

    @contextmanager
    def steering(self) -> Iterator[None]:
        """The same with gradients."""
        with (
            enough_memory(self.device),
            torch.autocast(self.device.type, self.half, enabled=self.half is not None),
        ):
            yield
