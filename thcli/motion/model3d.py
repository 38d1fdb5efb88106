"""Linear 3-D face model on the 468 points, free for any use: pose, identity and expression.

A mesh is decomposed into pose and canonical shape (`motion.canonical`). The shape is explained
jointly by shapes of identity and shapes of expression. The first expression coefficients are
the sliders of `motion.sliders`: a face moved by jaw 0.5 has coefficient jaw 0.5.

Shapes and deviations are in data/model3d.safetensors, computed by tools/make_face_model.py from
free recordings (London set and GRID, both CC BY 4.0).
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
IDENTITY_COUNT = 24
SLIDER_NAMES = ("jaw", "smile", "wide", "brow_left", "brow_right", "blink_left", "blink_right")
"""As in `sliders.SliderCurves`; left and right are those of the image."""
SYMMETRIC_NAMES = tuple(f"shape_{i}" for i in range(1, 9))
ASYMMETRIC_NAMES = tuple(f"side_{i}" for i in range(1, 5))
EXPRESSION_NAMES = (*SLIDER_NAMES, *SYMMETRIC_NAMES, *ASYMMETRIC_NAMES)
"""The sliders, then symmetric and one-sided shapes of speech and smiles beyond them.

A coefficient of 1 moves the points as far as jaw 1 does; typical values are 0.02 to 0.05.
"""
TRACKING_NOISE = 0.012  # deviation of a tracked point, canonical units


@dataclass(frozen=True, slots=True)
class Basis:
    """Linear basis of identity and expression.

    Attributes:
        identity: (24, 468, 3) displacement of the neutral mesh per coefficient, canonical units.
        expression: (19, 468, 3) the same for expression.
        projection: (43, 1404) linear map from shapes to coefficients.
    """

    identity: Array
    expression: Array
    projection: Array


@cache
def load_basis() -> Basis:
    """Load the bundled shapes and derive the linear map to their coefficients.

    The map gives the most probable coefficients for normally distributed coefficients and noise.
    Hidden expression shapes take part in the fit and are not reported, so that the identity of a
    moving face stays constant.
    """
    from safetensors.numpy import load

    table = load(files("thcli.motion").joinpath("data/model3d.safetensors").read_bytes())
    identity, expression = (
        np.asarray(table[name], np.float64) for name in ("identity", "expression")
    )
    spread = np.concatenate([np.ones(len(identity)), np.asarray(table["spread"], np.float64)])
    flat = np.concatenate([identity, expression]).reshape(len(spread), -1)
    projection = np.linalg.solve(flat @ flat.T + np.diag((TRACKING_NOISE / spread) ** 2), flat)
    reported = len(EXPRESSION_NAMES)
    return Basis(identity, expression[:reported], projection[: len(identity) + reported])


def project(shapes: Array) -> Array:
    """Return the coefficients (..., 43), identity first, of canonical shapes (..., 468, 3)."""
    displacement = (shapes - neutral()).reshape(*shapes.shape[:-2], -1)
    return np.asarray(displacement @ load_basis().projection.T)


def fit_coefficients(mesh: npt.ArrayLike) -> Coefficients:
    """Fit the coefficients of (N, 468, 3) meshes in pixels.

    Rotating, scaling or moving a mesh changes rotation, scale or translation alone.
    """
    posed = decompose(mesh)
    coefficients = project(posed.shape).astype(np.float32)
    return Coefficients(
        NAME,
        coefficients[:, :IDENTITY_COUNT],
        coefficients[:, IDENTITY_COUNT:],
        rotvec_from_matrix(posed.rotation).astype(np.float32),
        np.exp(posed.log_scale).astype(np.float32),
        posed.centre[:, :2].astype(np.float32),
    )


def reconstruct_shape(coefficients: Coefficients) -> Array:
    """Return the canonical shapes (N, 468, 3) of coefficients.

    Raises:
        ValueError: the coefficients are those of another model.
    """
    if coefficients.model != NAME:
        raise ValueError(f"coefficients of {coefficients.model} are not of {NAME}")
    basis = load_basis()
    identity = np.tensordot(np.asarray(coefficients.identity, np.float64), basis.identity, 1)
    return np.asarray(
        neutral()
        + identity
        + np.tensordot(np.asarray(coefficients.expression, np.float64), basis.expression, 1)
    )


class MeshModel:
    """FaceModel of faces with a mesh.

    Its own array is gaze (N, 2, 2) as in the motion file, zero without irises.
    """

    expression_names = EXPRESSION_NAMES
    uses_images = False

    def fit(self, images: Sequence[Image], faces: Sequence[Face]) -> Coefficients:
        """Fit the coefficients of the faces' meshes; the images are not used.

        Raises:
            NoFaceError: a face has no mesh.
        """
        meshes = [face.mesh for face in faces if face.mesh is not None]
        if len(meshes) < len(faces):
            raise NoFaceError(
                "A face has no mesh, which the model 'mesh' needs.",
                "Use --landmarker facemesh, or another --model3d.",
            )
        fitted = fit_coefficients(np.stack(meshes))
        gazes = [
            np.zeros((2, 2)) if f.iris is None or f.mesh is None else gaze(f.mesh, f.iris)
            for f in faces
        ]
        return Coefficients(
            fitted.model,
            fitted.identity,
            fitted.expression,
            fitted.rotation,
            fitted.scale,
            fitted.translation,
            {"gaze": np.stack(gazes).astype(np.float32)},
        )


def load(run: RunOptions) -> MeshModel:
    """Return the model; it needs no weights."""
    return MeshModel()
