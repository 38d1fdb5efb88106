"""Changes of a clip's crops, calmed in time: each is averaged with those of the frames around it, moved along the picture's own flow.

The frames around are a fixed few, so that neither batches nor a resume change anything. What is hidden, new or moves otherwise there does
not agree with the picture once it is moved, and counts for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.imaging import optical_flow, warp_by_flow
from thcli.core.types import Array32, Image

REACH = 2  # frames on both sides
_WIDTH = 0.8  # frames: standard deviation of the weights in time
_ALIKE = 5.0  # levels of 255 by which the moved picture may differ, one standard deviation
_AROUND = 7  # pixels over which it is compared


@dataclass(frozen=True, slots=True)
class Change:
    """What a refiner made of a frame's crop.

    coarse: (n, n, 3) uint8 that it saw.  change: (n, n, 4) float32: red, green, blue of what it added, in parts of full scale times how much
    that counts; and how much it counts, 0..1.  scene: number of the frame's shot.
    """

    coarse: Image
    change: Array32
    scene: int


def calmed(around: Sequence[Change | None], middle: int) -> Array32:
    """The change of frame `middle`, (n, n, 4), averaged with those around it of the same scene. around: None where the face was not seen."""
    own = around[middle]
    if own is None:
        raise ValueError("a frame without a change has none to calm")
    total, weights = own.change.copy(), np.ones(own.change.shape[:2], np.float32)
    for step in (-1, 1):
        for distance in range(1, len(around)):
            at = middle + step * distance
            other = around[at] if 0 <= at < len(around) else None
            if other is None or other.scene != own.scene:
                break  # beyond a gap or a cut nothing belongs together
            shift = optical_flow(own.coarse, other.coarse)
            weight = np.float32(np.exp(-0.5 * (distance / _WIDTH) ** 2)) * _agreement(
                own.coarse, other.coarse, shift
            )
            total += warp_by_flow(shift, other.change) * weight[..., None]
            weights += weight
    total /= weights[..., None]
    return total


def _agreement(now: Image, other: Image, shift: Array32) -> Array32:
    """How well the moved picture agrees with the one that there is, (H, W) 0..1."""
    apart = cv2.absdiff(now, np.asarray(warp_by_flow(shift, other), np.uint8))
    mean = cv2.blur(
        cv2.transform(apart.astype(np.float32), np.full((1, 3), 1 / 3, np.float32)),
        (_AROUND, _AROUND),
    )
    return np.asarray(np.exp(-0.5 * (mean / np.float32(_ALIKE)) ** 2), np.float32)
