"""Calm masks without lag: each frame's regions averaged with those of the frames before and after it, brought to its place.

A neighbour counts where its picture, moved by a dense flow (Kroeger et al. 2016), looks as this frame's does: what was only the
parser's doubt is averaged away, while what really changes (a blink, a hand that comes in) passes at once. Where past and future
tell different things, the side that agrees with the frame counts, so that an edge in time stays one. The window is symmetric and
bounded: no lag, and a stream of any length.
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

from thcli.core.types import Array32, Image
from thcli.faces.parsing.crops import Regions

REACH = 3  # frames looked at on both sides
_WIDTH = 1.8  # frames: of the Gaussian weights in time
_UNLIKE = 12.0  # levels of 255 by which a moved neighbour may differ (noise, light); a lid or a hand differs by 40 and more
_NEAR = 5  # pixels over which the difference is looked at
_DISAGREE = 0.25  # share of a pixel's probability that one side in time may have elsewhere, if the other has less
_FLOW_SIDE = 256  # pixels across which the flow is found; larger crops are reduced
_LANES = 4  # channels that OpenCV moves together
_SUM = np.ones((1, _LANES), np.float32)


@dataclass(frozen=True, slots=True)
class Parsed:
    """One frame of a face. regions: None where it was not seen.  crop: the picture that was parsed, (h, w, 3) uint8.  shot: its scene."""

    regions: Regions | None
    crop: Image | None
    shot: int = 0


class Smoother:
    """Calms one face's stream: it runs `reach` frames behind what it is given and holds 2 * reach + 1.

    Nothing is carried over a frame without the face, or from one scene to another. reach 0: all comes back as it is.
    """

    def __init__(self, reach: int = REACH) -> None:
        self._reach = reach
        self._before: deque[_Frame] = deque(maxlen=max(reach, 1))
        self._now_and_after: deque[_Frame] = deque()

    def push(self, parsed: Parsed) -> list[Regions | None]:
        """Takes the next frame; gives the frame that is complete with it, if there is one."""
        self._now_and_after.append(_Frame.of(parsed))
        return [self._next()] if len(self._now_and_after) > self._reach else []

    def finish(self) -> list[Regions | None]:
        """The frames that are left, after the last one was given."""
        return [self._next() for _ in range(len(self._now_and_after))]

    def _next(self) -> Regions | None:
        now = self._now_and_after.popleft()
        result = _calmed(
            now, list(self._before)[::-1][: self._reach], list(self._now_and_after)[: self._reach]
        )
        self._before.append(now)
        return result


def smooth(frames: Iterable[Parsed], reach: int = REACH) -> Iterator[Regions | None]:
    """The calmed regions of a stream, frame for frame; see `Smoother`."""
    smoother = Smoother(reach)
    for parsed in frames:
        yield from smoother.push(parsed)
    yield from smoother.finish()


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame made ready. lanes: its probabilities, (h, w, 4) each, the last one filled up.  grey: what the flow is found in."""

    parsed: Parsed
    lanes: tuple[Array32, ...]
    grey: Image | None

    @classmethod
    def of(cls, parsed: Parsed) -> _Frame:
        if parsed.regions is None or parsed.crop is None:
            return cls(parsed, (), None)
        planes = list(parsed.regions.probabilities)
        planes += [np.zeros_like(planes[0])] * (-len(planes) % _LANES)
        lanes = [
            np.asarray(cv2.merge(planes[i : i + _LANES]), np.float32)
            for i in range(0, len(planes), _LANES)
        ]
        grey = cv2.cvtColor(parsed.crop, cv2.COLOR_RGB2GRAY)
        if grey.shape[0] > _FLOW_SIDE:
            grey = cv2.resize(grey, (_FLOW_SIDE, _FLOW_SIDE), interpolation=cv2.INTER_AREA)
        return cls(parsed, tuple(lanes), np.asarray(grey, np.uint8))


def _calmed(now: _Frame, past: Sequence[_Frame], future: Sequence[_Frame]) -> Regions | None:
    """The regions of `now`; past and future: its neighbours, the nearest first."""
    regions = now.parsed.regions
    if regions is None or now.grey is None or not (past or future):
        return regions

    def same_scene(frame: _Frame) -> bool:
        return frame.grey is not None and frame.parsed.shot == now.parsed.shot

    sides = [_Side(now, list(takewhile(same_scene, side))) for side in (past, future)]
    apart = [side.apart(now) for side in sides]
    nearest = np.minimum(*apart)
    sums = [lane.copy() for lane in now.lanes]
    total = np.ones(sums[0].shape[:2], np.float32)
    for side, far in zip(sides, apart, strict=True):
        share = np.asarray(np.exp((nearest**2 - far**2) / _DISAGREE**2), np.float32)
        total += side.weight * share
        for target, lane in zip(sums, side.sums, strict=True):
            cv2.accumulateProduct(lane, _lane(share), target)
    planes = [plane / total for lane in sums for plane in cv2.split(lane)]
    return replace(regions, probabilities=np.stack(planes[: len(regions.probabilities)]))


class _Side:
    """One side of a frame in time: its neighbours brought to the frame's place, weighted and added. sums: as lanes; weight: (h, w)."""

    def __init__(self, now: _Frame, neighbours: Sequence[_Frame]) -> None:
        shape = now.lanes[0].shape[:2]
        self.weight = np.zeros(shape, np.float32)
        self.sums = [np.zeros_like(lane) for lane in now.lanes]
        for distance, other in enumerate(neighbours, 1):
            places = _flow(now, other, shape)
            weight = np.float32(np.exp(-0.5 * (distance / _WIDTH) ** 2)) * _likeness(
                now, other, places
            )
            self.weight += weight
            spread = _lane(weight)
            for target, lane in zip(self.sums, other.lanes, strict=True):
                moved = cv2.remap(
                    lane, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
                )  # type: ignore[call-overload]  # the stub does not know that the second map may be absent
                cv2.accumulateProduct(moved, spread, target)

    def apart(self, now: _Frame) -> Array32:
        """(h, w), how far this side tells something else than the frame: 0 the same .. 1 altogether, more where it tells nothing."""
        one = _lane(1 / np.maximum(self.weight, np.float32(1e-6)))
        total = np.zeros(self.weight.shape, np.float32)
        for lane, sums in zip(now.lanes, self.sums, strict=True):
            total += np.asarray(
                cv2.transform(cv2.absdiff(lane, cv2.multiply(sums, one)), _SUM), np.float32
            )
        return np.where(
            self.weight > 1e-3, cv2.blur(total, (_NEAR, _NEAR)) / 2, np.float32(2)
        ).astype(np.float32)


def _flow(now: _Frame, other: _Frame, shape: tuple[int, int]) -> Array32:
    """(h, w, 2) float32: where each pixel of the frame lies in the other one."""
    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow = np.asarray(finder.calc(now.grey, other.grey, None), np.float32)  # type: ignore[call-overload]  # nor that it may make the result
    scale = shape[0] / flow.shape[0]
    if scale != 1:
        flow = np.asarray(
            cv2.resize(flow, shape[::-1], interpolation=cv2.INTER_LINEAR) * np.float32(scale),
            np.float32,
        )
    return flow + _grid(shape)


@lru_cache(maxsize=4)
def _grid(shape: tuple[int, int]) -> Array32:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return np.stack([x, y], -1)


def _lane(values: npt.NDArray[Any]) -> Array32:
    """(h, w) -> (h, w, 4), all alike: numpy is slow at broadcasting over a short last axis."""
    return np.asarray(cv2.merge([np.asarray(values, np.float32)] * _LANES), np.float32)


def _likeness(now: _Frame, other: _Frame, places: Array32) -> Array32:
    """(h, w) 0..1, how far the other frame's picture, moved, looks as this one's."""
    moved = cv2.remap(
        other.parsed.crop, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )  # type: ignore[call-overload]  # as above
    red, green, blue = cv2.split(cv2.absdiff(np.asarray(now.parsed.crop), moved))
    unlike = cv2.blur(cv2.max(cv2.max(red, green), blue).astype(np.float32), (_NEAR, _NEAR))
    return np.asarray(np.exp(-((unlike / _UNLIKE) ** 2)), np.float32)
