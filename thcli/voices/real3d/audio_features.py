"""What the model is given: HuBERT and the pitch, row by row at 50 Hz, aligned as in its training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from thcli.audio.hubert import FIELD, STRIDE, Hubert
from thcli.audio.pitch import Range, pitch_blocks
from thcli.core.protocols import Speech
from thcli.core.types import Array32

RANGE = Range(floor=80.0, ceiling=750.0, voicing=0.6)
ROWS_A_STEP = 8  # of sound in a latent step: what there is of the last one is filled up with zeros
_MEL = 512  # samples of the frames whose count the pitch is brought to


def listen(speech: Speech, hubert: Hubert) -> Iterator[tuple[Array32, Array32]]:
    """(T, 1024) HuBERT and (T,) Hz (0: unvoiced) in parts, together a multiple of 8 rows."""
    pitches = _pitch(speech)
    held = np.zeros(0, np.float32)
    count = 0
    for rows in hubert.rows(speech):
        while len(held) < len(rows):
            held = np.concatenate([held, next(pitches)])
        yield rows, held[: len(rows)]
        held = held[len(rows) :]
        count += len(rows)
    if missing := -count % ROWS_A_STEP:
        yield np.zeros((missing, rows.shape[1]), np.float32), np.zeros(missing, np.float32)


def rows_of(length: int) -> int:
    """How many rows HuBERT gives for so many samples."""
    return max(1, (length - FIELD + STRIDE) // STRIDE)


def _pitch(speech: Speech) -> Iterator[Array32]:
    """Praat's frames lie centred in the sound, not on its grid; the published code takes frame i for row i, repeats the last up to the
    frames of its mel spectrum, then zeros."""
    longest = round(3 * speech.rate / RANGE.floor)
    length = (
        speech.length // STRIDE + 1
    ) * STRIDE  # filled up to whole rows, by one more where it is whole
    frames, wanted = (length - longest) // STRIDE + 1, (speech.length - _MEL) // STRIDE + 1
    last, left = np.zeros(1, np.float32), max(0, min(frames, wanted))
    if left:
        for part in pitch_blocks(
            speech, STRIDE, RANGE, first=(length - (frames - 1) * STRIDE) // 2
        ):
            kept = part[:left]
            left -= len(kept)
            last = kept[-1:] if len(kept) else last
            yield kept
        yield np.repeat(last, left + max(0, wanted - frames))
    while True:
        yield np.zeros(64, np.float32)
