"""Base of refiners that see the coarse frames alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thcli.core.types import Array32, Face, Image


class Sourceless:
    """Refiner without conditions: no source, no attributes, no mask of its own."""

    mask: Image | None = None

    def encode_source(self, image: Image, face: Face) -> None:
        """Return nothing: the source is not encoded."""

    def extract_attributes(self, images: Sequence[Image], faces: Sequence[Face | None]) -> Array32:
        """Return no attributes, (N, 0) float32."""
        return np.zeros((len(images), 0), np.float32)
