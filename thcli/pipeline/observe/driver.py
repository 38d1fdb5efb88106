"""Pass 1: from a driving video, picture, folder or motion file to one face's motion, in a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from thcli import __version__, media
from thcli.core.errors import NoFaceError, UsageError
from thcli.core.options import ReadOptions
from thcli.core.protocols import CropEngine, Engine
from thcli.core.types import Face, Frame
from thcli.faces.tracking.head_motion import Heads
from thcli.faces.tracking.select import TrackStatistics
from thcli.faces.tracking.track import Tracker
from thcli.media.info import MediaInfo
from thcli.motion.file import MotionFile, MotionWriter
from thcli.motion.observe import observe
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.sources.framing import observe_crops
from thcli.pipeline.sources.source_image import FaceFinder

WINDOW = 256  # frames of motion at a time


@dataclass(frozen=True, slots=True)
class Observed:
    """A driver's motion. faces: different faces seen.  unseen: frames without the chosen face."""

    motion: MotionFile
    faces: int
    unseen: int


def observe_driver(
    info: MediaInfo,
    path: Path,
    engine: Engine,
    select: str,
    read: ReadOptions,
    face_finder: FaceFinder,
    job: Job,
    overwrite: bool = False,
) -> Observed:
    """The motion of the chosen face of a driver as the engine reads it, written to `path` (a motion file is taken as it is).

    Raises NoFaceError when no frame shows a face that fits the choice, MediaError when the driver cannot be read.
    """
    if info.kind == "motion":
        return _counted(MotionFile(info.path), 1)
    with TrackLog() as log:
        statistics = look(info, log, read, face_finder, job, select)
        chosen = face_finder.choose(statistics, select, str(info.path), job)
        if select == "all" and len(chosen) > 1:
            raise UsageError(
                f"{info.path} shows {len(chosen)} faces, but one drives.",
                "Choose it with --face N.",
            )
        words = {"source": info.path.name, "made_by": f"thcli {__version__}"}
        with MotionWriter(path, words, overwrite=overwrite) as writer:
            if isinstance(engine, CropEngine):
                observe_crops(engine, info, log, chosen[0], read, writer, job)
            else:
                _observe_track(log, chosen[0], writer, job)
    return _counted(MotionFile(path), statistics.tracks)


def _observe_track(log: TrackLog, track: int, writer: MotionWriter, job: Job) -> None:
    """Of the mesh, pass 1 has seen all that its motion needs."""
    cuts = set(log.cuts)
    with job.clock("motion"):
        for frames, faces in log.windows(track, WINDOW):
            writer.append(observe(frames, faces, [frame.index in cuts for frame in frames]))


def look(
    info: MediaInfo,
    log: TrackLog,
    read: ReadOptions,
    face_finder: FaceFinder,
    job: Job,
    select: str = "largest",
    *,
    pixels: bool = False,
) -> TrackStatistics:
    """Tracks every face of a clip into `log`; returns who was seen, and how much of them. Raises NoFaceError when nobody was.

    select: the --face that will be chosen; with a reference picture it is also looked at who they are.  pixels: see `record`.
    """
    statistics = face_finder.statistics(select)
    record(follow(info, read, face_finder, job), log, statistics, pixels=pixels)
    return statistics


def record(
    followed: Iterable[tuple[Frame, list[Face], bool]],
    log: TrackLog,
    statistics: TrackStatistics,
    *,
    pixels: bool = False,
) -> None:
    """Puts what `follow` gives into a log and a census.

    pixels: whether it is also looked how each head moved from frame to frame, for crops that shall be calm.
    """
    heads = Heads()
    for frame, faces, cut in followed:
        steps = heads.steps(frame.pixels, faces, cut=cut) if pixels else []
        log.add(frame, faces, cut=cut, steps=steps)
        statistics.add(faces, frame.pixels)


def follow(
    info: MediaInfo, read: ReadOptions, face_finder: FaceFinder, job: Job
) -> Iterator[tuple[Frame, list[Face], bool]]:
    """Every frame of a clip, its faces with their track numbers, and whether it begins a new scene.

    Raises NoFaceError at the end when nobody was seen.
    """
    with media.read(info.path, read, on=job.on) as reader:
        yield from follow_frames(
            job.clock.over("decode", reader), info.frames, str(info.path), face_finder, job
        )


def follow_frames(
    frames: Iterable[Frame], total: int | None, where: str, face_finder: FaceFinder, job: Job
) -> Iterator[tuple[Frame, list[Face], bool]]:
    """`follow` for frames from anywhere. total: how many, if known.  where: their name, for messages."""
    tracker = Tracker(face_finder.detector, face_finder.landmarker, identity=face_finder.identity)
    count, seen = 0, False
    with job.stage("track", total) as step:
        for frame in frames:
            with job.clock("track", frames=1):
                faces = tracker.update(frame.pixels)
            count, seen = count + 1, seen or bool(faces)
            yield frame, faces, tracker.cut
            step()
    if not seen:
        raise NoFaceError(
            f"None of the {count} frames of {where} shows a face.", "Give a clip that shows one."
        )


def _counted(motion: MotionFile, faces: int) -> Observed:
    unseen = sum(
        int((~motion.window(i, i + WINDOW).valid).sum()) for i in range(0, len(motion), WINDOW)
    )
    return Observed(motion, faces, unseen)
