"""What a frame's sound says of the face, in twelve numbers: the code that dh-s paints from.

The published model hears through a speech encoder that was trained on a great deal of speech and then frozen. dh-s has sixteen
minutes to learn from, so its code is tied to the face: in training it is what the tracker saw, and a small network (`ear`) learns to
say it from the sound alone. The picture's part then learns a clear rule, and the same code may come from any tracked motion.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.faces.landmarks import topology
from thcli.motion import anatomy
from thcli.motion.canonical import eye_openings, lip_gaps

# Of a code, in order: the lips' gap in the middle and at the sides (absolute: 0 is closed for everyone); and against the identity
# frame: the mouth's width, the height of upper and lower lip, of the corners, the lips' reach forward, the chin; the eyes'
# opening; the head's turn (three numbers).
MOUTH, EYES, TURN = slice(0, 8), 8, slice(9, 12)
GAPS = slice(0, 2)
WIDTH = 12
# What each number commonly varies by, measured on the talking clips: codes are divided by it.
SPREAD = np.array(
    [0.05, 0.025, 0.03, 0.01, 0.014, 0.015, 0.01, 0.03, 0.05, 0.05, 0.04, 0.03], np.float32
)
_TOP, _BOTTOM, _UPPER, _LOWER = 0, 17, 13, 14  # of the lips in the middle: outer rims, inner rims


def measured(shape: npt.ArrayLike, turn: npt.ArrayLike) -> Array:
    """(..., 468, 3) canonical shapes and (..., 3) rotation vectors -> (..., 12): a face's own numbers, still absolute."""
    points = np.asarray(shape, np.float64)
    gaps = np.maximum(lip_gaps(points), 0)
    left, right = topology.MOUTH_CORNERS
    y = points[..., 1]
    mouth = [
        gaps[..., 3:6].mean(-1),
        gaps[..., (0, 1, 7, 8)].mean(-1),
        points[..., right, 0] - points[..., left, 0],
        y[..., _UPPER] - y[..., _TOP],
        y[..., _BOTTOM] - y[..., _LOWER],
        (y[..., left] + y[..., right]) / 2,
        points[..., (_TOP, _BOTTOM, _UPPER, _LOWER), 2].mean(-1),
        y[..., anatomy.CHIN],
        eye_openings(points).mean(-1),
    ]
    return np.concatenate([np.stack(mouth, -1), np.asarray(turn, np.float64)], -1)


def code(rows: npt.ArrayLike, identity: npt.ArrayLike) -> Array32:
    """Measured rows (..., 12) as codes against the identity frame's (12,) or (..., 12), each number about -3..3."""
    out = np.asarray(rows, np.float64) - np.asarray(identity, np.float64)
    out[..., GAPS] = np.asarray(rows)[..., GAPS]
    return (out / SPREAD).astype(np.float32)


def mirrored(codes: Array32) -> Array32:
    """The codes of the mirrored pictures."""
    return codes * np.array([1] * 9 + [1, -1, -1], np.float32)
