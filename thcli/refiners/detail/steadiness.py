"""Steady placement of detail, and of the blurred frame below it, over time.

A frame's placement has the noise of its landmarks and of its optical flow, and coarse frames shake.
Detail that follows both flickers, the more the sharper it is. The placements of the neighbouring
frames are carried over along the optical flow between the coarse crops and averaged, and the place
in the picture is averaged along the same trajectories. Positions are averaged, not pixels: the
detail stays sharp. Light and colours, which engines and compression let pulse, are averaged along
them too, without their fine detail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import cv2
import numpy as np

from thcli.core.imaging import optical_flow, pixel_positions, smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.sampling import remap, resize

REACH = 2  # frames on both sides over which places, energies and colours are averaged
_SIGMA = 1.2  # frames, of their weights
_TORN = (1.5, 3.0)  # pixels of a reduced crop by which a neighbour's placement may differ
_SHAKE = (0.3, 0.8)  # pixels of a reduced crop: a path bent by less is shaken, by more a movement
_UNCERTAIN = (0.3, 1.5)  # pixels of a reduced crop: placements that differ by more say nothing
_SMOOTHING = 6.0  # pixels of a reduced crop
_PULSE = (3.0, 8.0)  # levels of 255: light that differs by less pulses, by more is another content
_LIT, _DARKEST = 64.0, 8.0  # levels: skin in common light; added to darker, where less is told
_PULSE_REACH, _PULSE_BLUR = 2.0, 1.0  # samples: of that comparison; of the pulse
_EVERY = 2  # pixels of a reduced crop between the samples that are followed


@dataclass(frozen=True, slots=True)
class ReducedCrop:
    """A coarse crop and its placement, reduced to the same side in every frame.

    image, texture: (n, n, 3) uint8, the crop and the texture over it.
    blurred: (n, n, 3) uint8, the crop without its fine detail.
    positions: (n, n, 2) float32, where each pixel lies in the texture, its pixels.
    frame_from_crop: (3, 3) pixels of the frame from those of `image`.
    step: pixels of the texture for one of `image`.
    """

    image: Image
    texture: Image
    blurred: Image
    positions: Array32
    frame_from_crop: Array
    step: float


@dataclass(frozen=True, slots=True)
class CropFlows:
    """Optical flow between a reduced crop and the one of the next frame, (n, n, 2) pixels each.

    forward: from the crop to the next one.
    backward: from the next one to the crop.
    """

    forward: Array32
    backward: Array32

    @classmethod
    def between(cls, crop: ReducedCrop, following: ReducedCrop) -> CropFlows:
        """Estimate both flows."""
        forward = optical_flow(crop.image, following.image)
        return cls(forward, optical_flow(following.image, crop.image))


@dataclass(frozen=True, slots=True)
class LinkedCrop:
    """A reduced crop and the way of its content to the next frame.

    flows: None where no crop of the same scene follows.
    """

    crop: ReducedCrop
    flows: CropFlows | None


@dataclass(frozen=True, slots=True)
class _Carried:
    """Placement and path of each sample (n, n), carried over from a neighbour.

    change: (n, n, 2) of the placement, pixels of the texture.
    path: (n, n, 2) way of the content to the neighbour, pixels of the own crop.
    weight: (n, n) in 0..1.
    distance: (n, n) length of `change`, pixels of the own crop.
    """

    change: Array32
    path: Array32
    weight: Array32
    distance: Array32


@dataclass(frozen=True, slots=True)
class Steadying:
    """Changes of a reduced crop.

    positions: (n, n, 2) float32, to be added to those of the texture.
    shake: (n, n, 2) float32 pixels from each content of the crop to its steady place.
    certainty: (n, n) float32 in 0..1, lower where the placements of the neighbours differ.
    pulse: (n / _EVERY, n / _EVERY, 3) float32, levels of 255 from light and colours to steady ones.
    """

    positions: Array32
    shake: Array32
    certainty: Array32
    pulse: Array32


def steady(window: Sequence[LinkedCrop | None], middle: int) -> Steadying:
    """Compare the crop in the middle with the paths of its content through the window.

    Args:
        window: crops around the middle, None where there is none.
        middle: position of the crop.

    Raises:
        ValueError: there is no crop at the middle.
    """
    linked = window[middle]
    if linked is None:
        raise ValueError("there is no crop in the middle of the window")
    own, grid = linked.crop, _sample_grid(linked.crop.image.shape[0])
    placed, side = remap(own.positions, grid), len(grid)
    change = np.zeros((side, side, 2), np.float32)
    spread = np.zeros((side, side), np.float32)
    shake, total = np.zeros_like(change), np.ones((side, side), np.float32)
    light, pulse = _light(own, grid), np.zeros((side, side, 3), np.float32)
    paired = count = lit = np.float32(1)
    for share, sides in _neighbours(window, middle, grid):
        carried = [_carry(own, placed, grid, *one) for one in sides]
        for one in carried:
            spread += share * np.minimum(one.distance, _TORN[1]) ** 2
            count += share
        if len(carried) < 2:
            continue  # one side alone would pull the crop towards it
        for one in carried:
            change += share * one.weight[..., None] * one.change
            total += share * one.weight
        for crop, positions in sides:
            pulse += _same_light(_light(crop, positions) - light, light)
            lit += 1
        both = carried[0].weight * carried[1].weight
        shake += share * both[..., None] * (carried[0].path + carried[1].path)
        paired += 2 * share
    change /= total[..., None]
    spread = _smooth(np.sqrt(spread / count))
    certainty = 1 - smoothstep(*_UNCERTAIN, spread).astype(np.float32)
    shake = _smooth(shake / paired)
    shake *= 1 - smoothstep(*_SHAKE, _length(shake)[..., None]).astype(np.float32)
    back = pixel_positions(side) - shake / np.float32(_EVERY)
    change = np.asarray(remap(placed + change, back) - placed, np.float32)
    pulse = np.asarray(cv2.GaussianBlur(pulse / lit, (0, 0), _PULSE_BLUR), np.float32)
    size = own.image.shape[1::-1]
    moved, shaken, shown = (resize(values, size) for values in (change, shake, certainty))
    return Steadying(moved, shaken, shown, pulse)


def _length(vectors: Array32) -> Array32:
    """Return the lengths of vectors (n, n, 2), (n, n)."""
    return np.asarray(np.hypot(vectors[..., 0], vectors[..., 1]), np.float32)


def _light(crop: ReducedCrop, positions: Array32) -> Array32:
    """Return light and colours of a crop at positions (n, n, 2), (n, n, 3) levels of 255."""
    return np.asarray(remap(crop.blurred, positions), np.float32)


def _same_light(difference: Array32, light: Array32) -> Array32:
    """Return a difference from a light (n, n, 3) where it is that of one content, else 0.

    In dim light contents differ by less.
    """
    dim = np.maximum(1, _LIT / (light.max(2) + _DARKEST))
    largest = cv2.GaussianBlur(np.abs(difference).max(2) * dim, (0, 0), _PULSE_REACH)
    same = 1 - smoothstep(*_PULSE, largest).astype(np.float32)
    return np.asarray(difference * same[..., None], np.float32)


def _sample_grid(side: int) -> Array32:
    """Return where a reduced crop is sampled, every _EVERY pixels: (n, n, 2) float32."""
    few = pixel_positions(side // _EVERY)
    return np.asarray(few * _EVERY + np.float32((_EVERY - 1) / 2), np.float32)


def _smooth(values: Array32) -> Array32:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), _SMOOTHING / _EVERY), np.float32)


def _neighbours(
    window: Sequence[LinkedCrop | None], middle: int, grid: Array32
) -> Iterator[tuple[np.float32, list[tuple[ReducedCrop, Array32]]]]:
    """Yield the one or two neighbours at each distance with their weight, nearest first.

    Each comes with the positions (n, n, 2) in it of what the crop in the middle has at a grid.
    """
    walks = [_walk(window, middle, grid, direction) for direction in (-1, 1)]
    for distance, sides in enumerate(zip_longest(*walks), 1):
        weight = np.float32(np.exp(-0.5 * (distance / _SIGMA) ** 2))
        yield weight, [side for side in sides if side is not None]


def _walk(
    window: Sequence[LinkedCrop | None], middle: int, grid: Array32, direction: int
) -> Iterator[tuple[ReducedCrop, Array32]]:
    """Follow what the crop in the middle has at a grid from frame to frame, up to REACH frames.

    Yields:
        Each crop and the positions of the content in it.
    """
    positions = grid
    for at in range(middle, middle + direction * REACH, direction):
        after = at + direction
        here, there = window[at], window[after] if 0 <= after < len(window) else None
        earlier = here if direction > 0 else there
        if here is None or there is None or earlier is None or earlier.flows is None:
            return
        flow = earlier.flows.forward if direction > 0 else earlier.flows.backward
        positions = positions + remap(flow, positions)
        yield there.crop, positions


def _carry(
    own: ReducedCrop, placed: Array32, grid: Array32, other: ReducedCrop, positions: Array32
) -> _Carried:
    """Carry a neighbour over.

    Args:
        own: the crop in the middle.
        placed: its placement at the grid.
        grid: samples of it.
        other: the neighbour.
        positions: of the grid's content in the neighbour.
    """
    change = remap(other.positions, positions) - placed
    length = _length(change) / np.float32(own.step)
    weight = 1 - smoothstep(*_TORN, length).astype(np.float32)
    change_matrix = np.linalg.inv(own.frame_from_crop) @ other.frame_from_crop
    path = cv2.transform(positions, change_matrix[:2].astype(np.float32)) - grid
    return _Carried(change, np.asarray(path, np.float32), weight, length)
