"""Base of refiners over torch networks."""

from __future__ import annotations

from thcli.engines.shared.networks.compute import TorchBackend


class TorchRefiner(TorchBackend):
    """Refiner whose frames are independent of one another."""

    @property
    def parallel(self) -> bool:
        """True on a CPU, where frames are refined side by side."""
        return self.on_cpu
