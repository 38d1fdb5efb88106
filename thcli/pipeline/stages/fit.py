"""`thcli fit`: one face of a clip in the numbers of a 3-D model, frame by frame."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.events import Listener, silent
from thcli.core.geometry import angles_from_matrix, matrix_from_rotvec
from thcli.core.imaging import to_uint8
from thcli.core.options import FitOptions
from thcli.core.protocols import FaceModel
from thcli.core.types import Array, Array32, Coefficients, Face, Frame, Motion
from thcli.media.info import MediaInfo
from thcli.motion.backends import FACE_MODELS
from thcli.pipeline.dry_run import planned
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.observe.driver import WINDOW, look
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.sources.source_image import FaceFinder
from thcli.pipeline.stages.fit_file import ANGLES, KIND, OWN, sink

FIT = FitOptions()


def fit(
    source: str | Path,
    output: str | Path | None = None,
    options: FitOptions = FIT,
    on: Listener = silent,
) -> Report:
    """Pose, identity and expression of the chosen face in every frame of a picture, video or folder.

    output: NAME.csv, NAME.jsonl or NAME.safetensors (`fitfile` says what each holds), '-' for JSON Lines on standard output, or None
    for nothing.  Report.passed_through: frames without the face.  details: model3d, and mean and range of pitch, yaw and roll in degrees.
    Raises MediaError, NoFaceError, WeightsError, OutputError, UsageError.
    """
    with Job("fit", on) as job:
        name = FACE_MODELS.resolve(options.model3d, options.run)
        row = FACE_MODELS.backend(name)
        info = media.probe(job.enter(media.local(source)))
        if info.kind == "motion":
            raise UsageError(f"{source} is a motion file.", "Give the video that it was made of.")
        face_finder = FaceFinder.load(options.faces, options.run)
        model: FaceModel = row.load(options.run)
        place = sink(
            output,
            options.overwrite,
            {"source": info.path.name, "model": name},
            model.expression_names,
        )
        if options.dry_run:
            return planned(job, output, info, options.read)
        with place as out, TrackLog() as log:
            statistics = look(info, log, options.read, face_finder, job, options.faces.select)
            tracks = face_finder.choose(statistics, options.faces.select, str(source), job)
            if len(tracks) > 1:
                raise UsageError(
                    f"{source} shows {len(tracks)} faces, and one is fitted at a time.",
                    "Choose it with --face N.",
                )
            counter, turns = FrameCounter(), _Turns()
            widths = _widths(model, log, tracks[0])
            with job.stage("fit", log.frames) as step:
                for frames, faces in _seen(info, log, tracks[0], model.uses_pictures, options, job):
                    with job.clock("fit", frames=len(frames)):
                        motion = numbers(model, frames, faces, widths)
                    out.append(motion)
                    turns.add(np.asarray(motion.arrays["angles"], np.float64)[motion.valid])
                    for frame in frames:
                        counter.add(frame.pts, frame.duration, frame.time_base)
                        step()
        details = {"model3d": name, "pose": turns.summary()}
        return job.report(
            output,
            counter,
            faces=statistics.tracks,
            passed_through=counter.frames - turns.count,
            details=details,
        )


def numbers(
    model: FaceModel,
    frames: list[Frame],
    faces: list[Face | None],
    widths: Mapping[str, tuple[int, ...]],
) -> Motion:
    """A window's rows. Arrays (T, …) float32: angles (pitch, yaw, roll in degrees), rotation, scale, translation, identity, expression, and
    own_NAME for each of the model's own; zero where the face was not seen. widths: their shapes, but for T."""
    there = [(frame, face) for frame, face in zip(frames, faces, strict=True) if face is not None]
    valid = np.array([face is not None for face in faces])
    arrays = {key: np.zeros((len(frames), *shape), np.float32) for key, shape in widths.items()}
    if there:
        found = model.fit(
            [to_uint8(frame.pixels) for frame, _ in there], [face for _, face in there]
        )
        for key, values in _columns(found).items():
            arrays[key][valid] = values
    pts = np.array([frame.pts for frame in frames], np.int64)
    return Motion(KIND, pts, frames[0].time_base, valid, arrays)


def _columns(found: Coefficients) -> dict[str, Array | Array32]:
    angles = angles_from_matrix(matrix_from_rotvec(found.rotation))
    own = {f"{OWN}{key}": values for key, values in found.own.items()}
    return {
        "angles": angles,
        "rotation": found.rotation,
        "scale": found.scale,
        "translation": found.translation,
        "identity": found.identity,
        "expression": found.expression,
        **own,
    }


def _widths(model: FaceModel, log: TrackLog, track: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a row's arrays, from the track's first face in an empty picture: files want them before the first frame."""
    pairs = itertools.chain.from_iterable(
        zip(*window, strict=True) for window in log.windows(track, WINDOW)
    )
    frame, face = next((frame, face) for frame, face in pairs if face is not None)
    return {
        key: values.shape[1:]
        for key, values in _columns(model.fit([to_uint8(frame.pixels)], [face])).items()
    }


def _seen(
    info: MediaInfo, log: TrackLog, track: int, pictures: bool, options: FitOptions, job: Job
) -> Iterator[tuple[list[Frame], list[Face | None]]]:
    """The clip's frames and the face in each, window by window; with pixels only where they are wanted."""
    if not pictures:
        yield from log.windows(track, WINDOW)
        return
    reader = job.clock.over(
        "decode again", job.enter(media.read(info.path, options.read, on=job.on))
    )
    for frames, faces in log.windows(track, options.run.batch_size):
        yield list(itertools.islice(reader, len(frames))), faces


class _Turns:
    """Mean and range of the head's angles, without keeping them."""

    def __init__(self) -> None:
        self.count = 0
        self._sum, self._low, self._high = np.zeros(3), np.full(3, np.inf), np.full(3, -np.inf)

    def add(self, angles: Array) -> None:
        """(N, 3) degrees."""
        self.count += len(angles)
        self._sum += angles.sum(0)
        self._low = np.minimum(self._low, angles.min(0, initial=np.inf))
        self._high = np.maximum(self._high, angles.max(0, initial=-np.inf))

    def summary(self) -> dict[str, dict[str, float]]:
        """Of each angle its mean, least and most, in degrees; empty without a face."""
        if not self.count:
            return {}
        rows = zip(ANGLES, self._sum / self.count, self._low, self._high, strict=True)
        return {
            name: {
                "mean": round(float(mean), 2),
                "min": round(float(low), 2),
                "max": round(float(high), 2),
            }
            for name, mean, low, high in rows
        }
