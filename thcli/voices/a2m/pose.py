"""The head that a mouth is put on: one that moves by itself, one that keeps still, or one that was recorded (`--pose`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Protocol

import numpy as np

from thcli.core.errors import MediaError
from thcli.core.options import VoiceOptions
from thcli.core.types import AnyArray, Array, Motion, Stamps
from thcli.motion import idle_motion, sliders
from thcli.motion.canonical import neutral
from thcli.motion.file import MotionFile
from thcli.motion.idle_motion import Bearing, Speaking
from thcli.motion.observe import KIND
from thcli.motion.smooth import Filled, ZeroPhase
from thcli.motion.timeline import scan

SIZE = (512, 512)  # of the pictures that the motion is as if seen in
CALM = 1.0  # smoothing of a recorded head


class Head(Protocol):
    """Puts faces (T, 468, 3), canonical, and blinks (T,) 0..1 on a head: motion of kind "mesh" with a constant `rest`."""

    def motion(self, shape: Array, blink: Array, pts: Stamps, time_base: Fraction) -> Motion: ...


def head(options: VoiceOptions, seed: int, speaking: Speaking) -> Head:
    """The head that --pose names. Raises MediaError when it names a file that holds no head."""
    if options.pose_file is not None:
        return Recorded(MotionFile(options.pose_file), str(options.pose_file))
    if options.pose == "still":
        return Moving(idle_motion.still)
    return Moving(lambda seconds: idle_motion.bearing(seconds, seed, speaking))


class Moving:
    """A head that bears itself as a function of time says."""

    def __init__(self, bears: Callable[[Array], Bearing]) -> None:
        self._bears = bears

    def motion(self, shape: Array, blink: Array, pts: Stamps, time_base: Fraction) -> Motion:
        """See `Head`."""
        bearing = self._bears(np.asarray(pts * float(time_base), np.float64))
        pitch, yaw, roll = np.degrees(bearing.turn).T
        script = sliders.Script(
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            x=bearing.shift[:, 0],
            y=bearing.shift[:, 1],
            zoom=bearing.zoom,
            blink=blink,
            brow=bearing.brow,
            gaze_x=bearing.gaze[:, 0],
            gaze_y=bearing.gaze[:, 1],
            extra=shape - neutral(),
        )
        return resting(sliders.motion(script, pts, time_base, SIZE), _rest())


class Recorded:
    """The head of a motion file, forwards and backwards in turn where the sound lasts longer; from the pose that it begins with."""

    def __init__(self, store: MotionFile, name: str) -> None:
        if store.kind != KIND:
            raise MediaError(
                f"{name} holds motion of kind {store.kind!r}; a head is taken from kind {KIND!r}.",
                "Make it with: thcli encode VIDEO.",
            )
        line = scan(store)
        if not line.clear.any():
            raise MediaError(f"No frame of {name} shows a head.", "Choose another motion file.")
        self._pose = Filled(line, ZeroPhase(store, line, CALM)).pose
        self._seconds = line.seconds - line.seconds[0]
        self._size = store.window(0, 0).constants["size"]

    def motion(self, shape: Array, blink: Array, pts: Stamps, time_base: Fraction) -> Motion:
        """See `Head`."""
        last = float(self._seconds[-1])
        there = pts * float(time_base)
        if last > 0:
            there = last - np.abs(last - there % (2 * last))
        pose = np.stack([np.interp(there, self._seconds, column) for column in self._pose.T], -1)
        made = sliders.motion(
            sliders.Script(blink=blink, extra=shape - neutral()), pts, time_base, SIZE
        )
        arrays: dict[str, AnyArray] = {**made.arrays, "pose": pose}
        made = replace(made, arrays=arrays, constants={**made.constants, "size": self._size})
        return resting(made, self._pose[0])


def resting(motion: Motion, rest: Array) -> Motion:
    """The motion with the pose (7,) from which it moves."""
    return replace(motion, constants={**motion.constants, "rest": rest})


def _rest() -> Array:
    """The pose of a head that does nothing."""
    return np.asarray(
        sliders.motion(sliders.Script(), [0], Fraction(1), SIZE).arrays["pose"][0], np.float64
    )
