"""From the driver's pose and expression to the source's, in numpy: which part of which keypoint moves, relative and absolute.

Rotations are kept as LivePortrait has them: points are rows, so a face is `canonical @ rotation`.
Source: LivePortrait src/{live_portrait_pipeline,utils/camera,utils/helper}.py at 1986663.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from thcli.core.geometry import matrix_from_rotvec, rotvec_from_matrix
from thcli.core.options import Region
from thcli.core.types import Array32
from thcli.engines.shared.motion_rows import Rows

Mask = npt.NDArray[np.bool_]


class Moves(NamedTuple):
    """Of each frame: scale (T, 1), rotation (T, 3, 3), expression (T, 21, 3), shift (T, 3)."""

    scale: Array32
    rotation: Array32
    expression: Array32
    shift: Array32

    @classmethod
    def of(cls, rows: Rows) -> Moves:
        """Of a motion's rows: scale, angles, expression, shift."""
        return cls(rows["scale"], rotation(rows["angles"]), rows["expression"], rows["shift"])

    def place(self, canonical: Array32) -> Array32:
        """The keypoints (T, 21, 3) of a face (..., 21, 3): scale (canonical R + expression), shifted in x and y alone."""
        turned = canonical @ self.rotation + self.expression
        flat = np.concatenate([self.shift[:, :2], np.zeros_like(self.shift[:, :1])], 1)
        return np.asarray(self.scale[:, :, None] * turned + flat[:, None], np.float32)


def rotation(angles: npt.ArrayLike) -> Array32:
    """(..., 3) pitch, yaw, roll in degrees -> (..., 3, 3): the transpose of Rz(roll) Ry(yaw) Rx(pitch), float32."""
    pitch, yaw, roll = np.moveaxis(np.deg2rad(np.asarray(angles, np.float64)), -1, 0)
    c, s, zero, one = np.cos, np.sin, np.zeros_like(yaw), np.ones_like(yaw)
    about_x = [[one, zero, zero], [zero, c(pitch), -s(pitch)], [zero, s(pitch), c(pitch)]]
    about_y = [[c(yaw), zero, s(yaw)], [zero, one, zero], [-s(yaw), zero, c(yaw)]]
    about_z = [[c(roll), -s(roll), zero], [s(roll), c(roll), zero], [zero, zero, one]]
    x, y, z = (np.moveaxis(np.array(m), (0, 1), (-2, -1)) for m in (about_x, about_y, about_z))
    return np.asarray(np.swapaxes(z @ y @ x, -1, -2), np.float32)


def turned(rows: Rows, turn: Array32) -> Moves:
    """The moves of a motion's rows, the head turned further by so many degrees (3,)."""
    return Moves.of({**rows, "angles": rows["angles"] + turn})


def _points(*which: int) -> Mask:
    mask = np.zeros((21, 3), bool)
    mask[list(which)] = True
    return mask


LIPS = _points(6, 12, 14, 17, 19, 20)
EYES = _points(11, 13, 15, 16, 18)
# What of another face's expression can be taken as it is: the rest belongs to its shape.
CARRIED = _points(1, 2, 6, *range(11, 21))
CARRIED[[3, 4], 1] = CARRIED[[5, 8, 9], 2] = CARRIED[9, 1] = True

# The expression of closed, resting lips: what stands for the reference when the driver is a single picture.
# fmt: off
RESTING_LIPS = np.array([
    [-9.4524e-05, 0.00024222, -4.00974e-05], [0.000208596, 0.000468054, 1.27464e-05], [-0.000124602, 0.000324972, 4.425e-06],
    [0.000119652, -0.000456624, 5.40852e-05], [-0.000265254, -7.4598e-05, -1.5528e-05], [-3.34884e-05, -0.000183036, -3.49404e-06],
    [-4.75428e-07, -4.52466e-07, 1.59498e-06], [-0.000541296, 0.0026328, 7.2486e-06], [-1.1694e-05, 5.00502e-06, 9.9888e-06],
    [8.0286e-07, 5.19132e-06, -0.000409344], [0.000166878, -1.9815e-05, -8.8548e-05], [-1.51536e-05, 8.2506e-05, 5.94012e-06],
    [-2.61054e-07, 2.7591e-06, 2.21028e-06], [-6.6282e-05, -6.8286e-05, -3.45318e-06], [-0.00083262, -0.00179592, -2.59176e-06],
    [6.9714e-06, 3.65514e-05, -1.8978e-06], [-4.80876e-06, 7.1148e-06, -1.03236e-05], [-0.00063684, -0.0011661, 5.62314e-05],
    [0.00028329, -1.45656e-05, 1.09746e-05], [-4.16022e-06, -0.0150906, -0.0025494], [0.000222474, 0.00562788, 0.00272646],
], np.float32)
# fmt: on


class Gains(NamedTuple):
    """What is taken over. region: as in MotionOptions.  pose, expression: shares of the head's and of the face's motion."""

    region: Region = "all"
    pose: float = 1.0
    expression: float = 1.0

    @property
    def turns(self) -> bool:
        """Whether the head moves."""
        return self.region in ("all", "pose")

    def mask(self, whole: Mask | bool) -> Mask:
        """(21, 3): the coordinates whose expression moves; whole: those of the regions all and expression."""
        masks = {"lips": LIPS, "eyes": EYES, "pose": np.zeros((21, 3), bool)}
        return np.broadcast_to(masks.get(self.region, whole), (21, 3))


def relative(own: Moves, driving: Moves, first: Moves, gains: Gains) -> Moves:
    """What changed in the driver since its reference frame `first` (1 row), added to the source's own (1 row)."""
    change = driving.expression - first.expression
    out = own._replace(expression=_expressed(own.expression, change, gains, whole=True))
    if gains.turns:
        turn = driving.rotation @ np.swapaxes(first.rotation, -1, -2)
        shift = own.shift + np.float32(gains.pose) * (driving.shift - first.shift)
        out = out._replace(rotation=turned_by(own.rotation, turn, gains.pose), shift=shift)
    if gains.region == "all":
        grown = 1 + np.float32(gains.pose) * (driving.scale / first.scale - 1)
        out = out._replace(scale=own.scale * grown)
    return _even(out, len(driving.scale))


def relative_to_rest(own: Moves, driving: Moves, gains: Gains) -> Moves:
    """A single driving picture's expression, against resting lips, added to the source's own; its pose does not count."""
    rest = np.zeros_like(RESTING_LIPS) if gains.region == "eyes" else RESTING_LIPS
    change = driving.expression - rest
    return _even(
        own._replace(expression=_expressed(own.expression, change, gains, whole=True)),
        len(driving.scale),
    )


def absolute(own: Moves, driving: Moves, gains: Gains) -> Moves:
    """The driver's own pose and place, and of its expression what does not belong to its shape; the size stays the source's."""
    change = driving.expression - own.expression
    out = own._replace(expression=_expressed(own.expression, change, gains, whole=CARRIED))
    if gains.turns:
        turn = driving.rotation @ np.swapaxes(own.rotation, -1, -2)
        turned = driving.rotation if gains.pose == 1 else turned_by(own.rotation, turn, gains.pose)
        out = out._replace(
            rotation=turned, shift=own.shift + np.float32(gains.pose) * (driving.shift - own.shift)
        )
    return _even(out, len(driving.scale))


def _expressed(own: Array32, change: Array32, gains: Gains, whole: Mask | bool) -> Array32:
    return np.where(gains.mask(whole), own + np.float32(gains.expression) * change, own)


def turned_by(own: Array32, turn: Array32, share: float) -> Array32:
    """A head (T, 3, 3), turned by a share of a turn."""
    if share != 1:
        turn = matrix_from_rotvec(share * rotvec_from_matrix(turn.astype(np.float64))).astype(
            np.float32
        )
    return turn @ own


def _even(moves: Moves, frames: int) -> Moves:
    """Every array with a row for each frame."""
    return Moves(
        *(np.broadcast_to(a, (max(frames, len(a)), *a.shape[1:])).astype(np.float32) for a in moves)
    )
