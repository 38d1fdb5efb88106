"""Input features of the small voice model: log-mel, pitch and energy at 100 rows per second."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import tee

import numpy as np

from thcli.audio.mel import BINS, log_mel_blocks
from thcli.audio.pitch import VOICE_RANGE, peak_amplitude, track_pitch
from thcli.audio.resample_rows import zip_parts
from thcli.audio.voice_activity import power_levels
from thcli.audio.windows import map_windows
from thcli.core.protocols import Speech
from thcli.core.types import Array32

ROWS_PER_SECOND = Fraction(100)
MEL, PITCH, ENERGY = slice(0, BINS), BINS, BINS + 1
COLUMNS = BINS + 2


def extract_features(speech: Speech) -> Iterator[Array32]:
    """Extract log-mel energies, pitch and energy of a sound.

    The result does not depend on the blocks of the sound. Memory does not grow with its length.

    Returns:
        (T, COLUMNS) float32 parts, row t at t / 100 seconds: `log_mel` (columns MEL), `pitch` in Hz
        (PITCH), `energy` in dB (ENERGY).
    """
    hop, window = speech.rate // 100, speech.rate // 40
    maximum = peak_amplitude(speech.blocks())
    first, second, third = tee(speech.blocks(), 3)
    streams = (
        log_mel_blocks(first, speech.rate, hop, window),
        track_pitch(second, speech.rate, hop, VOICE_RANGE, 0, maximum),
        map_windows(third, hop, window, power_levels),
    )
    for mel, f0, energy in zip_parts(*streams):
        yield np.column_stack([mel, f0, energy])
