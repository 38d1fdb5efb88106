"""Smoothing of a clip's pose and expression: zero-phase for files, `causal_filter` for live use.

The zero-phase filter is a local quadratic: Savitzky-Golay on the frames' own time stamps (at 25
frames per second and smooth 1, of 7 frames and order 2). Undetected and occluded frames, other
scenes and frames beyond a long gap are left out. The head's pose gets a longer window where it
hardly moves. Deviations above the noise are kept: lips that close for a single frame (p, b, m)
do close. Up to smooth 1 the filtered motion is mixed with the raw one; above it the window grows.
What counts as noise grows with the square of the window, as deviations do: a fixed limit would keep
more and more of the raw motion, and its jitter.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.protocols import MotionStore
from thcli.core.types import Array
from thcli.motion.causal_filter import CausalFilter
from thcli.motion.timeline import Bools, Ints, Timeline

HALF_WIDTH = 0.13  # seconds to each side: three frames at 25 per second
STILL_HALF_WIDTH = 0.33  # seconds to each side, for the pose of a still head
STILL_RANGE = (0.006, 0.015)  # IOD between the two filters: still below, moving above
FAST_RANGE = (0.008, 0.018)  # IOD from the filter: noise below; blinks, lips and jerks above
MAX_TAPS = 96  # frames to each side at any rate; a wider window is narrowed to it
BLOCK = 512  # frames whose weights are in memory at a time


class SmoothedMotion(Protocol):
    """Smoothed rows of a clip. Rows of undetected frames are undefined.

    Attributes:
        pose, gaze, torso: (T, 7), (T, 2, 2) and (T, 4) rows of the whole clip; expressions are
            read by windows.
    """

    pose: Array
    gaze: Array
    torso: Array

    def expression(self, start: int, stop: int) -> Array: ...


def local_quadratic_weights(
    seconds: Array, segment: Ints, usable: Bools, half_width: float, start: int, stop: int
) -> Array:
    """Return the weights of each frame's neighbours -K..K in its smoothed value.

    The value is that of a parabola fitted to the usable frames of the segment within `half_width`
    seconds, with Epanechnikov weights. K depends on half_width and the clip alone. A window of more
    than MAX_TAPS frames is narrowed, not cut off: weights that do not fade out let noise through.

    Args:
        seconds: (T,) times.
        segment: (T,) segment numbers.
        usable: (T,) frames that take part.
        half_width: seconds to each side.
        start, stop: frames to compute.

    Returns:
        (stop - start, 2 K + 1).
    """
    taps = count_taps(seconds, half_width)
    if len(seconds) > 1:
        mean_step = float(seconds[-1] - seconds[0]) / (len(seconds) - 1)
        half_width = min(half_width, (MAX_TAPS + 1) * mean_step)
    offsets = np.arange(-taps, taps + 1)
    neighbours = np.arange(start, stop)[:, None] + offsets
    in_clip = (neighbours >= 0) & (neighbours < len(seconds))
    neighbours = np.clip(neighbours, 0, len(seconds) - 1)
    frames = np.arange(start, stop)
    u = (seconds[neighbours] - seconds[frames, None]) / max(half_width, 1e-9)
    used = (
        in_clip
        & usable[neighbours]
        & (segment[neighbours] == segment[frames, None])
        & (np.abs(u) < 1)
    )
    kernel = np.where(used, 1 - u**2, 0.0)
    u = np.where(used, u, 0.0)
    powers = np.stack([np.ones_like(u), u, u**2], -1)
    moments = np.einsum("tk,tki,tkj->tij", kernel, powers, powers)
    # slope and curvature that too few neighbours leave undetermined become zero
    moments += np.diag([1e-12, 1e-9, 1e-9])
    solution = np.linalg.solve(
        moments, np.broadcast_to([[1.0], [0.0], [0.0]], (*moments.shape[:2], 1))
    )[..., 0]
    return np.asarray(kernel * np.einsum("ti,tki->tk", solution, powers))


def count_taps(seconds: Array, half_width: float) -> int:
    """Return the most frames within `half_width` seconds to one side, at most MAX_TAPS."""
    if len(seconds) < 2 or half_width <= 0:
        return 0
    return int(min(np.ceil(half_width / np.min(np.diff(seconds))), MAX_TAPS))


def apply_weights(weights: Array, rows: Array, offset: int) -> Array:
    """Return the weighted sums over neighbours.

    Neighbours are added one after the other, so that the result is bit-identical for any window.

    Args:
        weights: (n, 2 K + 1).
        rows: (m, ...) rows, of which the first is `offset` frames before the first result.
        offset: see rows.

    Returns:
        (n, ...).
    """
    count, width = weights.shape
    taps = width // 2
    out = np.zeros((count, *rows.shape[1:]))
    trailing = (1,) * (rows.ndim - 1)
    for k in range(width):
        shift = offset - taps + k
        first, last = max(0, -shift), min(count, len(rows) - shift)
        if first < last:
            out[first:last] += (
                weights[first:last, k].reshape(-1, *trailing) * rows[first + shift : last + shift]
            )
    return out


class ZeroPhaseFilter:
    """Centred filter of the module's description, as a SmoothedMotion."""

    def __init__(self, store: MotionStore, timeline: Timeline, smooth: float) -> None:
        self._store, self._timeline = store, timeline
        self._share, width = min(smooth, 1.0), max(smooth, 1.0)
        self._half_width = HALF_WIDTH * width
        self._noise_gain = width**2
        self._taps = count_taps(timeline.seconds, self._half_width)
        self.pose, self.gaze, self.torso = timeline.pose, timeline.gaze, timeline.torso
        if smooth > 0:
            pose = self._filter_place(timeline.pose, 4, STILL_HALF_WIDTH * width)
            gaze = self._filter_rows(timeline.gaze, self._half_width, timeline.unoccluded)
            self.pose, self.gaze = self._mix(timeline.pose, pose), self._mix(timeline.gaze, gaze)
        if smooth > 0 and timeline.torso.any():
            torso = self._filter_place(timeline.torso, 2, STILL_HALF_WIDTH * width)
            self.torso = self._mix(timeline.torso, torso)

    def _mix(self, raw: Array, filtered: Array) -> Array:
        """Return the filtered rows, mixed with the raw ones where smooth is less than 1."""
        return filtered if self._share == 1 else raw + self._share * (filtered - raw)

    def _filter_rows(self, rows: Array, half_width: float, usable: Bools) -> Array:
        timeline, taps = self._timeline, count_taps(self._timeline.seconds, half_width)
        filtered = np.zeros_like(rows)
        for start in range(0, len(timeline), BLOCK):
            stop, first = min(start + BLOCK, len(timeline)), max(start - taps, 0)
            weights = local_quadratic_weights(
                timeline.seconds, timeline.segment, usable, half_width, start, stop
            )
            filtered[start:stop] = apply_weights(weights, rows[first : stop + taps], start - first)
        return filtered

    def _filter_place(self, rows: Array, shift: int, still_half_width: float) -> Array:
        """Return filtered poses or torsos (T, N), whose shift begins at a column."""
        timeline = self._timeline
        narrow, wide = (
            self._filter_rows(rows, half_width, timeline.valid)
            for half_width in (self._half_width, still_half_width)
        )
        distance = self._distance(narrow, wide, shift)
        taps = count_taps(timeline.seconds, still_half_width)
        max_distance = distance.copy()  # over the neighbourhood, so that the filters change slowly
        for k in range(1, taps + 1):
            max_distance[k:] = np.maximum(max_distance[k:], distance[:-k])
            max_distance[:-k] = np.maximum(max_distance[:-k], distance[k:])
        motion = self._filter_rows(
            self._above_noise(STILL_RANGE, max_distance), still_half_width, timeline.valid
        )[:, None]
        smoothed = wide + np.clip(motion, 0, 1) * (narrow - wide)
        keep = self._above_noise(FAST_RANGE, self._distance(rows, narrow, shift))[:, None]
        return np.asarray(smoothed + keep * (rows - smoothed))

    def _above_noise(self, limits: tuple[float, float], distance: Array) -> Array:
        """Return 0 for distances of noise, 1 for distances of motion."""
        low, high = limits
        return smoothstep(low * self._noise_gain, high * self._noise_gain, distance)

    def _distance(self, a: Array, b: Array, shift: int) -> Array:
        """Return the distance (T,) of two places of detected frames, in IOD (or radians)."""
        difference = a - b
        difference[:, shift:] /= np.exp(self._timeline.pose[:, 3:4])  # to IOD
        difference[:, shift + 2 :] = 0  # depth is not visible
        return np.asarray(np.linalg.norm(difference, axis=-1) * self._timeline.valid)

    def expression(self, start: int, stop: int) -> Array:
        """Return the smoothed expressions, (stop - start, 468, 3) float64."""
        if self._share == 0:
            return np.asarray(self._store.window(start, stop).arrays["expression"], np.float64)
        first = max(start - self._taps, 0)
        rows = np.asarray(
            self._store.window(first, stop + self._taps).arrays["expression"], np.float64
        )
        timeline = self._timeline
        weights = local_quadratic_weights(
            timeline.seconds, timeline.segment, timeline.unoccluded, self._half_width, start, stop
        )
        smoothed, raw = (
            apply_weights(weights, rows, start - first),
            rows[start - first : stop - first],
        )
        distance = np.linalg.norm(raw - smoothed, axis=-1, keepdims=True)
        kept = self._above_noise(FAST_RANGE, distance) * (raw - smoothed)
        return self._mix(raw, np.asarray(smoothed + kept))


def create_filter(
    store: MotionStore, timeline: Timeline, smooth: float, causal: bool
) -> SmoothedMotion:
    """Return the filter for the options; smooth 0 leaves the rows unchanged."""
    return (
        CausalFilter(store, timeline, smooth)
        if causal
        else ZeroPhaseFilter(store, timeline, smooth)
    )


class GapFilledMotion:
    """Smoothed motion with every gap interpolated from both sides; see `Timeline`."""

    def __init__(self, timeline: Timeline, smoothed: SmoothedMotion) -> None:
        self._timeline, self._smoothed = timeline, smoothed
        self.pose = timeline.unseen_gaps.fill(smoothed.pose)
        self.gaze = timeline.occluded_gaps.fill(smoothed.gaze)
        self.torso = timeline.unseen_gaps.fill(smoothed.torso)

    def expression(self, start: int, stop: int) -> Array:
        """Return the expressions, (stop - start, 468, 3) float64."""
        gaps = self._timeline.occluded_gaps
        rows = self._smoothed.expression(start, stop)
        ends: dict[int, Array] = {}
        for i in np.flatnonzero(~self._timeline.unoccluded[start:stop]):
            previous, next_, blend = (
                int(gaps.previous[start + i]),
                int(gaps.next[start + i]),
                float(gaps.blend[start + i]),
            )
            for end in (previous, next_):
                if end not in ends:
                    ends[end] = self._smoothed.expression(end, end + 1)[0]
            rows[i] = ends[previous] + blend * (ends[next_] - ends[previous])
        return rows
