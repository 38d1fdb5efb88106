"""Background replacement (--background)."""

from __future__ import annotations

import os
from contextlib import ExitStack
from fractions import Fraction
from typing import Self

import cv2
import numpy as np

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.imaging import lay_over, scale_to_cover, to_uint8
from thcli.core.options import ReadOptions
from thcli.core.types import Image
from thcli.faces.compositing.person_matte import PersonMatte, soft_alpha
from thcli.pipeline.render.sync import StreamSynchroniser

KEEP = "keep"


class Background:
    """A colour, image or video behind the person. A context manager, for one thread.

    A video holds its last frame.
    """

    def __init__(
        self,
        background: str,
        size: tuple[int, int],
        matte: PersonMatte | None,
        read: ReadOptions,
    ) -> None:
        """Load a background.

        Args:
            background: 'keep' (images pass unchanged), a colour such as '#00ff00' or 'green', or a
                file.
            size: (width, height) of the images in pixels.
            matte: segments the person; None with 'keep'.
            read: largest size of the file; its range is not used.

        Raises:
            UsageError: `background` is neither.
        """
        self._stack = ExitStack()
        self._size = size
        self._image: Image | None = None
        self._video: StreamSynchroniser | None = None
        self._matte = matte
        if matte is None:
            return
        if not _is_file(background):
            self._image = np.full((size[1], size[0], 3), _parse_colour(background), np.uint8)
        elif media.probe(background, read).kind == "image":
            self._image = scale_to_cover(media.read_image(background, options=read), size)
        else:
            self._video = StreamSynchroniser(
                self._stack.enter_context(media.read(background, read.whole, tone_mapped=True))
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def replace(self, image: Image, seconds: Fraction, opaque: Image | None = None) -> Image:
        """Composite the person of an image (H, W, 3) uint8 over the background.

        Args:
            image: rendered.
            seconds: time since the first frame.
            opaque: (H, W) uint8 alpha of the person, whose image is premultiplied; None segments
                the person of a whole picture.
        """
        if self._matte is None:
            return image
        if opaque is not None:
            return lay_person(image, opaque, self._image_at(seconds))
        alpha = soft_alpha(image, self._matte.probability(image))
        background = self._image_at(seconds)
        return np.asarray(cv2.blendLinear(image, background, alpha, 1 - alpha), np.uint8)

    def _image_at(self, seconds: Fraction) -> Image:
        if self._image is not None or self._video is None:
            return np.asarray(self._image)
        frame = self._video.frame_at(seconds)
        if frame is None:
            return np.zeros((*self._size[::-1], 3), np.uint8)
        return scale_to_cover(to_uint8(frame.pixels), self._size)


def lay_person(person: Image, opaque: Image, background: Image) -> Image:
    """Lay a person (H, W, 3) uint8, premultiplied by its alpha (H, W), over a background.

    No colour is brighter than its alpha allows: what a refiner adds beside the person is left out.
    """
    share = cv2.cvtColor(opaque, cv2.COLOR_GRAY2RGB)
    return lay_over(np.asarray(cv2.min(person, share), np.uint8), opaque, background)


def check_background(background: str) -> None:
    """Raise UsageError for a --background that is neither 'keep', a colour nor a file."""
    if background != KEEP and not _is_file(background):
        _parse_colour(background)


def _is_file(background: str) -> bool:
    return os.path.exists(background)  # noqa: PTH110  # Path.exists raises for a name too long


def _parse_colour(text: str) -> tuple[int, int, int]:
    try:
        return media.parse_background(text)
    except UsageError as exc:
        raise UsageError(
            f"--background {text!r} is neither a colour nor a file.",
            "Give a colour such as '#00ff00', an image or a video.",
        ) from exc
