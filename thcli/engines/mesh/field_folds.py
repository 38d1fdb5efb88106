"""Folds of the displacement outside of the mesh: kept away by its weight, else smoothed."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array32
from thcli.engines.mesh.sampling import box_mean

STEEPEST = 0.5  # slope of the displacement that the fading of the head's motion may add
# source area over its image: a sample is smoothed at the first, and not at the second
LEAST_AREA = (0.15, 0.4)
UNFOLDING_PASSES = 12


def widen_weight(weight: Array32, motion: Array32) -> Array32:
    """Raise weights where they fall so fast that the map would fold or stretch far.

    Each sample takes the largest weight that comes down to it from the others, by STEEPEST over
    the motion for each sample on the way.

    Args:
        weight: (rows, columns) of the head's motion.
        motion: (rows, columns) of the head in samples.
    """
    fall = STEEPEST / np.maximum(motion, np.float32(STEEPEST))
    for axis in (0, 1):
        down = np.cumsum(fall, axis, dtype=np.float32)
        forwards = np.maximum.accumulate(weight + down, axis) - down
        backwards = np.flip(np.maximum.accumulate(np.flip(forwards - down, axis), axis), axis)
        weight = backwards + down
    return weight


def unfold_field(
    field: Array32, inside: npt.NDArray[np.bool_], step: int, strength: float
) -> Array32:
    """Smooth a displacement where it folds or nearly does.

    Beside the outline of the face, what the mesh leaves of the head's motion may be steep.

    Args:
        field: (rows, columns, 2) pixels.
        inside: (rows, columns) samples of the face, whose own displacement is the mesh's.
        step: pixels per sample.
        strength: of the smoothing, 0..1.
    """
    for _ in range(UNFOLDING_PASSES):
        (xx, xy), (yx, yy) = (
            ((part[:-1, 1:] - part[:-1, :-1]) / step, (part[1:, :-1] - part[:-1, :-1]) / step)
            for part in cv2.split(field)
        )
        area = (1 + xx) * (1 + yy) - xy * yx
        area[inside[:-1, :-1]] = 1
        if area.min() >= LEAST_AREA[1]:
            break
        share = np.zeros(inside.shape, np.float32)
        share[:-1, :-1] = np.float32(strength) * (1 - smoothstep(*LEAST_AREA, area))
        spread = box_mean(np.asarray(cv2.dilate(share, np.ones((3, 3))), np.float32), 3)
        field = field + spread[..., None] * (box_mean(field, 3) - field)
    return field
