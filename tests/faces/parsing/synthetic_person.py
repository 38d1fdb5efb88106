"""Synthetic person with known regions: skin, hair, neck, shirt, on a plain background."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from thcli.core.geometry import bounding_box
from thcli.core.types import Array, Array32, Face, Image
from thcli.faces.landmarks.topology import OVAL
from thcli.motion.canonical import neutral

SIDE = 256
COLOURS = {
    0: (60, 140, 90),
    1: (214, 160, 130),
    13: (70, 45, 30),
    17: (190, 138, 110),
    18: (60, 60, 150),
}


def person_mesh(
    centre: Sequence[float] = (128.0, 138.0), height: float = 110.0, turn: float = 0.0
) -> Array32:
    """Return the mean face from the front, (468, 3) pixels; turn: radians in the image."""
    shape = neutral() * (height / float(np.ptp(neutral()[:, 1])))
    shape = shape - (shape.max(0) + shape.min(0)) / 2
    if shape[10, 1] > shape[152, 1]:
        shape[:, 1] *= -1
    c, s = np.cos(turn), np.sin(turn)
    shape[:, :2] = shape[:, :2] @ np.array([[c, s], [-s, c]])
    shape[:, :2] += centre
    return np.asarray(shape, np.float32)


def render_person(mesh: Array32) -> tuple[Image, Image]:
    """Render an upright person, (SIDE, SIDE, 3), and its regions, (SIDE, SIDE).

    The regions are background, skin, hair, neck and cloth.
    """
    labels = np.zeros((SIDE, SIDE), np.uint8)
    oval: Array = mesh[OVAL, :2].astype(np.float64)
    low, high = oval.min(0), oval.max(0)
    middle, wide, tall = (low + high) / 2, high[0] - low[0], high[1] - low[1]
    x, y = (round(float(v)) for v in middle)
    cv2.rectangle(
        labels,
        (x - round(0.9 * wide), round(high[1] + 0.2 * tall)),
        (x + round(0.9 * wide), SIDE),
        18,
        -1,
    )
    cv2.rectangle(
        labels,
        (x - round(0.25 * wide), y),
        (x + round(0.25 * wide), round(high[1] + 0.25 * tall)),
        17,
        -1,
    )
    cv2.ellipse(
        labels,
        (x, round(y - 0.15 * tall)),
        (round(0.68 * wide), round(0.68 * tall)),
        0,
        180,
        360,
        13,
        -1,
    )
    cv2.fillPoly(labels, [np.rint(oval).astype(np.int32)], 1)
    noise = np.random.default_rng(0).normal(0, 5, (SIDE, SIDE, 3))
    colours = np.array([COLOURS.get(i, (0, 0, 0)) for i in range(19)], np.float64)
    return np.clip(colours[labels] + noise, 0, 255).astype(np.uint8), labels


def face_of(mesh: Array32) -> Face:
    return Face(bounding_box(mesh), 1.0, mesh=mesh)
