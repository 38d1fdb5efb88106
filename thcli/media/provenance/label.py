"""Visible label of synthetic content, in the lower left corner of every frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

Pixels = np.ndarray[Any, Any]

WORDS = ("AI-generated", "AI gen.", "AI")  # the longest that fits is written
_HEIGHT = 0.04  # of the letters, as a share of the frame's short side
_SMALLEST = 10  # pixels; letters below are not readable
_WIDEST = 0.4  # share of the frame's width
_LIGHT, _DARK = 235, 24
_OPACITY = 0.6  # of the dark box


class Label:
    """Label of frames of one size: light letters on a translucent dark box."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Draw the label.

        Args:
            size: (width, height) of the frames in pixels.
        """
        width, height = size
        letters = max(_SMALLEST, round(min(size) * _HEIGHT))
        font = ImageFont.load_default(letters)
        pad = max(2, letters // 3)
        boxes = {text: font.getbbox(text) for text in WORDS}
        text = next(
            (t for t in WORDS if boxes[t][2] - boxes[t][0] + 2 * pad <= width * _WIDEST), WORDS[-1]
        )
        left, top, right, bottom = (round(v) for v in boxes[text])
        drawn = Pillow.new("L", (right - left + 2 * pad, bottom - top + 2 * pad))
        ImageDraw.Draw(drawn).text((pad - left, pad - top), text, fill=255, font=font)
        ink = np.asarray(drawn, np.float32)[:height, :width, None] / 255
        margin = min(letters // 2, width - ink.shape[1], height - ink.shape[0])
        bottom_row = height - margin
        self._rows = slice(bottom_row - ink.shape[0], bottom_row)
        self._columns = slice(margin, margin + ink.shape[1])
        self._opacity = ink + (1 - ink) * _OPACITY
        self._light = ink * _LIGHT + (1 - ink) * _OPACITY * _DARK

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 of the label in pixels."""
        return self._columns.start, self._rows.start, self._columns.stop, self._rows.stop

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return a labelled copy of a frame (H, W, 3), uint8 or uint16."""
        out = pixels.copy()
        level = np.float32(np.iinfo(pixels.dtype).max / 255)
        area: npt.NDArray[np.float32] = out[self._rows, self._columns].astype(np.float32)
        mixed = area * (1 - self._opacity) + self._light * level
        out[self._rows, self._columns] = np.rint(mixed).astype(pixels.dtype)
        return out
