"""Every face that pass 1 saw, spooled to disk as fixed records, until it is known which track is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice

import numpy as np

from thcli.core.errors import MediaError
from thcli.core.types import Face, Frame
from thcli.faces.tracking.head_motion import Similarity
from thcli.pipeline.job.temp_storage import Spool

POINTS = 468
RECORD = np.dtype(
    [
        ("frame", "<i8"),
        ("track", "<i4"),
        ("score", "<f4"),
        ("logit", "<f4"),
        ("box", "<f4", 4),
        ("mesh", "<f4", (POINTS, 3)),
        ("iris", "<f4", (2, 5, 2)),
        ("step", "<c16", 2),
    ]
)
STAMP = np.dtype([("pts", "<i8"), ("duration", "<i8")])
CHUNK = 256  # records read at a time


class TrackLog(Spool):
    """Faces by frame, about 6 kB each, on disk. A context manager; nothing is left behind.

    Frames must keep their size: another size raises MediaError.
    """

    def __init__(self) -> None:
        super().__init__("faces", "stamps")
        self._faces, self._stamps = self._files
        self.size: tuple[int, int] = (0, 0)
        self.time_base = Fraction(1)
        self.frames = 0
        self.cuts: list[int] = []  # frames that begin a new scene

    def add(
        self,
        frame: Frame,
        faces: Sequence[Face],
        *,
        cut: bool = False,
        steps: Sequence[Similarity | None] = (),
    ) -> None:
        """The next frame and its faces (those with a mesh). cut: whether it begins a new scene.  steps: of each face, how it moved since the frame before by its pixels."""
        if self.frames and frame.size != self.size:
            raise MediaError(
                f"The picture changes its size at frame {self.frames} ({self.size} to {frame.size}).",
                "Bring the clip to one size first.",
            )
        self.size, self.time_base = frame.size, frame.time_base
        self._stamps.write(np.array((frame.pts, frame.duration), STAMP).tobytes())
        records = np.zeros(len(faces), RECORD)
        records["step"] = np.nan
        for record, step in zip(records, steps, strict=False):  # none at all where nobody asked
            if step is not None:
                record["step"] = step.a, step.b
        for record, face in zip(records, faces, strict=True):
            record["frame"], record["track"] = self.frames, face.track
            record["score"], record["logit"], record["box"] = face.score, face.logit, face.box
            if face.mesh is not None and face.iris is not None:
                record["mesh"], record["iris"] = face.mesh, face.iris
        self._faces.write(records.tobytes())
        if cut:
            self.cuts.append(self.frames)
        self.frames += 1

    def windows(
        self, track: int | None, size: int
    ) -> Iterator[tuple[list[Frame], list[Face | None]]]:
        """All frames, `size` at a time (their pixels are empty), each with the face of `track`, or None where it was not seen.

        track None: no face at all is wanted, only the frames.
        """
        records = self._by_frame(track)
        for start in range(0, self.frames, size):
            self._stamps.seek(start * STAMP.itemsize)  # several tracks may be read in turn
            stamps = np.frombuffer(self._stamps.read(STAMP.itemsize * size), STAMP)
            frames = [self._frame(start + i, stamp) for i, stamp in enumerate(stamps)]
            yield (
                frames,
                [
                    None if record is None else _face(record)
                    for record in islice(records, len(frames))
                ],
            )

    def steps(self, track: int, size: int) -> Iterator[list[Similarity | None]]:
        """As `windows`: how the face moved since the frame before by its pixels; None where they do not say or it was not seen."""
        records = self._by_frame(track)
        while window := list(islice(records, size)):
            yield [None if record is None else _step(record) for record in window]

    def _frame(self, index: int, stamp: np.void) -> Frame:
        width, height = self.size
        blank = np.broadcast_to(np.uint8(0), (height, width, 3))  # takes no memory
        return Frame(blank, int(stamp["pts"]), self.time_base, index, int(stamp["duration"]))

    def _by_frame(self, track: int | None) -> Iterator[np.void | None]:
        """The record of each frame, None where the track was not seen."""
        chosen = self._of(track)
        record = next(chosen, None)
        for index in range(self.frames):
            if record is not None and int(record["frame"]) == index:
                yield record
                record = next(chosen, None)
            else:
                yield None

    def _of(self, track: int | None) -> Iterator[np.void]:
        at = 0
        while track is not None:
            self._faces.seek(at)
            records = np.frombuffer(self._faces.read(RECORD.itemsize * CHUNK), RECORD)
            if not len(records):
                return
            at += records.nbytes
            yield from records[records["track"] == track]


def _step(record: np.void) -> Similarity | None:
    a, b = record["step"]
    return Similarity(complex(a), complex(b)) if np.isfinite(a) else None


def _face(record: np.void) -> Face:
    return Face(
        record["box"],
        float(record["score"]),
        None,
        record["mesh"],
        record["iris"],
        float(record["logit"]),
        int(record["track"]),
    )
