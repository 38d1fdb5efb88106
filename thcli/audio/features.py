"""What a small voice model listens to: log-mel, pitch and energy, a hundred rows a second."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import tee

import numpy as np

from thcli.audio.mel import BINS, log_mel_blocks
from thcli.audio.pitch import VOICES, peak, tracked
from thcli.audio.resample_rows import together
from thcli.audio.voice_activity import levels
from thcli.audio.windows import framed
from thcli.core.protocols import Speech
from thcli.core.types import Array32

PER_SECOND = Fraction(100)
MEL, PITCH, ENERGY = slice(0, BINS), BINS, BINS + 1
COLUMNS = BINS + 2


def heard(speech: Speech) -> Iterator[Array32]:
    """(T, COLUMNS) float32 parts, row t about t / 100 seconds: `log_mel` (MEL), `pitch` in Hz (PITCH), `energy` in dB (ENERGY).

    The numbers do not depend on the blocks in which the sound comes, and of a long sound only what is being worked on is in memory.
    """
    hop, window = speech.rate // 100, speech.rate // 40
    loudest = peak(speech.blocks())
    first, second, third = tee(speech.blocks(), 3)
    streams = (
        log_mel_blocks(first, speech.rate, hop, window),
        tracked(second, speech.rate, hop, VOICES, 0, loudest),
        framed(third, hop, window, levels),
    )
    for mel, hertz, power in together(*streams):
        yield np.column_stack([mel, hertz, power])
