"""How well a voice moves the mouth of people whom it has never heard: against their own, beside two trivial answers.

The openings of the mouth are compared (inner lip gap over mouth width, the head's pose taken out). "mean" is a mouth that always opens as
far as the true one does on average; "envelope" opens with the loudness. Both are given the truth's own mean, which the voice is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thcli.audio.features import ENERGY, PER_SECOND, heard
from thcli.audio.read import starts
from thcli.audio.resample_rows import Rows
from thcli.audio.speech import Recording
from thcli.audio.voice_activity import spoken
from thcli.core.events import Finished, Listener, Started, Step, silent
from thcli.core.options import VoiceOptions
from thcli.core.protocols import Voice
from thcli.core.types import Array, Motion
from thcli.evaluate.datasets import talking_clips
from thcli.evaluate.metrics.face_geometry import follow
from thcli.motion import canonical

RANGE = 45.0  # dB under the loudest in which an envelope is open at all
SILENT = 0.35  # seconds away from speech: there a mouth has had the time to close
LAG = 1  # frames that the best shift may be off
SILENCE_FRAMES = 3
Curves = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Clip:
    """Openings (T,) of one clip's frames. rows: "truth", the voice's name, "envelope", "mean".  speech, silence: (T,) frames well inside of each."""

    name: str
    speaker: str
    rows: Curves
    speech: np.ndarray[tuple[int], np.dtype[np.bool_]]
    silence: np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Scores:
    """Of one row over a group of clips. correlation: with the truth, mean over clips.  spoken: the same while somebody speaks.
    in_step: part of the clips whose best shift is at most LAG frames.  lag: the best shift of all clips together, frames (positive: late).
    silent: opening in silence over that in speech (None: no clip is silent long enough)."""

    clips: int
    correlation: float
    spoken: float
    in_step: float
    lag: int
    silent: float | None


def evaluate_voice(
    voice: Voice,
    name: str,
    found: Sequence[tuple[Path, str]],
    motions: Path | None,
    options: VoiceOptions,
    on: Listener = silent,
) -> list[Clip]:
    """Lets a voice say every clip. found: clips and their speakers.  motions: see `talking.motion_of`.  Raises MediaError for a clip that cannot be used."""
    clips = []
    on(Started("speak", len(found), "clips"))
    for number, (path, who) in enumerate(found, 1):
        clips.append(_clip(voice, name, path, who, motions, options))
        on(Step("speak", number))
    on(Finished("speak", len(clips), 0.0))
    return clips


def _clip(
    voice: Voice, name: str, path: Path, who: str, motions: Path | None, options: VoiceOptions
) -> Clip:
    speech = Recording(path)
    store = talking_clips.motion_of(path, motions)
    seen = store.window(0, len(store))
    pts = seen.pts - round(starts(path) / store.time_base)  # the sound's own beginning is 0
    true = np.where(seen.valid, openings(seen), np.nan)
    made = np.concatenate(
        [openings(part) for part in voice.speak(speech, pts, store.time_base, options)]
    )
    level = (
        Rows(np.concatenate(list(heard(speech)))[:, ENERGY], PER_SECOND)
        .at(pts, store.time_base)
        .astype(np.float64)
    )
    loud = np.clip(level - (level.max() - RANGE), 0, None)
    mean = float(np.nanmean(true))
    rows = {
        "truth": true,
        name: made,
        "envelope": loud * (mean / max(float(loud.mean()), 1e-9)),
        "mean": np.full(len(true), mean),
    }
    seconds = pts * float(store.time_base)
    stretches = spoken(speech)
    apart = np.full(len(seconds), np.inf)
    for begin, end in stretches:
        apart = np.minimum(apart, np.maximum(np.maximum(begin - seconds, seconds - end), 0))
    return Clip(path.stem, who, rows, apart == 0, apart > SILENT)


def openings(motion: Motion) -> Array:
    """(T,) of a motion of kind "mesh"."""
    return canonical.mouth_opening(
        canonical.neutral() + np.asarray(motion.arrays["expression"], np.float64)
    )


def scores(clips: Sequence[Clip], row: str) -> Scores:
    """Of one row. A row that never moves has correlation 0."""
    whole = [follow(c.rows["truth"], c.rows[row], 8) for c in clips]
    part = [
        follow(c.rows["truth"][c.speech], c.rows[row][c.speech], 8).correlation or 0.0
        for c in clips
    ]
    shifts = {
        shift: float(np.mean([_shifted(c.rows["truth"], c.rows[row], shift) for c in clips]))
        for shift in range(-8, 9)
    }
    quiet = [c for c in clips if c.silence.sum() >= SILENCE_FRAMES and c.speech.any()]
    said = float(np.mean([c.rows[row][c.speech].mean() for c in quiet])) if quiet else 0.0
    rests = float(np.mean([c.rows[row][c.silence].mean() for c in quiet])) if quiet else 0.0
    return Scores(
        len(clips),
        float(np.mean([w.correlation or 0.0 for w in whole])),
        float(np.mean(part)),
        float(np.mean([w.frames is not None and abs(w.frames) <= LAG for w in whole])),
        max(shifts, key=lambda shift: (round(shifts[shift], 6), -abs(shift))),
        rests / said if said > 0 else None,
    )


def _shifted(truth: Array, result: Array, shift: int) -> float:
    a = truth[max(-shift, 0) : len(truth) - max(shift, 0)]
    b = result[max(shift, 0) : len(result) - max(-shift, 0)]
    return follow(a, b, 0).correlation or 0.0


def report(clips: Sequence[Clip], name: str) -> dict[str, Any]:
    """The `--json` report: scores of all clips and of each speaker, row by row."""
    speakers = sorted({clip.speaker for clip in clips})
    groups = {"all": list(clips)} | {
        who: [c for c in clips if c.speaker == who] for who in speakers
    }
    return {
        "command": "eval a2m",
        "voice": name,
        "groups": {
            group: {row: _plain(scores(chosen, row)) for row in (name, "envelope", "mean")}
            for group, chosen in groups.items()
        },
    }


def _plain(found: Scores) -> dict[str, Any]:
    return {
        "clips": found.clips,
        "correlation": round(found.correlation, 4),
        "while_speaking": round(found.spoken, 4),
        "in_step": round(found.in_step, 4),
        "lag_frames": found.lag,
        "silence_over_speech": None if found.silent is None else round(found.silent, 4),
    }


def table(report_: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows for the terminal."""
    heads = [
        "speaker",
        "row",
        "clips",
        "correlation",
        "while speaking",
        "in step",
        "lag",
        "silence/speech",
    ]
    rows = []
    for group, found in report_["groups"].items():
        for row, values in found.items():
            rows.append(
                [group, row, *("-" if value is None else str(value) for value in values.values())]
            )
    return heads, rows
