"""Log of all faces that pass 1 detects, on disk until the wanted track is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import numpy as np
import numpy.typing as npt

from thcli.core.errors import MediaError
from thcli.core.types import AnyArray, Array32, Face, Frame
from thcli.faces.landmarks.mouth_inside import CLOSED
from thcli.faces.landmarks.topology import POINTS
from thcli.faces.tracking.head_motion import Similarity
from thcli.pipeline.job.temp_storage import TemporaryFiles

_FACE_RECORD = np.dtype(
    [
        ("frame", "<i8"),
        ("track", "<i4"),
        ("score", "<f4"),
        ("logit", "<f4"),
        ("box", "<f4", 4),
        ("mesh", "<f4", (POINTS, 3)),
        ("iris", "<f4", (2, 5, 2)),
        ("motion", "<c16", 2),
        ("inside", "<f4"),
        ("skin", "<f2", (POINTS, 2)),
    ]
)
_STAMP_RECORD = np.dtype(
    [
        ("pts", "<i8"),
        ("duration", "<i8"),
        ("camera", "<c16", 2),
        ("torso", "<c16", 2),
        ("torso_track", "<i4"),
    ]
)
_CHUNK = 256  # records per read


@dataclass(frozen=True, slots=True)
class FrameReadings:
    """Readings of a frame beside its faces; empty or None where nothing was measured.

    Attributes:
        head_motions: of each face, the motion since the previous frame measured on the pixels of
            the head.
        insides: of each face, what its open mouth shows, see `mouth_inside`.
        on_skin: the faces, moved onto their skin, and inner lips to the hole of rounded ones.
        camera: frame_from_scene in pixels.
        torso: the same of a torso, and the number of its face.
    """

    head_motions: Sequence[Similarity | None] = ()
    insides: Sequence[float] = ()
    on_skin: Sequence[Face] = ()
    camera: Similarity | None = None
    torso: tuple[Similarity, int] | None = None


class TrackLog(TemporaryFiles):
    """Faces by frame, about 8 kB each, on disk. A context manager.

    size: (width, height) of the frames in pixels.
    time_base: seconds per unit of their time stamps.
    frames: number of frames added.
    last_duration: of the last one in units of time_base, 0 when unknown.
    cuts: numbers of the frames that begin a new scene.
    """

    def __init__(self) -> None:
        super().__init__("faces", "stamps")
        self._faces, self._stamps = self._files
        self.clear()

    def clear(self) -> None:
        """Begin anew, without frames."""
        for file in self._files:
            file.seek(0)
            file.truncate()
        self.size: tuple[int, int] = (0, 0)
        self.time_base = Fraction(1)
        self.frames = self.last_duration = 0
        self.cuts: list[int] = []

    def add(
        self,
        frame: Frame,
        faces: Sequence[Face],
        *,
        cut: bool = False,
        measured: FrameReadings | None = None,
    ) -> None:
        """Add the next frame.

        Args:
            frame: its pixels are not kept.
            faces: its faces as tracked, each with track number and mesh.
            cut: the frame begins a new scene.
            measured: what its pixels showed beside them; None for nothing.

        Raises:
            MediaError: the frame has another size than the ones before.
        """
        if self.frames and frame.size != self.size:
            raise MediaError(
                f"The frame size changes at frame {self.frames} "
                f"from {self.size[0]} x {self.size[1]} to {frame.size[0]} x {frame.size[1]}.",
                "Scale the clip to one size first.",
            )
        self.size, self.time_base = frame.size, frame.time_base
        self.last_duration = frame.duration
        measured = measured or FrameReadings()
        body, track = measured.torso or (Similarity(), -1)
        motions = ((seen.a, seen.b) for seen in (measured.camera or Similarity(), body))
        stamp = (frame.pts, frame.duration, *motions, track)
        self._stamps.write(np.array(stamp, _STAMP_RECORD).tobytes())
        records = np.zeros(len(faces), _FACE_RECORD)
        records["motion"], records["inside"] = np.nan, CLOSED
        for record, inside in zip(records, measured.insides, strict=False):
            record["inside"] = inside
        for record, motion in zip(records, measured.head_motions, strict=False):
            if motion is not None:
                record["motion"] = motion.a, motion.b
        for record, face in zip(records, measured.on_skin or faces, strict=True):
            record["frame"], record["track"] = self.frames, face.track
            record["score"], record["logit"], record["box"] = face.score, face.logit, face.box
            if face.mesh is not None and face.iris is not None:
                record["mesh"], record["iris"] = face.mesh, face.iris
        for record, found, face in zip(records, faces, measured.on_skin, strict=False):
            if face.mesh is not None and found.mesh is not None:
                record["skin"] = face.mesh[:, :2] - found.mesh[:, :2]
        self._faces.write(records.tobytes())
        if cut:
            self.cuts.append(self.frames)
        self.frames += 1

    def windows(
        self, track: int | None, size: int
    ) -> Iterator[tuple[list[Frame], list[Face | None]]]:
        """Yield all frames, `size` at a time, each with the face of a track.

        Args:
            track: number of the face; None for frames without faces.
            size: frames per window.

        Yields:
            Frames with time stamps and black pixels, and their faces, None where not detected.
        """
        records = self._by_frame(track)
        for start in range(0, self.frames, size):
            stamps = self._read_stamps(start, size)
            frames = [self._frame(start + i, stamp) for i, stamp in enumerate(stamps)]
            window = islice(records, len(frames))
            yield frames, [None if record is None else _face(record) for record in window]

    def cameras(self, start: int, count: int) -> list[Similarity]:
        """Return frame_from_scene of the frames start..start + count, as they were added."""
        return [_similarity(row) for row in self._read_stamps(start, count)["camera"]]

    def torsos(self, track: int, start: int, count: int) -> list[Similarity | None]:
        """Return the same of the torso below the face of a track; None where it is not seen."""
        stamps = self._read_stamps(start, count)
        return [
            _similarity(row) if of == track else None
            for row, of in zip(stamps["torso"], stamps["torso_track"], strict=True)
        ]

    def _read_stamps(self, start: int, count: int) -> npt.NDArray[np.void]:
        self._stamps.seek(start * _STAMP_RECORD.itemsize)  # other iterators move the position
        return np.frombuffer(self._stamps.read(_STAMP_RECORD.itemsize * count), _STAMP_RECORD)

    def faces(self, track: int, size: int) -> Iterator[Face | None]:
        """Yield the face of a track in every frame, None where it was not detected.

        size: frames that are read at a time.
        """
        for _, faces in self.windows(track, size):
            yield from faces

    def meshes(self) -> Iterator[tuple[AnyArray, AnyArray, Array32]]:
        """Yield all faces in the order of the frames, a chunk at a time.

        Yields:
            Frame numbers (N,), track numbers (N,) and meshes (N, 468, 3) in pixels.
        """
        for records in self._chunks():
            yield records["frame"], records["track"], records["mesh"]

    def head_motions(self, track: int, size: int) -> Iterator[list[Similarity | None]]:
        """Yield the head motion of a track since the previous frame, `size` frames at a time.

        It is None where it was not measured or the face was not detected.
        """
        records = self._by_frame(track)
        while window := list(islice(records, size)):
            yield [None if record is None else _head_motion(record) for record in window]

    def insides(self, track: int, size: int) -> Iterator[list[float]]:
        """Yield what the open mouth of a track shows, `size` frames at a time.

        See `mouth_inside`: it is CLOSED where nothing was measured or the face was not detected.
        """
        records = self._by_frame(track)
        while window := list(islice(records, size)):
            yield [CLOSED if record is None else float(record["inside"]) for record in window]

    def skin_shifts(self, track: int, size: int) -> Iterator[list[Array32 | None]]:
        """Yield by how much the mesh of a track was moved onto its skin, `size` frames at a time.

        (468, 2) pixels, None where the face was not detected.
        """
        records = self._by_frame(track)
        while window := list(islice(records, size)):
            yield [None if row is None else row["skin"].astype(np.float32) for row in window]

    def _frame(self, index: int, stamp: np.void) -> Frame:
        width, height = self.size
        black = np.broadcast_to(np.uint8(0), (height, width, 3))  # one byte of memory
        return Frame(black, int(stamp["pts"]), self.time_base, index, int(stamp["duration"]))

    def _by_frame(self, track: int | None) -> Iterator[np.void | None]:
        """Yield the record of each frame, None where the track was not detected."""
        records = self._records(track)
        record = next(records, None)
        for index in range(self.frames):
            if record is not None and int(record["frame"]) == index:
                yield record
                record = next(records, None)
            else:
                yield None

    def _records(self, track: int | None) -> Iterator[np.void]:
        if track is None:
            return
        for records in self._chunks():
            yield from records[records["track"] == track]

    def _chunks(self) -> Iterator[npt.NDArray[np.void]]:
        position = 0
        while True:
            self._faces.seek(position)  # other iterators move the position
            records = np.frombuffer(self._faces.read(_FACE_RECORD.itemsize * _CHUNK), _FACE_RECORD)
            if not len(records):
                return
            position += records.nbytes
            yield records


def _head_motion(record: np.void) -> Similarity | None:
    motion = record["motion"]
    return _similarity(motion) if np.isfinite(motion[0]) else None


def _similarity(row: AnyArray) -> Similarity:
    return Similarity(complex(row[0]), complex(row[1]))


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
