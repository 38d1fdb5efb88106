"""Synthetic driver and source of the motion tests: real shapes moved by known amounts."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from thcli.core.types import Array, Face, Frame, Motion
from thcli.motion import canonical, sliders
from thcli.motion.file.buffer import MotionBuffer

TIME_BASE = Fraction(1, 25)
SIZE = (640, 480)


def slider_curves(count: int, *, degrees: float = 8.0, seed: int = 3) -> sliders.SliderCurves:
    """Return sliders of lively speech: smooth motion and one blink per second."""
    t = np.arange(count) / 25
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, 4)
    return sliders.SliderCurves(
        yaw=degrees * np.sin(2 * t + phase[0]),
        pitch=0.6 * degrees * np.sin(3 * t + phase[1]),
        roll=0.3 * degrees * np.sin(t + phase[2]),
        x=0.08 * np.sin(1.5 * t),
        y=0.05 * np.cos(1.2 * t),
        zoom=1 + 0.05 * np.sin(t),
        blink=sliders.blink_curve(t, np.arange(0.6, count / 25 + 1, 1.0).tolist()),
        jaw=0.25 * (1 + np.sin(9 * t + phase[3])),
        smile=0.3 + 0.3 * np.sin(t),
        gaze_x=0.08 * np.sin(2 * t),
        gaze_y=0.03 * np.cos(2 * t),
    )


def driver(count: int = 40, *, degrees: float = 8.0, seed: int = 3, noise: float = 0.0) -> Motion:
    """Return motion of kind "mesh" with float64 expressions and another identity.

    Args:
        count: frames.
        degrees: amplitude of the head's rotation.
        seed: seed of phases, identity and noise.
        noise: standard deviation of the expression's noise, canonical units.
    """
    motion = sliders.motion_from_sliders(
        slider_curves(count, degrees=degrees, seed=seed), np.arange(count), TIME_BASE, SIZE
    )
    generator = np.random.default_rng(seed)
    expression = motion.arrays["expression"].astype(np.float64) + identity_shape(seed)
    if noise:
        expression = expression + generator.normal(0, noise, expression.shape)
    return Motion(
        motion.kind,
        motion.pts,
        motion.time_base,
        motion.valid,
        {**motion.arrays, "expression": expression},
        motion.constants,
    )


def identity_shape(seed: int) -> Array:
    """Return smooth symmetric deviations (468, 3) from the neutral mesh; rigid points are kept."""
    points = canonical.neutral()
    a, b, c = np.random.default_rng(seed + 100).normal(0, 0.03, 3)
    deviations = np.zeros_like(points)
    deviations[:, 0] = a * points[:, 0]
    deviations[:, 1] = b * points[:, 1]
    deviations[:, 2] = c * points[:, 1]
    return deviations


def meshes(motion: Motion) -> Array:
    """Return the meshes in pixels, (T, 468, 3)."""
    shape = canonical.neutral() + motion.arrays["expression"].astype(np.float64)
    return canonical.unpack_pose(motion.arrays["pose"], shape, SIZE).mesh()


def face(mesh: Array, gaze: Array | None = None) -> Face:
    """Return a face with that mesh (float64) and that gaze of its irises (default: camera)."""
    gaze = sliders.load_slider_shapes().gaze if gaze is None else gaze
    iris = np.zeros((2, 5, 2))
    for side, (left, right) in enumerate(((33, 133), (362, 263))):
        line = mesh[right, :2] - mesh[left, :2]
        across = np.array([-line[1], line[0]])
        iris[side] = (
            (mesh[right, :2] + mesh[left, :2]) / 2 + gaze[side, 0] * line + gaze[side, 1] * across
        )
    return Face(np.zeros(4, np.float32), 1.0, None, mesh, iris, 20.0, 0)  # type: ignore[arg-type]


def source(seed: int = 9, **slider_values: Any) -> Face:
    """Return another person in another pose and position."""
    curves = replace(sliders.SliderCurves(yaw=-4.0, pitch=3.0, x=0.3), **slider_values)
    motion = sliders.motion_from_sliders(curves, [0], TIME_BASE, (800, 900))
    expression = motion.arrays["expression"][0].astype(np.float64)
    shape = canonical.neutral() + identity_shape(seed) + expression
    return face(canonical.unpack_pose(motion.arrays["pose"][0], shape, (800, 900)).mesh())


def buffer(motion: Motion) -> MotionBuffer:
    return MotionBuffer(motion)


def with_gaps(motion: Motion, *gaps: tuple[int, int]) -> Motion:
    """Return the motion with frames start..stop of each gap undetected and their rows 0."""
    valid = motion.valid.copy()
    arrays = {k: v.copy() for k, v in motion.arrays.items()}
    for start, stop in gaps:
        valid[start:stop] = False
        for rows in arrays.values():
            rows[start:stop] = 0
        arrays["track"][start:stop] = -1
    return Motion(motion.kind, motion.pts, motion.time_base, valid, arrays, motion.constants)


def frames(count: int) -> list[Frame]:
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    return [Frame(pixels, i, TIME_BASE, i) for i in range(count)]
