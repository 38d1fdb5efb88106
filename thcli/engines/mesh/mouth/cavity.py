"""The cavity of a drawn mouth and the tongue in it, without teeth."""

from __future__ import annotations

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh.opening import Rims

CAVITY = np.array([0.40, 0.21, 0.21], np.float32)
LEAST_LIGHT = 0.5  # on the cavity below the upper lip
# Colours of the tongue over the skin's where no light comes, and where all of it does
DEEP, TONGUE = np.array([[0.22, 0.11, 0.11], [0.90, 0.82, 0.92]], np.float32)
# Light at the tip of a tongue in a narrow and in a wide mouth; share of it that the back loses
TIP_LIGHT, TIP_TO_BACK = (0.7, 1.0), (0.95, 0.75)


def render(x: Array32, v: Array32, rims: Rims, gap: float, width_mm: float, tone: Array) -> Array32:
    """Render cavity and tongue.

    Args:
        x: (h, w) mm right of the jaw's midline.
        v: (h, w) coordinate across the opening.
        rims: of the lips, in units of v.
        gap: of the lips, in widths of the mouth.
        width_mm: of the mouth.
        tone: (3,) skin colour.

    Returns:
        (h, w, 3) float32 in 0..255.
    """
    wide, skin = np.float32(width_mm), tone.astype(np.float32)
    under_lip, over_lip = (v - rims[0]) * wide, (rims[1] - v) * wide
    depth = np.clip(under_lip / np.maximum(under_lip + over_lip, 1e-3), 0, 1)
    light = np.float32(LEAST_LIGHT) + np.float32(1 - LEAST_LIGHT) * depth
    colour = light[..., None] * skin * CAVITY
    shade, cover = _tongue(x, over_lip, np.float32(max(gap, 0.0)) * wide)
    flesh = skin * (DEEP + shade[..., None] * (TONGUE - DEEP))
    return np.asarray(colour + cover[..., None] * (flesh - colour), np.float32)


def lift(colour: Array32, tone: Array, darkest: float) -> Array32:
    """Return an inside (h, w, 3) whose dark is no darker than the darkest of its picture.

    Faded photographs have no black: the dark of a mouth would be blacker than all else.

    Args:
        colour: 0..255.
        tone: (3,) skin colour.
        darkest: level of the picture's darkest tone, 0..255, the mean of the channels.
    """
    skin = max(float(tone.mean()), 1.0)
    lacking = darkest - LEAST_LIGHT * skin * float(CAVITY.mean())
    if lacking <= 0:
        return colour
    room = np.clip(1 - colour.mean(-1, keepdims=True) / np.float32(skin), 0, 1)
    return np.asarray(colour + lacking * room * (tone / skin).astype(np.float32), np.float32)


def light_from_corners(u: Array32) -> Array32:
    """Return the light (h, w, 1) on the inside, less towards the corners."""
    corner = smoothstep(0.0, 0.17, np.minimum(u, 1 - u)).astype(np.float32)
    return np.asarray((np.float32(0.35) + np.float32(0.65) * corner)[..., None])


def _tongue(x: Array32, over_lip: Array32, gap: np.float32) -> tuple[Array32, Array32]:
    """Shape the tongue, which lies low behind the lower lip of a wide mouth.

    Args:
        x: (h, w) mm from the jaw's midline.
        over_lip: (h, w) mm above the lower lip.
        gap: mm between the lips.

    Returns:
        Light in 0..1 and coverage, (h, w) float32 each.
    """
    low = np.float32(smoothstep(8, 18, gap))  # it fills a narrow mouth
    height = np.float32(np.clip((1.0 - 0.3 * low) * gap, 1.0, 20.0))
    distance = np.sqrt((x / 20) ** 2 + (over_lip / height) ** 2)
    cover = (1 - smoothstep(0.55, 1.1, distance)) * smoothstep(1, 4, gap)
    groove = 1 - np.float32(0.12) * np.exp(-((x / 2.5) ** 2))
    tip, lost = (first + low * (last - first) for first, last in (TIP_LIGHT, TIP_TO_BACK))
    light = np.float32(tip) * (1 - np.float32(lost) * np.clip(distance, 0, 1)) * groove
    return light.astype(np.float32), cover.astype(np.float32)
