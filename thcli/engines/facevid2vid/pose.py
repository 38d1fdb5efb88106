"""Head pose and keypoints of face vid2vid, in numpy.

Angles are in degrees, in the order yaw, pitch, roll. Source:
One-Shot_Free-View_Neural_Talking_Head_Synthesis animate.py.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32


def rotation(angles: npt.ArrayLike, *, beta: bool = False) -> Array32:
    """Compute (..., 3, 3) float32 rotations Rx(pitch) Ry(yaw) Rz(roll) from angles (..., 3).

    beta: the axes of the older checkpoint, Rx(roll) Ry(pitch) Rz(yaw).
    """
    radians = np.asarray(angles, np.float64) / 180 * 3.14  # 3.14 as in training, not pi
    yaw, pitch, roll = np.moveaxis(radians, -1, 0)
    a, b, g = (roll, pitch, yaw) if beta else (pitch, yaw, roll)
    c, s, zero, one = np.cos, np.sin, np.zeros_like(yaw), np.ones_like(yaw)
    about_x = [[one, zero, zero], [zero, c(a), -s(a)], [zero, s(a), c(a)]]
    about_y = [[c(b), zero, s(b)], [zero, one, zero], [-s(b), zero, c(b)]]
    about_z = [[c(g), -s(g), zero], [s(g), c(g), zero], [zero, zero, one]]
    x, y, z = (np.moveaxis(np.array(m), (0, 1), (-2, -1)) for m in (about_x, about_y, about_z))
    return np.asarray(x @ y @ z, np.float32)


def keypoints(
    canonical: Array32,
    angles: npt.ArrayLike,
    shift: Array32,
    expression: Array32,
    *,
    beta: bool = False,
) -> Array32:
    """Compute R canonical + shift + expression.

    Args:
        canonical: (K, 3) keypoints.
        angles: (..., 3) degrees.
        shift: (..., 3) translation.
        expression: (..., K, 3) deformation.
        beta: axes of the older checkpoint.

    Returns:
        (..., K, 3) float32.
    """
    turned = canonical @ np.swapaxes(rotation(angles, beta=beta), -1, -2)
    return np.asarray(turned + shift[..., None, :] + expression, np.float32)
