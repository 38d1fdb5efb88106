"""Build thcli/motion/data: face.safetensors and demo.motion.safetensors.

    python tools/make_motion_data.py LONDON GRID thcli/motion/data

face.safetensors holds the neutral mesh, the sliders' shapes and the speech shapes.
LONDON: a folder of `*_neutral.jpg` and `*_smiling.jpg` pairs (Face Research Lab London Set, CC BY
4.0). GRID: a folder of `grid_*.mp4` (GRID audio-visual sentence corpus, CC BY 4.0). The
tracker's weights must be installed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from safetensors.numpy import load_file, save_file

from thcli.core.geometry import fit_similarity, matrix_from_rotvec, rotvec_from_matrix
from thcli.core.imaging import smoothstep
from thcli.core.options import RunOptions
from thcli.core.types import Array, Face, Frame, Motion
from thcli.faces.detection import blazeface
from thcli.faces.landmarks import facemesh, topology
from thcli.motion import canonical, sliders
from thcli.motion.file.buffer import MotionBuffer
from thcli.motion.file.writer import MotionWriter
from thcli.motion.observe import observe
from thcli.motion.smooth import GapFilledMotion, ZeroPhaseFilter
from thcli.motion.timeline import read_timeline

LICENCE = "CC-BY-4.0"
ATTRIBUTION = (
    "Derived from: Face Research Lab London Set, L. DeBruine & B. Jones (2017), "
    "doi:10.6084/m9.figshare.5047666.v5; "
    "GRID audio-visual sentence corpus, M. Cooke, J. Barker, S. Cunningham & X. Shao (2006), "
    "doi:10.5281/zenodo.3625687. "
    "Both CC BY 4.0; changed: 468-point meshes were tracked, made symmetric and averaged."
)
ROUNDS = 5  # of the Procrustes alignment
SPEECH_SHAPES = 12
JAW_OPENING = 0.4  # inner lip gap / mouth width that jaw = 1 adds
WIDE_WIDTH = 0.1  # canonical units that wide = 1 adds to the mouth's width
BROW_LIFT = 0.07  # canonical units
SMILE = 2.0  # times the mean smile of 93 persons, whose largest displacements differ in position
BROWS = [70, 63, 105, 66, 107, 55, 65, 52, 53, 46]
FLIP = np.array([-1.0, 1.0, 1.0])
SENTENCES = ("grid_s1_bbir8p", "grid_s1_bbbm2p")  # spoken in the demo
RATE = 25
DEMO = json.loads((Path(__file__).parent / "demo_keyframes.json").read_text("utf-8"))
"""Length in seconds, blink times, and (seconds, value) of the demo's sliders."""


class Tracker:
    """Detector and mesh tracker of the largest face."""

    def __init__(self) -> None:
        self._detector, self._mesh = blazeface.load(RunOptions()), facemesh.load(RunOptions())

    def find(self, image: np.ndarray, previous: Face | None = None) -> Face | None:
        face = None if previous is None else self._mesh.refit(image, previous)
        for found in self._detector.detect(image)[:1] if face is None else []:
            face = self._mesh.fit(image, found)
        return face


def symmetric(shape: Array) -> Array:
    """Return displacements (..., 468, 3) averaged with their mirror image."""
    return np.asarray((shape + shape[..., topology.PAIRS, :] * FLIP) / 2)


def centred(mesh: Array) -> Array:
    """Return the mesh in the canonical frame's origin and unit."""
    mesh = mesh - topology.RIGID_WEIGHTS @ mesh
    left, right = topology.EYE_OUTER
    return np.asarray(mesh / np.linalg.norm(mesh[left] - mesh[right]))


def mean_face(meshes: Array) -> Array:
    """Return the symmetric, frontal mean (468, 3) of meshes (N, 468, 3).

    Generalised Procrustes alignment on the rigid points. The mean pitch of the set becomes 0.
    """
    mean = centred(meshes[0])
    for _ in range(ROUNDS):
        scale, rotation, shift = fit_similarity(meshes, mean, topology.RIGID_WEIGHTS)
        mean = np.mean(
            scale[:, None, None] * meshes @ np.swapaxes(rotation, -1, -2) + shift[:, None], 0
        )
        mirrored = mean[topology.PAIRS] * FLIP
        _, rotation, _ = fit_similarity(mirrored, mean, topology.RIGID_WEIGHTS)
        mean = centred(
            symmetric(centred(mean @ matrix_from_rotvec(rotvec_from_matrix(rotation) / 2)))
        )
    _, rotation, _ = fit_similarity(mean, meshes, topology.RIGID_WEIGHTS)
    pitch = float(rotvec_from_matrix(rotation)[:, 0].mean())
    return centred(mean @ matrix_from_rotvec([pitch, 0, 0]).T)


def stills(folder: Path, tracker: Tracker, ending: str) -> Iterator[Face]:
    """Yield the faces of the images with that ending."""
    for path in sorted(folder.glob(f"*_{ending}.jpg")):
        face = tracker.find(cv2.cvtColor(np.asarray(cv2.imread(str(path))), cv2.COLOR_BGR2RGB))
        if face is None:
            raise SystemExit(f"no face in {path}")
        yield face


def mesh_of(face: Face) -> Array:
    return np.asarray(face.mesh, np.float64)


def clip(path: Path, tracker: Tracker) -> Motion:
    """Return the motion of a whole clip."""
    frames, faces, face = [], [], None
    with av.open(str(path)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            face = tracker.find(pixels, face)
            frames.append(Frame(pixels, int(frame.pts or 0), Fraction(frame.time_base or 1), i))
            faces.append(face)
    return observe(frames, faces)


def speech_expression(motion: Motion) -> Array:
    """Return a clip's smoothed expression without gaps, (T, 468, 3).

    It is relative to the clip's frames with a closed mouth.
    """
    store = MotionBuffer(motion)
    timeline = read_timeline(store)
    rows = GapFilledMotion(timeline, ZeroPhaseFilter(store, timeline, 1.0)).expression(
        0, len(motion)
    )
    opening = canonical.mouth_opening(canonical.neutral() + rows)
    rest = rows[np.argsort(opening, kind="stable")[: max(len(rows) // 5, 1)]].mean(0)
    return np.asarray(rows - rest)


def lower_face() -> Array:
    """Return a mask (468, 1): 1 at mouth and jaw, fading out towards eyes and root of the nose."""
    y = canonical.neutral()[:, 1]
    return np.asarray(smoothstep(y[197], y[4], y)[:, None])


def slope(rows: Array, amount: Array) -> Array:
    """Return the change of rows (N, 468, 3) per unit of amount (N,), (468, 3), by least squares."""
    amount = amount - amount.mean()
    return np.asarray(np.tensordot(amount, rows - rows.mean(0), 1) / (amount @ amount))


def mouth_shapes(rows: Array) -> dict[str, Array]:
    """Return jaw, wide and the speech shapes of symmetric expressions (N, 468, 3)."""
    shape = canonical.neutral() + rows
    opening = canonical.mouth_opening(shape)
    jaw = slope(rows, opening)
    rest = rows - (opening - opening.mean())[:, None, None] * jaw
    width = (rest[:, topology.MOUTH_CORNERS[1]] - rest[:, topology.MOUTH_CORNERS[0]])[:, 0]
    flat = (rows - rows.mean(0)).reshape(len(rows), -1)
    _, values, axes = np.linalg.svd(flat, full_matrices=False)
    deviations = values[:SPEECH_SHAPES, None] / np.sqrt(len(rows))
    speech = (axes[:SPEECH_SHAPES] * deviations).reshape(-1, *rows.shape[1:])
    explained = (values[:SPEECH_SHAPES] ** 2).sum() / (values**2).sum()
    sys.stdout.write(f"speech shapes explain {explained:.4f} of the variance\n")
    return {"jaw": JAW_OPENING * jaw, "wide": WIDE_WIDTH * slope(rest, width), "speech": speech}


def opening_ratio(shape: Array, jaw: Array) -> float:
    """Return the amount of `jaw` that opens the inner lips as far as `shape` does."""
    openings = [
        canonical.lip_gaps(canonical.neutral() + s).mean()
        - canonical.lip_gaps(canonical.neutral()).mean()
        for s in (shape, jaw)
    ]
    return float(openings[0] / openings[1])


def brow_shape() -> Array:
    """Return the shape of raised brows: a synthetic lift that fades with the distance from the
    brows.

    It does not reach the eyes.
    """
    points = canonical.neutral()
    both = np.concatenate([BROWS, topology.PAIRS[BROWS]])
    distance = np.linalg.norm(points[:, None, :2] - points[None, both, :2], axis=-1).min(1)
    lift = np.exp(-((distance / 0.16) ** 2)) * (
        1 - smoothstep(-0.16, 0.0, points[:, 1] - points[topology.LIDS[0].upper, 1].min())
    )
    displacement = np.zeros_like(points)
    displacement[:, 1] = -BROW_LIFT * lift
    displacement[:, 2] = 0.15 * BROW_LIFT * lift
    return symmetric(displacement)


def demo(grid: Path, tracker: Tracker) -> Motion:
    """Return the demo: nods, glances left and right, speech, a smile, rest, and natural blinks."""
    seconds = np.arange(round(DEMO["seconds"] * RATE)) / RATE
    speech = np.zeros((len(seconds), 468, 3))
    head_motion = np.zeros((len(seconds), 3))
    begin = 2.35
    for name in SENTENCES:
        motion = clip(grid / f"{name}.mp4", tracker)
        rows = symmetric(speech_expression(motion)) * lower_face()
        opening = canonical.mouth_opening(canonical.neutral() + rows)
        moving = np.flatnonzero(opening > 0.03)
        first, last = max(moving[0] - 4, 0), min(moving[-1] + 5, len(rows))
        ramp = np.arange(last - first)
        fade = smoothstep(-1, 4, ramp) * (1 - smoothstep(last - first - 5, last - first, ramp))
        start = round(begin * RATE)
        stop = min(start + last - first, len(seconds))
        speech[start:stop] += 1.15 * (rows[first:last] * fade[:, None, None])[: stop - start]
        timeline = read_timeline(MotionBuffer(motion))
        smoothed = ZeroPhaseFilter(MotionBuffer(motion), timeline, 2.0)
        pose = GapFilledMotion(timeline, smoothed).pose[first:last, :3]
        head_motion[start:stop] += np.degrees((pose - pose.mean(0)) * fade[:, None])[: stop - start]
        begin = stop / RATE + 0.12
    yaw, pitch, roll, gaze, smile, brow = (
        sliders.keyframe_curve(seconds, *DEMO[name])
        for name in ("yaw", "pitch", "roll", "gaze", "smile", "brow")
    )
    squint = 0.16 * smile  # a Duchenne smile narrows the eyes
    blink = np.maximum(sliders.blink_curve(seconds, DEMO["blinks"]), squint)
    curves = sliders.SliderCurves(
        yaw=yaw + head_motion[:, 1],
        pitch=pitch + head_motion[:, 0],
        roll=roll + head_motion[:, 2],
        x=-0.012 * yaw,
        y=0.012 * pitch,
        zoom=1 + 0.002 * pitch,
        blink=blink,
        smile=smile,
        brow=brow,
        gaze_x=gaze,
        extra=speech,
    )
    return sliders.motion_from_sliders(curves, np.arange(len(seconds)), Fraction(1, RATE))


def main(london: Path, grid: Path, out: Path) -> None:
    """Compute and save both files."""
    tracker = Tracker()
    neutral_faces, smiling_faces = (
        list(stills(london, tracker, "neutral")),
        list(stills(london, tracker, "smiling")),
    )
    neutral = mean_face(np.stack([mesh_of(f) for f in neutral_faces]))
    path = out / "face.safetensors"  # earlier entries stay until they are replaced
    table = {**(load_file(path) if path.exists() else {}), "neutral": neutral}
    metadata = {"licence": LICENCE, "attribution": ATTRIBUTION}

    def save() -> None:
        save_file(
            {k: v.astype(np.float32) for k, v in table.items()}, out / "face.safetensors", metadata
        )
        canonical.neutral.cache_clear()

    save()
    shapes = [
        canonical.decompose(np.stack([mesh_of(f) for f in faces])).shape
        for faces in (neutral_faces, smiling_faces)
    ]
    smile = symmetric(shapes[1].mean(0) - shapes[0].mean(0))
    gazes = np.mean([canonical.gaze(mesh_of(f), np.asarray(f.iris)) for f in neutral_faces], 0)
    horizontal = (gazes[1, 0] - gazes[0, 0]) / 2
    table["gaze"] = np.array([[-horizontal, gazes[:, 1].mean()], [horizontal, gazes[:, 1].mean()]])
    rows = np.concatenate(
        [speech_expression(clip(path, tracker)) for path in sorted(grid.glob("grid_*.mp4"))]
    )
    table |= mouth_shapes(symmetric(rows) * lower_face())
    # the smile with its lips closed: `jaw` opens it
    table["smile"] = SMILE * (smile - opening_ratio(smile, table["jaw"]) * table["jaw"])
    table["brow"] = brow_shape()
    save()
    motion = demo(grid, tracker)
    arrays = {**motion.arrays, "expression": motion.arrays["expression"].astype(np.float16)}
    whole = Motion(
        motion.kind, motion.pts, motion.time_base, motion.valid, arrays, motion.constants
    )
    demo_metadata = {**metadata, "source": "tools/make_motion_data.py", "tool": "thcli"}
    with MotionWriter(out / "demo.motion.safetensors", demo_metadata, overwrite=True) as writer:
        writer.append(whole)
    for name in ("face.safetensors", "demo.motion.safetensors"):
        (out / name).chmod(0o644)
        sys.stdout.write(f"{name}: {(out / name).stat().st_size} bytes\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
