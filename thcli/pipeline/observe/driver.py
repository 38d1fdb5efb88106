"""Pass 1 of a reenactment: motion of the driving face, in a motion file."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from thcli import __version__
from thcli.core.errors import UsageError
from thcli.core.protocols import CropEngine, Engine
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.span import LAST_DURATION, MotionSpan, select_span
from thcli.motion.file.windows import WINDOW
from thcli.motion.file.writer import MotionWriter
from thcli.motion.observe import observe
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_motion import observe_fixed_crop
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.frame_measurer import FrameMeasurer
from thcli.pipeline.observe.inputs import read_motion
from thcli.pipeline.observe.kept_driver import KeptDriver
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import VideoSelection, track_faces


@dataclass(frozen=True, slots=True)
class ObservedDriver:
    """Motion of a driver.

    motion: of the chosen face.
    tracks: number of different faces in the driver.
    """

    motion: MotionSpan
    tracks: int


def observe_driver(
    driver: VideoSelection,
    path: Path,
    engine: Engine,
    face_finder: FaceFinder,
    job: Job,
) -> ObservedDriver:
    """Extract the motion of the chosen face of a driver.

    Args:
        driver: video, image or folder; of a motion file the rows in the range are used.
        path: motion file to write.
        engine: decides the kind of motion.
        face_finder: detector and landmarker.
        job: reports progress.

    Raises:
        NoFaceError: no frame shows the chosen face.
        MediaError: the driver cannot be read.
        UsageError: several faces are chosen, or the range begins after the last frame.
    """
    info = driver.info
    if info.kind == "motion":
        return ObservedDriver(read_motion(info, driver.read), 1)
    kept = KeptDriver.find(driver, engine, job)
    tracks = kept.take(path) if kept else None
    if tracks is None:
        tracks = _observe_faces(driver, path, engine, face_finder, job)
        if kept is not None:
            kept.keep(path, tracks)
    return ObservedDriver(select_span(MotionFile(path), Fraction(0), None), tracks)


def _observe_faces(
    driver: VideoSelection, path: Path, engine: Engine, face_finder: FaceFinder, job: Job
) -> int:
    """Write the motion of the chosen face; return the number of faces. See `observe_driver`."""
    info = driver.info
    with TrackLog() as log:
        crops = isinstance(engine, CropEngine)
        camera = None if crops else face_finder.camera_estimator()
        measurer = FrameMeasurer(camera=camera, on_skin=not crops)
        statistics = track_faces(driver, log, face_finder, job, measurer)
        chosen = face_finder.choose(statistics, driver.select, str(info.path), job)
        if driver.select == "all" and len(chosen) > 1:
            raise UsageError(
                f"{info.path} shows {len(chosen)} faces, but only one can drive.",
                "Choose it with --face N.",
            )
        if driver.select == "largest" and statistics.is_one_of_several(chosen[0]):
            job.warn(
                f"{info.path} shows several faces of about one size; number "
                f"{statistics.first_seen_tracks.index(chosen[0])} is followed. "
                f"Choose with --face ({statistics.describe_faces()})."
            )
        metadata = {"source": info.path.name, "made_by": f"thcli {__version__}"}
        if log.last_duration:
            metadata[LAST_DURATION] = str(log.last_duration)
        with MotionWriter(path, metadata) as writer:
            if isinstance(engine, CropEngine):
                observe_fixed_crop(engine, driver, log, chosen[0], writer, job)
            else:
                observe_mesh(log, chosen[0], writer, job, camera=camera is not None, skin=not crops)
    return statistics.tracks


def observe_mesh(
    log: TrackLog,
    track: int,
    writer: MotionWriter,
    job: Job,
    *,
    camera: bool = False,
    skin: bool = False,
) -> None:
    """Extract mesh motion from the log: the landmarks are enough, no frame is read again.

    Args:
        log: faces of the clip.
        track: number of the face.
        writer: receives the motion.
        job: measures the time.
        camera: the log has the motion of camera and torso, and what open mouths show.
        skin: its meshes were moved onto their skin.
    """
    cuts = set(log.cuts)
    with job.clock("motion"):
        insides = log.insides(track, WINDOW)
        shifts = log.skin_shifts(track, WINDOW)
        for frames, faces in log.windows(track, WINDOW):
            start, count = frames[0].index, len(frames)
            seen = shown = None
            moved = next(shifts) if skin else None
            if camera:
                seen = log.cameras(start, count), log.torsos(track, start, count)
                shown = next(insides)
            in_cuts = [frame.index in cuts for frame in frames]
            writer.append(observe(frames, faces, in_cuts, seen, shown, moved))
