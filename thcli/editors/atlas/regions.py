"""Soft masks of the atlas that limit where an attribute changes the texture."""

from __future__ import annotations

from functools import cache
from typing import Literal

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array32
from thcli.editors.atlas import layout
from thcli.faces.landmarks.topology import BROWS, EYES, LIPS_OUTER, OVAL, PAIRS, POINTS
from thcli.motion.canonical import neutral

RegionName = Literal[
    "all",
    "beside",
    "brows",
    "cheeks",
    "dark",
    "eyes",
    "jaw",
    "lips",
    "lower",
    "nose",
    "red",
    "upper_lip",
]

_UNDER_EYES = (111, 117, 118, 119, 120, 121, 31, 228, 229, 230, 231, 232, 233)
_NOSE = (168, 6, 197, 195, 5, 4, 1, 2, 98, 64, 48, 49, 131, 198, 45, 220, 115)
_UPPER_LIP = (0, 37, 39, 40, 61, 164, 167, 165, 92, 2, 97, 57, 186)
_CHEEKS = (50, 101, 118, 117, 123, 147, 187, 205, 36, 207)
_NOSE_BASE = 2  # a point of the mesh


@cache
def region_mask(name: RegionName) -> Array32:
    """Return the mask of a region, (ROWS, COLUMNS) 0..1, soft and symmetric.

    "beside" is outside of the face outline. "dark" holds eyes, lids and corners of the mouth, where
    little light falls. "eyes" includes the bags below them. "lower" is below the nose, "jaw" is
    that without "red", the lips without the skin around them.
    """
    flat = layout.unroll_points(neutral())
    y, x = np.mgrid[: layout.ROWS, : layout.COLUMNS].astype(np.float32)
    if name == "all":
        return np.ones(x.shape, np.float32)
    if name == "beside":
        outside = np.repeat([0.0, 0.5, 1.0, 1.0], [POINTS, *[len(OVAL)] * 3])
        return layout.rasterize(outside[:, None])[..., 0]
    if name == "jaw":
        return region_mask("lower") * (1 - region_mask("red"))
    if name == "lower":
        base = float(flat[_NOSE_BASE, 1])
        return np.asarray(smoothstep(base - 0.12 * layout.DENSITY, base, y), np.float32)
    rings = [*EYES[0].tolist()]
    points, reach = {
        "dark": ([*rings, 61], 0.05),
        "eyes": ([*rings, *_UNDER_EYES], 0.1),
        "brows": (BROWS[0].tolist(), 0.1),
        "lips": (LIPS_OUTER.tolist(), 0.05),
        "red": (LIPS_OUTER.tolist(), 0.008),
        "nose": (list(_NOSE), 0.12),
        "cheeks": (list(_CHEEKS), 0.13),
        "upper_lip": (list(_UPPER_LIP), 0.08),
    }[name]
    both = np.array([*points, *PAIRS[points]])
    mask = np.zeros(x.shape, np.uint8)
    if name in ("dark", "lips", "red"):
        ring = np.array(rings if name == "dark" else points)
        for side in (ring, PAIRS[ring]):
            cv2.fillPoly(mask, [np.rint(flat[side] * 16).astype(np.int32)], (1,), cv2.LINE_8, 4)
    distance = np.full(x.shape, np.inf, np.float32)
    for point in both:
        distance = np.minimum(distance, np.hypot(x - flat[point, 0], y - flat[point, 1]))
    distance[mask > 0] = 0
    fade = smoothstep(reach * layout.DENSITY, 2 * reach * layout.DENSITY, distance)
    return np.asarray(1 - fade, np.float32)
