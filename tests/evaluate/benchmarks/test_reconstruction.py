"""Tests of an editor's reconstruction, with a fake editor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.face_clip import write_face_clip
from thcli.core.options import EditOptions, RunOptions, Template
from thcli.core.types import Array32, Face, Image
from thcli.editors.backends import EDITORS
from thcli.evaluate.benchmarks.reconstruction import reconstruction
from thcli.weights.backend import Backend


class ExactEditor:
    """An editor whose noise map is the whole crop, as a difference to grey."""

    crop_size = 64
    template: Template = "ffhq"

    def encode(self, crops: Sequence[Image], faces: Sequence[Face]) -> tuple[Array32, Array32]:
        return np.ones((len(crops), 2), np.float32), np.zeros((len(crops), 2), np.float32)

    def move(
        self, crops: Sequence[Image], landmarks: Array32, target: Array32
    ) -> tuple[list[Image], Array32]:
        return list(crops), landmarks

    def invert(self, crops: Sequence[Image], identity: Array32, landmarks: Array32) -> Array32:
        return np.stack(crops).astype(np.float32) - 128

    def decode(self, latents: Array32, identity: Array32, landmarks: Array32) -> list[Image]:
        return list((latents + 128).astype(np.uint8))


def load(run: RunOptions, options: object) -> ExactEditor:
    return ExactEditor()


def test_what_the_noise_map_carries_shows_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EDITORS.rows, "exact", Backend(f"{__name__}:load", "a fake"))
    write_face_clip(tmp_path / "a.mp4", 2)
    options = EditOptions(run=RunOptions(device="cpu"))
    found = reconstruction(tmp_path / "a.mp4", "exact", options)
    assert (found.frames, found.ssim, found.mse) == (2, 1, 0)
    assert 0 < found.ssim_without_noise < 0.8
