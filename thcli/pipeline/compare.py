"""`thcli compare`: videos beside each other, in step, with labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.events import Listener, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import CompareOptions, OutputOptions, ReadOptions
from thcli.core.types import Frame, Image
from thcli.pipeline.job.job import Job, Report
from thcli.pipeline.render.panels import Layout
from thcli.pipeline.render.sync import InStep

DEFAULTS, OUTPUT, WHOLE = CompareOptions(), OutputOptions(), ReadOptions()


def side_by_side(
    base: Iterable[Frame],
    others: Sequence[Iterable[Frame]],
    place: int,
    layout: Layout,
    labels: Sequence[str],
) -> Iterator[Frame]:
    """Frames of all streams in a row, at the time stamps of `base`; time counts from each stream's own first frame.

    base: the stream that gives the time, at position `place` of the row.  others: the rest, in the row's order; a stream that has
    ended holds its last frame (so a still picture stays).  labels: one a cell, may be empty.
    """
    streams = [InStep(frames) for frames in others]
    first: Frame | None = None
    for frame in base:
        first = first or frame
        moment = (frame.pts - first.pts) * frame.time_base
        shown = [stream.at(moment) for stream in streams]
        pictures: list[Image | None] = [
            None if other is None else to_uint8(other.pixels) for other in shown
        ]
        pictures.insert(place, to_uint8(frame.pixels))
        yield Frame(
            layout.draw(pictures, labels), frame.pts, frame.time_base, frame.index, frame.duration
        )


def compare(
    inputs: Sequence[str | Path],
    target: str | Path,
    labels: Sequence[str] = (),
    options: CompareOptions = DEFAULTS,
    output: OutputOptions = OUTPUT,
    read: ReadOptions = WHOLE,
    on: Listener = silent,
    *,
    whole: Sequence[str | Path] = (),
) -> Report:
    """Writes videos (and pictures, which stay) side by side; the first video gives the time stamps, the length and the sound.

    labels: one an input, its file name where missing; empty for none.  whole: those of the inputs that `read` does not cut (they
    show that part already). Frames are 8 bits deep.
    Raises MediaError for an input that cannot be read, UsageError for fewer than two, OutputError.
    """
    if len(inputs) < 2:
        raise UsageError(
            "compare needs at least two inputs.", "Name two or more videos or pictures."
        )
    if len(labels) > len(inputs):
        raise UsageError(
            f"There are {len(labels)} labels for {len(inputs)} inputs.",
            "Give at most one --label an input.",
        )
    names = [*labels, *(Path(path).name for path in inputs[len(labels) :])]
    with Job("compare", on) as job:
        readers = [
            job.enter(media.read(path, WHOLE if path in whole else read, on=on)) for path in inputs
        ]
        place = next((i for i, r in enumerate(readers) if r.info.kind != "image"), 0)
        base = readers[place]
        layout = Layout.of(
            [Fraction(r.info.size[0], r.info.size[1]) * r.info.sar for r in readers],
            options.height or base.info.size[1],
            options.widest,
        )
        info = replace(base.info, bit_depth=8)
        others = [r for r in readers if r is not base]
        writer = media.write(
            target, layout.size, info, output, drive=info, span=read, frames=info.frames, on=on
        )
        first, last = Fraction(0), Fraction(0)
        with writer as out, job.stage("compare", info.frames) as step:
            for frame in side_by_side(base, others, place, layout, names):
                out.write(frame.pixels, frame.pts, frame.duration)
                last = (frame.pts + frame.duration) * frame.time_base
                first = first if frame.index else frame.pts * frame.time_base
                step()
        details = {"inputs": [str(path) for path in inputs], "size": list(layout.size)}
        return Report(
            "compare",
            out.path,
            out.written,
            seconds=job.seconds,
            length=last - first,
            details=details,
        )
