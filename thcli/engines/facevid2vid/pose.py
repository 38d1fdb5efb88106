"""Head pose and keypoints of face vid2vid, in numpy. Angles in degrees, in the order yaw, pitch, roll.

Source: One-Shot_Free-View_Neural_Talking_Head_Synthesis animate.py (current version, not the older beta axes).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

BIN_WIDTH, LEAST = 3, -99  # of the 66 bins in degrees


def degrees(logits: Array32) -> Array32:
    """(..., 66) bin scores -> (...,) angle: the softmax's mean."""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray((e / e.sum(-1, keepdims=True)) @ np.arange(logits.shape[-1]) * BIN_WIDTH + LEAST, np.float32)


def rotation(angles: npt.ArrayLike) -> Array32:
    """(..., 3) yaw, pitch, roll in degrees -> (..., 3, 3) = Rx(pitch) Ry(yaw) Rz(roll), float32."""
    yaw, pitch, roll = np.moveaxis(np.asarray(angles, np.float64) / 180 * 3.14, -1, 0)  # 3.14 as in training, not pi
    c, s, zero, one = np.cos, np.sin, np.zeros_like(yaw), np.ones_like(yaw)
    about_x = [[one, zero, zero], [zero, c(pitch), -s(pitch)], [zero, s(pitch), c(pitch)]]
    about_y = [[c(yaw), zero, s(yaw)], [zero, one, zero], [-s(yaw), zero, c(yaw)]]
    about_z = [[c(roll), -s(roll), zero], [s(roll), c(roll), zero], [zero, zero, one]]
    x, y, z = (np.moveaxis(np.array(m), (0, 1), (-2, -1)) for m in (about_x, about_y, about_z))
    return np.asarray(x @ y @ z, np.float32)


def keypoints(canonical: Array32, angles: npt.ArrayLike, shift: Array32, expression: Array32) -> Array32:
    """R canonical + shift + expression: (K, 3), (..., 3), (..., 3), (..., K, 3) -> (..., K, 3) float32."""
    turned = canonical @ np.swapaxes(rotation(angles), -1, -2)
    return np.asarray(turned + shift[..., None, :] + expression, np.float32)
