"""New colours for what has a shade of its own: brightness is changed by a factor, hue and strength of colour go towards a target's."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.types import Array, Array32
from thcli.editors.drawn.scene import Scene
from thcli.faces.compositing.guided_filter import guided
from thcli.faces.parsing.classes import BROWS, EARS, HAIR, NECK, SKIN, together

_GREY = np.array([[0.299, 0.587, 0.114]], np.float32)
_SKIN = np.array([1.18, 0.965, 0.855])  # RGB of skin in white light over their mean
_DARK = 6.0  # levels: differences below are noise
_RIM = 9  # samples at half size: as wide as a border of hair and skin
_WINDOW, _EDGE = (
    5,
    1.5e-3,
)  # of the guided filter that brings the hair's edge to the picture's, at half size


@dataclass(frozen=True, slots=True)
class Dye:
    """bright: of the hair's middle tone, over the skin's.  contrast: of its tones, over their own (logarithms).  dark, light: (3,) RGB over
    their grey, of its shadows and of its highlights."""

    bright: float
    contrast: float
    dark: tuple[float, float, float]
    light: tuple[float, float, float]


DYES = {
    "blond": Dye(0.8, 0.62, (1.3, 0.94, 0.56), (1.1, 0.99, 0.79)),
    "brown_hair": Dye(0.36, 0.85, (1.25, 0.95, 0.72), (1.3, 0.97, 0.66)),
    "black_hair": Dye(0.13, 1.05, (1.04, 0.99, 0.98), (1.0, 1.0, 1.02)),
    "gray_hair": Dye(0.74, 0.75, (1.0, 1.0, 1.02), (1.0, 1.0, 1.0)),
}


def grey_of(pixels: Array32) -> Array32:
    """(h, w) brightness of (h, w, 3)."""
    return np.asarray(cv2.transform(pixels, _GREY), np.float32)


def _cast(scene: Scene) -> Array32:
    """(3,) the colour of the light (or of a painter's palette), as far as the skin tells it."""
    skin = scene.look.skin / max(float(scene.look.skin.mean()), 1.0)
    return np.asarray(np.clip(skin / _SKIN, 0.6, 1.5) ** 0.5, np.float32)


def dyed(scene: Scene, dye: Dye) -> Array:
    """(3,) RGB of the middle tone of hair under a dye."""
    return (
        np.asarray(np.array(dye.dark) + np.array(dye.light))
        / 2
        * dye.bright
        * float(scene.look.skin.mean())
    )


def hair(out: Array32, scene: Scene, dye: Dye, strength: float) -> None:
    """Dyes hair and, less, brows, in place: tones keep their order and most of their distances."""
    mask, beside = hair_mask(scene)
    rows, columns = np.flatnonzero(mask.max(1) > 0.01), np.flatnonzero(mask.max(0) > 0.01)
    if not len(rows):
        return
    here = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    part, share = out[here], mask[here][..., None]
    # What is partly hair, partly skin: only the hair in it changes.
    own = part + beside[here][..., None] * (1 - share) * (scene.look.hair.astype(np.float32) - part)
    grey = grey_of(own)
    middle = max(float(scene.look.hair.mean()), 4.0)
    skin = max(float(scene.look.skin.mean()), 20.0)
    tone = np.log((grey + np.float32(_DARK)) / np.float32(middle + _DARK))
    further = (skin * dye.bright / middle) ** (0.25 * max(strength - 1, 0))
    wanted = np.float32(skin * dye.bright * further) * np.exp(np.float32(dye.contrast) * tone)
    # Beyond what a picture can show the highlights run together softly.
    most = np.float32(min(1.45 * skin, 250.0))
    wanted = np.where(wanted > 0.7 * most, most - (0.3 * most) ** 2 / (wanted - 0.4 * most), wanted)
    light = np.clip(np.float32(0.5) + np.float32(0.6) * tone, 0, 1)[..., None]
    colour = (
        np.array(dye.dark, np.float32) * (1 - light) + np.array(dye.light, np.float32) * light
    ) * _cast(scene)
    part += np.float32(min(strength, 1.0)) * share * (wanted[..., None] * colour - own)


def hair_mask(scene: Scene) -> tuple[Array32, Array32]:
    """(S, S) 0..1, the hair with its edges where the picture has them, and a third of the brows; and where it is mixed with skin."""
    half = scene.side // 2
    guide = cv2.resize(scene.crop, (half, half), interpolation=cv2.INTER_AREA).astype(
        np.float32
    ) / np.float32(255)
    plane = np.asarray(
        cv2.resize(scene.region(*HAIR), (half, half), interpolation=cv2.INTER_AREA), np.float32
    )
    fine = np.clip(
        (guided(guide, plane, _WINDOW, _EDGE) - np.float32(0.28)) / np.float32(0.6), 0, 1
    )
    # Beside the skin, hair that is darker than it is told from it by that, strand by strand.
    grey, dark, bright = (
        grey_of(guide) * 255,
        float(scene.look.hair.mean()),
        0.95 * float(scene.look.skin.mean()),
    )
    inner = np.clip((cv2.blur(fine, (_RIM, _RIM)) - np.float32(0.75)) / np.float32(0.2), 0, 1)
    skin = cv2.resize(together(scene.regions, SKIN), (half, half), interpolation=cv2.INTER_AREA)
    beside = np.clip(4 * cv2.blur(skin, (_RIM, _RIM)), 0, 1) * (1 - inner)
    told = beside * np.float32(np.clip((bright - 1.5 * dark) / (0.3 * bright), 0, 1))
    told *= np.clip(3 * plane, 0, 1)
    matte = np.clip((bright - grey) / max(bright - 1.2 * dark, 8.0), 0, 1)
    fine += told * (matte - fine)
    full, near = (
        cv2.resize(p.astype(np.float32), (scene.side, scene.side), interpolation=cv2.INTER_LINEAR)
        for p in (fine, told)
    )
    return np.maximum(full, np.float32(0.35) * scene.region(*BROWS)), np.asarray(near, np.float32)


def pale(out: Array32, scene: Scene, strength: float) -> None:
    """Lightens skin and takes colour out of it, in place; below 0 it tans. Eyes, lips, brows and hair stay."""
    mask = scene.region(*SKIN, *NECK, *EARS)
    mask = cv2.GaussianBlur(mask, (0, 0), 1.5) * (1 - scene.before)
    grey = grey_of(out)
    room = np.clip(1 - grey / np.float32(255), 0, 1)
    amount = np.float32(strength)
    bright = (
        grey * np.exp(amount * np.float32(0.42) * room)
        if strength > 0
        else grey * np.exp(amount * np.float32(0.28))
    )
    kept = np.float32(np.exp(-0.58 * strength)) if strength > 0 else np.float32(1 - 0.12 * strength)
    cool = np.array([-0.012, 0.002, 0.014], np.float32) * amount
    wanted = bright[..., None] * (1 + kept * (out / np.maximum(grey, 1)[..., None] - 1) + cool)
    out += mask[..., None] * (wanted - out)
