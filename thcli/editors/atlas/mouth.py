"""Displacements of a mouth, limited to what the mouth of a frame can take.

A direction is the mean of faces whose mouths opened too. On shut lips it would tear their seam
apart, on an open mouth stretch the teeth, on pursed lips smear them.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.faces.landmarks.topology import LIPS, MOUTH_CORNERS
from thcli.motion.canonical import neutral

_SHUT, _OPEN = 0.02, 0.14  # gap of the lips below which they stay shut, from which they may open
_CLOSING = 0.8  # most of a gap that a direction may close
_HEIGHT = 0.22  # distance from the lips over which skin follows them, canonical units
_CORNER = 0.08  # distance beyond the outermost facing points at which skin follows no more
_PURSED, _RELAXED = 0.38, 0.54  # width of a mouth that hardly moves, and of one that moves fully
_LEAST, _AROUND = 0.3, 0.4  # share of the motion of pursed lips; radius of the skin around them
# Lips pushed forward: their height without the gap, over the mouth's width. Chosen with the next.
_POUT, _POUTING = (0.44, 0.62), 0.8  # from relaxed to a kiss; share of the motion that it takes
_FROWN, _FROWNING = (0.13, 0.175), 0.6  # of brows above the eyes, in anger to calm; likewise
_LIDS, _BROWS = (159, 386), (105, 334)  # points
_LIP_TOP, _LIP_END = 0, 17
# Of a smile: width of the mouth and height of its corners, each over what a whole smile adds.
_WIDER, _LIFT = 0.12, 0.055
_SMILING = (0.2, 0.6)  # mean of both, from a serious mouth to a smile


def fit_to_mouth(shape: Array, face: Array) -> Array:
    """Return displacements (468, 3) limited for one face.

    Args:
        shape: (468, 3) displacements, canonical units.
        face: (468, 3) canonical points with their expression.
    """
    gap = np.linalg.norm(face[LIPS.lower] - face[LIPS.upper], axis=1)
    free = _freedom(face, float(gap.max()))
    side, near, around = _places()
    out = shape * (1 - (1 - free) * around)[:, None]
    opens = (out[LIPS.lower] - out[LIPS.upper])[:, 1]
    allowed = float(smoothstep(_SHUT, _OPEN, float(gap.max())))
    limited = np.where(opens > 0, opens * allowed, np.maximum(opens, -_CLOSING * gap))
    rest, seam = neutral(), neutral()[LIPS.upper, 0]
    at = np.concatenate([[seam[0] - _CORNER], seam, [seam[-1] + _CORNER]])
    fix = np.interp(rest[:, 0], at, np.pad((limited - opens) / 2, 1))
    out[:, 1] += side * near * fix
    return np.asarray(out)


def smile_amount(face: Array) -> float:
    """Return how far (468, 3) canonical points smile, about 0 for a serious mouth, 1 for a smile.

    Speech changes it from frame to frame: a wide vowel is no smile, its mean over a clip tells.
    """
    plain, corners = neutral()[list(MOUTH_CORNERS)], face[list(MOUTH_CORNERS)]
    width = float(np.linalg.norm(corners[1] - corners[0]) - np.linalg.norm(plain[1] - plain[0]))
    middle = len(LIPS.upper) // 2
    seam = face[[LIPS.upper[middle], LIPS.lower[middle]], 1].mean()
    lift = float(seam - corners[:, 1].mean())
    return (width / _WIDER + lift / _LIFT) / 2


def smile_share(amount: float) -> float:
    """Return 0..1, the share of a smile that a mean of `smile_amount` shows."""
    return float(smoothstep(*_SMILING, amount))


def _freedom(face: Array, gap: float) -> float:
    """Return the share 0..1 of a motion that the mouth of (468, 3) canonical points can take.

    Pursed and pouting lips smear, and a smile below a frown is a grimace.

    Args:
        face: canonical points.
        gap: of the lips.
    """
    width = float(np.linalg.norm(face[MOUTH_CORNERS[1]] - face[MOUTH_CORNERS[0]]))
    free = _LEAST + (1 - _LEAST) * float(smoothstep(_PURSED, _RELAXED, width))
    thick = float(face[_LIP_END, 1] - face[_LIP_TOP, 1]) - gap
    pout = float(smoothstep(*_POUT, thick / max(width, 1e-6)))
    above = float((face[list(_LIDS), 1] - face[list(_BROWS), 1]).mean())
    frown = 1 - float(smoothstep(*_FROWN, above))
    return free * (1 - _POUTING * pout) * (1 - _FROWNING * frown)


@cache
def _places() -> tuple[Array, Array, Array]:
    """Return of each point: -1 above the lips' seam and 1 below, and 0..1, nearness to both."""
    rest = neutral()
    seam = (rest[LIPS.upper] + rest[LIPS.lower]) / 2
    height = rest[:, 1] - np.interp(rest[:, 0], seam[:, 0], seam[:, 1])
    side = np.where(height < 0, -1.0, 1.0)
    side[LIPS.upper], side[LIPS.lower] = -1.0, 1.0
    away = np.hypot(*(rest[:, :2] - seam[len(seam) // 2, :2]).T)
    return side, np.exp(-((height / _HEIGHT) ** 2)), np.exp(-((away / _AROUND) ** 4))
