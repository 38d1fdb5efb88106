"""Frames that repeat the one before: what is painted on a face rests with its pixels."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np

from thcli.core.types import Face
from thcli.faces.crops.crop import Pixels

_SAME = 0.25  # levels of 255, mean difference; codecs leave .1 to .2, noise alone differs more
_EVERY = 2  # pixels between the compared ones


class RepeatedFrames:
    """Marks of frames that repeat the one before, in the box of a face; added in order."""

    def __init__(self) -> None:
        self._flags = array("b")
        self._last: tuple[Pixels, int] | None = None

    def add(self, pixels: Pixels, face: Face | None, scene: int) -> None:
        """Add the next frame.

        Args:
            pixels: (H, W, 3) uint8 or uint16.
            face: in its pixels, None where it was not detected.
            scene: number of the scene; a frame repeats none of another.
        """
        last, self._last = self._last, None if face is None else (pixels, scene)
        same = False
        if face is not None and last is not None and last[1] == scene:
            height, width = pixels.shape[:2]
            x0, y0, x1, y1 = np.rint(face.box).astype(int)
            rows = slice(max(y0, 0), min(y1, height), _EVERY)
            columns = slice(max(x0, 0), min(x1, width), _EVERY)
            both = (image[rows, columns].astype(np.float32) for image in (last[0], pixels))
            before, now = both
            most = np.iinfo(pixels.dtype).max
            same = bool(now.size) and float(np.abs(now - before).mean()) * 255 / most < _SAME
        self._flags.append(same)

    def __iter__(self) -> Iterator[bool]:
        """Yield for each frame whether it repeats the one before."""
        return map(bool, self._flags)
