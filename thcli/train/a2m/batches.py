"""Batches of talking clips, disturbed as recordings are: speed, other voices, rooms, microphones, noise, pauses. Each follows from (seed, step) alone."""

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
from thcli.train.a2m import clips
from thcli.train.a2m.clips import RATE, Talk
from thcli.voices.a2m.features import inputs

PER_SECOND = 100  # rows of the sound
FIXED = 2**31 - 1  # stands for the step of the items that sample pictures show
SILENT = -30.0  # ln of an energy: nothing at all
BEFORE = 1.0  # seconds of silence that may come before and after a clip
ANTICIPATES = 0.3  # seconds around a clip in which nobody knows what the mouth does
FORMANTS = 0.12  # by how much the bands are stretched: other throats
FLICKER = 8192  # rows of noise to choose from
PITCHES = 0.5  # octaves by which a voice is taken for higher or lower


class Talks:
    """Batches for `thcli train a2m`: heard (B, T, inputs), target (B, T / 4, K + 1), weight (B, T / 4), T rows of sound each.

    basis, unit: see `a2m_clips.principal`. own.focus: speakers that half of the items come from.
    """

    def __init__(
        self,
        folder: Path,
        options: TrainOptions,
        own: A2mTrainOptions,
        batch: int,
        *,
        on: Listener = silent,
    ) -> None:
        found = talking_clips.chosen(talking_clips.find(folder), own.only, own.held_out)
        self._prepare(
            clips.load(found, Path(own.motions) if own.motions else None, on=on),
            options,
            own,
            batch,
        )
        self._print = talking_clips.fingerprint(found)

    def _prepare(
        self, talks: list[Talk], options: TrainOptions, own: A2mTrainOptions, batch: int
    ) -> None:
        self.talks = talks
        clips.measure_speakers(talks)
        self.basis, self.unit = clips.principal(talks, own.shapes)
        clips.set_targets(talks, self.basis, self.unit)
        self._seed, self._batch, self._rows = options.seed, batch, options.size
        focused = [
            i for i, talk in enumerate(talks) if own.focus and talk.speaker.startswith(own.focus)
        ]
        others = [i for i in range(len(talks)) if i not in set(focused)]
        self._pools = [pool for pool in (focused, others) if pool]

    def __len__(self) -> int:
        """Clips in the set."""
        return len(self.talks)

    @property
    def fingerprint(self) -> str:
        return self._print

    def close(self) -> None:
        """Nothing is held open."""

    def batch(self, step: int) -> Mapping[str, Tensor]:
        """The batch of an update, counted from 0."""
        return self._items(
            [np.random.default_rng([self._seed, step, place]) for place in range(self._batch)], True
        )

    def fixed(self, most: int = 6) -> Mapping[str, Tensor]:
        """The same few items every time, undisturbed."""
        return self._items(
            [np.random.default_rng([self._seed, FIXED, place]) for place in range(most)], False
        )

    def _items(self, draws: Sequence[np.random.Generator], disturb: bool) -> Mapping[str, Tensor]:
        items = [self._item(draw, disturb) for draw in draws]
        return {
            name: torch.from_numpy(np.stack([item[i] for item in items]))
            for i, name in enumerate(("heard", "target", "weight"))
        }

    def _item(self, draw: np.random.Generator, disturb: bool) -> tuple[Array32, Array32, Array32]:
        pool = self._pools[int(draw.integers(len(self._pools)))]
        talk = self.talks[pool[int(draw.integers(len(pool)))]]
        speed = float(draw.choice(list(talk.rows))) if disturb and draw.random() < 0.7 else 1.0
        rows = talk.rows[speed]
        begin = _begin(len(rows), self._rows, draw)
        heard = placed(rows, begin, self._rows, draw)
        if disturb:
            other = self.talks[int(draw.integers(len(self.talks)))].rows[1.0]
            heard = disturbed(heard, other, draw)
        seconds = (begin / PER_SECOND + np.arange(self._rows * RATE // PER_SECOND) / RATE) * speed
        target, weight = truth(talk, seconds)
        return inputs(heard), target, weight


def _begin(length: int, wanted: int, draw: np.random.Generator) -> int:
    """The row of a clip that an item begins with: half of the time anywhere within it, else up to a second outside."""
    room = length - wanted
    inside = draw.uniform(min(room, 0), max(room, 0))
    if draw.random() < 0.5:
        return round(inside)
    return round(draw.uniform(-BEFORE * PER_SECOND, max(room, 0) + BEFORE * PER_SECOND))


def placed(rows: Array32, begin: int, count: int, draw: np.random.Generator) -> Array32:
    """(count, 82) rows from `begin` on; outside of the clip its room goes on, with nobody speaking."""
    at = np.arange(begin, begin + count)
    inside = (at >= 0) & (at < len(rows))
    out = np.zeros((count, COLUMNS), np.float32)
    out[:, MEL], out[:, ENERGY] = SILENT, -80
    out[inside] = rows[at[inside]]
    if not inside.all():
        quiet = np.log(np.exp(rows[:, MEL].astype(np.float32)).sum(1) + 1e-9)
        room = noise(count, draw) + float(np.percentile(quiet, 5) + draw.uniform(-2, 0.5))
        out[~inside, MEL] = room[~inside] if draw.random() < 0.8 else SILENT
    return out


def noise(count: int, draw: np.random.Generator) -> Array32:
    """(count, BINS) ln of the bands' energies of a steady noise of random colour, 1 in all."""
    colour = draw.uniform(-0.05, 0.01) * np.arange(BINS) + np.cumsum(draw.normal(0, 0.08, BINS))
    table = _flicker()
    start = int(draw.integers(0, len(table) - count))
    colour -= np.log(np.exp(colour).sum())
    return table[start : start + count, :: 1 if draw.random() < 0.5 else -1] + colour.astype(
        np.float32
    )


@cache
def _flicker() -> Array32:
    """(FLICKER, BINS) ln of how the energies of a noise vary about their mean: drawn once, for draws are slow."""
    drawn = np.random.default_rng(0).gamma(2.0, 0.5, (FLICKER, BINS)) + 1e-3
    return np.asarray(np.log(drawn), np.float32)


def disturbed(heard: Array32, other: Array32, draw: np.random.Generator) -> Array32:
    """The same speech from another throat, in another room, through another microphone, with noise or somebody else's voice behind it."""
    out = heard.copy()
    bands = _stretched(heard[:, MEL], draw)
    count = len(bands)
    level = float(np.percentile(np.log(np.exp(bands).sum(1) + 1e-9), 90))
    if draw.random() < 0.3:
        bands = _reverberant(bands, draw)
    bands = bands + np.interp(
        np.arange(BINS), np.linspace(0, BINS - 1, 7), draw.normal(0, 0.8, 7)
    ).astype(np.float32)
    if draw.random() < 0.7:
        bands = np.logaddexp(bands, noise(count, draw) + np.float32(level - draw.uniform(3, 10)))
    if draw.random() < 0.15:
        start = int(draw.integers(0, max(1, len(other) - count)))
        voice = np.full((count, BINS), SILENT, np.float32)
        part = other[start : start + count, MEL]
        voice[: len(part)] = part
        bands = np.logaddexp(bands, voice - np.float32(draw.uniform(3, 7)))
    bands = bands + np.float32(draw.normal(0, 0.6))
    if draw.random() < 0.5:
        first = int(draw.integers(0, BINS - 10))
        bands[:, first : first + int(draw.integers(1, 10))] = SILENT
    if draw.random() < 0.3:
        first = int(draw.integers(0, count - 10))
        bands[first : first + int(draw.integers(2, 8))] = SILENT
    out[:, MEL] = bands
    out[:, PITCH] *= 2 ** draw.uniform(-PITCHES, PITCHES)
    if draw.random() < 0.2:
        out[:, PITCH] = 0
    return out


def _stretched(bands: Array32, draw: np.random.Generator) -> Array32:
    """Bands moved along the scale: what a longer or shorter throat does to its resonances."""
    at = np.clip(
        np.arange(BINS) * (1 + draw.uniform(-FORMANTS, FORMANTS)) + draw.uniform(-1, 1), 0, BINS - 1
    )
    low = np.minimum(at.astype(int), BINS - 2)
    share = (at - low).astype(np.float32)
    return np.asarray(bands[:, low] * (1 - share) + bands[:, low + 1] * share)


def _reverberant(bands: Array32, draw: np.random.Generator) -> Array32:
    """With a room's echo: each band's energy dies away over 30 to 120 ms."""
    stays = np.exp(-1 / draw.uniform(3, 12))
    power = np.exp(bands)
    tail = lfilter([1 - stays], [1, -stays], power, axis=0)
    return np.asarray(np.log(power + draw.uniform(0.05, 0.3) * tail + 1e-13), np.float32)


def truth(
    talk: Talk, seconds: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> tuple[Array32, Array32]:
    """(N, K + 1) the true motion at times of the clip, and (N,) how much each counts. Long before and after, the mouth is closed."""
    last = len(talk.seconds) - 1
    at = np.interp(seconds, talk.seconds, np.arange(last + 1))
    low = np.minimum(at.astype(int), max(last - 1, 0))
    share = (at - low).astype(np.float32)[:, None]
    high = np.minimum(low + 1, last)
    rows = talk.target[low] * (1 - share) + talk.target[high] * share
    away = np.maximum(talk.seconds[0] - seconds, seconds - talk.seconds[-1])
    inside = away <= 0.5 / RATE
    weight = np.where(
        inside,
        (talk.seen[low] & talk.seen[high]).astype(np.float32),
        np.where(away > ANTICIPATES, 0.5, 0.0),
    )
    return (rows * inside[:, None]).astype(np.float32), weight.astype(np.float32)
