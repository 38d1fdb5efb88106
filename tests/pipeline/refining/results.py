"""Refiners that stand in for real ones, and what they change in a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thcli import media
from thcli.core.types import Image
from thcli.pipeline.backends import STAGES
from thcli.weights.backend import Backend

KEEP = ("--codec", "ffv1", "-q")


def install_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the refiner blush the default, and add a tiny FADM and an identity by colour."""
    for stage, name, maker in (
        ("refiner", "blush", "RedRefiner"),
        ("refiner", "tiny", "tiny_fadm"),
        ("identity", "colours", "ColourIdentity"),
    ):
        monkeypatch.setitem(
            STAGES[stage].rows,
            name,
            Backend(f"tests.pipeline.fake_refiners:{maker}", "a stand-in", reads=("refine",)),
        )
    monkeypatch.setitem(STAGES["refiner"].defaults, "any", "blush")


def read_images(path: Path) -> list[Image]:
    with media.read(path) as frames:
        return [np.asarray(frame.pixels, np.uint8) for frame in frames]


def added_red(path: Path, other: Path) -> list[np.ndarray[Any, Any]]:
    """Return the red that each frame gained, (H, W) levels; check that green and blue stay."""
    out = []
    for made, old in zip(read_images(path), read_images(other), strict=True):
        change = made.astype(int) - old
        assert np.abs(change[..., 1:]).mean() < 0.5
        out.append(change[..., 0])
    return out


def measure_detail(image: np.ndarray[Any, Any]) -> float:
    """Return the mean difference of neighbouring pixels in the face."""
    return float(np.abs(np.diff(image[60:120, 70:120], axis=1)).mean())
