"""`thcli eval speak` of finished videos: mouth, head and SyncNet's scores beside the true clips."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.errors import MediaError
from thcli.core.events import Finished, Listener, Started, Step, silent
from thcli.core.types import Array, Motion
from thcli.evaluate.benchmarks.voices import speech, talking_heads
from thcli.evaluate.benchmarks.voices.speech import ClipOpenings
from thcli.evaluate.benchmarks.voices.talking_heads import ClipLiveliness
from thcli.evaluate.datasets import talking_clips
from thcli.evaluate.datasets.result_pairs import TrueClip, name_clips, video_of_clip
from thcli.evaluate.metrics.speech.lip_sync import LipSync
from thcli.evaluate.metrics.speech.liveliness import measure_liveliness
from thcli.evaluate.reports.tables import Table

RESULT = "result"
Clips = Sequence[tuple[Path, str]]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class SpokenVideos:
    """Measurements of finished videos.

    heads: of clips long enough.
    """

    mouths: Sequence[ClipOpenings]
    heads: Sequence[ClipLiveliness]

    def report(self) -> dict[str, Any]:
        """Return the scores for JSON."""
        return {
            "mouths": speech.report(self.mouths, RESULT),
            **(talking_heads.report(self.heads, RESULT) if self.heads else {}),
            "command": "eval speak",
        }

    def tables(self) -> list[Table]:
        """Return heading and lines for people."""
        found = [speech.table(speech.report(self.mouths, RESULT))]
        if self.heads:
            found.append(talking_heads.table(talking_heads.report(self.heads, RESULT)))
        return found


def evaluate_results(
    clips: Clips, results: Path, motions: Path | None, on: Listener = silent
) -> SpokenVideos:
    """Measure finished videos of the clips' sound against the clips.

    Args:
        clips: true clips with their speakers.
        results: folder of the videos, named as the clips.
        motions: see `talking_clips.load_motion`; those of the results lie beside them.
        on: receives progress events.

    Raises:
        MediaError: a video is missing or cannot be used.
    """
    mouths, heads = [], []
    began = time.perf_counter()
    on(Started("measure", len(clips), "clips"))
    videos = [video_of_clip(results, path) for path, _ in clips]
    for number, ((path, speaker), video) in enumerate(zip(clips, videos, strict=True), 1):
        true, made = (
            store.window(0, len(store))
            for store in (
                talking_clips.load_motion(path, motions),
                talking_clips.load_motion(video, None),
            )
        )
        shapes = shapes_at(made, seconds_of(true))
        mouths.append(speech.compare_openings(path, speaker, true, RESULT, shapes))
        lively = measure_liveliness(true), measure_liveliness(made)
        if lively[0] is not None and lively[1] is not None:
            heads.append(ClipLiveliness(path.stem, speaker, lively[0], lively[1]))
        on(Step("measure", number))
    on(Finished("measure", len(clips), time.perf_counter() - began))
    return SpokenVideos(mouths, heads)


def seconds_of(motion: Motion) -> Array:
    """Return the times (T,) of a motion since its first row."""
    times = np.asarray(motion.pts, np.float64) * float(motion.time_base)
    return np.asarray(times - times[0])


def shapes_at(motion: Motion, seconds: Array) -> Array:
    """Return the canonical shapes (T, 468, 3) of the rows nearest in time, of rows with a face."""
    valid = np.flatnonzero(motion.valid)
    if not len(valid):
        raise MediaError("A result shows no face.", "Give videos of talking faces.")
    nearest = nearest_rows(seconds_of(motion)[valid], seconds)
    return np.asarray(speech.mouth_shapes(motion)[valid[nearest]])


def nearest_rows(times: Array, seconds: Array) -> Indices:
    """Return the index (T,) of the time that is nearest to each of `seconds`, of two the earlier.

    Args:
        times: rising, (N,).
        seconds: (T,).
    """
    after = np.searchsorted(times, seconds).clip(0, len(times) - 1)
    before = (after - 1).clip(0)
    return np.where(seconds - times[before] <= times[after] - seconds, before, after)


def measure_sync(
    clips: Clips, results: Path | None, measure: Callable[[Path], LipSync]
) -> tuple[dict[str, Any], Table]:
    """Return SyncNet's scores of the true clips and of the results, for JSON and as a table."""
    rows = {"truth": [path for path, _ in clips]}
    if results is not None:
        rows[RESULT] = [video_of_clip(results, path) for path, _ in clips]
    names = {clip.path: name for name, clip in name_clips([TrueClip(p) for p, _ in clips]).items()}
    found = {
        row: {
            names[clip]: asdict(measure(path)) for (clip, _), path in zip(clips, paths, strict=True)
        }
        for row, paths in rows.items()
    }
    lines = []
    for row, values in found.items():
        means = [
            float(np.mean([one[key] for one in values.values()]))
            for key in ("distance", "confidence")
        ]
        lines.append([row, str(len(values)), *(f"{mean:.3f}" for mean in means)])
    return found, (["row", "clips", "LSE-D ↓", "LSE-C ↑"], lines)
