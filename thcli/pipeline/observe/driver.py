"""Pass 1 of a reenactment: motion of the driving face, in a motion file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from thcli import __version__
from thcli.core.errors import UsageError
from thcli.core.protocols import CropEngine, Engine
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.writer import MotionWriter
from thcli.motion.observe import observe
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_motion import observe_fixed_crop
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import VideoSelection, track_faces

WINDOW = 256  # frames of motion in memory


@dataclass(frozen=True, slots=True)
class ObservedDriver:
    """Motion of a driver.

    motion: of the chosen face.
    tracks: number of different faces in the driver.
    unseen: frames in which the chosen face was not detected.
    """

    motion: MotionFile
    tracks: int
    unseen: int


def observe_driver(
    driver: VideoSelection,
    path: Path,
    engine: Engine,
    face_finder: FaceFinder,
    job: Job,
    *,
    overwrite: bool = False,
) -> ObservedDriver:
    """Extract the motion of the chosen face of a driver.

    Args:
        driver: video, image or folder; a motion file is used unchanged.
        path: motion file to write.
        engine: decides the kind of motion.
        face_finder: detector and landmarker.
        job: reports progress.
        overwrite: `path` may exist.

    Raises:
        NoFaceError: no frame shows the chosen face.
        MediaError: the driver cannot be read.
        UsageError: several faces are chosen.
    """
    info = driver.info
    if info.kind == "motion":
        return _summarise(MotionFile(info.path), 1)
    with TrackLog() as log:
        statistics = track_faces(driver, log, face_finder, job)
        chosen = face_finder.choose(statistics, driver.select, str(info.path), job)
        if driver.select == "all" and len(chosen) > 1:
            raise UsageError(
                f"{info.path} shows {len(chosen)} faces, but only one can drive.",
                "Choose it with --face N.",
            )
        metadata = {"source": info.path.name, "made_by": f"thcli {__version__}"}
        with MotionWriter(path, metadata, overwrite=overwrite) as writer:
            if isinstance(engine, CropEngine):
                observe_fixed_crop(engine, driver, log, chosen[0], writer, job)
            else:
                _observe_mesh(log, chosen[0], writer, job)
    return _summarise(MotionFile(path), statistics.tracks)


def _observe_mesh(log: TrackLog, track: int, writer: MotionWriter, job: Job) -> None:
    """Extract mesh motion from the log: the landmarks are enough, no frame is read again."""
    cuts = set(log.cuts)
    with job.clock("motion"):
        for frames, faces in log.windows(track, WINDOW):
            writer.append(observe(frames, faces, [frame.index in cuts for frame in frames]))


def _summarise(motion: MotionFile, tracks: int) -> ObservedDriver:
    windows = (motion.window(i, i + WINDOW) for i in range(0, len(motion), WINDOW))
    return ObservedDriver(motion, tracks, sum(int((~window.valid).sum()) for window in windows))
