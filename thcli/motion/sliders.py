"""Motion from sliders: head turns, blinks, jaw, smile, brows, gaze and speech shapes on a generic face.

The shapes come from free recordings (data/face.safetensors, made by tools/make_motion_data.py: London set and GRID, both CC BY 4.0) and
are symmetric; they drive any source through `retarget` as a real driver's motion does.
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
from thcli.motion.canonical import Posed, lip_gaps, neutral, pack
from thcli.motion.observe import KIND

Slider = npt.ArrayLike
FACE_SIZE = 0.22  # the neutral face's IOD as a part of the picture's height
SHUTTING, SHUT, OPENING = (
    0.08,
    0.04,
    0.17,
)  # seconds of a blink's parts (Evinger et al. 1991: lids close twice as fast as they open)
BLINK_EVERY = 3.6  # seconds between blinks of somebody who talks, on average
BLINK_SPREAD = 0.45  # standard deviation of the logarithm of these
BLINK_LEAST = 0.8


@dataclass(frozen=True, slots=True)
class Shapes:
    """What a slider at 1 adds to the neutral mesh, (468, 3) canonical units each.

    jaw: mouth open.  smile: a broad smile.  wide: the mouth's corners drawn apart (below 0: pursed).  brow: brows raised.
    speech: (K, 468, 3) principal shapes of speech, by importance, one standard deviation each.  gaze: (2, 2) of a look into the camera.
    """

    jaw: Array
    smile: Array
    wide: Array
    brow: Array
    speech: Array
    gaze: Array


@cache
def shapes() -> Shapes:
    """The bundled shapes."""
    from safetensors.numpy import load

    table = load(files("thcli.motion").joinpath("data/face.safetensors").read_bytes())
    names = ("jaw", "smile", "wide", "brow", "speech", "gaze")
    return Shapes(*(np.asarray(table[name], np.float64) for name in names))


@dataclass(frozen=True, slots=True)
class Script:
    """Sliders, each a number or one a frame (T,).

    yaw (to the picture's left), pitch (down), roll (clockwise): degrees.  x, y: shift in IOD, right and down.  zoom: factor.
    blink: 0 open .. 1 shut, below 0 wider.  jaw, smile, wide, brow: see `Shapes`, 0..1 or -1..1.  gaze_x, gaze_y: eye widths, right and down.
    speech: (T, K') weights of the first speech shapes.  extra: (T, 468, 3) any expression besides, canonical units.
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


def motion(
    script: Script,
    pts: Sequence[int] | npt.NDArray[np.int64],
    time_base: Fraction,
    size: tuple[int, int] = (512, 512),
) -> Motion:
    """The script as a motion of kind "mesh", one frame for each time stamp, as if seen in pictures of `size`.

    Raises ValueError when a slider has another number of frames.
    """
    times = np.asarray(pts, np.int64)
    count = len(times)
    shape = _shape(script, count)
    sliders = {
        name: _rows(getattr(script, name), count)
        for name in ("yaw", "pitch", "roll", "x", "y", "zoom", "gaze_x", "gaze_y")
    }
    turn = np.radians(np.stack([sliders["pitch"], sliders["yaw"], sliders["roll"]], -1))
    width, height = size
    unit = FACE_SIZE * height
    place = np.stack([sliders["x"], sliders["y"], np.zeros(count)], -1) * unit
    place[:, :2] += ((width - 1) / 2, (height - 1) / 2)
    posed = Posed(matrix_from_rotvec(turn), np.log(unit * sliders["zoom"]), place, shape)
    look = shapes().gaze + np.stack([sliders["gaze_x"], sliders["gaze_y"]], -1)[:, None]
    arrays: dict[str, AnyArray] = {
        "pose": pack(posed, size),
        "expression": (shape - neutral()).astype(np.float32),
        "gaze": look.astype(np.float32),
        "track": np.zeros(count, np.int32),
    }
    constants = {"neutral": neutral(), "size": np.array(size, np.int64)}
    return Motion(KIND, times, time_base, np.ones(count, bool), arrays, constants)


def _rows(value: Slider, count: int) -> Array:
    return np.broadcast_to(np.asarray(value, np.float64), (count,))


def _shape(script: Script, count: int) -> Array:
    """(T, 468, 3) canonical shapes: the sliders' sum, then lips that do not cross and lids that meet."""
    table = shapes()
    shape = np.repeat(neutral()[None], count, 0)
    for name in ("jaw", "smile", "wide", "brow"):
        amount = _rows(getattr(script, name), count)
        if amount.any():
            shape += amount[:, None, None] * getattr(table, name)
    if script.speech is not None:
        shape += np.tensordot(script.speech, table.speech[: script.speech.shape[-1]], 1)
    if script.extra is not None:
        shape += script.extra
    closure.set_lips(shape, np.maximum(lip_gaps(shape), 0))
    openings = 1 - _rows(script.blink, count)
    closure.set_lids(shape, neutral(), np.stack([openings, openings], -1))
    return shape


def keys(seconds: npt.ArrayLike, *points: tuple[float, float]) -> Array:
    """A curve through (time, value) points, level at each and smooth between; constant outside. seconds: (T,), points in order of time."""
    at = np.asarray(seconds, np.float64)
    out = np.full(at.shape, points[0][1])
    for (t0, a), (t1, b) in itertools.pairwise(points):
        out = out + (b - a) * smoothstep(t0, t1, at)
    return np.asarray(out)


def blinks(seconds: npt.ArrayLike, times: Sequence[float]) -> Array:
    """The blink slider (T,) of blinks that begin at `times`: a quick close, a moment shut, a slower opening."""
    at = np.asarray(seconds, np.float64)
    out = np.zeros(at.shape)
    for start in times:
        shut = start + SHUTTING
        closing = smoothstep(start, shut, at)
        opening = smoothstep(shut + SHUT, shut + SHUT + OPENING, at)
        out = np.maximum(out, closing - opening)
    return np.asarray(out)


def blink_times(duration: float, seed: int, every: float = BLINK_EVERY) -> list[float]:
    """When a person blinks within `duration` seconds: log-normal pauses around `every` seconds. The same seed gives the same times."""
    generator = np.random.default_rng(seed)
    times: list[float] = []
    at = float(generator.uniform(0.3, every))
    while at < duration:
        times.append(at)
        at += max(
            float(every * np.exp(generator.normal(-(BLINK_SPREAD**2) / 2, BLINK_SPREAD))),
            BLINK_LEAST,
        )
    return times
