"""`thcli eval reenact`: results against the true clip, beside trivial baselines.

Self-reenactment: one frame of a clip is the source, the clip drives it, and the clip is the truth.
Cross-reenactment: the source is a frame of another clip, and there is no truth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from thcli import media
from thcli.core.errors import NoFaceError, UsageError
from thcli.core.events import Listener, Warned, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import EvaluateOptions, OutputOptions, ReadOptions, ReenactOptions
from thcli.core.protocols import IdentityEncoder
from thcli.core.temp_folders import temporary_folder
from thcli.core.types import Array, Face, Frame, Image
from thcli.evaluate.metrics.cross import cross_metrics, set_of_faces
from thcli.evaluate.metrics.measure import (
    FrameObserver,
    ResultRow,
    Tracker,
    TrueClip,
    TruthFrame,
    align_row,
    copy_row,
    measure,
    truth_row,
    video_row,
)
from thcli.evaluate.metrics.regions import BOX, FACE_SIZE, FRAME_SIZE, resize_like
from thcli.evaluate.metrics.sets.distribution import FaceFeatures
from thcli.evaluate.metrics.table import METRICS, Metric
from thcli.evaluate.reports.contact_sheet import SheetBuilder, save_image
from thcli.evaluate.reports.player import PanelPlayer
from thcli.evaluate.reports.report import Evaluation, file_facts

WHOLE = ReadOptions()
ClipRenderer = Callable[[Path, Path, ReadOptions], "Path | Iterable[Frame]"]
"""Renderer of a source image (PNG) driven by a part of a clip.

It returns a video file or the frames, with the clip's timestamps.
"""


@dataclass(frozen=True)
class MeasureSetup:
    """Parts of a measurement.

    tracker: see `measure`.
    metrics: metrics to compute.
    player: video to write that shows all rows beside each other, None for none.
    """

    tracker: Callable[[], Tracker]
    metrics: Sequence[Metric] = METRICS
    player: Path | None = None


@dataclass(frozen=True)
class CrossSetup:
    """Parts of cross-reenactment beyond those with a truth.

    identities: identity backend, or None.
    sets: features of faces whose sets are compared.
    """

    identities: IdentityEncoder | None = None
    sets: Sequence[FaceFeatures] = ()


@dataclass(frozen=True, slots=True)
class _Reference:
    """True clip of a measurement, with the source that the baselines show.

    read: part of the clip.
    source: source frame with its face.
    protocol: parameters of the measurement.
    inputs: name -> facts of the files.
    skip: indices of frames that do not count.
    """

    clip: Path
    read: ReadOptions
    source: Image
    face: Face
    protocol: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, Any]]
    skip: frozenset[int] = frozenset()
    cross: bool = False


def evaluate_self(
    clip: Path,
    engines: Mapping[str, ClipRenderer],
    setup: MeasureSetup,
    options: EvaluateOptions,
    read: ReadOptions,
    on: Listener = silent,
) -> Evaluation:
    """Measure self-reenactment: rows for every engine, copy, align and the truth.

    Args:
        clip: video of one talking head.
        engines: label -> renderer.
        setup: tracker, metrics and player.
        options: frames, source frame, columns.
        read: part of the clip.
        on: receives progress events.

    Raises:
        NoFaceError: when the source frame shows no face.
        UsageError: when the clip has no such frame; also raises as renderers and reader.
    """
    read = limit_frames(clip, read, options.frames)
    source = read_frame(clip, read, options.source_frame)
    # Found before the engines run, whose errors would name the temporary source image.
    face = _source_face(clip, source, setup.tracker())
    with temporary_folder() as folder, ExitStack() as stack:
        image = folder / "source.png"
        save_image(image, source)
        rows, spent = _render_rows(engines, image, clip, read, stack)
        skip = frozenset[int]() if options.count_source else frozenset({options.source_frame})
        protocol = {
            "kind": "self-reenactment",
            "source_frame": options.source_frame,
            "source_counted": not skip,
        }
        inputs = {"clip": file_facts(clip)}
        reference = _Reference(clip, read, source, face, protocol, inputs, skip)
        return replace(_measure(reference, rows, setup, options, on), spent=spent)


def evaluate_cross(
    clips: tuple[Path, Path],
    engines: Mapping[str, ClipRenderer],
    setup: MeasureSetup,
    cross: CrossSetup,
    options: EvaluateOptions,
    read: ReadOptions,
    on: Listener = silent,
) -> Evaluation:
    """Measure a source that the clip of another person drives: every engine, copy and align.

    Args:
        clips: of the source, whose frame `options.source_frame` is shown, and of the driver.
        engines: label -> renderer.
        setup: tracker, metrics and player.
        cross: identity backend and features of faces.
        options: frames, source frame, columns.
        read: part of the clips.
        on: receives progress events.

    Raises:
        NoFaceError: when the source frame shows no face; also raises as `evaluate_self`.
    """
    own, drive = clips
    source = read_frame(own, read, options.source_frame)
    face = _source_face(own, source, setup.tracker())
    sets: list[tuple[FaceFeatures, Array]] = []
    if cross.sets:
        frames = _tracked_frames(own, limit_frames(own, read, options.frames), setup.tracker())
        sets = [(features, set_of_faces(features, frames)) for features in cross.sets]
    metrics = cross_metrics(setup.metrics, cross.identities, (source, face), sets)
    read = limit_frames(drive, read, options.frames)
    with temporary_folder() as folder, ExitStack() as stack:
        image = folder / "source.png"
        save_image(image, source)
        rows, spent = _render_rows(engines, image, drive, read, stack, resize=False)
        protocol = {"kind": "cross-reenactment", "source_frame": options.source_frame}
        inputs = {"source": file_facts(own), "driver": file_facts(drive)}
        reference = _Reference(drive, read, source, face, protocol, inputs, cross=True)
        found = _measure(reference, rows, replace(setup, metrics=metrics), options, on)
        return replace(found, spent=spent)


def _tracked_frames(clip: Path, read: ReadOptions, track: Tracker) -> list[tuple[Image, Face]]:
    found = []
    with media.read(clip, read) as reader:
        for frame in reader:
            image = to_uint8(frame.pixels)
            face = track(image)
            if face is not None:
                found.append((image, face))
    return found


def _render_rows(
    engines: Mapping[str, ClipRenderer],
    source: Path,
    drive: Path,
    read: ReadOptions,
    stack: ExitStack,
    *,
    resize: bool = True,
) -> tuple[dict[str, ResultRow], dict[str, float]]:
    """Render a source with every engine; return the rows and the CPU seconds of each."""
    rows: dict[str, ResultRow] = {}
    spent: dict[str, float] = {}
    for label, render in engines.items():
        began = time.process_time()
        result = render(source, drive, read)
        spent[label] = time.process_time() - began
        if isinstance(result, Path):
            result = stack.enter_context(media.read(result))
        rows[label] = video_row(result, resize=resize)
    return rows, spent


def evaluate_videos(
    truth: Path,
    results: Mapping[str, Path],
    setup: MeasureSetup,
    options: EvaluateOptions,
    read: ReadOptions,
    on: Listener = silent,
) -> Evaluation:
    """Compare finished videos with the true one, matched by time from their first frames.

    A still image lasts for the whole clip. Videos are read from their beginning; `read` says which
    part of the truth they show. Copy and align use the truth's own frame. Raises as
    `evaluate_self`.
    """
    read = limit_frames(truth, read, options.frames)
    source = read_frame(truth, read, options.source_frame)
    face = _source_face(truth, source, setup.tracker())
    width, height = media.probe(truth).size
    with ExitStack() as stack:
        rows: dict[str, ResultRow] = {}
        for label, path in results.items():
            reader = stack.enter_context(media.read(path))
            shape = reader.info.size
            if abs(shape[0] * height - shape[1] * width) > 0.02 * shape[1] * width:
                raise UsageError(
                    f"{path} ({shape[0]}x{shape[1]}) and {truth} ({width}x{height}) have "
                    "different shapes.",
                    "Compare videos of one framing, such as --framing full.",
                )
            if shape != (width, height):
                own = f"{shape[0]}x{shape[1]}"
                on(Warned(f"{path} is {own} and is compared at the truth's {width}x{height}."))
            if reader.info.kind == "image":
                rows[label] = copy_row(resize_like(read_frame(path, WHOLE, 0), source))
            else:
                rows[label] = video_row(reader)
        files = {"truth": truth, **results}
        inputs = {label: file_facts(path) for label, path in files.items()}
        reference = _Reference(truth, read, source, face, {"kind": "videos"}, inputs)
        return _measure(reference, rows, setup, options, on)


def engine_renderer(
    name: str, options: ReenactOptions, on: Listener = silent
) -> Callable[[Path, Path, ReadOptions], Path]:
    """Return the pipeline as a renderer of a lossless NAME.mkv beside the source image, without
    sound.
    """
    from thcli.pipeline.reenact import reenact

    def render(source: Path, drive: Path, read: ReadOptions) -> Path:
        target = source.with_name(f"{name}.mkv")
        lossless = OutputOptions(codec="ffv1", audio="none")
        reenact(source, drive, target, replace(options, read=read, output=lossless), on)
        return target

    return render


def limit_frames(clip: Path, read: ReadOptions, frames: int | None) -> ReadOptions:
    """Limit the part of a clip to `frames` frames.

    Its end is between the last frame and the next.
    """
    if frames is None:
        return read
    with media.read(clip, read) as reader:
        around = [frame.pts * frame.time_base for frame in islice(reader, frames - 1, frames + 1)]
        if len(around) < 2:
            return read
        middle = sum(around, Fraction(0)) / 2 - reader.info.start
    return replace(read, end=float(middle))


def read_frame(clip: Path, read: ReadOptions, index: int) -> Image:
    """Read a frame of a clip as uint8. Raises UsageError when the clip is shorter."""
    with media.read(clip, read) as reader:
        frame = next(islice(reader, index, None), None)
    if frame is None:
        raise UsageError(f"{clip} has no frame {index}.", "Choose an earlier --source-frame.")
    return to_uint8(frame.pixels)


def _source_face(clip: Path, image: Image, tracker: Tracker) -> Face:
    face = tracker(image)
    if face is None or face.mesh is None:
        raise NoFaceError(
            f"The source frame of {clip} shows no face.", "Choose another one with --source-frame."
        )
    return face


def _measure(
    reference: _Reference,
    results: Mapping[str, ResultRow],
    setup: MeasureSetup,
    options: EvaluateOptions,
    on: Listener,
) -> Evaluation:
    rows = {
        **results,
        "copy": copy_row(reference.source),
        "align": align_row(reference.source, reference.face),
        **({} if reference.cross else {"truth": truth_row}),
    }
    shown = next(iter(results), "align")
    sheet = SheetBuilder(shown, columns=options.columns, whole=reference.cross)
    with ExitStack() as stack:
        observers: list[FrameObserver] = [sheet]
        if setup.player is not None:
            observers.append(stack.enter_context(PanelPlayer(setup.player, reference.cross)))

        def observe(truth_frame: TruthFrame, images: Mapping[str, Image]) -> None:
            for observer in observers:
                observer(truth_frame, images)

        reader = stack.enter_context(media.read(reference.clip, reference.read))
        truth = TrueClip(reader, options.frames or reader.info.frames, reference.skip)
        scores = measure(truth, rows, setup.tracker, metrics=setup.metrics, observer=observe, on=on)
    face_box = f"truth's mesh box x {BOX}, square, at {FACE_SIZE} px, bilinear, border repeated"
    protocol = {
        **reference.protocol,
        "start": reference.read.start,
        "end": reference.read.end,
        "face_box": face_box,
        "frame": f"whole frame, at most {FRAME_SIZE} px on its long side",
    }
    return Evaluation(scores, protocol, reference.inputs, sheet.sheet(), setup.metrics)
