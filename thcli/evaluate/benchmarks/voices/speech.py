"""`thcli eval a2m`: mouth movements of a voice for unseen speakers, against the true ones.

Mouth openings are compared (inner lip gap over mouth width, head pose removed), then closures of
the lips and amplitudes. Two baselines are scored alike: "mean" is always open at the truth's mean,
"envelope" follows the loudness. Both know the truth's mean, which the voice does not.
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
from thcli.audio.phones import phone_rows
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
from thcli.evaluate.metrics.speech import articulation
from thcli.motion import canonical

RANGE = 45.0  # dB below the loudest at which the envelope's mouth is shut
SILENT = 0.35  # seconds between speech and silence, in which a mouth closes
LAG = 1  # frames; limit of the best shift
SILENCE_FRAMES = 3  # that a clip must have
Curves = Mapping[str, Array]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClipOpenings:
    """Mouth movements of one clip.

    rows: "truth", the voice's name, "envelope", "mean" -> openings (T,).
    features: "truth" and the voice's name -> curves (T,) of `articulation.FEATURES`.
    seconds: (T,) times of the frames in the sound. bilabials: seconds of recognised p, b and m.
    speech, silence: (T,) frames well inside of each.
    """

    name: str
    speaker: str
    rows: Curves
    features: Mapping[str, Curves]
    seconds: Array
    bilabials: Array
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
    synced: correlation with the truth put in step, mean over speakers.
    floor: the same for the sound of another clip; None with one clip.
    late: seconds by which the picture is late at that shift, mean over speakers.
    closures: F1 of the closures of the lips; None without any.
    bilabials, true_bilabials: shares of p, b and m with shut lips, of the row and of the truth.
    amplitudes: deviation over that of the truth, for each of `articulation.FEATURES`.
    """

    clips: int
    correlation: float
    spoken: float
    in_step: float
    lag: int
    silent: float | None
    synced: float
    floor: float | None
    late: float
    closures: float | None
    bilabials: float | None
    true_bilabials: float | None
    amplitudes: Mapping[str, float | None]


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
        clips.append(_openings_of_clip(voice, name, path, speaker, motions, options))
        on(Step("speak", number))
    on(Finished("speak", len(clips), time.perf_counter() - began))
    return clips


def _openings_of_clip(
    voice: Voice, name: str, path: Path, speaker: str, motions: Path | None, options: VoiceOptions
) -> ClipOpenings:
    recording = Recording(path)
    store = talking_clips.load_motion(path, motions)
    motion = store.window(0, len(store))
    pts = motion.pts - round(start_time(path) / store.time_base)  # relative to the sound's start
    parts = [mouth_shapes(part) for part in voice.speak(recording, pts, store.time_base, options)]
    return compare_openings(path, speaker, motion, name, np.concatenate(parts))


def compare_openings(
    path: Path, speaker: str, motion: Motion, name: str, shapes: Array
) -> ClipOpenings:
    """Return the mouth movements of a clip and of a result, beside the baselines.

    Args:
        path: true clip with sound.
        speaker: its speaker.
        motion: true motion.
        name: of the result, a row's label.
        shapes: (T, 468, 3) canonical shapes of the result in the true frames.
    """
    recording = Recording(path)
    pts = motion.pts - round(start_time(path) / motion.time_base)
    features = {
        "truth": articulation.mouth_features(mouth_shapes(motion)),
        name: articulation.mouth_features(shapes),
    }
    true = np.where(motion.valid, features["truth"]["opening"], np.nan)
    energy = np.concatenate(list(extract_features(recording)))[:, ENERGY]
    level = FeatureRows(energy, ROWS_PER_SECOND).interpolate(pts, motion.time_base)
    level = level.astype(np.float64)
    loudness = np.clip(level - (level.max() - RANGE), 0, None)
    mean = float(np.nanmean(true))
    rows = {
        "truth": true,
        name: features[name]["opening"],
        "envelope": loudness * (mean / max(float(loudness.mean()), 1e-9)),
        "mean": np.full(len(true), mean),
    }
    seconds = np.asarray(pts * float(motion.time_base), np.float64)
    distance = np.full(len(seconds), np.inf)  # to speech, seconds
    for begin, end in detect_speech(recording):
        outside = np.maximum(np.maximum(begin - seconds, seconds - end), 0)
        distance = np.minimum(distance, outside)
    phones = np.concatenate(list(phone_rows(recording.blocks())))
    return ClipOpenings(
        path.stem,
        speaker,
        rows,
        features,
        seconds,
        articulation.bilabial_times(phones),
        distance == 0,
        distance > SILENT,
    )


def mouth_shapes(motion: Motion) -> Array:
    """Return the canonical shapes (T, 468, 3) of a motion of kind "mesh"."""
    return canonical.neutral() + np.asarray(motion.arrays["expression"], np.float64)


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
        **_articulation_scores(clips, row),
    )


def _articulation_scores(clips: Sequence[ClipOpenings], row: str) -> dict[str, Any]:
    """Return the fields of `SpeechScores` from `synced` on."""
    speakers = [
        [c for c in clips if c.speaker == who] for who in sorted({c.speaker for c in clips})
    ]
    found = [
        articulation.find_sync([(c.seconds, c.rows["truth"], c.rows[row]) for c in of_one])
        for of_one in speakers
    ]
    closures, bilabials, true_bilabials = [], [], []
    amplitudes: dict[str, list[float]] = {feature: [] for feature in articulation.FEATURES}
    for of_one, sync in zip(speakers, found, strict=True):
        for clip in of_one:
            own, result = clip.rows["truth"], clip.rows[row]
            truth = articulation.shift(clip.seconds, own, sync.seconds)
            closures.append(articulation.closure_matches(clip.seconds, truth, result))
            bilabials.append(articulation.shut_share(clip.seconds, result, clip.bilabials))
            true_bilabials.append(articulation.shut_share(clip.seconds, truth, clip.bilabials))
            for feature, curve in clip.features.get(row, {}).items():
                true_curve = np.where(np.isfinite(own), clip.features["truth"][feature], np.nan)
                ratio = articulation.amplitude_ratio(true_curve, curve, clip.speech)
                if ratio is not None:
                    amplitudes[feature].append(ratio)
    hits, all_true, right, all_shut = np.sum(closures, 0)
    return {
        "synced": float(np.mean([sync.correlation for sync in found])),
        "floor": _mismatched_floor(speakers, row) if len(clips) > 1 else None,
        "late": float(np.mean([sync.seconds for sync in found])),
        "closures": _f1(hits, all_true, right, all_shut) if all_true else None,
        "bilabials": _share(bilabials),
        "true_bilabials": _share(true_bilabials),
        "amplitudes": {
            feature: float(np.median(ratios)) if ratios else None
            for feature, ratios in amplitudes.items()
        },
    }


def _f1(hits: int, all_true: int, right: int, all_shut: int) -> float:
    recall, precision = hits / all_true, right / max(all_shut, 1)
    return float(2 * recall * precision / max(recall + precision, 1e-9))


def _share(counts: Sequence[tuple[int, int]]) -> float | None:
    hits, total = np.sum(counts, 0)
    return float(hits / total) if total else None


def _mismatched_floor(speakers: Sequence[Sequence[ClipOpenings]], row: str) -> float:
    """Return the correlation that `find_sync` finds with the next clip's sound."""
    clips = [clip for of_one in speakers for clip in of_one]
    following = dict(zip([c.name for c in clips], [*clips[1:], clips[0]], strict=True))
    found = []
    for of_one in speakers:
        parts = []
        for clip in of_one:
            other = following[clip.name].rows[row]
            count = min(len(other), len(clip.seconds))
            parts.append((clip.seconds[:count], clip.rows["truth"][:count], other[:count]))
        found.append(articulation.find_sync(parts).correlation)
    return float(np.mean(found))


def _correlation(truth: Array, result: Array, shift: int) -> float:
    a = truth[max(-shift, 0) : len(truth) - max(shift, 0)]
    b = result[max(shift, 0) : len(result) - max(-shift, 0)]
    return correlate_signals(a, b, 0).correlation or 0.0


def report(clips: Sequence[ClipOpenings], name: str) -> dict[str, Any]:
    """Return the `--json` report: scores of all clips and of each speaker, row by row."""
    return {
        "command": "eval a2m",
        "voice": name,
        "groups": {
            group: {row: _plain(scores(chosen, row)) for row in (name, "envelope", "mean")}
            for group, chosen in talking_clips.by_speaker(clips).items()
        },
    }


def _plain(found: SpeechScores) -> dict[str, Any]:
    return {
        "clips": found.clips,
        "correlation": round(found.correlation, 4),
        "while_speaking": round(found.spoken, 4),
        "in_step": round(found.in_step, 4),
        "lag_frames": found.lag,
        "silence_over_speech": _rounded(found.silent),
        "at_sync": round(found.synced, 4),
        "mismatched": _rounded(found.floor),
        "picture_late_s": round(found.late, 4),
        "closure_f1": _rounded(found.closures),
        "bilabials_shut": _rounded(found.bilabials),
        "truth_bilabials_shut": _rounded(found.true_bilabials),
        **{f"{name}_amplitude": _rounded(value) for name, value in found.amplitudes.items()},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def table(report_: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return heading and lines for people."""
    heads = [
        "speaker",
        "row",
        "clips",
        "correlation",
        "while speaking",
        "in step",
        "lag, frames",
        "silence/speech",
        "at sync",
        "mismatched",
        "late, s",
        "closures F1",
        "p b m shut",
        "p b m shut, truth",
        *(f"{name} / truth" for name in articulation.FEATURES),
    ]
    rows = []
    for group, found in report_["groups"].items():
        for row, values in found.items():
            cells = ("-" if value is None else str(value) for value in values.values())
            rows.append([group, row, *cells])
    return heads, rows
