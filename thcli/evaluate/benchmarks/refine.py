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
from thcli.evaluate.benchmarks.reenactment.reenact import ClipRenderer, limit_frames, read_frame
from thcli.evaluate.datasets.coarse_clips import frames_at_distance
from thcli.evaluate.metrics.image import l1
from thcli.evaluate.metrics.measure import (
    Tracker,
    TrueClip,
    measure,
    truth_row,
    video_row,
)
from thcli.evaluate.metrics.scores import RowScores
from thcli.evaluate.metrics.table import METRICS, Metric
from thcli.evaluate.reports.contact_sheet import SheetBuilder, save_image
from thcli.evaluate.reports.report import Evaluation, file_facts
from thcli.faces.crops.crop import crop
from thcli.faces.tracking.select import TrackStatistics
from thcli.pipeline.job.job import Job
from thcli.pipeline.job.replayable_frames import ReplayableFrames, replayable_video
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.inputs import probe
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import VideoSelection
from thcli.pipeline.refining.correction import DriverCorrection
from thcli.pipeline.refining.refine_pass import STAGES, RefinePass
from thcli.pipeline.refining.subjects import (
    ObservedFaces,
    ReferenceImage,
    TrackSelector,
    observe_subjects,
    read_reference_image,
)

MEASURED = RefineEvaluateOptions()


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
        if rendered.is_relative_to(folder):
            replayable = replace(replayable, name=f"the coarse video of {clip}")
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
        used = [stages[name] for name in STAGES if name in stages]
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
    finder, run = setup.face_finder, setup.refine_pass.run
    selection = VideoSelection(probe(clip, read), read)
    loaded = DriverCorrection.load(selection, MotionOptions(), run, finder, job)
    select = _select_largest(replayable.name, finder, job)
    return loaded.correct(replayable, select, reference_image, finder, job)


def _select_largest(name: str, face_finder: FaceFinder, job: Job) -> TrackSelector:
    def choose(statistics: TrackStatistics, _log: TrackLog) -> Sequence[int]:
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
