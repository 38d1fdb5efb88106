"""Temporal smoothing of a refiner's changes along the optical flow of the coarse crops.

Each change is averaged with those of the frames before and after, so that batches and a resume
give the same result. Pixels that are occluded, new or moving otherwise do not match after
the warp and have no weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.imaging import optical_flow, warp_by_flow
from thcli.core.types import Array32, Image

REACH = 1  # frames on both sides
_NEIGHBOUR = 0.5  # weight of a neighbour; the frame itself has 1
_COLOUR_SIGMA = 5.0  # levels of 255, of the difference after the warp
_BLUR_SIZE = 7  # pixels over which the difference is averaged


@dataclass(frozen=True, slots=True)
class CropChange:
    """The change that a refiner made to one crop.

    coarse: (n, n, 3) uint8, the refiner's input.
    change: (n, n, 4) float32: RGB difference over full scale times the blend weight; the blend
        weight, 0..1.
    scene: number of the scene.
    """

    coarse: Image
    change: Array32
    scene: int


def smooth_change(changes: Sequence[CropChange | None], middle: int) -> Array32:
    """Average the change of one frame with those of its neighbours in the scene.

    Args:
        changes: of consecutive frames, None where the face was not detected.
        middle: position of the frame.

    Returns:
        (n, n, 4) float32.

    Raises:
        ValueError: the frame has no change.
    """
    own = changes[middle]
    if own is None:
        raise ValueError("there is no change to smooth at the middle frame")
    total, weights = own.change.copy(), np.ones(own.change.shape[:2], np.float32)
    for at in (middle - 1, middle + 1):
        other = changes[at] if 0 <= at < len(changes) else None
        if other is None or other.scene != own.scene:
            continue
        flow = optical_flow(own.coarse, other.coarse)
        weight = np.float32(_NEIGHBOUR) * _colour_match(own.coarse, other.coarse, flow)
        total += warp_by_flow(flow, other.change) * weight[..., None]
        weights += weight
    total /= weights[..., None]
    return total


def _colour_match(image: Image, other: Image, flow: Array32) -> Array32:
    """Return how well `other` matches an image after the warp, (H, W) in 0..1."""
    difference = cv2.absdiff(image, np.asarray(warp_by_flow(flow, other), np.uint8))
    grey = cv2.transform(difference.astype(np.float32), np.full((1, 3), 1 / 3, np.float32))
    mean = cv2.blur(grey, (_BLUR_SIZE, _BLUR_SIZE))
    return np.asarray(np.exp(-0.5 * (mean / np.float32(_COLOUR_SIGMA)) ** 2), np.float32)
