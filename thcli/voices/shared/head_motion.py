"""Head motion of a voice: idle, still, or recorded in a motion file (`--pose`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Protocol

import numpy as np

from thcli.core.errors import MediaError
from thcli.core.imaging import smoothstep
from thcli.core.options import VoiceOptions
from thcli.core.types import AnyArray, Array, Motion, Timestamps
from thcli.motion import idle_motion, sliders
from thcli.motion.canonical import neutral
from thcli.motion.file.reader import MotionFile
from thcli.motion.idle_motion import HeadMotion, SpeechActivity
from thcli.motion.observe import KIND
from thcli.motion.smooth import GapFilledMotion, ZeroPhaseFilter
from thcli.motion.timeline import read_timeline

SIZE = (512, 512)  # width and height of the virtual image, pixels
SMOOTHING = 1.0  # strength of the smoothing of a recorded head


class HeadMotionSource(Protocol):
    """Adds head motion to faces.

    motion: canonical shapes (T, 468, 3) and blinks (T,) 0..1 -> motion of kind "mesh" with a
    constant `rest`.
    """

    def motion(
        self, shape: Array, blink: Array, pts: Timestamps, time_base: Fraction
    ) -> Motion: ...


def create_head(options: VoiceOptions, seed: int, speaking: SpeechActivity) -> HeadMotionSource:
    """Return the head that --pose selects.

    Raises:
        MediaError: the file of --pose holds no head motion.
    """
    if options.pose_file is not None:
        return RecordedHead(MotionFile(options.pose_file), str(options.pose_file))
    if options.pose == "still":
        return ProceduralHead(idle_motion.still_head_motion)
    return ProceduralHead(lambda seconds: idle_motion.idle_head_motion(seconds, seed, speaking))


class ProceduralHead:
    """Head whose motion is a function of time."""

    def __init__(self, head_motion: Callable[[Array], HeadMotion]) -> None:
        self._head_motion = head_motion

    def motion(self, shape: Array, blink: Array, pts: Timestamps, time_base: Fraction) -> Motion:
        """Return the motion; see `HeadMotionSource`."""
        pose = self._head_motion(np.asarray(pts * float(time_base), np.float64))
        pitch, yaw, roll = np.degrees(pose.rotation).T
        curves = sliders.SliderCurves(
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            x=pose.shift[:, 0],
            y=pose.shift[:, 1],
            zoom=pose.zoom,
            blink=blink,
            brow=pose.brow,
            gaze_x=pose.gaze[:, 0],
            gaze_y=pose.gaze[:, 1],
            extra=shape - neutral(),
        )
        return with_rest_pose(
            sliders.motion_from_sliders(curves, pts, time_base, SIZE), _rest_pose()
        )


class RecordedHead:
    """Head of a motion file, moving from the pose of the first frame.

    A longer sound plays the file forwards and backwards in turn.
    """

    def __init__(self, store: MotionFile, name: str) -> None:
        if store.kind != KIND:
            raise MediaError(
                f"{name} holds motion of kind {store.kind!r}; --pose needs kind {KIND!r}.",
                "Create it with: thcli encode VIDEO.",
            )
        timeline = read_timeline(store)
        if not timeline.unoccluded.any():
            raise MediaError(f"No frame of {name} shows a head.", "Choose another motion file.")
        self._pose = GapFilledMotion(timeline, ZeroPhaseFilter(store, timeline, SMOOTHING)).pose
        self._seconds = timeline.seconds - timeline.seconds[0]
        self._size = store.window(0, 0).constants["size"]

    def motion(self, shape: Array, blink: Array, pts: Timestamps, time_base: Fraction) -> Motion:
        """Return the motion; see `HeadMotionSource`."""
        last = float(self._seconds[-1])
        seconds = pts * float(time_base)
        if last > 0:
            seconds = last - np.abs(last - seconds % (2 * last))
        pose = np.stack([np.interp(seconds, self._seconds, column) for column in self._pose.T], -1)
        curves = sliders.SliderCurves(blink=blink, extra=shape - neutral())
        still = sliders.motion_from_sliders(curves, pts, time_base, SIZE)
        arrays: dict[str, AnyArray] = {**still.arrays, "pose": pose}
        moving = replace(still, arrays=arrays, constants={**still.constants, "size": self._size})
        return with_rest_pose(moving, self._pose[0])


def head_activity(stretches: Array, seconds: Array) -> Array:
    """Return the activity of speech for head motion, (T,) 0..1.

    It rises 0.6 s before speech and falls within 1 s after it.
    """
    activity = np.zeros(len(seconds))
    for begin, end in stretches_near(stretches, seconds):
        rises = smoothstep(begin - 0.6, begin, seconds)
        activity = np.maximum(activity, rises * (1 - smoothstep(end, end + 1.0, seconds)))
    return activity


def stretches_near(stretches: Array, seconds: Array) -> Array:
    """Return the stretches of speech that affect a window."""
    if not len(seconds):
        return stretches[:0]
    return np.asarray(
        stretches[(stretches[:, 1] > seconds[0] - 1.5) & (stretches[:, 0] < seconds[-1] + 1.5)]
    )


def with_rest_pose(motion: Motion, rest: Array) -> Motion:
    """Return the motion with the constant rest pose (7,)."""
    return replace(motion, constants={**motion.constants, "rest": rest})


def _rest_pose() -> Array:
    """Return the pose of a head without motion, (7,)."""
    return np.asarray(
        sliders.motion_from_sliders(sliders.SliderCurves(), [0], Fraction(1), SIZE).arrays["pose"][
            0
        ],
        np.float64,
    )
