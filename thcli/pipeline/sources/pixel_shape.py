"""Sizes of anamorphic frames: as they are stored, and as they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np

from thcli.core.imaging import to_uint8
from thcli.core.options import ReadOptions
from thcli.core.types import Frame, Image
from thcli.faces.compositing.paste import add_change
from thcli.media.info import MediaInfo
from thcli.pipeline.job.job import Job


@dataclass(frozen=True, slots=True)
class PixelShape:
    """Sizes (width, height) of the frames of a video.

    stored: of its pixels.
    shown: with square pixels; neither side is shorter than the stored one. Faces are tracked and
        changed at this size, at which they are not squeezed.
    """

    stored: tuple[int, int]
    shown: tuple[int, int]

    def show(self, pixels: Any) -> Image:
        """Return a stored frame (H, W, 3) of any depth as it is shown, in 8 bits."""
        image = to_uint8(pixels)
        if self.stored == self.shown:
            return image
        return np.asarray(cv2.resize(image, self.shown, interpolation=cv2.INTER_CUBIC), np.uint8)

    def add_change(self, pixels: Any, before: Image, after: Image) -> Any:
        """Add the change of a shown frame to the stored one, in the depth of that.

        Pixels that do not change are equal to the frame, bit for bit.

        Args:
            pixels: (H, W, 3) uint8 or uint16, the stored frame.
            before: (H', W', 3), the result of `show`.
            after: (H', W', 3) uint8, the changed image.
        """
        if self.stored == self.shown:
            return add_change(pixels, before, after)
        change = after.astype(np.float32) - before
        own = to_uint8(pixels)
        stored = np.rint(cv2.resize(change, self.stored, interpolation=cv2.INTER_AREA))
        changed = np.clip(own + stored, 0, 255).astype(np.uint8)
        return add_change(pixels, own, changed)


def as_written(
    changed: Iterable[tuple[Frame, Any]], info: MediaInfo, read: ReadOptions, done: int, job: Job
) -> Iterator[tuple[Frame, Any]]:
    """Yield frames with their changed pixels as they are written: at the size of the file.

    Args:
        changed: frames of a video as it is shown, from number `done` on, and their changed pixels
            (H, W, 3).
        info: of the video as it is stored.
        read: how its stored frames are read.
        done: number of the first frame.
        job: opens the video once more where its pixels are not square.
    """
    if info.sar == 1:
        for frame, pixels in changed:
            yield frame, frame.to_signal(pixels)
        return
    stored = islice(job.enter(job.frames(info.path, read)), done, None)
    for (frame, pixels), own in zip(changed, stored, strict=True):
        shape = PixelShape(own.size, frame.size)
        before, after = to_uint8(frame.pixels), to_uint8(pixels)
        yield frame, own.to_signal(shape.add_change(own.pixels, before, after))
