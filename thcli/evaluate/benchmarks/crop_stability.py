"""`thcli eval steady`: how still a still head's crop stands, and whether a moving head's comes in time, on clips whose truth is known.

Each scene (see `moves`) is made, given noise, encoded, and cut as `thcli crop` does it: tracked, its crops placed and calmed. What is
measured are pixels of the 512 crop: how far its corners and middle lie from those of the true crop.
"""

from __future__ import annotations

import tempfile
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
from thcli.core.geometry import transform
from thcli.core.options import (
    FindOptions,
    OutputOptions,
    ReadOptions,
    RunOptions,
    SteadyEvaluateOptions,
    SteadyOptions,
)
from thcli.core.types import Array, Array32, Crop, Face, Image
from thcli.evaluate.datasets.moving_clips import RATE, SCENES, Head, Scene, clip, displacement
from thcli.evaluate.reports.report import shown
from thcli.faces.crops.stabilize import params_of
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_track import CropTrack, place_of, write_places
from thcli.pipeline.observe.driver import look
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.sources.source_image import FaceFinder

JITTER_BAR = 0.15  # pixels RMS of a 512 crop, of a head at rest
LAG_BAR = 0.25  # frames that a moving head's crop may be late or early
_QUICK = 0.12  # seconds: what is quicker than a blur of this width is jitter, not way
_RAW = SteadyOptions(slow=1e-4, fast=1e-4, pixels=False)
EDGES = 16  # sides from which a mask's edge is looked at
_FINE = 50  # parts of a frame in which a lag is told


@dataclass(frozen=True, slots=True)
class Steadiness:
    """One scene, in pixels of the 512 crop.

    jitter: RMS of what is quicker than the way (where nothing moves: of everything but the mean).  raw_jitter: that of the crops as
    tracked, before they are calmed.  mask: that of the outline with which they are pasted.  error: RMS of everything but the mean.
    lag: frames, positive late; None for a head at rest.  unseen: frames without the face.
    """

    scene: Scene
    raw_jitter: float
    jitter: float
    mask: float
    error: float
    lag: float | None
    unseen: int

    @property
    def holds(self) -> bool:
        """Whether it is as steady and as prompt as asked."""
        prompt = self.lag is None or abs(self.lag) <= LAG_BAR
        return prompt and (not self.scene.rests or self.jitter <= JITTER_BAR)


def evaluate_steady(
    picture: Image,
    name: str,
    find: FindOptions,
    options: SteadyEvaluateOptions,
    run: RunOptions,
    on: Listener = silent,
) -> list[Steadiness]:
    """Every scene with the face of a picture, (H, W, 3) uint8. Raises NoFaceError when it shows none, WeightsError."""
    face_finder = FaceFinder.load(find.choosing(), run)
    found = face_finder.find(picture)
    if not found:
        raise NoFaceError(f"{name} shows no face.", "Give a picture that shows one.")
    face = face_finder.refined(picture, max(found, key=lambda f: f.area))
    head = Head.of(picture, face, options.side)
    with (
        tempfile.TemporaryDirectory(prefix="thcli-steady-") as folder,
        Job("eval steady", on) as job,
    ):
        return [
            _measured(head, scene, Path(folder), options, face_finder, run.seed, job)
            for scene in SCENES
        ]


def _measured(
    head: Head,
    scene: Scene,
    folder: Path,
    options: SteadyEvaluateOptions,
    face_finder: FaceFinder,
    seed: int,
    job: Job,
) -> Steadiness:
    video = folder / f"{scene.name}.mp4"
    faces = _film(head, scene, video, options, seed)
    true = [place_of(face, options.template) for face in faces]
    info = media.probe(video)
    with TrackLog() as log:
        census = look(info, log, ReadOptions(), face_finder, job, pixels=options.steady.pixels)
        track = face_finder.choose(census, "largest", scene.name, job)[0]
        paths = []
        for kind, steady in (("raw", _RAW), ("calm", options.steady)):
            file = folder / f"{scene.name}-{kind}.crops.safetensors"
            unseen = write_places(file, log, track, options.template, steady, video.name)
            places = list(CropTrack(file))
            paths.append([place.where for place in places])
    edges = [
        edge(place.outline, face, where)
        for place, face, where in zip(places, faces, true, strict=True)
        if place.outline is not None
    ]
    if scene.rests:
        true = [true[0]] * len(true)  # a mouth that opens moves no head
    raw, calm = (
        np.stack([displacement(p.crop_from_frame, t) for p, t in zip(path, true, strict=True)])
        for path in paths
    )
    ways = [raw, calm, np.stack(edges)]
    tracked, cut, mask = (
        rms(w - w.mean(0) if scene.still else w - _blurred(w, _QUICK * RATE)) for w in ways
    )
    lag = None if scene.rests else lag_of(paths[1], true)
    return Steadiness(scene, tracked, cut, mask, rms(calm - calm.mean(0)), lag, unseen)


def edge(outline: Array32, face: Face, where: Crop) -> Array:
    """How far a mask's edge lies from the true face's, (EDGES, 1) pixels of the crop, seen from as many sides."""
    assert face.mesh is not None
    angle = np.arange(EDGES) * (2 * np.pi / EDGES)
    sides = np.stack([np.cos(angle), np.sin(angle)])
    far = [
        (transform(where.crop_from_frame, points[:, :2]) @ sides).max(0)
        for points in (outline, face.mesh)
    ]
    return np.asarray((far[0] - far[1])[:, None])


def _film(
    head: Head, scene: Scene, video: Path, options: SteadyEvaluateOptions, seed: int
) -> list[Face]:
    """Writes the scene as a lossy video; gives the true faces."""
    size, rate = head.where.size, Fraction(RATE)
    # one thread: with several x264 does not give the same file twice
    output = OutputOptions(codec="h264", crf=options.crf, audio="none", threads=1)
    true = []
    with media.write(
        video, size, None, output, time_base=1 / rate, rate=rate, frames=options.frames
    ) as out:
        for i, (pixels, face) in enumerate(clip(head, scene, options.frames, options.noise, seed)):
            out.write(pixels, i, 1)
            true.append(face)
    return true


def rms(ways: Array) -> float:
    """The root of the mean square length of ways, (..., dims)."""
    return float(np.sqrt((ways**2).sum(-1).mean()))


def lag_of(path: list[Crop], truth: list[Crop]) -> float:
    """Frames by which a path of crops follows the true one: the shift at which their speeds agree best, in parts of a frame.

    Speeds are those of place, size and angle together, each by the pixels by which it moves the crop's content.
    """
    own, true = params_of(path), params_of(truth)
    scale = truth[0].size[0] * np.array([np.exp(-true[0, 2]), np.exp(-true[0, 2]), 0.5, 0.5])
    at, frames = np.arange(0, len(true) - 1, 1 / _FINE), np.arange(len(true))
    speeds = [np.asarray(CubicSpline(frames, _blurred(p, 1.0) * scale)(at, 1)) for p in (own, true)]
    shifts = np.arange(-3 * _FINE, 3 * _FINE + 1)
    core = slice(3 * _FINE, -3 * _FINE)
    fits = [_agreement(np.roll(speeds[0], -shift, 0)[core], speeds[1][core]) for shift in shifts]
    return float(shifts[int(np.argmax(fits))] / _FINE)


def _agreement(a: Array, b: Array) -> float:
    return float((a * b).sum() / max(float(np.sqrt((a**2).sum() * (b**2).sum())), 1e-12))


def _blurred(path: Array, width: float) -> Array:
    """Along its first axis, `width` frames wide."""
    flat = path.reshape(len(path), -1)
    soft = cv2.GaussianBlur(flat, (1, 0), 0.01, sigmaY=width, borderType=cv2.BORDER_REFLECT)
    return np.asarray(soft, np.float64).reshape(path.shape)


def table(rows: list[Steadiness]) -> tuple[list[str], list[list[str]]]:
    """Heading and lines, for people."""
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
            shown(r.raw_jitter),
            shown(r.jitter),
            shown(r.mask),
            shown(r.error),
            shown(r.lag),
            str(r.unseen),
            "yes" if r.holds else "no",
        ]
        for r in rows
    ]
    return head, lines


def as_json(
    rows: list[Steadiness], picture: str, options: SteadyEvaluateOptions, command: str
) -> dict[str, Any]:
    """Everything, for machines."""
    return {
        "command": "eval steady",
        "run": command,
        "protocol": {
            "picture": picture,
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
