"""Canonical face frame: every face as a head pose times a frontal mesh of unit size.

Canonical axes are those of the image (x right, y down, z away from the camera). The origin is the
weighted centre of the rigid points. The unit is the distance of the outer eye corners (33-263)
of the neutral mesh. A mesh in pixels is

    mesh = exp(log_scale) * shape @ rotation^T + centre            shape = neutral + expression

Positive rotation about x looks down, about y turns the nose to the image's left, about z tilts
clockwise.
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
    """Return the neutral mesh, (468, 3) float64.

    It is the symmetric mean of 93 neutral faces (London set, CC BY 4.0; tools/make_motion_data.py).
    """
    from safetensors.numpy import load

    content = files("thcli.motion").joinpath("data/face.safetensors").read_bytes()
    return np.asarray(load(content)["neutral"], np.float64)


def neutral_distances(points: npt.NDArray[np.integer]) -> Array:
    """Return each point's distance (468,) to the nearest of some in the neutral mesh, x and y."""
    flat = neutral()[:, :2]
    return np.asarray(np.linalg.norm(flat[:, None] - flat[points], axis=-1).min(1))


@dataclass(frozen=True, slots=True)
class PosedShape:
    """Faces as head pose and canonical shape.

    Attributes:
        rotation: (..., 3, 3).
        log_scale: (...,) log of pixels per canonical unit.
        centre: (..., 3) pixels.
        shape: (..., 468, 3) canonical units.
    """

    rotation: Array
    log_scale: Array
    centre: Array
    shape: Array

    def mesh(self) -> Array:
        """Return the mesh in pixels, (..., 468, 3)."""
        rotated = self.shape @ np.swapaxes(self.rotation, -1, -2)
        return np.asarray(
            np.exp(self.log_scale)[..., None, None] * rotated + self.centre[..., None, :]
        )


def decompose(mesh: npt.ArrayLike) -> PosedShape:
    """Decompose meshes (..., 468, 3) in pixels into pose and canonical shape.

    `PosedShape.mesh` is the exact inverse.
    """
    points = np.asarray(mesh, np.float64)
    scale, rotation, shift = fit_similarity(neutral()[RIGID], points[..., RIGID, :], RIGID_WEIGHTS)
    shape = (points - shift[..., None, :]) @ rotation / scale[..., None, None]
    return PosedShape(rotation, np.log(scale), shift, shape)


def pack_pose(posed: PosedShape, size: tuple[int, int]) -> Array:
    """Return poses as rows (..., 7) that do not depend on the frame size.

    Columns: rotation vector, log(scale / height), (centre - frame centre) / height.
    """
    width, height = size
    frame_centre = np.array([(width - 1) / 2, (height - 1) / 2, 0.0])
    rotvec = rotvec_from_matrix(posed.rotation)
    log_scale = posed.log_scale[..., None] - np.log(height)
    return np.concatenate([rotvec, log_scale, (posed.centre - frame_centre) / height], -1)


def unpack_pose(pose: npt.ArrayLike, shape: npt.ArrayLike, size: tuple[int, int]) -> PosedShape:
    """Invert `pack_pose`."""
    rows = np.asarray(pose, np.float64)
    width, height = size
    frame_centre = np.array([(width - 1) / 2, (height - 1) / 2, 0.0])
    rotation = matrix_from_rotvec(rows[..., :3])
    return PosedShape(
        rotation,
        rows[..., 3] + np.log(height),
        rows[..., 4:7] * height + frame_centre,
        np.asarray(shape, np.float64),
    )


def fit_rigid_points(src: npt.ArrayLike, dst: npt.ArrayLike) -> tuple[Array, Array, Array]:
    """Apply `fit_similarity` to the rigid points of meshes (..., 468, 3): no jaw, lips or brows."""
    x, y = np.asarray(src)[..., RIGID, :], np.asarray(dst)[..., RIGID, :]
    return fit_similarity(x, y, RIGID_WEIGHTS)


def eye_openings(shape: npt.ArrayLike) -> Array:
    """Return mean lid gap over eye width of canonical shapes (..., 468, 3), (..., 2).

    The eye on the image's left comes first. Open eyes have 0.2 to 0.3, shut eyes 0.03 to 0.05.
    """
    plane = np.asarray(shape)[..., :2]
    openings = []
    for rims, corners in zip(topology.LIDS, topology.EYE_CORNERS, strict=True):
        gap = plane[..., rims.upper, :] - plane[..., rims.lower, :]
        width = plane[..., corners[1], :] - plane[..., corners[0], :]
        openings.append(
            np.linalg.norm(gap, axis=-1).mean(-1) / np.maximum(np.linalg.norm(width, axis=-1), 1e-9)
        )
    return np.stack(openings, -1)


def lip_gaps(shape: npt.ArrayLike) -> Array:
    """Return signed gaps of the inner lips along the face's vertical, (..., 9) canonical units.

    The gaps are ordered from left to right in the image.
    """
    y = np.asarray(shape)[..., 1]
    return np.asarray(y[..., topology.LIPS.lower] - y[..., topology.LIPS.upper])


def mouth_opening(shape: npt.ArrayLike) -> Array:
    """Return mean inner lip gap over mouth width of canonical shapes, (...,).

    A closed mouth has 0, a wide open one about 0.5.
    """
    plane = np.asarray(shape)[..., :2]
    width = np.linalg.norm(
        plane[..., anatomy.INNER_MOUTH_CORNERS[1], :]
        - plane[..., anatomy.INNER_MOUTH_CORNERS[0], :],
        axis=-1,
    )
    return np.asarray(np.maximum(lip_gaps(shape), 0).mean(-1) / np.maximum(width, 1e-9))


def gaze(mesh: npt.ArrayLike, iris: npt.ArrayLike) -> Array:
    """Return the offset of each iris from the middle of its eye's corners in eye widths.

    The first axis is along the line from the corner on the image's left to the one on its right (33
    to 133, 362 to 263); the second is a quarter turn further, downwards.

    Args:
        mesh: (..., 468, 3) pixels.
        iris: (..., 2, 5, 2) pixels.

    Returns:
        (..., 2, 2), the eye on the image's left first.
    """
    points, centres = np.asarray(mesh, np.float64)[..., :2], np.asarray(iris, np.float64)[..., 0, :]
    offsets = []
    for side, (left, right) in enumerate(topology.EYE_CORNERS):
        line = points[..., right, :] - points[..., left, :]
        offset = centres[..., side, :] - (points[..., right, :] + points[..., left, :]) / 2
        squared_width = np.maximum((line**2).sum(-1), 1e-9)
        along = (offset * line).sum(-1) / squared_width
        across = (offset[..., 1] * line[..., 0] - offset[..., 0] * line[..., 1]) / squared_width
        offsets.append(np.stack([along, across], -1))
    return np.stack(offsets, -2)
