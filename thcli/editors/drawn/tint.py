"""Recolouring of hair and skin.

Brightness changes by a factor; hue and saturation move towards a target.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.types import Array, Array32
from thcli.editors.drawn.scene import Scene
from thcli.faces.compositing.guided_filter import guided_filter
from thcli.faces.parsing.classes import BROWS, EARS, HAIR, NECK, SKIN, group_probability

_GREY = np.array([[0.299, 0.587, 0.114]], np.float32)
_SKIN = np.array([1.18, 0.965, 0.855])  # RGB of skin in white light over their mean
_SKIN_LEVEL = 165.0  # brightness of fair skin in full light, to which colours of dyes refer
_DARK = 6.0  # levels of 255: smaller differences are noise
_SCATTER, _MOST_DARKER = 0.3, 6.0  # rise of the contrast of dyed hair with its loss of light
_RIM = 9  # width of the border of hair and skin, samples at half size
# Guided filter that aligns the hair's edge with the image's, at half size: radius and epsilon.
_WINDOW, _EDGE = 5, 1.5e-3


@dataclass(frozen=True, slots=True)
class Dye:
    """Target colours of dyed hair.

    bright: brightness of the middle tone, relative to the skin's.
    contrast: factor of the tones' contrast, in logarithms.
    dark, light: (3,) RGB over their luma, of shadows and highlights.
    """

    bright: float
    contrast: float
    dark: tuple[float, float, float]
    light: tuple[float, float, float]


DYES = {
    "blond": Dye(0.8, 0.62, (1.3, 0.94, 0.56), (1.1, 0.99, 0.79)),
    "brown_hair": Dye(0.36, 0.85, (1.25, 0.95, 0.72), (1.3, 0.97, 0.66)),
    "black_hair": Dye(0.15, 1.4, (1.04, 0.99, 0.98), (1.02, 1.0, 0.99)),
    "red_hair": Dye(0.42, 0.85, (1.6, 0.84, 0.46), (1.5, 0.9, 0.52)),
    "gray_hair": Dye(0.72, 1.05, (1.01, 1.0, 0.99), (1.0, 1.0, 0.985)),
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
    return Dye(float(np.clip(level / _SKIN_LEVEL, 0.1, 1.1)), 0.85, (r, g, b), (lr, lg, lb))


def luma(pixels: Array32) -> Array32:
    """Return the brightness (h, w) of pixels (h, w, 3)."""
    return np.asarray(cv2.transform(pixels, _GREY), np.float32)


def _cast(scene: Scene) -> Array32:
    """Return the colour cast (3,) of the light, estimated from the skin."""
    skin = scene.appearance.skin / max(float(scene.appearance.skin.mean()), 1.0)
    return np.asarray(np.clip(skin / _SKIN, 0.6, 1.5) ** 0.5, np.float32)


def dye_colour(scene: Scene, dye: Dye) -> Array:
    """Return the middle tone (3,) RGB of dyed hair."""
    middle = np.asarray(np.array(dye.dark) + np.array(dye.light)) / 2
    return middle * dye.bright * float(scene.appearance.skin.mean())


def dye_hair(out: Array32, scene: Scene, dye: Dye, strength: float) -> None:
    """Dye hair and, less strongly, brows, in place. Tones keep their order."""
    mask, beside = hair_mask(scene)
    rows, columns = np.flatnonzero(mask.max(1) > 0.01), np.flatnonzero(mask.max(0) > 0.01)
    if not len(rows):
        return
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    part, share = out[window], mask[window][..., None]
    # In pixels that mix hair and skin, only the hair changes.
    difference = scene.appearance.hair.astype(np.float32) - part
    own = part + beside[window][..., None] * (1 - share) * difference
    grey = luma(own)
    middle = max(float(scene.appearance.hair.mean()), 4.0)
    skin = max(float(scene.appearance.skin.mean()), 20.0)
    tone = np.log((grey + np.float32(_DARK)) / np.float32(middle + _DARK))
    further = (skin * dye.bright / middle) ** (0.25 * max(strength - 1, 0))
    # Light scatters from hair to hair in light hair, so its tones differ less than those of dark.
    darker = np.clip(middle / (skin * dye.bright), 1, _MOST_DARKER) ** _SCATTER
    wanted = np.float32(skin * dye.bright * further) * np.exp(
        np.float32(dye.contrast * darker) * tone
    )
    # Highlights near full scale are compressed.
    most = np.float32(min(1.45 * skin, 250.0))
    wanted = np.where(wanted > 0.7 * most, most - (0.3 * most) ** 2 / (wanted - 0.4 * most), wanted)
    light = np.clip(np.float32(0.5) + np.float32(0.6) * tone, 0, 1)[..., None]
    dark_colour, light_colour = np.array(dye.dark, np.float32), np.array(dye.light, np.float32)
    colour = (dark_colour * (1 - light) + light_colour * light) * _cast(scene)
    part += np.float32(min(strength, 1.0)) * share * (wanted[..., None] * colour - own)


def hair_mask(scene: Scene) -> tuple[Array32, Array32]:
    """Return the hair mask (S, S) 0..1 with a third of the brows, and where hair and skin mix.

    Its edges follow those of the image.
    """
    half = (scene.side // 2, scene.side // 2)
    guide = cv2.resize(scene.crop, half, interpolation=cv2.INTER_AREA)
    guide = guide.astype(np.float32) / np.float32(255)
    hair = cv2.resize(scene.region_mask(*HAIR), half, interpolation=cv2.INTER_AREA)
    plane = np.asarray(hair, np.float32)
    filtered = guided_filter(guide, plane, _WINDOW, _EDGE)
    fine = np.clip((filtered - np.float32(0.28)) / np.float32(0.6), 0, 1)
    # Beside the skin, darker hair is separated from it by brightness, strand by strand.
    grey, dark = luma(guide) * 255, float(scene.appearance.hair.mean())
    bright = 0.95 * float(scene.appearance.skin.mean())
    inner = np.clip((cv2.blur(fine, (_RIM, _RIM)) - np.float32(0.75)) / np.float32(0.2), 0, 1)
    skin = cv2.resize(group_probability(scene.regions, SKIN), half, interpolation=cv2.INTER_AREA)
    beside = np.clip(4 * cv2.blur(skin, (_RIM, _RIM)), 0, 1) * (1 - inner)
    refined = beside * np.float32(np.clip((bright - 1.5 * dark) / (0.3 * bright), 0, 1))
    refined *= np.clip(3 * plane, 0, 1)
    matte = np.clip((bright - grey) / max(bright - 1.2 * dark, 8.0), 0, 1)
    fine += refined * (matte - fine)
    full, near = (
        cv2.resize(p.astype(np.float32), (scene.side, scene.side), interpolation=cv2.INTER_LINEAR)
        for p in (fine, refined)
    )
    mask = np.maximum(full, np.float32(0.35) * scene.region_mask(*BROWS))
    return mask, np.asarray(near, np.float32)


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
    else:
        bright = grey * np.exp(amount * np.float32(0.28))
        saturation = np.float32(1 - 0.12 * strength)
    cool = np.array([-0.012, 0.002, 0.014], np.float32) * amount
    chroma = out / np.maximum(grey, 1)[..., None] - 1
    wanted = bright[..., None] * (1 + saturation * chroma + cool)
    out += mask[..., None] * (wanted - out)
