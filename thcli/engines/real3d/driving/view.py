"""Angles of the face model from head angles in degrees.

The face model's angles are in radians about axes with y up and z towards the camera, so that yaw
and roll change sign against `motion.control.poses`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

_SIGNS = np.array([1.0, -1.0, -1.0])


def euler_from_degrees(angles: npt.ArrayLike) -> Array32:
    """Return the face model's angles (..., 3) in radians from pitch, yaw, roll in degrees."""
    return np.asarray(np.radians(np.asarray(angles, np.float64)) * _SIGNS, np.float32)
