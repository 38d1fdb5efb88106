"""`thcli eval edit`: strength, identity, stability and side effects of edits.

A clip is edited twice, with one identity for the whole clip and with each frame's own (as
frame-wise methods do). Both are measured beside the clip itself, before any encoding.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.events import Listener, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import EditEvaluateOptions, EditOptions
from thcli.core.protocols import IdentityEncoder, Parser
from thcli.core.types import Image
from thcli.evaluate.benchmarks.reenactment.reenact import limit_frames
from thcli.evaluate.metrics.attribute_scores import AttributeClassifier
from thcli.evaluate.metrics.edits import edit_metrics
from thcli.evaluate.metrics.measure import (
    ResultRow,
    TrueClip,
    TruthFrame,
    measure,
    truth_row,
)
from thcli.evaluate.metrics.networks import lpips
from thcli.evaluate.metrics.realism import ClipCrops
from thcli.evaluate.metrics.regions import Region
from thcli.evaluate.metrics.scores import RowScores
from thcli.evaluate.metrics.table import Metric
from thcli.evaluate.metrics.tracker import main_face_tracker
from thcli.evaluate.reports.contact_sheet import SheetBuilder
from thcli.faces.backends import PARSERS
from thcli.media.info import MediaInfo
from thcli.pipeline.edit import EditedFaces, locate_faces, observe_faces
from thcli.pipeline.editing.factory import plan_steps
from thcli.pipeline.editing.request import EditRequest, parse_request
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.inputs import require_sound

EDITED, PER_FRAME, CLIP = "edited", "per frame", "clip"


@dataclass(frozen=True, slots=True)
class EditMeasurement:
    """Measurement of one edit of one clip.

    rows: label -> scores.
    seconds: label -> CPU seconds per frame of pass 1 and pass 2.
    sheet: contact sheet.
    crops: label -> face crops, for the realism; empty where it is not measured.
    """

    clip: str
    request: EditRequest
    rows: Mapping[str, RowScores]
    metrics: Sequence[Metric]
    seconds: Mapping[str, tuple[float, float]]
    sheet: Image
    crops: Mapping[str, Sequence[Image]]

    def value(self, label: str, metric: str, region: Region = "face") -> float | None:
        """Return one value."""
        return self.rows[label].values[region][metric]

    def report(self) -> dict[str, Any]:
        """Return all values for JSON."""
        return {
            "clip": Path(self.clip).name,
            "attributes": dict(self.request.attributes),
            "text": self.request.text,
            "engines": {name: dict(part) for name, part in self.request.engines.items()},
            "seconds_a_frame": {
                label: {"pass_1": round(a, 3), "pass_2": round(b, 3)}
                for label, (a, b) in self.seconds.items()
            },
            "rows": {
                label: {
                    "frames": s.frames,
                    **{region: dict(s.values[region]) for region in ("face", "frame")},
                }
                for label, s in self.rows.items()
            },
        }


def evaluate_edit(
    clip: Path,
    requested: Sequence[EditOptions],
    evaluate: EditEvaluateOptions,
    identities: IdentityEncoder | None,
    classifier: AttributeClassifier | None,
    on: Listener = silent,
) -> list[EditMeasurement]:
    """Apply each of the requested edits to a clip and measure it.

    The edits differ in their attributes only: face selection and other options are those of the
    first.

    Args:
        clip: video.
        requested: options of each edit.
        evaluate: frames, columns and baseline of the measurement.
        identities: identity backend, or None.
        classifier: attribute classifier, or None.
        on: receives progress events.

    Raises:
        UsageError: for an edit of several faces; also raises as `edit`.
    """
    options = replace(requested[0], read=limit_frames(clip, requested[0].read, evaluate.frames))
    if options.faces.select == "all":
        raise UsageError("One face is measured at a time.", "Choose it with --face N.")
    info = media.probe(clip)
    require_sound(info, options.faces.select)
    requests = [parse_request(one) for one in requested]
    steps = [plan_steps(request, one, on) for request, one in zip(requests, requested, strict=True)]
    parser: Parser = PARSERS.backend(PARSERS.resolve(options.parser, options.run)).load(options.run)
    attributes = dict.fromkeys(name for request in requests for name in request.attributes)
    metrics = (
        *edit_metrics(tuple(attributes), identities, classifier, parser),
        *lpips.load_metrics(options.run),
    )
    with Job("eval edit", on, options, [clip]) as job:
        began = time.process_time()
        all_steps = [step for own in steps for step in own]
        edited_faces = observe_faces(info, all_steps, options, job)
        pass_1 = time.process_time() - began
        counts = [len(own) for own in steps]
        variants = EditVariants(edited_faces, info, counts, evaluate.baseline, options, job)
        sheets = [SheetBuilder(EDITED, columns=evaluate.columns) for _ in requests]
        crops = {row: ClipCrops() for row in (*variants.labels, CLIP)}

        def observe(truth_frame: TruthFrame, results: Mapping[str, Image]) -> None:
            for i, sheet in enumerate(sheets):
                labels = _labels_of(i, results)
                sheet(truth_frame, {label: results[row] for label, row in labels.items()})
            if evaluate.wearers is not None:
                for row, image in results.items():
                    crops[row].add(image, truth_frame.face)

        tracker = main_face_tracker(options.faces, options.run)
        with media.read(clip, options.read) as reader:
            rows = {**{label: variants.row(label) for label in variants.labels}, CLIP: truth_row}
            truth = TrueClip(reader, evaluate.frames or reader.info.frames)
            found = measure(truth, rows, tracker, metrics=metrics, observer=observe, on=on)
        count = max(found[CLIP].frames, 1)
        out = []
        for i, request in enumerate(requests):
            labels = _labels_of(i, rows)
            scores = {label: found[row] for label, row in labels.items()} | {CLIP: found[CLIP]}
            seconds = {
                label: (pass_1 / count, variants.spent[row] / count)
                for label, row in labels.items()
            }
            others = attributes.keys() - request.attributes.keys()
            own = [metric for metric in metrics if metric.name.split(" ")[0] not in others]
            sheet = sheets[i].sheet()
            engines = edited_faces.active_engines(request, steps[i], sum(counts[:i]))
            done = replace(request, engines=engines)
            faces = {label: crops[row].crops for label, row in {**labels, CLIP: CLIP}.items()}
            out.append(EditMeasurement(str(clip), done, scores, own, seconds, sheet, faces))
    return out


def _labels_of(edit: int, rows: Mapping[str, object]) -> dict[str, str]:
    """Return label -> row of the variants of one edit that are among `rows`."""
    labels = {label: _row(label, edit) for label in (EDITED, PER_FRAME)}
    return {label: row for label, row in labels.items() if row in rows}


class EditVariants:
    """Several edits of one clip, in step: every frame is decoded and masked once.

    spent: label -> CPU seconds so far.
    """

    def __init__(
        self,
        edited_faces: EditedFaces,
        info: MediaInfo,
        counts: Sequence[int],
        baseline: bool,
        options: EditOptions,
        job: Job,
    ) -> None:
        ends = np.cumsum(counts).tolist()
        self._steps = [range(end - count, end) for end, count in zip(ends, counts, strict=True)]
        kinds = (EDITED, PER_FRAME) if baseline else (EDITED,)
        self.labels = [_row(kind, i) for i in range(len(counts)) for kind in kinds]
        self.spent = dict.fromkeys(self.labels, 0.0)
        self._kinds = kinds
        self._stream = self._render(edited_faces, info, options, job)
        self._current: Mapping[str, Image] = {}
        self._count = 0

    def row(self, label: str) -> ResultRow:
        """Return one variant for `measure`."""

        def at(truth_frame: TruthFrame) -> Image | None:
            while self._count <= truth_frame.frame.index:
                self._current = next(self._stream)
                self._count += 1
            return self._current[label]

        return at

    def _render(
        self, edited_faces: EditedFaces, info: MediaInfo, options: EditOptions, job: Job
    ) -> Iterator[Mapping[str, Image]]:
        (edited_face,) = edited_faces.faces
        for frames, (parts,) in locate_faces(edited_faces, info, 0, options, job):
            pixels = [frame.pixels for frame in frames]
            occlusion, results = edited_face.occlusion_masks(pixels, parts), {}
            for i, steps in enumerate(self._steps):
                for kind in self._kinds:
                    began = time.process_time()
                    results[_row(kind, i)] = edited_face.apply(
                        pixels, parts, occlusion, steps, alone=kind == PER_FRAME
                    )
                    self.spent[_row(kind, i)] += time.process_time() - began
            for k in range(len(frames)):
                yield {label: to_uint8(images[k]) for label, images in results.items()}


def _row(label: str, number: int) -> str:
    return f"{label} {number}"
