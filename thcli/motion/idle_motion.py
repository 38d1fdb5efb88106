"""Idle motion of a talking head: sway, nods, drift, brow raises and glances.

Recorded segments of head motion (data/heads.safetensors, made by tools/make_head_motion.py from
GRID, CC BY 4.0) follow in an order drawn from a seed and cross-fade. The amplitude rises during
speech. Every value depends on the seed and the time alone, so windows of any size give the same
motion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array

RATE = 25  # rows per second of a segment
HOP = 1.48  # seconds between the starts of segments: half a segment
COLUMNS = 8  # rotation vector, log scale, shift, brows
SWAY_GAIN = 1.5  # amplitude of the segments, whose speakers were asked to sit still
SILENT_GAIN = 0.35  # share of the amplitude that remains in silence
DRIFT_INTERVAL = 2.6  # seconds between directions of the head
DRIFT = np.radians([1.1, 2.4, 1.0])  # standard deviations of pitch, yaw, roll
FADE_IN = 1.2  # seconds from the source's own pose to full motion
SACCADE_INTERVAL = 1.1  # seconds
SACCADE_PROBABILITY = 0.55  # of a glance in an interval
GLANCE = (0.025, 0.012)  # standard deviations of a glance's target in eye widths, along and across
SACCADE_DURATION = 0.06  # seconds
EYE_COUNTER_ROTATION = 0.3  # eye widths per radian that irises move against the head's rotation

SpeechActivity = Callable[[Array], Array]
"""Maps seconds (T,) to the activity of speech, (T,) in 0..1."""


@dataclass(frozen=True, slots=True)
class HeadMotion:
    """Motion of a head at T times.

    Attributes:
        turn: (T, 3) rotation vectors in radians.
        zoom: (T,) factors.
        shift: (T, 3) in IOD.
        brow: (T,) brow slider.
        gaze: (T, 2) eye widths, right and down.
    """

    rotation: Array
    zoom: Array
    shift: Array
    brow: Array
    gaze: Array


@cache
def load_segments() -> Array:
    """Load the recorded segments, (N, 75, COLUMNS) float64."""
    from safetensors.numpy import load

    content = files("thcli.motion").joinpath("data/heads.safetensors").read_bytes()
    return np.asarray(load(content)["pieces"], np.float64)


def idle_head_motion(seconds: Array, seed: int, speaking: SpeechActivity) -> HeadMotion:
    """Return the idle motion of a head at times (T,) >= 0 seconds."""
    amplitude = SILENT_GAIN + (1 - SILENT_GAIN) * speaking(seconds)
    fade_in = smoothstep(0, FADE_IN, seconds)
    rows = _sway(seconds, seed) * (SWAY_GAIN * amplitude * fade_in)[:, None]
    rotation = rows[:, :3] + _drift(seconds, seed) * fade_in[:, None]
    counter_rotation = np.stack([rotation[:, 1], -rotation[:, 0]], -1) * EYE_COUNTER_ROTATION
    return HeadMotion(
        rotation,
        np.exp(rows[:, 3]),
        rows[:, 4:7],
        rows[:, 7],
        counter_rotation + _glances(seconds, seed) * fade_in[:, None],
    )


def still_head_motion(seconds: Array) -> HeadMotion:
    """Return the motion of a head that does not move."""
    zeros = np.zeros((len(seconds), 3))
    return HeadMotion(zeros, np.ones(len(seconds)), zeros, zeros[:, 0], zeros[:, :2])


def _sway(seconds: Array, seed: int) -> Array:
    """Return the cross-faded segments at times (T,), (T, COLUMNS)."""
    slot = np.floor(seconds / HOP).astype(int)
    motion = np.zeros((len(seconds), COLUMNS))
    for index in np.unique(np.concatenate([slot, slot - 1])):
        segment = _draw_segment(seed, int(index))
        frame = (seconds - index * HOP) * RATE
        in_segment = (frame >= 0) & (frame <= 2 * HOP * RATE)
        if in_segment.any():
            position = np.clip(frame[in_segment], 0, len(segment) - 1)
            row = np.minimum(position.astype(int), len(segment) - 2)
            fraction = (position - row)[:, None]
            value = segment[row] * (1 - fraction) + segment[row + 1] * fraction
            # the weights of overlapping segments sum to 1
            weight = np.sin(np.pi * frame[in_segment] / (2 * HOP * RATE)) ** 2
            motion[in_segment] += weight[:, None] * value
    return motion


def _draw_segment(seed: int, index: int) -> Array:
    """Draw the segment of a slot, (75, COLUMNS): any segment, possibly mirrored or reversed."""
    generator = np.random.default_rng([seed, 11, index + 1])
    segments = load_segments()
    segment = segments[int(generator.integers(len(segments)))]
    if generator.random() < 0.5:
        segment = segment * [1, -1, -1, 1, -1, 1, 1, 1]
    return np.asarray(segment[::-1] if generator.random() < 0.5 else segment)


def _drift(seconds: Array, seed: int) -> Array:
    """Return slow rotations between random directions, (T, 3) radians."""
    return _interpolate_knots(
        seconds,
        DRIFT_INTERVAL,
        lambda index: np.random.default_rng([seed, 12, index]).normal(0, DRIFT),
    )


def _glances(seconds: Array, seed: int) -> Array:
    """Return gaze of saccades and fixations, (T, 2) eye widths."""
    slot = np.floor(seconds / SACCADE_INTERVAL).astype(int)
    gaze = np.zeros((len(seconds), 2))
    for index in np.unique(slot):
        in_slot = slot == index
        previous, current = _draw_gaze(seed, int(index) - 1), _draw_gaze(seed, int(index))
        start = index * SACCADE_INTERVAL + np.random.default_rng(
            [seed, 13, int(index) + 2]
        ).uniform(0, SACCADE_INTERVAL - SACCADE_DURATION)
        progress = smoothstep(start, start + SACCADE_DURATION, seconds[in_slot])[:, None]
        gaze[in_slot] = previous + progress * (current - previous)
    return gaze


def _draw_gaze(seed: int, index: int) -> Array:
    """Draw the fixation at the end of a slot, (2,): into the camera or slightly beside it."""
    generator = np.random.default_rng([seed, 14, index + 2])
    glances = generator.random() < SACCADE_PROBABILITY
    return np.asarray(generator.normal(0, GLANCE) if glances else np.zeros(2))


def _interpolate_knots(seconds: Array, interval: float, knot: Callable[[int], Array]) -> Array:
    """Return a curve (T, K) through knot(k) at k * interval, with zero slope there."""
    position = seconds / interval
    before = np.floor(position).astype(int)
    knots = {int(k): knot(int(k)) for k in np.unique(np.concatenate([before, before + 1]))}
    fraction = smoothstep(0, 1, position - before)[:, None]
    start, end = (np.stack([knots[int(k)] for k in before + step]) for step in (0, 1))
    return np.asarray(start + fraction * (end - start))
