"""Growth of memory with the length of a clip: each verb with few and with many frames."""

from __future__ import annotations

import tempfile
import wave
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thcli.core.events import Listener, silent
from thcli.core.options import MemoryOptions
from thcli.evaluate.benchmarks.memory import MemoryUse, memory_of_command
from thcli.evaluate.benchmarks.progress import step_progress
from thcli.evaluate.datasets.sample_clip import RATE, save_portrait, write_test_clip

GROWTH_BAR = 50 * 2**20  # bytes that a long job may need more than a short one
SOUND_RATE = 16_000  # samples/s

Measure = Callable[[Sequence[str]], MemoryUse]
"""Runs `thcli ARGV` in its own process and measures its memory."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Memory of one verb with few and with many frames.

    frames: of the short and of the long clip.
    """

    verb: str
    frames: tuple[int, int]
    short: MemoryUse
    long: MemoryUse

    @property
    def grown(self) -> int:
        """Bytes by which the peak of the long clip exceeds that of the short one."""
        return self.long.peak - self.short.peak

    @property
    def flat(self) -> bool:
        """True when the growth is within the limit."""
        return self.grown <= GROWTH_BAR

    def as_json(self) -> dict[str, Any]:
        """Return all values for JSON, in bytes."""
        return {
            "verb": self.verb,
            "frames": list(self.frames),
            "peak_rss": [self.short.peak, self.long.peak],
            "rss_at_half": self.long.half,
            "rss_at_end": self.long.end,
            "bytes": self.grown,
            "bar": GROWTH_BAR,
            "flat": self.flat,
        }


HEAD = ["verb", "frames", "peak MiB", "more than", "at half MiB", "at the end MiB", "flat"]


def growth_table(rows: Sequence[Growth]) -> tuple[list[str], list[list[str]]]:
    """Return the heading and a line for each verb."""
    lines = []
    for row in rows:
        mib = [f"{value / 2**20:.0f}" for value in (row.long.peak, row.long.half, row.long.end)]
        more = f"{row.grown / 2**20:+.0f} MiB of {row.frames[0]} frames"
        flat = "yes" if row.flat else "NO"
        lines.append([row.verb, str(row.frames[1]), mib[0], more, mib[1], mib[2], flat])
    return HEAD, lines


def measure_growth(
    options: MemoryOptions, measure: Measure | None = None, on: Listener = silent
) -> list[Growth]:
    """Run each verb with few and with many frames, each time in its own process.

    Args:
        options: verbs, numbers of frames, side of the clip.
        measure: runs a command; None for `memory_of_command`.
        on: receives progress events.

    Raises:
        ThcliError: a command fails.
    """
    measure = measure or memory_of_command
    rows = []
    with step_progress("memory", 2 * len(options.chosen), on) as step:
        for verb in options.chosen:
            frames = (options.memory_short, options.frames_of(verb))
            used = []
            for count in frames:
                used.append(_measure_verb(verb, count, options.memory_size, measure))
                step()
            rows.append(Growth(verb, frames, used[0], used[1]))
    return rows


def _measure_verb(verb: str, frames: int, size: int, measure: Measure) -> MemoryUse:
    with tempfile.TemporaryDirectory(prefix="thcli-bench-") as name:
        return _VERBS[verb](_Material(Path(name), frames, size), measure)


@dataclass(frozen=True, slots=True)
class _Material:
    """Inputs of one run, written when they are asked for."""

    folder: Path
    frames: int
    size: int

    def portrait(self) -> str:
        return str(save_portrait(self.folder / "source.png", self.size))

    def clip(self) -> str:
        path = self.folder / "clip.mp4"
        return str(path if path.exists() else write_test_clip(path, self.frames, self.size))

    def sound(self) -> str:
        return str(_write_sound(self.folder / "speech.wav", self.frames))

    def made(self, name: str) -> str:
        return str(self.folder / name)


def _reenact(given: _Material, measure: Measure) -> MemoryUse:
    return measure(["reenact", given.portrait(), given.clip(), "-o", given.made("o.mp4"), "-q"])


def _refine(given: _Material, measure: Measure) -> MemoryUse:
    return measure(["refine", given.clip(), "-o", given.made("o.mp4"), "-q"])


def _edit(given: _Material, measure: Measure) -> MemoryUse:
    attribute = ("--attr", "smiling=0.5")
    return measure(["edit", given.clip(), *attribute, "-o", given.made("o.mp4"), "-q"])


def _speak(given: _Material, measure: Measure) -> MemoryUse:
    return measure(["speak", given.portrait(), given.sound(), "-o", given.made("o.mp4"), "-q"])


def _crop(given: _Material, measure: Measure) -> MemoryUse:
    return measure(["crop", given.clip(), "-o", given.made("crops.mp4"), "-q"])


def _paste(given: _Material, measure: Measure) -> MemoryUse:
    _crop(given, measure)
    crops = given.made("crops.mp4")
    return measure(["paste", crops, given.clip(), "-o", given.made("o.mp4"), "-q"])


_VERBS: Mapping[str, Callable[[_Material, Measure], MemoryUse]] = {
    "reenact": _reenact,
    "refine": _refine,
    "edit": _edit,
    "speak": _speak,
    "crop": _crop,
    "paste": _paste,
}


def _write_sound(path: Path, frames: int) -> Path:
    """Write a buzzing tone with four syllables a second and a pause every two seconds."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SOUND_RATE, 0, "NONE", ""))
        total = frames * SOUND_RATE // RATE
        for start in range(0, total, 10 * SOUND_RATE):
            seconds = np.arange(start, min(start + 10 * SOUND_RATE, total)) / SOUND_RATE
            pitch = sum(np.sin(2 * np.pi * 130 * k * seconds) / k for k in range(1, 12))
            loudness = np.sin(2 * np.pi * 2 * seconds) ** 2 * (seconds % 2 < 1.6)
            samples: np.ndarray[Any, Any] = np.asarray(6000 * pitch * loudness, "<i2")
            file.writeframes(samples.tobytes())
    return path
