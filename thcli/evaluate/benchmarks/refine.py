"""`thcli eval refine`: improvement of a coarse video by a refiner, and its change of a good video.

Self-reenactment: a clip's first frame (or another one) is the source, an engine renders the coarse
video of it with the clip's motion, the refiner sees that video and the source, and the clip is the
truth. Nothing is encoded between the refiner and the measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from thcli import media
from thcli.core.events import Listener, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import (
    EvaluateOptions,
    MotionOptions,
    ReadOptions,
    RefineEvaluateOptions,
    StabilizationOptions,
)
from thcli.core.temp_folders import temporary_folder
from thcli.core.types import Frame
from thcli.evaluate.benchmarks.reenact import ClipRenderer, limit_frames, read_frame
from thcli.evaluate.datasets.coarse_clips import frames_at_distance
from thcli.evaluate.metrics.image import l1
from thcli.evaluate.metrics.measure import (
    RowScores,
    Tracker,
    TrueClip,
    measure,
    truth_row,
    video_row,
)
from thcli.evaluate.metrics.regions import REGIONS, Region
from thcli.evaluate.metrics.table import METRICS, Metric
from thcli.evaluate.reports.contact_sheet import SheetBuilder, save_image
from thcli.evaluate.reports.report import Evaluation, file_facts, format_value, metric_label
from thcli.faces.crops.crop import crop
from thcli.faces.tracking.select import TrackStatistics
from thcli.pipeline.job.job import Job
from thcli.pipeline.job.replayable_frames import ReplayableFrames, replayable_video
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.refining.correction import DriverCorrection
from thcli.pipeline.refining.refine_pass import RefinePass
from thcli.pipeline.refining.subjects import (
    ObservedFaces,
    ReferenceImage,
    TrackSelector,
    observe_subjects,
    read_reference_image,
)

MEASURED = RefineEvaluateOptions()
MAX_RATIO = 0.90  # limit of L1 and perceptual distance, relative to the coarse video's
BLURRED = 1.0  # octaves below the truth from which a coarse video counts as blurred
MAX_CHANGE = 1.0  # limit of the mean change of a good video's crop, levels of 255


@dataclass(frozen=True, slots=True)
class RefineCost:
    """Cost of a frame: wall seconds in network and transfer of detail, and network calls."""

    seconds: float
    calls: int


@dataclass(frozen=True, slots=True)
class UntouchedChange:
    """Change of an unprocessed clip: mean |difference| in levels of 255.

    crop, frame: in the crop and in the whole frame.
    """

    crop: float
    frame: float


@dataclass(frozen=True, slots=True)
class RefineMeasurement:
    """Measurement of one clip, or the mean of several.

    scores: "coarse", "refined", "truth" -> scores.
    """

    name: str
    scores: dict[str, RowScores]
    cost: RefineCost
    untouched: UntouchedChange | None


@dataclass(frozen=True, slots=True)
class Requirement:
    """A required value of a refiner.

    value: measured value.
    wanted: limit, for people.
    holds: None when it was not measured.
    """

    name: str
    value: float | None
    wanted: str
    holds: bool | None


@dataclass(frozen=True, slots=True)
class RefineSetup:
    """Engine, refiner and tracker of a measurement.

    coarse: renders the coarse video as a file.
    tracker: returns a new face tracker.
    metrics: metrics to compute.
    """

    coarse: ClipRenderer
    refine_pass: RefinePass
    face_finder: FaceFinder
    tracker: Callable[[], Tracker]
    metrics: Sequence[Metric] = METRICS


def evaluate_refine(
    clip: Path,
    setup: RefineSetup,
    options: EvaluateOptions,
    read: ReadOptions,
    measured: RefineEvaluateOptions = MEASURED,
    *,
    on: Listener = silent,
) -> tuple[RefineMeasurement, Evaluation]:
    """Measure a refiner on one clip.

    Args:
        clip: video of one talking head.
        setup: engine, refiner and tracker.
        options: frames and source frame.
        read: part of the clip.
        measured: frames that count, and whether the unprocessed clip is refined too.
        on: receives progress events.

    Raises:
        NoFaceError: when the source frame shows no face.
        UsageError: when the clip has no such frame; also raises as engine, refiner and reader.
    """
    refine_pass, face_finder = setup.refine_pass, setup.face_finder
    read = limit_frames(clip, read, options.frames)
    source = read_frame(clip, read, options.source_frame)
    with (
        temporary_folder() as folder,
        ExitStack() as stack,
        Job("eval refine", on) as job,
    ):
        image = folder / "source.png"
        save_image(image, source)
        rendered = setup.coarse(image, clip, read)
        assert isinstance(rendered, Path)
        reference_image = read_reference_image(str(image), face_finder, read)
        replayable = replayable_video(media.probe(rendered), read.whole, job)
        if measured.driven:
            replayable = _corrected(setup, (clip, read), replayable, reference_image, job)
        refined = _refine(refine_pass, replayable, reference_image, face_finder, job)
        rows = {
            "coarse": video_row(stack.enter_context(media.read(rendered))),
            "refined": video_row(refined),
            "truth": truth_row,
        }
        sheet = SheetBuilder("refined", columns=options.columns)
        skip = frozenset[int]() if options.count_source else frozenset({options.source_frame})
        if measured.distance != "all":
            chosen = frames_at_distance(
                clip, read, setup.tracker(), options.source_frame, measured.distance
            )
            skip |= chosen.skipped
        with media.read(clip, read) as reader:
            truth = TrueClip(reader, options.frames or reader.info.frames, skip)
            scores = measure(
                truth, rows, setup.tracker, metrics=setup.metrics, observer=sheet, on=on
            )
        stages = job.clock.stages()
        used = [
            stages[name] for name in ("correct", "refine", "analyse", "detail") if name in stages
        ]
        calls = refine_pass.refiner.network_calls(refine_pass.refine_options)
        seconds = sum(stage.wall / max(stage.frames, 1) for stage in used)
        cost = RefineCost(seconds, calls)
        change = None
        if measured.untouched:
            original = replayable_video(media.probe(clip), read, job)
            change = _measure_untouched(refine_pass, original, face_finder, job)
    protocol = {
        "kind": "self-reenactment, refined",
        "source_frame": options.source_frame,
        "source_counted": options.count_source,
        "distance": measured.distance,
        "driven": measured.driven,
        "refiner": refine_pass.name,
        "change": repr(refine_pass.compositing_options),
        "options": repr(refine_pass.refine_options),
    }
    inputs = {"clip": file_facts(clip)}
    evaluation = Evaluation(scores, protocol, inputs, sheet.sheet(), setup.metrics, "eval refine")
    return RefineMeasurement(clip.name, dict(scores), cost, change), evaluation


def _corrected(
    setup: RefineSetup,
    driver: tuple[Path, ReadOptions],
    replayable: ReplayableFrames[Frame],
    reference_image: ReferenceImage,
    job: Job,
) -> ReplayableFrames[Frame]:
    """Correct the coarse frames towards their driver, a part of a clip."""
    clip, read = driver
    finder = setup.face_finder
    loaded = DriverCorrection.load(clip, MotionOptions(), read, setup.refine_pass.run, finder, job)
    select = _select_largest(replayable.name, finder, job)
    return loaded.correct(replayable, select, reference_image, finder, job)


def _select_largest(name: str, face_finder: FaceFinder, job: Job) -> TrackSelector:
    def choose(statistics: TrackStatistics) -> Sequence[int]:
        return face_finder.choose(statistics, "largest", name, job)

    return choose


def _observe(
    refine_pass: RefinePass,
    replayable: ReplayableFrames[Frame],
    reference_image: ReferenceImage | None,
    face_finder: FaceFinder,
    job: Job,
) -> ObservedFaces:
    return observe_subjects(
        replayable,
        refine_pass.refiner,
        _select_largest(replayable.name, face_finder, job),
        reference_image,
        StabilizationOptions(),
        face_finder,
        job,
    )


def _refine(
    refine_pass: RefinePass,
    replayable: ReplayableFrames[Frame],
    reference_image: ReferenceImage,
    face_finder: FaceFinder,
    job: Job,
) -> Iterator[Frame]:
    observed_faces = _observe(refine_pass, replayable, reference_image, face_finder, job)
    for frame, pixels in refine_pass.frames(replayable, observed_faces.subjects, 0, job):
        yield replace(frame, pixels=pixels)


def _measure_untouched(
    refine_pass: RefinePass, replayable: ReplayableFrames[Frame], face_finder: FaceFinder, job: Job
) -> UntouchedChange:
    """Refine a clip with itself as reference and compare it with itself."""
    observed_faces = _observe(refine_pass, replayable, None, face_finder, job)
    refined = refine_pass.frames(replayable, observed_faces.subjects, 0, job)
    in_crop, in_frame = [], []
    for (frame, pixels), tracked_crop in zip(
        refined, iter(observed_faces.subjects[0].crop_track), strict=True
    ):
        before, after = to_uint8(frame.pixels), to_uint8(pixels)
        in_frame.append(l1(before, after))
        if tracked_crop.outline is not None:
            placement = tracked_crop.placement
            own, changed = (
                np.asarray(crop(image, placement), np.uint8) for image in (before, after)
            )
            in_crop.append(l1(own, changed))
    return UntouchedChange(float(np.mean(in_crop)) if in_crop else 0.0, float(np.mean(in_frame)))


def average_measurements(found: Sequence[RefineMeasurement]) -> RefineMeasurement:
    """Average measurements, each clip with equal weight; missing values are left out."""
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
        scores[label] = RowScores(
            values, sum(row.frames for row in rows), sum(row.absent for row in rows)
        )
    changes = [one.untouched for one in found if one.untouched is not None]
    mean_change = None
    if changes:
        in_crop, in_frame = [c.crop for c in changes], [c.frame for c in changes]
        mean_change = UntouchedChange(float(np.mean(in_crop)), float(np.mean(in_frame)))
    cost = RefineCost(float(np.mean([one.cost.seconds for one in found])), found[0].cost.calls)
    return RefineMeasurement(f"mean of {len(found)} clips", scores, cost, mean_change)


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None


def requirements(found: RefineMeasurement) -> list[Requirement]:
    """Return the required values of a refiner.

    L1 and the perceptual distance fall by a tenth, PSNR and SSIM rise, the rest does not get worse,
    and a good video hardly changes.
    """
    coarse, refined = (found.scores[label].values["face"] for label in ("coarse", "refined"))
    rows: list[Requirement] = []

    def require(
        name: str, value: float | None, wanted: str, holds: Callable[[float], bool]
    ) -> None:
        rows.append(Requirement(name, value, wanted, None if value is None else holds(value)))

    for name in ("l1", "lpips", "pfd"):
        if coarse.get(name) is not None:
            ratio = _ratio(refined.get(name), coarse.get(name))
            require(f"{name} / coarse", ratio, f"at most {MAX_RATIO:.2f}", lambda v: v <= MAX_RATIO)
    for name in ("psnr", "ssim"):
        gain = _difference(refined.get(name), coarse.get(name))
        require(f"{name} - coarse", gain, "more than 0", lambda v: v > 0)
    for name in ("akd", "apd", "flicker"):
        if name == "apd" and coarse.get(name) is None:
            continue  # no 3-D model was fitted
        ratio = _ratio(refined.get(name), coarse.get(name))
        require(f"{name} / coarse", ratio, "at most 1", lambda v: v <= 1)
    if coarse.get("csim") is not None:
        gain = _difference(refined.get("csim"), coarse["csim"])
        require("csim - coarse", gain, "at least 0", lambda v: v >= 0)
    lacking, left = coarse.get("sharpness"), refined.get("sharpness")
    if lacking is not None and left is not None and lacking < 0:
        least = 0.5 if lacking < -BLURRED else 0.0
        share = 1 - abs(left) / abs(lacking)
        require("sharpness regained", share, f"at least {least}", lambda v: v >= least)
    if found.untouched is not None:
        change = found.untouched.crop
        limit = f"less than {MAX_CHANGE}"
        require("change of the untouched crop", change, limit, lambda v: v < MAX_CHANGE)
    return rows


def _ratio(value: float | None, other: float | None) -> float | None:
    return value / other if value is not None and other else None


def _difference(value: float | None, other: float | None) -> float | None:
    return value - other if value is not None and other is not None else None


def table(found: RefineMeasurement, metrics: Sequence[Metric]) -> tuple[list[str], list[list[str]]]:
    """Return heading and lines: a metric and region per line, then cost and requirements."""
    head = ["metric", "unit", "where", *found.scores, "refined / coarse"]
    lines = []
    for region in REGIONS:
        for metric in (m for m in metrics if region in m.regions):
            values = {label: s.values[region][metric.name] for label, s in found.scores.items()}
            ratio = _ratio(values["refined"], values["coarse"])
            cells = [format_value(value) for value in (*values.values(), ratio)]
            lines.append([metric_label(metric), metric.unit, region, *cells])
    blank = [""] * (len(head) - 4)
    lines.append(["frames", "", "", *(str(scores.frames) for scores in found.scores.values()), ""])
    lines.append(["seconds per frame", "s", "", format_value(found.cost.seconds), *blank])
    lines.append(["network calls per frame", "", "", str(found.cost.calls), *blank])
    if found.untouched is not None:
        changes = (("crop", found.untouched.crop), ("frame", found.untouched.frame))
        for region_name, change in changes:
            cells = [format_value(change), *blank]
            lines.append(["change of the untouched clip", "0..255", region_name, *cells])
    words = {True: "holds", False: "does not hold", None: "not measured"}
    for required in requirements(found):
        cells = [format_value(required.value), words[required.holds], *blank[1:]]
        lines.append([f"required: {required.name}", "", required.wanted, *cells])
    return head, lines


def as_json(found: RefineMeasurement) -> dict[str, Any]:
    """Return one measurement for JSON."""
    return {
        "rows": {
            label: {
                "frames": s.frames,
                "absent": s.absent,
                **{region: dict(s.values[region]) for region in REGIONS},
            }
            for label, s in found.scores.items()
        },
        "seconds_a_frame": found.cost.seconds,
        "calls_a_frame": found.cost.calls,
        "untouched": None
        if found.untouched is None
        else {"crop": found.untouched.crop, "frame": found.untouched.frame},
        "bars": {
            bar.name: {"value": bar.value, "wanted": bar.wanted, "holds": bar.holds}
            for bar in requirements(found)
        },
    }
