"""Frames that repeat an earlier one: what is painted on a face rests with its pixels."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import cv2
import numpy as np

from thcli.core.types import Array32, Face
from thcli.faces.crops.crop import Pixels

# Shares of the contrast (standard deviation) of a face. Mean difference: codecs leave .002 to .004
# in repeats, slow faces differ by .015. Most of a block: repeats .06, lips or lids .1 and more.
_SAME, _BLOCK = 0.005, 0.08
_BLOCKS = 16  # along each side of a face, of four compared pixels at least
_EVERY = 2  # pixels between the compared ones


class RepeatedFrames:
    """Marks of frames that repeat an earlier one, in the box of a face; added in order.

    The first of a run is what all of it are compared with, so that slow motion adds up.
    """

    def __init__(self) -> None:
        self._flags = array("b")
        self._held: tuple[Pixels, int] | None = None

    def add(self, pixels: Pixels, face: Face | None, scene: int) -> None:
        """Add the next frame.

        Args:
            pixels: (H, W, 3) uint8 or uint16.
            face: in its pixels, None where it was not detected.
            scene: number of the scene; a frame repeats none of another.
        """
        held, same = self._held, False
        if face is not None and held is not None and held[1] == scene:
            same = _is_same(_pick(held[0], face), _pick(pixels, face))
        if not same:
            self._held = None if face is None else (pixels, scene)
        self._flags.append(same)

    def __iter__(self) -> Iterator[bool]:
        """Yield for each frame whether it repeats the last one that does not."""
        return map(bool, self._flags)


def _pick(pixels: Pixels, face: Face) -> Array32:
    """Return the compared pixels (H', W', 3) of a face."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = np.rint(face.box).astype(int)
    rows = slice(max(y0, 0), min(y1, height), _EVERY)
    return pixels[rows, max(x0, 0) : min(x1, width) : _EVERY].astype(np.float32)


def _is_same(held: Array32, now: Array32) -> bool:
    """Tell whether pixels (H, W, 3) of a face show no motion, whatever their brightness."""
    if not now.size:
        return False
    contrast = float(held.mean(-1).std())
    change = np.abs(now - held).mean(-1)
    if float(change.mean()) > _SAME * contrast:
        return False
    columns, rows = (int(np.clip(side // 4, 1, _BLOCKS)) for side in change.shape[::-1])
    blocks = cv2.resize(change, (columns, rows), interpolation=cv2.INTER_AREA)
    return float(blocks.max()) <= _BLOCK * contrast
