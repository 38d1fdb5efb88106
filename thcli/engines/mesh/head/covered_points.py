"""Points of a face that other skin covers: those behind the nose of a turned head."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array
from thcli.engines.mesh import anatomy

BEHIND = 0.02  # face heights by which skin lies before a point that it covers
SMALLEST = 0.01  # square pixels: doubled area of a triangle that covers something


def covered_points(mesh: Array) -> npt.NDArray[np.bool_]:
    """Find the points of a mesh (468, 3) that lie behind one of its triangles, (468,)."""
    first, second, third = (mesh[anatomy.TRIANGLES[:, corner]] for corner in range(3))
    along, beside, to = second - first, third - first, mesh[:, None] - first
    area = along[:, 0] * beside[:, 1] - along[:, 1] * beside[:, 0]
    area = np.where(np.abs(area) < SMALLEST, np.nan, area)  # a line covers nothing
    u = (to[..., 0] * beside[:, 1] - to[..., 1] * beside[:, 0]) / area
    v = (along[:, 0] * to[..., 1] - along[:, 1] * to[..., 0]) / area
    behind = to[..., 2] - u * along[:, 2] - v * beside[:, 2] > BEHIND * anatomy.face_height(mesh)
    found = ((u >= 0) & (v >= 0) & (u + v <= 1) & behind).any(1)
    return np.asarray(found, np.bool_)
