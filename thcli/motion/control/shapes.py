"""Shapes of the expression sliders on the canonical mesh.

The smile, the raised brows, the open jaw and the wide mouth are recorded
(`sliders.load_slider_shapes`). The others are smooth displacements around landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.faces.landmarks import topology
from thcli.motion import anatomy
from thcli.motion.canonical import neutral
from thcli.motion.sliders import load_slider_shapes

# Landmarks on the image's left and on its right.
INNER_BROW, MID_BROW, OUTER_BROW = (107, 336), (105, 334), (70, 300)
CORNER, NOSE_WING, CHEEK = (61, 291), (98, 327), (50, 280)

Push = tuple[tuple[int, int], tuple[float, float], float]
"""Landmarks, displacement (away from the middle, down) and radius, canonical units."""

LOWERED_BROWS: Sequence[Push] = (
    (INNER_BROW, (-0.026, 0.058), 0.11),
    (MID_BROW, (-0.008, 0.028), 0.10),
    (OUTER_BROW, (0.0, -0.012), 0.09),
    (NOSE_WING, (0.008, -0.016), 0.08),
)
RAISED_INNER_BROWS: Sequence[Push] = (
    (INNER_BROW, (-0.012, -0.062), 0.10),
    (OUTER_BROW, (0.0, 0.022), 0.11),
)
DRAWN_BROWS: Sequence[Push] = (
    (INNER_BROW, (-0.03, 0.03), 0.09),
    (MID_BROW, (-0.012, 0.006), 0.10),
)
LOWERED_CORNERS: Sequence[Push] = (
    (CORNER, (-0.004, 0.055), 0.11),
    (CHEEK, (0.0, 0.012), 0.15),
)
RAISED_CHEEKS: Sequence[Push] = ((CHEEK, (0.004, -0.035), 0.13),)
PUCKER_WIDTH = 0.28  # share by which pursed lips are narrower
PUCKER_HEIGHT = 0.022  # canonical units that each lip grows
PUCKER_DEPTH = 0.05  # canonical units that pursed lips come forward
PUCKER_REACH = (0.10, 0.34)  # canonical units from the lips over which the motion ends


def push_points(pushes: Sequence[Push]) -> Array:
    """Return the displacement (468, 3) of symmetric pushes, canonical units."""
    points, shape = neutral(), np.zeros((len(neutral()), 3))
    for landmarks, (outwards, down), radius in pushes:
        for landmark, side in zip(landmarks, (-1, 1), strict=True):
            distance = np.linalg.norm(points[:, :2] - points[landmark, :2], axis=-1)
            weight = np.exp(-0.5 * (distance / radius) ** 2)
            shape += weight[:, None] * np.array([side * outwards, down, 0.0])
    return shape


def _pursed_lips() -> Array:
    """Return the displacement (468, 3) of pursed lips: narrow, full and forward."""
    points = neutral()
    lips = np.concatenate(
        [anatomy.LIPS.upper_rings[-1], anatomy.LIPS.lower_rings[-1], topology.MOUTH_CORNERS]
    )
    offsets = points[:, None, :2] - points[None, lips, :2]
    weight = 1 - smoothstep(*PUCKER_REACH, np.linalg.norm(offsets, axis=-1).min(1))
    weight *= smoothstep(points[2, 1] - 0.12, points[2, 1] + 0.06, points[:, 1])  # not the nose
    middle = points[topology.MOUTH_CORNERS, 1].mean()
    half = abs(points[CORNER[1], 0])
    shape = np.zeros_like(points)
    inside = np.sign(points[:, 0]) * np.minimum(np.abs(points[:, 0]), 1.2 * half)
    shape[:, 0] = -PUCKER_WIDTH * inside * weight
    centre = np.exp(-0.5 * (points[:, 0] / (0.5 * half)) ** 2)
    lift = np.tanh((points[:, 1] - middle) / 0.05)
    shape[:, 1] = PUCKER_HEIGHT * lift * centre * weight
    shape[:, 2] = -PUCKER_DEPTH * centre * weight
    return shape


@cache
def slider_shapes() -> Mapping[str, tuple[Array, Array]]:
    """Return the displacements (468, 3) of each slider at -1 and at 1, canonical units.

    Sliders that move lids or irises alone are left out.
    """
    table, none = load_slider_shapes(), np.zeros((len(neutral()), 3))
    cheeks = push_points(RAISED_CHEEKS)
    right = smoothstep(-0.08, 0.08, neutral()[:, 0])[:, None]
    return {
        "brows": (push_points(LOWERED_BROWS), table.brow),
        "inner-brows": (push_points(DRAWN_BROWS), push_points(RAISED_INNER_BROWS)),
        "wink": ((1 - right) * cheeks, right * cheeks),
        "squint": (none, cheeks),
        "smile": (push_points(LOWERED_CORNERS), table.smile),
        "jaw": (none, table.jaw),
        "pucker": (1.6 * table.wide, _pursed_lips()),
    }


def sum_shapes(rows: Mapping[str, Array], count: int) -> Array:
    """Return the displacement (T, 468, 3) of sliders (T,) each, canonical units. count: T."""
    total = np.zeros((count, len(neutral()), 3))
    shapes = slider_shapes()
    for name, values in rows.items():
        if name in shapes and values.any():
            low, high = shapes[name]
            negative, positive = np.maximum(-values, 0), np.maximum(values, 0)
            total += negative[:, None, None] * low + positive[:, None, None] * high
    return total
