"""Motion of a tracked face as a crop engine extracts it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, repeat

import numpy as np

from thcli.core.errors import NoFaceError
from thcli.core.imaging import to_uint8
from thcli.core.options import TemplateOptions
from thcli.core.protocols import CropEngine
from thcli.core.types import Array, Crop, Face, Frame, Motion
from thcli.faces.crops.crop import crop, transform_face
from thcli.faces.crops.stabilize import crop_from_params, crop_params
from thcli.motion.file.writer import MotionWriter
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_templates import crop_placement
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import VideoSelection

WINDOW = 32  # crops per call of the engine


def observe_fixed_crop(
    engine: CropEngine,
    video: VideoSelection,
    log: TrackLog,
    track: int,
    writer: MotionWriter,
    job: Job,
) -> None:
    """Extract the motion of a tracked face in a crop that does not move, as the head moves in it.

    Raises:
        NoFaceError: the track has no frame.
        MediaError: the video cannot be read again.
    """
    placements = repeat(mean_placement(engine, log, track))
    observe_placements(engine, video, log, track, placements, writer, job)


def observe_placements(
    engine: CropEngine,
    video: VideoSelection,
    log: TrackLog,
    track: int,
    placements: Iterator[Crop],
    writer: MotionWriter,
    job: Job,
) -> None:
    """Extract the motion of a tracked face, window by window.

    Args:
        engine: observes the crops.
        video: read a second time.
        log: faces of the video.
        track: number of the face.
        placements: of the crop in every frame.
        writer: receives the motion.
        job: reports progress.
    """
    with (
        job.frames(video.info.path, video.read) as decoded,
        job.stage("observe", log.frames) as step,
    ):
        for stamps, faces in log.windows(track, WINDOW):
            window = list(islice(placements, len(stamps)))
            crops = [
                replace(stamp, pixels=crop(to_uint8(next(decoded).pixels), placement))
                for stamp, placement in zip(stamps, window, strict=True)
            ]
            crop_faces = [
                None if face is None else transform_face(face, placement.crop_from_frame)
                for face, placement in zip(faces, window, strict=True)
            ]
            with job.clock("observe", frames=len(crops)):
                observe = partial(_observe_part, engine, crops, crop_faces)
                for motion in job.batches("observe").run(len(crops), observe):
                    writer.append(without_failed_rows(motion))
            for _ in stamps:
                step()


def _observe_part(
    engine: CropEngine, crops: Sequence[Frame], faces: Sequence[Face | None], part: slice
) -> Motion:
    return engine.observe(crops[part], faces[part])


def without_failed_rows(motion: Motion) -> Motion:
    """Return the motion with the rows that are NaN or infinite zero and not valid."""
    finite = np.ones(len(motion), np.bool_)
    for rows in motion.arrays.values():
        finite &= np.isfinite(rows).reshape(len(motion), -1).all(1)
    if finite.all():
        return motion
    arrays = {name: np.array(rows) for name, rows in motion.arrays.items()}
    for rows in arrays.values():
        rows[~finite] = 0
    return replace(motion, valid=motion.valid & finite, arrays=arrays)


def mean_placement(engine: CropEngine, log: TrackLog, track: int) -> Crop:
    """Return one upright crop for the whole clip: the mean of the template's crops.

    Raises NoFaceError when the track has no frame.
    """
    size = engine.crop_size
    total, count = np.zeros(4), 0
    for params in _crop_params(engine, log, track):
        total, count = total + params, count + 1
    if not count:
        raise NoFaceError("The chosen face is in no frame of the clip.")
    x, y, log_side, _ = total / count
    return crop_from_params([x, y, log_side, 0.0], (size, size))


def _crop_params(engine: CropEngine, log: TrackLog, track: int) -> Iterator[Array]:
    options = TemplateOptions(template=engine.template, size=engine.crop_size)
    for face in log.faces(track, WINDOW):
        if face is not None:
            yield crop_params([crop_placement(face, options)])[0]
