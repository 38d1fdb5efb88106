"""Makes thcli/motion/data: face.safetensors (neutral mesh, slider and speech shapes) and demo.motion.safetensors.

    python tools/make_motion_data.py LONDON GRID thcli/motion/data

LONDON: a folder of `*_neutral.jpg` and `*_smiling.jpg` pairs (Face Research Lab London Set, CC BY 4.0). GRID: a folder of
`grid_*.mp4` (GRID audio-visual sentence corpus, CC BY 4.0). The tracker's weights must be pulled.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from safetensors.numpy import load_file, save_file

from thcli.core.geometry import fit_similarity, matrix_from_rotvec, rotvec_from_matrix
from thcli.core.options import RunOptions
from thcli.core.types import Array, Face, Frame, Motion
from thcli.faces.detection import blazeface
from thcli.faces.landmarks import facemesh, topology
from thcli.motion import canonical, sliders
from thcli.motion.file import MotionBuffer, MotionWriter
from thcli.motion.observe import observe
from thcli.motion.smooth import Filled, ZeroPhase
from thcli.motion.timeline import scan, smoothstep

LICENCE = "CC-BY-4.0"
ATTRIBUTION = (
    "Derived from: Face Research Lab London Set, L. DeBruine & B. Jones (2017), doi:10.6084/m9.figshare.5047666.v5; "
    "GRID audio-visual sentence corpus, M. Cooke, J. Barker, S. Cunningham & X. Shao (2006), doi:10.5281/zenodo.3625687. "
    "Both CC BY 4.0; changed: 468-point meshes were tracked, made symmetric and averaged."
)
ROUNDS = 5
SPEECH_SHAPES = 12
JAW_OPENING = 0.4  # inner lip gap / mouth width that jaw = 1 adds
WIDE_WIDTH = 0.1  # canonical units that wide = 1 adds to the mouth's width
BROW_LIFT = 0.07  # canonical units
SMILE = 2.0  # of the mean smile of 93 persons, whose best do not fall on the same points
BROWS = [70, 63, 105, 66, 107, 55, 65, 52, 53, 46]
FLIP = np.array([-1.0, 1.0, 1.0])
SPOKEN = ("grid_s1_bbir8p", "grid_s1_bbbm2p")  # sentences of the demo
RATE = 25
SECONDS = 7.4


class Tracker:
    """The largest face of pictures."""

    def __init__(self) -> None:
        self._detector, self._mesh = blazeface.load(RunOptions()), facemesh.load(RunOptions())

    def find(self, picture: np.ndarray, last: Face | None = None) -> Face | None:
        face = None if last is None else self._mesh.refit(picture, last)
        for found in self._detector.detect(picture)[:1] if face is None else []:
            face = self._mesh.fit(picture, found)
        return face


def symmetric(shape: Array) -> Array:
    """Displacements (..., 468, 3) with their mirror image averaged in."""
    return np.asarray((shape + shape[..., topology.PAIRS, :] * FLIP) / 2)


def centred(mesh: Array) -> Array:
    """Origin and unit of the canonical frame."""
    mesh = mesh - topology.RIGID_WEIGHTS @ mesh
    left, right = topology.EYE_OUTER
    return np.asarray(mesh / np.linalg.norm(mesh[left] - mesh[right]))


def mean_face(meshes: Array) -> Array:
    """The symmetric, frontal mean (468, 3) of meshes (N, 468, 3): generalised Procrustes on the rigid points; the set's mean pitch is level."""
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
    for path in sorted(folder.glob(f"*_{ending}.jpg")):
        face = tracker.find(cv2.cvtColor(np.asarray(cv2.imread(str(path))), cv2.COLOR_BGR2RGB))
        if face is None:
            raise SystemExit(f"no face in {path}")
        yield face


def mesh_of(face: Face) -> Array:
    return np.asarray(face.mesh, np.float64)


def clip(path: Path, tracker: Tracker) -> Motion:
    """The motion of a whole clip."""
    frames, faces, last = [], [], None
    with av.open(str(path)) as container:
        for i, picture in enumerate(container.decode(video=0)):
            pixels = np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)
            last = tracker.find(pixels, last)
            frames.append(Frame(pixels, int(picture.pts or 0), Fraction(picture.time_base or 1), i))
            faces.append(last)
    return observe(frames, faces)


def spoken(motion: Motion) -> Array:
    """(T, 468, 3): the clip's expression, smoothed and without gaps, from its own closed-mouth frames on."""
    store = MotionBuffer(motion)
    line = scan(store)
    rows = Filled(line, ZeroPhase(store, line, 1.0)).expression(0, len(motion))
    opening = canonical.mouth_opening(canonical.neutral() + rows)
    rest = rows[np.argsort(opening, kind="stable")[: max(len(rows) // 5, 1)]].mean(0)
    return np.asarray(rows - rest)


def lower_face() -> Array:
    """(468, 1): 1 around mouth and jaw, fading out towards eyes and nose root."""
    y = canonical.neutral()[:, 1]
    return np.asarray(smoothstep(y[197], y[4], y)[:, None])


def slope(rows: Array, amount: Array) -> Array:
    """(468, 3) change of rows (N, 468, 3) with one unit of amount (N,), least squares."""
    amount = amount - amount.mean()
    return np.asarray(np.tensordot(amount, rows - rows.mean(0), 1) / (amount @ amount))


def mouth_shapes(rows: Array) -> dict[str, Array]:
    """jaw, wide and the speech shapes of symmetric expressions (N, 468, 3)."""
    shape = canonical.neutral() + rows
    opening = canonical.mouth_opening(shape)
    jaw = slope(rows, opening)
    rest = rows - (opening - opening.mean())[:, None, None] * jaw
    width = (rest[:, topology.MOUTH_CORNERS[1]] - rest[:, topology.MOUTH_CORNERS[0]])[:, 0]
    flat = (rows - rows.mean(0)).reshape(len(rows), -1)
    _, values, axes = np.linalg.svd(flat, full_matrices=False)
    deviations = values[:SPEECH_SHAPES, None] / np.sqrt(len(rows))
    speech = (axes[:SPEECH_SHAPES] * deviations).reshape(-1, *rows.shape[1:])
    sys.stdout.write(
        f"speech shapes explain {(values[:SPEECH_SHAPES] ** 2).sum() / (values**2).sum():.4f} of the variance\n"
    )
    return {"jaw": JAW_OPENING * jaw, "wide": WIDE_WIDTH * slope(rest, width), "speech": speech}


def closing(shape: Array, jaw: Array) -> float:
    """How much of `jaw` opens the inner lips as far as `shape` does."""
    apart = [
        canonical.lip_gaps(canonical.neutral() + s).mean()
        - canonical.lip_gaps(canonical.neutral()).mean()
        for s in (shape, jaw)
    ]
    return float(apart[0] / apart[1])


def brow_shape() -> Array:
    """Brows raised: drawn by hand, a lift that fades with the distance from the brows and does not reach the eyes."""
    points = canonical.neutral()
    both = np.concatenate([BROWS, topology.PAIRS[BROWS]])
    distance = np.linalg.norm(points[:, None, :2] - points[None, both, :2], axis=-1).min(1)
    lift = np.exp(-((distance / 0.16) ** 2)) * (
        1 - smoothstep(-0.16, 0.0, points[:, 1] - points[topology.LIDS[0].upper, 1].min())
    )
    out = np.zeros_like(points)
    out[:, 1] = -BROW_LIFT * lift
    out[:, 2] = 0.15 * BROW_LIFT * lift
    return symmetric(out)


def demo(grid: Path, tracker: Tracker) -> Motion:
    """Nods, looks left and right, talks, smiles and comes to rest; blinks as people do."""
    seconds = np.arange(round(SECONDS * RATE)) / RATE
    speech = np.zeros((len(seconds), 468, 3))
    nod_along = np.zeros((len(seconds), 3))
    at = 2.35
    for name in SPOKEN:
        motion = clip(grid / f"{name}.mp4", tracker)
        rows = symmetric(spoken(motion)) * lower_face()
        opening = canonical.mouth_opening(canonical.neutral() + rows)
        moving = np.flatnonzero(opening > 0.03)
        first, last = max(moving[0] - 4, 0), min(moving[-1] + 5, len(rows))
        ramp = np.arange(last - first)
        fade = smoothstep(-1, 4, ramp) * (1 - smoothstep(last - first - 5, last - first, ramp))
        start = round(at * RATE)
        stop = min(start + last - first, len(seconds))
        speech[start:stop] += 1.15 * (rows[first:last] * fade[:, None, None])[: stop - start]
        line = scan(MotionBuffer(motion))
        pose = Filled(line, ZeroPhase(MotionBuffer(motion), line, 2.0)).pose[first:last, :3]
        nod_along[start:stop] += np.degrees((pose - pose.mean(0)) * fade[:, None])[: stop - start]
        at = stop / RATE + 0.12
    end = SECONDS
    yaw = sliders.keys(
        seconds,
        (1.15, 0),
        (1.75, 13),
        (2.15, 12),
        (2.95, -9),
        (3.6, -7),
        (4.5, 5),
        (5.4, 3),
        (6.3, -2),
        (end - 0.2, 0),
    )
    pitch = sliders.keys(
        seconds,
        (0.1, 0),
        (0.38, 8),
        (0.66, -3),
        (0.94, 6.5),
        (1.25, 0),
        (2.2, 1),
        (2.9, -2),
        (3.9, 3),
        (4.8, -1.5),
        (5.6, 2),
        (6.3, -3),
        (end - 0.2, 0),
    )
    roll = sliders.keys(
        seconds, (1.2, 0), (1.9, -2.5), (3.0, 2.5), (4.4, -2), (5.6, 1), (6.2, 4), (end - 0.2, 0)
    )
    look = sliders.keys(
        seconds,
        (1.0, 0),
        (1.12, -0.1),
        (1.6, -0.1),
        (1.8, 0),
        (2.3, 0),
        (2.42, 0.09),
        (2.9, 0.08),
        (3.0, 0),
        (4.2, 0),
        (4.3, -0.05),
        (4.8, -0.05),
        (4.9, 0),
    )
    smile = sliders.keys(
        seconds, (0.0, 0.06), (5.35, 0.1), (6.0, 0.95), (6.7, 0.85), (end - 0.1, 0.06)
    )
    brow = sliders.keys(
        seconds,
        (0.1, 0),
        (0.4, 0.35),
        (0.9, 0),
        (3.1, 0),
        (3.35, 0.6),
        (3.8, 0.1),
        (5.0, 0),
        (5.2, 0.5),
        (5.6, 0.1),
        (6.1, 0.3),
        (end - 0.2, 0),
    )
    squint = 0.16 * smile  # a true smile narrows the eyes
    blink = np.maximum(sliders.blinks(seconds, (0.98, 2.28, 4.22, 5.42, 6.72)), squint)
    script = sliders.Script(
        yaw=yaw + nod_along[:, 1],
        pitch=pitch + nod_along[:, 0],
        roll=roll + nod_along[:, 2],
        x=-0.012 * yaw,
        y=0.012 * pitch,
        zoom=1 + 0.002 * pitch,
        blink=blink,
        smile=smile,
        brow=brow,
        gaze_x=look,
        extra=speech,
    )
    return sliders.motion(script, np.arange(len(seconds)), Fraction(1, RATE))


def main(london: Path, grid: Path, out: Path) -> None:
    tracker = Tracker()
    calm, happy = list(stills(london, tracker, "neutral")), list(stills(london, tracker, "smiling"))
    neutral = mean_face(np.stack([mesh_of(f) for f in calm]))
    old = (
        out / "face.safetensors"
    )  # what is not made anew yet stays: whoever uses the checkout meanwhile needs it
    table = {**(load_file(old) if old.exists() else {}), "neutral": neutral}
    metadata = {"licence": LICENCE, "attribution": ATTRIBUTION}

    def save() -> None:
        save_file(
            {k: v.astype(np.float32) for k, v in table.items()}, out / "face.safetensors", metadata
        )
        canonical.neutral.cache_clear()

    save()
    shapes = [
        canonical.decompose(np.stack([mesh_of(f) for f in faces])).shape for faces in (calm, happy)
    ]
    smile = symmetric(shapes[1].mean(0) - shapes[0].mean(0))
    looks = np.mean([canonical.gaze(mesh_of(f), np.asarray(f.iris)) for f in calm], 0)
    along = (looks[1, 0] - looks[0, 0]) / 2
    table["gaze"] = np.array([[-along, looks[:, 1].mean()], [along, looks[:, 1].mean()]])
    rows = np.concatenate([spoken(clip(path, tracker)) for path in sorted(grid.glob("grid_*.mp4"))])
    table |= mouth_shapes(symmetric(rows) * lower_face())
    # the smile with its lips closed: `jaw` opens it
    table["smile"] = SMILE * (smile - closing(smile, table["jaw"]) * table["jaw"])
    table["brow"] = brow_shape()
    save()
    motion = demo(grid, tracker)
    arrays = {**motion.arrays, "expression": motion.arrays["expression"].astype(np.float16)}
    whole = Motion(
        motion.kind, motion.pts, motion.time_base, motion.valid, arrays, motion.constants
    )
    story = {**metadata, "source": "tools/make_motion_data.py", "tool": "thcli"}
    with MotionWriter(out / "demo.motion.safetensors", story, overwrite=True) as writer:
        writer.append(whole)
    for name in ("face.safetensors", "demo.motion.safetensors"):
        (out / name).chmod(0o644)
        sys.stdout.write(f"{name}: {(out / name).stat().st_size} bytes\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
