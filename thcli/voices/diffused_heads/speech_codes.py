"""The codes of a speech: what a voice of motion says of the face, frame by frame, as dh-s paints from it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from thcli.audio.resample_rows import even, frames_in, windows
from thcli.core.options import VoiceOptions
from thcli.core.protocols import Speech, Voice
from thcli.core.types import Array, Array32, Motion, Stamps
from thcli.motion.canonical import neutral
from thcli.voices.diffused_heads.articulation import code, measured

RATE = Fraction(
    25
)  # frames a second of the clips that dh-s learnt from: its neighbours lie so far apart
MOST_TURN = (
    0.03  # radians: the square stays where it is, so that the head may only turn a little in it
)


def codes(
    voice: Voice,
    speech: Speech,
    pts: Stamps,
    time_base: Fraction,
    around: int,
    options: VoiceOptions,
) -> Iterator[Array32]:
    """(2 around + 1, 12) for each time stamp: the codes at it and at whole frames before and after it, held at the sound's ends.

    voice: gives motion of kind "mesh".  Between two of its rows codes are linear.
    """
    stamps, step = even(frames_in(speech.length, speech.rate, RATE), RATE)
    return near(
        (_rows(motion) for motion in voice.speak(speech, stamps, step, options)),
        pts,
        time_base,
        around,
    )


def near(
    rows: Iterator[Array32], pts: Stamps, time_base: Fraction, around: int
) -> Iterator[Array32]:
    """(2 around + 1, C) for each time stamp, from (T, C) parts at RATE rows a second: what lies around it, a row's length apart."""
    unit = Fraction(1, math.lcm(time_base.denominator, RATE.numerator))
    fine, frame = pts * int(time_base / unit), int(1 / RATE / unit)
    for chosen, window in windows(rows, RATE, fine, unit, context=around / RATE):
        found = [window.at(fine[chosen] + k * frame, unit) for k in range(-around, around + 1)]
        yield from np.stack(found, 1)


def _rows(motion: Motion) -> Array32:
    """The codes of a window of motion, against a face at rest that looks straight ahead."""
    shape = np.asarray(motion.arrays["expression"], np.float64) + neutral()
    turn = np.asarray(motion.arrays["pose"], np.float64)[:, :3]
    rest = motion.constants.get("rest")
    ahead = np.zeros(3) if rest is None else np.asarray(rest, np.float64).reshape(-1)[:3]
    return code(measured(shape, limited(turn - ahead)), measured(neutral(), np.zeros(3)))


def limited(turn: Array) -> Array:
    """Rotation vectors, softly kept below MOST_TURN in each direction."""
    return np.asarray(MOST_TURN * np.tanh(turn / MOST_TURN))
