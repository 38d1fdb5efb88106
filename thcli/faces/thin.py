"""Fast reduction of large pictures: every n-th pixel first, averaging only at the end."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]


def thinned(picture: Pixels, step: int) -> Pixels:
    """Every step-th pixel of every step-th row, beginning with the first; what is left of a full step at the ends is dropped.

    The same as picture[::step, ::step], several times as fast.
    """
    if step <= 1:
        return picture
    height, width = picture.shape[0] // step, picture.shape[1] // step
    whole = picture[: height * step, : width * step]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_NEAREST))
