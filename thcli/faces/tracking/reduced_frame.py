"""Reduced frame of a video, from which motions of camera and torso are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import to_uint8
from thcli.core.types import Image

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ReducedFrame:
    """A frame, and its brightness in a reduced size.

    Attributes:
        image: (H, W, 3) uint8, the whole frame. Few frames are needed in colour.
        grey: (h, w) uint8.
        factor: reduced pixels per pixel of the frame.
    """

    image: Image
    grey: Grey
    factor: float

    @classmethod
    def of(cls, image: npt.NDArray[Any], long_side: int) -> ReducedFrame:
        """Reduce a frame (H, W, 3) uint8 or uint16 to a long side in pixels, if it has more."""
        full = to_uint8(image)
        height, width = full.shape[:2]
        factor = min(1.0, long_side / max(height, width))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        return cls(full, _reduce(cv2.cvtColor(full, cv2.COLOR_RGB2GRAY), size), factor)

    def colour(self) -> Image:
        """Return the reduced frame in colour, (h, w, 3) uint8."""
        return _reduce(self.image, self.grey.shape[::-1])


def _reduce(pixels: npt.NDArray[Any], size: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
