"""Bushy eyebrows: hairs along and around the brows that there are, in their own colour."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from thcli.core.types import Array, Array32
from thcli.editors.drawn import hair_strokes
from thcli.editors.drawn.beard import ROOM, lay
from thcli.editors.drawn.hair_roots import Growth, Hairs, combed, planted
from thcli.editors.drawn.scene import Scene
from thcli.motion.canonical import neutral

# Of the brow on the picture's right, from the nose outwards: points of its upper and of its lower edge.
_UPPER, _LOWER = (336, 296, 334, 293, 300), (285, 295, 282, 283, 276)
_DOWN = 0.016  # canonical units: the mesh draws brows a little high
_HALF = np.array([0.045, 0.053, 0.05, 0.038, 0.018])  # half of a bushy brow's height
_LENGTH, _LIFT, _PER_UNIT, _SEED = 0.062, 0.15, 15000, 21


def _middle(x: Array) -> tuple[Array, Array]:
    """The brow's middle line and half height at a distance from the face's own middle."""
    points = (neutral()[list(_UPPER), :2] + neutral()[list(_LOWER), :2]) / 2
    return np.interp(x, points[:, 0], points[:, 1] + _DOWN), np.interp(x, points[:, 0], _HALF)


def _density(place: Array) -> Array:
    x = np.abs(place[:, 0])
    first, last = neutral()[_UPPER[0], 0] - 0.02, neutral()[_UPPER[-1], 0] + 0.03
    middle, half = _middle(x)
    off = np.abs(place[:, 1] - middle) / half
    ends = np.clip((x - first) / 0.09, 0, 1) * np.clip((last - x) / 0.06, 0, 1)
    return np.asarray(np.clip(1.25 * (1 - off**2), 0, 1) * ends * (place[:, 1] < 0))


def _flow(place: Array) -> Array:
    """Upwards beside the nose, then outwards along the brow, from both edges towards its middle."""
    x = np.abs(place[:, 0])
    middle, half = _middle(x)
    up = np.interp(x, [0.1, 0.25, 0.45, 0.65], [1.0, 0.45, 0.1, -0.4])
    towards = -0.9 * np.clip((place[:, 1] - middle) / half, -1, 1)
    return np.stack([np.sign(place[:, 0]), -up + towards, np.zeros(len(x))], 1)


@lru_cache(maxsize=1)
def growth() -> Growth:
    """The hairs of both brows."""
    return planted(_density, _flow, _PER_UNIT, _SEED)


@lru_cache(maxsize=8)
def _hairs(strength: float) -> Hairs:
    own = growth()
    length = np.full(len(own.rank), _LENGTH * (0.7 + 0.3 * strength))
    return combed(own, length, _LIFT, 0.0, min(0.2 + 0.6 * strength, 1.0))


def draw(out: Array32, scene: Scene, strength: float) -> None:
    """Draws on (S, S, 3) float32 0..255, in place."""
    coat = hair_strokes.drawn(scene, _hairs(round(strength, 3)), min(0.95 * strength, 0.85), ROOM)
    if coat is not None:
        lay(out, scene, coat, 1 - scene.before[coat.here], colour(scene), 0.25)


def colour(scene: Scene) -> Array:
    """(3,) RGB: the brows' own, darker."""
    most = 0.5 * float(scene.look.skin.mean())
    brow = scene.look.brow * 0.68
    return np.asarray(brow * min(1.0, most / max(float(brow.mean()), 1.0)))
