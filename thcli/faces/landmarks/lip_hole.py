"""Hole between lips that are drawn together, which landmarks take for larger than it is.

Lips that form a kiss or an o show their wet side. The mesh network sets its inner ring around that,
and to the corners, between which such lips touch.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from thcli.core.imaging import Pixels, smoothstep
from thcli.core.types import AnyArray, Array, Face
from thcli.faces.landmarks.mouth_inside import between_rims, sample_colours
from thcli.faces.landmarks.topology import LIPS, LIPS_INNER, LIPS_OUTER, MOUTH_CORNERS

LEAST_GAP, LEAST_WIDTH = 0.12, 10.0  # of the ring: over its width, and that in pixels
# Height of both lips over the mouth's width: .35 to .7 of lips that talk, .8 to 1.6 of rounded ones
ROUNDED = (0.7, 0.85)
ACROSS = np.linspace(0.02, 0.98, 25)  # places from the upper to the lower rim
ON_LIPS = np.array([0.25, 0.4, 0.55])  # from the inner to the outer ring, where lips are lips
DARKEST, MOST_DARK = 0.05, 0.35  # share of the places that are dark; their light over the lips'
LEAST_RED = 0.25  # log of red over green, from which lips are told from teeth
LEAST_LEFT = 0.2  # of the middle's gap: less, and what is red is a tongue
# Light from the dark's to the lips', and redness over the lips', between which a place is of a lip
LIGHT_RANGE, RED_RANGE = (0.35, 0.65), (0.5, 0.8)
EVEN = np.array([0.25, 0.5, 0.25])  # weights of a place along the lips and of its neighbours
# Facing points on each side, where drawn lips touch; share of their gap that is left, from lips
# that do to others
CORNERS, DRAWN_TOGETHER = 2, (0.0, 0.3)
FREE = 0.05  # of a gap by which lips are off anyway
TOP, BOTTOM = 15, 5  # of the outer ring
_OFFSET = 8.0  # levels: noise of the dark has no hue


def fit_lip_hole(pixels: Pixels, face: Face) -> Face:
    """Return a face whose inner lips are around the hole that rounded lips leave.

    The facing points of the lips move towards each other; all others stay as they are, and so do
    lips that are not rounded, touch nowhere beside the hole, or show no red.

    Args:
        pixels: (H, W, 3) RGB frame, uint8 or uint16.
        face: of it.
    """
    if face.mesh is None:
        return face
    rounded = float(smoothstep(*ROUNDED, _height(face.mesh)))
    found = _lip_shares(pixels, face.mesh) if rounded > 0 else None
    if found is None:
        return face
    left = np.maximum(1 - found.sum(0), 0)
    if left[len(left) // 2] < LEAST_LEFT:
        return face
    corners = max(left[:CORNERS].mean(), left[-CORNERS:].mean())
    share = rounded * (1 - float(smoothstep(*DRAWN_TOGETHER, corners)))
    if share == 0:
        return face
    mesh = face.mesh.copy()
    upper, lower = (mesh[row, :2].copy() for row in (LIPS.upper, LIPS.lower))
    down, up = (share * np.maximum(one - FREE, 0)[:, None] for one in found)
    mesh[LIPS.upper, :2] += down * (lower - upper)
    mesh[LIPS.lower, :2] += up * (upper - lower)
    return replace(face, mesh=mesh)


def _height(mesh: AnyArray) -> float:
    """Return the height of both lips of a mesh over the width of its mouth, in space."""
    left, right = (mesh[corner] for corner in MOUTH_CORNERS)
    top, bottom = (mesh[LIPS_OUTER[k]] for k in (TOP, BOTTOM))
    return float(np.linalg.norm(bottom - top) / max(float(np.linalg.norm(right - left)), 1e-6))


def _lip_shares(pixels: Pixels, mesh: AnyArray) -> Array | None:
    """Return how much of each gap the upper and the lower lip fill, (2, 9) 0..1.

    None where lips and inside can't be told apart.
    """
    points = np.asarray(mesh, np.float64)[:, :2]
    inner, outer = points[LIPS_INNER], points[LIPS_OUTER]
    width = float(np.linalg.norm(inner[0] - inner[10]))
    rims = points[LIPS.upper], points[LIPS.lower]
    middle = len(LIPS.upper) // 2
    gap = float(np.linalg.norm(rims[1][middle] - rims[0][middle]))
    if width < LEAST_WIDTH or gap < LEAST_GAP * width:
        return None
    lips = sample_colours(pixels, inner + ON_LIPS[:, None, None] * (outer - inner))
    inside = sample_colours(pixels, between_rims(rims, len(LIPS.upper), ACROSS))
    levels = inside.mean(-1)
    redness, light = float(np.median(_redness(lips))), float(np.median(lips.mean(-1)))
    if redness < LEAST_RED:
        return None
    dark = min(float(np.quantile(levels, DARKEST)), MOST_DARK * light)
    lit = (levels - dark) / (light - dark)
    is_lip = smoothstep(*LIGHT_RANGE, lit) * smoothstep(*RED_RANGE, _redness(inside) / redness)
    runs = np.cumprod([is_lip, is_lip[::-1]], 1).mean(1)
    runs = np.stack([np.convolve(np.pad(one, 1, mode="edge"), EVEN, "valid") for one in runs])
    shade = np.maximum(1 - 2 * lit, 0)
    centre = float((shade * ACROSS[:, None]).sum() / max(float(shade.sum()), 1e-6))
    shut = np.clip(runs.sum(0) - 1, 0, 1)  # both runs reach across: lips meet beside the hole
    met = np.array([[centre], [1 - centre]])
    return np.asarray(runs + shut * (met - runs))


def _redness(colours: Array) -> Array:
    return np.asarray(np.log((colours[..., 0] + _OFFSET) / (colours[..., 1] + _OFFSET)))
