"""Outlines of lenses: closed paths along faint lines around the eyes."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32
from thcli.editors.atlas.removers.parts import PARTS, canonical_places

_ANGLES = 96  # directions around an eye
_RADII = (15, 48)  # samples: those of rims around the middle of an eye
_STEP = 2  # samples by which neighbouring directions' radii differ at most
_BEND = 0.15  # cost of a sample of such a difference, in lines of the least strength
_MOST = 2.0  # strength above which a line counts no more
_SEEN = 0.8  # share of the directions in which outlines are at least as strong as the least
_TOLD, _MANY = 0.5, 0.5  # of `free`; share of the directions in which a rim must be tellable
_EYE = 0.34  # canonical: the middles of the eyes from the middle of the face
_WIDTH = 5  # samples: width of an outline that is found


def lens_outlines(strength: Array32, free: Array32) -> Array32:
    """Return (height, width) 0..1, closed outlines around eyes along which lines are seen.

    A rim is closed: where its line is too faint, its neighbours tell the way. Nothing is returned
    where too little of both outlines is seen.

    Args:
        strength: (height, width) of thin lines, 1 for the least that is one.
        free: (height, width) 0..1, where rims can be told.
    """
    seen = []
    places = canonical_places()[PARTS["eyes"].window]
    out = np.zeros(strength.shape, np.uint8)
    radii = np.arange(*_RADII, dtype=np.float32)
    turns = np.arange(_ANGLES, dtype=np.float32)[:, None] * np.float32(2 * np.pi / _ANGLES)
    for middle in (-_EYE, _EYE):
        away = np.hypot(places[..., 0] - middle, places[..., 1])
        away[~places.any(-1)] = np.inf
        y, x = np.unravel_index(int(np.argmin(away)), away.shape)
        across = x + np.cos(turns) * radii
        down = y + np.sin(turns) * radii
        lines = _sample(np.clip(strength, 0, _MOST) * free, across, down)
        known = _sample(free, across, down)
        path = _closed_path(lines)
        rows = np.arange(_ANGLES)
        told = known[rows, path] > _TOLD
        if told.mean() < _MANY:
            return np.zeros(strength.shape, np.float32)
        seen.append(float((lines[rows, path][told] >= 1).mean()))
        points = np.stack([across[rows, path], down[rows, path]], -1)
        cv2.polylines(out, [np.rint(points).astype(np.int32)], True, 255, _WIDTH)
    if np.mean(seen) < _SEEN:
        return np.zeros(strength.shape, np.float32)
    return np.asarray(out.astype(np.float32) / np.float32(255) * free, np.float32)


def _sample(plane: Array32, across: Array32, down: Array32) -> Array32:
    """Return a plane's values at positions, 0 outside."""
    maps = (across.astype(np.float32), down.astype(np.float32))
    return np.asarray(cv2.remap(plane, *maps, cv2.INTER_LINEAR, borderValue=0), np.float32)


def _closed_path(reward: Array32) -> npt.NDArray[np.intp]:
    """Return the column of each row on the path of most reward whose ends meet, all but closed.

    Args:
        reward: (rows, columns).
    """
    count = len(reward)
    turned = np.concatenate([reward] * 3)
    total = turned[0]
    steps = np.zeros(turned.shape, np.intp)
    shifts = np.arange(-_STEP, _STEP + 1)
    for row in range(1, len(turned)):
        padded = np.pad(total, _STEP, constant_values=-np.inf)
        came = np.stack(
            [padded[_STEP + s : _STEP + s + len(total)] - _BEND * abs(s) for s in shifts]
        )
        best = came.argmax(0)
        steps[row] = shifts[best]
        total = turned[row] + came.max(0)
    path = np.zeros(len(turned), np.intp)
    path[-1] = int(total.argmax())
    for row in range(len(turned) - 1, 0, -1):
        path[row - 1] = path[row] + steps[row, path[row]]
    return path[count : 2 * count]
