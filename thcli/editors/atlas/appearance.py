"""How a face looks in a few numbers: its skin's colour, how dark its brows are against it, how it is lit."""

from __future__ import annotations

from functools import cache

import numpy as np

from thcli.core.types import Array32
from thcli.editors.atlas import layout as plan
from thcli.editors.atlas import tone
from thcli.faces.landmarks.topology import PAIRS
from thcli.motion.canonical import neutral

NUMBERS = 5
"""skin: red, green, blue (soft logarithms); brows: their light less the skin's; man: above 0 where the face looks like a man's."""
COARSE = 8  # samples of the atlas to one of what tells a man's face

_BROWS = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107)


LEANINGS = 2
"""How light the skin is, and how dark the brows: what the texture of some attributes depends on."""


def leanings(looks: Array32) -> Array32:
    """(..., NUMBERS) looks -> (..., LEANINGS)."""
    return np.stack([looks[..., :3] @ tone.LUMA, looks[..., 3]], -1).astype(np.float32)


@cache
def _weights() -> tuple[Array32, Array32]:
    """Where skin (cheeks and forehead) and brows lie in the atlas: (ROWS, COLUMNS), 0 or 1 each."""
    flat = plan.unrolled(neutral())
    y, x = np.mgrid[: plan.ROWS, : plan.COLUMNS].astype(np.float32)

    def near(points: tuple[int, ...], reach: float) -> Array32:
        both = [*points, *PAIRS[list(points)]]
        out = np.zeros(x.shape, bool)
        for point in both:
            out |= np.hypot(x - flat[point, 0], y - flat[point, 1]) < reach * plan.DENSITY
        return out.astype(np.float32)

    return near((50, 117, 101, 118, 151, 109, 69, 205), 0.11), near(_BROWS, 0.04)


def measured(texture: Array32, weight: Array32) -> Array32:
    """(NUMBERS,) of an unrolled face, the last 0.

    texture: (ROWS, COLUMNS, 3) soft logarithms.  weight: (ROWS, COLUMNS) 0..1, how much is seen.
    """
    skin, brows = (_mean(texture, weight * part) for part in _weights())
    dark = (brows - skin) @ tone.LUMA
    return np.array([*skin, dark, 0], np.float32)


def coarse(texture: Array32, weight: Array32) -> Array32:
    """The face in few numbers, (ROWS / COARSE, COLUMNS / 2 / COARSE, 4): both halves together, less the skin's colour, and how much is seen."""
    height, width = plan.ROWS // COARSE, plan.COLUMNS // COARSE
    seen = weight.reshape(height, COARSE, width, COARSE).mean((1, 3))
    sums = (texture * weight[..., None]).reshape(height, COARSE, width, COARSE, 3).mean((1, 3))
    seen, sums = (
        seen[:, : width // 2] + seen[:, ::-1][:, : width // 2],
        sums[:, : width // 2] + sums[:, ::-1][:, : width // 2],
    )
    colour = sums / np.maximum(seen, 1e-3)[..., None]
    total = max(float(seen.sum()), 1e-3)
    middle = (colour * seen[..., None]).sum((0, 1)) / total
    return np.concatenate(
        [(colour - middle) * (seen > 0.5)[..., None], (seen > 0.5)[..., None]], -1
    ).astype(np.float32)


def likeness(face: Array32, weights: Array32) -> float:
    """A linear judgement of `coarse`: weights (ROWS / COARSE, COLUMNS / 2 / COARSE, 4), what each place's colour counts, and what its being seen does."""
    return float((face * weights).sum())


def _mean(texture: Array32, weight: Array32) -> Array32:
    total = max(float(weight.sum()), 1e-3)
    return np.asarray((texture * weight[..., None]).sum((0, 1)) / total, np.float32)
