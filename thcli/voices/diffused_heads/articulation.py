"""Articulation codes: twelve numbers per frame that condition dh-s.

The published model uses a frozen speech encoder that was trained on a large speech corpus. dh-s has
sixteen minutes of data, so its code describes the face. In training the code is measured from
tracked faces. In use the voice `a2m` predicts it from the sound. The image network thus learns
a simple rule, and any tracked motion can provide the code.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.faces.landmarks import topology
from thcli.motion import anatomy
from thcli.motion.canonical import eye_openings, lip_gaps

# Columns: lip gaps in the middle and at the sides (absolute: 0 is closed for every face). Relative
# to the identity frame: mouth width, height of upper and lower lip, of the corners, protrusion of
# the lips, chin; eye opening; head rotation (three numbers).
MOUTH, EYES, TURN = slice(0, 8), 8, slice(9, 12)
GAPS = slice(0, 2)
CODE_WIDTH = 12
# typical deviation of each number on the talking clips; codes are divided by it
SPREAD = np.array(
    [0.05, 0.025, 0.03, 0.01, 0.014, 0.015, 0.01, 0.03, 0.05, 0.05, 0.04, 0.03], np.float32
)
_TOP, _BOTTOM, _UPPER, _LOWER = 0, 17, 13, 14  # middle of the lips: outer rims, inner rims


def measure_face(shape: npt.ArrayLike, rotation: npt.ArrayLike) -> Array:
    """Return the absolute numbers of a face, (..., 12).

    Args:
        shape: (..., 468, 3) canonical shapes.
        rotation: (..., 3) rotation vectors of the head.
    """
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
    return np.concatenate([np.stack(mouth, -1), np.asarray(rotation, np.float64)], -1)


def encode_articulation(rows: npt.ArrayLike, identity: npt.ArrayLike) -> Array32:
    """Return measured rows (..., 12) as codes relative to the identity frame's row.

    Args:
        rows: (..., 12).
        identity: (12,) or (..., 12).

    Returns:
        (..., 12) float32, each number about -3..3.
    """
    codes = np.asarray(rows, np.float64) - np.asarray(identity, np.float64)
    codes[..., GAPS] = np.asarray(rows)[..., GAPS]
    return (codes / SPREAD).astype(np.float32)


def mirror_codes(codes: Array32) -> Array32:
    """Return the codes of the mirrored images."""
    return codes * np.array([1] * 9 + [1, -1, -1], np.float32)
