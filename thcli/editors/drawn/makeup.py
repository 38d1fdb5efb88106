"""Make-up: colour on lips, lids and cheeks, eyeliner, smoothed skin. Light and pores are kept."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array, Array32
from thcli.editors.drawn import soft_spots
from thcli.editors.drawn.scene import Scene
from thcli.editors.drawn.tint import SKIN_LEVEL, light_cast, luma
from thcli.faces.landmarks.topology import EYES, LIDS, LIPS_INNER, LIPS_OUTER
from thcli.faces.parsing.classes import EYES as EYE_REGIONS
from thcli.faces.parsing.classes import GLASSES, LIPS, SKIN
from thcli.faces.parsing.polygon import polygon_coverage

_LIPSTICK = np.array([1.75, 0.5, 0.66], np.float32)  # RGB over its luma
_LUMA = np.array([0.299, 0.587, 0.114])
_COVER, _DARKENING = 0.42, 0.13  # of lipstick at strength 1: share of its hue, loss of light
_LIGHTER, _TONED = (0.5, 1.7), 0.7  # factors to a lipstick's own brightness; share of them
_BLUSH = np.array([1.043, 0.88, 0.902], np.float32)  # factors at strength 1
_EYESHADOW = np.array([0.62, 0.5, 0.53], np.float32)  # factors at strength 1
_LIDS_SHARE = 0.6  # of eyeshadow in all make-up: lids that are shut show all of it
_FINE = 4  # samples per pixel in each direction, for thin lines
_PORES, _SPOTS = 1.0, 4.5  # pixels: finer detail is kept, detail between both is smoothed
_EDGE = 16.0  # levels of 255: larger differences are no spots


def apply_full_makeup(out: Array32, scene: Scene, strength: float) -> None:
    """Apply all make-up, in place."""
    smooth_skin(out, scene, 0.75 * strength)
    apply_blush(out, scene, 0.6 * strength)
    apply_eyeshadow(out, scene, _LIDS_SHARE * strength)
    draw_eyeliner(out, scene, strength)
    apply_lipstick(out, scene, 1.15 * strength)


def apply_lipstick(
    out: Array32, scene: Scene, strength: float, colour: Array | None = None
) -> None:
    """Colour the lips, in place; shape and highlights stay.

    Args:
        out: (S, S, 3) float32 0..255.
        scene: crop.
        strength: above 0.
        colour: (3,) RGB of the lipstick, None for red.
    """
    paint = np.asarray(_LIPSTICK)
    if colour is not None:
        paint = light_cast(scene) * colour / max(colour @ _LUMA, 8.0)
    size = (scene.side, scene.side)
    flat = scene.mesh[:, :2]
    opening = polygon_coverage(flat[LIPS_INNER], size)
    mask = polygon_coverage(flat[LIPS_OUTER], size, 0.5) * (1 - opening)
    soft = cv2.GaussianBlur(mask, (0, 0), 1.0 + 0.5 * float(scene.appearance.blur[0]))
    mask = soft * np.clip(0.2 + 1.6 * scene.region_mask(*LIPS), 0, 1) * (1 - scene.occlusion)
    window = _box(mask)
    part, share = out[window], mask[window][..., None]
    grey = luma(part)[..., None]
    share_of_paint = np.float32(min(strength, 1.6) * _COVER)
    # Specular highlights keep the colour of the light.
    shine = np.clip((grey - np.float32(scene.appearance.skin.mean())) / 60, 0, 1)
    own = part / np.maximum(grey, 1)
    hue = own + share_of_paint * (1 - 0.7 * shine) * (paint.astype(np.float32) - own)
    bright = float(np.exp(-_DARKENING * strength))
    if colour is not None:
        skin = float(scene.appearance.skin.mean())
        lips = float(scene.appearance.lips @ _LUMA)
        level = float(colour @ _LUMA) * skin / SKIN_LEVEL
        bright = float(np.clip(level / max(lips, 1.0), *_LIGHTER)) ** (_TONED * min(strength, 1.6))
    part += share * (grey * np.float32(bright) * hue - part)


def apply_blush(out: Array32, scene: Scene, strength: float) -> None:
    """Colour the cheeks, in place."""
    cheeks = soft_spots.rasterize_weights(scene, soft_spots.cheek_weights(), 0.05)
    _multiply(out, scene, cheeks * scene.region_mask(*SKIN), _BLUSH, strength)


def apply_eyeshadow(out: Array32, scene: Scene, strength: float) -> None:
    """Darken the lids, in place."""
    lids = soft_spots.rasterize_weights(scene, soft_spots.eyelid_weights(), 0.022)
    _multiply(out, scene, lids * (1 - _eyes(scene)), _EYESHADOW, 0.9 * strength)


def _multiply(out: Array32, scene: Scene, mask: Array32, factors: Array32, strength: float) -> None:
    mask = mask * (1 - scene.occlusion)
    window = _box(mask)
    log = np.log(factors) * np.float32(strength)
    out[window] *= np.exp(mask[window][..., None] * log)


def _eyes(scene: Scene) -> Array32:
    """Return (S, S) 0..1, the eye openings and worn glasses."""
    size = (scene.side, scene.side)
    rings = np.maximum(*(polygon_coverage(scene.mesh[ring, :2], size, 0.2) for ring in EYES))
    parsed = np.clip(2 * scene.region_mask(*EYE_REGIONS, *GLASSES) - 1, 0, 1)
    return np.asarray(np.maximum(rings, parsed), np.float32)


def draw_eyeliner(out: Array32, scene: Scene, strength: float) -> None:
    """Draw a dark line with a short wing along the upper lids, and a faint one below, in place."""
    scale = scene.pose[0]
    for lid, corners in zip(LIDS, ((133, 33), (362, 263)), strict=True):
        upper = scene.mesh[[corners[0], *lid.upper[::-1], corners[1]], :2]
        lower = scene.mesh[[*lid.lower[3::-1], corners[1]], :2]
        wing = upper[-1] + 0.55 * (upper[-1] - upper[-3]) + (upper[-2] - upper[-1]) * 0.15
        wide = 0.021 * scale * min(strength, 1.5) ** 0.5
        upper_widths = wide * np.array([0.15, 0.3, 0.5, 0.65, 0.8, 0.9, 1.0, 1.05, 0.9, 0.1])
        lower_widths = wide * np.array([0.2, 0.35, 0.4, 0.5, 0.6])
        dark = min(strength, 1.1)
        _line(out, scene, np.vstack([upper, wing]), upper_widths, 0.85 * dark)
        _line(out, scene, lower, lower_widths, 0.45 * dark)


def _line(out: Array32, scene: Scene, points: Array, widths: Array, dark: float) -> None:
    """Draw a line of varying width that darkens the image, in place.

    Args:
        out: (S, S, 3) float32 0..255.
        scene: crop.
        points: (K, 2), pixels.
        widths: (K,), pixels.
        dark: 0..1, share of the light that it takes.
    """
    t = np.linspace(0, len(points) - 1, 4 * len(points))
    path = np.stack([np.interp(t, np.arange(len(points)), points[:, i]) for i in range(2)], 1)
    path[1:-1] = (path[:-2] + 2 * path[1:-1] + path[2:]) / 4
    wide = np.interp(t, np.arange(len(points)), widths)[:, None] / 2
    along = np.gradient(path, axis=0)
    length = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    normal = np.stack([-along[:, 1], along[:, 0]], 1) / length
    ring = np.vstack([path + wide * normal, (path - wide * normal)[::-1]])
    low = np.maximum(np.floor(ring.min(0)).astype(int) - 5, 0)
    high = np.minimum(np.ceil(ring.max(0)).astype(int) + 6, scene.side)
    if (high <= low).any():
        return
    width, height = (high - low).tolist()
    canvas = np.zeros((height * _FINE, width * _FINE), np.uint8)
    corners = np.rint(((ring - low + 0.5) * _FINE - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [corners], 255, cv2.LINE_8, 4)
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    small = small.astype(np.float32) / np.float32(255)
    soft = cv2.GaussianBlur(small, (0, 0), max(0.9 * float(scene.appearance.blur[0]), 0.6))
    window = (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])))
    cover = (soft * (1 - scene.occlusion[window]))[..., None]
    colour = np.array([0.96, 1.0, 1.0], np.float32)
    out[window] *= 1 - cover * colour * np.float32(min(dark, 0.95))


def smooth_skin(out: Array32, scene: Scene, strength: float) -> None:
    """Remove spots and small folds from the skin, in place; pores and grain stay."""
    mask = np.clip(2 * scene.region_mask(*SKIN) - 1, 0, 1) * (1 - scene.occlusion)
    window = _box(mask)
    part = out[window]
    fine = cv2.GaussianBlur(part, (0, 0), _PORES)
    spot = fine - cv2.GaussianBlur(part, (0, 0), _SPOTS)
    small = np.exp(-((np.abs(spot).max(-1) / np.float32(_EDGE)) ** 2))
    part -= spot * (mask[window] * small * np.float32(min(strength, 0.95)))[..., None]


def _box(mask: Array32) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.max(1) > 0.004), np.flatnonzero(mask.max(0) > 0.004)
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
