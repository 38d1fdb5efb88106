"""Driving motion of engines whose motion is plain arrays: filled gaps, smoothing, windows.

Every array of these motions may be averaged entry by entry (points, affine maps, covariances,
degrees, codes), so filling and smoothing are the same for all of them. The module does not import
torch.
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
from thcli.motion.file.windows import windows
from thcli.motion.smooth import HALF_WIDTH, apply_weights, count_taps, local_quadratic_weights

LONG_GAP = 0.5  # seconds without a face; smoothing does not reach across such a gap
LANDMARKS = "landmarks"  # (T, 68, 2) pixels of the crop, where the driver's landmarker gives them

Rows = dict[str, Array32]  # name -> (T, ...)


class SmoothedMotion:
    """A motion as dense rows: gaps are filled and the rows are smoothed."""

    def __init__(
        self, store: MotionStore, kind: str, smooth: float, *, causal: bool = False
    ) -> None:
        """Read which frames show a face.

        Args:
            store: the motion.
            kind: motion kind that the engine needs.
            smooth: strength of the smoothing; 0: none.
            causal: smooth with past frames alone.

        Raises:
            MediaError: the motion is of another kind.
            NoFaceError: no frame shows a face.
        """
        if store.kind != kind:
            raise MediaError(
                f"The motion is of kind {store.kind!r}, but this engine needs {kind!r}.",
                "Choose the engine that made it (--engine), or drive with the video itself.",
            )
        self.store, self.causal = store, causal
        # not the rows: a clip may be long
        parts = [(w.valid.copy(), w.pts.copy(), w.time_base) for w in windows(store)]
        self.valid = np.concatenate([p[0] for p in parts]) if parts else np.zeros(0, bool)
        if not self.valid.any():
            raise NoFaceError(
                "The driving motion shows no face in any frame.",
                "Choose another driving clip, or another face with --face N.",
            )
        pts = np.concatenate([p[1] for p in parts]).astype(np.float64)
        self.seconds = pts * float(parts[0][2])
        self.seen = np.flatnonzero(self.valid)
        gaps = np.zeros(len(self.valid), np.intp)
        gaps[self.seen[1:]] = np.diff(self.seconds[self.seen]) > LONG_GAP
        self._run = np.cumsum(gaps)
        self._half = HALF_WIDTH * smooth
        self._taps = count_taps(self.seconds, self._half)

    def __len__(self) -> int:
        return len(self.valid)

    def rows(self, start: int, stop: int) -> Rows:
        """Return the smoothed rows of frames start..stop.

        A frame without a face is interpolated between the nearest frames with one.
        """
        wanted = np.arange(start, stop)
        right = np.searchsorted(self.seen, wanted)
        after = self.seen[np.minimum(right, len(self.seen) - 1)]
        before = self.seen[np.maximum(right - (after != wanted), 0)]
        share = np.where(after > before, (wanted - before) / np.maximum(after - before, 1), 0.0)
        needed = np.unique(np.concatenate([before, after]))
        found = self._smooth_frames(needed)
        low, high = np.searchsorted(needed, before), np.searchsorted(needed, after)
        out = {}
        for name, rows in found.items():
            mix = share.reshape(-1, *(1,) * (rows.ndim - 1))
            out[name] = (rows[low] + mix * (rows[high] - rows[low])).astype(np.float32)
        return out

    def row(self, frame: int) -> Rows:
        """Return the rows (1, ...) of one frame."""
        return self.rows(frame, frame + 1)

    def rows_at(self, seconds: Array) -> Rows:
        """Interpolate the rows at times; the last frame holds after its end.

        Args:
            seconds: (N,) increasing times since the first frame.

        Returns:
            Rows (N, ...).
        """
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

    def _smooth_frames(self, frames: npt.NDArray[np.intp]) -> dict[str, Array]:
        """Smooth frames that show a face (sorted), one contiguous range after the other."""
        parts = [
            self._smooth_range(s[0], s[-1] + 1)
            for s in np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
        ]
        return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

    def _smooth_range(self, start: int, stop: int) -> dict[str, Array]:
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
        return {name: apply_weights(weights, rows, start - first) for name, rows in arrays.items()}

    def _weights(self, start: int, stop: int) -> Array:
        """Compute the neighbours' weights, (stop - start, 2 taps + 1).

        They fit a local parabola, or, when causal, a fading mean of past frames alone.
        """
        if not self.causal:
            return local_quadratic_weights(
                self.seconds, self._run, self.valid, self._half, start, stop
            )
        here = np.arange(start, stop)[:, None]
        index = here + np.arange(-self._taps, self._taps + 1)
        inside = (index >= 0) & (index <= here)
        index = np.clip(index, 0, len(self) - 1)
        age = (self.seconds[here] - self.seconds[index]) / self._half
        use = inside & self.valid[index] & (self._run[index] == self._run[here]) & (age < 1)
        weight = np.where(use, (1 - age) ** 2, 0.0)
        return np.asarray(weight / weight.sum(1, keepdims=True))

    def best_frame(self, landmarks: Array32 | None) -> int:
        """Find the driving frame whose face shape is closest to the source's.

        It is the first frame with a face when the source or the motion has no landmarks, or when
        causal. Source: first-order-model demo.py:find_best_frame.

        landmarks: (68, 2) pixels of the source, or None.
        """
        if landmarks is None or self.causal:
            return int(self.seen[0])
        own_shape, best, least = landmark_shape(landmarks), int(self.seen[0]), np.inf
        start = 0
        for motion in windows(self.store):
            if LANDMARKS not in motion.arrays:
                return best
            for i in np.flatnonzero(motion.valid):
                points = np.asarray(motion.arrays[LANDMARKS][i], np.float32)
                distance = float(((landmark_shape(points) - own_shape) ** 2).sum())
                if distance < least:
                    best, least = start + int(i), distance
            start += len(motion)
        return best


def landmark_shape(landmarks: Array32) -> Array:
    """Normalise (68, 2) landmarks to mean 0 and a convex hull of area 1; zeros when degenerate."""
    centred = np.asarray(landmarks, np.float64)[:, :2]
    centred = centred - centred.mean(0)
    try:
        return np.asarray(centred / np.sqrt(ConvexHull(centred).volume))
    except QhullError:
        return np.zeros_like(centred)


@dataclass(frozen=True)
class RetargetedMotion:
    """A source's motion as a MotionStore: each window of the driving motion through `transfer`."""

    kind: str
    driving: SmoothedMotion
    transfer: Callable[[Rows], Rows]

    def __len__(self) -> int:
        return len(self.driving)

    def window(self, start: int, stop: int) -> Motion:
        """Return frames start..stop, limited to the clip; `valid` marks frames with a face."""
        start = max(0, min(start, len(self)))
        stop = max(start, min(stop, len(self)))
        motion = self.driving.store.window(start, stop)
        rows = self.transfer(self.driving.rows(start, stop)) if stop > start else {}
        return replace(motion, kind=self.kind, arrays=dict(rows), constants={})


def transfer_gains(options: MotionOptions, engine: str, *, separable: bool) -> tuple[float, float]:
    """Compute the shares of the driver's pose and expression that are transferred.

    Args:
        options: strength, pose, expression and region.
        engine: name for messages.
        separable: whether the engine can separate pose from expression.

    Returns:
        pose, expression; equal when not separable.

    Raises:
        UsageError: the engine cannot follow the options.
    """
    allowed = ("all", "pose", "expression") if separable else ("all",)
    if options.region not in allowed:
        raise UsageError(
            f"The engine {engine} cannot move the {options.region} alone.",
            f"Use --region {' or '.join(allowed)}.",
        )
    pose = options.strength * options.pose * (options.region != "expression")
    expression = options.strength * options.expression * (options.region != "pose")
    if not separable and pose != expression:
        raise UsageError(
            f"The engine {engine} cannot separate pose from expression.",
            "Use --strength for both.",
        )
    return pose, expression


def blend_rows(own: Rows, target: Rows, share: float) -> Rows:
    """Interpolate rows: own + share * (target - own). Share 1 returns the target bit for bit."""
    if share == 1:
        return target
    return {
        name: (own[name] + np.float32(share) * (rows - own[name])).astype(np.float32)
        for name, rows in target.items()
    }
