"""Choice of the face that speaks: mouths of all tracks against the sound of their video."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from thcli.audio.read import start_time
from thcli.audio.speech import Recording
from thcli.audio.voice_activity import detect_speech
from thcli.core.errors import NoFaceError
from thcli.core.options import AudioOptions, RunOptions
from thcli.core.types import AnyArray, Array, Array32
from thcli.media.info import MediaInfo
from thcli.motion.canonical import decompose
from thcli.motion.file.windows import WINDOW
from thcli.pipeline.observe.track_log import TrackLog

if TYPE_CHECKING:
    from thcli.voices.a2m.sync import MouthMatcher

RATE = 50  # rows a second of mouths and sound
LENGTH, STEP = 100, 50  # rows of a window of 2 s, and from one to the next
MARGIN = 0.5  # seconds of sound read before the first and after the last frame
LEAST_SEEN = 25  # rows of a window in which a mouth must be seen
GAP = 0.2  # seconds between two frames of a face that are bridged


def score_speech(
    tracks: Iterable[int], log: TrackLog, info: MediaInfo, run: RunOptions
) -> dict[int, float]:
    """Return how much the mouth of each track moves with the sound of the video, about 0..0.5.

    Windows of 2 s count by their share of speech, so that the score of a face that speaks half of
    the time is half as high. The sound may be 0.1 s early or late. Memory: 5 MB for a face that is
    seen for an hour, 10 MB for an hour of sound.

    Args:
        tracks: numbers of the faces.
        log: faces of all frames.
        info: the video.
        run: device of the network.

    Raises:
        NoFaceError: nobody speaks.
        MediaError: the sound cannot be read.
        WeightsError: weights are not installed.
    """
    seconds = _frame_times(log)
    recording, begin = record_span(info.path, float(seconds[0]), float(seconds[-1]))
    phrases = detect_speech(recording)
    if not len(phrases):
        raise NoFaceError(
            f"Nobody speaks in the sound of {info.path}.",
            "Choose the face by its number or a picture.",
        )
    from thcli.voices.a2m.sync import MouthMatcher  # imports torch, which few choices need

    matcher = MouthMatcher(run)
    sound = matcher.sound_rows(recording)
    times = begin + np.arange(len(sound)) / RATE
    weights = speech_shares(phrases, len(sound))
    mouths = _mouths(log, matcher)
    scores = {}
    for track in tracks:
        seen, rows = mouths[track]
        mouth = mouth_at(times, seconds[seen], rows)
        total = add_windows(mouth, sound, weights, matcher)
        scores[track] = float(total.max() / weights.sum())
    return scores


def record_span(path: Path, first: float, last: float) -> tuple[Recording, float]:
    """Return the sound of a span of frames with MARGIN around it, and the time it begins at.

    Args:
        path: of the video.
        first: seconds of the first frame.
        last: seconds of the last frame.
    """
    zero = float(start_time(path))
    begin = max(0.0, first - zero - MARGIN)
    end = max(last - zero + MARGIN, begin + MARGIN)
    return Recording(path, AudioOptions(start=begin, end=end)), zero + begin


def add_windows(mouth: Array32, sound: Array32, weights: Array, matcher: MouthMatcher) -> Array:
    """Return the weighted sum of the correlations of all windows at each shift.

    weights: (W,) of each window.
    """
    total = np.zeros(1)
    for weight, first in zip(weights, window_starts(len(sound)), strict=True):
        window = slice(first, first + LENGTH)
        if weight and np.isfinite(mouth[window, -1]).sum() >= LEAST_SEEN:
            total = total + weight * matcher.correlate(mouth[window], sound[window])
    return total


def window_starts(count: int) -> range:
    """Return the first row of each window of `count` rows."""
    return range(0, max(count - LENGTH, 0) + 1, STEP)


def speech_shares(phrases: Array, count: int) -> Array:
    """Return the share of speech (W,) of each window of `count` rows; 1 where none has any."""
    at = np.arange(count) / RATE
    phrase = np.searchsorted(phrases[:, 0], at, "right") - 1
    spoken = (phrase >= 0) & (at < phrases[np.maximum(phrase, 0), 1])
    shares = np.array([spoken[first : first + LENGTH].mean() for first in window_starts(count)])
    return shares if shares.any() else np.ones(len(shares))


def _frame_times(log: TrackLog) -> Array:
    """Return the time stamps of all frames in seconds."""
    unit = float(log.time_base)
    return np.array(
        [frame.pts * unit for frames, _ in log.windows(None, WINDOW) for frame in frames]
    )


def _mouths(log: TrackLog, matcher: MouthMatcher) -> dict[int, tuple[AnyArray, Array32]]:
    """Return the frames (N,) that show each track, and its mouth there (N, 13)."""
    parts: dict[int, list[tuple[AnyArray, Array32]]] = {}
    for frames, tracks, meshes in log.meshes():
        rows = matcher.mouth_rows(decompose(meshes).shape)
        for track in np.unique(tracks):
            own = tracks == track
            parts.setdefault(int(track), []).append((frames[own], rows[own]))
    return {
        track: (np.concatenate([one for one, _ in own]), np.concatenate([row for _, row in own]))
        for track, own in parts.items()
    }


def mouth_at(times: Array, known: Array, rows: Array32) -> Array32:
    """Return a mouth at some times, (T, 13), NaN where it was not seen.

    Args:
        times: (T,) seconds.
        known: (N,) seconds at which it was seen.
        rows: (N, 13) the mouth there.
    """
    after = np.clip(np.searchsorted(known, times), 0, len(known) - 1)
    before = np.clip(after - 1, 0, None)
    near = np.maximum(times - known[before], known[after] - times) <= GAP
    out = np.empty((len(times), rows.shape[1]), np.float32)
    for column, values in zip(out.T, rows.T, strict=True):
        column[:] = np.interp(times, known, values)
    out[~near] = np.nan
    return out
