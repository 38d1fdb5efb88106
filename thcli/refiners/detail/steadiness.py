"""Steady placement of detail, and of the blurred frame below it, over time.

A frame's placement has the noise of its landmarks and of its optical flow, and coarse frames shake.
Detail that follows both flickers, the more the sharper it is. The placements of the neighbouring
frames are carried over along the optical flow between the coarse crops and averaged, and the place
in the picture is averaged along the same trajectories. Positions are averaged, not pixels: the
detail stays sharp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.imaging import optical_flow, pixel_positions, smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.sampling import remap

REACH = 2  # frames on both sides over which places, energies and colours are averaged
_SIGMA = 1.2  # frames, of their weights
_TORN = (1.5, 3.0)  # pixels of a reduced crop by which a neighbour's placement may differ
_SHAKE = (0.3, 0.8)  # pixels of it: a path bent by less is shaken, by more is a movement
_SMOOTHING = 6.0  # pixels of it


@dataclass(frozen=True, slots=True)
class ReducedCrop:
    """A coarse crop and its placement, reduced to the same side in every frame.

    image, texture: (n, n, 3) uint8, the crop and the texture over it.
    positions: (n, n, 2) float32, where each pixel lies in the texture, its pixels.
    frame_from_crop: (3, 3) pixels of the frame from those of `image`.
    step: pixels of the texture for one of `image`.
    """

    image: Image
    texture: Image
    positions: Array32
    frame_from_crop: Array
    step: float


@dataclass(frozen=True, slots=True)
class _Carried:
    """Placement and path of each pixel (n, n), carried over from a neighbour.

    change: (n, n, 2) of the placement, pixels of the texture.
    path: (n, n, 2) way of the content to the neighbour, pixels of the own crop.
    weight: (n, n) in 0..1.
    """

    change: Array32
    path: Array32
    weight: Array32


@dataclass(frozen=True, slots=True)
class Steadying:
    """Changes of a reduced crop.

    positions: (n, n, 2) float32, to be added to those of the texture.
    shake: (n, n, 2) float32 pixels from each content of the crop to its steady place.
    """

    positions: Array32
    shake: Array32


def steady(window: Sequence[ReducedCrop | None], middle: int) -> Steadying:
    """Compare the crop in the middle with the paths of its content through the window.

    Args:
        window: crops of the same scene around the middle, None where there is none.
        middle: position of the crop.

    Raises:
        ValueError: there is no crop at the middle.
    """
    own = window[middle]
    if own is None:
        raise ValueError("there is no crop in the middle of the window")
    side = own.image.shape[0]
    change = np.zeros((side, side, 2), np.float32)
    shake, total, paired = np.zeros_like(change), np.ones((side, side), np.float32), np.float32(1)
    for share, pair in _pairs(window, middle):
        carried = [_carry(own, other) for other in pair]
        for one in carried:
            change += share * one.weight[..., None] * one.change
            total += share * one.weight
        both = carried[0].weight * carried[1].weight
        shake += share * both[..., None] * (carried[0].path + carried[1].path)
        paired += 2 * share
    change /= total[..., None]
    shake = np.asarray(cv2.GaussianBlur(shake / paired, (0, 0), _SMOOTHING), np.float32)
    length = np.hypot(shake[..., 0], shake[..., 1])[..., None]
    shake *= 1 - smoothstep(*_SHAKE, length).astype(np.float32)
    moved = pixel_positions(side) - shake
    change = np.asarray(remap(own.positions + change, moved) - own.positions, np.float32)
    return Steadying(change, shake)


def _pairs(
    window: Sequence[ReducedCrop | None], middle: int
) -> Iterator[tuple[np.float32, tuple[ReducedCrop, ReducedCrop]]]:
    """Yield the neighbours at the same distance on both sides with their weight."""
    for distance in range(1, REACH + 1):
        before, after = middle - distance, middle + distance
        if before < 0 or after >= len(window):
            return
        first, second = window[before], window[after]
        if first is None or second is None:
            return
        yield np.float32(np.exp(-0.5 * (distance / _SIGMA) ** 2)), (first, second)


def _carry(own: ReducedCrop, other: ReducedCrop) -> _Carried:
    flow = optical_flow(own.image, other.image)
    here = pixel_positions(own.image.shape[0])
    change = remap(other.positions, here + flow) - own.positions
    length = np.hypot(change[..., 0], change[..., 1]) / np.float32(own.step)
    weight = 1 - smoothstep(*_TORN, length).astype(np.float32)
    change_matrix = np.linalg.inv(own.frame_from_crop) @ other.frame_from_crop
    path = cv2.transform(here + flow, change_matrix[:2].astype(np.float32)) - here
    return _Carried(change, np.asarray(path, np.float32), weight)
