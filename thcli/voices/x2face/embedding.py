"""Audio embedding of the regression: log-mel and phone posteriors around each video frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from thcli.audio import mel
from thcli.audio.features import MEL, ROWS_PER_SECOND, extract_features
from thcli.audio.mel import BINS
from thcli.audio.phones import PHONES, phone_rows
from thcli.audio.resample_rows import row_windows, zip_parts
from thcli.core.protocols import Speech
from thcli.core.types import Array32, Timestamps

OFFSETS = (-8, -4, 0, 4, 8)  # rows of 10 ms around a frame
COLUMNS = BINS + len(PHONES)
EMBEDDING = len(OFFSETS) * COLUMNS
FLOOR, MEAN, SPREAD = -14.0, -9.0, 3.0  # of band energies: least, and to about -1..1
_CONTEXT = Fraction(max(OFFSETS) + 1, int(ROWS_PER_SECOND))


def embed_speech(
    speech: Speech, pts: Timestamps, time_base: Fraction, *, offline: bool = False
) -> Iterator[tuple[slice, Array32]]:
    """Yield for windows of time stamps their slice and embeddings (T, EMBEDDING) float32.

    The published audio network is not available: the embedding is that of the acoustic models that
    thcli has. It depends on the 90 ms before and after a frame.

    Args:
        speech: the recording.
        pts: (N,) ascending time stamps; 0 is the beginning of the recording.
        time_base: seconds per unit.
        offline: forbid downloads.

    Raises:
        WeightsError: the phone model is not installed.
    """
    parts = (
        _rows(sound[:, MEL], phones)
        for sound, phones in zip_parts(
            extract_features(speech), phone_rows(speech.blocks(), offline)
        )
    )
    windows = row_windows(parts, ROWS_PER_SECOND, pts, time_base, _CONTEXT)
    for chosen, window in windows:
        rows = np.arange(len(window.values))
        near = [window.values[np.clip(rows + step, 0, len(rows) - 1)] for step in OFFSETS]
        stacked = replace(window, values=np.concatenate(near, 1))
        yield chosen, stacked.interpolate(pts[chosen], time_base)


def silence() -> Array32:
    """Return the embedding (1, EMBEDDING) of silence."""
    phones = np.full((1, len(PHONES)), -np.inf, np.float32)
    phones[0, PHONES.index("SIL")] = 0
    bands = np.full((1, BINS), np.log(mel.FLOOR), np.float32)
    return np.tile(_rows(bands, phones), (1, len(OFFSETS)))


def _rows(bands: Array32, posteriors: Array32) -> Array32:
    """Return rows (T, COLUMNS) of log-mel bands and log posteriors of phones."""
    levels = (np.logaddexp(bands, np.float32(FLOOR)) - np.float32(MEAN)) / np.float32(SPREAD)
    return np.concatenate([levels, np.exp(posteriors)], 1).astype(np.float32)
