"""One pass through the true clip and all results in step: every metric of every row, in constant memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from thcli.core.events import Finished, Listener, Started, Step, Warned, silent
from thcli.core.geometry import similarity
from thcli.core.imaging import to_uint8
from thcli.core.types import Face, Frame, Image
from thcli.evaluate.metrics.regions import REGIONS, Place, Region, like
from thcli.evaluate.metrics.table import METRICS, Accumulator, Metric, Sample
from thcli.motion import canonical
from thcli.pipeline.render.sync import InStep

Tracker = Callable[[Image], Face | None]  # fed frame by frame; follows one face
Values = Mapping[Region, Mapping[str, float | None]]


@dataclass(frozen=True, slots=True)
class Moment:
    """One true frame as the rows see it. seconds: from the clip's first frame."""

    frame: Frame
    picture: Image
    face: Face | None
    seconds: Fraction


Row = Callable[[Moment], Image | None]  # a result's picture at a moment; None when it has none


@dataclass(frozen=True, slots=True)
class Scores:
    """A row's results. values: region -> metric -> value, None where nothing could be measured.  frames: how many were compared.
    absent: how many the result did not have."""

    values: Values
    frames: int
    absent: int


Look = Callable[
    [Moment, Mapping[str, Image]], None
]  # sees every compared frame with its results, for a contact sheet


def truth_row(moment: Moment) -> Image | None:
    """The ground truth against itself: the best values, and the clip's own flicker."""
    return moment.picture


def copy_row(source: Image) -> Row:
    """The trivial answer 'copy the source'."""
    return lambda moment: source


def align_row(source: Image, face: Face) -> Row:
    """The trivial answer 'move the source': a 2-D similarity by the rigid points of the mesh, its border repeated; the last one
    where the truth has no face. face: the source's, with a mesh."""
    mesh = np.asarray(face.mesh, np.float64)
    last = [np.eye(3)]

    def row(moment: Moment) -> Image | None:
        if moment.face is not None and moment.face.mesh is not None:
            last[0] = similarity(
                mesh[canonical.RIGID, :2],
                moment.face.mesh[canonical.RIGID, :2],
                canonical.RIGID_WEIGHTS,
            )
        height, width = moment.picture.shape[:2]
        return np.asarray(
            cv2.warpAffine(source, last[0][:2], (width, height), borderMode=cv2.BORDER_REPLICATE),
            np.uint8,
        )

    return row


def video_row(frames: Iterable[Frame]) -> Row:
    """A result video, matched by time and brought to the truth's size."""
    stream = InStep(frames)

    def row(moment: Moment) -> Image | None:
        frame = stream.at(moment.seconds)
        if frame is None or stream.over(moment.seconds):
            return None
        return like(to_uint8(frame.pixels), moment.picture)

    return row


class _Board:
    """The accumulators of one row."""

    def __init__(self, metrics: Sequence[Metric], track: Tracker) -> None:
        self._cells: dict[Region, dict[str, Accumulator]] = {
            region: {m.name: m.make() for m in metrics if region in m.regions} for region in REGIONS
        }
        self._track = track
        self._seen: tuple[Image, Face | None] | None = (
            None  # the last picture and its face: a still is tracked once
        )
        self._before: Image | None = None
        self._frames = self._absent = 0

    def add(self, picture: Image | None, places: Sequence[Place], counts: bool) -> None:
        if picture is None:
            self._absent += 1
            self._before = None
            return
        if self._seen is None or self._seen[0] is not picture:
            self._seen = picture, self._track(picture)
        if counts:
            self._frames += 1
            for place in places:
                before = None if self._before is None else place.cut(self._before)
                sample = Sample(place, place.cut(picture), before, self._seen[1], picture)
                for cell in self._cells[place.region].values():
                    cell.add(sample)
        self._before = picture

    def scores(self) -> Scores:
        values = {
            region: {name: c.value() for name, c in cells.items()}
            for region, cells in self._cells.items()
        }
        return Scores(values, self._frames, self._absent)


def measure(
    truth: Iterable[Frame],
    rows: Mapping[str, Row],
    tracker: Callable[[], Tracker],
    *,
    metrics: Sequence[Metric] = METRICS,
    skip: frozenset[int] = frozenset(),
    total: int | None = None,
    look: Look | None = None,
    on: Listener = silent,
) -> dict[str, Scores]:
    """The scores of every row.

    truth: the true clip.  tracker: makes a fresh face tracker for the truth and for each row.  skip: indices of true frames that are
    not counted (the source's own).  look: called with every frame that every row has.  Face-box metrics leave out frames whose truth
    has no face. Holds two frames of each row, whatever the length.
    """
    follow = tracker()
    boards = {label: _Board(metrics, tracker()) for label in rows}
    before: Image | None = None
    start: Fraction | None = None
    count = 0
    began = time.perf_counter()
    on(Started("measure", total))
    for frame in truth:
        seconds = frame.pts * frame.time_base
        start = seconds if start is None else start
        picture = to_uint8(frame.pixels)
        moment = Moment(frame, picture, follow(picture), seconds - start)
        places = [
            p for p in (Place.of(r, picture, before, moment.face) for r in REGIONS) if p is not None
        ]
        shown = {label: row(moment) for label, row in rows.items()}
        for label, board in boards.items():
            board.add(shown[label], places, frame.index not in skip)
        complete = {label: p for label, p in shown.items() if p is not None}
        if look is not None and len(complete) == len(shown):
            look(moment, complete)
        before = picture
        count += 1
        on(Step("measure", count))
    scores = {label: board.scores() for label, board in boards.items()}
    for label, row_scores in scores.items():
        if row_scores.absent:
            on(
                Warned(
                    f"{label}: {row_scores.absent} of {count} frames are missing and were not compared."
                )
            )
    on(Finished("measure", count, time.perf_counter() - began))
    return scores
