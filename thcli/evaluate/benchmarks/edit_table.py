"""Measurement of several edits of several clips: means, contact sheets, strengths per attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from thcli.core.errors import UsageError, WeightsError
from thcli.core.events import Listener, Warned, silent
from thcli.core.options import EditEvaluateOptions, EditOptions
from thcli.core.types import Image
from thcli.editors.catalogue import stage_of
from thcli.evaluate.benchmarks.edit import CLIP, EDITED, EditMeasurement, evaluate_edit
from thcli.evaluate.benchmarks.reconstruction import Reconstruction, reconstruction
from thcli.evaluate.metrics.attribute_scores import AttributeClassifier, load_classifier
from thcli.evaluate.metrics.realism import read_wearers, separability
from thcli.evaluate.metrics.regions import REGIONS, Region
from thcli.evaluate.metrics.table import Metric
from thcli.evaluate.metrics.tracker import main_face_tracker
from thcli.evaluate.reports.contact_sheet import stack_sheets
from thcli.evaluate.reports.html.page import UNEDITED, Page, Section
from thcli.evaluate.reports.report import file_facts, format_value, metric_label
from thcli.faces.identity.encoder import load_encoder
from thcli.pipeline.render.panels import put_label

_PASSES = {
    "pass_1, CPU seconds a frame": "pass 1",
    "pass_2, CPU seconds a frame": "pass 2",
}


@dataclass(frozen=True, slots=True)
class EditEvaluation:
    """Measurements of all edits.

    edits: per edit, the measurement of every clip.
    reconstructions: per clip and editor, the reconstruction of the unedited clip.
    realism: label -> area under the curve of real faces against the clips, see
        `metrics.realism`; empty where it is not measured.
    """

    edits: Sequence[Sequence[EditMeasurement]]
    reconstructions: Sequence[tuple[Path, Reconstruction]]
    clips: Sequence[Path]
    realism: Mapping[str, float | None]

    def report(self) -> dict[str, Any]:
        """Return all values for JSON."""
        return {
            "command": "eval edit",
            "clips": [file_facts(clip) for clip in self.clips],
            "edits": [
                {
                    "what": describe_edit(found[0]),
                    "mean": mean_metrics(found),
                    "clips": [one.report() for one in found],
                }
                for found in self.edits
            ],
            "reconstruction": [
                {"clip": clip.name, **asdict(one)} for clip, one in self.reconstructions
            ],
            "real_or_edited_auc": dict(self.realism),
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return heading and lines for people.

        A line is a metric and region; a column is a variant of an edit, or the clips' own values.
        """
        columns: dict[str, dict[str, float | None]] = {}
        for found in self.edits:
            edit, means = describe_edit(found[0]), mean_metrics(found)
            columns |= {f"{edit}, {label}": means[label] for label in means if label != CLIP}
        columns[UNEDITED] = mean_metrics(self.edits[0])[CLIP]
        metrics = {metric.name: metric for found in self.edits for metric in found[0].metrics}
        lines = [
            self._line(
                columns, _region_name(metric, region), metric_label(metric), metric.unit, region
            )
            for region in REGIONS
            for metric in metrics.values()
            if region in metric.regions
        ]
        for which, name in _PASSES.items():
            lines.append(self._line(columns, which, f"CPU time, {name} ↓", "s a frame", ""))
        if self.realism:
            values = [self.realism.get(name.rpartition(", ")[2], None) for name in columns]
            cells = [format_value(value) for value in (*values[:-1], self.realism[CLIP])]
            lines.append(["real or edited, AUC ↓", "", "", *cells])
        return ["metric", "unit", "where", *columns], lines

    @staticmethod
    def _line(
        columns: Mapping[str, Mapping[str, float | None]], name: str, *cells: str
    ) -> list[str]:
        return [*cells, *(format_value(column.get(name)) for column in columns.values())]

    def sheet(self) -> Image:
        """Return all contact sheets, stacked."""
        sheets = []
        for found in self.edits:
            for one in found:
                image = one.sheet.copy()
                put_label(image, f"{Path(one.clip).name}: {describe_edit(one)}", (3, 24))
                sheets.append(image)
        return stack_sheets(sheets)

    def page(self, run: str) -> Page:
        """Return the HTML report. run: the command line."""
        sections = [Section("All edits", tables=[self.table()])]
        for found in self.edits:
            images = {Path(one.clip).name: one.sheet for one in found}
            sections.append(Section(describe_edit(found[0]), images=images))
        return Page("Editing", run, sections)

    def strengths(self, command: str) -> dict[str, Any]:
        """Return the report that `thcli list attributes` shows.

        It holds, for each attribute, its backends and the classifier's probability before and
        after.
        """
        rows = {}
        for found in self.edits:
            (name,) = found[0].request.attributes
            own = mean_metrics(found)[EDITED]
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
    requested: Sequence[EditOptions],
    evaluate: EditEvaluateOptions,
    on: Listener = silent,
) -> EditEvaluation:
    """Measure every edit of every clip.

    Raises UsageError for wearers of several attributes, and as `evaluate_edit`.
    """
    run = requested[0].run
    if evaluate.wearers is not None and len(requested) > 1:
        raise UsageError(
            "--wearers are of one edit, and several are measured.", "Leave out --each."
        )
    identities = load_encoder(requested[0].faces.identity, run)
    classifier: AttributeClassifier | None = None
    try:
        classifier = load_classifier(run)
    except WeightsError as error:
        if evaluate.wearers is not None:
            raise
        on(Warned(f"Probabilities of attributes are not measured: {error.message}"))
    wearers: list[Image] = []
    if evaluate.wearers is not None:
        wearers = read_wearers(evaluate.wearers, main_face_tracker(requested[0].faces, run))
    by_clip = [
        evaluate_edit(clip, requested, evaluate, identities, classifier, on) for clip in clips
    ]
    edits = [list(found) for found in zip(*by_clip, strict=True)]
    options_of_editor: dict[str, EditOptions] = {}
    for found, options in zip(edits, requested, strict=True):
        for name in found[0].request.engines:
            if stage_of(name) == "editor":
                options_of_editor.setdefault(name, options)
    reconstructions = [
        (clip, reconstruction(clip, name, options))
        for name, options in sorted(options_of_editor.items())
        for clip in clips
    ]
    realism: dict[str, float | None] = {}
    if classifier is not None and wearers:
        realism = _realism(wearers, edits[0], classifier)
        if None in realism.values():
            on(
                Warned(
                    "Real or edited (AUC) is not measured: it takes two or more clips with faces."
                )
            )
    return EditEvaluation(edits, reconstructions, clips, realism)


def _realism(
    wearers: Sequence[Image], found: Sequence[EditMeasurement], classifier: AttributeClassifier
) -> dict[str, float | None]:
    """Return label -> how well a classifier tells the faces of the clips from real ones."""
    real = classifier.features(wearers)
    return {
        label: separability(real, [classifier.features(one.crops[label]) for one in found])
        for label in found[0].crops
    }


def describe_edit(one: EditMeasurement) -> str:
    """Return the request of an edit in a few words."""
    if one.request.text:
        return one.request.text
    return " ".join(
        name if strength == 1 else f"{name}={strength:g}"
        for name, strength in one.request.attributes.items()
    )


def mean_metrics(found: Sequence[EditMeasurement]) -> dict[str, dict[str, float | None]]:
    """Return label -> metric -> mean over clips; whole-frame metrics are named "NAME (frame)"."""
    out: dict[str, dict[str, float | None]] = {}
    for label in found[0].rows:
        out[label] = {}
        for metric in found[0].metrics:
            for region in metric.regions:
                values = [one.value(label, metric.name, region) for one in found]
                out[label][_region_name(metric, region)] = _mean(values)
        if label != CLIP:
            for which, part in enumerate(_PASSES):
                seconds = [one.seconds[label][which] for one in found]
                out[label][part] = _mean(seconds)
    return out


def _region_name(metric: Metric, region: Region) -> str:
    return metric.name if region == "face" else f"{metric.name} (frame)"


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
