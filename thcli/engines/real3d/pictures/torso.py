"""Torso image: the source without its head, in-painted upwards where the head stood.

Source: REAL3D_VIDEO section 9; the vertical in-painting is that of AD-NeRF's preprocessing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Image
from thcli.engines.real3d.pictures.segments import BODY_SKIN, CLOTHES, HEAD, is_segment

CLOTHES_ROWS, NECK_ROWS = 9, 53  # pixels of a 512-pixel image
NECK_OFFSET = 4  # rows below the top of the neck that its colour is taken from
NECK_DILATION = 3  # pixels upwards and downwards
FADE = 0.98  # factor of the colour per row
BLUR = 5  # pixels, side of the Gaussian filter over the in-painted neck

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Columns:
    """Tops of columns below the head.

    x: (N,) columns.  y: (N,) first row of the in-painting.  rows: number of rows.
    """

    x: npt.NDArray[np.intp]
    y: npt.NDArray[np.intp]
    rows: int

    def paint(self, out: Image, image: Image) -> Bools:
        """Continue the colour of each top upwards, darker by row; return where, (H, W)."""
        painted = np.zeros(out.shape[:2], np.bool_)
        colours = image[self.y, self.x].astype(np.float32)
        for step in range(self.rows):
            inside = self.y - step >= 0
            at = (self.y[inside] - step, self.x[inside])
            out[at] = (colours[inside] * np.float32(FADE**step)).astype(np.uint8)
            painted[at] = True
        return painted


def torso_image(image: Image, segments: Image) -> Image:
    """Return the torso alone over black.

    Args:
        image: (H, W, 3) uint8.
        segments: (H, W) uint8, from `segments.segment_source`.

    Returns:
        (H, W, 3) uint8; black everywhere in an image without a torso.
    """
    head = is_segment(segments, HEAD)
    clothes = segments == CLOTHES
    kernel = np.ones((2 * NECK_DILATION + 1, 1), np.uint8)
    neck = cv2.dilate((segments == BODY_SKIN).astype(np.uint8), kernel).astype(np.bool_)
    out = image.copy()
    out[head] = 0
    shown = clothes | neck
    shown |= _columns(clothes, head, CLOTHES_ROWS, 0).paint(out, image)
    filled = _columns(neck, head, NECK_ROWS, NECK_OFFSET).paint(out, image)
    blurred = cv2.GaussianBlur(out, (BLUR, BLUR), 0)
    out[filled] = blurred[filled]
    out[~(shown | filled)] = 0
    return out


def _columns(part: Bools, head: Bools, rows: int, offset: int) -> _Columns:
    """Find the columns of a part whose top lies directly under the head.

    offset: rows below the top at which the in-painting begins, within the part.
    """
    x = np.flatnonzero(part.any(0))
    top = part[:, x].argmax(0)
    under = (top > 0) & head[np.maximum(top - 1, 0), x]
    x, top = x[under], top[under]
    count = np.asarray(part[:, x].sum(0), np.intp)
    return _Columns(x, top + np.minimum(count - 1, offset), rows)
