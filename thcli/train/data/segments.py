"""Division of a video into clips: one face each, in one scene, near its first position.

Frames are fed one by one; memory does not grow with the video.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Self

import numpy as np

from thcli.core.geometry import box_iou, square_crop_matrix
from thcli.core.options import PrepareOptions
from thcli.core.types import Array32, Crop, Face, Frame
from thcli.pipeline.observe.track_log import TrackLog


@dataclass
class Segment:
    """A part of one track.

    track: number of the track. start: index of its first frame. box: (4,) of the face in the first
    frame. union: (4,) of all its boxes. first, last: times in seconds. sides: sum of the face's
    sides over the frames, pixels. log: its faces, on disk.
    """

    track: int
    start: int
    box: Array32
    union: Array32
    first: Fraction
    last: Fraction
    frames: int = 0
    sides: float = 0.0
    log: TrackLog = field(default_factory=TrackLog)

    def add(self, frame: Frame, face: Face) -> None:
        """Append the next frame."""
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
        """Return the square that holds the face in all frames, moved into the frame.

        Its side is the larger side of the union box plus (scale - 1) times the face's mean side.
        differs from FOMM's crop-video.py, whose margin grows with the distance that the face moves
        and whose crops at a border are not square.
        """
        width, height = self.log.size
        middle = (self.union[:2] + self.union[2:]) / 2
        span = float(max(self.union[2] - self.union[0], self.union[3] - self.union[1]))
        side = min(span + (options.scale - 1) * self.face, width, height)
        reach = (side - 1) / 2
        x = float(np.clip(middle[0], reach, width - 1 - reach))
        y = float(np.clip(middle[1], reach, height - 1 - reach))
        return Crop(
            square_crop_matrix((x, y), side, 0.0, options.size), (options.size, options.size)
        )


class Segmenter:
    """A context manager that yields segments as they end; each must be used before the next call.

    Leaving the context closes the segments that are still open.
    """

    def __init__(self, options: PrepareOptions) -> None:
        self._options = options
        self._open: dict[int, Segment] = {}
        self.dropped = 0  # segments that were too short or too small

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for segment in self._open.values():
                stack.enter_context(segment.log)
        self._open = {}

    def feed(self, frame: Frame, faces: Sequence[Face], *, cut: bool) -> Iterator[Segment]:
        """Add the next frame and yield the segments that ended before it.

        Args:
            frame: The frame.
            faces: Tracked faces of the frame.
            cut: True when the frame starts a new scene.
        """
        by_track = {face.track: face for face in faces}
        yield from self._end(
            track
            for track in list(self._open)
            if cut or self._must_end(self._open[track], by_track.get(track))
        )
        for track, face in by_track.items():
            if track not in self._open:
                time = frame.pts * frame.time_base
                self._open[track] = Segment(track, frame.index, face.box, face.box, time, time)
            self._open[track].add(frame, face)

    def finish(self) -> Iterator[Segment]:
        """Yield the segments that are still open after the last frame."""
        yield from self._end(list(self._open))

    def _must_end(self, segment: Segment, face: Face | None) -> bool:
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
