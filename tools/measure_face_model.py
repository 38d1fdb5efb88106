"""Measure the 3-D face models: rotation error, jitter under noise, and time per face.

    python tools/measure_face_model.py IMAGE... [--model3d NAME]

The mesh engine animates each image with known rotations, speech, smiles and blinks; the models
receive the rendered frames. Then one image is repeated with noise. Angles are in degrees, times
in ms of one CPU thread.
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
from thcli.motion import canonical, model3d, sliders
from thcli.motion.backends import FACE_MODELS
from thcli.motion.file.buffer import MotionBuffer
from thcli.motion.render_target import iterate_render_targets

FRAMES, RATE, SIDE = 90, 25, 640
YAW, PITCH, ROLL = 14.0, 9.0, 8.0
NOISE_LEVEL = 6.0  # standard deviation in 8-bit levels
STILL_FRAMES = 60
RUN = RunOptions(device="cpu", threads=1)


def animation_curves() -> sliders.SliderCurves:
    seconds = np.arange(FRAMES) / RATE
    wave = 2 * np.pi * np.arange(FRAMES) / FRAMES
    return sliders.SliderCurves(
        yaw=YAW * np.sin(wave),
        pitch=PITCH * np.sin(2 * wave),
        roll=ROLL * np.sin(wave + 1),
        jaw=0.25 * (1 - np.cos(3 * wave)),
        smile=0.35 * (1 - np.cos(2 * wave)),
        blink=sliders.blink_curve(seconds, (0.8, 2.2)),
    )


def read_scaled(path: Path) -> Image:
    image = np.asarray(media.read_image(path), np.uint8)
    k = SIDE / max(image.shape)
    return np.asarray(cv2.resize(image, None, fx=k, fy=k, interpolation=cv2.INTER_AREA), np.uint8)


def render_rotations(image: Image, face: Face) -> tuple[list[Image], Array, Array]:
    """Return frames, their rotations from the image's own pose, and their slider changes."""
    engine = ENGINES.backend("mesh").load(RUN, ReenactOptions(mouth="synthetic"))
    source = engine.encode_source(image, face)
    motion = sliders.motion_from_sliders(animation_curves(), np.arange(FRAMES), Fraction(1, RATE))
    store = engine.retarget(source, MotionBuffer(motion), MotionOptions(smooth=0))
    points = np.stack([target.points for target in iterate_render_targets(store.window(0, FRAMES))])
    mesh = np.asarray(face.mesh, np.float64)[None]
    _, rotation, _ = canonical.fit_rigid_points(mesh, points)
    slider_changes = (
        model3d.fit_coefficients(points).expression - model3d.fit_coefficients(mesh).expression
    )
    return (
        engine.render(source, store.window(0, FRAMES), None),
        rotation,
        slider_changes[:, : len(model3d.SLIDER_NAMES)],
    )


def track_faces(tracker: Tracker, frames: list[Image]) -> list[Face]:
    faces: list[Face] = []
    for frame in frames:
        found = tracker.find(frame, faces[-1] if faces else None)
        if found is None:
            raise SystemExit("the face was lost")
        faces.append(found)
    return faces


def measure_rotation(model: FaceModel, tracker: Tracker, image: Image, face: Face) -> str:
    frames, true_rotations, slider_changes = render_rotations(image, face)
    faces = track_faces(tracker, frames)
    image_rotation = matrix_from_rotvec(model.fit([image], [face]).rotation[0])
    fitted = model.fit(frames, faces)
    relative = matrix_from_rotvec(fitted.rotation) @ image_rotation.T
    errors = np.degrees(rotvec_from_matrix(relative @ np.swapaxes(true_rotations, -1, -2)))
    angles, true_angles = angles_from_matrix(relative), angles_from_matrix(true_rotations)
    correlations = [np.corrcoef(angles[:, i], true_angles[:, i])[0, 1] for i in range(3)]
    text = (
        f"off by {np.linalg.norm(errors, axis=1).mean():.2f} on average; correlation "
        + " ".join(
            f"{name} {value:.3f}"
            for name, value in zip(("pitch", "yaw", "roll"), correlations, strict=True)
        )
    )
    if fitted.model == model3d.NAME:
        pairs = [
            (model3d.SLIDER_NAMES.index(name), name)
            for name in ("jaw", "smile", "blink_left", "blink_right")
        ]
        text += "".join(
            f" {name} {np.corrcoef(fitted.expression[:, i], slider_changes[:, i])[0, 1]:.2f}"
            for i, name in pairs
        )
    return text


def measure_jitter(model: FaceModel, tracker: Tracker, image: Image) -> str:
    rng = np.random.default_rng(0)
    frames = [
        np.clip(image + rng.normal(0, NOISE_LEVEL, image.shape), 0, 255).astype(np.uint8)
        for _ in range(STILL_FRAMES)
    ]
    fitted = model.fit(frames, track_faces(tracker, frames))
    angles = angles_from_matrix(matrix_from_rotvec(fitted.rotation))
    rms = np.sqrt(((angles - angles.mean(0)) ** 2).mean(0).sum())
    return f"{rms:.2f} RMS (pitch, yaw, roll: {np.round(angles.std(0), 2)})"


def measure_time(model: FaceModel, image: Image, face: Face) -> str:
    def time_batch(count: int) -> float:
        begin = time.process_time()
        model.fit([image] * count, [face] * count)
        return 1e3 * (time.process_time() - begin) / count

    return ", ".join(
        f"{min(time_batch(count) for _ in range(8)):.2f} in batches of {count}" for count in (1, 8)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--model3d", default="mesh")
    options = parser.parse_args()
    model: FaceModel = FACE_MODELS.backend(options.model3d).load(RUN)
    tracker = Tracker()
    for path in options.images:
        image = read_scaled(path)
        (face,) = track_faces(tracker, [image])
        sys.stdout.write(f"{path.name}: turns {measure_rotation(model, tracker, image, face)}\n")
        sys.stdout.write(f"{path.name}: still {measure_jitter(model, tracker, image)}\n")
    sys.stdout.write(f"ms a face: {measure_time(model, image, face)}\n")


if __name__ == "__main__":
    main()
