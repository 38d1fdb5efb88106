"""Pictures beside each other with labels: the drawing for `compare` and for contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from thcli.core.types import Image

GREY = (24, 24, 24)  # behind and between the pictures
WHITE = (235, 235, 235)


def letterbox(picture: Image, size: tuple[int, int], shape: Fraction | None = None) -> Image:
    """The whole picture in the middle of `size` (width, height), its shape kept, grey around it.

    shape: width over height as shown, where that is not the picture's own (anamorphic pixels).
    """
    width, height = size
    aspect = shape or Fraction(picture.shape[1], picture.shape[0])
    inner = (min(width, round(height * aspect)), min(height, round(width / aspect)))
    inner = (max(inner[0], 1), max(inner[1], 1))
    way = cv2.INTER_AREA if inner[1] < picture.shape[0] else cv2.INTER_LINEAR
    small = (
        picture if inner == picture.shape[1::-1] else cv2.resize(picture, inner, interpolation=way)
    )
    if inner == size:
        return np.asarray(small, np.uint8)
    canvas = np.full((height, width, 3), GREY, np.uint8)
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    canvas[y : y + inner[1], x : x + inner[0]] = small
    return canvas


@lru_cache(maxsize=256)
def label(text: str, room: int, size: int = 15) -> Image:
    """Light text on a dark shade, at most `room` pixels wide (cut off with an ellipsis). size: of the letters, in pixels."""
    font = ImageFont.load_default(size)
    pen = ImageDraw.Draw(Pillow.new("RGB", (1, 1)))
    shown = text or " "
    while len(shown) > 1 and pen.textlength(shown, font) + 6 > room:
        shown = shown.removesuffix("…")[:-1] + "…"
    _, top, right, bottom = (round(v) for v in pen.textbbox((0, 0), shown, font))
    picture = Pillow.new("RGB", (max(min(right + 6, room), 1), bottom - top + 6), GREY)
    ImageDraw.Draw(picture).text((3, 3 - top), shown, fill=WHITE, font=font)
    patch = np.asarray(picture, np.uint8)
    patch.flags.writeable = False
    return patch


def put_label(picture: Image, text: str, at: tuple[int, int] = (3, 3), size: int = 15) -> None:
    """Draws a label into the picture (in place), its upper left corner at (x, y); what lies outside is cut off."""
    x, y = at
    room = picture[y:, x:]
    patch = label(text, max(room.shape[1], 1), size)
    height, width = min(patch.shape[0], room.shape[0]), min(patch.shape[1], room.shape[1])
    room[:height, :width] = patch[:height, :width]


@dataclass(frozen=True, slots=True)
class Layout:
    """Cells of one height in a row. shapes: width over height of each input as shown.  widths: of each cell, even.  height: even."""

    shapes: tuple[Fraction, ...]
    widths: tuple[int, ...]
    height: int

    @classmethod
    def of(cls, shapes: Sequence[Fraction], height: int, widest: int) -> Layout:
        """Cells `height` pixels high, less when the row would be wider than `widest`."""
        total = sum(shapes, Fraction(0))
        height = max(2 * round(min(Fraction(height), widest / total) / 2), 2)
        return cls(
            tuple(shapes), tuple(max(2 * round(height * shape / 2), 2) for shape in shapes), height
        )

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the whole row."""
        return sum(self.widths), self.height

    def draw(self, pictures: Sequence[Image | None], labels: Sequence[str]) -> Image:
        """(height, width, 3): the pictures side by side, each with its label; None leaves its cell grey."""
        canvas = np.full((self.height, sum(self.widths), 3), GREY, np.uint8)
        left = 0
        for picture, text, width, shape in zip(
            pictures, labels, self.widths, self.shapes, strict=True
        ):
            cell = canvas[:, left : left + width]
            if picture is not None:
                cell[:] = letterbox(picture, (width, self.height), shape)
            if text:
                put_label(cell, text, size=max(12, self.height // 24))
            left += width
        return canvas
