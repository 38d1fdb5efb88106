"""A driver's clip for engines whose motion is plain arrays: gaps filled, rows smoothed, window by window; no torch.

Every array of these motions may be averaged entry by entry (points, affine maps, covariances, degrees, codes), so filling and
smoothing are the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, QhullError

from thcli.core.errors import MediaError, NoFaceError, UsageError
from thcli.core.options import MotionOptions
from thcli.core.protocols import MotionStore
from thcli.core.types import Array, Array32, Motion
from thcli.motion.smooth import HALF, apply, local_quadratic, reach

WINDOW = 64  # frames read at a time
LONG_GAP = 0.5  # seconds without a face across which nothing is smoothed
LANDMARKS = "landmarks"  # (T, 68, 2) pixels of the crop, where the driver's landmarker gives them

Rows = dict[str, Array32]  # name -> (T, ...)


class Clip:
    """A motion read as dense rows. Raises MediaError for another engine's motion, NoFaceError when no frame shows a face."""

    def __init__(
        self, store: MotionStore, kind: str, smooth: float, *, causal: bool = False
    ) -> None:
        if store.kind != kind:
            raise MediaError(
                f"The motion is of kind {store.kind!r}, but this engine needs {kind!r}.",
                "Choose the engine that made it (--engine), or drive with the video again.",
            )
        self.store, self.causal = store, causal
        windows = (store.window(i, i + WINDOW) for i in range(0, len(store), WINDOW))
        parts = [
            (w.valid.copy(), w.pts.copy(), w.time_base) for w in windows
        ]  # not the rows: a clip may be long
        self.valid = (
            np.concatenate([valid for valid, _, _ in parts]) if parts else np.zeros(0, bool)
        )
        if not self.valid.any():
            raise NoFaceError(
                "The driving motion shows no face in any frame.",
                "Choose another driving clip, or --face N.",
            )
        self.seconds = np.concatenate([pts for _, pts, _ in parts]).astype(np.float64) * float(
            parts[0][2]
        )
        self.seen = np.flatnonzero(self.valid)
        gaps = np.zeros(len(self.valid), np.intp)
        gaps[self.seen[1:]] = np.diff(self.seconds[self.seen]) > LONG_GAP
        self._run = np.cumsum(gaps)
        self._half = HALF * smooth
        self._taps = reach(self.seconds, self._half)

    def __len__(self) -> int:
        return len(self.valid)

    def rows(self, start: int, stop: int) -> Rows:
        """Smoothed rows of frames start..stop. A frame without a face is mixed from the nearest seen ones before and after it."""
        wanted = np.arange(start, stop)
        right = np.searchsorted(self.seen, wanted)
        after = self.seen[np.minimum(right, len(self.seen) - 1)]
        before = self.seen[np.maximum(right - (after != wanted), 0)]
        share = np.where(after > before, (wanted - before) / np.maximum(after - before, 1), 0.0)
        needed = np.unique(np.concatenate([before, after]))
        found = self._smoothed(needed)
        low, high = np.searchsorted(needed, before), np.searchsorted(needed, after)
        out = {}
        for name, rows in found.items():
            mix = share.reshape(-1, *(1,) * (rows.ndim - 1))
            out[name] = (rows[low] + mix * (rows[high] - rows[low])).astype(np.float32)
        return out

    def row(self, frame: int) -> Rows:
        """The rows (1, ...) of a single frame."""
        return self.rows(frame, frame + 1)

    def at(self, seconds: Array) -> Rows:
        """Rows (N, ...) at times (N,), rising, since the first frame: mixed from the frames before and after; the last one holds."""
        times = self.seconds - self.seconds[0]
        before = np.clip(np.searchsorted(times, seconds, "right") - 1, 0, len(self) - 1)
        after = np.minimum(before + 1, len(self) - 1)
        gap = np.where(after > before, times[after] - times[before], 1.0)
        share = np.clip((seconds - times[before]) / gap, 0, 1)
        first = int(before[0])
        out = {}
        for name, rows in self.rows(first, int(after[-1]) + 1).items():
            mix = share.reshape(-1, *(1,) * (rows.ndim - 1))
            low, high = rows[before - first], rows[after - first]
            out[name] = (low + mix * (high - low)).astype(np.float32)
        return out

    def _smoothed(self, frames: npt.NDArray[np.intp]) -> dict[str, Array]:
        """Rows of seen frames (sorted), one stretch without holes after the other."""
        parts = [
            self._stretch(s[0], s[-1] + 1)
            for s in np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
        ]
        return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    def _stretch(self, start: int, stop: int) -> dict[str, Array]:
        first = max(start - self._taps, 0)
        motion = self.store.window(first, stop + self._taps)
        arrays = {
            name: np.asarray(rows, np.float64)
            for name, rows in motion.arrays.items()
            if name != LANDMARKS
        }
        if self._half <= 0 or self._taps == 0:
            return {name: rows[start - first : stop - first] for name, rows in arrays.items()}
        weights = self._weights(start, stop)
        return {name: apply(weights, rows, start - first) for name, rows in arrays.items()}

    def _weights(self, start: int, stop: int) -> Array:
        """(stop - start, 2 taps + 1) of the neighbours: a local parabola, or, causal, a fading mean of the past alone."""
        if not self.causal:
            return local_quadratic(self.seconds, self._run, self.valid, self._half, start, stop)
        here = np.arange(start, stop)[:, None]
        index = here + np.arange(-self._taps, self._taps + 1)
        inside = (index >= 0) & (index <= here)
        index = np.clip(index, 0, len(self) - 1)
        age = (self.seconds[here] - self.seconds[index]) / self._half
        use = inside & self.valid[index] & (self._run[index] == self._run[here]) & (age < 1)
        weight = np.where(use, (1 - age) ** 2, 0.0)
        return np.asarray(weight / weight.sum(1, keepdims=True))

    def best_frame(self, landmarks: Array32 | None) -> int:
        """The driving frame that looks most like the source, by 68 landmarks; the first seen one when either has none, or causal.

        Source: first-order-model demo.py:find_best_frame.
        """
        if landmarks is None or self.causal:
            return int(self.seen[0])
        mine, best, least = shape_of(landmarks), int(self.seen[0]), np.inf
        for start in range(0, len(self), WINDOW):
            motion = self.store.window(start, start + WINDOW)
            if LANDMARKS not in motion.arrays:
                return best
            for i in np.flatnonzero(motion.valid):
                apart = float(
                    (
                        (shape_of(np.asarray(motion.arrays[LANDMARKS][i], np.float32)) - mine) ** 2
                    ).sum()
                )
                if apart < least:
                    best, least = start + int(i), apart
        return best


def shape_of(landmarks: Array32) -> Array:
    """(68, 2) points about their mean, in units of the square root of their hull's area; zeros where they have no extent."""
    centred = np.asarray(landmarks, np.float64)[:, :2]
    centred = centred - centred.mean(0)
    try:
        return np.asarray(centred / np.sqrt(ConvexHull(centred).volume))
    except QhullError:
        return np.zeros_like(centred)


@dataclass(frozen=True)
class Carried:
    """A source's motion as a MotionStore: each window of the clip through `carry`."""

    kind: str
    clip: Clip
    carry: Callable[[Rows], Rows]

    def __len__(self) -> int:
        return len(self.clip)

    def window(self, start: int, stop: int) -> Motion:
        """Frames start..stop, clipped to the clip; `valid` says where the face was really seen."""
        start = max(0, min(start, len(self)))
        stop = max(start, min(stop, len(self)))
        motion = self.clip.store.window(start, stop)
        rows = self.carry(self.clip.rows(start, stop)) if stop > start else {}
        return replace(motion, kind=self.kind, arrays=dict(rows), constants={})


def gains(options: MotionOptions, engine: str, *, parted: bool) -> tuple[float, float]:
    """Shares of the driver's pose and expression that are taken over; equal where the engine cannot tell them apart (not parted).

    Raises UsageError for options that the engine cannot follow.
    """
    allowed = ("all", "pose", "expression") if parted else ("all",)
    if options.region not in allowed:
        raise UsageError(
            f"The engine {engine} cannot move the {options.region} alone.",
            f"Use --region {' or '.join(allowed)}.",
        )
    pose = options.strength * options.pose * (options.region != "expression")
    expression = options.strength * options.expression * (options.region != "pose")
    if not parted and pose != expression:
        raise UsageError(
            f"The engine {engine} cannot tell pose from expression.", "Use --strength for both."
        )
    return pose, expression


def blended(own: Rows, target: Rows, share: float) -> Rows:
    """own + share * (target - own): share 1 is the target itself, bit for bit."""
    if share == 1:
        return target
    return {
        name: (own[name] + np.float32(share) * (rows - own[name])).astype(np.float32)
        for name, rows in target.items()
    }
