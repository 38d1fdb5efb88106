"""Source video of a reenactment: the motion of the animated face, and its crops."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.options import OutputOptions, ReadOptions, StabilizationOptions, TemplateOptions
from thcli.core.protocols import CropEngine, VideoSourceEngine
from thcli.core.types import Frame
from thcli.media.info import MediaInfo
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.span import LAST_DURATION
from thcli.motion.file.writer import MotionWriter
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_motion import observe_placements
from thcli.pipeline.observe.crop_track import SUFFIX, CropTrack, write_crop_track
from thcli.pipeline.observe.driver import observe_mesh
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.frame_measurer import FrameMeasurer
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import VideoSelection, track_faces
from thcli.pipeline.sources.pixel_shape import PixelShape

WINDOW = 64  # frames of a track in memory


def is_video(source: str | Path, read: ReadOptions) -> bool:
    """Return True for a source video, False for an image, an animation or standard input."""
    return str(source) != "-" and media.probe(source, read).kind == "video"


def swap_audio_roles(output: OutputOptions, driver: MediaInfo) -> OutputOptions:
    """Return --audio in the terms of `media.write`, whose driver is the file of the frames.

    A driver without audio leaves the audio of the source.
    """
    roles = {"source": "drive", "drive": "source" if driver.audio else "drive"}
    return replace(output, audio=roles.get(output.audio, output.audio))


@dataclass(frozen=True, slots=True)
class SourceVideo:
    """Motion and crops of a source video, as its frames are shown.

    pixels: sizes of its frames.
    motion: of the chosen face.
    crop_track: its smoothed crops; None for an engine of whole frames.
    encoded: what the engine encodes once.
    tracks: number of different faces in the video.
    unseen: frames in which the chosen face was not detected.
    """

    pixels: PixelShape
    motion: MotionFile
    crop_track: CropTrack | None
    encoded: Any
    tracks: int
    unseen: int


def observe_source_video(
    video: VideoSelection, engine: VideoSourceEngine, face_finder: FaceFinder, job: Job
) -> SourceVideo:
    """Track a face through a source video, extract its motion and encode what its frames share.

    Anamorphic frames are taken as they are shown.

    Raises:
        NoFaceError: no frame shows the chosen face.
        MediaError: the video cannot be read.
        UsageError: several faces are chosen.
    """
    stored, read = video.info.size, replace(video.read, square_pixels=True)
    video = replace(video, info=media.probe(video.info.path, read), read=read)
    temp_dir, name = job.temp_dir(), video.info.path.name
    motion_path = temp_dir / "source.motion.safetensors"
    crop_track = None
    with TrackLog() as log:
        measurer = FrameMeasurer(head_motion=isinstance(engine, CropEngine))
        statistics = track_faces(video, log, face_finder, job, measurer)
        chosen = face_finder.choose(statistics, video.select, str(video.info.path), job)
        if len(chosen) > 1:
            raise UsageError(
                f"{video.info.path} shows {len(chosen)} faces, but only one can be reenacted.",
                "Choose it with --source-face N.",
            )
        track = chosen[0]
        unseen = sum(face is None for face in log.faces(track, WINDOW))
        if isinstance(engine, CropEngine):
            template = TemplateOptions(engine.template, engine.crop_size)
            crops_path = temp_dir / f"source{SUFFIX}"
            with job.clock("calm"):
                write_crop_track(crops_path, log, track, template, StabilizationOptions(), name)
            crop_track = CropTrack(crops_path)
        metadata = {"source": name}
        if log.last_duration:
            metadata[LAST_DURATION] = str(log.last_duration)
        with MotionWriter(motion_path, metadata) as writer:
            if isinstance(engine, CropEngine) and crop_track is not None:
                placements = (tracked_crop.placement for tracked_crop in crop_track)
                observe_placements(engine, video, log, track, placements, writer, job)
            else:
                observe_mesh(log, track, writer, job)
    motion = MotionFile(motion_path)
    with closing(_frames(video, job)) as frames:
        encoded = engine.encode_video(motion, frames)
    pixels = PixelShape(stored, video.info.size)
    return SourceVideo(pixels, motion, crop_track, encoded, statistics.tracks, unseen)


def _frames(video: VideoSelection, job: Job) -> Generator[Frame]:
    """Yield the frames of a video; it is opened when the first one is read."""
    with job.frames(video.info.path, video.read) as frames:
        yield from job.clock.time_each("decode again", frames)
