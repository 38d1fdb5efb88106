"""Head pose and keypoints of face vid2vid, in numpy. Angles in degrees, in the order yaw, pitch, roll.

Source: One-Shot_Free-View_Neural_Talking_Head_Synthesis animate.py.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32


def rotation(angles: npt.ArrayLike, *, beta: bool = False) -> Array32:
    """(..., 3) yaw, pitch, roll in degrees -> (..., 3, 3) = Rx(pitch) Ry(yaw) Rz(roll), float32.

    beta: the axes of the older checkpoint, Rx(roll) Ry(pitch) Rz(yaw).
    """
    yaw, pitch, roll = np.moveaxis(
        np.asarray(angles, np.float64) / 180 * 3.14, -1, 0
    )  # 3.14 as in training, not pi
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
    """R canonical + shift + expression: (K, 3), (..., 3), (..., 3), (..., K, 3) -> (..., K, 3) float32."""
    turned = canonical @ np.swapaxes(rotation(angles, beta=beta), -1, -2)
    return np.asarray(turned + shift[..., None, :] + expression, np.float32)
