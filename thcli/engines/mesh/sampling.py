"""The OpenCV calls that the renderer lives on, typed: look up, blur, resize. They release the GIL."""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

Pixels = TypeVar("Pixels", bound=npt.NDArray[Any])
EXTEND, REFLECT = cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101


def look_up(picture: Pixels, places: Array32, border: int = EXTEND) -> Pixels:
    """The picture at places (h, w, 2), x and y in pixels, bilinear: (h, w, ...) of the picture's type."""
    return cv2.remap(picture, places, None, cv2.INTER_LINEAR, borderMode=border)  # type: ignore[call-overload, no-any-return]  # the stub does not know that the second map may be absent


def mean(values: Pixels, size: int) -> Pixels:
    """Box mean over size x size, the border repeated."""
    return cv2.blur(values, (size, size), borderType=EXTEND)  # type: ignore[return-value]  # the stub forgets the type


def resized(values: Pixels, size: tuple[int, int], *, shrink: bool = False) -> Pixels:
    """Bilinear, or by area when `shrink`. size: (width, height)."""
    how = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    return cv2.resize(values, size, interpolation=how)  # type: ignore[return-value]  # the stub forgets the type


def polygon(points: npt.NDArray[np.floating[Any]], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Which pixels of a (width, height) picture lie in the polygon (N, 2)."""
    out = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(out, [np.rint(points * 16).astype(np.int32)], (1,), cv2.LINE_8, 4)
    return out > 0
