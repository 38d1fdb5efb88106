"""Recolouring of hair and skin.

Brightness changes by a factor; hue and saturation move towards a target.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.editors.drawn.appearance import LOG_FLOOR, Appearance
from thcli.editors.drawn.hair_matte import hair_matte
from thcli.editors.drawn.scene import Scene
from thcli.faces.parsing.classes import BROWS, EARS, NECK, SKIN

_GREY = np.array([[0.299, 0.587, 0.114]], np.float32)
_SKIN = np.array([1.18, 0.965, 0.855])  # RGB of skin in white light over their mean
SKIN_LEVEL = 165.0  # brightness of fair skin in full light, to which colours of dyes refer
# Chosen on talk_suit_6s, talk_may_5s, lrwar_01330, later on talk_anchor_6s and lrwar_01855.
_CONTRAST = (0.6, 2.2)  # limits of the factor from the hair's own tones to those of a dye
_BRIGHTEST = 1.3  # limit of the brightness of dyed hair, relative to the skin's
_UNDYED = 0.5  # share of the roots that a dye leaves
# Grey temples: saturation from grey to coloured, soft logarithms above the hair's middle tone, and
# blur in pixels that both are seen through.
_COLOURLESS, _LIGHTER, _GREY_NEAR = (0.14, 0.26), (-0.1, 0.3), 2.0
_GREY_HUE, _GREY_TONE = (0.08, 0.16), (0.6, 0.75)  # saturation; brightness relative to the skin
_TAN = 0.2  # fall of the logarithm of the brightness of tanned skin
_COOL, _WARM = (-0.012, 0.002, 0.014), (-0.045, 0.01, 0.075)  # hue of pale skin; less that of a tan
_TANNED, _TANS_LESS = (0.35, 0.65), 0.7  # red over blue, logarithm; share that warm skin lacks
_BROWS_DYED = 0.35  # share of the brows that a dye of the hair changes


@dataclass(frozen=True, slots=True)
class Dye:
    """Target colours of dyed hair.

    bright: brightness of the middle tone, relative to the skin's.
    spread: standard deviation of the log brightness of such hair.
    dark, light: (3,) RGB over their luma, of shadows and highlights.
    """

    bright: float
    spread: float
    dark: tuple[float, float, float]
    light: tuple[float, float, float]


DYES = {
    "blond": Dye(0.8, 0.35, (1.31, 0.935, 0.57), (1.11, 0.988, 0.79)),
    "brown_hair": Dye(0.36, 0.42, (1.25, 0.95, 0.72), (1.3, 0.97, 0.66)),
    "black_hair": Dye(0.15, 0.55, (1.04, 0.99, 0.98), (1.02, 1.0, 0.99)),
    "red_hair": Dye(0.42, 0.42, (1.52, 0.86, 0.52), (1.42, 0.91, 0.6)),
    "gray_hair": Dye(0.72, 0.36, (1.01, 1.0, 0.99), (1.0, 1.0, 0.985)),
}


def dye_of(colour: Array) -> Dye:
    """Return the dye of any colour, (3,) RGB 0..255, of the hair's middle tone.

    Highlights are paler, as light that the surface of a hair reflects has no dye's colour.
    """
    level = max(float(colour @ _GREY[0]), 6.0)
    hue = colour / level
    paler = 0.72 * hue + 0.28
    paler = paler / max(float(paler @ _GREY[0]), 1e-3)
    (r, g, b), (lr, lg, lb) = hue.tolist(), paler.tolist()
    return Dye(float(np.clip(level / SKIN_LEVEL, 0.1, 1.1)), 0.42, (r, g, b), (lr, lg, lb))


def luma(pixels: Array32) -> Array32:
    """Return the brightness (h, w) of pixels (h, w, 3)."""
    return np.asarray(cv2.transform(pixels, _GREY), np.float32)


def light_cast(scene: Scene) -> Array32:
    """Return the colour cast (3,) of the light, estimated from the skin."""
    skin = scene.appearance.skin / max(float(scene.appearance.skin.mean()), 1.0)
    return np.asarray(np.clip(skin / _SKIN, 0.6, 1.5) ** 0.5, np.float32)


def dye_colour(scene: Scene, dye: Dye) -> Array:
    """Return the middle tone (3,) RGB of dyed hair."""
    middle = np.asarray(np.array(dye.dark) + np.array(dye.light)) / 2
    return middle * dye.bright * float(scene.appearance.skin.mean())


def dye_hair(out: Array32, scene: Scene, dye: Dye, strength: float) -> None:
    """Dye hair and, less strongly, brows, in place. Tones keep their order.

    Hair that is grey already gets no grey.
    """
    if dye == DYES["gray_hair"]:
        strength *= 1 - grey_already(scene.appearance)
    matte = hair_matte(scene)
    roots = 1 - np.float32(_UNDYED) * matte.roots * (1 - grey_strands(scene))
    dyed = matte.cover * roots
    mask = np.maximum(dyed, np.float32(_BROWS_DYED) * scene.region_mask(*BROWS))
    rows, columns = np.flatnonzero(mask.max(1) > 0.01), np.flatnonzero(mask.max(0) > 0.01)
    if not len(rows):
        return
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    part, share = out[window], mask[window][..., None]
    # In pixels that mix hair and something else, only the hair changes.
    of_hair = dyed[window][..., None] / np.maximum(share, np.float32(0.01))  # brows do not mix
    mixed = (1 - matte.cover[window][..., None]) * np.minimum(of_hair, 1)
    own = np.clip(part + mixed * matte.difference[window], 0, 255)
    grey = luma(own)
    middle = max(float(scene.appearance.hair.mean()), 4.0)
    skin = max(float(scene.appearance.skin.mean()), 20.0)
    tone = np.log((grey + np.float32(LOG_FLOOR)) / np.float32(middle + LOG_FLOOR))
    further = (skin * dye.bright / middle) ** (0.25 * max(strength - 1, 0))
    own_spread = max(float(scene.appearance.hair_spread[0]), 0.05)
    contrast = float(np.clip(dye.spread / own_spread, *_CONTRAST))
    wanted = np.float32(skin * dye.bright * further) * np.exp(np.float32(contrast) * tone)
    # Highlights near full scale are compressed.
    most = np.float32(min(_BRIGHTEST * skin, 240.0))
    over = most - (0.3 * most) ** 2 / np.maximum(wanted - 0.4 * most, 0.3 * most)
    wanted = np.where(wanted > 0.7 * most, over, wanted)
    light = np.clip(np.float32(0.5) + np.float32(0.5 * contrast) * tone, 0, 1)[..., None]
    dark_colour, light_colour = np.array(dye.dark, np.float32), np.array(dye.light, np.float32)
    colour = (dark_colour * (1 - light) + light_colour * light) * light_cast(scene)
    part += np.float32(min(strength, 1.0)) * share * (wanted[..., None] * colour - own)


def grey_already(appearance: Appearance) -> float:
    """Return 0..1, how surely all of the hair is grey."""
    hair, skin = appearance.hair, float(appearance.skin.mean())
    saturation = float((hair.max() - hair.min()) / max(float(hair.max()), 1.0))
    bright = float(hair.mean()) / max(skin, 20.0)
    return float((1 - smoothstep(*_GREY_HUE, saturation)) * smoothstep(*_GREY_TONE, bright))


def grey_strands(scene: Scene) -> Array32:
    """Return (S, S) 0..1, hair that is grey and lighter than the rest: its roots would show."""
    crop = cv2.GaussianBlur(scene.crop, (0, 0), _GREY_NEAR).astype(np.float32)
    most = crop.max(-1)
    colourless = smoothstep(*_COLOURLESS, (most - crop.min(-1)) / np.maximum(most, 1))
    middle = max(float(scene.appearance.hair.mean()), 4.0)
    lighter = smoothstep(*_LIGHTER, np.log((luma(crop) + LOG_FLOOR) / (middle + LOG_FLOOR)))
    return np.asarray((1 - colourless) * lighter, np.float32)


def lighten_skin(out: Array32, scene: Scene, strength: float) -> None:
    """Lighten and desaturate the skin, in place; a negative strength tans it.

    Eyes, lips, brows and hair stay unchanged.
    """
    mask = scene.region_mask(*SKIN, *NECK, *EARS)
    mask = cv2.GaussianBlur(mask, (0, 0), 1.5) * (1 - scene.occlusion)
    grey = luma(out)
    amount = np.float32(strength)
    if strength > 0:
        headroom = np.clip(1 - grey / np.float32(255), 0, 1)
        bright = grey * np.exp(amount * np.float32(0.18) * headroom)
        saturation = np.float32(np.exp(-0.25 * strength))
        hue = np.array(_COOL, np.float32)
    else:
        # Warm skin gets browner, not orange.
        red, _, blue = np.maximum(scene.appearance.skin, 8.0).tolist()
        less = 1 - _TANS_LESS * float(smoothstep(*_TANNED, float(np.log(red / blue))))
        bright = grey * np.exp(amount * np.float32(_TAN))
        saturation = np.float32(1 - 0.12 * strength * less)
        hue = np.array(_WARM, np.float32) * np.float32(less)
    cool = hue * amount
    chroma = out / np.maximum(grey, 1)[..., None] - 1
    wanted = bright[..., None] * (1 + saturation * chroma + cool)
    out += mask[..., None] * (wanted - out)
