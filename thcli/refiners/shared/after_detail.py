"""Base of refiners whose network, if any, runs after the detail of the source."""

from __future__ import annotations

from collections.abc import Sequence

from thcli.core.options import RefineOptions, Template
from thcli.core.types import Array32, Image
from thcli.refiners.shared.sourceless import Sourceless


class AfterDetail(Sourceless):
    """Refiner that leaves crops to the transfer of detail as they are.

    crop_size: side of the crops that place the detail.
    """

    template: Template = "square"
    crop_size = 256

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
