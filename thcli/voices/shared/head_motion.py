"""Face of a voice around its mouth: head, brows, eyes and emotion (`--pose`, `--blink`, `--gaze`,
`--emotion`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Protocol

import numpy as np

from thcli.audio.prosody import analyse_prosody
from thcli.core.errors import MediaError
from thcli.core.geometry import matrix_from_rotvec, rotvec_from_matrix
from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.protocols import Speech
from thcli.core.types import AnyArray, Array, Motion, Timestamps
from thcli.motion import emotions, sliders
from thcli.motion.canonical import neutral
from thcli.motion.file.reader import MotionFile
from thcli.motion.observe import KIND
from thcli.motion.smooth import GapFilledMotion, ZeroPhaseFilter
from thcli.motion.timeline import read_timeline
from thcli.voices.shared.living_eyes import LivingEyes
from thcli.voices.shared.living_head import HeadMotion, LivingHead, still_head

SIZE = (512, 512)  # width and height of the virtual image, pixels
SMOOTHING = 1.0  # strength of the smoothing of a recorded head


class HeadMotionSource(Protocol):
    """Moves a face with the head.

    motion: canonical shapes (T, 468, 3), blinks (T,) 0..1 and ascending time stamps -> motion of
    kind "mesh" with a constant `rest`.
    """

    def motion(
        self, shape: Array, blink: Array, pts: Timestamps, time_base: Fraction
    ) -> Motion: ...


class TalkingFace:
    """Motion of a face around the mouth that a voice predicts.

    Args:
        speech: the sound.
        options: of the voice.
        seed: of the job. The default one is replaced by the checksum of the sound, so that no two
            sounds move alike.

    Raises:
        MediaError: the file of --pose holds no head motion.
    """

    def __init__(self, speech: Speech, options: VoiceOptions, seed: int) -> None:
        prosody = analyse_prosody(speech)
        seed = prosody.key if seed == RunOptions().seed else seed
        self.phrases = prosody.phrases
        self._eyes = LivingEyes(prosody, seed, options, speech.length / speech.rate)
        self._emotion, self._strength = options.emotion_strength
        self._head: HeadMotionSource
        if options.pose_file is not None:
            self._head = RecordedHead(
                MotionFile(options.pose_file), str(options.pose_file), self._eyes
            )
        else:
            head = LivingHead(prosody, seed)
            motion = still_head if options.pose == "still" else head.motion
            self._head = ProceduralHead(motion, self._eyes)

    def motion(
        self, shape: Array, pts: Timestamps, time_base: Fraction, blink: Array | None = None
    ) -> Motion:
        """Return the motion of kind "mesh" at ascending time stamps.

        Args:
            shape: (T, 468, 3) canonical shapes of the mouth, changed in place.
            pts: (T,) time stamps in units of time_base seconds.
            time_base: seconds per unit.
            blink: (T,) closing of the eyes 0..1 of a voice that has its own; None for --blink.
        """
        seconds = np.asarray(pts * float(time_base), np.float64)
        if blink is None:
            blink = sliders.blink_curve(seconds, self._eyes.blinks_near(seconds))
        lids = emotions.apply_emotion(shape, self._emotion, self._strength)
        return self._head.motion(shape, blink + lids * (1 - blink), pts, time_base)


class ProceduralHead:
    """Head whose motion is a function of time."""

    def __init__(self, head_motion: Callable[[Array], HeadMotion], eyes: LivingEyes) -> None:
        self._head_motion, self._eyes = head_motion, eyes

    def motion(self, shape: Array, blink: Array, pts: Timestamps, time_base: Fraction) -> Motion:
        """Return the motion; see `HeadMotionSource`."""
        seconds = np.asarray(pts * float(time_base), np.float64)
        pose = self._head_motion(seconds)
        pitch, yaw, roll = np.degrees(pose.rotation).T
        gaze = self._eyes.gaze(seconds, pose.rotation)
        curves = sliders.SliderCurves(
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            x=pose.shift[:, 0],
            y=pose.shift[:, 1],
            zoom=pose.zoom,
            blink=blink,
            brow=pose.brow,
            gaze_x=gaze[:, 0],
            gaze_y=gaze[:, 1],
            extra=shape - neutral(),
        )
        return with_rest_pose(
            sliders.motion_from_sliders(curves, pts, time_base, SIZE), _rest_pose()
        )


class RecordedHead:
    """Head of a motion file, moving from the pose of the first frame.

    A longer sound plays the file forwards and backwards in turn.
    """

    def __init__(self, store: MotionFile, name: str, eyes: LivingEyes) -> None:
        self._eyes = eyes
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
        turned = rotvec_from_matrix(
            matrix_from_rotvec(pose[:, :3]) @ matrix_from_rotvec(self._pose[0, :3]).T
        )
        gaze = self._eyes.gaze(np.asarray(pts * float(time_base), np.float64), turned)
        curves = sliders.SliderCurves(
            blink=blink, gaze_x=gaze[:, 0], gaze_y=gaze[:, 1], extra=shape - neutral()
        )
        still = sliders.motion_from_sliders(curves, pts, time_base, SIZE)
        arrays: dict[str, AnyArray] = {**still.arrays, "pose": pose}
        moving = replace(still, arrays=arrays, constants={**still.constants, "size": self._size})
        return with_rest_pose(moving, self._pose[0])


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
