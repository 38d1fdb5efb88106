"""Batches of talking clips, augmented as recordings vary; each follows from (seed, step) alone.

The augmentation changes speed, voice, room, microphone, noise and pauses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import lfilter
from torch import Tensor

from thcli.audio.features import COLUMNS, ENERGY, MEL, PITCH
from thcli.audio.mel import BINS
from thcli.audio.phones import PHONES
from thcli.core.errors import MediaError
from thcli.core.events import Listener, silent
from thcli.core.options import A2mTrainOptions, TrainOptions
from thcli.core.types import Array32
from thcli.evaluate.datasets import talking_clips
from thcli.train.a2m.clips import (
    RATE,
    TalkingClip,
    fit_basis,
    load_clips,
    measure_speakers,
    set_targets,
)
from thcli.train.a2m.offsets import correct_offsets
from thcli.voices.a2m.features import PHONE_FLOOR, network_inputs, phone_inputs
from thcli.voices.a2m.networks import CLOSURES

PER_SECOND = 100  # rows of sound features
SAMPLE_STEP = 2**31 - 1  # step number of the sample batch
SILENCE = -30.0  # natural logarithm of the energy of silence
MAX_PAUSE = 1.0  # seconds of silence before and after a clip
UNKNOWN_MARGIN = 0.3  # seconds around a clip in which the mouth's motion is unknown
MAX_STRETCH = 0.12  # of the frequency axis, which simulates other vocal tracts
NOISE_ROWS = 8192  # rows of precomputed noise
MAX_PITCH_SHIFT = 0.5  # octaves
SPEEDS = (0.87, 1.16)
INSIDE = 0.8  # share of the items that begin and end with their clip
SURENESS, PHONE_ERROR = (0.8, 1.2), 0.15  # range of factors, and deviation, of log posteriors
MOST_FRAMES, SPEAKER_POWER = 1500, 0.7  # a speaker's share of the items grows with the frames


class SpeechMotionBatches:
    """Batches for `thcli train a2m`, with T rows of sound per item.

    heard: (B, T, inputs). target: (B, T / 4, K + 3). weight: (B, T / 4).
    basis, unit: see `clips.fit_basis`. tuning: clips of the speakers of model_options.tune, which
    are in no batch.
    """

    def __init__(
        self,
        folder: Path,
        options: TrainOptions,
        model_options: A2mTrainOptions,
        batch: int,
        *,
        on: Listener = silent,
    ) -> None:
        found = talking_clips.select_clips(
            talking_clips.find_clips(folder), model_options.only, model_options.held_out
        )
        motions = Path(model_options.motions) if model_options.motions else None
        clips = correct_offsets(load_clips(found, motions, on=on), on)
        self.tuning = [clip for clip in clips if clip.speaker in model_options.tuned]
        self.clips = [clip for clip in clips if clip.speaker not in model_options.tuned]
        if not self.clips:
            raise MediaError("No clip is left.", "Check the chosen speakers.")
        measure_speakers(clips)
        self.basis, self.unit = fit_basis(self.clips, model_options.shapes)
        set_targets(clips, self.basis, self.unit)
        self._seed, self._batch, self._rows = options.seed, batch, options.size
        self._speakers = [
            [clip for clip in self.clips if clip.speaker == speaker]
            for speaker in sorted({clip.speaker for clip in self.clips})
        ]
        frames = [sum(len(clip.seconds) for clip in of_one) for of_one in self._speakers]
        shares = np.minimum(frames, MOST_FRAMES) ** SPEAKER_POWER
        self._shares = shares / shares.sum()
        self._fingerprint = talking_clips.clips_fingerprint(found)

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clips)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def close(self) -> None:
        """Do nothing: no file is open."""

    def batch(self, step: int) -> Mapping[str, Tensor]:
        """Return the batch of an update, counted from 0."""
        rngs = [np.random.default_rng([self._seed, step, i]) for i in range(self._batch)]
        return self._items(rngs, True)

    def sample_batch(self, most: int = 6) -> Mapping[str, Tensor]:
        """Return the fixed items of the sample sheets, without augmentation."""
        rngs = [np.random.default_rng([self._seed, SAMPLE_STEP, i]) for i in range(most)]
        return self._items(rngs, False)

    def _items(self, rngs: Sequence[np.random.Generator], augmented: bool) -> Mapping[str, Tensor]:
        items = [self._item(rng, augmented) for rng in rngs]
        return {
            name: torch.from_numpy(np.stack([item[i] for item in items]))
            for i, name in enumerate(("heard", "target", "weight"))
        }

    def _item(self, rng: np.random.Generator, augmented: bool) -> tuple[Array32, Array32, Array32]:
        of_one = self._speakers[int(rng.choice(len(self._speakers), p=self._shares))]
        clip = of_one[int(rng.integers(len(of_one)))]
        speed = float(rng.uniform(*SPEEDS)) if augmented and rng.random() < 0.5 else 1.0
        begin = _window_start(round(len(clip.rows) / speed), self._rows, rng)
        at = np.round((begin + np.arange(self._rows)) * speed).astype(int)
        heard, phones = cut_window(clip, at, rng)
        if augmented:
            other = self.clips[int(rng.integers(len(self.clips)))].rows
            heard = augment(heard, other, rng)
            phones = blur_phones(phones, rng)
        seconds = (begin / PER_SECOND + np.arange(self._rows * RATE // PER_SECOND) / RATE) * speed
        target, weight = target_at(clip, seconds)
        inputs = np.concatenate([network_inputs(heard), phone_inputs(phones)], 1)
        return inputs, target, weight


def _window_start(length: int, count: int, rng: np.random.Generator) -> int:
    """Return the first row of an item: within the clip (or around it), or up to 1 s outside."""
    spare = length - count
    inside = rng.uniform(min(spare, 0), max(spare, 0))
    if rng.random() < INSIDE:
        return round(inside)
    return round(rng.uniform(-MAX_PAUSE * PER_SECOND, max(spare, 0) + MAX_PAUSE * PER_SECOND))


def cut_window(
    clip: TalkingClip, at: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[Array32, Array32]:
    """Return rows (N, 82) and phones (N, 42) at row numbers; beyond the clip the room is quiet."""
    count, length = len(at), len(clip.rows)
    inside = (at >= 0) & (at < length)
    out = np.zeros((count, COLUMNS), np.float32)
    out[:, MEL], out[:, ENERGY] = SILENCE, -80
    out[inside] = clip.rows[at[inside]]
    phones = np.full((count, len(PHONES)), PHONE_FLOOR, np.float32)
    phones[:, PHONES.index("SIL")] = 0
    phones[inside] = clip.phones[at[inside]]
    if not inside.all():
        quiet = np.log(np.exp(clip.rows[:, MEL].astype(np.float32)).sum(1) + 1e-9)
        room = sample_noise(count, rng) + float(np.percentile(quiet, 5) + rng.uniform(-2, 0.5))
        out[~inside, MEL] = room[~inside] if rng.random() < 0.8 else SILENCE
    return out, phones


def blur_phones(phones: Array32, rng: np.random.Generator) -> Array32:
    """Vary how sure the recogniser is: other temperatures, and errors of single phones and rows."""
    logits = phones * np.float32(rng.uniform(*SURENESS))
    logits = logits + rng.normal(0, PHONE_ERROR, (1, phones.shape[1])).astype(np.float32)
    logits = logits + rng.normal(0, PHONE_ERROR, phones.shape).astype(np.float32)
    total = np.asarray(np.logaddexp.reduce(logits, 1))
    return np.asarray(logits - total[:, None], np.float32)


def sample_noise(count: int, rng: np.random.Generator) -> Array32:
    """Draw (count, BINS) log band energies of a steady noise of random colour.

    The energies sum to 1.
    """
    colour = rng.uniform(-0.05, 0.01) * np.arange(BINS) + np.cumsum(rng.normal(0, 0.08, BINS))
    table = _flicker()
    start = int(rng.integers(0, len(table) - count))
    colour -= np.log(np.exp(colour).sum())
    direction = 1 if rng.random() < 0.5 else -1
    return table[start : start + count, ::direction] + colour.astype(np.float32)


@cache
def _flicker() -> Array32:
    """Return (NOISE_ROWS, BINS) log energies of a noise about their mean, drawn once."""
    energies = np.random.default_rng(0).gamma(2.0, 0.5, (NOISE_ROWS, BINS)) + 1e-3
    return np.asarray(np.log(energies), np.float32)


def augment(heard: Array32, other: Array32, rng: np.random.Generator) -> Array32:
    """Vary vocal tract, reverberation, equalisation, noise, background voice, gaps and pitch.

    Args:
        heard: Rows of the item, (T, 82).
        other: Rows of another clip, for the background voice.
        rng: Source of the random numbers.
    """
    out = heard.copy()
    bands = _stretch_bands(heard[:, MEL], rng)
    count = len(bands)
    level = float(np.percentile(np.log(np.exp(bands).sum(1) + 1e-9), 90))
    if rng.random() < 0.3:
        bands = _add_reverb(bands, rng)
    gains = np.interp(np.arange(BINS), np.linspace(0, BINS - 1, 7), rng.normal(0, 0.8, 7))
    bands = bands + gains.astype(np.float32)
    if rng.random() < 0.7:
        noise = sample_noise(count, rng)
        bands = np.logaddexp(bands, noise + np.float32(level - rng.uniform(3, 10)))
    if rng.random() < 0.15:
        start = int(rng.integers(0, max(1, len(other) - count)))
        voice = np.full((count, BINS), SILENCE, np.float32)
        part = other[start : start + count, MEL]
        voice[: len(part)] = part
        bands = np.logaddexp(bands, voice - np.float32(rng.uniform(3, 7)))
    bands = bands + np.float32(rng.normal(0, 0.6))
    if rng.random() < 0.5:
        first = int(rng.integers(0, BINS - 10))
        bands[:, first : first + int(rng.integers(1, 10))] = SILENCE
    if rng.random() < 0.3:
        first = int(rng.integers(0, count - 10))
        bands[first : first + int(rng.integers(2, 8))] = SILENCE
    out[:, MEL] = bands
    out[:, PITCH] *= 2 ** rng.uniform(-MAX_PITCH_SHIFT, MAX_PITCH_SHIFT)
    if rng.random() < 0.2:
        out[:, PITCH] = 0
    return out


def _stretch_bands(bands: Array32, rng: np.random.Generator) -> Array32:
    """Stretch the frequency axis, as a longer or shorter vocal tract shifts the formants."""
    stretched = np.arange(BINS) * (1 + rng.uniform(-MAX_STRETCH, MAX_STRETCH))
    at = np.clip(stretched + rng.uniform(-1, 1), 0, BINS - 1)
    low = np.minimum(at.astype(int), BINS - 2)
    share = (at - low).astype(np.float32)
    return np.asarray(bands[:, low] * (1 - share) + bands[:, low + 1] * share)


def _add_reverb(bands: Array32, rng: np.random.Generator) -> Array32:
    """Add reverberation: each band's energy decays over 30 to 120 ms."""
    decay = np.exp(-1 / rng.uniform(3, 12))
    power = np.exp(bands)
    tail = lfilter([1 - decay], [1, -decay], power, axis=0)
    return np.asarray(np.log(power + rng.uniform(0.05, 0.3) * tail + 1e-13), np.float32)


def target_at(
    clip: TalkingClip, seconds: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> tuple[Array32, Array32]:
    """Return the true motion at times of a clip, and the weight of each row.

    Far before and after the clip the mouth is closed.

    Args:
        clip: The clip.
        seconds: Times, (N,).

    Returns:
        Motion (N, K + 3) and weights (N,).
    """
    last = len(clip.seconds) - 1
    at = np.interp(seconds, clip.seconds, np.arange(last + 1))
    low = np.minimum(at.astype(int), max(last - 1, 0))
    share = (at - low).astype(np.float32)[:, None]
    high = np.minimum(low + 1, last)
    rows = clip.target[low] * (1 - share) + clip.target[high] * share
    distance = np.maximum(clip.seconds[0] - seconds, seconds - clip.seconds[-1])
    inside = distance <= 0.5 / RATE
    weight = np.where(
        inside,
        (clip.seen[low] & clip.seen[high]).astype(np.float32),
        np.where(distance > UNKNOWN_MARGIN, 0.5, 0.0),
    )
    rows = rows * inside[:, None]
    rows[:, -CLOSURES] += ~inside
    return rows.astype(np.float32), weight.astype(np.float32)
