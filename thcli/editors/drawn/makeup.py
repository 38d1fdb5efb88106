"""Make-up: colour on lips, lids and cheeks, a line along the lashes, skin evened; all of it keeps the light and the pores below."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array, Array32
from thcli.editors.drawn import soft_spots
from thcli.editors.drawn.scene import Scene
from thcli.editors.drawn.tint import grey_of
from thcli.faces.landmarks.topology import EYES, LIDS, LIPS_INNER, LIPS_OUTER
from thcli.faces.parsing.classes import EYES as EYE_REGIONS
from thcli.faces.parsing.classes import LIPS, SKIN, number
from thcli.faces.parsing.polygon import coverage

_LIPSTICK = np.array([1.75, 0.5, 0.66], np.float32)  # RGB over its grey
_BLUSH = np.array([1.06, 0.83, 0.865], np.float32)  # factors at strength 1
_SHADOW = np.array([0.62, 0.5, 0.53], np.float32)
_GLASSES = number("eye_g")
_FINE = 4  # samples to a pixel, each way, for thin lines
_PORES, _SPOTS = 1.0, 4.5  # pixels: what is finer is skin's own, what lies between is evened
_EDGE = 16.0  # levels: larger differences are no spots


def full(out: Array32, scene: Scene, strength: float) -> None:
    """All of it, in place."""
    even(out, scene, 0.75 * strength)
    cheeks(out, scene, 0.55 * strength)
    lids(out, scene, 0.8 * strength)
    lashes(out, scene, strength)
    lips(out, scene, 0.85 * strength)


def lips(out: Array32, scene: Scene, strength: float) -> None:
    """Lipstick, in place: the lips' shape and shine stay."""
    size = (scene.side, scene.side)
    flat = scene.mesh[:, :2]
    mask = coverage(flat[LIPS_OUTER], size, 0.5) * (1 - coverage(flat[LIPS_INNER], size))
    soft = cv2.GaussianBlur(mask, (0, 0), 1.0 + 0.5 * float(scene.look.blur[0]))
    mask = soft * np.clip(0.2 + 1.6 * scene.region(*LIPS), 0, 1) * (1 - scene.before)
    here = _box(mask)
    part, share = out[here], mask[here][..., None]
    grey = grey_of(part)[..., None]
    paint = np.float32(min(strength, 1.0))
    shine = np.clip(
        (grey - np.float32(scene.look.skin.mean())) / 60, 0, 1
    )  # mirrored light has its own colour
    own = part / np.maximum(grey, 1)
    colour = own + paint * np.float32(0.85) * (1 - 0.7 * shine) * (_LIPSTICK - own)
    dark = np.float32(np.exp(-0.3 * strength))
    part += share * (grey * dark * colour - part)


def cheeks(out: Array32, scene: Scene, strength: float) -> None:
    """Blush, in place."""
    _stain(
        out,
        scene,
        soft_spots.spread(scene, soft_spots.cheeks(), 0.05) * scene.region(*SKIN),
        _BLUSH,
        strength,
    )


def lids(out: Array32, scene: Scene, strength: float) -> None:
    """Eye shadow, in place."""
    mask = soft_spots.spread(scene, soft_spots.lids(), 0.022) * (1 - _eyes(scene))
    _stain(out, scene, mask, _SHADOW, 0.9 * strength)


def _stain(out: Array32, scene: Scene, mask: Array32, factors: Array32, strength: float) -> None:
    mask = mask * (1 - scene.before)
    here = _box(mask)
    log = np.log(factors) * np.float32(strength)
    out[here] *= np.exp(mask[here][..., None] * log)


def _eyes(scene: Scene) -> Array32:
    """(S, S) 0..1, what shows between the lids, and glasses that are worn."""
    size = (scene.side, scene.side)
    rings = np.maximum(*(coverage(scene.mesh[ring, :2], size, 0.2) for ring in EYES))
    return np.asarray(
        np.maximum(rings, np.clip(2 * scene.region(*EYE_REGIONS, _GLASSES) - 1, 0, 1)), np.float32
    )


def lashes(out: Array32, scene: Scene, strength: float) -> None:
    """A dark line along the upper lids with a short wing, and a faint one below, in place."""
    scale = scene.pose[0]
    for lid, corners in zip(LIDS, ((133, 33), (362, 263)), strict=True):
        upper = scene.mesh[[corners[0], *lid.upper[::-1], corners[1]], :2]
        lower = scene.mesh[[*lid.lower[3::-1], corners[1]], :2]
        wing = upper[-1] + 0.55 * (upper[-1] - upper[-3]) + (upper[-2] - upper[-1]) * 0.15
        wide = 0.021 * scale * min(strength, 1.5) ** 0.5
        line = np.vstack([upper, wing])
        _line(
            out,
            scene,
            line,
            wide * np.array([0.15, 0.3, 0.5, 0.65, 0.8, 0.9, 1.0, 1.05, 0.9, 0.1]),
            0.85 * min(strength, 1.1),
        )
        _line(
            out,
            scene,
            lower,
            wide * np.array([0.2, 0.35, 0.4, 0.5, 0.6]),
            0.45 * min(strength, 1.1),
        )


def _line(out: Array32, scene: Scene, points: Array, widths: Array, dark: float) -> None:
    """A line of changing width (pixels), which takes `dark` of the light below it."""
    t = np.linspace(0, len(points) - 1, 4 * len(points))
    path = np.stack([np.interp(t, np.arange(len(points)), points[:, i]) for i in range(2)], 1)
    path[1:-1] = (path[:-2] + 2 * path[1:-1] + path[2:]) / 4
    wide = np.interp(t, np.arange(len(points)), widths)[:, None] / 2
    along = np.gradient(path, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(
        np.linalg.norm(along, axis=1, keepdims=True), 1e-6
    )
    ring = np.vstack([path + wide * normal, (path - wide * normal)[::-1]])
    low = np.maximum(np.floor(ring.min(0)).astype(int) - 5, 0)
    high = np.minimum(np.ceil(ring.max(0)).astype(int) + 6, scene.side)
    if (high <= low).any():
        return
    width, height = (high - low).tolist()
    canvas = np.zeros((height * _FINE, width * _FINE), np.uint8)
    cv2.fillPoly(
        canvas,
        [np.rint(((ring - low + 0.5) * _FINE - 0.5) * 16).astype(np.int32)],
        255,
        cv2.LINE_8,
        4,
    )
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA).astype(
        np.float32
    ) / np.float32(255)
    soft = cv2.GaussianBlur(small, (0, 0), max(0.9 * float(scene.look.blur[0]), 0.6))
    here = (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])))
    out[here] *= 1 - (soft * (1 - scene.before[here]))[..., None] * np.array(
        [0.96, 1.0, 1.0], np.float32
    ) * np.float32(min(dark, 0.95))


def even(out: Array32, scene: Scene, strength: float) -> None:
    """Takes spots and small folds off the skin, in place; pores and grain stay."""
    mask = np.clip(2 * scene.region(*SKIN) - 1, 0, 1) * (1 - scene.before)
    here = _box(mask)
    part = out[here]
    fine = cv2.GaussianBlur(part, (0, 0), _PORES)
    spot = fine - cv2.GaussianBlur(part, (0, 0), _SPOTS)
    small = np.exp(-((np.abs(spot).max(-1) / np.float32(_EDGE)) ** 2))
    part -= spot * (mask[here] * small * np.float32(min(strength, 0.95)))[..., None]


def _box(mask: Array32) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.max(1) > 0.004), np.flatnonzero(mask.max(0) > 0.004)
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
