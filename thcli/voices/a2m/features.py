"""Input features of the mouth network: log-mel above a floor, voicing, pitch height and phones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from thcli.audio.features import MEL, PITCH, extract_features
from thcli.audio.mel import BINS
from thcli.audio.phones import PHONES, phone_rows
from thcli.audio.resample_rows import zip_parts
from thcli.core.protocols import Speech
from thcli.core.types import Array32

SOUND_COLUMNS = BINS + 2
PHONE_COLUMNS = len(PHONES)
INPUT_COLUMNS = SOUND_COLUMNS + PHONE_COLUMNS
FLOOR = -14.0  # ln of a band's energy, 11 below levelled speech; softer sound is silence
MEAN, SPREAD = -9.0, 3.0  # of band energies above the floor
VOICE_HERTZ = (60.0, 500.0)  # range of voices; pitch outside of it counts as unvoiced
REFERENCE_HERTZ = 160.0  # pitch with height 0
PHONE_FLOOR, PHONE_SPREAD = -8.0, 4.0  # least log posterior, and the distance that counts as 1


def speech_inputs(speech: Speech, offline: bool = False) -> Iterator[Array32]:
    """Yield the network's inputs of a sound, (T, INPUT_COLUMNS) float32, 100 rows per second.

    Raises:
        WeightsError: the phone model is not installed.
    """
    for rows, phones in zip_parts(extract_features(speech), phone_rows(speech.blocks(), offline)):
        yield np.column_stack([network_inputs(rows), phone_inputs(phones)])


def network_inputs(rows: npt.ArrayLike) -> Array32:
    """Return the inputs of `audio.features.extract_features` rows.

    Args:
        rows: (T, 82).

    Returns:
        (T, SOUND_COLUMNS) float32: bands about -1.7..2, voicing 0 or 1, octaves above
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


def phone_inputs(posteriors: npt.ArrayLike) -> Array32:
    """Return the inputs of log posteriors of phones (T, PHONE_COLUMNS): -1 (no) to 1 (sure)."""
    logs = np.maximum(np.asarray(posteriors, np.float32), np.float32(PHONE_FLOOR))
    return np.asarray(logs / np.float32(PHONE_SPREAD) + 1, np.float32)


def silent_inputs(count: int) -> Array32:
    """Return inputs of silence, (count, INPUT_COLUMNS), for before and after the sound."""
    rows = np.zeros((count, INPUT_COLUMNS), np.float32)
    rows[:, :BINS] = (FLOOR - MEAN) / SPREAD
    rows[:, SOUND_COLUMNS:] = PHONE_FLOOR / PHONE_SPREAD + 1
    rows[:, SOUND_COLUMNS + PHONES.index("SIL")] = 1
    return rows
