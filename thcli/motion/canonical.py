"""The canonical frame: every face as a head pose times a frontal mesh of unit size.

Convention: canonical axes are the picture's (x right, y down, z away from the camera); the origin is the weighted centre of
the rigid points, the unit is the distance of the outer eye corners (33-263) of the neutral mesh. A mesh in pixels is

    mesh = exp(log_scale) * shape @ rotation^T + centre            shape = neutral + expression

Positive rotation about x looks down, about y turns the nose to the picture's left, about z tilts clockwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from thcli.core.geometry import fit_similarity, matrix_from_rotvec, rotvec_from_matrix
from thcli.core.types import Array
from thcli.faces.landmarks import topology
from thcli.motion import anatomy

POINTS = topology.POINTS
RIGID = np.flatnonzero(topology.RIGID_WEIGHTS)
RIGID_WEIGHTS: Array = topology.RIGID_WEIGHTS[RIGID] / topology.RIGID_WEIGHTS.sum()


@cache
def neutral() -> Array:
    """The neutral mesh, (468, 3) float64: the symmetric mean of 93 neutral faces (London set, CC BY 4.0; tools/make_motion_data.py)."""
    from safetensors.numpy import load

    content = files("thcli.motion").joinpath("data/face.safetensors").read_bytes()
    return np.asarray(load(content)["neutral"], np.float64)


@dataclass(frozen=True, slots=True)
class Posed:
    """Faces as pose and shape. rotation: (..., 3, 3).  log_scale: (...,) of pixels a canonical unit.  centre: (..., 3) pixels.  shape: (..., 468, 3)."""

    rotation: Array
    log_scale: Array
    centre: Array
    shape: Array

    def mesh(self) -> Array:
        """(..., 468, 3) pixels."""
        turned = self.shape @ np.swapaxes(self.rotation, -1, -2)
        return np.asarray(
            np.exp(self.log_scale)[..., None, None] * turned + self.centre[..., None, :]
        )


def decompose(mesh: npt.ArrayLike) -> Posed:
    """Pose and canonical shape of (..., 468, 3) meshes in pixels; `Posed.mesh` is its exact inverse."""
    points = np.asarray(mesh, np.float64)
    scale, rotation, shift = fit_similarity(neutral()[RIGID], points[..., RIGID, :], RIGID_WEIGHTS)
    shape = (points - shift[..., None, :]) @ rotation / scale[..., None, None]
    return Posed(rotation, np.log(scale), shift, shape)


def pack(posed: Posed, size: tuple[int, int]) -> Array:
    """Poses as rows (..., 7) free of the picture's size: rotation vector, log(scale / height), (centre - the picture's middle) / height."""
    width, height = size
    middle = np.array([(width - 1) / 2, (height - 1) / 2, 0.0])
    rotvec = rotvec_from_matrix(posed.rotation)
    log_scale = posed.log_scale[..., None] - np.log(height)
    return np.concatenate([rotvec, log_scale, (posed.centre - middle) / height], -1)


def unpack(pose: npt.ArrayLike, shape: npt.ArrayLike, size: tuple[int, int]) -> Posed:
    """The inverse of `pack`."""
    rows = np.asarray(pose, np.float64)
    width, height = size
    middle = np.array([(width - 1) / 2, (height - 1) / 2, 0.0])
    rotation = matrix_from_rotvec(rows[..., :3])
    return Posed(
        rotation,
        rows[..., 3] + np.log(height),
        rows[..., 4:7] * height + middle,
        np.asarray(shape, np.float64),
    )


def rigid_fit(src: npt.ArrayLike, dst: npt.ArrayLike) -> tuple[Array, Array, Array]:
    """`fit_similarity` on the rigid points of (..., 468, 3) meshes: no jaw, lip or brow takes part."""
    x, y = np.asarray(src)[..., RIGID, :], np.asarray(dst)[..., RIGID, :]
    return fit_similarity(x, y, RIGID_WEIGHTS)


def eye_openings(shape: npt.ArrayLike) -> Array:
    """(..., 2) mean lid gap / eye width of canonical (..., 468, 3) shapes, the picture's left eye first: about .2-.3 open, .03-.05 shut."""
    plane = np.asarray(shape)[..., :2]
    both = []
    for columns, corners in zip(topology.LIDS, topology.EYE_CORNERS, strict=True):
        gap = plane[..., columns.upper, :] - plane[..., columns.lower, :]
        width = plane[..., corners[1], :] - plane[..., corners[0], :]
        both.append(
            np.linalg.norm(gap, axis=-1).mean(-1) / np.maximum(np.linalg.norm(width, axis=-1), 1e-9)
        )
    return np.stack(both, -1)


def lip_gaps(shape: npt.ArrayLike) -> Array:
    """(..., 9) signed gaps of the inner lips along the face's own vertical, canonical units, from the picture's left to its right."""
    y = np.asarray(shape)[..., 1]
    return np.asarray(y[..., topology.LIPS.lower] - y[..., topology.LIPS.upper])


def mouth_opening(shape: npt.ArrayLike) -> Array:
    """(...,) mean inner lip gap / mouth width of canonical shapes: 0 closed, about .5 wide open."""
    plane = np.asarray(shape)[..., :2]
    width = np.linalg.norm(
        plane[..., anatomy.INNER_MOUTH_CORNERS[1], :]
        - plane[..., anatomy.INNER_MOUTH_CORNERS[0], :],
        axis=-1,
    )
    return np.asarray(np.maximum(lip_gaps(shape), 0).mean(-1) / np.maximum(width, 1e-9))


def gaze(mesh: npt.ArrayLike, iris: npt.ArrayLike) -> Array:
    """Where each iris lies in its eye, (..., 2, 2) in eye widths from the middle of the corners.

    mesh: (..., 468, 3) and iris: (..., 2, 5, 2), both pixels. Along: from the corner on the picture's left to the one on its right
    (33 to 133, 362 to 263); across: a quarter turn further, downwards. The picture's left eye first.
    """
    points, centres = np.asarray(mesh, np.float64)[..., :2], np.asarray(iris, np.float64)[..., 0, :]
    both = []
    for side, (left, right) in enumerate(topology.EYE_CORNERS):
        line = points[..., right, :] - points[..., left, :]
        offset = centres[..., side, :] - (points[..., right, :] + points[..., left, :]) / 2
        square = np.maximum((line**2).sum(-1), 1e-9)
        along = (offset * line).sum(-1) / square
        across = (offset[..., 1] * line[..., 0] - offset[..., 0] * line[..., 1]) / square
        both.append(np.stack([along, across], -1))
    return np.stack(both, -2)
