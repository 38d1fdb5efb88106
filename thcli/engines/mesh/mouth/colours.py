"""Colours of skins, lips and teeth, and their change from one face's tone to another's."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.tones import fit_tones
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.sampling import remap
from thcli.faces.landmarks.topology import CHEEKS, LIPS_OUTER, MOUTH_SKIN, Indices
from thcli.motion.timeline import Bools

BRIGHTNESS_RANGE = (0.55, 1.4)  # of the gain on the driver's frame; teeth differ less than skins
# Light of the skin around a mouth over that of the cheeks, from a beard to skin; and of usual faces
BEARD_RANGE, BELOW_CHEEKS = (0.55, 0.8), 0.85
LIP_PLACES = (0.35, 0.5, 0.65)  # shares of a lip's height at which its colour is taken
# Of a picture in grey or one tint to one in natural colours: red less blue of the skin, over its
# brightest; red over green and blue of the lips, over the skin's
WARM_RANGE, REDDER_RANGE = (0.02, 0.12), (1.16, 1.3)
# Departure of the face's colours from what their brightness says, over the mean brightness, from
# monochrome to colour; docs/figures/mouths-and-eyes.md has those of pictures
FACE_DEPARTS = (0.016, 0.02)
SHOULDER = 230.0  # brightness above which highlights are compressed
# Mean of the channels over that of the source's enamel: of the brightest teeth, and of the shade
# that stays as it is where they are too bright
MOST_OVER_ENAMEL, DARK_SHARE = 1.2, 0.5
BRIGHTEST = (
    235.0  # mean of the channels of a mouth: brighter teeth would have no shade between them
)
TEETH_PERCENTILE = 99  # of the levels of a mouth: its brightest teeth
# Brightness over the skin's, from the dark of a mouth to teeth, and the share of the skin's warmth
# (exponent of its ratios of channels) that teeth have at least
DARK_TO_TEETH, TOOTH_WARMTH = (0.35, 0.8), 0.2
# The same share that teeth have at most; and red over green, as an exponent of the skin's, from
# teeth to gums, tongue and lips
MOST_TOOTH_WARMTH, TOOTH_TO_LIP = 0.4, (0.8, 1.1)
# That exponent of teeth beyond the whitest of a mouth's, to that of its tongue: the light that
# falls on one falls on the other, and a tongue in hard light is as pale as the skin
TEETH_BEYOND_WHITEST = (0.15, 0.35)
# The same as shares of the way from the whitest to the pinkest of a mouth, where the two are far
# enough apart (exponents) to be teeth and tongue: teeth beside pale skin are pinker than it
TEETH_TO_TONGUE, BOTH_RANGE, PINKEST_PERCENTILE = (0.3, 0.5), (0.8, 1.4), 90
LIT, WHITEST_PERCENTILE = 0.7, 10  # of what is no dark of the mouth; its whitest
MOST_LIFT, MOST_KEPT = 1.2, 1.25  # of dull teeth; and so that they stay beside vivid skin
USUAL_VIVIDNESS = 1.2  # of skin: its red over the mean of its channels
# Light of tongue and gums in a grey picture over that of their driver, where only their colour
# tells them from skin; redness of a skin from which they are told from teeth
GREY_FLESH, RED_SKIN = 0.5, (1.15, 1.35)
FLESH_BLUR, TEETH_BLUR = 0.02, 0.015  # deviations of outlines, in widths of the region
SPECKS, ROOTS = 0.01, 0.03  # half widths of what is no tooth, and of what still is, beside it
# Log of the largest over the least gain between two skins, from alike to unlike: a driver's teeth
# are as they are beside skin like its own
UNLIKE_RANGE = (0.04, 0.12)
DARKEST_PERCENTILE = 0.2  # of the levels of a face: its darkest tone
CLEAR_DARKEST = 0.3  # of that over the skin's, from which on light lies over all of a picture
DARK_RANGE = (0.4, 0.6)  # of that over the skin's, from which it is no dark
# Share of a difference in colour (beyond brightness) that is matched: skins differ by up to that
# log of ratios, and light alone by more, up to the most
CHROMA_SHARE, ALIKE_CHROMA, MOST_CHROMA = 0.6, 0.3, 1.2


def skin_tone(image: Image, mesh: Array) -> Array:
    """Measure the skin's colour, (3,), 0..255, as it is around the mouth.

    A beard, or a shadow over half of a face, makes it much darker than the cheeks, from which it is
    taken then.
    """
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
    tones = fit_tones(_face_box(image, mesh))
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
    level = float(np.percentile(_face_box(image, mesh).mean(-1), DARKEST_PERCENTILE))
    return level * (1 - float(smoothstep(*DARK_RANGE, level / max(float(tone.mean()), 1.0))))


def haze_level(image: Image, mesh: Array, tone: Array) -> float:
    """Return the light that lies over a whole face in an image: nothing in it is darker.

    Arguments as `darkest_level`. Mean of the channels, 0..255; 0 in pictures of usual contrast.
    """
    level = float(np.percentile(_face_box(image, mesh).mean(-1), DARKEST_PERCENTILE))
    return max(level - CLEAR_DARKEST * float(tone.mean()), 0.0)


def _face_box(image: Image, mesh: Array) -> Image:
    """Return the part of an image that holds a mesh (468, 3), at least one pixel."""
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


def warm_up(colour: Array32, tone: Array) -> Array32:
    """Return colours (h, w, 3) as warm as a mouth beside a skin tone (3,).

    Between skins of unlike warmth, white teeth would turn blue or green, and the dark of a mouth
    grey. Teeth have a share of the skin's warmth, the dark all of it. Cool skin is its own limit.
    """
    red, green, blue = np.maximum(tone, 1.0)
    share = 1 - (1 - TOOTH_WARMTH) * lightness(colour, tone)
    out = colour.copy()
    for channel, ratio, beside in (
        (1, green / red, out[..., 0]),
        (2, 2 * blue / (red + green), None),
    ):
        most = np.float32(ratio) if ratio > 1 else np.asarray(ratio**share, np.float32)
        others = (out[..., 0] + out[..., 1]) / 2 if beside is None else beside
        np.minimum(out[..., channel], others * most, out=out[..., channel])
    return out


def clean_teeth(
    colour: Array32, tone: Array, enamel: float, share: float, inside: Bools, vivid: float = 1.0
) -> Array32:
    """Return colours (h, w, 3) whose teeth are off-white beside a skin tone (3,).

    Light of a driver that is yellower than its skin, or skin that is clay, would stain them. Dull
    ones are lifted a little towards the source's enamel.

    Args:
        colour: 0..255.
        tone: (3,) skin colour.
        enamel: mean of the channels of the source's teeth.
        share: 0..1 of the change.
        vivid: factor on them that keeps their red over the skin's as in the driver's picture.
        inside: (h, w) what is between the lips.
    """
    if share <= 0:
        return colour
    lit = lightness(colour, tone)
    white = _soften(_whiteness(colour, tone, inside), TEETH_BLUR)
    teeth = np.asarray(share * lit * white, np.float32)
    brightest = float(np.percentile(colour.mean(-1) * (teeth > 0), TEETH_PERCENTILE))
    lift = np.float32(np.clip(enamel / max(brightest, 1.0), 1.0, MOST_LIFT))
    clean = lift * np.float32(vivid) * _cool_down(colour, tone)
    return np.asarray(colour + teeth[..., None] * (clean - colour), np.float32)


def darken_flesh(
    out: Array32, colour: Array32, skin: Array, share: float, inside: Bools
) -> Array32:
    """Return colours (h, w, 3) with darker tongue and gums, as grey pictures show them.

    In grey they would be as light as skin: a wide mouth would be a plain disc.

    Args:
        out: to change, 0..255.
        colour: (h, w, 3) the driver's own.
        skin: (3,) of the driver.
        share: 0..1 of the change.
        inside: (h, w) what is between the lips.
    """
    share *= float(smoothstep(*RED_SKIN, redness(np.maximum(skin, 1.0))))
    if share <= 0:
        return out
    white = _whiteness(colour, skin, inside)
    # a wet tongue has specks of white, and the roots and sides of teeth a shine of gums
    for change, width in ((cv2.erode, SPECKS), (cv2.dilate, SPECKS + ROOTS)):
        size = 2 * round(width * white.shape[1]) + 1
        white = np.asarray(change(white, np.ones((size, size), np.uint8)), np.float32)
    flesh = _soften(1 - white, FLESH_BLUR)
    return np.asarray(out * (1 - np.float32(share * (1 - GREY_FLESH)) * flesh)[..., None])


def _soften(share: Array32, deviation: float) -> Array32:
    """Blur shares (h, w) of a mouth by a deviation in widths of the region."""
    return np.asarray(
        cv2.GaussianBlur(share, (0, 0), max(0.5, deviation * share.shape[1])), np.float32
    )


def lightness(colour: Array32, tone: Array) -> Array32:
    """Return 0..1 how far colours (h, w, 3) are no dark of a mouth beside a skin tone (3,)."""
    light = colour.mean(-1) / np.float32(max(float(tone.mean()), 1.0))
    return np.asarray(smoothstep(*DARK_TO_TEETH, light), np.float32)


def _whiteness(colour: Array32, tone: Array, inside: Bools) -> Array32:
    """Return 0..1 how far colours (h, w, 3) are teeth beside a skin tone, not gums or lips."""
    skin = float(_pinkness(tone))
    seen = inside & (lightness(colour, tone) > LIT)
    if skin <= 1 or not seen.any():  # nothing is to be cooled down in cold light
        return np.zeros(colour.shape[:2], np.float32)
    share = np.log(np.maximum(_pinkness(colour), 1.0)) / np.log(skin)
    whitest, pinkest = np.percentile(share[seen], (WHITEST_PERCENTILE, PINKEST_PERCENTILE))
    limits = np.minimum(whitest + np.array(TEETH_BEYOND_WHITEST), TOOTH_TO_LIP)
    apart = pinkest - whitest
    between = np.maximum(whitest + apart * np.array(TEETH_TO_TONGUE), limits)
    low, high = limits + smoothstep(*BOTH_RANGE, apart) * (between - limits)
    return np.asarray(1 - smoothstep(float(low), float(high), share), np.float32)


def _pinkness(colours: Array | Array32) -> Array:
    """Return red over green of colours (..., 3): stained teeth are yellow, tongues are not."""
    red, green = (np.maximum(colours[..., k], 1.0) for k in (0, 1))
    return np.asarray(red / green, np.float64)


def _cool_down(colour: Array32, tone: Array) -> Array32:
    """Return colours (h, w, 3) of the same red with MOST_TOOTH_WARMTH at most.

    With the same mean they would be darker than a vivid skin's red: grey.
    """
    red, green, blue = np.maximum(tone, 1.0)
    out = colour.copy()
    least = np.float32(min(green / red, 1.0) ** MOST_TOOTH_WARMTH)
    np.maximum(out[..., 1], out[..., 0] * least, out=out[..., 1])
    least = np.float32(min(2 * blue / (red + green), 1.0) ** MOST_TOOTH_WARMTH)
    np.maximum(out[..., 2], (out[..., 0] + out[..., 1]) / 2 * least, out=out[..., 2])
    return np.asarray(out, np.float32)


def match_tone(
    colour: Array32,
    wanted: Array,
    present: Array,
    natural: float,
    enamel: float = 255.0,
    inside: Bools | None = None,
) -> Array32:
    """Convert colours from one skin tone to another, without clipping.

    Args:
        colour: (h, w, 3) float32, 0..255.
        wanted, present: (3,) skin tones.
        natural: of the picture with the wanted tone, see `natural_colour`.
        enamel: mean of the channels of teeth in that picture. The ratio of skins makes those of
            dark skin, or of hard light, glow in the shade.
        inside: (h, w) what is between the lips; None for all.

    Returns:
        (h, w, 3) float32, 0..255.
    """
    gain = tone_gain(wanted, present)
    enamel = max(enamel, 1.0)  # 0 beside black skin
    unlike = float(smoothstep(*UNLIKE_RANGE, np.log(gain.max() / gain.min())))
    out = warm_up(colour * gain.astype(np.float32), wanted)
    inside = np.ones(out.shape[:2], np.bool_) if inside is None else inside
    out = darken_flesh(out, colour, present, 1 - natural, inside)
    vivid = float(np.clip(wanted[0] / max(present[0] * gain[0], 1.0), 1.0, MOST_KEPT))
    clean = clean_teeth(out, wanted, enamel, unlike * natural, inside, vivid)
    out = keep_colour(clean, wanted, natural)
    out = out * _dimming(out.mean(-1, keepdims=True), enamel)
    return np.asarray(out * _compression(out.max(-1, keepdims=True), SHOULDER, 255.0), np.float32)


def _dimming(levels: Array32, enamel: float) -> Array32:
    """Compute the factors that bring teeth (h, w, 1) down to a source's enamel.

    Levels over DARK_SHARE of it are squeezed evenly: teeth that all came to one level would be a
    white plate, without the shade between them.
    """
    shade = np.float32(DARK_SHARE * enamel)
    most = np.float32(min(MOST_OVER_ENAMEL * enamel, BRIGHTEST))
    brightest = np.float32(np.percentile(levels, TEETH_PERCENTILE))
    if brightest <= most:
        return np.ones_like(levels)
    slope = (most - shade) / (brightest - shade)
    squeezed = np.minimum(levels, shade) + slope * np.maximum(levels - shade, 0)
    return np.asarray(squeezed / np.maximum(levels, 1), np.float32)


def _compression(levels: Array32, shoulder: float, most: float) -> Array32:
    """Compute the factors that keep levels below the most, and those up to the shoulder as is."""
    levels, room = np.maximum(levels, np.float32(1)), np.float32(most - shoulder)
    beyond = np.maximum(levels - np.float32(shoulder), 0)
    kept = np.minimum(levels, np.float32(shoulder)) + room * (1 - np.exp(-beyond / room))
    return np.asarray(kept / levels, np.float32)
