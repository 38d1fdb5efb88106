"""`thcli eval a2m`: mouth movements of a voice for unseen speakers, against the true ones.

Mouth openings are compared (inner lip gap over mouth width, head pose removed). Two baselines are
scored alike: "mean" is always open at the truth's mean, "envelope" follows the loudness. Both know
the truth's mean, which the voice does not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.audio.features import ENERGY, ROWS_PER_SECOND, extract_features
from thcli.audio.read import start_time
from thcli.audio.resample_rows import FeatureRows
from thcli.audio.speech import Recording
from thcli.audio.voice_activity import detect_speech
from thcli.core.events import Finished, Listener, Started, Step, silent
from thcli.core.options import VoiceOptions
from thcli.core.protocols import Voice
from thcli.core.types import Array, Motion
from thcli.evaluate.datasets import talking_clips
from thcli.evaluate.metrics.face_geometry import correlate_signals
from thcli.motion import canonical

RANGE = 45.0  # dB below the loudest at which the envelope's mouth is shut
SILENT = 0.35  # seconds between speech and silence, in which a mouth closes
LAG = 1  # frames; limit of the best shift
SILENCE_FRAMES = 3  # that a clip must have
Curves = Mapping[str, Array]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClipOpenings:
    """Mouth openings (T,) of one clip.

    rows: "truth", the voice's name, "envelope", "mean" -> openings.
    speech, silence: (T,) frames well inside of each.
    """

    name: str
    speaker: str
    rows: Curves
    speech: Flags
    silence: Flags


@dataclass(frozen=True, slots=True)
class SpeechScores:
    """Scores of one row over a group of clips.

    correlation: with the truth, mean over clips.
    spoken: the same during speech.
    in_step: share of clips whose best shift is at most LAG frames.
    lag: best shift of all clips together, frames (positive: late).
    silent: opening in silence over that in speech; None when no clip is silent long enough.
    """

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
) -> list[ClipOpenings]:
    """Render the mouth openings of a voice for every clip. Raises MediaError for an unusable clip.

    Args:
        voice: backend.
        name: of the voice, a row's label.
        found: clips with their speakers.
        motions: see `talking_clips.load_motion`.
        options: of the voice.
        on: receives progress events.
    """
    clips = []
    began = time.perf_counter()
    on(Started("speak", len(found), "clips"))
    for number, (path, speaker) in enumerate(found, 1):
        rows, speech, silence = _openings_of_clip(voice, name, path, motions, options)
        clips.append(ClipOpenings(path.stem, speaker, rows, speech, silence))
        on(Step("speak", number))
    on(Finished("speak", len(clips), time.perf_counter() - began))
    return clips


def _openings_of_clip(
    voice: Voice, name: str, path: Path, motions: Path | None, options: VoiceOptions
) -> tuple[Curves, Flags, Flags]:
    """Return rows, speech and silence of `ClipOpenings`."""
    recording = Recording(path)
    store = talking_clips.load_motion(path, motions)
    motion = store.window(0, len(store))
    pts = motion.pts - round(start_time(path) / store.time_base)  # relative to the sound's start
    true = np.where(motion.valid, openings(motion), np.nan)
    parts = voice.speak(recording, pts, store.time_base, options)
    spoken = np.concatenate([openings(part) for part in parts])
    energy = np.concatenate(list(extract_features(recording)))[:, ENERGY]
    level = FeatureRows(energy, ROWS_PER_SECOND).interpolate(pts, store.time_base)
    level = level.astype(np.float64)
    loudness = np.clip(level - (level.max() - RANGE), 0, None)
    mean = float(np.nanmean(true))
    rows = {
        "truth": true,
        name: spoken,
        "envelope": loudness * (mean / max(float(loudness.mean()), 1e-9)),
        "mean": np.full(len(true), mean),
    }
    seconds = pts * float(store.time_base)
    distance = np.full(len(seconds), np.inf)  # to speech, seconds
    for begin, end in detect_speech(recording):
        outside = np.maximum(np.maximum(begin - seconds, seconds - end), 0)
        distance = np.minimum(distance, outside)
    return rows, distance == 0, distance > SILENT


def openings(motion: Motion) -> Array:
    """Return the mouth openings (T,) of a motion of kind "mesh"."""
    expression = np.asarray(motion.arrays["expression"], np.float64)
    return canonical.mouth_opening(canonical.neutral() + expression)


def scores(clips: Sequence[ClipOpenings], row: str) -> SpeechScores:
    """Score one row. A constant row has correlation 0."""
    lags = [correlate_signals(c.rows["truth"], c.rows[row], 8) for c in clips]
    in_speech = [
        correlate_signals(c.rows["truth"][c.speech], c.rows[row][c.speech], 8).correlation or 0.0
        for c in clips
    ]
    by_shift = {
        shift: float(np.mean([_correlation(c.rows["truth"], c.rows[row], shift) for c in clips]))
        for shift in range(-8, 9)
    }
    silent = None
    quiet = [c for c in clips if c.silence.sum() >= SILENCE_FRAMES and c.speech.any()]
    if quiet:
        open_in_speech = float(np.mean([c.rows[row][c.speech].mean() for c in quiet]))
        open_in_silence = float(np.mean([c.rows[row][c.silence].mean() for c in quiet]))
        silent = open_in_silence / open_in_speech if open_in_speech > 0 else None
    return SpeechScores(
        len(clips),
        float(np.mean([lag.correlation or 0.0 for lag in lags])),
        float(np.mean(in_speech)),
        float(np.mean([lag.frames is not None and abs(lag.frames) <= LAG for lag in lags])),
        max(by_shift, key=lambda shift: (round(by_shift[shift], 6), -abs(shift))),
        silent,
    )


def _correlation(truth: Array, result: Array, shift: int) -> float:
    a = truth[max(-shift, 0) : len(truth) - max(shift, 0)]
    b = result[max(shift, 0) : len(result) - max(-shift, 0)]
    return correlate_signals(a, b, 0).correlation or 0.0


def report(clips: Sequence[ClipOpenings], name: str) -> dict[str, Any]:
    """Return the `--json` report: scores of all clips and of each speaker, row by row."""
    speakers = sorted({clip.speaker for clip in clips})
    groups = {"all": list(clips)}
    groups |= {speaker: [c for c in clips if c.speaker == speaker] for speaker in speakers}
    return {
        "command": "eval a2m",
        "voice": name,
        "groups": {
            group: {row: _plain(scores(chosen, row)) for row in (name, "envelope", "mean")}
            for group, chosen in groups.items()
        },
    }


def _plain(found: SpeechScores) -> dict[str, Any]:
    return {
        "clips": found.clips,
        "correlation": round(found.correlation, 4),
        "while_speaking": round(found.spoken, 4),
        "in_step": round(found.in_step, 4),
        "lag_frames": found.lag,
        "silence_over_speech": None if found.silent is None else round(found.silent, 4),
    }


def table(report_: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return heading and lines for people."""
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
            cells = ("-" if value is None else str(value) for value in values.values())
            rows.append([group, row, *cells])
    return heads, rows
