"""Conversion of five-point landmarks to the six keypoints of a `Face`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

_EAR_DISTANCE = 0.55  # eye to ear, in eye distances, on a frontal face


def six_keypoints(five: npt.ArrayLike) -> Array32:
    """Return the keypoints of a `Face`, (6, 2) pixels, from eyes, nose and mouth corners (5, 2).

    The ears are not in `five`: they are placed on the line through the eyes.
    """
    p = np.asarray(five, np.float32)
    across = p[1] - p[0]
    ears = [p[0] - np.float32(_EAR_DISTANCE) * across, p[1] + np.float32(_EAR_DISTANCE) * across]
    return np.stack([p[0], p[1], p[2], (p[3] + p[4]) / 2, *ears])
