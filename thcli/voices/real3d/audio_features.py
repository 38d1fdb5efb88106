"""Input features of the model: HuBERT and pitch at 50 rows per second, aligned as in training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from thcli.audio.hubert import STRIDE, HubertEncoder
from thcli.audio.pitch import PitchRange, pitch_blocks
from thcli.core.protocols import Speech
from thcli.core.types import Array32

PITCH_RANGE = PitchRange(floor=80.0, ceiling=750.0, voicing=0.6)
ROWS_PER_STEP = 8  # audio rows per latent step; the last step is padded with zeros
_MEL_WINDOW = 512  # samples of the mel frames whose number the pitch is matched to


def encode_speech(speech: Speech, hubert: HubertEncoder) -> Iterator[tuple[Array32, Array32]]:
    """Yield HuBERT rows (T, 1024) and pitch (T,) in Hz, 0 where unvoiced.

    Together the parts have a multiple of 8 rows.
    """
    pitches = _align_pitch(speech)
    pending = np.zeros(0, np.float32)
    count = 0
    for rows in hubert.encode(speech):
        while len(pending) < len(rows):
            pending = np.concatenate([pending, next(pitches)])
        yield rows, pending[: len(rows)]
        pending = pending[len(rows) :]
        count += len(rows)
    if missing := -count % ROWS_PER_STEP:
        yield np.zeros((missing, rows.shape[1]), np.float32), np.zeros(missing, np.float32)


def _align_pitch(speech: Speech) -> Iterator[Array32]:
    """Yield the pitch of each row in Hz, without end.

    Praat centres its frames in the sound instead of placing them on its grid. The published code
    takes frame i for row i, repeats the last frame up to the number of mel frames, and appends
    zeros.
    """
    window = round(3 * speech.rate / PITCH_RANGE.floor)
    length = (speech.length // STRIDE + 1) * STRIDE  # padded to whole rows, always by some samples
    frames, mel_frames = (
        (length - window) // STRIDE + 1,
        (speech.length - _MEL_WINDOW) // STRIDE + 1,
    )
    last, remaining = np.zeros(1, np.float32), max(0, min(frames, mel_frames))
    if remaining:
        for part in pitch_blocks(
            speech, STRIDE, PITCH_RANGE, first=(length - (frames - 1) * STRIDE) // 2
        ):
            rows = part[:remaining]
            remaining -= len(rows)
            last = rows[-1:] if len(rows) else last
            yield rows
        yield np.repeat(last, remaining + max(0, mel_frames - frames))
    while True:
        yield np.zeros(64, np.float32)
