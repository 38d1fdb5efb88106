"""Levels of smiles, and smiles that fade: a mouth at rest is no sad one.

A reference that smiles more than its source takes more of a smile away, as the driver comes to
rest, than the source has: its mouth would hang.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.faces.landmarks import topology
from thcli.motion.canonical import neutral
from thcli.motion.model3d import EXPRESSION_NAMES, IDENTITY_COUNT, project
from thcli.motion.sliders import load_slider_shapes

CHANCE = 0.1  # coefficient of a smile by which faces at rest differ
SMILING = (0.3, 0.7)  # coefficients of faces that hardly smile, and of those that clearly do
ORDINARY = 0.5  # coefficient that faces reach which talk, and do not laugh
NARROWED = 0.03  # share of its width by which a mouth narrows without relaxing
# Canonical widths of mouths, from the widest at rest (98 of 100 strangers have less than .63) to
# those of laughs; by how much a mouth may still narrow in one
LAUGHING, CHANCE_WIDTH = (0.63, 0.71), 0.01
RELAXED = 0.25  # share of a smile that goes at most: the driver's change takes of it, too
LIPS_REACH = (0.03, 0.15)  # canonical units around the lips over which they move as they are asked
_SMILE = IDENTITY_COUNT + EXPRESSION_NAMES.index("smile")


def levels(shapes: Array) -> Array:
    """Return the coefficients (...) by which canonical shapes (..., 468, 3) smile."""
    return np.asarray(project(shapes)[..., _SMILE])


def smiling(shape: Array) -> float:
    """Return how far a canonical shape (468, 3) clearly smiles, 0..1."""
    return float(smoothstep(*SMILING, levels(shape)))


def width_at_rest(shape: Array) -> float:
    """Return the width of the mouth of a shape (468, 3) without its smile, over its own, 0..1."""
    smile = max(float(levels(shape)), 0.0) * load_slider_shapes().smile
    return float(np.clip(1 - _mouth_width(smile) / max(float(_mouth_width(shape)), 1e-6), 0, 1))


def keep(change: Array, source: Array, driver: Array) -> Array:
    """Return changes after which a source smiles no less than itself or than the driver.

    The mouth of one that laughs, open or shut, is no narrower than either.

    Args:
        change: (T, 468, 3) of the source's canonical shape.
        source: (468, 3) that shape.
        driver: (T, 468, 3) the driver's canonical shapes.
    """
    smile, left = load_slider_shapes().smile, source + change
    lost = np.maximum(_lacks(levels, left, source, driver) - CHANCE, 0)
    narrowed = np.maximum(_lacks(_mouth_width, left, source, driver) - CHANCE_WIDTH, 0)
    narrowed *= smoothstep(*LAUGHING, _mouth_width(driver)) / _mouth_width(smile)
    return np.asarray(change + np.maximum(lost, narrowed)[:, None, None] * smile)


def _lacks(measure: Callable[[Array], Array], left: Array, source: Array, driver: Array) -> Array:
    """Return by how much a measure of shapes is below that of the source and of the driver."""
    return np.asarray(np.minimum(measure(source), measure(driver)) - measure(left))


def relax(change: Array, source: Array) -> Array:
    """Return changes by which a source that smiles relaxes, as far as its mouth narrows.

    A driver at rest that purses its lips says nothing of cheeks and folds; those of a laugh would
    stay around a small mouth. The lips are as wide as before.

    Args:
        change: (T, 468, 3) of the source's canonical shape.
        source: (468, 3) that shape.
    """
    own = max(float(levels(source)) - ORDINARY, 0.0)
    relaxed = source - own * load_slider_shapes().smile
    before, after, least = (_mouth_width(shapes) for shapes in (source, source + change, relaxed))
    room = before - least
    if room <= 0:
        return change
    share = np.clip(((1 - NARROWED) * before - after) / room, 0, 1)
    added = RELAXED * share[:, None, None] * (relaxed - source)
    added[..., 0] *= _beside_lips()
    return np.asarray(change + added)


def _mouth_width(shapes: Array) -> Array:
    left, right = (shapes[..., corner, 0] for corner in topology.MOUTH_CORNERS)
    return np.asarray(right - left)


@cache
def _beside_lips() -> Array:
    """Return how far a point is beside the lips, (468,) 0..1."""
    points = neutral()[:, :2]
    lips = points[topology.LIPS_OUTER]
    distance = np.linalg.norm(points[:, None] - lips, axis=-1).min(1)
    beside = np.asarray(smoothstep(*LIPS_REACH, distance))
    beside[topology.LIPS_INNER] = 0
    return beside
