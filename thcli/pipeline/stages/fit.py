"""`thcli fit`: parameters of a 3-D face model for one face of a clip, frame by frame."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from thcli import media
from thcli.core.batches import require_finite
from thcli.core.errors import UsageError
from thcli.core.events import Listener, silent
from thcli.core.geometry import angles_from_matrix, matrix_from_rotvec
from thcli.core.imaging import to_uint8
from thcli.core.options import FitOptions
from thcli.core.protocols import FaceModel
from thcli.core.types import Array, Array32, Coefficients, Face, Frame, Motion
from thcli.motion.backends import FACE_MODELS
from thcli.motion.file.windows import WINDOW
from thcli.pipeline.check_options import check_run
from thcli.pipeline.dry_run import plan
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.inputs import require_sound
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import VideoSelection, track_faces
from thcli.pipeline.stages.fit_file import ANGLES, KIND, NATIVE, open_fit_file

FIT = FitOptions()


def fit(
    source: str | Path,
    output: str | Path | None = None,
    options: FitOptions = FIT,
    on: Listener = silent,
) -> Report:
    """Fit pose, identity and expression of the chosen face in every frame.

    Report.passed_through counts the frames without the face. details: model3d; mean and range of
    pitch, yaw and roll in degrees.

    Args:
        source: image, video, folder of images, or '-' for standard input.
        output: NAME.csv, NAME.jsonl or NAME.safetensors (see `fit_file`), '-' for JSON Lines on
            standard output, None for no file.
        options: 3-D model, range, choice of face.
        on: listener for progress and warnings.

    Raises:
        MediaError: the input cannot be read.
        NoFaceError: no frame shows the chosen face.
        WeightsError: weights are not installed.
        OutputError: the output exists or cannot be written.
        UsageError: several faces are chosen, or a motion file is given.
    """
    check_run(options)
    options = replace(options, read=replace(options.read, square_pixels=True))
    with Job("fit", on, options, [source]) as job:
        name = FACE_MODELS.resolve(options.model3d, options.run)
        backend = FACE_MODELS.backend(name)
        info = media.probe(job.seekable(source), options.read)
        if info.kind == "motion":
            raise UsageError(f"{source} is a motion file.", "Give the video it was made from.")
        require_sound(info, options.faces.select)
        face_finder = FaceFinder.load(options.faces, options.run, options.read)
        model: FaceModel = backend.load(options.run)
        metadata = {"source": info.path.name, "model": name}
        fit_file = open_fit_file(output, options.overwrite, metadata, model.expression_names)
        if options.dry_run:
            return plan(job, output, info, options.read)
        with fit_file as out, TrackLog() as log:
            video = VideoSelection(info, options.read, options.faces.select)
            statistics = track_faces(video, log, face_finder, job)
            tracks = face_finder.choose(statistics, video.select, str(source), job)
            if len(tracks) > 1:
                raise UsageError(
                    f"{source} shows {len(tracks)} faces, but only one can be fitted at a time.",
                    "Choose it with --face N.",
                )
            counter, angles = FrameCounter(), _AngleStatistics()
            shapes = _parameter_shapes(model, log, tracks[0])
            windows = _windows(video, log, tracks[0], model, options, job)
            with job.stage("fit", log.frames) as step:
                for frames, faces in windows:
                    fitted = fit_frames(model, frames, faces, shapes, job)
                    for frame, motion in zip(frames, fitted, strict=True):
                        out.append(motion)
                        angles.add(np.asarray(motion.arrays["angles"], np.float64)[motion.valid])
                        failed = frame.index in job.failed_frames
                        counter.add(
                            frame.pts, frame.duration, frame.time_base, succeeded=not failed
                        )
                        step()
        return job.report(
            output,
            counter,
            faces=statistics.tracks,
            passed_through=counter.frames - angles.count - counter.failed,
            details={"model3d": name, "pose": angles.summary()},
        )


def fit_frames(
    model: FaceModel,
    frames: list[Frame],
    faces: list[Face | None],
    shapes: Mapping[str, tuple[int, ...]],
    job: Job,
) -> list[Motion]:
    """Fit the model to a window of T frames; return one row per frame, see `fit_window`.

    A frame that fails is like one without a face, and one of job.failed_frames.
    """

    def compute(part: slice) -> list[Motion]:
        motion = fit_window(model, frames[part], faces[part], shapes)
        require_finite(*motion.arrays.values())
        return [motion[i : i + 1] for i in range(len(motion))]

    with job.clock("fit", frames=len(frames)):
        rows = job.batches("fit").run_each(len(frames), compute)
    failed = [frame for frame, row in zip(frames, rows, strict=True) if row is None]
    job.failed_frames.update(frame.index for frame in failed)
    return [
        fit_window(model, [frame], [None], shapes) if row is None else row
        for frame, row in zip(frames, rows, strict=True)
    ]


def fit_window(
    model: FaceModel,
    frames: list[Frame],
    faces: list[Face | None],
    shapes: Mapping[str, tuple[int, ...]],
) -> Motion:
    """Fit the model to a window of T frames.

    Args:
        model: 3-D face model.
        frames: T frames.
        faces: T faces, None where not detected.
        shapes: name -> shape of a row, of every array.

    Returns:
        Arrays (T, …) float32, zero without a face: angles (pitch, yaw, roll in degrees), rotation,
        scale, translation, identity, expression, and own_NAME for each native parameter.
    """
    seen = [(frame, face) for frame, face in zip(frames, faces, strict=True) if face is not None]
    valid = np.array([face is not None for face in faces])
    arrays = {key: np.zeros((len(frames), *shape), np.float32) for key, shape in shapes.items()}
    if seen:
        images = [to_uint8(frame.pixels) for frame, _ in seen]
        coefficients = model.fit(images, [face for _, face in seen])
        for key, values in _arrays(coefficients).items():
            arrays[key][valid] = values
    pts = np.array([frame.pts for frame in frames], np.int64)
    return Motion(KIND, pts, frames[0].time_base, valid, arrays)


def _arrays(coefficients: Coefficients) -> dict[str, Array | Array32]:
    native = {f"{NATIVE}{key}": values for key, values in coefficients.native.items()}
    return {
        "angles": angles_from_matrix(matrix_from_rotvec(coefficients.rotation)),
        "rotation": coefficients.rotation,
        "scale": coefficients.scale,
        "translation": coefficients.translation,
        "identity": coefficients.identity,
        "expression": coefficients.expression,
        **native,
    }


def _parameter_shapes(model: FaceModel, log: TrackLog, track: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of a row of each array, which a file needs before the first frame.

    They are those of the track's first face, fitted on a black image.
    """
    pairs = itertools.chain.from_iterable(
        zip(*window, strict=True) for window in log.windows(track, WINDOW)
    )
    frame, face = next((frame, face) for frame, face in pairs if face is not None)
    coefficients = model.fit([to_uint8(frame.pixels)], [face])
    return {key: values.shape[1:] for key, values in _arrays(coefficients).items()}


def _windows(
    video: VideoSelection,
    log: TrackLog,
    track: int,
    model: FaceModel,
    options: FitOptions,
    job: Job,
) -> Iterator[tuple[list[Frame], list[Face | None]]]:
    """Yield frames and faces in windows; frames have pixels only when the model uses them."""
    if not model.uses_images:
        yield from log.windows(track, WINDOW)
        return
    reader = job.enter(job.frames(video.info.path, video.read))
    decoded = job.clock.time_each("decode again", reader)
    for frames, faces in log.windows(track, options.run.batch_size):
        yield list(itertools.islice(decoded, len(frames))), faces


class _AngleStatistics:
    """Running mean and range of the head's angles.

    count: number of rows added.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum, self._low, self._high = np.zeros(3), np.full(3, np.inf), np.full(3, -np.inf)

    def add(self, angles: Array) -> None:
        """Add rows (N, 3) in degrees."""
        self.count += len(angles)
        self._sum += angles.sum(0)
        self._low = np.minimum(self._low, angles.min(0, initial=np.inf))
        self._high = np.maximum(self._high, angles.max(0, initial=-np.inf))

    def summary(self) -> dict[str, dict[str, float]]:
        """Return mean, min and max of each angle in degrees; empty without rows."""
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
