"""Refiner `detail`: no network. The source's detail is all that is added, by the pipeline."""

from __future__ import annotations

from thcli.core.options import RefineOptions, RunOptions
from thcli.refiners.shared.after_detail import AfterDetail


class UnchangedCrops(AfterDetail):
    """Refiner protocol without a network: crops stay as they are."""

    parallel = False  # there is nothing to compute

    def network_calls(self, options: RefineOptions) -> int:
        """Return 0: there is no network."""
        return 0


def load(run: RunOptions) -> UnchangedCrops:
    """Return the refiner; there is nothing to load."""
    return UnchangedCrops()
