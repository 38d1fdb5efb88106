"""Gaze and blinks of a talking person, at the phrases of the sound.

Talkers look away as they begin to speak and into the camera within the phrase (Kendon 1967), and
blink at the ends of phrases and with shifts of gaze (Nakano and Kitazawa 2010).
"""

from __future__ import annotations

import numpy as np

from thcli.audio.prosody import Prosody
from thcli.core.imaging import smoothstep
from thcli.core.options import VoiceOptions
from thcli.core.types import Array
from thcli.motion.anatomy import EYE_RADIUS
from thcli.voices.shared.curves import add_events, bump

BLINKS_PER_MINUTE = 24.0
BLINK_SPREAD = 0.6  # standard deviation of the logarithm of the interval between blinks
MIN_INTERVAL = 0.5  # seconds
SNAP = 0.35  # share of an interval by which a blink moves to the end of a phrase or a glance
END_LAG = 0.08  # seconds from the end of a phrase to its blink
TAIL = 0.4  # seconds before the end in which no blink is placed for a phrase
COUNTER_ROTATION = 0.8  # share of the head's rotation that the eyes compensate in natural gaze
SACCADE = 0.06  # seconds
GLANCE_SHARE = 0.55  # of phrases that begin with a glance aside
GLANCE = (0.07, 0.03)  # standard deviations of a glance in eye widths, along and across
IDLE_INTERVAL = 2.4  # seconds between glances in silence
FIXATION_INTERVAL, FIXATION = 0.9, (0.012, 0.007)  # small shifts of gaze within a fixation
LEAST_BLINK_GLANCE = 0.06  # eye widths of a glance that a blink goes with


class LivingEyes:
    """Gaze and blinks over a sound.

    Args:
        prosody: phrases of the sound.
        seed: another seed gives other glances and blinks.
        options: --gaze and --blink.
        duration: seconds of the motion.
    """

    def __init__(self, prosody: Prosody, seed: int, options: VoiceOptions, duration: float) -> None:
        self._seed, self._angles = seed, options.gaze_degrees
        self._natural = options.gaze == "natural"
        self._still = options.pose == "still"
        self._glances = _draw_glances(prosody.phrases, seed, duration)
        rate = options.blinks_per_minute(BLINKS_PER_MINUTE)
        large = np.abs(self._glances[:, 2]) > LEAST_BLINK_GLANCE
        shifts = self._glances[large, 0] if self._natural else np.zeros(0)
        places = np.sort(np.concatenate([prosody.phrases[:, 1] + END_LAG, shifts - 0.04]))
        self.blink_times = draw_blink_times(duration, seed, rate, places[places < duration - TAIL])

    def blinks_near(self, seconds: Array) -> list[float]:
        """Return the start times of the blinks that affect a window of ascending times (T,)."""
        if not len(seconds):
            return []
        begin, end = np.searchsorted(self.blink_times, [seconds[0] - 1, seconds[-1] + 1])
        return [float(time) for time in self.blink_times[begin:end]]

    def gaze(self, seconds: Array, rotation: Array) -> Array:
        """Return the shift of the irises, (T, 2) eye widths, right and down.

        With --pose still a natural gaze is still too.

        Args:
            seconds: (T,) ascending times.
            rotation: (T, 3) rotation vectors of the head, radians.
        """
        if self._natural and self._still:
            return np.zeros((len(seconds), 2))
        held = np.stack([rotation[:, 1], -rotation[:, 0]], -1) * EYE_RADIUS
        if not self._natural:
            return np.asarray(held + EYE_RADIUS * np.sin(np.radians(self._angles)))
        ramp = smoothstep(0, 1.0, seconds)[:, None]
        return np.asarray(COUNTER_ROTATION * held + ramp * (self._aside(seconds)))

    def _aside(self, seconds: Array) -> Array:
        glances = self._glances

        def glance(number: int, after: Array) -> Array:
            held = glances[number, 1]
            curve = bump(after, (0, SACCADE), (held, held + SACCADE))
            return np.asarray(curve[:, None] * glances[number, 2:])

        slot = np.floor(seconds / FIXATION_INTERVAL).astype(int)
        small = np.zeros((len(seconds), 2))
        for number in np.unique(slot):
            generator = np.random.default_rng([self._seed, 31, int(number)])
            small[slot == number] = generator.normal(0, FIXATION)
        return small + add_events(seconds, glances[:, 0], 2.0, glance, 2)


def _draw_glances(phrases: Array, seed: int, duration: float) -> Array:
    """Draw the glances aside, (G, 4): begin and length in seconds, target in eye widths.

    One goes with the beginning of a phrase, others with long silences.
    """
    times = []
    ends = np.append(0.0, phrases[:, 1])
    for begin, end in zip(ends, np.append(phrases[:, 0], duration), strict=True):
        if begin > 0 or len(phrases) == 0 or phrases[0, 0] > IDLE_INTERVAL:
            count = int((end - begin) / IDLE_INTERVAL)
            times.extend(begin + IDLE_INTERVAL * (0.4 + np.arange(count)))
        if end < duration:
            times.append(end - 0.15)
    rows = []
    for number, time in enumerate(times):
        draw = np.random.default_rng([seed, 30, number])
        if draw.random() < GLANCE_SHARE and time > 0:
            rows.append([time, draw.uniform(0.5, 1.3), *draw.normal(0, GLANCE)])
    return np.asarray(rows, np.float64).reshape(-1, 4)


def draw_blink_times(duration: float, seed: int, per_minute: float, places: Array) -> Array:
    """Draw the start times of blinks, ascending seconds within `duration`; 0 per minute: none.

    Intervals are log-normal. A blink moves to the nearest of `places` (ascending seconds) where
    one is within SNAP of its interval; the next interval begins where it would have been, so that
    the rate stays.
    """
    times: list[float] = []
    if per_minute <= 0:
        return np.zeros(0)
    generator = np.random.default_rng([seed, 32])
    mean = 60 / per_minute
    due = float(generator.uniform(0.3, mean))
    while due < duration:
        time = due
        near = int(np.searchsorted(places, due))
        candidates = places[max(0, near - 1) : near + 1]
        if len(candidates):
            place = float(candidates[np.argmin(np.abs(candidates - due))])
            time = place if abs(place - due) < SNAP * mean else due
        if 0 < time < duration and (not times or time > times[-1] + MIN_INTERVAL):
            times.append(time)
        spread = generator.normal(-(BLINK_SPREAD**2) / 2, BLINK_SPREAD)
        due += max(float(mean * np.exp(spread)), min(MIN_INTERVAL, mean / 2))
    return np.asarray(times)
