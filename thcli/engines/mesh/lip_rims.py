"""Inner rims of open lips where a picture shows them, to be closed without teeth on the lips.

Landmarks may lie on the teeth, most of all in a wide smile. Teeth are less red than lips.
"""

from __future__ import annotations

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.sampling import remap
from thcli.faces.landmarks.topology import LIPS_OUTER
from thcli.motion import anatomy

LEAST_SHARE = 0.15  # of a lip's height that is left out at its inner rim in any case
SEARCHED = np.linspace(0.0, 0.5, 11)  # shares of a lip's height that are searched for teeth
LIP_PLACE = 0.85  # share of a lip's height at which it is certainly lip
LEAST_CONTRAST = 0.12  # of the redness of teeth and lips, below which they are not told apart
TOOTH_RANGE = (0.35, 0.7)  # position between the two, lip below and tooth above


def exclude_teeth(image: Image, mesh: Array, share: float) -> Array:
    """Move the inner rims of a mesh's lips outwards, to where the lips begin in the picture.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        share: of the correction, 0..1.

    Returns:
        (468, 3).
    """
    inner, outer = mesh[LIPS, :2], mesh[LIPS_OUTER, :2]
    covered = np.maximum(_tooth_shares(image, mesh, inner, outer), LEAST_SHARE)
    covered = (np.roll(covered, 1) + 2 * covered + np.roll(covered, -1)) / 4
    reach = np.zeros((len(mesh), 3))
    reach[LIPS] = share * covered[:, None] * (mesh[LIPS_OUTER] - mesh[LIPS])
    moved = mesh + reach
    for rim, rings in (
        (anatomy.LIPS.upper, anatomy.LIPS.upper_rings),
        (anatomy.LIPS.lower, anatomy.LIPS.lower_rings),
    ):
        middle, edge = rings  # the middle of a lip moves with its rim, its outer edge stays
        height = np.linalg.norm(mesh[edge] - mesh[rim], axis=-1)
        left = np.linalg.norm(mesh[edge] - mesh[middle], axis=-1) / np.maximum(height, 1e-6)
        moved[middle] += left.clip(0, 1)[:, None] * reach[rim]
    return moved


def _tooth_shares(image: Image, mesh: Array, inner: Array, outer: Array) -> Array:
    """Measure the share of the lip's height, at each rim point, that shows teeth."""
    places = np.append(SEARCHED, LIP_PLACE)[:, None, None]
    pale = _paleness(image, inner + places * (outer - inner))
    lip = float(np.median(pale[-1]))
    lips = opening.fit_opening(mesh, LIPS)
    u = np.linspace(0.2, 0.8, 13, dtype=np.float32)[None]
    upper, lower = lips.rims(u)
    v = upper + np.linspace(0.1, 0.9, 9, dtype=np.float32)[:, None] * (lower - upper)
    inside = opening.to_pixels(lips, np.broadcast_to(u, v.shape), np.asarray(v, np.float32))
    tooth = float(np.quantile(_paleness(image, inside), 0.8))
    if tooth - lip < LEAST_CONTRAST:
        return np.zeros(len(inner))
    is_tooth = smoothstep(*TOOTH_RANGE, (pale[:-1] - lip) / (tooth - lip))
    connected = np.minimum.accumulate(is_tooth, 0)  # from the inside of the mouth on
    return np.asarray(connected.sum(0) * (SEARCHED[1] - SEARCHED[0]))


def _paleness(image: Image, points: Array | Array32) -> Array:
    """Return green and blue over red at pixel positions (..., 2), 1 for grey and white."""
    colours = remap(image, np.asarray(points, np.float32)).astype(np.float64)
    return np.asarray(colours[..., 1:].mean(-1) / np.maximum(colours[..., 0], 8.0))
