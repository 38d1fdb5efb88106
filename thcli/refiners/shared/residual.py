"""Interface of refiners that correct a crop after the detail of its source was added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from thcli.core.options import RefineOptions
from thcli.core.protocols import Refiner
from thcli.core.types import Array32


@dataclass(frozen=True, slots=True)
class ResidualInput:
    """Views of one crop, reduced to the side of the network.

    detailed, coarse, source: (S, S, 3) float32 in 0..1: the crop with the detail of the source, the
        coarse crop, and the source placed over it.
    visibility: (S, S) float32 in 0..1, 0 where the source does not show the surface.
    """

    detailed: Array32
    coarse: Array32
    source: Array32
    visibility: Array32


@runtime_checkable
class ResidualRefiner(Refiner, Protocol):
    """A refiner whose network runs last.

    residual_side: pixels of a side of its input.
    """

    residual_side: int

    def predict_residual(self, view: ResidualInput, number: int, options: RefineOptions) -> Array32:
        """Predict what a crop lacks, (S, S, 3) levels of 255.

        Args:
            view: of the crop.
            number: of the frame, for the noise.
            options: sampling settings.

        Raises:
            NotFiniteError: the network's result is not finite.
        """
        ...
