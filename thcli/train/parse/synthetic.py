"""Synthetic faces made of ellipses with their labels, for smoke runs and tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from thcli.core.types import Image
from thcli.faces.parsing import PALETTE, class_number

SIDE = 128
COUNT = 24


class _Canvas:
    """An image and its labels, drawn together."""

    def __init__(self, rng: np.random.Generator, side: int) -> None:
        self._draw, self._k = rng, side / 100
        self.image = np.asarray(
            cv2.resize(rng.integers(0, 256, (3, 3, 3)).astype(np.uint8), (side, side)), np.uint8
        )
        self.labels = np.zeros((side, side), np.uint8)

    def ellipse(
        self, name: str, x: float, y: float, across: float, down: float, colour: npt.ArrayLike
    ) -> None:
        """Draw a region. x, y: centre; across, down: half axes; all in hundredths of the side."""
        centre, axes = (
            (round(x * self._k), round(y * self._k)),
            (max(round(across * self._k), 1), max(round(down * self._k), 1)),
        )
        cv2.ellipse(self.image, centre, axes, 0, 0, 360, [float(c) for c in np.asarray(colour)], -1)
        cv2.ellipse(self.labels, centre, axes, 0, 0, 360, class_number(name), -1)


def render_pair(rng: np.random.Generator, side: int = SIDE) -> tuple[Image, npt.NDArray[np.uint8]]:
    """Render a synthetic aligned face: (side, side, 3) RGB and (side, side) class numbers."""
    canvas = _Canvas(rng, side)
    skin = np.array([225, 180, 150]) * rng.uniform(0.35, 1.1)
    hair, cloth = rng.uniform(0, 120, 3), rng.uniform(0, 255, 3)
    x = 50 + rng.normal(0, 2)
    canvas.ellipse("hair", x, 45, rng.uniform(33, 40), rng.uniform(40, 52), hair)
    canvas.ellipse("neck", x, 90, 14, 20, skin * 0.85)
    canvas.ellipse("cloth", x, 106, 40, 13, cloth)
    for name, way in (("r_ear", -1), ("l_ear", 1)):
        canvas.ellipse(name, x + way * 29, 54, 4, 8, skin * 0.95)
    canvas.ellipse("skin", x, 55, 28, 35, skin)
    for eye, brow, way in (("r_eye", "r_brow", -1), ("l_eye", "l_brow", 1)):
        canvas.ellipse(brow, x + way * 12, 40 + rng.normal(0, 1), 7, 1.6, hair * 0.8)
        canvas.ellipse(eye, x + way * 12, 48, 5, 2.5, (235, 235, 235))
    canvas.ellipse("nose", x, 58, 5, 9, skin * 0.93)
    opened = max(rng.normal(1, 2), 0.0)
    canvas.ellipse("u_lip", x, 73 - opened, 11, 2.5, (190, 70, 80))
    canvas.ellipse("l_lip", x, 76 + opened, 10, 3, (190, 70, 80))
    if opened > 1:
        canvas.ellipse("mouth", x, 74.5, 8, opened, (60, 20, 25))
    noise = rng.normal(0, 4, canvas.image.shape)
    return np.clip(canvas.image + noise, 0, 255).astype(np.uint8), canvas.labels


def write_synthetic_pairs(folder: Path, count: int = COUNT, side: int = SIDE) -> None:
    """Write a dataset for `evaluate.datasets.parse_pairs.pairs`; always the same one."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image, labels = render_pair(np.random.default_rng([index, 7]), side)
        Pillow.fromarray(image).save(folder / "images" / f"drawn_{index:03d}.png")
        indexed = Pillow.fromarray(labels, "L")
        indexed.putpalette(PALETTE.tobytes())
        indexed.save(folder / "masks" / f"drawn_{index:03d}.png")
