"""`thcli eval reenact`: how near results come to the true clip, beside the trivial answers and the truth itself.

Self-reenactment: one frame of a clip is the source, the clip drives it, and the clip is the truth.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from thcli import media
from thcli.core.errors import NoFaceError, UsageError
from thcli.core.events import Listener, Warned, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import EvaluateOptions, OutputOptions, ReadOptions, ReenactOptions
from thcli.core.types import Face, Frame, Image
from thcli.evaluate.metrics.measure import (
    Row,
    Tracker,
    align_row,
    copy_row,
    measure,
    truth_row,
    video_row,
)
from thcli.evaluate.metrics.regions import BOX, FACE_SIZE, FRAME_SIZE, like
from thcli.evaluate.metrics.table import METRICS, Metric
from thcli.evaluate.reports.contact_sheet import Gallery, save_picture
from thcli.evaluate.reports.report import Evaluation, facts

WHOLE = ReadOptions()
Renderer = Callable[[Path, Path, ReadOptions], "Path | Iterable[Frame]"]
"""Drives a source picture (PNG) by a part of a clip; gives a video file or the frames, with the clip's time stamps."""


def evaluate_self(
    clip: Path,
    engines: Mapping[str, Renderer],
    tracker: Callable[[], Tracker],
    options: EvaluateOptions,
    read: ReadOptions,
    on: Listener = silent,
    metrics: Sequence[Metric] = METRICS,
) -> Evaluation:
    """Self-reenactment: rows for every engine, copy, align and the truth.

    clip: a video of one talking head.  engines: label -> renderer.  tracker: see `measure`. Raises NoFaceError when the source
    frame shows no face, UsageError when the clip has no such frame, and what the renderers and the reader raise.
    """
    read = limited(clip, read, options.frames)
    source = source_frame(clip, read, options.source_frame)
    face = _source_face(
        clip, source, tracker()
    )  # before the engines look for it, who know the clip as a temporary picture
    with tempfile.TemporaryDirectory(prefix="thcli-eval-") as folder, ExitStack() as stack:
        picture = Path(folder) / "source.png"
        save_picture(picture, source)
        rows: dict[str, Row] = {}
        for label, render in engines.items():
            result = render(picture, clip, read)
            rows[label] = video_row(
                stack.enter_context(media.read(result)) if isinstance(result, Path) else result
            )
        skip = frozenset[int]() if options.count_source else frozenset({options.source_frame})
        protocol = {
            "kind": "self-reenactment",
            "source_frame": options.source_frame,
            "source_counted": not skip,
        }
        inputs = {"clip": facts(clip)}
        return _measured(
            clip, rows, source, face, tracker, options, read, skip, protocol, inputs, on, metrics
        )


def evaluate_videos(
    truth: Path,
    results: Mapping[str, Path],
    tracker: Callable[[], Tracker],
    options: EvaluateOptions,
    read: ReadOptions,
    on: Listener = silent,
    metrics: Sequence[Metric] = METRICS,
) -> Evaluation:
    """Finished videos against the true one, matched by time from their first frames; copy and align use the truth's own frame.

    A picture stays for the whole clip; videos are read from their beginning: `read` says which part of the truth they show. Raises as `evaluate_self`.
    """
    read = limited(truth, read, options.frames)
    source = source_frame(truth, read, options.source_frame)
    face = _source_face(truth, source, tracker())
    width, height = media.probe(truth).size
    with ExitStack() as stack:
        rows: dict[str, Row] = {}
        for label, path in results.items():
            reader = stack.enter_context(media.read(path))
            shape = reader.info.size
            if abs(shape[0] * height - shape[1] * width) > 0.02 * shape[1] * width:
                raise UsageError(
                    f"{path} ({shape[0]}x{shape[1]}) and {truth} ({width}x{height}) have different shapes.",
                    "Compare videos of one framing, such as --framing full.",
                )
            if shape != (width, height):
                on(
                    Warned(
                        f"{path} is {shape[0]}x{shape[1]} and is compared at the truth's {width}x{height}."
                    )
                )
            still = reader.info.kind == "image"
            rows[label] = (
                copy_row(like(source_frame(path, WHOLE, 0), source)) if still else video_row(reader)
            )
        inputs = {"truth": facts(truth), **{label: facts(path) for label, path in results.items()}}
        return _measured(
            truth,
            rows,
            source,
            face,
            tracker,
            options,
            read,
            frozenset(),
            {"kind": "videos"},
            inputs,
            on,
            metrics,
        )


def engine_renderer(name: str, options: ReenactOptions, on: Listener = silent) -> Renderer:
    """The pipeline as a renderer: its result lies, without loss, beside the source picture as NAME.mkv, without sound."""
    from thcli.pipeline.reenact import reenact

    def render(source: Path, drive: Path, read: ReadOptions) -> Path:
        target = source.with_name(f"{name}.mkv")
        lossless = OutputOptions(codec="ffv1", audio="none")
        reenact(source, drive, target, replace(options, read=read, output=lossless), on)
        return target

    return render


def limited(clip: Path, read: ReadOptions, frames: int | None) -> ReadOptions:
    """The part of a clip with at most so many frames: its end lies between the last frame wanted and the next."""
    if frames is None:
        return read
    with media.read(clip, read) as reader:
        around = [frame.pts * frame.time_base for frame in islice(reader, frames - 1, frames + 1)]
        if len(around) < 2:
            return read
        middle = sum(around, Fraction(0)) / 2 - reader.info.start
    return replace(read, end=float(middle))


def source_frame(clip: Path, read: ReadOptions, index: int) -> Image:
    """A frame of a clip as uint8. Raises UsageError when the clip is shorter."""
    with media.read(clip, read) as reader:
        frame = next(islice(reader, index, None), None)
    if frame is None:
        raise UsageError(f"{clip} has no frame {index}.", "Choose an earlier --source-frame.")
    return to_uint8(frame.pixels)


def _source_face(clip: Path, picture: Image, tracker: Tracker) -> Face:
    face = tracker(picture)
    if face is None or face.mesh is None:
        raise NoFaceError(
            f"The source frame of {clip} shows no face.", "Choose another one with --source-frame."
        )
    return face


def _measured(
    clip: Path,
    results: Mapping[str, Row],
    source: Image,
    face: Face,
    tracker: Callable[[], Tracker],
    options: EvaluateOptions,
    read: ReadOptions,
    skip: frozenset[int],
    protocol: Mapping[str, Any],
    inputs: Mapping[str, Mapping[str, Any]],
    on: Listener,
    metrics: Sequence[Metric],
) -> Evaluation:
    rows = {
        **results,
        "copy": copy_row(source),
        "align": align_row(source, face),
        "truth": truth_row,
    }
    gallery = Gallery(next(iter(results), "align"), columns=options.columns)
    with media.read(clip, read) as truth:
        total = options.frames or truth.info.frames
        scores = measure(
            truth, rows, tracker, metrics=metrics, skip=skip, total=total, look=gallery, on=on
        )
    whole = {
        **protocol,
        "start": read.start,
        "end": read.end,
        "face_box": f"truth's mesh box x {BOX}, square, at {FACE_SIZE} px, bilinear, border repeated",
        "frame": f"whole frame, at most {FRAME_SIZE} px on its long side",
    }
    return Evaluation(scores, whole, inputs, gallery.sheet(), metrics)
