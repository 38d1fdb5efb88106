"""Measures of the colours of skins and lips, and of how one face's tone becomes another's."""

from __future__ import annotations

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.tones import fit_tones
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.sampling import remap
from thcli.faces.landmarks.topology import CHEEKS, LIPS_OUTER, MOUTH_SKIN, Indices

BRIGHTNESS_RANGE = (0.55, 1.4)  # of the gain on the driver's frame; teeth differ less than skins
# Light of the skin around a mouth over that of the cheeks, from a beard to skin; and of usual faces
BEARD_RANGE, BELOW_CHEEKS = (0.55, 0.8), 0.85
LIP_PLACES = (0.35, 0.5, 0.65)  # shares of a lip's height at which its colour is taken
# Of a picture in grey or one tint to one in natural colours: red less blue of the skin, over its
# brightest; red over green and blue of the lips, over the skin's
WARM_RANGE, REDDER_RANGE = (0.07, 0.12), (1.16, 1.3)
# Departure of the face's colours from what their brightness says, over the mean brightness, from
# monochrome to colour; docs/figures/mouths-and-eyes.md has those of pictures
FACE_DEPARTS = (0.016, 0.02)
DARK_TO_TEETH = (0.35, 0.8)  # brightness over the skin's, from the dark of a mouth to teeth
USUAL_VIVIDNESS = 1.2  # of skin: its red over the mean of its channels
# Exponent by which teeth are darker beside a darker skin: less than the skin is
TEETH_BY_SKIN = 0.33
DARKEST_PERCENTILE = 0.2  # of the levels of a face: its darkest tone
CLEAR_DARKEST = 0.3  # of that over the skin's, from which on light lies over all of a picture
DARK_RANGE = (0.4, 0.6)  # of that over the skin's, from which it is no dark
# Share of a difference in colour (beyond brightness) that is matched: skins differ by up to that
# log of ratios, and light alone by more, up to the most
CHROMA_SHARE, ALIKE_CHROMA, MOST_CHROMA = 0.6, 0.3, 1.2


def skin_tone(image: Image, mesh: Array, bare: Indices | None = None) -> Array:
    """Measure the skin's colour, (3,), 0..255, as it is around the mouth.

    A beard, or a shadow over half of a face, makes it much darker than the cheeks, from which it is
    taken then.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        bare: points of skin that it is taken from where something covers mouth and cheeks.
    """
    if bare is not None:
        return BELOW_CHEEKS * tone_at(image, mesh, bare)
    own, cheeks = tone_at(image, mesh, MOUTH_SKIN), tone_at(image, mesh, CHEEKS)
    hidden = 1 - float(smoothstep(*BEARD_RANGE, own.mean() / max(float(cheeks.mean()), 1.0)))
    return np.asarray(own + hidden * (BELOW_CHEEKS * cheeks - own))


def tone_at(image: Image, mesh: Array, places: Indices) -> Array:
    """Measure the colour, (3,), 0..255, around points of the mesh, a median."""
    reach = max(1.0, 0.03 * float(np.linalg.norm(mesh[LIPS[0], :2] - mesh[LIPS[10], :2])))
    star = reach * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    points = (mesh[places, None, :2] + star).reshape(1, -1, 2).astype(np.float32)
    return np.asarray(np.median(remap(image, points)[0], 0), np.float64)


def natural_colour(image: Image, mesh: Array, tone: Array) -> float:
    """Return 0..1, whether a picture shows the colours of skin or lips, or only a tint.

    Beyond `warm_colour`, the colours of sepia pictures follow from their brightness.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        tone: (3,) skin colour.
    """
    tones = fit_tones(face_box(image, mesh))
    departs = tones.departs / max(tones.brightness, 1.0)
    return warm_colour(image, mesh, tone) * float(smoothstep(*FACE_DEPARTS, departs))


def warm_colour(image: Image, mesh: Array, tone: Array) -> float:
    """Return 0..1, whether skin is warm, or lips are redder than it; arguments as above.

    Pictures in grey and films in a cold tint have neither.
    """
    inner, outer = mesh[LIPS, :2], mesh[LIPS_OUTER, :2]
    places = np.concatenate([inner + share * (outer - inner) for share in LIP_PLACES])
    lips = np.median(remap(image, places[None].astype(np.float32))[0].astype(np.float64), 0)
    redder = redness(lips) / np.maximum(redness(tone), 1e-3)
    warm = float(smoothstep(*WARM_RANGE, warmth(tone)))
    return max(warm, float(smoothstep(*REDDER_RANGE, redder)))


def darkest_level(image: Image, mesh: Array, tone: Array) -> float:
    """Return the darkest tone of the face in an image: pupils, nostrils, brows.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        tone: (3,) skin colour.

    Returns:
        Mean of the channels, 0..255; 0 where nothing is much darker than the skin.
    """
    level = float(np.percentile(face_box(image, mesh).mean(-1), DARKEST_PERCENTILE))
    return level * (1 - float(smoothstep(*DARK_RANGE, level / max(float(tone.mean()), 1.0))))


def haze_level(image: Image, mesh: Array, tone: Array) -> float:
    """Return the light that lies over a whole face in an image: nothing in it is darker.

    Arguments as `darkest_level`. Mean of the channels, 0..255; 0 in pictures of usual contrast.
    """
    level = float(np.percentile(face_box(image, mesh).mean(-1), DARKEST_PERCENTILE))
    return max(level - CLEAR_DARKEST * float(tone.mean()), 0.0)


def face_box(image: Image, mesh: Array) -> Image:
    """Return the part of an image that holds points (N, 2+) of a mesh, at least one pixel."""
    size = np.array([image.shape[1], image.shape[0]])
    left, top = np.clip(mesh[:, :2].min(0), 0, size - 1).astype(int)
    right, bottom = np.clip(np.ceil(mesh[:, :2].max(0)), 1, size).astype(int)
    return image[top : max(bottom, top + 1), left : max(right, left + 1)]


def warmth(tone: Array) -> float:
    """Return the red less the blue of a colour (3,), over its brightest channel."""
    return float(tone[0] - tone[2]) / max(float(tone.max()), 1.0)


def redness(colours: Array) -> Array:
    """Return red over the mean of green and blue of colours (..., 3), 0..255."""
    return np.asarray(colours[..., 0] / np.maximum(colours[..., 1:].mean(-1), 1.0))


def vividness(tone: Array) -> float:
    """Return the red of a skin tone (3,) over its mean, over the usual; at least 1.

    White beside a vivid skin is as much brighter than its red as beside a pale one.
    """
    return max(float(tone[0]) / max(float(tone.mean()), 1.0) / USUAL_VIVIDNESS, 1.0)


def keep_colour(colour: Array32, tone: Array, natural: float) -> Array32:
    """Convert colours (..., 3) to grey times the tint of a skin tone.

    Args:
        colour: 0..255, or their change.
        tone: (3,) skin colour.
        natural: share of the colours that is kept, 0..1.
    """
    tint = (tone / max(float(tone.mean()), 1.0)).astype(np.float32)
    tinted = colour.mean(-1, keepdims=True) * tint
    return np.asarray(tinted + np.float32(natural) * (colour - tinted), np.float32)


def tone_gain(wanted: Array, present: Array) -> Array:
    """Compute the (3,) colour factor from one skin tone (3,) to another.

    Brightness is matched within BRIGHTNESS_RANGE, colour by CHROMA_SHARE as far as skins differ
    and whole beyond it.
    """
    light = max(float(wanted.mean() / max(present.mean(), 1.0)), 1e-3)
    ratios = np.log(np.maximum(wanted, 1.0) / np.maximum(present, 1.0) / light)
    ratios = np.clip(ratios, -MOST_CHROMA, MOST_CHROMA)
    skins = np.clip(ratios, -ALIKE_CHROMA, ALIKE_CHROMA)
    colour = np.exp(ratios - (1 - CHROMA_SHARE) * skins)
    return np.asarray(np.clip(light, *BRIGHTNESS_RANGE) * colour)


def lightness(colour: Array32, tone: Array) -> Array32:
    """Return 0..1 how far colours (h, w, 3) are no dark of a mouth beside a skin tone (3,)."""
    light = colour.mean(-1) / np.float32(max(float(tone.mean()), 1.0))
    return np.asarray(smoothstep(*DARK_TO_TEETH, light), np.float32)
