"""Base of the identity backends, and a wrapper that loads one on first use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.core.protocols import IdentityEncoder
from thcli.core.types import Array32, Face, Identity, Image
from thcli.faces.backends import IDENTITIES
from thcli.faces.identity.aligned_crop import aligned_crop
from thcli.weights.loading import weights_path


class AlignedCropEncoder(ABC):
    """An identity backend of aligned crops; see `core.protocols.IdentityEncoder`."""

    name: str
    same_person: float

    @abstractmethod
    def encode_crops(self, crops: Sequence[Image]) -> Array32:
        """Encode crops (112, 112, 3) uint8 RGB to (N, D) of unit length.

        The crops are as `aligned_crop` gives them. The vector of a face does not depend on the
        others.
        """

    def identify(self, image: Image, face: Face) -> Identity:
        """Return the identity of a face. Raises NoFaceError when the face has no landmarks."""
        return Identity(self.encode_crops([aligned_crop(image, face)])[0], self.name)


class LazyEncoder(AlignedCropEncoder):
    """An identity backend that is loaded with its first face."""

    def __init__(self, name: str, run: RunOptions) -> None:
        self.name, self._run = name, run

    @cached_property
    def _encoder(self) -> IdentityEncoder:
        encoder: IdentityEncoder = IDENTITIES.backend(self.name).load(self._run)
        return encoder

    @property
    def same_person(self) -> float:  # type: ignore[override]  # read from the backend once loaded
        return self._encoder.same_person

    def encode_crops(self, crops: Sequence[Image]) -> Array32:
        return self._encoder.encode_crops(crops)


def normalize_rows(rows: Sequence[Array32]) -> Array32:
    """Stack vectors as rows of unit length, (N, D); (0, 0) for none."""
    if not len(rows):
        return np.zeros((0, 0), np.float32)
    table = np.stack(rows)
    return np.asarray(
        table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12), np.float32
    )


def load_encoder(name: str, run: RunOptions) -> IdentityEncoder | None:
    """Return the identity backend of --identity.

    Its weights are located now, and loaded with its first face.

    Returns:
        The encoder; None for "none", and for "auto" where the licence or a missing file leaves
        none.

    Raises:
        UsageError: there is no backend of that name.
        WeightsError: its weights are absent or refused by --licence.
    """
    chosen = IDENTITIES.resolve(name, run)
    if chosen in ("", "none"):
        return None
    try:
        for entry in IDENTITIES.backend(chosen).weights:
            weights_path(entry, run.licence)
    except WeightsError:
        if name == "auto":
            return None
        raise
    return LazyEncoder(chosen, run)
