"""Calm crops: the path of a crop over a clip without jitter when the head is still and without lag when it turns.

Landmarks say where a head is, but tremble; pixels say how it moved since the frame before, to hundredths of a pixel, but not where it is,
and of a head that turns they show other sides (`optical`). So the pixels' steps are added up while the head does not turn, and what the
landmarks' path differs by from their sum changes so little that it can be averaged over seconds: nothing trembles, and nothing lags.

Where pixels say nothing the landmarks' own path is calmed. Zero-phase filters of different width run over the raw path. Where the narrow one stays near the wide one the head is
still and the wide one counts; where it leaves it the head moves and the narrow one counts; where the head darts off, the raw path
does. Place, size and angle are decided by themselves: a head that moves aside grows no larger. All are local lines fitted
with Gaussian weights in time, so that an uneven frame rate, missing frames and the clip's ends need no special case.
All of it looks a bounded number of frames ahead and back: a clip is done in windows, with the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.options import SteadyOptions
from thcli.core.types import Array, Crop

DEFAULT = SteadyOptions()
_REFERENCE = 512.0  # pixels across the crop in which SteadyOptions.still is measured
_DART = 0.4  # of the fast width: that of the filter for a head that darts off
_TOO_FAR = 1.5  # of SteadyOptions.still: leaving the fast path by this counts as darting
_TURN_SEEN = 0.2  # seconds: width of the filter through which a head is seen to turn
_GROUPS = ((0, 1), (2,), (3,))  # of the columns: place, size, angle


def params_of(crops: Sequence[Crop]) -> Array:
    """(T, 4) of crops that are similarities: centre x and y in the frame, log of the side in frame pixels, angle in radians.

    The angle is unwound along the sequence.  The side is that of the crop's width.
    """
    out = np.empty((len(crops), 4))
    for row, where in zip(out, crops, strict=True):
        matrix, (width, height) = where.crop_from_frame, where.size
        centre = np.linalg.solve(
            matrix[:2, :2], np.array([(width - 1) / 2, (height - 1) / 2]) - matrix[:2, 2]
        )
        scale = np.sqrt(np.linalg.det(matrix[:2, :2]))
        row[:] = *centre, np.log(width / scale), np.arctan2(matrix[0, 1], matrix[0, 0])
    out[:, 3] = np.unwrap(out[:, 3]) if len(out) else out[:, 3]
    return out


def crop_of(params: npt.ArrayLike, size: tuple[int, int]) -> Crop:
    """The Crop of (4,) params as `params_of` gives them, size (width, height)."""
    x, y, log_side, angle = np.asarray(params, np.float64)
    k = size[0] / np.exp(log_side)
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.eye(3)
    matrix[:2, :2] = k * np.array([[c, s], [-s, c]])
    matrix[:2, 2] = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2]) - matrix[:2, :2] @ np.array(
        [x, y]
    )
    return Crop(matrix, size)


def halo(options: SteadyOptions = DEFAULT) -> int:
    """Frames beyond a window, on both sides, that `steady` needs for the same result as with the whole clip."""
    return 5 * options.reach


def steady(
    params: npt.ArrayLike,
    seconds: npt.ArrayLike,
    valid: npt.ArrayLike | None = None,
    shot: npt.ArrayLike | None = None,
    steps: npt.ArrayLike | None = None,
    turns: npt.ArrayLike | None = None,
    *,
    options: SteadyOptions = DEFAULT,
) -> Array:
    """A calm path, (T, 4), of a raw one.

    params: (T, 4) as `params_of` gives them.  seconds: (T,) increasing.  valid: (T,) bool, False where there was no face: such
    rows are filled from their neighbours (NaN where none is within reach).  shot: (T,) labels; no filter looks across a change.
    steps: (T, 4) how the params changed since the frame before by the pixels, NaN where these do not say; None: nowhere.
    turns: (T, 2) radians that the head is turned to the side and down, NaN where unknown; None: it never turns.
    """
    raw = np.asarray(params, np.float64)
    time = np.asarray(seconds, np.float64)
    count = len(raw)
    good = np.ones(count, bool) if valid is None else np.asarray(valid, bool)
    label = np.zeros(count, np.int64) if shot is None else np.asarray(shot)
    if count == 0:
        return raw.copy()
    # Columns as the way of the crop's content, in pixels of a 512-pixel crop.
    side = local_line(raw[:, 2:3], time, good, label, options.slow, options.reach)
    units = (
        _REFERENCE / np.exp(side),
        np.full((count, 1), _REFERENCE / 2),
        np.full((count, 1), _REFERENCE / 2),
    )
    out = np.empty_like(raw)
    for columns, unit, slow in zip(
        _GROUPS, units, (options.slow, options.size, options.size), strict=True
    ):
        part = raw[:, columns]
        dart, fast, calm = (
            local_line(part, time, good, label, width, options.reach)
            for width in (_DART * options.fast, options.fast, slow)
        )
        blend = _Blend(time, label, unit, options.reach)
        fast = blend.nearer(fast, dart, _TOO_FAR * options.still, options.fast)
        out[:, columns] = blend.nearer(calm, fast, options.still, 3 * options.fast)
    if steps is None:
        return out
    trust = 1.0 - _turning(turns, time, label, options)
    sums = _summed(np.asarray(steps, np.float64), out, trust)
    rest = np.where(good[:, None], raw - sums, 0.0)
    for columns, unit in zip(_GROUPS, units, strict=True):
        part = rest[:, columns]
        fast = local_line(part, time, good, label, options.fast, options.reach)
        calm = _local_mean(part, time, good, label, options.anchor, options.reach)
        calm = _Blend(time, label, unit, options.reach).nearer(
            calm, fast, options.apart, 3 * options.fast
        )
        out[:, columns] = np.where(np.isfinite(out[:, columns]), sums[:, columns] + calm, np.nan)
    return out


def steady_points(
    points: npt.ArrayLike,
    seconds: npt.ArrayLike,
    valid: npt.NDArray[np.bool_],
    shot: npt.NDArray[np.generic],
    *,
    options: SteadyOptions = DEFAULT,
) -> Array:
    """Points of a face in its crop, (T, K, 2) pixels of a 512 crop, each by itself: still where it rests, as it was where it moves.

    seconds, valid, shot: (T,), as for `steady`, whose `halo` is more than enough here.
    """
    raw, time = np.asarray(points, np.float64), np.asarray(seconds, np.float64)
    count, number, _ = raw.shape
    flat = np.where(valid[:, None], raw.reshape(count, -1), 0.0)
    near = local_line(flat, time, valid, shot, _DART * options.fast, options.reach).reshape(
        raw.shape
    )
    far = _local_mean(flat, time, valid, shot, options.anchor, options.reach).reshape(raw.shape)
    near = np.where(np.isfinite(near), near, far)
    distance = np.hypot(*np.moveaxis(near - far, -1, 0)).reshape(count, number)
    leaves = distance**4 / (distance**4 + options.still**4)
    share = _local_mean(leaves, time, valid, shot, options.fast, options.reach)
    return np.asarray(far + share[..., None] * (near - far))


@dataclass(frozen=True, slots=True)
class _Blend:
    """Chooses between two paths. unit: (T, 1) pixels of a 512 crop that one of the paths' units is."""

    time: Array
    label: npt.NDArray[np.generic]
    unit: Array
    reach: int

    def nearer(self, far: Array, near: Array, limit: float, width: float) -> Array:
        """`far` where `near` stays within the limit of it, else `near`."""
        near = np.where(np.isfinite(near), near, far)  # in a gap a narrow filter sees nothing
        distance = np.hypot.reduce((near - far) * self.unit, axis=1)
        leaves = distance**4 / (distance**4 + limit**4)
        known = np.isfinite(leaves)
        # The choice between them is itself smooth in time: a switch would be seen as a jolt.
        share = _local_mean(
            np.where(known, leaves, 0.0)[:, None], self.time, known, self.label, width, self.reach
        )
        return np.asarray(far + share * (near - far))


def _summed(steps: Array, path: Array, trust: Array) -> Array:
    """(T, 4): the steps one upon the other, those of `path` where they are not known or not to be trusted."""
    own = np.diff(path, axis=0, prepend=path[:1])
    taken = np.where(np.isfinite(steps), own + trust[:, None] * (steps - own), own)
    taken[0] = 0.0
    return np.asarray(np.cumsum(np.where(np.isfinite(taken), taken, 0.0), axis=0))


def _turning(
    turns: npt.ArrayLike | None, time: Array, label: npt.NDArray[np.generic], options: SteadyOptions
) -> Array:
    """(T,) 0..1: how surely the head turns at that moment."""
    if turns is None or len(time) < 2:
        return np.zeros(len(time))
    raw = np.asarray(turns, np.float64)
    known = np.asarray(np.isfinite(raw).all(axis=1), np.bool_)
    smooth = local_line(
        np.where(known[:, None], raw, 0.0), time, known, label, _TURN_SEEN, options.reach
    )
    gap = np.maximum(np.gradient(time), 1e-6)
    speed = np.degrees(np.hypot(*(np.gradient(smooth, axis=0) / gap[:, None]).T))
    return np.where(np.isfinite(speed), speed**4 / (speed**4 + options.turning**4), 1.0)


def steady_windows(
    read: Callable[[int, int], tuple[npt.ArrayLike, ...]],
    count: int,
    window: int = 512,
    *,
    options: SteadyOptions = DEFAULT,
) -> Iterator[Array]:
    """`steady` over a clip of any length in constant memory: yields (window, 4) after (window, 4), in order.

    read: (start, stop) -> params, seconds, valid, shot (and steps, turns) of these frames, as `steady` takes them.  count: frames of the clip.
    """
    reach = halo(options)
    for start in range(0, count, window):
        stop = min(start + window, count)
        first, last = max(start - reach, 0), min(stop + reach, count)
        yield steady(*read(first, last), options=options)[start - first : stop - first]


def _shifted(count: int, reach: int) -> Iterator[tuple[slice, slice]]:
    """Pairs of slices: frames, and the frames that stand the same number of frames away, for every distance within reach."""
    for lag in range(-min(reach, count - 1), min(reach, count - 1) + 1):
        yield slice(max(-lag, 0), count - max(lag, 0)), slice(max(lag, 0), count - max(-lag, 0))


def _weights(
    here: slice,
    there: slice,
    time: Array,
    good: npt.NDArray[np.bool_],
    label: npt.NDArray[np.generic],
    width: float,
) -> tuple[Array, Array]:
    """Gaussian weights (n,) of the frames `there` for those `here`, 0 across shots and for bad ones; and the time between."""
    gap = time[there] - time[here]
    near = good[there] & (label[there] == label[here])
    return np.where(near, np.exp(-0.5 * (gap / width) ** 2), 0.0), gap


def local_line(
    raw: Array,
    time: Array,
    good: npt.NDArray[np.bool_],
    label: npt.NDArray[np.generic],
    width: float,
    reach: int,
) -> Array:
    """The value at each frame of the line fitted around it (local linear regression, Fan and Gijbels 1996, ch. 2)."""
    count, dims = raw.shape
    s0, s1, s2 = np.zeros(count), np.zeros(count), np.zeros(count)
    y0, y1 = np.zeros((count, dims)), np.zeros((count, dims))
    values = np.where(good[:, None], raw, 0.0)
    for here, there in _shifted(count, reach):
        w, gap = _weights(here, there, time, good, label, width)
        s0[here] += w
        s1[here] += w * gap
        s2[here] += w * gap**2
        y0[here] += w[:, None] * values[there]
        y1[here] += (w * gap)[:, None] * values[there]
    # A little is added to the spread of times, so that one lone neighbour (no slope) gives its own value.
    spread = s2 + 1e-6 * width**2 * s0
    bottom = s0 * spread - s1**2
    with np.errstate(divide="ignore", invalid="ignore"):
        out = (spread[:, None] * y0 - s1[:, None] * y1) / bottom[:, None]
    return np.where((s0 > 1e-9)[:, None], out, np.nan)


def _local_mean(
    raw: Array,
    time: Array,
    good: npt.NDArray[np.bool_],
    label: npt.NDArray[np.generic],
    width: float,
    reach: int,
) -> Array:
    """The weighted mean, (T, dims), around each frame; stays within the range of what it averages, which a line need not."""
    top, bottom = np.zeros(raw.shape), np.zeros(len(raw))
    for here, there in _shifted(len(raw), reach):
        w, _ = _weights(here, there, time, good, label, width)
        top[here] += w[:, None] * raw[there]
        bottom[here] += w
    return np.where(bottom[:, None] > 1e-9, top / np.maximum(bottom, 1e-9)[:, None], 0.0)
