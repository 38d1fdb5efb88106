"""Appearance of a face in a few numbers: skin colour and brow darkness."""

from __future__ import annotations

from functools import cache

import numpy as np

from thcli.core.types import Array32
from thcli.editors.atlas import layout, tone
from thcli.faces.landmarks.topology import BROWS, PAIRS
from thcli.motion.canonical import neutral

LOOK_SIZE = 4
"""Numbers of a look: skin colour (3, soft logarithms), lightness of the brows relative to the
skin."""
APPEARANCE_SIZE = LOOK_SIZE + 1
"""Numbers of an appearance: those of its look, and `mouth.smile_amount`."""

COVARIATES = 2
"""Lightness of the skin and darkness of the brows, which some textures depend on."""


def covariates(appearance: Array32) -> Array32:
    """Return the covariates (..., COVARIATES) of looks (..., LOOK_SIZE or more).

    They are the lightness of the skin and the darkness of the brows.
    """
    return np.stack([appearance[..., :3] @ tone.LUMA, appearance[..., 3]], -1).astype(np.float32)


@cache
def _weights() -> tuple[Array32, Array32]:
    """Return the atlas masks of skin (cheeks and forehead) and brows: (ROWS, COLUMNS), 0 or 1."""
    flat = layout.unroll_points(neutral())
    y, x = np.mgrid[: layout.ROWS, : layout.COLUMNS].astype(np.float32)

    def near(points: tuple[int, ...], reach: float) -> Array32:
        both = [*points, *PAIRS[list(points)]]
        out = np.zeros(x.shape, bool)
        for point in both:
            out |= np.hypot(x - flat[point, 0], y - flat[point, 1]) < reach * layout.DENSITY
        return out.astype(np.float32)

    return near((50, 117, 101, 118, 151, 109, 69, 205), 0.11), near(tuple(BROWS[0]), 0.04)


def measure(texture: Array32, weight: Array32) -> Array32:
    """Measure the look of an unrolled face: (LOOK_SIZE,).

    Args:
        texture: (ROWS, COLUMNS, 3) soft logarithms.
        weight: (ROWS, COLUMNS) 0..1, visibility.
    """
    skin, brows = (_mean(texture, weight * part) for part in _weights())
    dark = (brows - skin) @ tone.LUMA
    return np.array([*skin, dark], np.float32)


def _mean(texture: Array32, weight: Array32) -> Array32:
    total = max(float(weight.sum()), 1e-3)
    return np.asarray((texture * weight[..., None]).sum((0, 1)) / total, np.float32)
