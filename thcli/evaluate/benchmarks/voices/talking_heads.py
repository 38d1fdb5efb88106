"""`thcli eval speak`: head, brows and blinks of a voice beside those of the talkers themselves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from thcli.audio.read import start_time
from thcli.audio.speech import Recording
from thcli.core.errors import MediaError
from thcli.core.events import Finished, Listener, Started, Step, silent
from thcli.core.options import VoiceOptions
from thcli.core.protocols import Voice
from thcli.core.types import Motion
from thcli.evaluate.datasets import talking_clips
from thcli.evaluate.metrics.speech.liveliness import Liveliness, measure_liveliness

PLACES = 3  # decimals


@dataclass(frozen=True, slots=True)
class ClipLiveliness:
    """Liveliness of one clip and of the voice that speaks its sound."""

    name: str
    speaker: str
    truth: Liveliness
    voice: Liveliness


def evaluate_heads(
    voice: Voice,
    found: Sequence[tuple[Path, str]],
    motions: Path | None,
    options: VoiceOptions,
    on: Listener = silent,
) -> list[ClipLiveliness]:
    """Measure clips and the motion of a voice that speaks their sound.

    Clips under a second, or with a face that is lost in a tenth of the frames, are left out.

    Args:
        voice: backend with motion of kind "mesh".
        found: clips with their speakers.
        motions: see `talking_clips.load_motion`.
        options: of the voice.
        on: receives progress events.

    Raises:
        MediaError: a clip cannot be used, or none is left.
    """
    clips = []
    began = time.perf_counter()
    on(Started("speak", len(found), "clips"))
    for number, (path, speaker) in enumerate(found, 1):
        store = talking_clips.load_motion(path, motions)
        true = measure_liveliness(store.window(0, len(store)))
        if true is not None:
            motion = store.window(0, len(store))
            pts = motion.pts - round(start_time(path) / store.time_base)
            parts = list(voice.speak(Recording(path), pts, store.time_base, options))
            spoken = measure_liveliness(_joined(parts))
            if spoken is not None:
                clips.append(ClipLiveliness(path.stem, speaker, true, spoken))
        on(Step("speak", number))
    on(Finished("speak", len(clips), time.perf_counter() - began))
    if not clips:
        raise MediaError(
            "No clip shows a face for a second or longer.", "Give clips of talking faces."
        )
    return clips


def _joined(parts: Sequence[Motion]) -> Motion:
    """Return windows of motion as one."""
    first = parts[0]
    arrays = {
        name: np.concatenate([np.asarray(part.arrays[name]) for part in parts])
        for name in first.arrays
    }
    return Motion(
        first.kind,
        np.concatenate([part.pts for part in parts]),
        first.time_base,
        np.concatenate([part.valid for part in parts]),
        arrays,
        first.constants,
    )


def report(clips: Sequence[ClipLiveliness], name: str) -> dict[str, Any]:
    """Return the `--json` report: means of all clips and of each speaker, weighted by length."""
    return {
        "command": "eval speak",
        "voice": name,
        "groups": {
            group: {
                "truth": _mean([clip.truth for clip in chosen]),
                name: _mean([clip.voice for clip in chosen]),
            }
            for group, chosen in talking_clips.by_speaker(clips).items()
        },
    }


def _mean(rows: Sequence[Liveliness]) -> dict[str, Any]:
    """Return the means of all values, None where no clip is long enough."""
    means: dict[str, Any] = {"clips": len(rows)}
    for item in fields(Liveliness):
        if item.name == "seconds":
            means["seconds"] = round(sum(row.seconds for row in rows), 1)
            continue
        pairs = [(getattr(row, item.name), row.seconds) for row in rows]
        values = [(value, weight) for value, weight in pairs if value is not None]
        if not values:
            means[item.name] = None
            continue
        mean = np.average([v for v, _ in values], axis=0, weights=[w for _, w in values])
        means[item.name] = np.round(mean, PLACES).tolist()
    return means


def table(report_: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return heading and lines for people."""
    heads = ["speaker", "row", "clips", "seconds", "head, degrees/s", "head, share of 0.5-2 Hz"]
    heads += ["pitch yaw roll, degrees", "brows, sliders/s", "brows, share of 0.5-2 Hz"]
    heads.append("blinks/min")
    lines = []
    for group, found in report_["groups"].items():
        for row, values in found.items():
            cells = [
                " ".join(f"{one:.1f}" for one in value)
                if isinstance(value, list)
                else "-"
                if value is None
                else str(value)
                for value in values.values()
            ]
            lines.append([group, row, *cells])
    return heads, lines
