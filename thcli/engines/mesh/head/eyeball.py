"""Colours of an eyeball where the lids of the source hide it.

They are those at the same distance from the middle of the iris, where the source shows them.
"""

from __future__ import annotations

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.opening import Opening, Rims, to_pixels
from thcli.engines.mesh.sampling import remap

SEAM = 0.08  # half width of the blend between both sides of an iris
LEAST_GAP = 0.15  # of an eye that shows its ball
TURNS = 4  # steps in which the place at the same distance from an iris is found
ROW = 128  # pixels in a row of the map they are sampled through; OpenCV takes 32767 rows


def sample_beside(
    image: Image, eye: Opening, iris: Array, place: tuple[Array32, Array32], margins: Rims
) -> Array32:
    """Sample the colours that lie as far from the middle of an iris, between the rims beside it.

    Args:
        image: that holds the eye.
        eye: the eye's rims in `image`.
        iris: (2,) u, v of its centre.
        place: (N,) u and v of the eyeball.
        margins: (N,) widths inside the upper and the lower rim that are left out.

    Returns:
        (N, 3), mixed of both sides.
    """
    count = len(place[0])
    rows = -(-count // ROW), ROW
    centre_u, centre_v = iris.astype(np.float32)
    x, y = np.resize(place[0] - centre_u, rows), np.resize(place[1] - centre_v, rows)
    top, bottom = (np.resize(margin, rows) for margin in margins)
    side = np.array([-1, 1], np.float32)[:, None, None]
    squared, u = x**2 + y**2, centre_u + side * np.abs(x)
    for _ in range(TURNS):
        upper, lower = eye.rims(u)
        v = np.clip(centre_v + y, upper + top, lower - bottom)
        u = centre_u + side * np.sqrt(np.maximum(squared - (v - centre_v) ** 2, 0))
    upper, lower = eye.rims(u)
    seen = smoothstep(0, LEAST_GAP, lower - upper).astype(np.float32)
    right = smoothstep(-SEAM, SEAM, x).astype(np.float32)
    share = np.stack([1 - right, right])
    weights = ((share + np.float32(1e-3)) * (seen + np.float32(1e-3))).reshape(2, -1, 1)
    positions = to_pixels(eye, u, v).reshape(-1, ROW, 2)
    first, second = remap(image, positions).reshape(2, -1, 3)
    mean = (weights[0] * first + weights[1] * second) / (weights[0] + weights[1])
    return np.asarray(mean[:count], np.float32)
