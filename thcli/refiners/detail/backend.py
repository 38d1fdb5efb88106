"""Refiner `detail`: no network. The source's detail is all that is added, by the pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from thcli.core.options import RefineOptions, RunOptions, Template
from thcli.core.types import Array32, Image
from thcli.refiners.shared.sourceless import Sourceless

SIDE = 256


class UnchangedCrops(Sourceless):
    """Refiner protocol without a network: crops stay as they are."""

    template: Template = "square"
    crop_size = SIDE
    parallel = False  # there is nothing to compute

    def network_calls(self, options: RefineOptions) -> int:
        """Return 0: there is no network."""
        return 0

    def refine(
        self,
        coarse: Sequence[Image],
        source: None,
        driving: Array32,
        frame_numbers: Sequence[int],
        options: RefineOptions,
        reference_crops: Sequence[Image] | None = None,
        *,
        source_is_reference: bool = False,
    ) -> list[Image]:
        """Return the crops."""
        return list(coarse)


def load(run: RunOptions) -> UnchangedCrops:
    """Return the refiner; there is nothing to load."""
    return UnchangedCrops()
