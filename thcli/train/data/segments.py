"""Where a video is cut into clips: one face each, in one scene, staying about where it was. Fed frame by frame in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Self

import numpy as np

from thcli.core.geometry import box_iou, box_of, rotated_square, transform
from thcli.core.options import PrepareOptions
from thcli.core.types import Array32, Crop, Face, Frame
from thcli.pipeline.observe.track_log import TrackLog


@dataclass
class Segment:
    """A piece of one track. box: (4,) of the face when it begins.  union: (4,) of all its boxes.  log: its faces, on disk.

    first, last: times in seconds.  start: number of its first frame.
    """

    track: int
    start: int
    box: Array32
    union: Array32
    first: Fraction
    last: Fraction
    frames: int = 0
    sides: float = 0.0  # sum over the frames
    log: TrackLog = field(default_factory=TrackLog)

    def add(self, frame: Frame, face: Face) -> None:
        """Its next frame."""
        self.union = np.concatenate(
            [np.minimum(self.union[:2], face.box[:2]), np.maximum(self.union[2:], face.box[2:])]
        )
        self.last = frame.pts * frame.time_base
        self.frames += 1
        self.sides += float(max(face.box[2] - face.box[0], face.box[3] - face.box[1]))
        self.log.add(frame, [face])

    @property
    def face(self) -> float:
        """Mean side of the face in pixels."""
        return self.sides / self.frames

    def crop(self, options: PrepareOptions) -> Crop:
        """The square that holds the face throughout: its union box with (scale - 1) of the face's side around it, moved into the frame.

        differs from FOMM's crop-video.py, whose margin grows with the way that the face goes, and whose crops at a border are not square.
        """
        width, height = self.log.size
        middle = (self.union[:2] + self.union[2:]) / 2
        span = float(max(self.union[2] - self.union[0], self.union[3] - self.union[1]))
        side = min(span + (options.scale - 1) * self.face, width, height)
        reach = (side - 1) / 2
        x = float(np.clip(middle[0], reach, width - 1 - reach))
        y = float(np.clip(middle[1], reach, height - 1 - reach))
        return Crop(rotated_square((x, y), side, 0.0, options.size), (options.size, options.size))


class Segmenter:
    """A context manager; what is still open at its end is closed. Yields segments as they end, each to be used before the next call."""

    def __init__(self, options: PrepareOptions) -> None:
        self._options = options
        self._open: dict[int, Segment] = {}
        self.dropped = 0  # pieces that were too short or too small

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for segment in self._open.values():
                stack.enter_context(segment.log)
        self._open = {}

    def feed(self, frame: Frame, faces: Sequence[Face], *, cut: bool) -> Iterator[Segment]:
        """The next frame; yields what ended before it. cut: whether it begins a new scene."""
        seen = {face.track: face for face in faces}
        yield from self._end(
            track
            for track in list(self._open)
            if cut or self._over(self._open[track], seen.get(track))
        )
        for track, face in seen.items():
            if track not in self._open:
                moment = frame.pts * frame.time_base
                self._open[track] = Segment(track, frame.index, face.box, face.box, moment, moment)
            self._open[track].add(frame, face)

    def finish(self) -> Iterator[Segment]:
        """What is still open after the last frame."""
        yield from self._end(list(self._open))

    def _over(self, segment: Segment, face: Face | None) -> bool:
        full = segment.frames >= self._options.max_frames
        return face is None or full or box_iou(segment.box, face.box) < self._options.move

    def _end(self, tracks: Iterable[int]) -> Iterator[Segment]:
        for track in tracks:
            segment = self._open.pop(track)
            with segment.log:
                if (
                    segment.frames >= self._options.min_frames
                    and segment.face >= self._options.min_face
                ):
                    yield segment
                else:
                    self.dropped += 1


def in_crop(face: Face, where: Crop) -> Face:
    """A face's mesh and irises in the pixels of an upright crop."""
    scale = np.float32(where.crop_from_frame[0, 0])
    mesh = iris = None
    if face.mesh is not None:
        flat = transform(where.crop_from_frame, face.mesh[:, :2])
        mesh = np.concatenate([flat, face.mesh[:, 2:] * scale], 1).astype(np.float32)
    if face.iris is not None:
        iris = transform(where.crop_from_frame, face.iris).astype(np.float32)
    return replace(face, mesh=mesh, iris=iris, box=face.box if mesh is None else box_of(mesh))
