"""Drawn faces with their labels, for trials and tests without a dataset: nobody's picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from thcli.core.types import Image
from thcli.faces.parsing import PALETTE, number

SIDE = 128
COUNT = 24


class _Canvas:
    """A picture and its labels, painted together."""

    def __init__(self, draw: np.random.Generator, side: int) -> None:
        self._draw, self._k = draw, side / 100
        self.picture = np.asarray(
            cv2.resize(draw.integers(0, 256, (3, 3, 3)).astype(np.uint8), (side, side)), np.uint8
        )
        self.labels = np.zeros((side, side), np.uint8)

    def ellipse(
        self, name: str, x: float, y: float, across: float, down: float, colour: npt.ArrayLike
    ) -> None:
        """x, y: the middle; across, down: half axes; all in hundredths of the side."""
        centre, axes = (
            (round(x * self._k), round(y * self._k)),
            (max(round(across * self._k), 1), max(round(down * self._k), 1)),
        )
        cv2.ellipse(
            self.picture, centre, axes, 0, 0, 360, [float(c) for c in np.asarray(colour)], -1
        )
        cv2.ellipse(self.labels, centre, axes, 0, 0, 360, number(name), -1)


def drawn_pair(draw: np.random.Generator, side: int = SIDE) -> tuple[Image, npt.NDArray[np.uint8]]:
    """A face of ellipses in the place of an aligned one: (side, side, 3) RGB and (side, side) class numbers."""
    canvas = _Canvas(draw, side)
    skin = np.array([225, 180, 150]) * draw.uniform(0.35, 1.1)
    hair, cloth = draw.uniform(0, 120, 3), draw.uniform(0, 255, 3)
    x = 50 + draw.normal(0, 2)
    canvas.ellipse("hair", x, 45, draw.uniform(33, 40), draw.uniform(40, 52), hair)
    canvas.ellipse("neck", x, 90, 14, 20, skin * 0.85)
    canvas.ellipse("cloth", x, 106, 40, 13, cloth)
    for name, way in (("r_ear", -1), ("l_ear", 1)):
        canvas.ellipse(name, x + way * 29, 54, 4, 8, skin * 0.95)
    canvas.ellipse("skin", x, 55, 28, 35, skin)
    for eye, brow, way in (("r_eye", "r_brow", -1), ("l_eye", "l_brow", 1)):
        canvas.ellipse(brow, x + way * 12, 40 + draw.normal(0, 1), 7, 1.6, hair * 0.8)
        canvas.ellipse(eye, x + way * 12, 48, 5, 2.5, (235, 235, 235))
    canvas.ellipse("nose", x, 58, 5, 9, skin * 0.93)
    opened = max(draw.normal(1, 2), 0.0)
    canvas.ellipse("u_lip", x, 73 - opened, 11, 2.5, (190, 70, 80))
    canvas.ellipse("l_lip", x, 76 + opened, 10, 3, (190, 70, 80))
    if opened > 1:
        canvas.ellipse("mouth", x, 74.5, 8, opened, (60, 20, 25))
    noise = draw.normal(0, 4, canvas.picture.shape)
    return np.clip(canvas.picture + noise, 0, 255).astype(np.uint8), canvas.labels


def drawn_pairs(folder: Path, count: int = COUNT, side: int = SIDE) -> None:
    """Writes a dataset as `evaluate.datasets.parse_pairs.pairs` reads it; always the same one."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for place in range(count):
        picture, labels = drawn_pair(np.random.default_rng([place, 7]), side)
        Pillow.fromarray(picture).save(folder / "images" / f"drawn_{place:03d}.png")
        indexed = Pillow.fromarray(labels, "L")
        indexed.putpalette(PALETTE.tobytes())
        indexed.save(folder / "masks" / f"drawn_{place:03d}.png")
