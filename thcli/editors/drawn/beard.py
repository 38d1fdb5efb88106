"""Beards: hairs of `beard_roots` in the person's own colour, lit as the skin below them."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.editors.drawn import beard_roots, hair_strokes
from thcli.editors.drawn.appearance import Appearance
from thcli.editors.drawn.beard_form import BeardForm
from thcli.editors.drawn.hair_strokes import HairLayer
from thcli.editors.drawn.scene import Scene
from thcli.editors.drawn.tint import SKIN_LEVEL, light_cast
from thcli.faces.landmarks.topology import LIPS_OUTER
from thcli.faces.parsing.classes import MOUTH, NECK, SKIN
from thcli.faces.parsing.polygon import polygon_coverage

_LIGHT = 0.07  # width of the Gaussian that separates light from detail, canonical units
_LIGHTEST = 0.62, 1.05  # limit of a beard's brightness, relative to the skin's; of a grey one
_DYED = 0.8  # factor to a dye
_BRIGHTEST, _FULL = 1.3, 240.0  # limits of a dyed beard: over the skin's mean, and in levels
# Factor to the hair of the head: a beard is thicker and in the face's shadow. A grey one is not
# darker: beards turn grey before the head does.
_DARKER = 0.7, 1.05
_GREY_HUE, _GREY_TONE = (0.45, 0.8), (0.5, 0.7)  # saturation and brightness over the skin's
_LEAST_SKIN = 0.1  # saturation of skin in monochrome footage
_MIDDLE, _SHADE = 0.94, 0.4  # brightness of a hair of middle shade, relative to the light
_DEEP = 0.03  # distance over which hairs shadow each other, canonical units
_SHADOW = 0.045  # width of the shadow around hairs, canonical units
MARGIN = 3 * _SHADOW  # around rendered hairs


def draw(
    out: Array32,
    scene: Scene,
    name: str,
    strength: float,
    form: BeardForm,
    dyed: Array | None = None,
) -> None:
    """Render one style of beard on (S, S, 3) float32 0..255, in place.

    Args:
        out: image.
        scene: crop to draw on.
        name: beard style.
        strength: above 0.
        form: of the person's beard.
        dyed: (3,) RGB of the hair when it is dyed too, else None.
    """
    style = beard_roots.BEARD_STYLES[name]
    solid = min(0.25 + 0.75 * strength, 1.0) * min(strength / 0.3, 1.0) * style.solid
    strokes = beard_roots.beard_strokes(name, round(strength, 3), form)
    layer = hair_strokes.draw_hairs(scene, strokes, solid, MARGIN)
    if layer is not None:
        free = (1 - scene.occlusion[layer.window]) * (1 - _lips(scene, layer))
        colour = beard_colour(scene.appearance) if dyed is None else _DYED * dyed
        blend_hairs(out, scene, layer, free, colour, style.below)


def dyed_beard(scene: Scene, colour: Array) -> Array:
    """Return a requested colour (3,) RGB in the light of the scene."""
    skin = float(scene.appearance.skin.mean())
    lit = colour * light_cast(scene) * skin / SKIN_LEVEL
    limit = min(_BRIGHTEST * skin, _FULL) / _DYED
    return np.asarray(lit * min(limit / max(float(lit.max()), 1.0), 1.0))


def beard_colour(appearance: Appearance) -> Array:
    """Return a plausible beard colour, (3,) RGB, darker than the skin.

    It follows the hair, or the brows where little hair is visible.
    """
    grey_hair = _greyness(appearance)
    share = float(np.clip(appearance.hair_share[0] / 0.06, 0, 1))
    share += (1 - share) * grey_hair
    hair, brow = appearance.hair, appearance.brow
    brows = 0.25 * (1 - grey_hair)
    colour = share * ((1 - brows) * hair + brows * brow) + (1 - share) * brow * 0.75
    grey = float(colour.mean())
    # Dark hair takes on the colour of a green screen or of blue light; limit it to warm tones.
    red, green = max(colour[0], 1.03 * grey), np.clip(colour[1], 0.92 * grey, grey)
    warm = np.array([red, green, min(colour[2], 0.97 * grey)])
    warm *= grey / max(float(warm.mean()), 1.0)
    lightest, darker = (low + (high - low) * grey_hair for low, high in (_LIGHTEST, _DARKER))
    limit = lightest * float(appearance.skin.mean())
    return np.asarray(warm * min(darker, limit / max(grey, 1.0)))


def _greyness(appearance: Appearance) -> float:
    """Return 0..1, how surely the hair is grey: light, and less coloured than the skin."""
    hair, skin = (
        float((colour.max() - colour.min()) / max(float(colour.max()), 1.0))
        for colour in (appearance.hair, appearance.skin)
    )
    bright = float(appearance.hair.mean()) / max(float(appearance.skin.mean()), 1.0)
    coloured = smoothstep(*_GREY_HUE, hair / max(skin, _LEAST_SKIN))
    return float((1 - coloured) * smoothstep(*_GREY_TONE, bright))


def blend_hairs(
    out: Array32, scene: Scene, layer: HairLayer, free: Array32, colour: Array, below: float
) -> None:
    """Blend hairs over the skin, in place.

    Args:
        out: (S, S, 3) float32 0..255.
        scene: crop to draw on.
        layer: hairs.
        free: (h, w) 0..1, where hairs may be visible.
        colour: (3,) RGB.
        below: 0..1, darkening of the skin between hairs.
    """
    scale = scene.pose[0]
    part = out[layer.window]
    light = _light(scene, layer)
    cover = layer.cover * free
    thick = cv2.GaussianBlur(cover, (0, 0), _SHADOW * scale)
    thick = np.clip(thick * np.float32(1.15), 0, 1)
    tint = colour.astype(np.float32) / np.float32(max(float(scene.appearance.skin.mean()), 1.0))
    skin = scene.region_mask(*SKIN, *NECK)[layer.window]
    under = np.minimum(np.float32(below) * thick * free * skin, 1)[..., None]
    part *= 1 - under * (1 - np.clip(tint * np.float32(0.9), 0, 1))
    shade = layer.shade / np.maximum(layer.cover, np.float32(1e-4))
    # Deep inside the hairs shadow each other; single hairs at the border catch the light.
    deep = cv2.GaussianBlur(cover, (0, 0), _DEEP * scale)
    # Light scatters from hair to hair in light beards, so their hairs differ less.
    contrast = 1.75 * np.clip(1.15 - float(tint.mean()), 0.5, 1)
    brightness = light * (np.float32(_MIDDLE) + np.float32(contrast) * (shade - np.float32(_SHADE)))
    brightness *= np.float32(1.2) - np.float32(0.45) * deep
    hair = colour.astype(np.float32) * brightness[..., None]
    part += cover[..., None] * (hair - part)


def _light(scene: Scene, layer: HairLayer) -> Array32:
    """Return (h, w) brightness of the skin, 1 for its median.

    It is interpolated across lips and edges.
    """
    reduction = 4
    width, height = layer.size
    size = (max(width // reduction, 2), max(height // reduction, 2))
    small = cv2.resize(scene.crop[layer.window], size, interpolation=cv2.INTER_AREA)
    grey = small.astype(np.float32).mean(-1)
    skin = scene.region_mask(*SKIN, *NECK)[layer.window]
    confidence = cv2.resize(skin, size, interpolation=cv2.INTER_AREA) ** 2
    sigma = _LIGHT * scene.pose[0] / reduction
    total = cv2.GaussianBlur(confidence, (0, 0), sigma) + np.float32(0.02)
    mean = float(scene.appearance.skin.mean())
    weighted = cv2.GaussianBlur(grey * confidence, (0, 0), sigma) + np.float32(0.02 * mean)
    ratio = np.clip(weighted / total / np.float32(max(mean, 1.0)), 0.15, 2.2)
    return np.asarray(cv2.resize(ratio, layer.size, interpolation=cv2.INTER_LINEAR), np.float32)


def _lips(scene: Scene, layer: HairLayer) -> Array32:
    """Return (h, w) 0..1, lips and mouth."""
    outline = scene.mesh[LIPS_OUTER, :2] - (layer.x0, layer.y0)
    ring = polygon_coverage(outline, layer.size, -0.01 * scene.pose[0])
    parsed = np.clip(1.4 * scene.region_mask(*MOUTH)[layer.window] - 0.3, 0, 1)
    return np.asarray(np.maximum(ring, parsed), np.float32)
