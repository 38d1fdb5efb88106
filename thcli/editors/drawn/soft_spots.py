"""Soft masks of cheeks and lids, given as weights of mesh points."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array, Array32
from thcli.editors.drawn.scene import STEP, Scene
from thcli.engines.mesh import raster
from thcli.engines.mesh.anatomy import TRIANGLES
from thcli.engines.mesh.raster import SampleGrid
from thcli.faces.landmarks.topology import LIDS
from thcli.motion.canonical import neutral


def cheek_weights() -> Array:
    """Return (468,) weights of the cheeks, elongated towards the temples."""
    plain = neutral()
    x, y = np.abs(plain[:, 0]), plain[:, 1]
    along, across = (x - 0.53) * 0.83 - (y - 0.31) * 0.56, (x - 0.53) * 0.56 + (y - 0.31) * 0.83
    return np.asarray(np.exp(-((along / 0.22) ** 2) - (across / 0.13) ** 2))


def eyelid_weights() -> Array:
    """Return (468,) weights of the upper lids, largest at the outer corners."""
    out = np.zeros(468)
    for lid in LIDS:
        for ring, weight in ((lid.upper, 1.0), (lid.upper2, 0.95), (lid.upper3, 0.4)):
            out[ring] = weight * np.array([1.0, 1, 0.95, 0.9, 0.85, 0.75, 0.5])
        out[lid.lower2[0]] = 0.35
    out[[33, 130, 226, 263, 359, 446]] = (0.9, 0.75, 0.4, 0.9, 0.75, 0.4)
    return out


def rasterize_weights(scene: Scene, weights: Array, blur: float) -> Array32:
    """Interpolate point weights (468,) over the crop: (S, S) 0..1, 0 outside of the face.

    Args:
        scene: crop.
        weights: of the points.
        blur: canonical units.
    """
    count = scene.depth.shape[0]
    grid = SampleGrid(0, 0, STEP, count, count)
    maps = raster.linear_maps(scene.mesh, weights[:, None], TRIANGLES)
    plane = raster.sample_maps(scene.ids, maps, grid)[..., 0]
    soft = cv2.GaussianBlur(plane, (0, 0), max(blur * scene.pose[0] / STEP, 0.5))
    full = cv2.resize(soft, (scene.side, scene.side), interpolation=cv2.INTER_LINEAR)
    return np.clip(full, 0, 1).astype(np.float32)
