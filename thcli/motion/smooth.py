"""Smoothing of a clip's motion, pose apart from expression: zero-phase for files, One-Euro for what may not look ahead.

The zero-phase filter is a local quadratic (Savitzky-Golay on the frames' own time stamps: at 25 frames a second and smooth 1 it is
the 7-frame, order-2 one); frames that were not seen (or whose face something covers), other scenes and what lies beyond a long gap take no part. The head's
pose gets a longer window where it hardly moves. What leaves the filter by more than noise does is let through: lips that close for
a single frame (p, b, m) do close.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.protocols import MotionStore
from thcli.core.types import Array
from thcli.motion.timeline import Bools, Ints, Timeline

HALF = 0.13  # seconds to each side: three frames at 25 a second
CALM_HALF = 0.33  # of the pose where it is calm
CALM = (0.006, 0.015)  # IOD by which the two filters may differ: calm below, moving above
QUICK = (
    0.008,
    0.018,
)  # IOD by which a point or the head leaves its filter: noise below; a blink, closing lips, a jerk above stay
MOST_TAPS = 24  # frames to each side, whatever the rate
ONE_EURO_POSE = (1.0, 8.0)  # least cutoff in Hz, beta (speeds in IOD or radians a second)
ONE_EURO_EXPRESSION = (1.5, 30.0)
ONE_EURO_GAZE = (1.0, 8.0)
ONE_EURO_SPEED = 1.0  # Hz, cutoff of the speed itself
BLOCK = 512  # frames whose weights are in memory at a time
CHECKPOINT = 128  # frames between kept states of the causal filter


class Smoother(Protocol):
    """Smoothed rows of a clip. `pose` and `gaze` are whole; expressions come by window. Rows of unseen frames mean nothing."""

    pose: Array
    gaze: Array

    def expression(self, start: int, stop: int) -> Array: ...


def local_quadratic(
    seconds: Array, run: Ints, usable: Bools, half: float, start: int, stop: int
) -> Array:
    """Weights (stop - start, 2 K + 1) of each frame's neighbours -K..K in its smoothed value; K depends on half and the clip alone.

    A frame's value is that of the parabola fitted to the seen frames of its run within `half` seconds, Epanechnikov weights.
    """
    taps = reach(seconds, half)
    offsets = np.arange(-taps, taps + 1)
    index = np.arange(start, stop)[:, None] + offsets
    inside = (index >= 0) & (index < len(seconds))
    index = np.clip(index, 0, len(seconds) - 1)
    here = np.arange(start, stop)
    u = (seconds[index] - seconds[here, None]) / max(half, 1e-9)
    use = inside & usable[index] & (run[index] == run[here, None]) & (np.abs(u) < 1)
    w = np.where(use, 1 - u**2, 0.0)
    u = np.where(use, u, 0.0)
    powers = np.stack([np.ones_like(u), u, u**2], -1)
    moments = np.einsum("tk,tki,tkj->tij", w, powers, powers)
    # the slope and bend that too few neighbours leave open stay zero
    moments += np.diag([1e-12, 1e-9, 1e-9])
    first = np.linalg.solve(
        moments, np.broadcast_to([[1.0], [0.0], [0.0]], (*moments.shape[:2], 1))
    )[..., 0]
    return np.asarray(w * np.einsum("ti,tki->tk", first, powers))


def reach(seconds: Array, half: float) -> int:
    """How many frames to each side lie within `half` seconds where the frames are closest, at most MOST_TAPS."""
    if len(seconds) < 2 or half <= 0:
        return 0
    return int(min(np.ceil(half / np.min(np.diff(seconds))), MOST_TAPS))


def apply(weights: Array, rows: Array, before: int) -> Array:
    """Sum over neighbours. weights: (n, 2 K + 1).  rows: (m, ...), the first of which lies `before` frames ahead of the first result.

    Adds one neighbour after the other, so that the result is the same bit for bit whatever the window.
    """
    count, width = weights.shape
    taps = width // 2
    out = np.zeros((count, *rows.shape[1:]))
    extra = (1,) * (rows.ndim - 1)
    for k in range(width):
        low = before - taps + k
        first, last = max(0, -low), min(count, len(rows) - low)
        if first < last:
            out[first:last] += (
                weights[first:last, k].reshape(-1, *extra) * rows[first + low : last + low]
            )
    return out


class ZeroPhase:
    """The centred filter; see the module."""

    def __init__(self, store: MotionStore, line: Timeline, smooth: float) -> None:
        self._store, self._line = store, line
        self._half = HALF * smooth
        self._taps = reach(line.seconds, self._half)
        self.pose = self._pose(CALM_HALF * smooth) if smooth > 0 else line.pose
        self.gaze = self._whole(line.gaze, self._half, line.clear) if smooth > 0 else line.gaze

    def _whole(self, rows: Array, half: float, usable: Bools) -> Array:
        line, taps = self._line, reach(self._line.seconds, half)
        out = np.zeros_like(rows)
        for start in range(0, len(line), BLOCK):
            stop, first = min(start + BLOCK, len(line)), max(start - taps, 0)
            weights = local_quadratic(line.seconds, line.run, usable, half, start, stop)
            out[start:stop] = apply(weights, rows[first : stop + taps], start - first)
        return out

    def _pose(self, calm_half: float) -> Array:
        line = self._line
        near, far = (self._whole(line.pose, half, line.valid) for half in (self._half, calm_half))
        distance = self._apart(near, far)
        taps = reach(line.seconds, calm_half)
        worst = (
            distance.copy()
        )  # of the neighbourhood: the change from one filter to the other must be slow itself
        for k in range(1, taps + 1):
            worst[k:] = np.maximum(worst[k:], distance[:-k])
            worst[:-k] = np.maximum(worst[:-k], distance[k:])
        share = self._whole(smoothstep(*CALM, worst), calm_half, line.valid)[:, None]
        calm = far + np.clip(share, 0, 1) * (near - far)
        quick = smoothstep(*QUICK, self._apart(line.pose, near))[:, None]
        return np.asarray(calm + quick * (line.pose - calm))

    def _apart(self, a: Array, b: Array) -> Array:
        """(T,) how far two paths of the pose lie apart where the face was seen, in IOD (or radians)."""
        apart = a - b
        apart[:, 4:] /= np.exp(self._line.pose[:, 3:4])  # to IOD
        apart[:, 6] = 0  # depth does not show
        return np.asarray(np.linalg.norm(apart, axis=-1) * self._line.valid)

    def expression(self, start: int, stop: int) -> Array:
        """(stop - start, 468, 3) float64."""
        if self._half <= 0:
            return np.asarray(self._store.window(start, stop).arrays["expression"], np.float64)
        first = max(start - self._taps, 0)
        rows = np.asarray(
            self._store.window(first, stop + self._taps).arrays["expression"], np.float64
        )
        line = self._line
        weights = local_quadratic(line.seconds, line.run, line.clear, self._half, start, stop)
        calm, raw = apply(weights, rows, start - first), rows[start - first : stop - first]
        apart = np.linalg.norm(raw - calm, axis=-1, keepdims=True)
        return np.asarray(calm + smoothstep(*QUICK, apart) * (raw - calm))


class _OneEuro:
    """Casiez et al. 2012, on arrays, by time stamps."""

    def __init__(self, cutoff: float, beta: float) -> None:
        self._cutoff, self._beta = cutoff, beta
        self.value: Array | None = None
        self.speed: Array | float = 0.0

    def state(self) -> tuple[Array | None, Array | float]:
        return self.value, self.speed

    def resume(self, state: tuple[Array | None, Array | float]) -> None:
        self.value, self.speed = state

    def step(self, x: Array, seconds: float) -> Array:
        """The filtered x, `seconds` after the last one; x itself at a beginning."""
        if self.value is None:
            self.value, self.speed = x, np.zeros_like(x)
            return x
        speed = (x - self.value) / seconds
        self.speed = self.speed + _share(np.asarray(ONE_EURO_SPEED), seconds) * (speed - self.speed)
        cutoff = self._cutoff + self._beta * np.abs(self.speed)
        self.value = self.value + _share(cutoff, seconds) * (x - self.value)
        return self.value


def _share(cutoff: Array, seconds: float) -> Array:
    r = 2 * np.pi * cutoff * seconds
    return np.asarray(r / (r + 1))


class Causal:
    """One-Euro: no frame depends on a later one. Restarts with every run. States are kept now and then, so any window can be asked for."""

    def __init__(self, store: MotionStore, line: Timeline, smooth: float) -> None:
        self._store, self._line, self._smooth = store, line, smooth
        self._kept: dict[int, tuple[int | None, tuple[Array | None, Array | float]]] = {}
        seen = np.flatnonzero(line.valid)
        iod = float(np.exp(line.pose[seen[0], 3])) if len(seen) else 1.0
        units = np.array([1, 1, 1, 1, iod, iod, iod])  # speeds are in radians and IOD a second
        self.pose = (
            self._scalars(line.pose / units, ONE_EURO_POSE, line.valid) * units
            if smooth > 0
            else line.pose
        )
        self.gaze = self._scalars(line.gaze, ONE_EURO_GAZE, line.clear) if smooth > 0 else line.gaze

    def _filter(self, constants: tuple[float, float]) -> _OneEuro:
        cutoff, beta = constants
        return _OneEuro(cutoff / self._smooth, beta / self._smooth)

    def _scalars(self, rows: Array, constants: tuple[float, float], usable: Bools) -> Array:
        out, state, last = rows.copy(), self._filter(constants), None
        for i in np.flatnonzero(usable):
            last = self._advance(state, int(i), last, rows[i], out[i])
        return out

    def _advance(self, state: _OneEuro, i: int, last: int | None, x: Array, out: Array) -> int:
        line = self._line
        if last is not None and line.run[i] != line.run[last]:
            state.resume((None, 0.0))
        out[...] = state.step(
            np.array(x), 0.0 if last is None else float(line.seconds[i] - line.seconds[last])
        )
        return i

    def expression(self, start: int, stop: int) -> Array:
        """(stop - start, 468, 3) float64."""
        rows = np.asarray(self._store.window(start, stop).arrays["expression"], np.float64)
        if self._smooth == 0:
            return rows
        state = self._filter(ONE_EURO_EXPRESSION)
        at, last = max((k for k in self._kept if k <= start), default=0), None
        if at in self._kept:
            last, kept = self._kept[at]
            state.resume(kept)
        out = rows.copy()
        while at < stop:
            # frames before the window are only run through, in pieces
            upto = start if at < start else stop
            upto = min(upto, (at // CHECKPOINT + 1) * CHECKPOINT)
            piece = (
                rows[at - start : upto - start]
                if at >= start
                else self._store.window(at, upto).arrays["expression"]
            )
            for i in range(at, upto):
                if self._line.clear[i]:
                    x = np.asarray(piece[i - at], np.float64)
                    last = self._advance(
                        state, i, last, x, out[i - start] if i >= start else np.empty_like(x)
                    )
            at = upto
            if at % CHECKPOINT == 0:
                self._kept[at] = last, state.state()
        return out


def smoother(store: MotionStore, line: Timeline, smooth: float, causal: bool) -> Smoother:
    """The filter that the options ask for. smooth 0: the rows as they are."""
    return Causal(store, line, smooth) if causal else ZeroPhase(store, line, smooth)


class Filled:
    """What was smoothed, with every gap filled from its two sides; see `Timeline`."""

    def __init__(self, line: Timeline, smooth: Smoother) -> None:
        self._line, self._smooth = line, smooth
        self.pose = line.lost.fill(smooth.pose)
        self.gaze = line.covered.fill(smooth.gaze)

    def expression(self, start: int, stop: int) -> Array:
        """(stop - start, 468, 3) float64."""
        gaps = self._line.covered
        rows = self._smooth.expression(start, stop)
        ends: dict[int, Array] = {}
        for i in np.flatnonzero(~self._line.clear[start:stop]):
            a, b, mix = (
                int(gaps.before[start + i]),
                int(gaps.after[start + i]),
                float(gaps.mix[start + i]),
            )
            for end in (a, b):
                if end not in ends:
                    ends[end] = self._smooth.expression(end, end + 1)[0]
            rows[i] = ends[a] + mix * (ends[b] - ends[a])
        return rows
