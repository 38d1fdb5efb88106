"""Any frame of any of many small clips, without loading them: a seek to the key frame before it and a short decode."""

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
from thcli.media.failures import unreadable
from thcli.media.orientation import turns, upright
from thcli.media.reading.container import need_picture, opened

OPEN = 16  # clips kept open


class Clip:
    """One video, open. Raises MediaError when it cannot be read or has no frames."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = ExitStack()
        try:
            self.info = media.probe(path)
            if self.info.kind != "video":
                raise MediaError(
                    f"{path} is not a video.", "Make clips with: thcli prepare VIDEOS -o DATASET"
                )
            self._container = self._stack.enter_context(opened(path))
            self._stream = need_picture(self._container, path)
            self._stream.thread_count = 1  # small pictures: threads cost more than they bring
            self._to_rgb = ToRGB(self.info.colour)
            self.stamps = self._stamps()
        except BaseException:
            self._stack.close()
            raise

    def close(self) -> None:
        self._stack.close()

    def __len__(self) -> int:
        return len(self.stamps)

    def _stamps(self) -> npt.NDArray[np.int64]:
        """The time stamps of all frames, read from the packets alone."""
        try:
            found = sorted(
                p.pts for p in self._container.demux(self._stream) if p.pts is not None and p.size
            )
        except (av.FFmpegError, OSError) as exc:
            raise unreadable(self.path, exc) from exc
        if not found:
            raise MediaError(f"{self.path} has no frames.", "Remove it from the dataset.")
        return np.array(found, np.int64)

    def frame(self, index: int) -> Image:
        """(H, W, 3) RGB uint8, upright. Raises MediaError when it cannot be decoded."""
        wanted, info = int(self.stamps[index]), self.info
        coded = info.size[::-1] if turns(info.orientation) else info.size
        try:
            self._container.seek(wanted, stream=self._stream, backward=True)
            for picture in self._container.decode(self._stream):
                if picture.pts is not None and picture.pts >= wanted:
                    same = (picture.width, picture.height) == coded
                    pixels = upright(
                        self._to_rgb(picture, None if same else coded), info.orientation
                    )
                    return to_uint8(pixels)
        except (av.FFmpegError, OSError) as exc:
            raise unreadable(self.path, exc) from exc
        raise MediaError(
            f"{self.path}: frame {index} cannot be decoded.", "Make the clip again, or remove it."
        )


class Shelf:
    """Clips by path, the ones used last kept open. Not safe to share between threads."""

    def __init__(self, most: int = OPEN) -> None:
        self._open: OrderedDict[Path, Clip] = OrderedDict()
        self._most = most

    def clip(self, path: Path) -> Clip:
        """Opens it, closing the one that was not used for longest when there are too many."""
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        clip = self._open[path] = Clip(path)
        while len(self._open) > self._most:
            self._open.popitem(last=False)[1].close()
        return clip

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()


def squared(picture: Image, size: int) -> npt.NDArray[np.float32]:
    """The middle square of a picture as (size, size, 3) float32 in 0..1."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    part = picture[top : top + side, left : left + side]
    if side != size:
        part = np.asarray(
            cv2.resize(
                part, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
            ),
            np.uint8,
        )
    return part.astype(np.float32) / np.float32(255)
