"""Numbers that a frame of each kind of motion is coded as, and their steps.

Kind "mesh": rigid pose, coefficients of a fixed basis of expression on the change since a key
shape, gaze. Kind "facevid2vid": angles, shift and 15 displacements, the 51 numbers of Wang, Mallya
& Liu 2021 (arXiv 2011.15126), sec. 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Protocol

import numpy as np

from thcli.core.types import AnyArray, Array, Motion
from thcli.faces.landmarks.topology import POINTS
from thcli.motion.canonical import neutral

_SHAPE_STEP = 0.003  # of a key shape, in canonical units
_POSE_STEPS = [0.0015] * 3 + [0.0006] + [0.0004] * 2 + [0.004]
_EXPRESSION_STEP, _GAZE_STEP = 0.002, 0.008
_ANGLE_STEP, _SHIFT_STEP, _DISPLACEMENT_STEP = 0.1, 0.001, 0.001
_MAX_DRIFT = 0.035  # canonical units, weighted root mean square


class Layout(Protocol):
    """Numbers of one kind of motion.

    steps: (N,) quantiser steps at the finest quality.
    key_size: integers of a key shape, 0 for none.
    """

    steps: Array
    key_size: int

    def key(self, motion: Motion) -> Array:
        """Return the key shape of a row, in steps, (key_size,)."""
        ...

    def analyse(self, motion: Motion, key: Array) -> Array:
        """Return the numbers (N,) of a row, given the rounded key shape."""
        ...

    def synthesise(self, numbers: Array, key: Array) -> Mapping[str, AnyArray]:
        """Return the arrays of a row, each (1, ...)."""
        ...

    def constants(self, size: tuple[int, int]) -> Mapping[str, AnyArray]:
        """Return the motion's constants. size: (width, height) of the sender's frames."""
        ...

    def has_drifted(self, motion: Motion, numbers: Array, key: Array) -> bool:
        """Return whether a decoded row is too far from the true one for its key shape."""
        ...


class MeshLayout:
    """Layout of kind "mesh"."""

    key_size = 3 * POINTS

    def __init__(self) -> None:
        self._basis, self._analysis, self._weights = _load_basis()
        expression = [_EXPRESSION_STEP] * len(self._basis)
        self.steps = np.array([*_POSE_STEPS, *expression, *[_GAZE_STEP] * 4])

    def key(self, motion: Motion) -> Array:
        return np.asarray(_expression(motion) / _SHAPE_STEP)

    def analyse(self, motion: Motion, key: Array) -> Array:
        change = _expression(motion) - key * _SHAPE_STEP
        rows = motion.arrays
        pose, gaze = np.asarray(rows["pose"][0]), np.asarray(rows["gaze"][0]).ravel()
        return np.concatenate([pose, self._analysis @ change, gaze]).astype(np.float64)

    def synthesise(self, numbers: Array, key: Array) -> Mapping[str, AnyArray]:
        expression = key * _SHAPE_STEP + numbers[7:-4] @ self._basis
        return {
            "pose": numbers[None, :7],
            "expression": expression.reshape(1, POINTS, 3).astype(np.float32),
            "gaze": numbers[-4:].reshape(1, 2, 2).astype(np.float32),
        }

    def constants(self, size: tuple[int, int]) -> Mapping[str, AnyArray]:
        return {"neutral": neutral(), "size": np.array(size, np.int64)}

    def has_drifted(self, motion: Motion, numbers: Array, key: Array) -> bool:
        """Compare the shapes, lips and lids above all: what the basis cannot express."""
        made = self.synthesise(numbers, key)["expression"]
        error = np.asarray(made, np.float64).ravel() - _expression(motion)
        return bool(np.sqrt(self._weights @ error**2) > _MAX_DRIFT)


class FaceVid2VidLayout:
    """Layout of kind "facevid2vid"."""

    key_size = 0
    steps = np.array([_ANGLE_STEP] * 3 + [_SHIFT_STEP] * 3 + [_DISPLACEMENT_STEP] * 45)

    def key(self, motion: Motion) -> Array:
        return np.zeros(0)

    def analyse(self, motion: Motion, key: Array) -> Array:
        names = ("angles", "shift", "expression")
        return np.concatenate([np.ravel(motion.arrays[name][0]) for name in names]).astype(float)

    def synthesise(self, numbers: Array, key: Array) -> Mapping[str, AnyArray]:
        rows = numbers.astype(np.float32)
        return {
            "angles": rows[None, :3],
            "shift": rows[None, 3:6],
            "expression": rows[6:].reshape(1, 15, 3),
        }

    def constants(self, size: tuple[int, int]) -> Mapping[str, AnyArray]:
        return {}

    def has_drifted(self, motion: Motion, numbers: Array, key: Array) -> bool:
        """Return False: every number is coded, so the error is the quantiser's."""
        return False


def make_layout(kind: str) -> Layout:
    """Return the layout of a kind of motion, one of `format.KINDS`."""
    return MeshLayout() if kind == "mesh" else FaceVid2VidLayout()


def _expression(motion: Motion) -> Array:
    return np.asarray(motion.arrays["expression"][0], np.float64).ravel()


@cache
def _load_basis() -> tuple[Array, Array, Array]:
    """Return the basis (K, 1404), the analysis (K, 1404) and the coordinates' weights (1404,).

    The analysis gives the coefficients of least weighted squares; the weights add up to 1 a
    coordinate axis.
    """
    from safetensors.numpy import load

    data = files("thcli.motion").joinpath("data/expression_basis.safetensors").read_bytes()
    tensors = load(data)
    basis = tensors["basis"].astype(np.float64)
    weights = np.repeat(tensors["weights"].astype(np.float64), 3)
    weights /= weights.sum()
    weighted = basis * weights
    analysis = np.asarray(np.linalg.solve(weighted @ basis.T, weighted), np.float64)
    return basis, analysis, weights
