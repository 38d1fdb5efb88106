"""Batches of talking clips, augmented as recordings vary; each follows from (seed, step) alone.

The augmentation changes speed, voice, room, microphone, noise and pauses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy.signal import lfilter
from torch import Tensor

from thcli.audio.features import COLUMNS, ENERGY, MEL, PITCH
from thcli.audio.mel import BINS
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
from thcli.voices.a2m.features import network_inputs

PER_SECOND = 100  # rows of sound features
SAMPLE_STEP = 2**31 - 1  # step number of the sample batch
SILENCE = -30.0  # natural logarithm of the energy of silence
MAX_PAUSE = 1.0  # seconds of silence before and after a clip
UNKNOWN_MARGIN = 0.3  # seconds around a clip in which the mouth's motion is unknown
MAX_STRETCH = 0.12  # of the frequency axis, which simulates other vocal tracts
NOISE_ROWS = 8192  # rows of precomputed noise
MAX_PITCH_SHIFT = 0.5  # octaves


class SpeechMotionBatches:
    """Batches for `thcli train a2m`, with T rows of sound per item.

    heard: (B, T, inputs). target: (B, T / 4, K + 1). weight: (B, T / 4).
    basis, unit: see `clips.fit_basis`. Half of the items come from the speakers of
    model_options.focus.
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
        self._prepare(load_clips(found, motions, on=on), options, model_options, batch)
        self._fingerprint = talking_clips.clips_fingerprint(found)

    def _prepare(
        self,
        clips: list[TalkingClip],
        options: TrainOptions,
        model_options: A2mTrainOptions,
        batch: int,
    ) -> None:
        self.clips = clips
        measure_speakers(clips)
        self.basis, self.unit = fit_basis(clips, model_options.shapes)
        set_targets(clips, self.basis, self.unit)
        self._seed, self._batch, self._rows = options.seed, batch, options.size
        focused = [
            i
            for i, clip in enumerate(clips)
            if model_options.focus and clip.speaker.startswith(model_options.focus)
        ]
        others = [i for i in range(len(clips)) if i not in set(focused)]
        self._pools = [pool for pool in (focused, others) if pool]

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
        pool = self._pools[int(rng.integers(len(self._pools)))]
        clip = self.clips[pool[int(rng.integers(len(pool)))]]
        speed = float(rng.choice(list(clip.rows))) if augmented and rng.random() < 0.7 else 1.0
        rows = clip.rows[speed]
        begin = _window_start(len(rows), self._rows, rng)
        heard = cut_window(rows, begin, self._rows, rng)
        if augmented:
            other = self.clips[int(rng.integers(len(self.clips)))].rows[1.0]
            heard = augment(heard, other, rng)
        seconds = (begin / PER_SECOND + np.arange(self._rows * RATE // PER_SECOND) / RATE) * speed
        target, weight = target_at(clip, seconds)
        return network_inputs(heard), target, weight


def _window_start(length: int, count: int, rng: np.random.Generator) -> int:
    """Return the first row of an item: within the clip half of the time, else up to 1 s outside."""
    spare = length - count
    inside = rng.uniform(min(spare, 0), max(spare, 0))
    if rng.random() < 0.5:
        return round(inside)
    return round(rng.uniform(-MAX_PAUSE * PER_SECOND, max(spare, 0) + MAX_PAUSE * PER_SECOND))


def cut_window(rows: Array32, begin: int, count: int, rng: np.random.Generator) -> Array32:
    """Return (count, 82) rows from `begin` on, with room noise beyond the clip."""
    at = np.arange(begin, begin + count)
    inside = (at >= 0) & (at < len(rows))
    out = np.zeros((count, COLUMNS), np.float32)
    out[:, MEL], out[:, ENERGY] = SILENCE, -80
    out[inside] = rows[at[inside]]
    if not inside.all():
        quiet = np.log(np.exp(rows[:, MEL].astype(np.float32)).sum(1) + 1e-9)
        room = sample_noise(count, rng) + float(np.percentile(quiet, 5) + rng.uniform(-2, 0.5))
        out[~inside, MEL] = room[~inside] if rng.random() < 0.8 else SILENCE
    return out


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
        Motion (N, K + 1) and weights (N,).
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
    return (rows * inside[:, None]).astype(np.float32), weight.astype(np.float32)
