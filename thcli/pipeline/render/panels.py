"""Labelled images side by side, for `compare` and contact sheets."""

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

GREY = (24, 24, 24)  # behind and between the images
WHITE = (235, 235, 235)


def letterbox(image: Image, size: tuple[int, int], shape: Fraction | None = None) -> Image:
    """Scale an image into `size` with its aspect ratio kept and grey bars.

    Args:
        image: (H, W, 3) uint8.
        size: (width, height) in pixels.
        shape: displayed width over height; None: of the pixels. It differs for anamorphic video.
    """
    width, height = size
    aspect = shape or Fraction(image.shape[1], image.shape[0])
    inner = (min(width, round(height * aspect)), min(height, round(width / aspect)))
    inner = (max(inner[0], 1), max(inner[1], 1))
    interpolation = cv2.INTER_AREA if inner[1] < image.shape[0] else cv2.INTER_LINEAR
    scaled = image
    if inner != image.shape[1::-1]:
        scaled = np.asarray(cv2.resize(image, inner, interpolation=interpolation), np.uint8)
    if inner == size:
        return np.asarray(scaled, np.uint8)
    canvas = np.full((height, width, 3), GREY, np.uint8)
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    canvas[y : y + inner[1], x : x + inner[0]] = scaled
    return canvas


@lru_cache(maxsize=256)
def render_label(text: str, max_width: int, size: int = 15) -> Image:
    """Render light text on dark grey.

    Args:
        text: shortened with an ellipsis when it is too wide.
        max_width: pixels.
        size: height of the letters in pixels.

    Returns:
        (H, W, 3) uint8, read-only.
    """
    font = ImageFont.load_default(size)
    pen = ImageDraw.Draw(Pillow.new("RGB", (1, 1)))
    label = " ".join(text.split()) or " "  # of a file name that has line breaks
    while len(label) > 1 and pen.textlength(label, font) + 6 > max_width:
        label = label.removesuffix("…")[:-1] + "…"
    _, top, right, bottom = (round(v) for v in pen.textbbox((0, 0), label, font))
    canvas = Pillow.new("RGB", (max(min(right + 6, max_width), 1), bottom - top + 6), GREY)
    ImageDraw.Draw(canvas).text((3, 3 - top), label, fill=WHITE, font=font)
    patch = np.asarray(canvas, np.uint8)
    patch.flags.writeable = False
    return patch


def put_label(image: Image, text: str, at: tuple[int, int] = (3, 3), size: int = 15) -> None:
    """Draw a label into an image in place, cut off at the edges.

    Args:
        image: (H, W, 3) uint8.
        text: of the label.
        at: (x, y) of its upper left corner in pixels.
        size: height of the letters in pixels.
    """
    x, y = at
    room = image[y:, x:]
    patch = render_label(text, max(room.shape[1], 1), size)
    height, width = min(patch.shape[0], room.shape[0]), min(patch.shape[1], room.shape[1])
    room[:height, :width] = patch[:height, :width]


@dataclass(frozen=True, slots=True)
class PanelLayout:
    """A row of cells of one height.

    shapes: displayed width over height of each input.
    widths: of the cells in pixels, even.
    height: in pixels, even.
    """

    shapes: tuple[Fraction, ...]
    widths: tuple[int, ...]
    height: int

    @classmethod
    def of(cls, shapes: Sequence[Fraction], height: int, max_width: int) -> PanelLayout:
        """Lay out cells of `height` pixels, less when the row would exceed `max_width`."""
        total = sum(shapes, Fraction(0))
        height = max(2 * round(min(Fraction(height), max_width / total) / 2), 2)
        widths = tuple(max(2 * round(height * shape / 2), 2) for shape in shapes)
        return cls(tuple(shapes), widths, height)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the row in pixels."""
        return sum(self.widths), self.height

    def render(self, images: Sequence[Image | None], labels: Sequence[str]) -> Image:
        """Render one row (height, width, 3) uint8.

        Args:
            images: one per cell; None leaves it grey.
            labels: one per cell, may be empty.
        """
        canvas = np.full((self.height, sum(self.widths), 3), GREY, np.uint8)
        left = 0
        for image, label, width, shape in zip(
            images, labels, self.widths, self.shapes, strict=True
        ):
            cell = canvas[:, left : left + width]
            if image is not None:
                cell[:] = letterbox(image, (width, self.height), shape)
            if label:
                put_label(cell, label, size=max(12, self.height // 24))
            left += width
        return canvas
