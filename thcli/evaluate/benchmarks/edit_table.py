"""Several edits of several clips, measured: their means, their sheets, and what is noted of each attribute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thcli.core.errors import WeightsError
from thcli.core.events import Listener, Warned, silent
from thcli.core.options import EditEvaluateOptions, EditOptions
from thcli.core.types import Image
from thcli.editors.catalogue import stage_of
from thcli.evaluate.benchmarks.edit import CLIP, EDITED, Edits, evaluate_edit
from thcli.evaluate.benchmarks.reconstruction import Reconstruction, reconstruction
from thcli.evaluate.metrics.attribute_scores import Judge, judge
from thcli.evaluate.reports.report import facts, shown
from thcli.faces.identity.encoder import encoder
from thcli.pipeline.render.panels import put_label

_PASSES = ("pass_1", "pass_2")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """edits: for each of what was asked, every clip's.  back: how editors give the unedited clips back, one a clip and editor."""

    edits: Sequence[Sequence[Edits]]
    back: Sequence[tuple[str, Reconstruction]]
    clips: Sequence[Path]

    def report(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "command": "eval edit",
            "clips": [facts(clip) for clip in self.clips],
            "edits": [
                {
                    "what": named(found[0]),
                    "mean": means(found),
                    "clips": [one.report() for one in found],
                }
                for found in self.edits
            ],
            "reconstruction": [{"clip": Path(clip).name, **asdict(one)} for clip, one in self.back],
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """For people: a line a metric; a column for each of what was asked and how, and the clips' own."""
        columns: dict[str, dict[str, float | None]] = {}
        for found in self.edits:
            own = means(found)
            columns |= {f"{named(found[0])}, {label}": own[label] for label in own if label != CLIP}
        columns[CLIP] = means(self.edits[0])[CLIP]
        names = list(dict.fromkeys(name for row in columns.values() for name in row))
        return ["metric", *columns], [
            [name, *(shown(row.get(name)) for row in columns.values())] for name in names
        ]

    def sheet(self) -> Image:
        """All contact sheets below each other."""
        sheets = []
        for found in self.edits:
            for one in found:
                picture = one.sheet.copy()
                put_label(picture, f"{Path(one.clip).name}: {named(one)}", (3, 24))
                sheets.append(picture)
        wide = max(sheet.shape[1] for sheet in sheets)
        return np.concatenate([np.pad(s, ((0, 0), (0, wide - s.shape[1]), (0, 0))) for s in sheets])

    def strengths(self, command: str) -> dict[str, Any]:
        """What `thcli list attributes` shows: how likely each attribute is to the judge before and after, and by what it was done."""
        rows = {}
        for found in self.edits:
            (name,) = found[0].request.attributes
            own = means(found)[EDITED]
            rows[name] = {
                "by": "+".join(found[0].request.engines),
                "before": _rounded(own.get(f"{name} before")),
                "after": _rounded(own.get(f"{name} after")),
                "csim": _rounded(own.get("csim")),
                "tl_id": _rounded(own.get("tl_id")),
                "tg_id": _rounded(own.get("tg_id")),
            }
        return {"command": command, "clips": [clip.name for clip in self.clips], "attributes": rows}


def evaluate_all(
    clips: Sequence[Path],
    asked: Sequence[EditOptions],
    evaluate: EditEvaluateOptions,
    on: Listener = silent,
) -> Evaluation:
    """Every edit of every clip. Raises what `evaluate_edit` raises."""
    run = asked[0].run
    who = encoder(asked[0].faces.identity, run)
    known: Judge | None = None
    try:
        known = judge(run)
    except WeightsError as error:
        on(Warned(f"How much of an attribute is seen is not measured: {error.message}"))
    by_clip = [evaluate_edit(clip, asked, evaluate, who, known, on) for clip in clips]
    edits = [list(found) for found in zip(*by_clip, strict=True)]
    editors = {
        (name, one)
        for found, one in zip(edits, range(len(asked)), strict=True)
        for name in found[0].request.engines
        if stage_of(name) == "editor"
    }
    first = {name: min(number for other, number in editors if other == name) for name, _ in editors}
    back = [
        (str(clip), reconstruction(clip, name, asked[number]))
        for name, number in sorted(first.items())
        for clip in clips
    ]
    return Evaluation(edits, back, clips)


def named(one: Edits) -> str:
    """What was asked, in a few words."""
    if one.request.text:
        return one.request.text
    return " ".join(
        name if strength == 1 else f"{name}={strength:g}"
        for name, strength in one.request.attributes.items()
    )


def means(found: Sequence[Edits]) -> dict[str, dict[str, float | None]]:
    """label -> metric -> the mean over clips; of the whole frame as "NAME (frame)"."""
    out: dict[str, dict[str, float | None]] = {}
    for label in found[0].rows:
        out[label] = {}
        for metric in found[0].metrics:
            for region in metric.regions:
                name = metric.name if region == "face" else f"{metric.name} (frame)"
                out[label][name] = _mean([one.value(label, metric.name, region) for one in found])
        if label != CLIP:
            for which, part in enumerate(_PASSES):
                out[label][f"{part}, CPU seconds a frame"] = _mean(
                    [one.seconds[label][which] for one in found]
                )
    return out


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
