"""Measures 3-D face models: turns with known truth, a still head with noise, time a face.

    python tools/measure_face_model.py PICTURE... [--model3d NAME]

Each picture is turned, nodded and tilted by the mesh engine while it talks, smiles and blinks, which gives the truth; the models see
only the rendered frames. Then one picture is repeated with noise on top. Angles are in degrees, times in ms of one CPU thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from make_motion_data import Tracker

from thcli import media
from thcli.core.geometry import angles_from_matrix, matrix_from_rotvec, rotvec_from_matrix
from thcli.core.options import MotionOptions, ReenactOptions, RunOptions
from thcli.core.protocols import FaceModel
from thcli.core.types import Array, Face, Image
from thcli.engines.backends import ENGINES
from thcli.motion import canonical, model3d
from thcli.motion import sliders as synth
from thcli.motion.backends import FACE_MODELS
from thcli.motion.file import MotionBuffer
from thcli.motion.retarget import targets

FRAMES, RATE, SIDE = 90, 25, 640
YAW, PITCH, ROLL = 14.0, 9.0, 8.0
NOISE = 6.0  # levels, standard deviation
STILL = 60
RUN = RunOptions(device="cpu", threads=1)


def script() -> synth.Script:
    seconds = np.arange(FRAMES) / RATE
    wave = 2 * np.pi * np.arange(FRAMES) / FRAMES
    return synth.Script(
        yaw=YAW * np.sin(wave),
        pitch=PITCH * np.sin(2 * wave),
        roll=ROLL * np.sin(wave + 1),
        jaw=0.25 * (1 - np.cos(3 * wave)),
        smile=0.35 * (1 - np.cos(2 * wave)),
        blink=synth.blinks(seconds, (0.8, 2.2)),
    )


def read(path: Path) -> Image:
    picture = np.asarray(media.read_image(path), np.uint8)
    k = SIDE / max(picture.shape)
    return np.asarray(cv2.resize(picture, None, fx=k, fy=k, interpolation=cv2.INTER_AREA), np.uint8)


def turned(picture: Image, face: Face) -> tuple[list[Image], Array, Array]:
    """Frames, the true rotation of each from the picture's own pose, and the true sliders beyond its own."""
    engine = ENGINES.backend("mesh").load(RUN, ReenactOptions(mouth="synthetic"))
    source = engine.encode_source(picture, face)
    motion = synth.motion(script(), np.arange(FRAMES), Fraction(1, RATE))
    store = engine.retarget(source, MotionBuffer(motion), MotionOptions(smooth=0))
    points = np.stack([target.points for target in targets(store.window(0, FRAMES))])
    mesh = np.asarray(face.mesh, np.float64)[None]
    _, rotation, _ = canonical.rigid_fit(mesh, points)
    sliders = model3d.describe(points).expression - model3d.describe(mesh).expression
    return (
        engine.render(source, store.window(0, FRAMES), None),
        rotation,
        sliders[:, : len(model3d.SLIDERS)],
    )


def follow(tracker: Tracker, frames: list[Image]) -> list[Face]:
    faces: list[Face] = []
    for frame in frames:
        found = tracker.find(frame, faces[-1] if faces else None)
        if found is None:
            raise SystemExit("the face was lost")
        faces.append(found)
    return faces


def turns(model: FaceModel, tracker: Tracker, picture: Image, face: Face) -> str:
    frames, truth, sliders = turned(picture, face)
    faces = follow(tracker, frames)
    own = matrix_from_rotvec(model.fit([picture], [face]).rotation[0])
    found = model.fit(frames, faces)
    relative = matrix_from_rotvec(found.rotation) @ own.T
    apart = np.degrees(rotvec_from_matrix(relative @ np.swapaxes(truth, -1, -2)))
    angles, wanted = angles_from_matrix(relative), angles_from_matrix(truth)
    alike = [np.corrcoef(angles[:, i], wanted[:, i])[0, 1] for i in range(3)]
    words = (
        f"off by {np.linalg.norm(apart, axis=1).mean():.2f} on average; correlation "
        + " ".join(
            f"{name} {value:.3f}"
            for name, value in zip(("pitch", "yaw", "roll"), alike, strict=True)
        )
    )
    if found.model == model3d.NAME:
        pairs = [
            (model3d.SLIDERS.index(name), name)
            for name in ("jaw", "smile", "blink_left", "blink_right")
        ]
        words += "".join(
            f" {name} {np.corrcoef(found.expression[:, i], sliders[:, i])[0, 1]:.2f}"
            for i, name in pairs
        )
    return words


def still(model: FaceModel, tracker: Tracker, picture: Image) -> str:
    rng = np.random.default_rng(0)
    frames = [
        np.clip(picture + rng.normal(0, NOISE, picture.shape), 0, 255).astype(np.uint8)
        for _ in range(STILL)
    ]
    found = model.fit(frames, follow(tracker, frames))
    angles = angles_from_matrix(matrix_from_rotvec(found.rotation))
    return f"{np.sqrt(((angles - angles.mean(0)) ** 2).mean(0).sum()):.2f} RMS (pitch, yaw, roll: {np.round(angles.std(0), 2)})"


def speed(model: FaceModel, picture: Image, face: Face) -> str:
    def once(count: int) -> float:
        began = time.process_time()
        model.fit([picture] * count, [face] * count)
        return 1e3 * (time.process_time() - began) / count

    return ", ".join(
        f"{min(once(count) for _ in range(8)):.2f} in batches of {count}" for count in (1, 8)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--model3d", default="mesh")
    given = parser.parse_args()
    model: FaceModel = FACE_MODELS.backend(given.model3d).load(RUN)
    tracker = Tracker()
    for path in given.pictures:
        picture = read(path)
        (face,) = follow(tracker, [picture])
        sys.stdout.write(f"{path.name}: turns {turns(model, tracker, picture, face)}\n")
        sys.stdout.write(f"{path.name}: still {still(model, tracker, picture)}\n")
    sys.stdout.write(f"ms a face: {speed(model, picture, face)}\n")


if __name__ == "__main__":
    main()
