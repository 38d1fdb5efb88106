"""Articulation codes of a speech, from the motion that a voice predicts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from thcli.audio.resample_rows import count_frames, even_stamps, row_windows
from thcli.core.options import VoiceOptions
from thcli.core.protocols import Speech, Voice
from thcli.core.types import Array, Array32, Motion, Timestamps
from thcli.motion.canonical import neutral
from thcli.voices.diffused_heads.articulation import encode_articulation, measure_face

RATE = Fraction(25)  # frames per second of dh-s's training clips: spacing of the context rows
MAX_HEAD_ROTATION = 0.03  # radians; the crop does not follow the head


def predict_codes(
    voice: Voice,
    speech: Speech,
    pts: Timestamps,
    time_base: Fraction,
    context: int,
    options: VoiceOptions,
) -> Iterator[Array32]:
    """Yield the codes of each time stamp and of the frames around it, (2 context + 1, 12).

    Codes are linear between two rows of the voice and constant beyond the ends of the sound.

    Args:
        voice: voice with motion of kind "mesh".
        speech: the sound.
        pts: time stamps in units of time_base seconds.
        time_base: seconds per unit.
        context: frames on each side, 1 / RATE seconds apart.
        options: options of the voice; codes hold neither --gaze nor --emotion.
    """
    read = VoiceOptions(
        pose=options.pose,
        blink=options.blink,
        mouth=options.mouth,
        temperature=options.temperature,
    )
    frame_stamps, frame_time_base = even_stamps(
        count_frames(speech.length, speech.rate, RATE), RATE
    )
    return gather_context(
        (
            _codes_of_motion(motion)
            for motion in voice.speak(speech, frame_stamps, frame_time_base, read)
        ),
        pts,
        time_base,
        context,
    )


def gather_context(
    rows: Iterator[Array32], pts: Timestamps, time_base: Fraction, context: int
) -> Iterator[Array32]:
    """Yield the rows around each time stamp, (2 context + 1, C), 1 / RATE seconds apart.

    rows: (T, C) parts at RATE rows per second.
    """
    unit = Fraction(1, math.lcm(time_base.denominator, RATE.numerator))
    fine_pts, frame_units = pts * int(time_base / unit), int(1 / RATE / unit)
    for chosen, window in row_windows(rows, RATE, fine_pts, unit, context=context / RATE):
        neighbours = [
            window.interpolate(fine_pts[chosen] + k * frame_units, unit)
            for k in range(-context, context + 1)
        ]
        yield from np.stack(neighbours, 1)


def _codes_of_motion(motion: Motion) -> Array32:
    """Return the codes of a window of motion relative to a frontal face at rest."""
    shape = np.asarray(motion.arrays["expression"], np.float64) + neutral()
    rotation = np.asarray(motion.arrays["pose"], np.float64)[:, :3]
    rest = motion.constants.get("rest")
    rest_rotation = np.zeros(3) if rest is None else np.asarray(rest, np.float64).reshape(-1)[:3]
    return encode_articulation(
        measure_face(shape, limit_head_rotation(rotation - rest_rotation)),
        measure_face(neutral(), np.zeros(3)),
    )


def limit_head_rotation(rotation: Array) -> Array:
    """Limit rotation vectors softly to MAX_HEAD_ROTATION per axis."""
    return np.asarray(MAX_HEAD_ROTATION * np.tanh(rotation / MAX_HEAD_ROTATION))
