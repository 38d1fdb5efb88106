"""`thcli compare`: videos beside each other, in step, with labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from thcli.core.types import Frame, Image
from thcli.pipeline.instep import InStep
from thcli.pipeline.panels import Layout, eight_bit


def side_by_side(
    base: Iterable[Frame], others: Sequence[Iterable[Frame]], place: int, layout: Layout, labels: Sequence[str]
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
        pictures: list[Image | None] = [None if other is None else eight_bit(other) for other in shown]
        pictures.insert(place, eight_bit(frame))
        yield Frame(layout.draw(pictures, labels), frame.pts, frame.time_base, frame.index, frame.duration)
