"""Detection and tracking of the faces of a clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from thcli.core.errors import NoFaceError
from thcli.core.options import ReadOptions
from thcli.core.stream import ordered_map
from thcli.core.types import Face, Frame
from thcli.faces.landmarks.mouth_inside import CLOSED, shown_inside
from thcli.faces.tracking.camera_motion import CameraMotionEstimator
from thcli.faces.tracking.head_motion import HeadMotionEstimator
from thcli.faces.tracking.select import SPEAKING, TrackStatistics
from thcli.faces.tracking.track import Tracker
from thcli.media.info import MediaInfo
from thcli.motion.skin.follower import SkinFollower
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.active_speaker import score_speech
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.track_log import FrameReadings, TrackLog

TrackedFrame = tuple[Frame, list[Face], bool]
"""A frame, its faces with track numbers, and True when it begins a new scene."""
_AHEAD = 3  # frames that wait for their motion to be measured


@dataclass(frozen=True, slots=True)
class VideoSelection:
    """A video, the range of it that is read, and the face that is used.

    info: the probed file.
    read: range.
    select: value of --face: largest, first, all, speaking, a number or a reference image.
    """

    info: MediaInfo
    read: ReadOptions
    select: str = "largest"


def track_faces(
    video: VideoSelection,
    log: TrackLog,
    face_finder: FaceFinder,
    job: Job,
    *,
    head_motion: bool = False,
    camera: CameraMotionEstimator | None = None,
    skin: SkinFollower | None = None,
) -> TrackStatistics:
    """Track every face of a video into a log.

    Args:
        video: identity embeddings are computed when its `select` is a reference image, scores of
            speech when it is the face that speaks; `require_sound` was called for it.
        log: receives all faces.
        face_finder: detector and landmarker.
        job: reports progress.
        head_motion, camera, skin: see `record_faces`.

    Returns:
        Statistics of all tracks, from which the face is chosen.

    Raises:
        NoFaceError: no frame shows a face, or nobody speaks.
        MediaError: the video cannot be read.
    """
    statistics = face_finder.statistics(video.select)
    frames = track_video(video.info, video.read, face_finder, job)
    record_faces(frames, log, statistics, head_motion=head_motion, camera=camera, skin=skin)
    compare_with_sound(statistics, log, video, face_finder, job)
    return statistics


def compare_with_sound(
    statistics: TrackStatistics,
    log: TrackLog,
    video: VideoSelection,
    face_finder: FaceFinder,
    job: Job,
) -> None:
    """Set the scores of speech in statistics when the face that speaks is wanted.

    Args:
        statistics: of all tracks.
        log: their faces.
        video: its sound, and the face that is wanted.
        face_finder: device of the network.
        job: measures the time, which does not grow with the frames that are made.

    Raises:
        NoFaceError: nobody speaks.
    """
    if video.select == SPEAKING:
        with job.clock("speakers"):
            statistics.speech = score_speech(statistics.summaries, log, video.info, face_finder.run)


def record_faces(
    frames: Iterable[TrackedFrame],
    log: TrackLog,
    statistics: TrackStatistics,
    *,
    head_motion: bool = False,
    camera: CameraMotionEstimator | None = None,
    skin: SkinFollower | None = None,
) -> None:
    """Add tracked frames to a log and to statistics.

    Args:
        frames: in order.
        log: receives all faces.
        statistics: of the tracks.
        head_motion: also measure the motion of each head on its pixels, to stabilise crops.
        camera: also measures the motion of camera and torso, and what open mouths show.
        skin: corrects the landmarks that the log receives.
    """
    estimator = HeadMotionEstimator()

    def measure(tracked: TrackedFrame) -> tuple[TrackedFrame, list[Face], FrameReadings]:
        frame, faces, cut = tracked
        motions = estimator.estimate(frame.pixels, faces, cut=cut) if head_motion else []
        placed = faces if skin is None else skin.correct(frame.pixels, faces, cut=cut)
        measured = FrameReadings(motions, tracked=() if skin is None else faces)
        if camera is None:
            return tracked, placed, measured
        seen = camera.estimate(frame.pixels, faces, cut=cut)
        insides = [_inside(frame, face) for face in faces]
        torso = None
        if camera.torso is not None and camera.torso_track is not None:
            torso = camera.torso, camera.torso_track
        return tracked, placed, replace(measured, insides=insides, camera=seen, torso=torso)

    # one thread beside the tracker's: it measures frame after frame
    for (frame, faces, cut), placed, measured in ordered_map(measure, frames, 1, _AHEAD):
        log.add(frame, placed, cut=cut, measured=measured)
        statistics.add(faces, frame.pixels)


def _inside(frame: Frame, face: Face) -> float:
    return CLOSED if face.mesh is None else shown_inside(frame.pixels, face.mesh)


def track_video(
    info: MediaInfo, read: ReadOptions, face_finder: FaceFinder, job: Job
) -> Iterator[TrackedFrame]:
    """Detect and track the faces of a video.

    Raises NoFaceError at the end when no frame shows a face.
    """
    with job.frames(info.path, read) as reader:
        frames = job.clock.time_each("decode", reader)
        yield from track_frames(frames, info.frames, str(info.path), face_finder, job)


def track_frames(
    frames: Iterable[Frame], total: int | None, name: str, face_finder: FaceFinder, job: Job
) -> Iterator[TrackedFrame]:
    """Detect and track the faces of frames from any source.

    Args:
        frames: in order.
        total: number of frames, None when unknown.
        name: of the source, for messages.
        face_finder: detector and landmarker.
        job: reports progress.

    Raises:
        NoFaceError: at the end, when no frame shows a face.
    """
    tracker = Tracker(face_finder.detector, face_finder.landmarker, identity=face_finder.identity)
    count, found = 0, False
    with job.stage("track", total) as step:
        for frame in frames:
            with job.clock("track", frames=1):
                faces = tracker.update(frame.pixels)
            count, found = count + 1, found or bool(faces)
            yield frame, faces, tracker.cut
            step()
    if not found:
        raise NoFaceError(
            f"None of the {count} frames of {name} shows a face.", "Give a clip that shows one."
        )
