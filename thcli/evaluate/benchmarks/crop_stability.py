"""`thcli eval steady`: jitter of a still head's crop and lag of a moving one's, with known truth.

Each scene (see `moving_clips`) is rendered, given noise, encoded, and cropped as by `thcli crop`:
tracked, placed, smoothed. Errors are in pixels of the 512-pixel crop: distances of its corners and
middle to those of the true crop.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

from thcli import media
from thcli.core.errors import NoFaceError
from thcli.core.events import Listener, silent
from thcli.core.geometry import transform_points
from thcli.core.options import (
    FindOptions,
    OutputOptions,
    ReadOptions,
    RunOptions,
    StabilityEvaluateOptions,
    StabilizationOptions,
)
from thcli.core.temp_folders import temporary_folder
from thcli.core.types import Array, Array32, Crop, Face, Image
from thcli.evaluate.datasets.moving_clips import (
    RATE,
    SCENES,
    AnimatedHead,
    MotionScene,
    displacement,
    render_clip,
)
from thcli.evaluate.reports.report import format_value
from thcli.faces.crops.stabilize import crop_params
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_templates import crop_placement
from thcli.pipeline.observe.crop_track import CropTrack, write_crop_track
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.frame_measurer import FrameMeasurer
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import VideoSelection, track_faces

JITTER_BAR = 0.15  # limit for a head at rest, pixels RMS of a 512-pixel crop
LAG_BAR = 0.25  # limit for a moving head, frames late or early
_JITTER_WIDTH = 0.12  # seconds of the blur that separates jitter from motion
_RAW = StabilizationOptions(slow=1e-4, fast=1e-4, pixels=False)
EDGES = 16  # directions in which a mask's edge is measured
_FINE = 50  # resolution of a lag, parts of a frame


@dataclass(frozen=True, slots=True)
class CropStability:
    """Stability of one scene, in pixels of the 512-pixel crop.

    raw_jitter, jitter: RMS of fast errors of the tracked and of the smoothed crops; of everything
    but the mean where nothing moves.
    mask: RMS of fast errors of the outline with which crops are pasted.
    error: RMS of everything but the mean.
    lag: frames, positive late; None for a head at rest.
    unseen: frames without the face.
    """

    scene: MotionScene
    raw_jitter: float
    jitter: float
    mask: float
    error: float
    lag: float | None
    unseen: int

    @property
    def holds(self) -> bool:
        """Return True when jitter and lag are within the required limits."""
        in_time = self.lag is None or abs(self.lag) <= LAG_BAR
        return in_time and (not self.scene.rests or self.jitter <= JITTER_BAR)


def evaluate_steady(
    image: Image,
    name: str,
    find: FindOptions,
    options: StabilityEvaluateOptions,
    run: RunOptions,
    on: Listener = silent,
) -> list[CropStability]:
    """Measure every scene with the face of an image.

    Args:
        image: (H, W, 3) uint8.
        name: of the image, for messages.
        find, options, run: options.
        on: receives progress events.

    Raises:
        NoFaceError: when the image shows no face.
        WeightsError: for missing weights.
    """
    face_finder = FaceFinder.load(find.choosing(), run)
    found = face_finder.find(image)
    if not found:
        raise NoFaceError(f"{name} shows no face.", "Give an image that shows one.")
    face = face_finder.refine_landmarks(image, max(found, key=lambda f: f.area))
    head = AnimatedHead.of(image, face, options.side)
    with (
        temporary_folder() as folder,
        Job("eval steady", on) as job,
    ):
        return [
            _measure_scene(head, scene, folder, options, face_finder, run.seed, job)
            for scene in SCENES
        ]


def _measure_scene(
    head: AnimatedHead,
    scene: MotionScene,
    folder: Path,
    options: StabilityEvaluateOptions,
    face_finder: FaceFinder,
    seed: int,
    job: Job,
) -> CropStability:
    video = folder / f"{scene.name}.mp4"
    faces = _write_clip(head, scene, video, options, seed)
    true = [crop_placement(face, options.template) for face in faces]
    info = media.probe(video)
    with TrackLog() as log:
        census = track_faces(
            VideoSelection(info, ReadOptions()),
            log,
            face_finder,
            job,
            FrameMeasurer(options.stabilization.pixels),
        )
        track = face_finder.choose(census, "largest", scene.name, job)[0]
        paths = []
        for kind, stabilization in (("raw", _RAW), ("calm", options.stabilization)):
            file = folder / f"{scene.name}-{kind}.crops.safetensors"
            unseen = write_crop_track(file, log, track, options.template, stabilization, video.name)
            tracked_crops = list(CropTrack(file))
            paths.append([tracked_crop.placement for tracked_crop in tracked_crops])
    edges = [
        edge(tracked_crop.outline, face, where)
        for tracked_crop, face, where in zip(tracked_crops, faces, true, strict=True)
        if tracked_crop.outline is not None
    ]
    if scene.rests:
        true = [true[0]] * len(true)  # an opening mouth does not move the head
    raw, smooth = (
        np.stack([displacement(p.crop_from_frame, t) for p, t in zip(path, true, strict=True)])
        for path in paths
    )

    def jitter(errors: Array) -> float:
        slow = errors.mean(0) if scene.still else _blur(errors, _JITTER_WIDTH * RATE)
        return rms(errors - slow)

    error = rms(smooth - smooth.mean(0))
    lag = None if scene.rests else lag_of(paths[1], true)
    jitters = jitter(raw), jitter(smooth), jitter(np.stack(edges))
    return CropStability(scene, *jitters, error, lag, unseen)


def edge(outline: Array32, face: Face, where: Crop) -> Array:
    """Return the distance of a mask's edge to the true face's, (EDGES, 1) pixels of the crop."""
    assert face.mesh is not None
    angle = np.arange(EDGES) * (2 * np.pi / EDGES)
    sides = np.stack([np.cos(angle), np.sin(angle)])
    measured, true = (
        (transform_points(where.crop_from_frame, points[:, :2]) @ sides).max(0)
        for points in (outline, face.mesh)
    )
    return np.asarray((measured - true)[:, None])


def _write_clip(
    head: AnimatedHead,
    scene: MotionScene,
    video: Path,
    options: StabilityEvaluateOptions,
    seed: int,
) -> list[Face]:
    """Write the scene as a lossy video; return the true faces."""
    size, rate = head.where.size, Fraction(RATE)
    # One thread: with several, x264 is not deterministic.
    output = OutputOptions(codec="h264", crf=options.crf, audio="none", threads=1)
    true = []
    with media.write(
        video,
        size,
        None,
        output,
        media.WritePlan(time_base=1 / rate, rate=rate, frames=options.frames),
    ) as out:
        for i, (pixels, face) in enumerate(
            render_clip(head, scene, options.frames, options.noise, seed)
        ):
            out.write(pixels, i, 1)
            true.append(face)
    return true


def rms(vectors: Array) -> float:
    """Return the root mean square length of vectors (..., dims)."""
    return float(np.sqrt((vectors**2).sum(-1).mean()))


def lag_of(path: list[Crop], truth: list[Crop]) -> float:
    """Return the lag of a path of crops in frames: the shift at which the speeds agree best.

    Speeds combine position, size and angle, each in pixels by which it moves the crop's content.
    """
    own, true = crop_params(path), crop_params(truth)
    scale = truth[0].size[0] * np.array([np.exp(-true[0, 2]), np.exp(-true[0, 2]), 0.5, 0.5])
    at, frames = np.arange(0, len(true) - 1, 1 / _FINE), np.arange(len(true))
    speeds = [np.asarray(CubicSpline(frames, _blur(p, 1.0) * scale)(at, 1)) for p in (own, true)]
    shifts = np.arange(-3 * _FINE, 3 * _FINE + 1)
    core = slice(3 * _FINE, -3 * _FINE)
    fits = [_agreement(np.roll(speeds[0], -shift, 0)[core], speeds[1][core]) for shift in shifts]
    return float(shifts[int(np.argmax(fits))] / _FINE)


def _agreement(a: Array, b: Array) -> float:
    return float((a * b).sum() / max(float(np.sqrt((a**2).sum() * (b**2).sum())), 1e-12))


def _blur(path: Array, width: float) -> Array:
    """Blur a path along its first axis by a Gaussian of `width` frames."""
    flat = path.reshape(len(path), -1)
    soft = cv2.GaussianBlur(flat, (1, 0), 0.01, sigmaY=width, borderType=cv2.BORDER_REFLECT)
    return np.asarray(soft, np.float64).reshape(path.shape)


def table(rows: list[CropStability]) -> tuple[list[str], list[list[str]]]:
    """Return heading and lines for people."""
    head = [
        "scene",
        "what",
        "jitter as tracked",
        "jitter",
        "mask jitter",
        "error",
        "lag",
        "unseen",
        "holds",
    ]
    lines = [
        [
            r.scene.name,
            r.scene.about,
            format_value(r.raw_jitter),
            format_value(r.jitter),
            format_value(r.mask),
            format_value(r.error),
            format_value(r.lag),
            str(r.unseen),
            "yes" if r.holds else "no",
        ]
        for r in rows
    ]
    return head, lines


def as_json(
    rows: list[CropStability], image: str, options: StabilityEvaluateOptions, command: str
) -> dict[str, Any]:
    """Return all values for JSON."""
    return {
        "command": "eval steady",
        "run": command,
        "protocol": {
            "picture": image,
            **asdict(options),
            "unit": "pixels of a 512 crop, RMS; lag in frames",
            "jitter_bar": JITTER_BAR,
            "lag_bar": LAG_BAR,
        },
        "rows": {
            r.scene.name: {
                "about": r.scene.about,
                "raw_jitter": r.raw_jitter,
                "jitter": r.jitter,
                "mask": r.mask,
                "error": r.error,
                "lag": r.lag,
                "unseen": r.unseen,
                "holds": r.holds,
            }
            for r in rows
        },
    }
