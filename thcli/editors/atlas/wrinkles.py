"""The lines of age, drawn in the atlas: an average of many faces has none, for everybody's lie elsewhere.

Each is a shallow valley: dark along its middle, lit a little on both shoulders, thin at its ends. They follow the mesh, so that they move
with the face. Nothing is learnt from anybody's picture.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from thcli.core.types import Array, Array32
from thcli.editors.atlas import layout as plan
from thcli.motion.canonical import neutral

FINER = 3  # samples of the lines to one of the atlas
_NARROW, _WIDE = 0.010, 0.034  # canonical units: of the valley and of its shoulders
_LIT = 0.75  # of what the valley loses the shoulders get
_REDDER = np.array(
    [0.8, 1.05, 1.1], np.float32
)  # how much each colour darkens: blood shows through
_POINTS = 40


@cache
def lines() -> Array32:
    """(ROWS * FINER, COLUMNS * FINER, 3) soft logarithms of colour at strength 1, symmetric but for small irregularities."""
    dice = np.random.default_rng(7)
    sheet = np.zeros((plan.ROWS * FINER, plan.COLUMNS * FINER), np.float32)
    for side in (-1.0, 1.0):
        for path, depth in _one_side():
            _stroke(sheet, path * [side, 1.0], depth, dice)
    for path, depth in _across():
        _stroke(sheet, path, depth, dice)
    narrow, wide = (
        cv2.GaussianBlur(sheet, (0, 0), width * plan.DENSITY * FINER) for width in (_NARROW, _WIDE)
    )
    valley = narrow - np.float32(_LIT) * wide
    return np.asarray(-valley[..., None] * _REDDER, np.float32)


def _one_side() -> list[tuple[Array, float]]:
    """Of the picture's right half: canonical (x, y) in the unrolled plane, and how deep."""
    flat = neutral()
    placed = (plan.unrolled(flat) + 0.5) / plan.DENSITY + [plan.LEFT, plan.TOP]

    def through(*points: int) -> Array:
        return _smooth(placed[list(points)])

    corner = placed[263]
    out = [
        (through(358, 423, 426, 436, 432), 0.9),  # from the nose's wing past the mouth's corner
        (through(291, 422, 424) + np.array([0.03, 0.02]), 0.45),  # from the mouth's corner down
        (through(453, 452, 451, 450, 449) + np.array([0.0, 0.02]), 0.4),  # below the eye
        (through(465, 453, 452, 451, 450) + np.array([0.0, 0.075]), 0.25),
        (
            _smooth(np.array([[0.075, -0.30], [0.06, -0.24], [0.065, -0.17]])),
            0.3,
        ),  # between the brows
    ]
    for angle, start, length, depth in (
        (-34, 0.10, 0.12, 0.2),
        (-12, 0.08, 0.19, 0.36),
        (8, 0.08, 0.22, 0.42),
        (28, 0.09, 0.18, 0.34),
        (46, 0.12, 0.12, 0.2),
    ):
        along = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
        droop = np.array([0.0, 0.02])
        out.append(
            (
                _smooth(
                    np.stack(
                        [
                            corner + along * start,
                            corner + along * (start + length / 2),
                            corner + along * (start + length) + droop,
                        ]
                    )
                ),
                depth,
            )
        )
    return out


def _across() -> list[tuple[Array, float]]:
    """The lines of the forehead."""
    out = []
    for height, half, depth in (
        (-0.40, 0.30, 0.16),
        (-0.465, 0.46, 0.38),
        (-0.55, 0.44, 0.32),
        (-0.62, 0.30, 0.14),
    ):
        x = np.linspace(-half, half, 9)
        y = height + 0.030 * np.cos(x * 9) - 0.02 * np.abs(x) / half
        out.append((_smooth(np.stack([x, y], 1)), depth))
    return out


def _smooth(points: Array) -> Array:
    """A curve of _POINTS through points (K, 2), parabolic between."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.linspace(0, along[-1], _POINTS)
    degree = min(len(points) - 1, 4)
    return np.stack([np.polyval(np.polyfit(along, points[:, i], degree), at) for i in (0, 1)], 1)


def _stroke(sheet: Array32, path: Array, depth: float, dice: np.random.Generator) -> None:
    """Adds a line that is thin at its ends and uneven along its way."""
    uneven = np.interp(np.arange(_POINTS), np.linspace(0, _POINTS, 8), dice.normal(0, 1, 8))
    shift = np.interp(np.arange(_POINTS), np.linspace(0, _POINTS, 6), dice.normal(0, 0.010, 6))
    strength = (
        np.sin(np.linspace(0, np.pi, _POINTS)) ** 0.7 * np.clip(1 + 0.45 * uneven, 0.1, 1.7) * depth
    )
    at = (
        (path + np.stack([shift * 0.5, shift], 1) - [plan.LEFT, plan.TOP]) * plan.DENSITY
    ) * FINER - 0.5
    here = np.zeros(sheet.shape, np.uint8)
    for first, second, strong in zip(at[:-1], at[1:], strength, strict=False):
        ends = np.rint(np.stack([first, second]) * 16).astype(np.int32)
        cv2.polylines(here, [ends], False, (int(np.clip(strong * 150, 0, 255)),), 2, cv2.LINE_AA, 4)
    sheet += here.astype(np.float32) * np.float32(0.8 / 150)
