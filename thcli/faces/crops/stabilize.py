"""Stabilization of a crop path: no jitter while the head is still, no lag when it moves.

Landmarks give the absolute position of a head, with jitter. Pixels (`tracking.head_motion`) give
its motion from frame to frame to hundredths of a pixel, without an absolute position, and show
other sides of a head that turns. So pixel steps are integrated while the head does not turn. The
difference between the landmarks' path and that integral changes slowly, and is averaged over
seconds: neither jitter nor lag.

Where pixels give no step, the landmarks' own path is smoothed. Zero-phase filters of different
width run over the raw path. Where the narrow one stays near the wide one, the head is still and the
wide one is used. Where it leaves the wide one, the head moves and the narrow one is used. Where the
head moves abruptly, the raw path is used. Position, size and angle are decided separately: a head
that moves sideways does not grow. All filters are local lines fitted with Gaussian weights in time,
so uneven frame rates, missing frames and the ends of the clip need no special case. All filters
have
bounded reach: windows of a clip give the same result as the whole clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.options import StabilizationOptions
from thcli.core.types import Array, Crop

DEFAULT = StabilizationOptions()
_REFERENCE_SIDE = 512.0  # side of the crop in whose pixels SteadyOptions.still is given
_DART_WIDTH = 0.4  # width of the filter for abrupt motion, in units of the fast width
_DART_LIMIT = 1.5  # distance from the fast path that is abrupt motion, in SteadyOptions.still
_TURN_WIDTH = 0.2  # seconds: width of the filter of the head's turning speed
_COLUMN_GROUPS = ((0, 1), (2,), (3,))  # position, size, angle


def crop_params(crops: Sequence[Crop]) -> Array:
    """Return the parameters of crops that are similarities, (T, 4) float64.

    Columns: centre x and y in the frame, log of the side (the crop's width) in frame pixels, angle
    in radians, unwrapped along the sequence.
    """
    out = np.empty((len(crops), 4))
    for row, placement in zip(out, crops, strict=True):
        matrix, (width, height) = placement.crop_from_frame, placement.size
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        centre = np.linalg.solve(matrix[:2, :2], middle - matrix[:2, 2])
        scale = np.sqrt(np.linalg.det(matrix[:2, :2]))
        row[:] = *centre, np.log(width / scale), np.arctan2(matrix[0, 1], matrix[0, 0])
    out[:, 3] = np.unwrap(out[:, 3]) if len(out) else out[:, 3]
    return out


def crop_from_params(params: npt.ArrayLike, size: tuple[int, int]) -> Crop:
    """Return the Crop of parameters (4,) as `crop_params` gives them; size: (width, height)."""
    x, y, log_side, angle = np.asarray(params, np.float64)
    k = size[0] / np.exp(log_side)
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.eye(3)
    matrix[:2, :2] = k * np.array([[c, s], [-s, c]])
    middle = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2])
    matrix[:2, 2] = middle - matrix[:2, :2] @ np.array([x, y])
    return Crop(matrix, size)


def halo(options: StabilizationOptions = DEFAULT) -> int:
    """Return the frames on both sides of a window that make its result that of the whole clip."""
    return 5 * options.reach


def stabilize(
    params: npt.ArrayLike,
    seconds: npt.ArrayLike,
    valid: npt.ArrayLike | None = None,
    scene: npt.ArrayLike | None = None,
    steps: npt.ArrayLike | None = None,
    turns: npt.ArrayLike | None = None,
    *,
    options: StabilizationOptions = DEFAULT,
) -> Array:
    """Stabilize a raw path.

    Args:
        params: (T, 4) as `crop_params` gives them.
        seconds: (T,) increasing.
        valid: (T,) bool, False where there was no face; those rows are filled from their neighbours
            (NaN where none is within reach).
        scene: (T,) labels; no filter crosses a change.
        steps: (T, 4) changes of the params since the frame before, from pixels; NaN where unknown.
        turns: (T, 2) rotation of the head to the side and down, in radians, NaN where unknown; None
            for a head that never turns.
        options: widths and limits of the filters.

    Returns:
        The smooth path, (T, 4).
    """
    raw = np.asarray(params, np.float64)
    time = np.asarray(seconds, np.float64)
    count = len(raw)
    known = np.ones(count, bool) if valid is None else np.asarray(valid, bool)
    label = np.zeros(count, np.int64) if scene is None else np.asarray(scene)
    if count == 0:
        return raw.copy()
    # Units that turn each column into motion of the crop's content, in pixels of a 512 crop.
    side = local_linear_fit(raw[:, 2:3], time, known, label, options.slow, options.reach)
    units = (
        _REFERENCE_SIDE / np.exp(side),
        np.full((count, 1), _REFERENCE_SIDE / 2),
        np.full((count, 1), _REFERENCE_SIDE / 2),
    )
    out = np.empty_like(raw)
    for columns, unit, slow in zip(
        _COLUMN_GROUPS, units, (options.slow, options.size, options.size), strict=True
    ):
        part = raw[:, columns]
        narrowest, narrow, wide = (
            local_linear_fit(part, time, known, label, width, options.reach)
            for width in (_DART_WIDTH * options.fast, options.fast, slow)
        )
        paths = _PathBlend(time, label, unit, options.reach)
        narrow = paths.blend(narrow, narrowest, _DART_LIMIT * options.still, options.fast)
        out[:, columns] = paths.blend(wide, narrow, options.still, 3 * options.fast)
    if steps is None:
        return out
    confidence = 1.0 - _turn_weight(turns, time, label, options)
    integral = _integrate_steps(np.asarray(steps, np.float64), out, confidence)
    difference = np.where(known[:, None], raw - integral, 0.0)
    for columns, unit in zip(_COLUMN_GROUPS, units, strict=True):
        part = difference[:, columns]
        narrow = local_linear_fit(part, time, known, label, options.fast, options.reach)
        wide = _local_mean(part, time, known, label, options.anchor, options.reach)
        paths = _PathBlend(time, label, unit, options.reach)
        anchor = paths.blend(wide, narrow, options.apart, 3 * options.fast)
        smooth = integral[:, columns] + anchor
        out[:, columns] = np.where(np.isfinite(out[:, columns]), smooth, np.nan)
    return out


def smooth_points(
    points: npt.ArrayLike,
    seconds: npt.ArrayLike,
    valid: npt.NDArray[np.bool_],
    scene: npt.NDArray[np.generic],
    *,
    options: StabilizationOptions = DEFAULT,
) -> Array:
    """Smooth points of a face in its crop, each separately: steady at rest, unchanged in motion.

    Args:
        points: (T, K, 2) pixels of a 512 crop.
        seconds, valid, scene: (T,), as for `stabilize`, whose `halo` is more than enough here.
        options: widths and limits of the filters.
    """
    raw, time = np.asarray(points, np.float64), np.asarray(seconds, np.float64)
    count, number, _ = raw.shape
    flat = np.where(valid[:, None], raw.reshape(count, -1), 0.0)
    width = _DART_WIDTH * options.fast
    narrow = local_linear_fit(flat, time, valid, scene, width, options.reach).reshape(raw.shape)
    wide = _local_mean(flat, time, valid, scene, options.anchor, options.reach).reshape(raw.shape)
    narrow = np.where(np.isfinite(narrow), narrow, wide)
    distance = np.hypot(*np.moveaxis(narrow - wide, -1, 0)).reshape(count, number)
    motion = distance**4 / (distance**4 + options.still**4)
    weight = _local_mean(motion, time, valid, scene, options.fast, options.reach)
    return np.asarray(wide + weight[..., None] * (narrow - wide))


@dataclass(frozen=True, slots=True)
class _PathBlend:
    """Blend of two paths by their distance.

    unit: (T, 1) pixels of a 512 crop per unit of the paths.
    """

    time: Array
    label: npt.NDArray[np.generic]
    unit: Array
    reach: int

    def blend(self, wide: Array, narrow: Array, limit: float, width: float) -> Array:
        """Return `wide` where `narrow` stays within the limit of it, else `narrow`."""
        narrow = np.where(np.isfinite(narrow), narrow, wide)  # a narrow filter is empty in a gap
        distance = np.hypot.reduce((narrow - wide) * self.unit, axis=1)
        motion = distance**4 / (distance**4 + limit**4)
        known = np.isfinite(motion)
        # The weight is itself smooth in time: a switch would show as a jump.
        motion = np.where(known, motion, 0.0)[:, None]
        weight = _local_mean(motion, self.time, known, self.label, width, self.reach)
        return np.asarray(wide + weight * (narrow - wide))


def _integrate_steps(steps: Array, path: Array, confidence: Array) -> Array:
    """Integrate steps to a path, (T, 4).

    Where steps are unknown, or confidence (T,) is low, those of `path` are used.
    """
    path_steps = np.diff(path, axis=0, prepend=path[:1])
    mixed = path_steps + confidence[:, None] * (steps - path_steps)
    used = np.where(np.isfinite(steps), mixed, path_steps)
    used[0] = 0.0
    return np.asarray(np.cumsum(np.where(np.isfinite(used), used, 0.0), axis=0))


def _turn_weight(
    turns: npt.ArrayLike | None,
    time: Array,
    label: npt.NDArray[np.generic],
    options: StabilizationOptions,
) -> Array:
    """Return how certainly the head turns at each frame, (T,) 0..1."""
    if turns is None or len(time) < 2:
        return np.zeros(len(time))
    raw = np.asarray(turns, np.float64)
    known = np.asarray(np.isfinite(raw).all(axis=1), np.bool_)
    smooth = local_linear_fit(
        np.where(known[:, None], raw, 0.0), time, known, label, _TURN_WIDTH, options.reach
    )
    gap = np.maximum(np.gradient(time), 1e-6)
    speed = np.degrees(np.hypot(*(np.gradient(smooth, axis=0) / gap[:, None]).T))
    return np.where(np.isfinite(speed), speed**4 / (speed**4 + options.turning**4), 1.0)


def stabilize_windows(
    read: Callable[[int, int], tuple[npt.ArrayLike, ...]],
    count: int,
    window: int = 512,
    *,
    options: StabilizationOptions = DEFAULT,
) -> Iterator[Array]:
    """Stabilize a clip of any length in constant memory.

    Args:
        read: (start, stop) -> params, seconds, valid, scene (and steps, turns) of these frames, as
            `stabilize` takes them.
        count: frames of the clip.
        window: frames per window.
        options: widths and limits of the filters.

    Yields:
        (window, 4) after (window, 4), in order, equal to `stabilize` of the whole clip.
    """
    reach = halo(options)
    for start in range(0, count, window):
        stop = min(start + window, count)
        first, last = max(start - reach, 0), min(stop + reach, count)
        yield stabilize(*read(first, last), options=options)[start - first : stop - first]


def _lag_slices(count: int, reach: int) -> Iterator[tuple[slice, slice]]:
    """Yield pairs of slices for every lag within reach: frames, and the frames at that lag."""
    for lag in range(-min(reach, count - 1), min(reach, count - 1) + 1):
        yield slice(max(-lag, 0), count - max(lag, 0)), slice(max(lag, 0), count - max(-lag, 0))


def _weights(
    here: slice,
    there: slice,
    time: Array,
    valid: npt.NDArray[np.bool_],
    label: npt.NDArray[np.generic],
    width: float,
) -> tuple[Array, Array]:
    """Return Gaussian weights (n,) of frames `there` for frames `here`, and the time between them.

    The weight is 0 across scenes and for invalid frames.
    """
    gap = time[there] - time[here]
    usable = valid[there] & (label[there] == label[here])
    return np.where(usable, np.exp(-0.5 * (gap / width) ** 2), 0.0), gap


def local_linear_fit(
    raw: Array,
    time: Array,
    valid: npt.NDArray[np.bool_],
    label: npt.NDArray[np.generic],
    width: float,
    reach: int,
) -> Array:
    """Return the value at each frame of a line fitted around it, (T, dims).

    Local linear regression with Gaussian weights in time (Fan and Gijbels 1996, ch. 2).

    Args:
        raw: (T, dims).
        time: (T,) seconds.
        valid: (T,), False for rows to ignore.
        label: (T,) scene labels; no line crosses a change.
        width: standard deviation of the weights, in seconds.
        reach: frames on both sides that are read.

    Returns:
        (T, dims), NaN where no valid row is within reach.
    """
    count, dims = raw.shape
    s0, s1, s2 = np.zeros(count), np.zeros(count), np.zeros(count)
    y0, y1 = np.zeros((count, dims)), np.zeros((count, dims))
    values = np.where(valid[:, None], raw, 0.0)
    for here, there in _lag_slices(count, reach):
        w, gap = _weights(here, there, time, valid, label, width)
        s0[here] += w
        s1[here] += w * gap
        s2[here] += w * gap**2
        y0[here] += w[:, None] * values[there]
        y1[here] += (w * gap)[:, None] * values[there]
    # A small term regularizes the slope, so that a single neighbour gives its own value.
    spread = s2 + 1e-6 * width**2 * s0
    bottom = s0 * spread - s1**2
    with np.errstate(divide="ignore", invalid="ignore"):
        out = (spread[:, None] * y0 - s1[:, None] * y1) / bottom[:, None]
    return np.where((s0 > 1e-9)[:, None], out, np.nan)


def _local_mean(
    raw: Array,
    time: Array,
    valid: npt.NDArray[np.bool_],
    label: npt.NDArray[np.generic],
    width: float,
    reach: int,
) -> Array:
    """Return the weighted mean around each frame, (T, dims); arguments as `local_linear_fit`.

    It stays within the range of its inputs, which a line need not.
    """
    top, bottom = np.zeros(raw.shape), np.zeros(len(raw))
    for here, there in _lag_slices(len(raw), reach):
        w, _ = _weights(here, there, time, valid, label, width)
        top[here] += w[:, None] * raw[there]
        bottom[here] += w
    return np.where(bottom[:, None] > 1e-9, top / np.maximum(bottom, 1e-9)[:, None], 0.0)
