"""Glasses drawn on an unrolled face: tints, glare, shadows and rims that painted pairs lack.

A pair that `paint` stores has one of two styles. These are drawn anew for every item, in canonical
units on the atlas, so that lenses may be tinted from above, mirror a window or shade the cheek.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array32
from thcli.editors.atlas import layout, tone
from thcli.editors.atlas.removers.parts import FINE, PARTS, canonical_places

_UNIT = layout.DENSITY * FINE  # samples of a canonical unit
_TINTED = 0.45  # share of lenses that are more than a little dim
_DARKEST = 0.9  # soft logarithms
_TEMPLE_ENDS = 0.95  # canonical, |x| where the part ends


@dataclass(frozen=True, slots=True)
class Shape:
    """Places that a pair of glasses covers in the eyes' part, (height, width) each.

    lens: 0..1. height: -1 at the top of the lenses, 1 at their bottom. rim: 0..1.
    """

    lens: Array32
    height: Array32
    rim: Array32


def wear(bare: Array32, rng: np.random.Generator, *, rims: bool) -> Array32:
    """Return a bare part of the eyes (soft logarithms) with glasses.

    Args:
        bare: (height, width, 3).
        rng: source of the random numbers.
        rims: draw rims, temples and their shadow too.
    """
    shape = _shape(rng)
    out = bare + _shadow(shape, rng) if rims else bare
    light = np.exp(out + _tint(shape, rng)) - np.float32(tone.FLOOR)
    light = light + _glare(shape, rng)
    if rims:
        cover = shape.rim * np.float32(rng.uniform(0.75, 1.0))
        light = light + cover[..., None] * (_rim_colour(shape, light, rng) - light)
    return np.asarray(np.log(np.maximum(light, 0) + np.float32(tone.FLOOR)), np.float32)


def _shape(rng: np.random.Generator) -> Shape:
    """Draw lenses as superellipses, with rims, a bridge and temples."""
    place = canonical_places()[PARTS["eyes"].window]
    x, y = place[..., 0] - rng.normal(0, 0.01), place[..., 1] + rng.normal(0, 0.02) * place[..., 0]
    half, tall = rng.uniform(0.2, 0.31), rng.uniform(0.11, 0.26)
    middle = half + rng.uniform(0.03, 0.08)
    below = rng.uniform(-0.02, 0.09)
    power, taper = rng.uniform(2.0, 5.0), rng.uniform(-0.1, 0.3)
    across, down = (np.abs(x) - middle) / half, (y - below) / tall
    across = across * (1 + taper * down * 0.5)
    reach = (np.abs(across) ** power + np.abs(down) ** power) ** (1 / power)
    apart = ((reach - 1) * (half + tall) / 2 * _UNIT).astype(np.float32)  # samples to the edge
    thick = np.exp(rng.uniform(np.log(0.7), np.log(6.0)))
    lower = rng.uniform(0.3, 1.0) if rng.random() < 0.8 else 0.0  # else no rim below
    width = thick * np.interp(down, [-0.6, 0.4], [1.0, lower])
    rim = np.clip(width - np.abs(apart) + 0.5, 0, 1) * (width > 0.3)
    high = below - tall * rng.uniform(0.2, 0.8)
    arch = high - 0.03 * np.cos(np.clip(x / max(middle - half, 0.02), -1.5, 1.5))
    bridge = np.clip(thick * rng.uniform(0.6, 1.2) - np.abs(y - arch) * _UNIT + 0.5, 0, 1)
    rim = np.maximum(rim, bridge * (np.abs(x) < middle - half + 0.02))
    line = below - tall * rng.uniform(0.1, 0.7) + (np.abs(x) - middle) * rng.normal(0, 0.12)
    wide = thick * rng.uniform(0.6, 1.8)
    temple = np.clip(wide - np.abs(y - line) * _UNIT + 0.5, 0, 1)
    beside = (np.abs(x) > middle + half * 0.97) & (np.abs(x) < _TEMPLE_ENDS)
    rim = np.maximum(rim, temple * beside) * (np.abs(place).sum(-1) > 0)
    lens = np.clip(0.5 - apart, 0, 1)
    return Shape(
        np.asarray(lens, np.float32), np.asarray(down, np.float32), np.asarray(rim, np.float32)
    )


def _tint(shape: Shape, rng: np.random.Generator) -> Array32:
    """Return the darkening (height, width, 3) of the lenses, often more above than below."""
    most = rng.uniform(0.1, _DARKEST) if rng.random() < _TINTED else rng.uniform(0, 0.12)
    colour = np.clip(rng.normal(1, 0.35, 3), 0.2, 1.8).astype(np.float32)
    fade = rng.uniform(0, 1) if rng.random() < 0.5 else 0.0
    share = 1 - np.float32(fade) * smoothstep(-0.8, 0.8, shape.height).astype(np.float32)
    dark = np.minimum(np.float32(most) * share[..., None] * colour, np.float32(_DARKEST))
    return np.asarray(-dark * shape.lens[..., None], np.float32)


def _glare(shape: Shape, rng: np.random.Generator) -> Array32:
    """Return light (height, width, 3) that the lenses mirror: a veil, windows and streaks."""
    height, width = shape.lens.shape
    veil = np.zeros((height, width), np.float32)
    if rng.random() < 0.5:
        coarse = rng.uniform(0, 1, (3, 6)).astype(np.float32)
        veil += np.float32(rng.uniform(0, 0.16)) * cv2.resize(
            coarse, (width, height), interpolation=cv2.INTER_CUBIC
        )
    for _ in range(rng.integers(0, 4)):
        spot = np.zeros((height, width), np.float32)
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(1, 14)), int(rng.integers(1, 9)))
        cv2.ellipse(spot, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
        spot = np.asarray(cv2.GaussianBlur(spot, (0, 0), rng.uniform(0.7, 3.0)), np.float32)
        veil += np.float32(rng.uniform(0.05, 0.6)) * spot
    colour = np.clip(rng.normal(1, 0.12, 3), 0.5, 1.3).astype(np.float32)
    return np.asarray(np.maximum(veil, 0)[..., None] * shape.lens[..., None] * colour, np.float32)


def _shadow(shape: Shape, rng: np.random.Generator) -> Array32:
    """Return the shadow of the rims (height, width, 1), and light that lenses throw below them."""
    moved = np.array([[1, 0, rng.uniform(-4, 4)], [0, 1, rng.uniform(1, 9)]], np.float64)
    size = shape.rim.shape[::-1]
    rim = cv2.warpAffine(shape.rim, moved, size, borderMode=cv2.BORDER_REPLICATE)
    out = -np.float32(rng.uniform(0, 0.4)) * cv2.GaussianBlur(rim, (0, 0), rng.uniform(1.0, 4.0))
    if rng.random() < 0.4:
        lens = cv2.warpAffine(shape.lens, moved, size)
        ring = np.clip(lens - cv2.erode(lens, np.ones((5, 5), np.uint8)), 0, 1)
        ring = ring * (shape.height > 0)
        out += np.float32(rng.uniform(0, 0.25)) * cv2.GaussianBlur(ring, (0, 0), 1.5)
    return np.asarray(out[..., None], np.float32)


def _rim_colour(shape: Shape, behind: Array32, rng: np.random.Generator) -> Array32:
    """Return the colour (height, width, 3) of the rims, with highlights along them."""
    skin = float(np.median(behind @ tone.LUMA))
    share = rng.uniform(0.03, 0.3) if rng.random() < 0.7 else rng.uniform(0.3, 1.3)
    level = max(skin, 0.1) * share * np.exp(rng.normal(0, 0.2, 3))
    height, width = shape.rim.shape
    coarse = rng.uniform(-1.2, 1, (5, 11)).astype(np.float32)
    shine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    shine = np.maximum(shine, 0) * np.float32(rng.uniform(0, 0.5) * max(skin, 0.1))
    return np.asarray(level.astype(np.float32) + shine[..., None], np.float32)
