"""Our own 3-D face model, free for any use: pose, identity and expression in a few numbers, from the 468 points alone.

A mesh is taken apart into pose and canonical shape (`motion.canonical`); the shape is then explained, both together, by shapes that
persons differ in and shapes that faces move by. The expression comes first as sliders with a meaning, those of `motion.sliders`:
a face that is moved by jaw 0.5 reads jaw 0.5.

Shapes and spreads stand in data/model3d.safetensors, made by tools/make_face_model.py of free recordings (London set and GRID,
both CC BY 4.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from thcli.core.errors import NoFaceError
from thcli.core.geometry import rotvec_from_matrix
from thcli.core.options import RunOptions
from thcli.core.types import Array, Coefficients, Face, Image
from thcli.motion.canonical import decompose, gaze, neutral

NAME = "mesh"
IDENTITY = 24
SLIDERS = ("jaw", "smile", "wide", "brow_left", "brow_right", "blink_left", "blink_right")
"""As in `synth.Script`; left and right are the picture's."""
SHAPES = tuple(f"shape_{i}" for i in range(1, 9))
SIDES = tuple(f"side_{i}" for i in range(1, 5))
EXPRESSION = (*SLIDERS, *SHAPES, *SIDES)
"""The sliders, then what speech and smiles have beyond them, symmetric and one-sided; 1 moves the points as far as jaw 1 does, .02 to .05 is
usual."""
NOISE = 0.012  # canonical units by which a tracked point is off


@dataclass(frozen=True, slots=True)
class Basis:
    """identity: (24, 468, 3), expression: (19, 468, 3), what a number of 1 adds to the neutral mesh, canonical units.  reader: (43, 1404) shape to numbers."""

    identity: Array
    expression: Array
    reader: Array


@cache
def basis() -> Basis:
    """The bundled shapes, and the linear map that finds their numbers: the most probable ones when numbers and noise are normal.

    Hidden shapes of expression take part in the search and are not reported, so that a face that moves stays the same person.
    """
    from safetensors.numpy import load

    table = load(files("thcli.motion").joinpath("data/model3d.safetensors").read_bytes())
    identity, expression = (
        np.asarray(table[name], np.float64) for name in ("identity", "expression")
    )
    spread = np.concatenate([np.ones(len(identity)), np.asarray(table["spread"], np.float64)])
    flat = np.concatenate([identity, expression]).reshape(len(spread), -1)
    reader = np.linalg.solve(flat @ flat.T + np.diag((NOISE / spread) ** 2), flat)
    shown = len(EXPRESSION)
    return Basis(identity, expression[:shown], reader[: len(identity) + shown])


def describe(mesh: npt.ArrayLike) -> Coefficients:
    """The numbers of (N, 468, 3) meshes in pixels. Turning, growing or moving a mesh changes rotation, scale or translation alone."""
    posed = decompose(mesh)
    rest = (posed.shape - neutral()).reshape(len(posed.shape), -1)
    numbers = (rest @ basis().reader.T).astype(np.float32)
    return Coefficients(
        NAME,
        numbers[:, :IDENTITY],
        numbers[:, IDENTITY:],
        rotvec_from_matrix(posed.rotation).astype(np.float32),
        np.exp(posed.log_scale).astype(np.float32),
        posed.centre[:, :2].astype(np.float32),
    )


def shape(numbers: Coefficients) -> Array:
    """(N, 468, 3) canonical shapes that the numbers stand for. Raises ValueError for numbers of another model."""
    if numbers.model != NAME:
        raise ValueError(f"numbers of {numbers.model} are not of {NAME}")
    table = basis()
    person = np.tensordot(np.asarray(numbers.identity, np.float64), table.identity, 1)
    return np.asarray(
        neutral()
        + person
        + np.tensordot(np.asarray(numbers.expression, np.float64), table.expression, 1)
    )


class MeshModel:
    """The FaceModel of faces that have a mesh. own: gaze (N, 2, 2) as in the motion file, zero without irises."""

    expression_names = EXPRESSION
    uses_pictures = False

    def fit(self, pictures: Sequence[Image], faces: Sequence[Face]) -> Coefficients:
        """The pictures are not looked at. Raises NoFaceError for a face without a mesh."""
        meshes = [face.mesh for face in faces if face.mesh is not None]
        if len(meshes) < len(faces):
            raise NoFaceError(
                "A face has no mesh, which the model 'mesh' reads.",
                "Use --landmarker facemesh, or another --model3d.",
            )
        found = describe(np.stack(meshes))
        looks = [
            np.zeros((2, 2)) if f.iris is None or f.mesh is None else gaze(f.mesh, f.iris)
            for f in faces
        ]
        return Coefficients(
            found.model,
            found.identity,
            found.expression,
            found.rotation,
            found.scale,
            found.translation,
            {"gaze": np.stack(looks).astype(np.float32)},
        )


def load(run: RunOptions) -> MeshModel:
    """Needs no weights."""
    return MeshModel()
