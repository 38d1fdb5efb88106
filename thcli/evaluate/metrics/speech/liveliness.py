"""Liveliness of a face: speed and spectrum of head and brows, blinks, as pure functions.

Truth and result are measured alike, so that the tracker's noise, about 4 degrees per second of a
still head, is the only difference. Rows are resampled to 25 per second and smoothed at 5 Hz.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, signal

from thcli.core.types import Array, Motion
from thcli.motion import anatomy
from thcli.motion.canonical import eye_openings, neutral
from thcli.motion.sliders import load_slider_shapes

RATE = 25.0  # rows per second
SMOOTHING = 5.0  # Hz
BAND, WHOLE = (0.5, 2.0), (0.1, 6.0)  # Hz: of nods and sways, and all
LEAST, LEAST_FOR_BANDS = 1.0, 2.5  # seconds of a clip
LEAST_VALID = 0.9  # share of frames with a face
BLINK_DEPTH, BLINK_PROMINENCE = 0.6, 0.25  # eye opening over that of open eyes
BLINK_SPACING = 0.25  # seconds


@dataclass(frozen=True, slots=True)
class Liveliness:
    """Statistics of a clip.

    Attributes:
        seconds: length.
        speed: mean speed of the head's rotation, degrees per second.
        share: energy of its speed between 0.5 and 2 Hz over that between 0.1 and 6 Hz; None for a
            short clip.
        spread: standard deviations of pitch, yaw and roll, degrees.
        brow_speed: mean speed of the brow slider, per second.
        brow_share: as `share`, of the brows.
        blinks: blinks per minute.
    """

    seconds: float
    speed: float
    share: float | None
    spread: tuple[float, float, float]
    brow_speed: float
    brow_share: float | None
    blinks: float


def measure_liveliness(motion: Motion) -> Liveliness | None:
    """Measure a motion of kind "mesh"; None where it is too short or the face is often lost."""
    valid = np.asarray(motion.valid, bool)
    seconds = np.asarray(motion.pts, np.float64) * float(motion.time_base)
    if valid.mean() < LEAST_VALID or seconds[-1] - seconds[0] < LEAST:
        return None
    expression = np.asarray(motion.arrays["expression"], np.float64)
    opening = eye_openings(expression + neutral()).mean(-1)
    pose = np.asarray(motion.arrays["pose"], np.float64)
    rotation = np.degrees(np.unwrap(pose[:, :3], axis=0))
    columns = np.column_stack([rotation, brow_slider(expression), opening])
    times = np.arange(seconds[0], seconds[-1], 1 / RATE)
    rows = np.stack([np.interp(times, seconds[valid], c[valid]) for c in columns.T], -1)
    length = len(times) / RATE
    enough = length >= LEAST_FOR_BANDS
    speed = np.linalg.norm(velocity(rows[:, :3]), axis=-1).mean()
    pitch, yaw, roll = (float(value) for value in rows[:, :3].std(0))
    return Liveliness(
        length,
        float(speed),
        band_share(rows[:, :3]) if enough else None,
        (pitch, yaw, roll),
        float(np.abs(velocity(rows[:, 3:4])).mean()),
        band_share(rows[:, 3:4]) if enough else None,
        60 * count_blinks(rows[:, 4]) / length,
    )


def brow_slider(expression: Array) -> Array:
    """Return the brow slider (T,) that explains expressions (T, 468, 3) around the brows best.

    Points that blinks move are left out.
    """
    shape = load_slider_shapes().brow
    length = np.linalg.norm(shape, axis=-1)
    moved = length > 0.02 * length.max()
    for lid in anatomy.LIDS:
        for points in (lid.upper, lid.lower, lid.upper_rings, lid.lower_rings):
            moved[points] = False
    basis = shape[moved].reshape(-1)
    return np.asarray(expression[:, moved].reshape(len(expression), -1) @ basis / (basis @ basis))


def velocity(rows: Array) -> Array:
    """Return the smoothed change of rows (T, C) per second, (T, C)."""
    sections = signal.butter(2, SMOOTHING, fs=RATE, output="sos")
    smooth = signal.sosfiltfilt(sections, rows, axis=0, padlen=min(12, len(rows) - 1))
    return np.asarray(np.gradient(smooth, 1 / RATE, axis=0))


def band_share(rows: Array) -> float:
    """Return the energy of the change of rows (T, C) in BAND over that in WHOLE, 0..1."""
    change = np.gradient(rows, 1 / RATE, axis=0)
    size = min(len(rows), 75)
    hertz, power = signal.welch(change, RATE, nperseg=size, nfft=250, axis=0)
    energy = power.sum(-1)
    inside = energy[(hertz > BAND[0]) & (hertz <= BAND[1])].sum()
    whole = energy[(hertz > WHOLE[0]) & (hertz <= WHOLE[1])].sum()
    return float(inside / max(whole, 1e-12))


def count_blinks(opening: Array) -> int:
    """Return the number of blinks in eye openings (T,) at RATE."""
    open_eye = ndimage.percentile_filter(opening, 70, 51)
    ratio = opening / np.maximum(open_eye, 1e-3)
    peaks, _ = signal.find_peaks(
        -ratio,
        height=-BLINK_DEPTH,
        distance=round(BLINK_SPACING * RATE),
        prominence=BLINK_PROMINENCE,
    )
    return len(peaks)
