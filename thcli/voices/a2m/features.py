"""What the network is given of a sound: log-mel above a floor, whether a voice is heard and how high it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.audio.features import MEL, PITCH
from thcli.audio.mel import BINS
from thcli.core.types import Array32

COLUMNS = BINS + 2
FLOOR = -14.0  # ln of a band's energy, 11 below the bands of levelled speech: what is softer is all the same silence
MIDDLE, SPREAD = -9.0, 3.0  # of what is above it
VOICE = (60.0, 500.0)  # Hz: what is found outside of it is no voice
USUAL = 160.0  # Hz


def inputs(rows: npt.ArrayLike) -> Array32:
    """(T, 82) rows of `audio.features.heard` -> (T, COLUMNS) float32: bands about -1.7..2, voiced 0 or 1, octaves above a usual voice."""
    heard = np.asarray(rows, np.float32)
    bands = (np.logaddexp(heard[:, MEL], np.float32(FLOOR)) - np.float32(MIDDLE)) / np.float32(
        SPREAD
    )
    pitch = heard[:, PITCH]
    voiced = (pitch > VOICE[0]) & (pitch < VOICE[1])
    height = np.where(voiced, np.log2(np.maximum(pitch, VOICE[0]) / USUAL), 0)
    return np.column_stack([bands, voiced, height]).astype(np.float32)


def silence(count: int) -> Array32:
    """(count, COLUMNS) inputs of nothing at all: what is heard before a sound begins and after it ends."""
    rows = np.zeros((count, COLUMNS), np.float32)
    rows[:, :BINS] = (FLOOR - MIDDLE) / SPREAD
    return rows
