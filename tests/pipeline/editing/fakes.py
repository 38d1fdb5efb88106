"""Fake painter, editor and gender model of edits, and runs with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from thcli import media
from thcli.cli.app import run
from thcli.core.options import EditorOptions, ReadOptions, RunOptions, Template
from thcli.core.types import Array32, Face, Frame, Image, Painted
from thcli.editors.shared.trajectory import Mask, Trajectory

Clip = Callable[..., Path]
SIDE = 96


MIDDLE = slice(80, 110)


class GreenPainter:
    """A painter that subtracts 30 levels of green at strength 1.

    seen: appearance and strength of every crop painted.
    """

    crop_size = SIDE
    template: Template = "square"
    averaged_only = False
    attributes: Sequence[str] = ("rosy_cheeks", "young", "blond", "male")
    seen: list[tuple[float, float]] = []

    def measure_appearance(
        self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32
    ) -> Array32:
        assert regions.shape == (len(crops), 19, SIDE // 2, SIDE // 2) and np.allclose(
            regions.sum(1), 1, atol=0.01
        )
        assert all(face.mesh is not None for face in faces)
        return np.array([[float(crop.mean())] for crop in crops], np.float32)

    def prepare(self, appearance: Array32, strengths: Mapping[str, float]) -> tuple[float, float]:
        (strength,) = strengths.values()
        return float(appearance[0]), strength

    def paint(
        self,
        crops: Sequence[Image],
        faces: Sequence[Face],
        regions: Array32,
        prepared: tuple[float, float],
    ) -> list[Painted]:
        strength = prepared[1]
        GreenPainter.seen += [prepared] * len(crops)
        return [
            Painted(np.clip(crop - np.array([0, 30 * strength, 0]), 0, 255).astype(np.uint8))
            for crop in crops
        ]


def interrupt_paint(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Interrupt an edit by `GreenPainter` as Ctrl-C does, after a number of calls."""
    original, calls = GreenPainter.paint, []

    def interrupted(*args: Any) -> list[Painted]:
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(GreenPainter, "paint", interrupted)


class BrightnessEditor:
    """An editor whose identity is the mean brightness of a crop, and whose latent is the rest.

    used: identities of all calls of `invert`.
    """

    crop_size = SIDE
    template: Template = "ffhq"
    fingerprint = "0123456789abcdef"
    part_lengths: Sequence[int] = (2,)
    used: list[Array32] = []

    def encode(self, crops: Sequence[Image], faces: Sequence[Face]) -> tuple[Array32, Array32]:
        who = np.array([[1.0, crop.mean() / 1000] for crop in crops], np.float32)
        return who, np.array([face.box[:2] for face in faces], np.float32)

    def move(
        self, crops: Sequence[Image], landmarks: Array32, target: Array32
    ) -> tuple[list[Image], Array32]:
        return list(crops), landmarks

    def invert(self, crops: Sequence[Image], identity: Array32, landmarks: Array32) -> Array32:
        assert landmarks.shape == (len(crops), 2)
        BrightnessEditor.used.append(identity)
        return np.stack(crops).astype(np.float32) - np.float32(100 * identity[1])

    def decode(self, latents: Array32, identity: Array32, landmarks: Array32) -> list[Image]:
        return [
            np.clip(rest + 100 * identity[1] + 3, 0, 255).astype(np.uint8) for rest in latents
        ]  # 3: reconstruction error

    def trajectory(self, crop: Image, face: Face, mask: Mask | None, steps: int) -> Trajectory:
        raise AssertionError("a stored step is not learnt")


class GenderModel:
    """A text-image model that classifies every image as a man, or as a woman."""

    name = "teller"
    man = True

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0] if text == "a man" else [0.0, 1.0] for text in texts])

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        assert images.shape[1] == 3 and 0 <= float(images.min()) <= float(images.max()) <= 1
        return torch.tensor([[1.0, 0.0] if self.man else [0.0, 1.0]])


def load_gender_model(run: RunOptions) -> GenderModel:
    return GenderModel()


def load_painter(run: RunOptions) -> GreenPainter:
    GreenPainter.seen = []
    return GreenPainter()


def load_editor(run: RunOptions, options: EditorOptions | None = None) -> BrightnessEditor:
    BrightnessEditor.used = []
    return BrightnessEditor()


def read_frames(path: Path) -> list[Frame]:
    with media.read(path, ReadOptions()) as frames:
        return list(frames)


def loss_of_green(made: Frame, own: Frame) -> float:
    """Return the mean loss of green in the middle of the face, in levels."""
    return float(
        (own.pixels[MIDDLE, MIDDLE, 1].astype(int) - made.pixels[MIDDLE, MIDDLE, 1]).mean()
    )


def run_edit(clip: Path, out: Path, *words: str) -> int:
    """Run an edit with the fake painter, by default of blush, and return the exit code."""
    lossless = () if out.suffix == ".png" else ("--codec", "ffv1")
    argv = ["edit", str(clip), "-o", str(out), "-q", *lossless, "--engine", "blusher"]
    return run([*argv, *(words if "--attr" in words else ("--attr", "blush", *words))])
