"""Transfer of the driver's pose and expression to the source, in numpy.

It is relative or absolute, and may be limited to a region of the face. Rotations are kept as in
LivePortrait: points are rows, so a face is `canonical @ rotation`.
Source: LivePortrait src/{live_portrait_pipeline,utils/camera,utils/helper}.py at 1986663.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from thcli.core.geometry import matrix_from_rotvec, rotvec_from_matrix
from thcli.core.options import Region
from thcli.core.types import Array32
from thcli.engines.shared.motion_rows import Rows

Mask = npt.NDArray[np.bool_]


class HeadMotion(NamedTuple):
    """Head motion of T frames.

    scale: (T, 1).  rotation: (T, 3, 3).  expression: (T, 21, 3).  shift: (T, 3).
    """

    scale: Array32
    rotation: Array32
    expression: Array32
    shift: Array32

    @classmethod
    def from_rows(cls, rows: Rows) -> HeadMotion:
        """Read a motion's rows: scale, angles, expression, shift."""
        return cls(rows["scale"], rotation(rows["angles"]), rows["expression"], rows["shift"])

    def keypoints(self, canonical: Array32) -> Array32:
        """Compute the keypoints (T, 21, 3) of a face with canonical keypoints (..., 21, 3).

        They are scale * (canonical R + expression), shifted in x and y alone.
        """
        rotated = canonical @ self.rotation + self.expression
        flat = np.concatenate([self.shift[:, :2], np.zeros_like(self.shift[:, :1])], 1)
        return np.asarray(self.scale[:, :, None] * rotated + flat[:, None], np.float32)


def rotation(angles: npt.ArrayLike) -> Array32:
    """Compute (..., 3, 3) float32 rotations from (..., 3) pitch, yaw, roll in degrees.

    A rotation is the transpose of Rz(roll) Ry(yaw) Rx(pitch).
    """
    pitch, yaw, roll = np.moveaxis(np.deg2rad(np.asarray(angles, np.float64)), -1, 0)
    c, s, zero, one = np.cos, np.sin, np.zeros_like(yaw), np.ones_like(yaw)
    about_x = [[one, zero, zero], [zero, c(pitch), -s(pitch)], [zero, s(pitch), c(pitch)]]
    about_y = [[c(yaw), zero, s(yaw)], [zero, one, zero], [-s(yaw), zero, c(yaw)]]
    about_z = [[c(roll), -s(roll), zero], [s(roll), c(roll), zero], [zero, zero, one]]
    x, y, z = (np.moveaxis(np.array(m), (0, 1), (-2, -1)) for m in (about_x, about_y, about_z))
    return np.asarray(np.swapaxes(z @ y @ x, -1, -2), np.float32)


def turn_head(rows: Rows, turn: Array32) -> HeadMotion:
    """Read a motion's rows with the head turned further by (3,) degrees."""
    return HeadMotion.from_rows({**rows, "angles": rows["angles"] + turn})


def _keypoint_mask(*indices: int) -> Mask:
    mask = np.zeros((21, 3), bool)
    mask[list(indices)] = True
    return mask


LIPS = _keypoint_mask(6, 12, 14, 17, 19, 20)
EYES = _keypoint_mask(11, 13, 15, 16, 18)
TRANSFERABLE = _keypoint_mask(1, 2, 6, *range(11, 21))
"""(21, 3) coordinates of another face's expression that transfer; the rest belongs to its shape."""
TRANSFERABLE[[3, 4], 1] = TRANSFERABLE[[5, 8, 9], 2] = TRANSFERABLE[9, 1] = True


@cache
def resting_lips() -> Array32:
    """Load the expression (21, 3) of closed, resting lips. Read-only.

    It is the reference of a driver that is a single image. Source: LivePortrait's lip_array.
    """
    with (
        as_file(files("thcli.engines.liveportrait").joinpath("resting_lips.npz")) as path,
        np.load(path, allow_pickle=False) as table,
    ):
        expression: Array32 = table["expression"]
    expression.flags.writeable = False
    return expression


class TransferGains(NamedTuple):
    """Shares of the driver's motion that are transferred.

    region: as in MotionOptions.  pose, expression: shares of the head's and the face's motion.
    """

    region: Region = "all"
    pose: float = 1.0
    expression: float = 1.0

    @property
    def moves_head(self) -> bool:
        """True when the head moves."""
        return self.region in ("all", "pose")

    def mask(self, whole: Mask | bool) -> Mask:
        """Return the (21, 3) coordinates whose expression moves.

        whole: the coordinates of the regions "all" and "expression".
        """
        masks = {"lips": LIPS, "eyes": EYES, "pose": np.zeros((21, 3), bool)}
        return np.broadcast_to(masks.get(self.region, whole), (21, 3))


def transfer_relative(
    own: HeadMotion, driving: HeadMotion, first: HeadMotion, gains: TransferGains
) -> HeadMotion:
    """Add the driver's change since its reference frame to the source's own motion.

    Args:
        own: the source's motion (1 row).
        driving: the driver's motion (T rows).
        first: the driver's reference frame (1 row).
        gains: shares that are transferred.
    """
    change = driving.expression - first.expression
    out = own._replace(expression=_add_expression(own.expression, change, gains, whole=True))
    if gains.moves_head:
        turn = driving.rotation @ np.swapaxes(first.rotation, -1, -2)
        shift = own.shift + np.float32(gains.pose) * (driving.shift - first.shift)
        out = out._replace(rotation=rotate_by(own.rotation, turn, gains.pose), shift=shift)
    if gains.region == "all":
        growth = 1 + np.float32(gains.pose) * (driving.scale / first.scale - 1)
        out = out._replace(scale=own.scale * growth)
    return _broadcast(out, len(driving.scale))


def transfer_relative_to_rest(
    own: HeadMotion, driving: HeadMotion, gains: TransferGains
) -> HeadMotion:
    """Add a single driving image's expression, relative to resting lips, to the source's own.

    The driver's pose is ignored.
    """
    rest = np.zeros_like(resting_lips()) if gains.region == "eyes" else resting_lips()
    change = driving.expression - rest
    expression = _add_expression(own.expression, change, gains, whole=True)
    return _broadcast(own._replace(expression=expression), len(driving.scale))


def transfer_absolute(own: HeadMotion, driving: HeadMotion, gains: TransferGains) -> HeadMotion:
    """Take the driver's pose, position and the transferable part of its expression.

    The scale stays the source's.
    """
    change = driving.expression - own.expression
    expression = _add_expression(own.expression, change, gains, whole=TRANSFERABLE)
    out = own._replace(expression=expression)
    if gains.moves_head:
        turn = driving.rotation @ np.swapaxes(own.rotation, -1, -2)
        rotated = driving.rotation if gains.pose == 1 else rotate_by(own.rotation, turn, gains.pose)
        shift = own.shift + np.float32(gains.pose) * (driving.shift - own.shift)
        out = out._replace(rotation=rotated, shift=shift)
    return _broadcast(out, len(driving.scale))


def _add_expression(
    own: Array32, change: Array32, gains: TransferGains, whole: Mask | bool
) -> Array32:
    return np.where(gains.mask(whole), own + np.float32(gains.expression) * change, own)


def rotate_by(own: Array32, turn: Array32, share: float) -> Array32:
    """Rotate heads (T, 3, 3) by a share of a rotation (T, 3, 3)."""
    if share != 1:
        vector = share * rotvec_from_matrix(turn.astype(np.float64))
        turn = matrix_from_rotvec(vector).astype(np.float32)
    return turn @ own


def _broadcast(motion: HeadMotion, frames: int) -> HeadMotion:
    """Repeat arrays of one row, so that every array has a row for each frame."""
    return HeadMotion(
        *(
            np.broadcast_to(a, (max(frames, len(a)), *a.shape[1:])).astype(np.float32)
            for a in motion
        )
    )
