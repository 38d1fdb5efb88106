"""Bare skin as a person has it: its light, hue and grain, where hair or rims were."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from thcli.core.types import Array32
from thcli.editors.atlas import tone
from thcli.editors.atlas.removers.parts import COLUMNS, ROWS, PartName, cheek_window, zone_mask

_SURELY_SEEN, _FEWEST = 0.5, 50  # visibility of samples that tell the complexion; their number
# Soft logarithms by which skin may be lighter than the cheeks: brows and noses shine, jaws hardly.
_SHINE: Mapping[PartName, float] = {"eyes": 0.3, "lower": 0.05}
_BARE = 0.1  # probability of hair, or share of lips, below which the skin is bare
_HUE = 0.04  # soft logarithms by which skin below hair may differ in hue from bare skin
_DETAIL = 2.5  # samples: finer detail of the skin is kept where nothing covers it
_HAIR = (0.03, 0.12)  # soft logarithms: less dark hair lets the skin through, darker hides it
_PORES = 0.7  # samples: softness of the grain of skin that was below hair
_SPREAD = 1.4826  # standard deviation of a normal distribution over its median deviation


def limit_light(bare: Array32, texture: Array32, weight: Array32, part: PartName) -> Array32:
    """Limit the brightness of a bare face (height, width, 3): no skin outshines the cheeks."""
    cheeks = cheek_window() & (weight > _SURELY_SEEN)
    if cheeks.sum() < _FEWEST:
        return bare
    most = float(np.median(texture[cheeks] @ tone.LUMA)) + _SHINE[part]
    over = np.maximum(bare @ tone.LUMA - np.float32(most), 0)
    return np.asarray(bare - over[..., None], np.float32)


def limit_hue(
    bare: Array32, texture: Array32, weight: Array32, mask: Array32, window: tuple[slice, slice]
) -> Array32:
    """Limit the hue of what was below hair (height, width, 3) to nearly that of the bare skin.

    Else warm, dark skin gets a grey mask.

    Args:
        bare: without hair.
        texture, weight: of the whole atlas.
        mask: (height, width) 0..1, hair.
        window: of the part.
    """
    lips = zone_mask("lipstick")
    free = (weight > _SURELY_SEEN) & (on_atlas(window, mask) < _BARE) & (lips < _BARE)
    free[: window[0].start] &= cheek_window()[: window[0].start]
    if free.sum() < _FEWEST:
        return bare
    hue = texture - (texture @ tone.LUMA)[..., None]
    own = np.median(hue[free], 0)
    light = (bare @ tone.LUMA)[..., None]
    off = bare - light - own
    far = np.sqrt((off**2).sum(-1, keepdims=True))
    near = off * np.minimum(1, _HUE / np.maximum(far, 1e-6))
    return np.asarray(
        bare + (1 - lips[window])[..., None] * (light + own + near - bare), np.float32
    )


def on_atlas(window: tuple[slice, slice], values: Array32) -> Array32:
    """Return values of a window on the whole atlas (ROWS, COLUMNS), 0 elsewhere."""
    out = np.zeros((ROWS, COLUMNS), np.float32)
    out[window] = values
    return out


def lighten(texture: Array32, bare: Array32, mask: Array32) -> Array32:
    """Return the change (height, width, 3) from hair to bare skin, nowhere darker.

    Args:
        texture: with hair.
        bare: without.
        mask: (height, width) 0..1, hair.
    """
    change = mask[..., None] * (bare - cv2.GaussianBlur(texture, (0, 0), _DETAIL))
    share = np.clip((change @ tone.LUMA) / _HAIR[0], 0, 1)
    return np.asarray(change * share[..., None], np.float32)


def hair_share(change: Array32) -> Array32:
    """Return (height, width) 0..1, where hair hides the skin."""
    low, high = _HAIR
    lighter = cv2.GaussianBlur(change @ tone.LUMA, (0, 0), _DETAIL)
    return np.asarray(np.clip((lighter - low) / (high - low), 0, 1), np.float32)


def grain(texture: Array32, weight: Array32) -> Array32:
    """Return (ROWS, COLUMNS, 1) soft logarithms: grain as strong as that of the cheeks."""
    cheek = cheek_window() & (weight > _SURELY_SEEN)
    if cheek.sum() < _FEWEST:
        return np.zeros((ROWS, COLUMNS, 1), np.float32)
    luma = texture @ tone.LUMA
    detail = np.abs(luma - cv2.GaussianBlur(luma, (0, 0), _DETAIL))[cheek]
    noise = np.random.default_rng(0).standard_normal((ROWS, COLUMNS)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), _PORES)
    strength = _SPREAD * float(np.median(detail)) / float(soft.std())
    return np.asarray(soft[..., None] * np.float32(strength), np.float32)
