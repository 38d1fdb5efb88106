"""`thcli eval refine`: what a refiner makes better of a coarse video, beside the truth, and what it does to a video that is good already.

Same identity: a clip's first frame (or another one) is the source, an engine makes the coarse video of it and the clip's motion, the
refiner sees that video and the source, and the clip is the truth. Nothing is encoded between the refiner and the measure.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from thcli import media
from thcli.core.events import Listener, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import EvaluateOptions, ReadOptions, SteadyOptions
from thcli.core.types import Frame, Image
from thcli.evaluate.benchmarks.reenact import Renderer, limited, source_frame
from thcli.evaluate.metrics.image import l1
from thcli.evaluate.metrics.measure import Scores, Tracker, measure, truth_row, video_row
from thcli.evaluate.metrics.regions import REGIONS, Region
from thcli.evaluate.metrics.table import METRICS, Metric
from thcli.evaluate.reports.contact_sheet import Gallery, save_picture
from thcli.evaluate.reports.report import ARROWS, Evaluation, facts, shown
from thcli.faces.crops.crop import crop
from thcli.faces.tracking.select import TrackStatistics
from thcli.pipeline.job.job import Job
from thcli.pipeline.job.replayable_frames import ReplayableFrames, replayable_clip
from thcli.pipeline.refining.refine_pass import RefinePass
from thcli.pipeline.refining.subjects import (
    ObservedFaces,
    ReferenceImage,
    observe,
    read_reference_image,
)
from thcli.pipeline.sources.source_image import FaceFinder

LESS = (
    0.90  # of the coarse video's L1 and perceptual distance, that the refined one may have at most
)
HARM = 1.5  # levels of 255 by which a good video's crop may change, on average


@dataclass(frozen=True, slots=True)
class Pace:
    """What a frame takes: seconds of wall time in the refiner, and network calls."""

    seconds: float
    calls: int


@dataclass(frozen=True, slots=True)
class Untouched:
    """How far refining changes a clip that nobody had touched: mean |difference| in levels of 255, in the crop and in the whole frame."""

    crop: float
    frame: float


@dataclass(frozen=True, slots=True)
class Refined:
    """One clip, or the mean of several. scores: coarse, refined, truth."""

    name: str
    scores: dict[str, Scores]
    pace: Pace
    untouched: Untouched | None


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that is asked of a refiner. value: what was measured, compared with `least` or `most`."""

    name: str
    value: float | None
    wanted: str
    holds: bool | None


def evaluate_refine(
    clip: Path,
    coarse: Renderer,
    refine_pass: RefinePass,
    face_finder: FaceFinder,
    tracker: Callable[[], Tracker],
    options: EvaluateOptions,
    read: ReadOptions,
    *,
    untouched: bool = True,
    on: Listener = silent,
    metrics: Sequence[Metric] = METRICS,
) -> tuple[Refined, Evaluation]:
    """One clip. coarse: makes the coarse video, see `evaluate.benchmarks.reenact.Renderer`; it must be a file.

    Raises NoFaceError when the source frame shows no face, UsageError when there is none, and what engine, refiner and reader raise.
    """
    read = limited(clip, read, options.frames)
    source = source_frame(clip, read, options.source_frame)
    with (
        tempfile.TemporaryDirectory(prefix="thcli-eval-") as folder,
        ExitStack() as stack,
        Job("eval refine", on) as job,
    ):
        picture = Path(folder) / "source.png"
        save_picture(picture, source)
        rendered = coarse(picture, clip, read)
        assert isinstance(rendered, Path)
        reference_image = read_reference_image(str(picture), face_finder)
        replayable = replayable_clip(media.probe(rendered), ReadOptions(), job)
        rows = {
            "coarse": video_row(stack.enter_context(media.read(rendered))),
            "refined": video_row(
                _refined(refine_pass, replayable, reference_image, face_finder, job)
            ),
            "truth": truth_row,
        }
        gallery = Gallery("refined", columns=options.columns)
        skip = frozenset[int]() if options.count_source else frozenset({options.source_frame})
        with media.read(clip, read) as truth:
            scores = measure(
                truth,
                rows,
                tracker,
                metrics=metrics,
                skip=skip,
                total=options.frames or truth.info.frames,
                look=gallery,
                on=on,
            )
        used = job.clock.stages()["refine"]
        pace = Pace(used.wall / max(used.frames, 1), refine_pass.refiner.calls(refine_pass.how))
        harm = (
            _untouched(refine_pass, replayable_clip(media.probe(clip), read, job), face_finder, job)
            if untouched
            else None
        )
    protocol = {
        "kind": "self-reenactment, refined",
        "source_frame": options.source_frame,
        "source_counted": not skip,
        "refiner": refine_pass.name,
        "change": repr(refine_pass.change),
        "options": repr(refine_pass.how),
    }
    evaluation = Evaluation(
        scores, protocol, {"clip": facts(clip)}, gallery.sheet(), metrics, "eval refine"
    )
    return Refined(clip.name, dict(scores), pace, harm), evaluation


def _observed(
    refine_pass: RefinePass,
    replayable: ReplayableFrames[Frame],
    reference_image: ReferenceImage | None,
    face_finder: FaceFinder,
    job: Job,
) -> ObservedFaces:
    def choose(statistics: TrackStatistics) -> Sequence[int]:
        return face_finder.choose(statistics, "largest", replayable.name, job)

    return observe(
        replayable, refine_pass.refiner, choose, reference_image, SteadyOptions(), face_finder, job
    )


def _refined(
    refine_pass: RefinePass,
    replayable: ReplayableFrames[Frame],
    reference_image: ReferenceImage,
    face_finder: FaceFinder,
    job: Job,
) -> Iterator[Frame]:
    cast = _observed(refine_pass, replayable, reference_image, face_finder, job)
    for frame, pixels in refine_pass.frames(replayable, cast.subjects, 0, job):
        yield replace(frame, pixels=pixels)


def _untouched(
    refine_pass: RefinePass, replayable: ReplayableFrames[Frame], face_finder: FaceFinder, job: Job
) -> Untouched:
    """A clip refined by itself, compared with itself."""
    cast = _observed(refine_pass, replayable, None, face_finder, job)
    places = iter(cast.subjects[0].places)
    inside, whole = [], []
    for (frame, pixels), place in zip(
        refine_pass.frames(replayable, cast.subjects, 0, job), places, strict=True
    ):
        before, after = to_uint8(frame.pixels), to_uint8(pixels)
        whole.append(l1(before, after))
        if place.outline is not None:
            inside.append(
                l1(
                    *(
                        np.asarray(crop(picture, place.where), np.uint8)
                        for picture in (before, after)
                    )
                )
            )
    return Untouched(float(np.mean(inside)) if inside else 0.0, float(np.mean(whole)))


def mean_of(found: Sequence[Refined]) -> Refined:
    """Every clip counts the same, however long it is; a value that one clip lacks is the mean of the others'."""
    labels = list(found[0].scores)
    scores = {}
    for label in labels:
        rows = [one.scores[label] for one in found]
        values: dict[Region, dict[str, float | None]] = {
            region: {
                name: _mean([row.values[region][name] for row in rows])
                for name in rows[0].values[region]
            }
            for region in REGIONS
        }
        scores[label] = Scores(
            values, sum(row.frames for row in rows), sum(row.absent for row in rows)
        )
    harms = [one.untouched for one in found if one.untouched is not None]
    harm = (
        Untouched(float(np.mean([h.crop for h in harms])), float(np.mean([h.frame for h in harms])))
        if harms
        else None
    )
    pace = Pace(float(np.mean([one.pace.seconds for one in found])), found[0].pace.calls)
    return Refined(f"mean of {len(found)} clips", scores, pace, harm)


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def bars(found: Refined) -> list[Bar]:
    """What is asked (issue 5): L1 and the perceptual distance a tenth less, PSNR and SSIM higher, the rest not worse, a good video hardly changed."""
    coarse, refined = (found.scores[label].values["face"] for label in ("coarse", "refined"))
    rows = []
    for name in ("l1", "lpips", "pfd"):
        if coarse.get(name) is not None:
            ratio = _ratio(refined.get(name), coarse.get(name))
            rows.append(
                Bar(
                    f"{name} / coarse",
                    ratio,
                    f"at most {LESS:.2f}",
                    None if ratio is None else ratio <= LESS,
                )
            )
    for name in ("psnr", "ssim"):
        more = _less(refined.get(name), coarse.get(name))
        rows.append(
            Bar(f"{name} - coarse", more, "more than 0", None if more is None else more > 0)
        )
    for name in ("akd", "flicker"):
        ratio = _ratio(refined.get(name), coarse.get(name))
        rows.append(
            Bar(f"{name} / coarse", ratio, "at most 1", None if ratio is None else ratio <= 1)
        )
    if coarse.get("csim") is not None:
        more = _less(refined.get("csim"), coarse["csim"])
        rows.append(Bar("csim - coarse", more, "at least 0", None if more is None else more >= 0))
    if found.untouched is not None:
        rows.append(
            Bar(
                "change of the untouched crop",
                found.untouched.crop,
                f"less than {HARM}",
                found.untouched.crop < HARM,
            )
        )
    return rows


def _ratio(value: float | None, other: float | None) -> float | None:
    return value / other if value is not None and other else None


def _less(value: float | None, other: float | None) -> float | None:
    return value - other if value is not None and other is not None else None


def table(found: Refined, metrics: Sequence[Metric]) -> tuple[list[str], list[list[str]]]:
    """Heading and lines: a metric and region each, with the ratio of refined and coarse; then what it takes, and the bars."""
    head = ["metric", "unit", "where", *found.scores, "refined / coarse"]
    lines = []
    for region in REGIONS:
        for metric in (m for m in metrics if region in m.regions):
            values = [scores.values[region][metric.name] for scores in found.scores.values()]
            name = f"{metric.name} ({metric.model})" if metric.model else metric.name
            ratio = _ratio(
                found.scores["refined"].values[region][metric.name],
                found.scores["coarse"].values[region][metric.name],
            )
            lines.append(
                [
                    f"{name} {ARROWS[metric.better]}",
                    metric.unit,
                    region,
                    *map(shown, values),
                    shown(ratio),
                ]
            )
    blank = [""] * (len(head) - 4)
    lines.append(["frames", "", "", *(str(scores.frames) for scores in found.scores.values()), ""])
    lines.append(["seconds a frame", "s", "", shown(found.pace.seconds), *blank])
    lines.append(["network calls a frame", "", "", str(found.pace.calls), *blank])
    if found.untouched is not None:
        lines.append(
            ["untouched clip changed by", "0..255", "crop", shown(found.untouched.crop), *blank]
        )
        lines.append(
            ["untouched clip changed by", "0..255", "frame", shown(found.untouched.frame), *blank]
        )
    words = {True: "holds", False: "does not hold", None: "not measured"}
    lines += [
        [f"bar: {bar.name}", "", bar.wanted, shown(bar.value), words[bar.holds], *blank[1:]]
        for bar in bars(found)
    ]
    return head, lines


def as_json(found: Refined) -> dict[str, Any]:
    """One clip, or the mean, for machines."""
    return {
        "rows": {
            label: {
                "frames": s.frames,
                "absent": s.absent,
                **{region: dict(s.values[region]) for region in REGIONS},
            }
            for label, s in found.scores.items()
        },
        "seconds_a_frame": found.pace.seconds,
        "calls_a_frame": found.pace.calls,
        "untouched": None
        if found.untouched is None
        else {"crop": found.untouched.crop, "frame": found.untouched.frame},
        "bars": {
            bar.name: {"value": bar.value, "wanted": bar.wanted, "holds": bar.holds}
            for bar in bars(found)
        },
    }


def stacked(sheets: Sequence[Image]) -> Image:
    """Contact sheets one below the other, black beside the narrower ones."""
    width = max(sheet.shape[1] for sheet in sheets)
    return np.concatenate(
        [np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0))) for sheet in sheets]
    )
