"""Device, precision and batch size of a backend's networks.

The device's errors are converted to thcli's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from thcli.core.device import autocast_dtype, convert_out_of_memory, prepare_device
from thcli.core.options import RunOptions
from thcli.engines.shared.fast_conv import fast
from thcli.engines.shared.memory import keep_memory

Network = TypeVar("Network", bound=nn.Module)


class TorchBackend:
    """Base class of backends over torch networks.

    half: type that autocast computes in; None: float32 throughout.
    on_cpu: the networks compute on the CPU.
    """

    def __init__(self, run: RunOptions) -> None:
        """Select the device.

        Raises:
            DeviceError: the device does not exist.
        """
        self.device = prepare_device(run.device, run.threads)
        self.on_cpu = self.device.type == "cpu"
        self.half = autocast_dtype(run.precision, self.device)
        # A CPU is as fast frame by frame, and then the batch size cannot change a single bit.
        self.batch = 1 if self.on_cpu else run.batch_size
        if self.on_cpu:
            keep_memory()

    def prepare(self, network: Network) -> Network:
        """Optimise a loaded network and move it to the device; gradients can still pass."""
        with torch.no_grad(), self.autocast():
            return fast.prepare_network(network, self.device, exact=self.half is None)

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Compute in the chosen precision without gradients; convert the device's errors."""
        with torch.inference_mode(), self.autocast():
            yield

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Compute in the chosen precision with gradients; convert the device's errors."""
        with (
            convert_out_of_memory(self.device),
            torch.autocast(self.device.type, self.half, enabled=self.half is not None),
        ):
            yield
