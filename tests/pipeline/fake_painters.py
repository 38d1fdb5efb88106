"""Fake painter without an appearance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from thcli.core.options import Template
from thcli.core.types import Array32, Face, Image, Painted


class DarkeningPainter:
    """A painter that halves the brightness of a crop."""

    crop_size = 64
    template: Template = "square"
    averaged_only = False
    attributes: Sequence[str] = ("rosy_cheeks",)

    def measure_appearance(
        self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32
    ) -> Array32:
        return np.zeros((len(crops), 1), np.float32)

    def prepare(self, appearance: Array32, strengths: Mapping[str, float]) -> Array32:
        return appearance

    def paint(
        self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32, prepared: Array32
    ) -> list[Painted]:
        return [Painted(self.change(crop)) for crop in crops]

    def change(self, crop: Image) -> Image:
        """Change a crop (H, W, 3)."""
        return np.asarray(crop // 2, np.uint8)
