"""Drivers of single faces (--driver N=FILE) beside the one that sets the times of the output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from thcli.core.options import MotionOptions
from thcli.core.protocols import Engine, MeshPlacingEngine, MotionStore
from thcli.core.types import Array, Face, Frame, Motion
from thcli.media.info import MediaInfo
from thcli.motion.file.windows import windows
from thcli.motion.observe import KIND as MESH_KIND
from thcli.motion.timeline import Ints, read_timeline
from thcli.pipeline.observe.inputs import probe
from thcli.pipeline.observe.tracking import VideoSelection
from thcli.pipeline.refining.placed_face import PlacedFace
from thcli.pipeline.render.encoded_faces import EncodedFace
from thcli.pipeline.render.frames import DrivingFrames, SourceFace
from thcli.pipeline.render.render_job import RenderJob
from thcli.pipeline.sources.source_image import SourceImage

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class FaceDriver:
    """Driver of one face.

    info: the probed file.  motion: of its face.  rows: (T,) its frame at each frame of the output.
    """

    info: MediaInfo
    motion: MotionStore
    rows: Rows


@dataclass(frozen=True, slots=True)
class FaceDrivers:
    """Drivers of a job.

    first: motion of the driver that sets the times.  own: driver of each face that has one of its
    own, by the face's number from the left.
    """

    first: MotionStore
    own: Mapping[int, FaceDriver] = field(default_factory=dict)

    def scenes(self, face: Face) -> Ints:
        """Return the number of the driver's scene in each frame of the output, (T,)."""
        own = self.own.get(face.track)
        if own is None:
            return read_timeline(self.first).scene
        return np.asarray(read_timeline(own.motion).scene[own.rows])

    def frames(self, faces: Sequence[SourceFace], render_job: RenderJob) -> DrivingFrames:
        """Open for pass 2 the driving frames that are read to render any of the faces."""
        read = {face.driver for face in faces if face.reads_driver}
        first = _frames(render_job.driver, render_job) if 0 in read else None
        others = tuple(
            _rows_of(_frames(one.info, render_job), one.rows) if number in read else None
            for number, one in enumerate(self.own.values(), 1)
        )
        return DrivingFrames(first, others)


def observe_face_drivers(render_job: RenderJob, engine: Engine, first: MotionStore) -> FaceDrivers:
    """Extract the motion of every --driver, with the controls of the job.

    Args:
        render_job: options and the driver that sets the times.
        engine: decides the kind of motion.
        first: motion of that driver.

    Raises:
        ThcliError: as `RenderJob.observe_face`.
    """
    options, job = render_job.options, render_job.job
    own: dict[int, FaceDriver] = {}
    for number, file in sorted(options.drivers.items()):
        info = probe(file, options.read)
        selection = VideoSelection(info, options.read)
        path = job.temp_dir() / "driver.motion.safetensors"
        motion = render_job.observe_face(selection, engine, path).motion
        own[number] = FaceDriver(info, motion, nearest_rows(motion, first))
    return FaceDrivers(first, own)


def retarget_faces(
    engine: Engine,
    encoded: Sequence[EncodedFace],
    drivers: FaceDrivers,
    options: MotionOptions,
    warn: Callable[[str], None],
) -> list[SourceFace]:
    """Retarget the motion of their drivers to the encoded faces of an image.

    Args:
        engine: has encoded them.
        encoded: the faces.
        drivers: of the faces.
        options: of the motion.
        warn: takes a sentence on a driver that rests.
    """
    if options.mode == "relative" and encoded and _rests(drivers.first):
        warn(
            "The driver is one picture, which relative motion takes as its rest, so that nothing "
            "moves: --motion absolute takes its pose, mouth and gaze."
        )
    return [_retarget_face(engine, face, drivers, options) for face in encoded]


def _rests(motion: MotionStore) -> bool:
    """Return whether a tracked motion has one frame alone, which is its own rest.

    That of the mesh engine is transferred against an ordinary face at rest.
    """
    if motion.kind == MESH_KIND or len(motion) > 1:
        return False
    return "rest" not in motion.window(0, 0).constants


def place_face(
    engine: Engine, source: SourceImage, faces: Sequence[SourceFace], drivers: FaceDrivers
) -> PlacedFace | None:
    """Return the only face of an image as the engine places it, None where it does not say.

    Its scenes are those of its driver.
    """
    if len(source.faces) > 1 or len(faces) != 1 or not isinstance(engine, MeshPlacingEngine):
        return None
    placing, (face,) = engine, faces
    own = placing.source_face(face.source)

    def place(motion: Motion) -> Array:
        return placing.place_meshes(face.source, motion)

    scenes = drivers.scenes(source.faces[0])
    return PlacedFace(source.image, own, face.motion, place, scenes, placing.follows_camera)


def _retarget_face(
    engine: Engine, encoded: EncodedFace, drivers: FaceDrivers, options: MotionOptions
) -> SourceFace:
    source, number = encoded.source, encoded.face.track
    own = drivers.own.get(number)
    motion = engine.retarget(source, drivers.first if own is None else own.motion, options)
    reads_driver = engine.reads_driver(source, motion)
    if own is None:
        return SourceFace(source, motion, 0, reads_driver, encoded.share)
    sampled = SampledMotion(motion, own.rows, drivers.first)
    driver = 1 + list(drivers.own).index(number)
    return SourceFace(source, sampled, driver, reads_driver, encoded.share)


@dataclass(frozen=True, slots=True)
class SampledMotion:
    """Motion of one driver at the times of another, as a MotionStore.

    motion: retargeted motion of the one.  rows: (T,) its frame at each frame of the other.  times:
    motion of the other, with the time stamps.
    """

    motion: MotionStore
    rows: Rows
    times: MotionStore

    @property
    def kind(self) -> str:
        return self.motion.kind

    def __len__(self) -> int:
        return len(self.rows)

    def window(self, start: int, stop: int) -> Motion:
        """Return frames start..stop of the other driver, limited to it."""
        rows = self.rows[max(start, 0) : max(stop, start, 0)]
        first, last = (int(rows.min()), int(rows.max()) + 1) if len(rows) else (0, 0)
        chosen = self.motion.window(first, last)[rows - first]
        stamps = self.times.window(start, stop)
        return replace(chosen, pts=stamps.pts, time_base=stamps.time_base)


def nearest_rows(motion: MotionStore, times: MotionStore) -> Rows:
    """Return the frame of a motion nearest to each frame of another, (T,).

    Both begin together. The last frame holds after the motion's end.
    """
    own, wanted = _seconds(motion), _seconds(times)
    middles = (own[1:] + own[:-1]) / 2
    return np.asarray(np.searchsorted(middles, wanted + 1e-9, "right"), np.intp)


def frames_at(frames: Iterable[Frame], rows: Rows) -> Iterator[Frame]:
    """Yield the frame of each row; rows (T,) do not decrease."""
    numbered = enumerate(frames)
    number, frame = next(numbered)
    for row in rows:
        while number < row:
            number, frame = next(numbered)
        yield frame


def _seconds(motion: MotionStore) -> Array:
    """Return the times (T,) of a motion's frames since its first one."""
    parts = list(windows(motion))
    pts = np.concatenate([window.pts for window in parts])
    return np.asarray((pts - pts[0]) * float(parts[0].time_base), np.float64)


def _rows_of(frames: Iterable[Frame] | None, rows: Rows) -> Iterable[Frame] | None:
    return None if frames is None else frames_at(frames, rows)


def _frames(driver: MediaInfo, render_job: RenderJob) -> Iterable[Frame] | None:
    """Open driving frames for pass 2; None for a driver without pixels."""
    if driver.kind == "motion":
        return None
    job = render_job.job
    frames = job.enter(job.frames(driver.path, render_job.options.read))
    return job.clock.time_each("decode again", frames)
