"""Random access to the frames of many small clips: a seek to a key frame and a short decode."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import ExitStack
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.errors import MediaError
from thcli.core.imaging import to_uint8
from thcli.core.types import Image
from thcli.media.colour import ToRGB
from thcli.media.failures import to_media_error
from thcli.media.orientation import rotate_upright, swaps_sides
from thcli.media.reading.container import open_input, require_video_stream

MAX_OPEN = 16  # clips kept open by a cache


class ClipReader:
    """One open video with random access to its frames.

    Raises:
        MediaError: The file cannot be read or has no frames.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = ExitStack()
        try:
            self.info = media.probe(path)
            if self.info.kind != "video":
                raise MediaError(
                    f"{path} is not a video.", "Make clips with: thcli prepare VIDEOS -o DATASET"
                )
            self._container = self._stack.enter_context(open_input(path))
            self._stream = require_video_stream(self._container, path)
            self._stream.thread_count = 1  # small frames: threads cost more than they save
            self._to_rgb = ToRGB(self.info.colour)
            self.pts = self._read_pts()
        except BaseException:
            self._stack.close()
            raise

    def close(self) -> None:
        self._stack.close()

    def __len__(self) -> int:
        return len(self.pts)

    def _read_pts(self) -> npt.NDArray[np.int64]:
        """Return the time stamps of all frames, read from the packets without decoding."""
        try:
            found = sorted(
                p.pts for p in self._container.demux(self._stream) if p.pts is not None and p.size
            )
        except (av.FFmpegError, OSError) as exc:
            raise to_media_error(self.path, exc) from exc
        if not found:
            raise MediaError(f"{self.path} has no frames.", "Remove it from the dataset.")
        return np.array(found, np.int64)

    def frame(self, index: int) -> Image:
        """Return one frame, (H, W, 3) RGB uint8, upright.

        Raises:
            MediaError: The frame cannot be decoded.
        """
        wanted, info = int(self.pts[index]), self.info
        coded = info.size[::-1] if swaps_sides(info.orientation) else info.size
        try:
            self._container.seek(wanted, stream=self._stream, backward=True)
            for image in self._container.decode(self._stream):
                if image.pts is not None and image.pts >= wanted:
                    same = (image.width, image.height) == coded
                    pixels = rotate_upright(
                        self._to_rgb(image, None if same else coded), info.orientation
                    )
                    return to_uint8(pixels)
        except (av.FFmpegError, OSError) as exc:
            raise to_media_error(self.path, exc) from exc
        raise MediaError(
            f"{self.path}: frame {index} cannot be decoded.", "Create the clip again, or remove it."
        )


class ClipCache:
    """Open clips by path, least recently used closed first. Not safe to share between threads."""

    def __init__(self, most: int = MAX_OPEN) -> None:
        self._open: OrderedDict[Path, ClipReader] = OrderedDict()
        self._most = most

    def clip(self, path: Path) -> ClipReader:
        """Return the open clip; close the least recently used one when there are too many."""
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        clip = self._open[path] = ClipReader(path)
        while len(self._open) > self._most:
            self._open.popitem(last=False)[1].close()
        return clip

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()


def crop_square(image: Image, size: int) -> npt.NDArray[np.float32]:
    """Return the centre square of an image as (size, size, 3) float32 in [0, 1]."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    if side != size:
        interpolation = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
        square = np.asarray(cv2.resize(square, (size, size), interpolation=interpolation), np.uint8)
    return square.astype(np.float32) / np.float32(255)
