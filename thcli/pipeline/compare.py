"""`thcli compare`: videos side by side, synchronised, with labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.events import Listener, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import CompareOptions
from thcli.core.types import Frame, Image
from thcli.pipeline.check_options import check_run
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.render.panels import PanelLayout
from thcli.pipeline.render.sync import StreamSynchroniser

DEFAULTS = CompareOptions()


def side_by_side(
    base: Iterable[Frame],
    others: Sequence[Iterable[Frame]],
    position: int,
    layout: PanelLayout,
    labels: Sequence[str],
) -> Iterator[Frame]:
    """Yield all streams in a row, at the time stamps of `base`.

    Time counts from the first frame of each stream. A stream that has ended holds its last frame,
    so a still image stays.

    Args:
        base: the stream that gives the time stamps.
        others: the other streams, in the order of the row.
        position: of `base` in the row.
        layout: of the row.
        labels: one per cell, may be empty.
    """
    streams = [StreamSynchroniser(frames) for frames in others]
    first: Frame | None = None
    for frame in base:
        first = first or frame
        seconds = (frame.pts - first.pts) * frame.time_base
        current = [stream.frame_at(seconds) for stream in streams]
        images: list[Image | None] = [
            None if other is None else to_uint8(other.pixels) for other in current
        ]
        images.insert(position, to_uint8(frame.pixels))
        row = layout.render(images, labels)
        yield Frame(row, frame.pts, frame.time_base, frame.index, frame.duration)


def compare(
    inputs: Sequence[str | Path],
    output: str | Path | None = None,
    options: CompareOptions = DEFAULTS,
    on: Listener = silent,
    *,
    whole: Sequence[str | Path] = (),
) -> Report:
    """Write videos and still images side by side, 8 bits deep.

    Args:
        inputs: two or more, from left to right. The first video gives the time stamps, the length
            and the sound; an input that ends earlier holds its last frame.
        output: None: NAME_NAME.mp4 beside the first input.
        options: labels, height, range, encoding.
        on: listener for progress and warnings.
        whole: inputs that `options.read` does not cut, because they show that part already.

    Raises:
        MediaError: an input cannot be read.
        UsageError: there are fewer than two inputs, or more labels than inputs.
        OutputError: the output exists or cannot be written.
    """
    if len(inputs) < 2:
        raise UsageError("compare needs at least two inputs.", "Name two or more videos or images.")
    labels, read = options.label or (), options.read
    if len(labels) > len(inputs):
        raise UsageError(
            f"There are {len(labels)} labels for {len(inputs)} inputs.",
            "Give at most one --label per input.",
        )
    stems = "_".join(Path(path).stem for path in inputs)
    target = output or Path(inputs[0]).with_name(f"{stems}.mp4")
    names = [*labels, *(Path(path).name for path in inputs[len(labels) :])]
    check_run(options, target)
    with Job("compare", on, options, inputs) as job:
        readers = [
            job.enter(media.read(job.seekable(path), read.whole if path in whole else read, on=on))
            for path in inputs
        ]
        position = next((i for i, r in enumerate(readers) if r.info.kind != "image"), 0)
        base = readers[position]
        others = [reader for reader in readers if reader is not base]
        shapes = [Fraction(r.info.size[0], r.info.size[1]) * r.info.sar for r in readers]
        layout = PanelLayout.of(shapes, options.height or base.info.size[1], options.widest)
        info = replace(base.info, bit_depth=8)
        plan = media.WritePlan(
            drive=info, span=read, frames=info.frames, fingerprint=job.fingerprint()
        )
        writer = media.write(target, layout.size, info, options.output, plan, on=on)
        with writer as out, job.stage("compare", info.frames, out.done) as step:
            counter = FrameCounter(out.done)
            rows = side_by_side(base, others, position, layout, names)
            for frame in islice(rows, out.done, None):
                out.write(frame.pixels, frame.pts, frame.duration)
                counter.add(frame.pts, frame.duration, frame.time_base)
                step()
        return Report(
            "compare",
            out.path,
            out.written,
            seconds=job.seconds,
            length=counter.length,
            details={"inputs": [str(path) for path in inputs], "size": list(layout.size)},
        )


def write_comparison(
    output: str | Path | None,
    inputs: Sequence[str | Path],
    result: str | Path,
    options: CompareOptions,
    on: Listener,
) -> None:
    """Write the inputs of a job beside its result (--compare).

    Args:
        output: None writes nothing.
        inputs: from left to right.
        result: shows the range `options.read` of the inputs.
        options: range and encoding.
        on: listener for progress and warnings.
    """
    if output is not None:
        compare([*inputs, result], output, options, on, whole=[result])
