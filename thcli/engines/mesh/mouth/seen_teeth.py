"""Lower edge of the upper teeth, as a source with an open mouth shows it."""

from __future__ import annotations

import numpy as np

from thcli.core.types import Array, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.mouth.colours import redness
from thcli.engines.mesh.sampling import remap

TOOTH_LIGHT = 0.6  # over the skin's, of a tooth in the shade of the lip
ACROSS = np.linspace(0.35, 0.65, 25, dtype=np.float32)  # of the mouth's width, around the incisors
DOWN = np.linspace(0.0, 1.0, 41, dtype=np.float32)
FIRST = 0.35  # of the opening, within which a tooth begins below the upper lip
LEAST_HEIGHT = 0.2  # of the opening, that such a run of light pixels is long
LEAST_COLUMNS = 0.5  # share of the columns in which teeth are seen


def is_tooth(colours: Array, tone: Array) -> Array:
    """Return which colours (..., 3) of a mouth are light and less red than skin (3,), (...)."""
    light = colours.mean(-1) / max(float(tone.mean()), 1.0)
    return np.asarray((light > TOOTH_LIGHT) & (redness(colours) <= redness(tone)))


def find_edge(image: Image, lips: opening.Opening, tone: Array) -> Array | None:
    """Return the pixel (2,) in the middle of the mouth down to which upper teeth are seen.

    Both rows of a closed bite are one run.

    Args:
        image: (H, W, 3) uint8.
        lips: opening of the source.
        tone: (3,) skin colour.

    Returns:
        The median over the columns around the incisors; None where they show no teeth.
    """
    colours = remap(image, opening.between_rims(lips, ACROSS, DOWN)).astype(np.float64)
    tooth = is_tooth(colours, tone)
    begin = tooth.argmax(0)
    ends = []
    for column, first in zip(tooth.T, begin, strict=True):
        if not column[first] or DOWN[first] > FIRST:
            continue
        after = np.flatnonzero(~column[first:])
        last = first + (int(after[0]) if len(after) else len(column) - first) - 1
        if DOWN[last] - DOWN[first] >= LEAST_HEIGHT:
            ends.append(DOWN[last])
    if len(ends) < LEAST_COLUMNS * len(ACROSS):
        return None
    end = np.array([np.median(ends)], np.float32)
    middle = np.array([0.5], np.float32)
    return np.asarray(opening.between_rims(lips, middle, end)[0, 0], np.float64)
