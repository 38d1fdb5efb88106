"""A flat field over the mean face, and soft lines of skin that are drawn in it."""

from __future__ import annotations

from functools import cache

import numpy as np

from thcli.core.types import Array, Array32
from thcli.faces.landmarks import topology
from thcli.motion import canonical

UNIT, MARGIN = 120, 4  # pixels of the field for the distance of the eyes' outer corners; around it
WIDTH = 0.016  # of a line, canonical units


@cache
def places() -> Array:
    """Return the pixels of the mesh points in the field, (468, 2)."""
    flat = canonical.neutral()[:, :2]
    low = flat[topology.OVAL].min(0)
    return np.asarray((flat - low) * UNIT + MARGIN)


@cache
def size() -> tuple[int, int]:
    """Return width and height of the field: the face from the hair to the base of the nose."""
    points = places()
    return int(points[topology.OVAL, 0].max()) + MARGIN, int(points[1, 1])


def distances(points: Array) -> tuple[Array32, Array32]:
    """Return distance in canonical units, and the nearest point's index of a polyline.

    Args:
        points: (N, 2) pixels of the field.

    Returns:
        Two (H, W) of the field.
    """
    width, height = size()
    x, y = np.arange(width), np.arange(height)[:, None]
    right, below = (x[:, None] - points[:, 0]) ** 2, (y - points[:, 1]) ** 2
    nearest = (right + below[:, None]).argmin(-1)
    gap = np.hypot(x - points[nearest, 0], y - points[nearest, 1])
    return (gap / UNIT).astype(np.float32), nearest


def dark_line(distance: Array32, strength: Array) -> Array:
    """Return a dark line."""
    return np.asarray(-strength * np.exp(-((distance / WIDTH) ** 2) / 2))


def profile(distance: Array32, strength: Array) -> Array:
    """Return a dark line between two faint ridges."""
    ridge = np.exp(-(((distance - 2.2 * WIDTH) / (1.2 * WIDTH)) ** 2) / 2)
    return np.asarray(dark_line(distance, strength) + 0.35 * strength * ridge)


def spline(points: Array, values: Array) -> tuple[Array, Array]:
    """Return 120 points of a smooth curve through some, and values along it."""
    at = np.linspace(0, len(points) - 1, 120)
    steps = np.arange(len(points))
    curve = np.stack([np.interp(at, steps, points[:, k]) for k in range(2)], -1)
    dense = np.pad(np.c_[curve, np.interp(at, steps, values)], ((8, 8), (0, 0)), "edge")
    smooth = np.stack([np.convolve(row, np.hanning(19)[1:-1] / 9, "valid") for row in dense.T], -1)
    return smooth[:, :2], smooth[:, 2]
