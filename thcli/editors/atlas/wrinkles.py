"""Drawn wrinkle texture of the atlas.

An average of many faces has no wrinkles, because their positions differ between persons. Each
wrinkle is a shallow valley: dark along its middle, lighter on both shoulders, thin at its ends.
Wrinkles follow the mesh, so they move with the face. No image is learnt from.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from thcli.core.types import Array, Array32
from thcli.editors.atlas import layout
from thcli.motion.canonical import neutral

LINE_SCALE = 3  # samples of the lines to one of the atlas
_NARROW, _WIDE = 0.014, 0.036  # widths of the valley and of its shoulders, canonical units
_SHOULDER = 0.5  # light of the shoulders, relative to the loss of the valley
# Darkening of each channel; red darkens least, because blood shows through.
_CHANNEL_DEPTH = np.array([0.8, 1.05, 1.1], np.float32)
_POINTS = 40  # of a line


@cache
def line_texture() -> Array32:
    """Return the texture at strength 1, in soft logarithms.

    Its shape is (ROWS * LINE_SCALE, COLUMNS * LINE_SCALE, 3). It is symmetric but for small
    irregularities.
    """
    rng = np.random.default_rng(7)
    sheet = np.zeros((layout.ROWS * LINE_SCALE, layout.COLUMNS * LINE_SCALE), np.float32)
    for side in (-1.0, 1.0):
        for path, depth in _one_side():
            _draw_line(sheet, path * [side, 1.0], depth, rng)
    for path, depth in _across():
        _draw_line(sheet, path, depth, rng)
    narrow, wide = (
        cv2.GaussianBlur(sheet, (0, 0), width * layout.DENSITY * LINE_SCALE)
        for width in (_NARROW, _WIDE)
    )
    valley = narrow - np.float32(_SHOULDER) * wide
    return np.asarray(-valley[..., None] * _CHANNEL_DEPTH, np.float32)


def _one_side() -> list[tuple[Array, float]]:
    """Return the lines of the image's right half: path (K, 2) in the unrolled plane, and depth."""
    flat = neutral()
    placed = (layout.unroll_points(flat) + 0.5) / layout.DENSITY + [layout.LEFT, layout.TOP]

    def through(*points: int) -> Array:
        return _smooth(placed[list(points)])

    corner = placed[263]
    out = [
        (through(358, 423, 426, 436, 432), 0.9),  # from the nose's wing past the mouth's corner
        (through(291, 422, 424) + np.array([0.03, 0.02]), 0.45),  # from the mouth's corner down
        (through(453, 452, 451, 450, 449) + np.array([0.0, 0.02]), 0.4),  # below the eye
        (through(465, 453, 452, 451, 450) + np.array([0.0, 0.075]), 0.25),
        (_smooth(np.array([[0.075, -0.3], [0.06, -0.24], [0.065, -0.17]])), 0.3),  # frown line
    ]
    for angle, start, length, depth in (
        (-34, 0.10, 0.12, 0.2),
        (-12, 0.08, 0.19, 0.36),
        (8, 0.08, 0.22, 0.42),
        (28, 0.09, 0.18, 0.34),
        (46, 0.12, 0.12, 0.2),
    ):
        along = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
        first, middle = corner + along * start, corner + along * (start + length / 2)
        last = corner + along * (start + length) + np.array([0.0, 0.02])
        out.append((_smooth(np.stack([first, middle, last])), depth))
    return out


def _across() -> list[tuple[Array, float]]:
    """Return the lines of the forehead."""
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
    """Return a curve of _POINTS points through points (K, 2), by a polynomial fit."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.linspace(0, along[-1], _POINTS)
    degree = min(len(points) - 1, 4)
    return np.stack([np.polyval(np.polyfit(along, points[:, i], degree), at) for i in (0, 1)], 1)


def _draw_line(sheet: Array32, path: Array, depth: float, rng: np.random.Generator) -> None:
    """Add a line with thin ends and uneven strength to the sheet, in place."""
    uneven = np.interp(np.arange(_POINTS), np.linspace(0, _POINTS, 8), rng.normal(0, 1, 8))
    shift = np.interp(np.arange(_POINTS), np.linspace(0, _POINTS, 6), rng.normal(0, 0.010, 6))
    strength = (
        np.sin(np.linspace(0, np.pi, _POINTS)) ** 0.7 * np.clip(1 + 0.45 * uneven, 0.1, 1.7) * depth
    )
    at = (
        (path + np.stack([shift * 0.5, shift], 1) - [layout.LEFT, layout.TOP]) * layout.DENSITY
    ) * LINE_SCALE - 0.5
    here = np.zeros(sheet.shape, np.uint8)
    for first, second, strong in zip(at[:-1], at[1:], strength, strict=False):
        ends = np.rint(np.stack([first, second]) * 16).astype(np.int32)
        cv2.polylines(here, [ends], False, (int(np.clip(strong * 150, 0, 255)),), 2, cv2.LINE_AA, 4)
    sheet += here.astype(np.float32) * np.float32(0.8 / 150)
