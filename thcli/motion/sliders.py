"""Synthetic motion of a generic face from sliders: head pose, blinks, jaw, smile, brows, gaze,
speech.

The shapes come from free recordings (data/face.safetensors, made by tools/make_motion_data.py from
the London set and GRID, both CC BY 4.0) and are symmetric. `retarget` applies the motion to a
source as it does a driver's.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from thcli.core.geometry import matrix_from_rotvec
from thcli.core.imaging import smoothstep
from thcli.core.types import AnyArray, Array, Motion
from thcli.motion import closure
from thcli.motion.canonical import PosedShape, lip_gaps, neutral, pack_pose
from thcli.motion.observe import KIND

Slider = npt.ArrayLike
FACE_SIZE = 0.22  # IOD of the neutral face over the height of the image
# seconds of a blink's phases (Evinger et al. 1991: lids close twice as fast as they open)
CLOSING, SHUT, REOPENING = 0.08, 0.04, 0.17


@dataclass(frozen=True, slots=True)
class SliderShapes:
    """Displacement of the neutral mesh by each slider at 1, (468, 3) canonical units each.

    Attributes:
        jaw: open mouth.
        smile: broad smile.
        wide: mouth corners drawn apart (negative: pursed).
        brow: raised brows.
        speech: (K, 468, 3) principal shapes of speech by importance, one standard deviation each.
        gaze: (2, 2) gaze into the camera.
    """

    jaw: Array
    smile: Array
    wide: Array
    brow: Array
    speech: Array
    gaze: Array


@cache
def load_slider_shapes() -> SliderShapes:
    """Load the bundled shapes."""
    from safetensors.numpy import load

    table = load(files("thcli.motion").joinpath("data/face.safetensors").read_bytes())
    names = ("jaw", "smile", "wide", "brow", "speech", "gaze")
    return SliderShapes(*(np.asarray(table[name], np.float64) for name in names))


@dataclass(frozen=True, slots=True)
class SliderCurves:
    """Sliders, each a number or one number per frame (T,).

    Attributes:
        yaw: degrees, to the image's left.
        pitch: degrees, down.
        roll: degrees, clockwise.
        x, y: translation in IOD, right and down.
        zoom: factor.
        blink: 0 open to 1 shut, negative for widened eyes.
        jaw, smile, wide, brow: see `SliderShapes`, 0..1 or -1..1.
        gaze_x, gaze_y: eye widths, right and down.
        speech: (T, K') weights of the first speech shapes.
        extra: (T, 468, 3) additional expression, canonical units.
    """

    yaw: Slider = 0.0
    pitch: Slider = 0.0
    roll: Slider = 0.0
    x: Slider = 0.0
    y: Slider = 0.0
    zoom: Slider = 1.0
    blink: Slider = 0.0
    jaw: Slider = 0.0
    smile: Slider = 0.0
    wide: Slider = 0.0
    brow: Slider = 0.0
    gaze_x: Slider = 0.0
    gaze_y: Slider = 0.0
    speech: Array | None = field(default=None)
    extra: Array | None = field(default=None)


def motion_from_sliders(
    curves: SliderCurves,
    pts: Sequence[int] | npt.NDArray[np.int64],
    time_base: Fraction,
    size: tuple[int, int] = (512, 512),
) -> Motion:
    """Return a motion of kind "mesh" with one frame per time stamp.

    Args:
        curves: the sliders.
        pts: T time stamps in units of time_base seconds.
        time_base: seconds per unit.
        size: width and height of the virtual image in pixels.

    Raises:
        ValueError: a slider has another number of frames.
    """
    times = np.asarray(pts, np.int64)
    count = len(times)
    shape = _sum_shapes(curves, count)
    sliders = {
        name: _per_frame(getattr(curves, name), count)
        for name in ("yaw", "pitch", "roll", "x", "y", "zoom", "gaze_x", "gaze_y")
    }
    rotation = np.radians(np.stack([sliders["pitch"], sliders["yaw"], sliders["roll"]], -1))
    width, height = size
    iod = FACE_SIZE * height
    centre = np.stack([sliders["x"], sliders["y"], np.zeros(count)], -1) * iod
    centre[:, :2] += ((width - 1) / 2, (height - 1) / 2)
    posed = PosedShape(matrix_from_rotvec(rotation), np.log(iod * sliders["zoom"]), centre, shape)
    gaze = load_slider_shapes().gaze + np.stack([sliders["gaze_x"], sliders["gaze_y"]], -1)[:, None]
    arrays: dict[str, AnyArray] = {
        "pose": pack_pose(posed, size),
        "expression": (shape - neutral()).astype(np.float32),
        "gaze": gaze.astype(np.float32),
        "track": np.zeros(count, np.int32),
    }
    constants = {"neutral": neutral(), "size": np.array(size, np.int64)}
    return Motion(KIND, times, time_base, np.ones(count, bool), arrays, constants)


def _per_frame(value: Slider, count: int) -> Array:
    return np.broadcast_to(np.asarray(value, np.float64), (count,))


def _sum_shapes(curves: SliderCurves, count: int) -> Array:
    """Return the sum of the sliders' shapes, (T, 468, 3), with exact lids and lips.

    Lips do not cross.
    """
    table = load_slider_shapes()
    shape = np.repeat(neutral()[None], count, 0)
    for name in ("jaw", "smile", "wide", "brow"):
        amount = _per_frame(getattr(curves, name), count)
        if amount.any():
            shape += amount[:, None, None] * getattr(table, name)
    if curves.speech is not None:
        shape += np.tensordot(curves.speech, table.speech[: curves.speech.shape[-1]], 1)
    if curves.extra is not None:
        shape += curves.extra
    closure.set_lips(shape, np.maximum(lip_gaps(shape), 0))
    openings = 1 - _per_frame(curves.blink, count)
    closure.set_lids(shape, neutral(), np.stack([openings, openings], -1))
    return shape


def keyframe_curve(seconds: npt.ArrayLike, *points: tuple[float, float]) -> Array:
    """Return a smooth curve (T,) through (time, value) points, level at each point.

    Values are constant outside of the points.

    Args:
        seconds: (T,) times.
        points: (time, value) in ascending order of time.
    """
    times = np.asarray(seconds, np.float64)
    curve = np.full(times.shape, points[0][1])
    for (t0, a), (t1, b) in itertools.pairwise(points):
        curve = curve + (b - a) * smoothstep(t0, t1, times)
    return np.asarray(curve)


def blink_curve(seconds: npt.ArrayLike, times: Sequence[float]) -> Array:
    """Return the blink slider (T,) of blinks that begin at `times`.

    The lids close fast, stay shut for a moment and open more slowly.
    """
    at = np.asarray(seconds, np.float64)
    curve = np.zeros(at.shape)
    for begin in times:
        shut = begin + CLOSING
        closing = smoothstep(begin, shut, at)
        opening = smoothstep(shut + SHUT, shut + SHUT + REOPENING, at)
        curve = np.maximum(curve, closing - opening)
    return np.asarray(curve)
