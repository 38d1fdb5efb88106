"""Detection and tracking of the faces of a clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from thcli.core.errors import NoFaceError
from thcli.core.options import ReadOptions
from thcli.core.stream import ordered_map
from thcli.core.types import Face, Frame
from thcli.faces.tracking.select import SPEAKING, TrackStatistics
from thcli.faces.tracking.track import Tracker
from thcli.media.info import MediaInfo
from thcli.pipeline.job.helper import Helper, HelperError
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.active_speaker import score_speech
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.frame_measurer import FrameMeasurer
from thcli.pipeline.observe.track_log import FrameReadings, TrackLog

TrackedFrame = tuple[Frame, list[Face], bool]
"""A frame, its faces with track numbers, and True when it begins a new scene."""
_AHEAD = 3  # frames that wait for their motion to be measured
MOST_HANDED = 1280 * 720  # of a frame: giving a larger one to another process takes what it saves


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
    measurer: FrameMeasurer | None = None,
) -> TrackStatistics:
    """Track every face of a video into a log.

    Args:
        video: identity embeddings are computed when its `select` is a reference image, scores of
            speech when it is the face that speaks; `require_sound` was called for it.
        log: receives all faces.
        face_finder: detector and landmarker.
        job: reports progress; the first of its helpers measures, if it has any.
        measurer: what else the log receives, a new one; None for landmarks alone.

    Returns:
        Statistics of all tracks, from which the face is chosen.

    Raises:
        NoFaceError: no frame shows a face, or nobody speaks.
        MediaError: the video cannot be read.
    """
    measurer = measurer or FrameMeasurer()
    width, height = video.info.size
    suits = measurer.reads_pixels and width * height <= MOST_HANDED
    helper = next(iter(job.helpers), None) if suits else None

    def track(helper: Helper | None) -> TrackStatistics:
        statistics = face_finder.statistics(video.select)
        frames = track_video(video.info, video.read, face_finder, job)
        record_faces(frames, log, statistics, measurer, helper)
        return statistics

    try:
        statistics = track(helper)
    except HelperError:  # what it has measured is lost with it
        log.clear()
        statistics = track(None)
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
    measurer: FrameMeasurer,
    helper: Helper | None = None,
) -> None:
    """Add tracked frames to a log and to statistics.

    Args:
        frames: in order.
        log: receives all faces.
        statistics: of the tracks.
        measurer: what else the log receives.
        helper: measures in its process; None for a thread of this one.

    Raises:
        HelperError: the helper has ended or failed, and the log is not complete.
    """
    measured = _measure(frames, measurer) if helper is None else _hand(frames, measurer, helper)
    for (frame, faces, cut), readings in measured:
        log.add(frame, faces, cut=cut, measured=readings)
        statistics.add(faces, frame.pixels)


def _measure(
    frames: Iterable[TrackedFrame], measurer: FrameMeasurer
) -> Iterator[tuple[TrackedFrame, FrameReadings]]:
    """Measure in one thread beside the tracker's, frame after frame."""

    def measure(tracked: TrackedFrame) -> tuple[TrackedFrame, FrameReadings]:
        frame, faces, cut = tracked
        return tracked, measurer.measure(frame.pixels, faces, cut)

    return ordered_map(measure, frames, 1, _AHEAD)


def _hand(
    frames: Iterable[TrackedFrame], measurer: FrameMeasurer, helper: Helper
) -> Iterator[tuple[TrackedFrame, FrameReadings]]:
    """Let a helper measure: one thread hands it frames, another one takes what it has measured."""

    def ask(tracked: TrackedFrame) -> TrackedFrame:
        frame, faces, cut = tracked
        helper.ask(measurer, "measure", frame.pixels, faces, cut)
        return tracked

    def take(tracked: TrackedFrame) -> tuple[TrackedFrame, FrameReadings]:
        return tracked, helper.take_answer()

    return ordered_map(take, ordered_map(ask, frames, 1, _AHEAD), 1, _AHEAD)


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
