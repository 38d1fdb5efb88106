"""Bushy eyebrows: hairs along and around the brows, in their own colour."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from thcli.core.types import Array, Array32
from thcli.editors.drawn import hair_strokes
from thcli.editors.drawn.beard import MARGIN, blend_hairs
from thcli.editors.drawn.hair_roots import HairRoots, HairStrokes, comb_hairs, plant_hairs
from thcli.editors.drawn.scene import Scene
from thcli.motion.canonical import neutral

# Upper and lower edge of the brow on the image's right, from the nose outwards.
_UPPER, _LOWER = (336, 296, 334, 293, 300), (285, 295, 282, 283, 276)
_DOWN = 0.016  # correction of the mesh, whose brows are too high, canonical units
_HALF = np.array([0.045, 0.053, 0.05, 0.038, 0.018])  # half height of a bushy brow
_LENGTH, _LIFT, _PER_UNIT, _SEED = 0.062, 0.15, 15000, 21


def _middle(x: Array) -> tuple[Array, Array]:
    """Return middle line and half height of the brow at distances from the face's middle."""
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
    """Return growth directions: up beside the nose, then outwards and towards the middle line."""
    x = np.abs(place[:, 0])
    middle, half = _middle(x)
    up = np.interp(x, [0.1, 0.25, 0.45, 0.65], [1.0, 0.45, 0.1, -0.4])
    towards = -0.9 * np.clip((place[:, 1] - middle) / half, -1, 1)
    return np.stack([np.sign(place[:, 0]), -up + towards, np.zeros(len(x))], 1)


@lru_cache(maxsize=1)
def brow_hair_roots() -> HairRoots:
    """Return the hairs of both brows."""
    return plant_hairs(_density, _flow, _PER_UNIT, _SEED)


@lru_cache(maxsize=8)
def _brow_strokes(strength: float) -> HairStrokes:
    roots = brow_hair_roots()
    length = np.full(len(roots.rank), _LENGTH * (0.7 + 0.3 * strength))
    return comb_hairs(roots, length, _LIFT, 0.0, min(0.2 + 0.6 * strength, 1.0))


def draw(out: Array32, scene: Scene, strength: float) -> None:
    """Render the brows on (S, S, 3) float32 0..255, in place."""
    strokes = _brow_strokes(round(strength, 3))
    layer = hair_strokes.draw_hairs(scene, strokes, min(0.95 * strength, 0.85), MARGIN)
    if layer is not None:
        blend_hairs(out, scene, layer, 1 - scene.occlusion[layer.window], brow_colour(scene), 0.25)


def brow_colour(scene: Scene) -> Array:
    """Return the brows' own colour, darkened, (3,) RGB."""
    limit = 0.5 * float(scene.appearance.skin.mean())
    brow = scene.appearance.brow * 0.68
    return np.asarray(brow * min(1.0, limit / max(float(brow.mean()), 1.0)))
