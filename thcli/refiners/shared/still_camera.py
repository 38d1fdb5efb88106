"""Interface of refiners that serve still cameras alone."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from thcli.core.protocols import Refiner


@runtime_checkable
class StillCameraRefiner(Refiner, Protocol):
    """A refiner that states whether it was trained on still cameras alone."""

    @property
    def still_camera(self) -> bool:
        """True where it makes clips whose camera moves worse."""
        ...
