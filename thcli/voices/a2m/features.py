"""Input features of the mouth network: log-mel above a floor, voicing and pitch height."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.audio.features import MEL, PITCH
from thcli.audio.mel import BINS
from thcli.core.types import Array32

INPUT_COLUMNS = BINS + 2
FLOOR = -14.0  # ln of a band's energy, 11 below levelled speech; softer sound is silence
MEAN, SPREAD = -9.0, 3.0  # of band energies above the floor
VOICE_HERTZ = (60.0, 500.0)  # range of voices; pitch outside of it counts as unvoiced
REFERENCE_HERTZ = 160.0  # pitch with height 0


def network_inputs(rows: npt.ArrayLike) -> Array32:
    """Return network inputs of `audio.features.extract_features` rows.

    Args:
        rows: (T, 82).

    Returns:
        (T, INPUT_COLUMNS) float32: bands about -1.7..2, voicing 0 or 1, octaves above
        REFERENCE_HERTZ.
    """
    features = np.asarray(rows, np.float32)
    bands = (np.logaddexp(features[:, MEL], np.float32(FLOOR)) - np.float32(MEAN)) / np.float32(
        SPREAD
    )
    pitch = features[:, PITCH]
    voiced = (pitch > VOICE_HERTZ[0]) & (pitch < VOICE_HERTZ[1])
    height = np.where(voiced, np.log2(np.maximum(pitch, VOICE_HERTZ[0]) / REFERENCE_HERTZ), 0)
    return np.column_stack([bands, voiced, height]).astype(np.float32)


def silent_inputs(count: int) -> Array32:
    """Return inputs of silence, (count, INPUT_COLUMNS), for before and after the sound."""
    rows = np.zeros((count, INPUT_COLUMNS), np.float32)
    rows[:, :BINS] = (FLOOR - MEAN) / SPREAD
    return rows
