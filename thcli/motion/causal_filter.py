"""Causal smoothing of motion: the One-Euro filter (Casiez et al. 2012)."""

from __future__ import annotations

import numpy as np

from thcli.core.protocols import MotionStore
from thcli.core.types import Array
from thcli.motion.timeline import Bools, Timeline

ONE_EURO_POSE = (1.0, 8.0)  # minimum cutoff in Hz, beta (speeds in IOD or radians per second)
ONE_EURO_EXPRESSION = (1.5, 30.0)
ONE_EURO_GAZE = (1.0, 8.0)
ONE_EURO_SPEED = 1.0  # Hz, cutoff of the speed
CHECKPOINT = 128  # frames between stored states of the causal filter


class _OneEuroFilter:
    """One-Euro filter of arrays at given time stamps (Casiez et al. 2012)."""

    def __init__(self, cutoff: float, beta: float) -> None:
        self._cutoff, self._beta = cutoff, beta
        self.value: Array | None = None
        self.speed: Array | float = 0.0

    def state(self) -> tuple[Array | None, Array | float]:
        return self.value, self.speed

    def resume(self, state: tuple[Array | None, Array | float]) -> None:
        self.value, self.speed = state

    def step(self, x: Array, seconds: float) -> Array:
        """Return the filtered x, `seconds` after the previous one; x itself at the beginning."""
        if self.value is None:
            self.value, self.speed = x, np.zeros_like(x)
            return x
        speed = (x - self.value) / seconds
        self.speed = self.speed + _smoothing_factor(np.asarray(ONE_EURO_SPEED), seconds) * (
            speed - self.speed
        )
        cutoff = self._cutoff + self._beta * np.abs(self.speed)
        self.value = self.value + _smoothing_factor(cutoff, seconds) * (x - self.value)
        return self.value


def _smoothing_factor(cutoff: Array, seconds: float) -> Array:
    rate = 2 * np.pi * cutoff * seconds
    return np.asarray(rate / (rate + 1))


class CausalFilter:
    """One-Euro filter as a SmoothedMotion: no frame depends on a later one.

    The filter restarts with every segment. Its states are stored at intervals, so that any window
    can be read.
    """

    def __init__(self, store: MotionStore, timeline: Timeline, smooth: float) -> None:
        self._store, self._timeline, self._smooth = store, timeline, smooth
        self._checkpoints: dict[int, tuple[int | None, tuple[Array | None, Array | float]]] = {}
        detected = np.flatnonzero(timeline.valid)
        iod = float(np.exp(timeline.pose[detected[0], 3])) if len(detected) else 1.0
        # speeds are in radians and IOD per second
        units, torso_units = np.array([1, 1, 1, 1, iod, iod, iod]), np.array([1, 1, iod, iod])
        self.pose = (
            self._filter_rows(timeline.pose / units, ONE_EURO_POSE, timeline.valid) * units
            if smooth > 0
            else timeline.pose
        )
        self.torso = (
            self._filter_rows(timeline.torso / torso_units, ONE_EURO_POSE, timeline.valid)
            * torso_units
            if smooth > 0 and timeline.torso.any()
            else timeline.torso
        )
        self.gaze = (
            self._filter_rows(timeline.gaze, ONE_EURO_GAZE, timeline.unoccluded)
            if smooth > 0
            else timeline.gaze
        )

    def _create_filter(self, constants: tuple[float, float]) -> _OneEuroFilter:
        cutoff, beta = constants
        return _OneEuroFilter(cutoff / self._smooth, beta / self._smooth)

    def _filter_rows(self, rows: Array, constants: tuple[float, float], usable: Bools) -> Array:
        filtered, state, last = rows.copy(), self._create_filter(constants), None
        for i in np.flatnonzero(usable):
            last = self._advance(state, int(i), last, rows[i], filtered[i])
        return filtered

    def _advance(
        self, state: _OneEuroFilter, i: int, last: int | None, x: Array, out: Array
    ) -> int:
        timeline = self._timeline
        if last is not None and timeline.segment[i] != timeline.segment[last]:
            state.resume((None, 0.0))
        out[...] = state.step(
            np.array(x),
            0.0 if last is None else float(timeline.seconds[i] - timeline.seconds[last]),
        )
        return i

    def expression(self, start: int, stop: int) -> Array:
        """Return the smoothed expressions, (stop - start, 468, 3) float64."""
        rows = np.asarray(self._store.window(start, stop).arrays["expression"], np.float64)
        if self._smooth == 0:
            return rows
        state = self._create_filter(ONE_EURO_EXPRESSION)
        frame, last = max((k for k in self._checkpoints if k <= start), default=0), None
        if frame in self._checkpoints:
            last, stored = self._checkpoints[frame]
            state.resume(stored)
        filtered = rows.copy()
        while frame < stop:
            # frames before the window are filtered only for the state, in blocks
            block_end = start if frame < start else stop
            block_end = min(block_end, (frame // CHECKPOINT + 1) * CHECKPOINT)
            block = (
                rows[frame - start : block_end - start]
                if frame >= start
                else self._store.window(frame, block_end).arrays["expression"]
            )
            for i in range(frame, block_end):
                if self._timeline.unoccluded[i]:
                    x = np.asarray(block[i - frame], np.float64)
                    last = self._advance(
                        state, i, last, x, filtered[i - start] if i >= start else np.empty_like(x)
                    )
            frame = block_end
            if frame % CHECKPOINT == 0:
                self._checkpoints[frame] = last, state.state()
        return filtered
