"""What the identity backends share, and one that is loaded only when it is first asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.core.protocols import IdentityEncoder
from thcli.core.types import Array32, Face, Identity, Image
from thcli.faces.adapters.common import file_of
from thcli.faces.backends import IDENTITIES
from thcli.faces.identity.aligned import aligned


class CropEncoder(ABC):
    """An identity backend that sees aligned crops: see `core.protocols.IdentityEncoder`."""

    name: str
    same_person: float

    @abstractmethod
    def vectors(self, crops: Sequence[Image]) -> Array32:
        """Crops (112, 112, 3) uint8 RGB, as `aligned` cuts them -> (N, D) of unit length. What a face gives does not depend on the others."""

    def identify(self, picture: Image, face: Face) -> Identity:
        """Raises NoFaceError when the face has no landmarks to align by."""
        return Identity(self.vectors([aligned(picture, face)])[0], self.name)


class LazyEncoder(CropEncoder):
    """A backend that costs nothing until its first face."""

    def __init__(self, name: str, run: RunOptions) -> None:
        self.name, self._run = name, run

    @cached_property
    def _own(self) -> IdentityEncoder:
        own: IdentityEncoder = IDENTITIES.backend(self.name).load(self._run)
        return own

    @property
    def same_person(self) -> float:  # type: ignore[override]  # known when the backend is
        return self._own.same_person

    def vectors(self, crops: Sequence[Image]) -> Array32:
        return self._own.vectors(crops)


def unit_rows(rows: Sequence[Array32]) -> Array32:
    """Vectors one below the other, each of unit length; (0, 0) for none."""
    if not len(rows):
        return np.zeros((0, 0), np.float32)
    table = np.stack(rows)
    return np.asarray(
        table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12), np.float32
    )


def encoder(name: str, run: RunOptions) -> IdentityEncoder | None:
    """The identity backend of --identity; None for "none", and for "auto" where the licence or a missing file leaves none.

    Its weights are looked for now, and loaded with its first face.  Raises UsageError for a name that there is not, WeightsError for one whose
    weights are not here or are refused by --licence.
    """
    picked = IDENTITIES.resolve(name, run)
    if picked in ("", "none"):
        return None
    try:
        for entry in IDENTITIES.backend(picked).weights:
            file_of(entry, run.licence)
    except WeightsError:
        if name == "auto":
            return None
        raise
    return LazyEncoder(picked, run)
