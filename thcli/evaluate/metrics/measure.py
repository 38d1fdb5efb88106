"""One pass through the true clip and all results: every metric of every row."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from thcli.core.events import Finished, Listener, Started, Step, Warned, silent
from thcli.core.geometry import fit_similarity_matrix
from thcli.core.imaging import to_uint8
from thcli.core.types import Face, Frame, Image
from thcli.evaluate.metrics.regions import REGIONS, Region, RegionView, resize_like
from thcli.evaluate.metrics.scores import RowScores
from thcli.evaluate.metrics.sets.distribution import SetDistance
from thcli.evaluate.metrics.table import METRICS, Accumulator, Mean, Metric, Sample
from thcli.motion import canonical
from thcli.pipeline.render.sync import StreamSynchroniser

Tracker = Callable[[Image], Face | None]
"""Tracker of one face, called frame by frame."""


@dataclass(frozen=True, slots=True)
class TrueClip:
    """Frames of the true clip.

    total: their number for progress, None if unknown.
    skip: indices of frames that do not count (the source's own).
    """

    frames: Iterable[Frame]
    total: int | None = None
    skip: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class TruthFrame:
    """One true frame.

    image: (H, W, 3) uint8.
    face: true face, or None.
    seconds: since the clip's first frame.
    """

    frame: Frame
    image: Image
    face: Face | None
    seconds: Fraction


ResultRow = Callable[[TruthFrame], Image | None]
"""Result image for a true frame; None when the result has none."""


FrameObserver = Callable[[TruthFrame, Mapping[str, Image]], None]
"""Observer of every compared frame and its results, such as a contact sheet."""


def truth_row(truth_frame: TruthFrame) -> Image | None:
    """Return the truth itself: the best values, and the clip's own flicker."""
    return truth_frame.image


def copy_row(source: Image) -> ResultRow:
    """Return the baseline that copies the source."""
    return lambda truth_frame: source


def align_row(source: Image, face: Face) -> ResultRow:
    """Return the baseline that moves the source by a 2-D similarity of the mesh's rigid points.

    The border is repeated. Frames without a true face repeat the last similarity.

    Args:
        source: source image.
        face: its face, with a mesh.
    """
    mesh = np.asarray(face.mesh, np.float64)
    last = [np.eye(3)]

    def row(truth_frame: TruthFrame) -> Image | None:
        if truth_frame.face is not None and truth_frame.face.mesh is not None:
            last[0] = fit_similarity_matrix(
                mesh[canonical.RIGID, :2],
                truth_frame.face.mesh[canonical.RIGID, :2],
                canonical.RIGID_WEIGHTS,
            )
        size = truth_frame.image.shape[1::-1]
        moved = cv2.warpAffine(source, last[0][:2], size, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, np.uint8)

    return row


def video_row(frames: Iterable[Frame], *, resize: bool = True) -> ResultRow:
    """Return a result video, matched by time and, with `resize`, resized to the truth."""
    stream = StreamSynchroniser(frames)

    def row(truth_frame: TruthFrame) -> Image | None:
        frame = stream.frame_at(truth_frame.seconds)
        if frame is None or stream.has_ended(truth_frame.seconds):
            return None
        image = to_uint8(frame.pixels)
        return resize_like(image, truth_frame.image) if resize else image

    return row


class _RowAccumulators:
    """Accumulators of one row."""

    def __init__(self, metrics: Sequence[Metric], track: Tracker) -> None:
        self._cells: dict[Region, dict[str, Accumulator]] = {
            region: {m.name: m.make() for m in metrics if region in m.regions} for region in REGIONS
        }
        self._track = track
        # Last image and its face, so that a still image is tracked once.
        self._tracked: tuple[Image, Face | None] | None = None
        self._previous: Image | None = None
        self._frames = self._absent = self._number = 0
        self._seconds = array("d")
        self._curves = {
            name: array("d") for name, cell in self._cells["face"].items() if isinstance(cell, Mean)
        }

    def add(
        self, image: Image | None, views: Sequence[RegionView], seconds: Fraction, counts: bool
    ) -> None:
        self._number += 1
        if image is None:
            self._absent += 1
            self._previous = None
            return
        if self._tracked is None or self._tracked[0] is not image:
            self._tracked = image, self._track(image)
        if counts:
            self._frames += 1
            for view in views:
                sample = Sample(view, self._tracked[1], image, self._previous, self._number)
                for cell in self._cells[view.region].values():
                    cell.add(sample)
            self._extend_curves(seconds, any(view.region == "face" for view in views))
        self._previous = image

    def _extend_curves(self, seconds: Fraction, has_face: bool) -> None:
        self._seconds.append(float(seconds))
        for name, curve in self._curves.items():
            cell = self._cells["face"][name]
            last = cell.last if has_face and isinstance(cell, Mean) else None
            curve.append(math.nan if last is None else last)

    def scores(self) -> RowScores:
        values = {
            region: {name: c.value() for name, c in cells.items()}
            for region, cells in self._cells.items()
        }
        pools = {
            name: cell.pool()
            for name, cell in self._cells["face"].items()
            if isinstance(cell, SetDistance)
        }
        curves = {name: np.asarray(curve) for name, curve in self._curves.items()}
        return RowScores(
            values, self._frames, self._absent, np.asarray(self._seconds), curves, pools
        )


def measure(
    truth: TrueClip,
    rows: Mapping[str, ResultRow],
    tracker: Callable[[], Tracker],
    *,
    metrics: Sequence[Metric] = METRICS,
    observer: FrameObserver | None = None,
    on: Listener = silent,
) -> dict[str, RowScores]:
    """Return the scores of every row.

    Two frames of each row are held for any length of the clip, and 8 bytes for each frame and
    metric. Metrics of the face box leave out frames whose truth has no face.

    Args:
        truth: true clip.
        rows: label -> result.
        tracker: returns a new face tracker, for the truth and for each row.
        metrics: metrics to compute.
        observer: called with every frame that all rows have.
        on: receives progress events.
    """
    track = tracker()
    accumulators = {label: _RowAccumulators(metrics, tracker()) for label in rows}
    previous: Image | None = None
    start: Fraction | None = None
    count = 0
    began = time.perf_counter()
    on(Started("measure", truth.total))
    for frame in truth.frames:
        seconds = frame.pts * frame.time_base
        start = seconds if start is None else start
        image = to_uint8(frame.pixels)
        face = track(image)
        truth_frame = TruthFrame(frame, image, face, seconds - start)
        candidates = (RegionView.of(region, image, previous, face) for region in REGIONS)
        views = [view for view in candidates if view is not None]
        results = {label: row(truth_frame) for label, row in rows.items()}
        for label, accumulator in accumulators.items():
            counts = frame.index not in truth.skip
            accumulator.add(results[label], views, truth_frame.seconds, counts)
        complete = {label: result for label, result in results.items() if result is not None}
        if observer is not None and len(complete) == len(results):
            observer(truth_frame, complete)
        previous = image
        count += 1
        on(Step("measure", count))
    scores = {label: accumulator.scores() for label, accumulator in accumulators.items()}
    for label, row_scores in scores.items():
        if row_scores.absent:
            missing = f"{row_scores.absent} of {count} frames"
            on(Warned(f"{label}: {missing} are missing and were not compared."))
    on(Finished("measure", count, time.perf_counter() - began))
    return scores
