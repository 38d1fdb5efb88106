"""--background: another backdrop behind the person."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.imaging import smoothstep, to_uint8
from thcli.core.options import RunOptions
from thcli.core.types import Image
from thcli.faces.compositing import person_matte
from thcli.pipeline.render.sync import InStep

SURE = (0.25, 0.75)  # of the matte net: background below, person above
KEEP = "keep"


class Backdrop:
    """Puts a person before a colour, a picture or a video (which holds its last frame). A context manager; one thread at a time.

    what: 'keep' (every picture stays as it is), a colour such as '#00ff00' or 'green', or a file.  size: (width, height).
    Raises UsageError for what is neither, WeightsError when the matte net is not there.
    """

    def __init__(self, what: str, size: tuple[int, int], run: RunOptions) -> None:
        self._stack = ExitStack()
        self._size = size
        self._still: Image | None = None
        self._moving: InStep | None = None
        self._matte = None if what == KEEP else person_matte.load(run)
        if what == KEEP:
            return
        if not Path(what).exists():
            self._still = np.full((size[1], size[0], 3), _colour(what), np.uint8)
        elif media.probe(what).kind == "image":
            self._still = cover(media.read_image(what), size)
        else:
            self._moving = InStep(self._stack.enter_context(media.read(what)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def apply(self, picture: Image, moment: Fraction) -> Image:
        """The picture, (H, W, 3) uint8, with its person before the backdrop of this moment (seconds since the first frame)."""
        if self._matte is None:
            return picture
        alpha = smoothstep(*SURE, self._matte.probability(picture))
        return np.asarray(cv2.blendLinear(picture, self._back(moment), alpha, 1 - alpha), np.uint8)

    def _back(self, moment: Fraction) -> Image:
        if self._still is not None or self._moving is None:
            return np.asarray(self._still)
        frame = self._moving.at(moment)
        return (
            cover(to_uint8(frame.pixels), self._size)
            if frame is not None
            else np.zeros((*self._size[::-1], 3), np.uint8)
        )


def cover(picture: Image, size: tuple[int, int]) -> Image:
    """A picture scaled to fill `size` (width, height), its middle kept, what stands over cut off."""
    width, height = size
    factor = max(width / picture.shape[1], height / picture.shape[0])
    grown = (
        max(round(picture.shape[1] * factor), width),
        max(round(picture.shape[0] * factor), height),
    )
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(picture, grown, interpolation=how)
    left, top = (grown[0] - width) // 2, (grown[1] - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width], np.uint8)


def _colour(what: str) -> tuple[int, int, int]:
    try:
        return media.parse_background(what)
    except UsageError as exc:
        raise UsageError(
            f"--background {what!r} is neither a colour nor a file.",
            "Give a colour such as '#00ff00', a picture or a video.",
        ) from exc
