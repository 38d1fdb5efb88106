"""Temporal smoothing of region masks without lag: each frame averaged with its aligned neighbours.

A neighbour counts where its image, warped by a dense flow (Kroeger et al. 2016), matches this
frame: uncertainty of the parser is averaged out, while real changes (a blink, a hand that enters)
pass unchanged. Where past and future disagree, the side that agrees with the frame counts, so an
edge in time stays an edge. The window is symmetric and bounded: no lag, and streams of any length.
A frame that was not parsed gets the regions of its neighbours, carried along the same flow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import largest_channel
from thcli.core.types import Array32, Crop, Image
from thcli.faces.parsing.crops import Regions

REACH = 3  # frames on both sides
_WIDTH = 1.8  # standard deviation of the Gaussian weights in time, in frames
# Levels of 255 by which a warped neighbour may differ (noise, light); a lid or a hand differs by
# 40 and more.
_MAX_DIFFERENCE = 12.0
_WINDOW = 5  # pixels over which the difference is averaged
# Probability that one side in time may assign differently, relative to the other side.
_DISAGREE = 0.25
_CARRIED = 0.02  # least weight of a neighbour whose regions are carried, where no image matches
_FLOW_SIDE = 256  # side of the images between which the flow is computed, in pixels
_LANES = 4  # channels that OpenCV warps together
# Classes of a lane: those that are rarely seen are together, so that their lane can be left out.
_ORDER = (0, 1, 13, 17, 2, 11, 12, 18, 4, 5, 6, 7, 8, 9, 10, 3, 14, 15, 16)
_SLIGHT = 1 / 32  # a lane whose probabilities stay below it in all frames is not smoothed
_SUM = np.ones((1, _LANES), np.float32)
_ABSENT: Any = None  # an optional array that OpenCV's stubs require


@dataclass(frozen=True, slots=True)
class ParsedFrame:
    """One frame of a face.

    regions: None where the face is absent, or to be carried from the neighbours.
    crop: the image that was parsed, (h, w, 3) uint8, of any size; None where the face is absent.
    scene: label of its scene.
    placement: of the crop, where the regions are to be carried.
    """

    regions: Regions | None
    crop: Image | None
    scene: int = 0
    placement: Crop | None = None

    @property
    def visible(self) -> bool:
        """Return True where the face is visible, parsed or to be carried."""
        return self.crop is not None and (self.regions is not None or self.placement is not None)

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height of the regions of a visible face."""
        if self.regions is not None:
            height, width = self.regions.probabilities.shape[1:]
            return width, height
        assert self.placement is not None
        return self.placement.size


class RegionSmoother:
    """Temporal smoother of one face's stream, `reach` frames behind its input.

    It holds 2 * reach + 1 frames. Neither frames without the face nor scene changes are crossed.
    With reach 0 the regions are returned unchanged.
    """

    def __init__(self, reach: int = REACH) -> None:
        self._reach = reach
        self._past: deque[_PreparedFrame] = deque(maxlen=max(reach, 1))
        self._present_and_future: deque[_PreparedFrame] = deque()

    def push(self, parsed: ParsedFrame) -> list[Regions | None]:
        """Add the next frame; returns the frame that is complete with it, if there is one."""
        self._present_and_future.append(_PreparedFrame.prepare(parsed))
        return [self._next()] if len(self._present_and_future) > self._reach else []

    def finish(self) -> list[Regions | None]:
        """Return the remaining frames, after the last one was added."""
        return [self._next() for _ in range(len(self._present_and_future))]

    def _next(self) -> Regions | None:
        frame = self._present_and_future.popleft()
        past = list(self._past)[::-1][: self._reach]
        result = _smooth_frame(frame, past, list(self._present_and_future)[: self._reach])
        self._past.append(frame)
        return result


def smooth_regions(frames: Iterable[ParsedFrame], reach: int = REACH) -> Iterator[Regions | None]:
    """Yield the smooth regions of a stream, frame for frame; see `RegionSmoother`."""
    smoother = RegionSmoother(reach)
    for parsed in frames:
        yield from smoother.push(parsed)
    yield from smoother.finish()


@dataclass(frozen=True, slots=True)
class _PreparedFrame:
    """A frame in the form that OpenCV warps.

    lanes: its probabilities in groups of four channels, (h, w, 4) each, the last one zero-filled.
    seen: of each lane, whether any probability is noticeable.
    grey: image for the flow.
    image: (h, w, 3) uint8, at the size of the regions.
    """

    parsed: ParsedFrame
    lanes: tuple[Array32, ...]
    seen: tuple[bool, ...]
    grey: Image | None
    image: Image | None

    @classmethod
    def prepare(cls, parsed: ParsedFrame) -> _PreparedFrame:
        if parsed.crop is None or not parsed.visible:
            return cls(parsed, (), (), None, None)
        grey = cv2.cvtColor(parsed.crop, cv2.COLOR_RGB2GRAY)
        if grey.shape[0] > _FLOW_SIDE:
            grey = cv2.resize(grey, (_FLOW_SIDE, _FLOW_SIDE), interpolation=cv2.INTER_AREA)
        image = _at_size(parsed.crop, parsed.size)
        if parsed.regions is None:
            return cls(parsed, (), (), np.asarray(grey, np.uint8), image)
        planes = [parsed.regions.probabilities[number] for number in _ORDER]
        planes += [np.zeros_like(planes[0])] * (-len(planes) % _LANES)
        largest = [float(plane.max()) for plane in planes]
        lanes = [
            np.asarray(cv2.merge(planes[i : i + _LANES]), np.float32)
            for i in range(0, len(planes), _LANES)
        ]
        seen = [max(largest[i : i + _LANES]) > _SLIGHT for i in range(0, len(planes), _LANES)]
        return cls(parsed, tuple(lanes), tuple(seen), np.asarray(grey, np.uint8), image)


def _at_size(image: Image, size: tuple[int, int]) -> Image:
    """Return an image (h, w, 3) uint8 at a size (width, height) that is not larger."""
    if image.shape[1::-1] == size:
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _smooth_frame(
    frame: _PreparedFrame, past: Sequence[_PreparedFrame], future: Sequence[_PreparedFrame]
) -> Regions | None:
    """Return the smooth regions of a frame; past, future: its neighbours, the nearest first."""
    regions = frame.parsed.regions
    if frame.grey is None:
        return None
    near = [_parsed_neighbours(frame, side) for side in (past, future)]
    if regions is None:
        return _carry(frame, near)
    if not any(near):
        return regions
    used = np.any([frame.seen, *(other.seen for side in near for _, other in side)], 0)
    lanes = np.flatnonzero(used).tolist()
    sides = [_TemporalSide(frame, side, lanes) for side in near]
    disagreements = [side.disagreement(frame) for side in sides]
    least = np.minimum(*disagreements)
    sums = [frame.lanes[number].copy() for number in lanes]
    total = np.ones(sums[0].shape[:2], np.float32)
    for side, disagreement in zip(sides, disagreements, strict=True):
        share = np.asarray(np.exp((least**2 - disagreement**2) / _DISAGREE**2), np.float32)
        total += side.weight * share
        repeated = _repeat_lanes(share)
        for target, lane in zip(sums, side.sums, strict=True):
            cv2.accumulateProduct(lane, repeated, target)
    out = regions.probabilities.copy()
    _spread_lanes(out, lanes, sums, total)
    return replace(regions, probabilities=out)


def _parsed_neighbours(
    frame: _PreparedFrame, side: Sequence[_PreparedFrame]
) -> list[tuple[int, _PreparedFrame]]:
    """Return distances and frames of one side, within the scene, that have regions."""

    def same_scene(other: _PreparedFrame) -> bool:
        return other.grey is not None and other.parsed.scene == frame.parsed.scene

    numbered = enumerate(takewhile(same_scene, side), 1)
    return [(distance, other) for distance, other in numbered if other.lanes]


def _carry(
    frame: _PreparedFrame, near: Sequence[Sequence[tuple[int, _PreparedFrame]]]
) -> Regions | None:
    """Return the regions of a frame that was not parsed, from the nearest frame of each side."""
    nearest = [side[:1] for side in near if side]
    placement = frame.parsed.placement
    if placement is None or not nearest:
        return None
    lanes = np.flatnonzero(np.any([side[0][1].seen for side in nearest], 0)).tolist()
    sides = [_TemporalSide(frame, side, lanes, _CARRIED) for side in nearest]
    total = np.asarray(np.sum([side.weight for side in sides], axis=0), np.float32)
    sums = [np.sum(parts, axis=0) for parts in zip(*(side.sums for side in sides), strict=True)]
    out = np.zeros((len(_ORDER), *total.shape), np.float32)
    _spread_lanes(out, lanes, sums, total)
    out /= np.maximum(out.sum(0), np.float32(1e-6))
    return Regions(placement, out)


def _spread_lanes(
    out: Array32, lanes: Sequence[int], sums: Sequence[Array32], total: Array32
) -> None:
    """Write weighted sums of lanes, over their total weight, into planes (19, h, w)."""
    for number, lane in zip(lanes, sums, strict=True):
        for place, plane in zip(_ORDER[number * _LANES :], cv2.split(lane), strict=False):
            out[place] = plane / total


class _TemporalSide:
    """Past or future of a frame: its neighbours, warped to the frame, weighted and summed.

    sums: as the lanes of a frame, of those in use.  weight: (h, w).
    """

    def __init__(
        self,
        frame: _PreparedFrame,
        neighbours: Sequence[tuple[int, _PreparedFrame]],
        lanes: Sequence[int],
        least: float = 0.0,
    ) -> None:
        """Warp and sum neighbours.

        Args:
            frame: where they are warped to.
            neighbours: distances in frames, and frames with regions.
            lanes: those in use.
            least: weight of a neighbour whose image does not match.
        """
        parsed = frame.lanes or neighbours[0][1].lanes
        shape = parsed[0].shape[:2]
        self._lanes = lanes
        self.weight = np.zeros(shape, np.float32)
        self.sums = [np.zeros((*shape, _LANES), np.float32) for _ in lanes]
        for distance, other in neighbours:
            grid = _flow_grid(frame, other, shape)
            time_weight = np.float32(np.exp(-0.5 * (distance / _WIDTH) ** 2))
            weight = time_weight * np.maximum(_image_match(frame, other, grid), np.float32(least))
            self.weight += weight
            weights = _repeat_lanes(weight)
            for target, number in zip(self.sums, self._lanes, strict=True):
                cv2.accumulateProduct(_warp(other.lanes[number], grid), weights, target)

    def disagreement(self, frame: _PreparedFrame) -> Array32:
        """Return the difference of this side and the frame, (h, w).

        0 for equal regions, 1 for entirely different ones, 2 where this side has no data.
        """
        scale = _repeat_lanes(1 / np.maximum(self.weight, np.float32(1e-6)))
        total = np.zeros(self.weight.shape, np.float32)
        for number, sums in zip(self._lanes, self.sums, strict=True):
            difference = cv2.absdiff(frame.lanes[number], cv2.multiply(sums, scale))
            total += np.asarray(cv2.transform(difference, _SUM), np.float32)
        mean = cv2.blur(total, (_WINDOW, _WINDOW)) / 2
        return np.where(self.weight > 1e-3, mean, np.float32(2)).astype(np.float32)


def _warp(values: npt.NDArray[Any], grid: Array32) -> npt.NDArray[Any]:
    warped = cv2.remap(values, grid, _ABSENT, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped)


def _flow_grid(frame: _PreparedFrame, other: _PreparedFrame, shape: tuple[int, int]) -> Array32:
    """Return the position of each pixel of the frame in the other one, (h, w, 2) float32."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow = np.asarray(search.calc(_image(frame), _image(other), _ABSENT), np.float32)
    scale = shape[0] / flow.shape[0]
    if scale != 1:
        enlarged = cv2.resize(flow, shape[::-1], interpolation=cv2.INTER_LINEAR)
        flow = np.asarray(enlarged * np.float32(scale), np.float32)
    return flow + _identity_grid(shape)


def _image(frame: _PreparedFrame) -> Image:
    assert frame.grey is not None
    return frame.grey


@lru_cache(maxsize=4)
def _identity_grid(shape: tuple[int, int]) -> Array32:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return np.stack([x, y], -1)


def _repeat_lanes(values: npt.NDArray[Any]) -> Array32:
    """Repeat (h, w) as (h, w, 4): numpy is slow at broadcasting over a short last axis."""
    return np.asarray(cv2.merge([np.asarray(values, np.float32)] * _LANES), np.float32)


def _image_match(frame: _PreparedFrame, other: _PreparedFrame, grid: Array32) -> Array32:
    """Return the match of the other image, warped, with the frame's, (h, w) 0..1."""
    assert frame.image is not None and other.image is not None
    difference = np.asarray(cv2.absdiff(frame.image, _warp(other.image, grid)), np.uint8)
    largest = largest_channel(difference).astype(np.float32)
    around = cv2.blur(largest, (_WINDOW, _WINDOW))
    return np.asarray(np.exp(-((around / _MAX_DIFFERENCE) ** 2)), np.float32)
