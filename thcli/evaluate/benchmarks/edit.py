"""`thcli eval edit`: whether an edit is seen, whether the face stays the same person and steady, and whether all else stays as it was.

The clip is edited twice, with one identity for the whole clip and with each frame's own (as frame-wise methods do), and both are measured
beside the clip itself, before any encoding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
import numpy as np

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.events import Listener, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import EditEvaluateOptions, EditOptions
from thcli.core.protocols import IdentityEncoder, Parser
from thcli.core.types import Array32, Face, Image
from thcli.editors.catalogue import BY_NAME
from thcli.evaluate.benchmarks.reenact import limited
from thcli.evaluate.metrics.attribute_scores import Judge
from thcli.evaluate.metrics.csim import Known, csim
from thcli.evaluate.metrics.image import mean_squared_error
from thcli.evaluate.metrics.measure import Moment, Row, Scores, measure, truth_row
from thcli.evaluate.metrics.regions import Region
from thcli.evaluate.metrics.table import METRICS, Accumulator, Mean, Metric, Sample
from thcli.evaluate.metrics.tracker import main_face_tracker
from thcli.evaluate.reports.contact_sheet import Gallery
from thcli.faces.backends import PARSERS
from thcli.faces.parsing.classes import number
from thcli.faces.parsing.crops import regions, whole
from thcli.media.info import MediaInfo
from thcli.pipeline.edit import EditedFaces, observe, shown
from thcli.pipeline.editing.factory import plan_steps
from thcli.pipeline.editing.request import EditRequest, parse_request
from thcli.pipeline.job.job import Job

EDITED, PER_FRAME, CLIP = "edited", "per frame", "clip"
AWAY = 0.08  # of the face's height: so far from the head the background begins
_BACKGROUND = (number("background"), number("cloth"))
_KEPT = ("ssim", "flicker")  # of the common metrics
FRAME: tuple[Region, ...] = ("frame",)
FACE: tuple[Region, ...] = ("face",)
Found = TypeVar("Found")


class Consistency:
    """Cosines of the result's identities over those of the clip's own: of neighbouring frames, or of all pairs (Tzaban et al. 2022, sec. 5)."""

    def __init__(self, known: Known, far: bool) -> None:
        self._known, self._far = known, far
        self._last: tuple[Array32, Array32] | None = None
        self._near, self._sums, self._count = np.zeros(2), [np.zeros(0), np.zeros(0)], 0

    def add(self, sample: Sample) -> None:
        true, made = sample.place.face, sample.face
        if true is None or made is None:
            return
        now = self._known.of(sample.whole, made), self._known.of(sample.place.whole, true)
        if self._last is not None:
            self._near += [float(a @ b) for a, b in zip(self._last, now, strict=True)]
        self._last = now
        self._sums = [
            v.astype(np.float64) if not len(total) else total + v
            for total, v in zip(self._sums, now, strict=True)
        ]
        self._count += 1

    def value(self) -> float | None:
        if self._count < 2:
            return None
        both = (
            [float(total @ total) - self._count for total in self._sums]
            if self._far
            else self._near.tolist()
        )
        return both[0] / both[1] if both[1] > 0 else None


class Once(Generic[Found]):
    """A look at a face that several rows and metrics share: the last few are remembered, faces told apart as objects."""

    def __init__(self, look: Callable[[Image, Face], Found], kept: int = 128) -> None:
        self._look, self._kept = look, kept
        self._seen: dict[int, tuple[Face, Found]] = {}

    def of(self, picture: Image, face: Face) -> Found:
        if id(face) not in self._seen:
            self._seen[id(face)] = face, self._look(picture, face)
            while len(self._seen) > self._kept:
                self._seen.pop(next(iter(self._seen)))
        return self._seen[id(face)][1]


def metrics_of(
    attributes: Sequence[str], who: IdentityEncoder | None, judge: Judge | None, parser: Parser
) -> tuple[Metric, ...]:
    """Every metric of an edit that these attributes were asked of. who, judge: None where there is none."""
    background = Once(lambda picture, face: background_of(parser, picture, face))
    found = [
        Metric(
            "background_mse",
            "levels²",
            "lower",
            "mean squared difference of what is far from the head",
            FRAME,
            lambda: Mean(lambda s: _outside(background, s)),
        ),
        Metric(
            "changed",
            "%",
            "lower",
            "of the frame's pixels",
            FRAME,
            lambda: Mean(lambda s: 100 * float((s.place.whole != s.whole).any(2).mean())),
        ),
        *(metric for metric in METRICS if metric.name in _KEPT),
    ]
    if judge is not None:
        scores = Once(lambda picture, face: judge.scores([picture], [face])[0])
        found += [metric for name in attributes for metric in _gains(name, scores, judge)]
    if who is not None:
        known = Known(who)
        near: Callable[[], Accumulator] = lambda: Consistency(known, far=False)  # noqa: E731
        far: Callable[[], Accumulator] = lambda: Consistency(known, far=True)  # noqa: E731
        found += [
            csim(who),
            Metric(
                "tl_id",
                "",
                "higher",
                "likeness of neighbouring frames, over the clip's own",
                FACE,
                near,
                who.name,
            ),
            Metric(
                "tg_id",
                "",
                "higher",
                "likeness of all pairs of frames, over the clip's own",
                FACE,
                far,
                who.name,
            ),
        ]
    return tuple(found)


def background_of(
    parser: Parser, picture: Image, face: Face
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(H, W), what is neither of the head nor near it."""
    (found,) = regions(parser, [picture], [face])
    labels = found.labels_in(whole((picture.shape[1], picture.shape[0])))
    head = np.isin(labels, _BACKGROUND, invert=True).astype(np.uint8)
    reach = max(round(AWAY * float(face.box[3] - face.box[1])), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(head, disc) == 0)


def _outside(background: Once[np.ndarray[Any, np.dtype[np.bool_]]], sample: Sample) -> float | None:
    if sample.place.face is None:
        return None
    there = background.of(sample.place.whole, sample.place.face)
    if not there.any():
        return None
    return mean_squared_error(sample.place.whole[there][None], sample.whole[there][None])


def _gains(name: str, scores: Once[Array32], judge: Judge) -> list[Metric]:
    """How likely an attribute is in the clip, and in the result, to a classifier that had no part in the edit."""
    row = BY_NAME[name]
    column = judge.names.index(row.celeba)

    def likely(picture: Image, face: Face | None) -> float | None:
        if face is None:
            return None
        found = float(scores.of(picture, face)[column])
        return 1 - found if row.sign < 0 else found

    return [
        Metric(
            f"{name} before",
            "",
            "higher",
            "how likely it is in the clip",
            FACE,
            lambda: Mean(lambda s: likely(s.place.whole, s.place.face)),
            "attributes-judge",
        ),
        Metric(
            f"{name} after",
            "",
            "higher",
            "how likely it is in the result",
            FACE,
            lambda: Mean(lambda s: likely(s.whole, s.face)),
            "attributes-judge",
        ),
    ]


@dataclass(frozen=True, slots=True)
class Edits:
    """One clip, measured. rows: label -> scores.  seconds: label -> processor seconds a frame of pass 1 and of pass 2.  sheet: pictures."""

    clip: str
    request: EditRequest
    rows: Mapping[str, Scores]
    metrics: Sequence[Metric]
    seconds: Mapping[str, tuple[float, float]]
    sheet: Image

    def value(self, label: str, metric: str, region: Region = "face") -> float | None:
        """One number."""
        return self.rows[label].values[region][metric]

    def report(self) -> dict[str, Any]:
        """For JSON."""
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
    asked: Sequence[EditOptions],
    evaluate: EditEvaluateOptions,
    who: IdentityEncoder | None,
    judge: Judge | None,
    on: Listener = silent,
) -> list[Edits]:
    """Edits a clip, each time from its beginning as one of `asked` says, and measures it. They differ in what is done alone: who is
    meant, and how, is that of the first. Raises what `edit` raises, and UsageError for an edit of several faces."""
    options = replace(asked[0], read=limited(clip, asked[0].read, evaluate.frames))
    if options.faces.select == "all":
        raise UsageError("One face is measured at a time.", "Choose it with --face N.")
    wishes = [parse_request(one) for one in asked]
    steps = [plan_steps(request, one, on) for request, one in zip(wishes, asked, strict=True)]
    parser: Parser = PARSERS.backend(PARSERS.resolve(options.parser, options.run)).load(options.run)
    attributes = dict.fromkeys(name for request in wishes for name in request.attributes)
    metrics = metrics_of(tuple(attributes), who, judge, parser)
    info, out = media.probe(clip), []
    with Job("eval edit", on) as job:
        began = time.process_time()
        cast = observe(info, [way for own in steps for way in own], options, job)
        first = time.process_time() - began
        variants = Variants(
            cast, info, [len(own) for own in steps], evaluate.baseline, options, job
        )
        galleries = [Gallery(EDITED, columns=evaluate.columns) for _ in wishes]

        def look(moment: Moment, seen: Mapping[str, Image]) -> None:
            for i, gallery in enumerate(galleries):
                gallery(
                    moment,
                    {
                        label: seen[_row(label, i)]
                        for label in (EDITED, PER_FRAME)
                        if _row(label, i) in seen
                    },
                )

        tracker = main_face_tracker(options.faces, options.run)
        with media.read(clip, options.read) as truth:
            rows = {**{label: variants.row(label) for label in variants.labels}, CLIP: truth_row}
            total = evaluate.frames or truth.info.frames
            found = measure(truth, rows, tracker, metrics=metrics, total=total, look=look, on=on)
        count = max(found[CLIP].frames, 1)
        for i, request in enumerate(wishes):
            labels = {
                label: _row(label, i) for label in (EDITED, PER_FRAME) if _row(label, i) in rows
            }
            own = {label: found[row] for label, row in labels.items()} | {CLIP: found[CLIP]}
            seconds = {
                label: (first / count, variants.spent[row] / count) for label, row in labels.items()
            }
            kept = [
                m
                for m in metrics
                if m.name.split(" ")[0] not in attributes
                or m.name.split(" ")[0] in request.attributes
            ]
            out.append(Edits(str(clip), request, own, kept, seconds, galleries[i].sheet()))
    return out


class Variants:
    """Several edits of one clip, made in step: every frame is decoded and masked once. spent: processor seconds of each so far."""

    def __init__(
        self,
        cast: EditedFaces,
        info: MediaInfo,
        counts: Sequence[int],
        baseline: bool,
        options: EditOptions,
        job: Job,
    ) -> None:
        ends = np.cumsum(counts)
        self._turns = [
            range(end - count, end) for end, count in zip(ends.tolist(), counts, strict=True)
        ]
        kinds = (EDITED, PER_FRAME) if baseline else (EDITED,)
        self.labels = [_row(kind, i) for i in range(len(counts)) for kind in kinds]
        self.spent = dict.fromkeys(self.labels, 0.0)
        self._kinds = kinds
        self._stream = self._made(cast, info, options, job)
        self._now: Mapping[str, Image] = {}
        self._count = 0

    def row(self, label: str) -> Row:
        """One of them, for `measure`."""

        def at(moment: Moment) -> Image | None:
            while self._count <= moment.frame.index:
                self._now = next(self._stream)
                self._count += 1
            return self._now[label]

        return at

    def _made(
        self, cast: EditedFaces, info: MediaInfo, options: EditOptions, job: Job
    ) -> Iterator[Mapping[str, Image]]:
        (person,) = cast.people
        for frames, (parts,) in shown(cast, info, 0, options, job):
            pixels = [frame.pixels for frame in frames]
            front, made = person.fronts(pixels, parts), {}
            for i, turns in enumerate(self._turns):
                for kind in self._kinds:
                    began = time.process_time()
                    made[_row(kind, i)] = person.edited(
                        pixels, parts, front, turns, alone=kind == PER_FRAME
                    )
                    self.spent[_row(kind, i)] += time.process_time() - began
            for k in range(len(frames)):
                yield {label: to_uint8(own[k]) for label, own in made.items()}


def _row(label: str, number: int) -> str:
    return f"{label} {number}"
