"""A made-up driver and source for the motion tests: real shapes, moved by known numbers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from thcli.core.types import Array, Face, Frame, Motion
from thcli.motion import canonical
from thcli.motion import sliders as synth
from thcli.motion.file import MotionBuffer

TIME_BASE = Fraction(1, 25)
SIZE = (640, 480)


def script(count: int, *, turn: float = 8.0, seed: int = 3) -> synth.Script:
    """A lively talk: everything moves smoothly, eyes blink once a second."""
    t = np.arange(count) / 25
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, 4)
    return synth.Script(
        yaw=turn * np.sin(2 * t + phase[0]),
        pitch=0.6 * turn * np.sin(3 * t + phase[1]),
        roll=0.3 * turn * np.sin(t + phase[2]),
        x=0.08 * np.sin(1.5 * t),
        y=0.05 * np.cos(1.2 * t),
        zoom=1 + 0.05 * np.sin(t),
        blink=synth.blinks(t, np.arange(0.6, count / 25 + 1, 1.0).tolist()),
        jaw=0.25 * (1 + np.sin(9 * t + phase[3])),
        smile=0.3 + 0.3 * np.sin(t),
        gaze_x=0.08 * np.sin(2 * t),
        gaze_y=0.03 * np.cos(2 * t),
    )


def driver(count: int = 40, *, turn: float = 8.0, seed: int = 3, noise: float = 0.0) -> Motion:
    """Motion of kind "mesh" with float64 expressions and a person of his own; noise in canonical units."""
    motion = synth.motion(script(count, turn=turn, seed=seed), np.arange(count), TIME_BASE, SIZE)
    generator = np.random.default_rng(seed)
    expression = motion.arrays["expression"].astype(np.float64) + person(seed)
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


def person(seed: int) -> Array:
    """(468, 3) smooth symmetric deviations from the neutral mesh: another face, rigid points as they are."""
    points = canonical.neutral()
    a, b, c = np.random.default_rng(seed + 100).normal(0, 0.03, 3)
    out = np.zeros_like(points)
    out[:, 0] = a * points[:, 0]
    out[:, 1] = b * points[:, 1]
    out[:, 2] = c * points[:, 1]
    return out


def meshes(motion: Motion) -> Array:
    """(T, 468, 3) pixels."""
    shape = canonical.neutral() + motion.arrays["expression"].astype(np.float64)
    return canonical.unpack(motion.arrays["pose"], shape, SIZE).mesh()


def face(mesh: Array, gaze: Array | None = None) -> Face:
    """A face with that mesh (float64 kept) and irises that look there (default: into the camera)."""
    look = synth.shapes().gaze if gaze is None else gaze
    iris = np.zeros((2, 5, 2))
    for side, (left, right) in enumerate(((33, 133), (362, 263))):
        line = mesh[right, :2] - mesh[left, :2]
        across = np.array([-line[1], line[0]])
        iris[side] = (
            (mesh[right, :2] + mesh[left, :2]) / 2 + look[side, 0] * line + look[side, 1] * across
        )
    return Face(np.zeros(4, np.float32), 1.0, None, mesh, iris, 20.0, 0)  # type: ignore[arg-type]


def source(seed: int = 9, **sliders: Any) -> Face:
    """Another person in another pose and place."""
    motion = synth.motion(
        replace(synth.Script(yaw=-4.0, pitch=3.0, x=0.3), **sliders), [0], TIME_BASE, (800, 900)
    )
    shape = canonical.neutral() + person(seed) + motion.arrays["expression"][0].astype(np.float64)
    return face(canonical.unpack(motion.arrays["pose"][0], shape, (800, 900)).mesh())


def buffer(motion: Motion) -> MotionBuffer:
    return MotionBuffer(motion)


def hidden(motion: Motion, *gaps: tuple[int, int]) -> Motion:
    """The same with frames start..stop of each gap unseen (their rows zero, as observe leaves them)."""
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
