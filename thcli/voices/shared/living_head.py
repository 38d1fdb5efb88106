"""Head and brow motion of a talking person, driven by the accents and pauses of the sound.

Heads of talkers rise about 0.4 s before an accent and fall into it: they move fastest 0.16 s
before it, and the brows are highest on it (12 clips of 8 persons; the same in Munhall et al. 2004,
"Visual prosody and speech intelligibility"). Amplitudes and intervals are those of seven of these
clips; docs/voice-a2m.md has the measurements of the others. Nothing is integrated over time, so
the head cannot drift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.audio.prosody import Prosody
from thcli.core.geometry import matrix_from_rotvec
from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.motion.limits import soft_limit
from thcli.voices.shared.curves import add_events, bump, wander

FADE_IN = 1.2  # seconds from the source's own pose to full motion
LIMIT = np.radians([13.0, 15.0, 11.0])  # of pitch, yaw and roll
SILENT_GAIN = 0.3  # share of the sway that remains in silence
# seconds between directions of the head and their standard deviations in degrees, pitch, yaw, roll
POSTURE_INTERVAL, POSTURE = 2.3, np.array([2.5, 3.7, 2.6])
SWAY_INTERVAL, SWAY = 0.6, np.array([1.25, 2.6, 1.4])  # of phrases
TREMOR_INTERVAL, TREMOR = 0.17, np.array([1.05, 1.15, 0.6])  # of syllables
NOD = 5.3  # degrees down on an accent of strength 1
NOD_LIFT = 0.35  # share of a nod that the head rises before it
NOD_TURN = np.array([0.35, 0.2])  # standard deviations of yaw and roll over the nod's pitch
NOD_SPREAD = 0.45  # standard deviation of the logarithm of a nod's size
NOD_REACH = 1.0  # seconds
NECK = np.array([0.0, -1.2, -0.8])  # IOD from the neck to the face
CAMERA_DISTANCE = 12.0  # IOD
TORSO_INTERVAL, TORSO = 1.9, np.array([0.04, 0.015, 0.0])  # IOD
BREATH_PAUSE = 0.3  # seconds of a pause in which one breathes in
BREATH = (-1.1, -0.02)  # degrees of pitch and IOD of lift of a breath
BREATH_RATE, BREATH_SHARE = 0.26, 0.35  # per second in silence; share of BREATH then
BROW_SHARE = 0.6  # of accents that lift the brows
BROW = (0.15, 0.4)  # brow slider of an accent: least, and added at strength 1
BROW_INTERVAL, BROW_WANDER = 1.7, 0.12
BROW_BEFORE, BROW_RISE, BROW_FALL = 0.06, 0.18, 0.4  # seconds


@dataclass(frozen=True, slots=True)
class HeadMotion:
    """Motion of a head at T times.

    Attributes:
        rotation: (T, 3) rotation vectors in radians.
        zoom: (T,) factors.
        shift: (T, 3) in IOD.
        brow: (T,) brow slider.
    """

    rotation: Array
    zoom: Array
    shift: Array
    brow: Array


def still_head(seconds: Array) -> HeadMotion:
    """Return the motion of a head that does not move."""
    zeros = np.zeros((len(seconds), 3))
    return HeadMotion(zeros, np.ones(len(seconds)), zeros, zeros[:, 0])


class LivingHead:
    """Head that moves with a sound.

    Args:
        prosody: phrases and accents of the sound.
        seed: another seed gives other motion.
    """

    def __init__(self, prosody: Prosody, seed: int) -> None:
        self._seed, self._prosody = seed, prosody
        pauses = np.diff(np.append(-np.inf, prosody.phrases.reshape(-1)))[::2]
        self._breaths = prosody.phrases[pauses > BREATH_PAUSE, 0]

    def motion(self, seconds: Array) -> HeadMotion:
        """Return the motion at ascending times (T,) >= 0 seconds."""
        activity = speech_activity(self._prosody.phrases, seconds)
        gain = SILENT_GAIN + (1 - SILENT_GAIN) * activity
        fade_in = smoothstep(0, FADE_IN, seconds)
        breath = self._breath(seconds, activity)
        degrees = self._posture(seconds) + self._nods(seconds)
        degrees += gain[:, None] * SWAY * wander(seconds, SWAY_INTERVAL, (self._seed, 21), 3)
        degrees += gain[:, None] * TREMOR * wander(seconds, TREMOR_INTERVAL, (self._seed, 22), 3)
        degrees[:, 0] += BREATH[0] * breath
        rotation = soft_limit(np.radians(degrees), LIMIT) * fade_in[:, None]
        torso = TORSO * wander(seconds, TORSO_INTERVAL, (self._seed, 23), 3)
        torso[:, 1] += BREATH[1] * breath
        shift = NECK @ np.swapaxes(matrix_from_rotvec(rotation), -1, -2) - NECK
        shift += torso * fade_in[:, None]
        zoom = CAMERA_DISTANCE / (CAMERA_DISTANCE + shift[:, 2])
        shift[:, 2] = 0.0
        return HeadMotion(rotation, zoom, shift, self._brows(seconds) * fade_in)

    def _posture(self, seconds: Array) -> Array:
        """Return slow changes of direction, (T, 3) degrees, quicker than the time between them."""
        slot = seconds / POSTURE_INTERVAL
        number = np.floor(slot)
        hurried = number + smoothstep(0.25, 0.75, slot - number)
        knots = wander(hurried * POSTURE_INTERVAL, POSTURE_INTERVAL, (self._seed, 20), 3)
        return np.asarray(POSTURE * np.clip(knots, -2, 2))

    def _nods(self, seconds: Array) -> Array:
        """Return the nods of accents, (T, 3) degrees."""
        accents = self._prosody.accents

        def nod(number: int, after: Array) -> Array:
            draw = np.random.default_rng([self._seed, 24, number]).normal(size=4)
            size = NOD * accents[number, 1] * np.exp(NOD_SPREAD * np.clip(draw[0], -2, 1.2))
            pace = np.exp(0.2 * np.clip(draw[3], -2, 2))
            lift = bump(after, (-0.75 * pace, -0.36), (-0.34, -0.1))
            fall = bump(after, (-0.34, 0.06), (0.1, 0.62 * pace))
            direction = np.array([1.0, *(NOD_TURN * draw[1:3])])
            return np.asarray(size * (fall - NOD_LIFT * lift)[:, None] * direction)

        return add_events(seconds, accents[:, 0], NOD_REACH, nod, 3)

    def _brows(self, seconds: Array) -> Array:
        """Return the brow slider, (T,)."""
        accents = self._prosody.accents

        def lift(number: int, after: Array) -> Array:
            draw = np.random.default_rng([self._seed, 25, number]).random(3)
            if draw[0] > BROW_SHARE:
                return np.zeros((len(after), 1))
            size = (BROW[0] + BROW[1] * accents[number, 1]) * (0.6 + 0.8 * draw[1])
            held = 0.1 + 0.35 * draw[2]
            top = -BROW_BEFORE
            curve = bump(after, (top - BROW_RISE, top), (top + held, top + held + BROW_FALL))
            return np.asarray(size * curve[:, None])

        lifts = add_events(seconds, accents[:, 0], NOD_REACH, lift, 1)[:, 0]
        slow = wander(seconds, BROW_INTERVAL, (self._seed, 26), 1)[:, 0]
        return np.minimum(lifts, 1.0) + BROW_WANDER * slow

    def _breath(self, seconds: Array, activity: Array) -> Array:
        """Return the lift of the head by breathing, (T,) 0..1: before phrases and in silence."""
        inhale = add_events(
            seconds,
            self._breaths,
            1.6,
            lambda number, after: bump(after, (-0.5, -0.08), (0.0, 1.5))[:, None],
            1,
        )[:, 0]
        wave = 0.5 - 0.5 * np.cos(2 * np.pi * BREATH_RATE * seconds)
        return np.maximum(np.minimum(inhale, 1), BREATH_SHARE * wave * (1 - activity))


def speech_activity(phrases: Array, seconds: Array) -> Array:
    """Return the activity of speech for head motion at ascending times, (T,) 0..1.

    It rises 0.6 s before speech and falls within 1 s after it.
    """
    activity = np.zeros(len(seconds))
    for begin, end in phrases_near(phrases, seconds):
        activity = np.maximum(activity, bump(seconds, (begin - 0.6, begin), (end, end + 1.0)))
    return activity


def phrases_near(phrases: Array, seconds: Array) -> Array:
    """Return the phrases (P, 2) that affect a window."""
    if not len(seconds):
        return phrases[:0]
    return np.asarray(
        phrases[(phrases[:, 1] > seconds[0] - 1.5) & (phrases[:, 0] < seconds[-1] + 1.5)]
    )
