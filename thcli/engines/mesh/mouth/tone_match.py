"""Change of the colours of a driver's mouth to those beside another skin."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh.mouth.colours import (
    TEETH_BY_SKIN,
    keep_colour,
    lightness,
    redness,
    tone_gain,
)
from thcli.motion.timeline import Bools

SHOULDER = 230.0  # brightness above which highlights are compressed
# Mean of the channels over that of the source's enamel: of the brightest teeth, and of the shade
# that stays as it is where they are too bright
MOST_OVER_ENAMEL, DARK_SHARE = 1.2, 0.5
# Mean of the channels of a mouth: brighter teeth would have no shade between them
BRIGHTEST = 235.0
TEETH_PERCENTILE = 99  # of the levels of a mouth: its brightest teeth
# Share of the skin's warmth (exponent of its ratios of channels) that teeth have at least
TOOTH_WARMTH = 0.2
# The same share that they have at most; and red over green, as an exponent of the skin's, from
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
# Light of tongue and gums in a grey picture over that of their driver, where only their colour
# tells them from skin; redness of a skin from which they are told from teeth
GREY_FLESH, RED_SKIN = 0.5, (1.15, 1.35)
FLESH_BLUR, TEETH_BLUR = 0.02, 0.015  # deviations of outlines, in widths of the region
SPECKS, ROOTS = 0.01, 0.03  # half widths of what is no tooth, and of what still is, beside it
# Log of the largest over the least gain between two skins, from alike to unlike: a driver's teeth
# are as they are beside skin like its own
UNLIKE_RANGE = (0.04, 0.12)
# Log of a driver's skin over a darker one's, from which its teeth are lifted
DARKER_RANGE = (0.1, 0.3)


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
        natural: of the picture with the wanted tone, see `colours.natural_colour`.
        enamel: mean of the channels of teeth in that picture. The ratio of skins makes those of
            dark skin, or of hard light, glow in the shade.
        inside: (h, w) what is between the lips; None for all.

    Returns:
        (h, w, 3) float32, 0..255.
    """
    gain = tone_gain(wanted, present)
    enamel = max(enamel, 1.0)  # 0 beside black skin
    unlike = float(smoothstep(*UNLIKE_RANGE, np.log(gain.max() / gain.min())))
    darker = max(float(present.mean()), 1.0) / max(float(wanted.mean()), 1.0)
    unlike = max(unlike, float(smoothstep(*DARKER_RANGE, np.log(darker))))
    out = warm_up(colour * gain.astype(np.float32), wanted)
    inside = np.ones(out.shape[:2], np.bool_) if inside is None else inside
    out = darken_flesh(out, colour, present, 1 - natural, inside)
    vivid = float(np.clip(wanted[0] / max(present[0] * gain[0], 1.0), 1.0, MOST_KEPT))
    lift = enamel, darker**-TEETH_BY_SKIN / float(gain.mean())
    out = lift_grey_teeth(out, colour, present, lift, unlike * (1 - natural), inside)
    clean = clean_teeth(out, wanted, lift, unlike * natural, inside, vivid)
    out = keep_colour(clean, wanted, natural)
    out = out * _dimming(out.mean(-1, keepdims=True), enamel)
    return np.asarray(out * _compression(out.max(-1, keepdims=True), SHOULDER, 255.0), np.float32)


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
    colour: Array32,
    tone: Array,
    lift: tuple[float, float],
    share: float,
    inside: Bools,
    vivid: float = 1.0,
) -> Array32:
    """Return colours (h, w, 3) whose teeth are off-white beside a skin tone (3,).

    Light of a driver that is yellower than its skin, or skin that is clay, would stain them. Dull
    ones are lifted towards the source's enamel.

    Args:
        colour: 0..255.
        tone: (3,) skin colour.
        lift: mean of the channels of the source's teeth, and the factor on the driver's by which
            they are darkened too far beside a darker skin; 1 for none.
        share: 0..1 of the change.
        vivid: factor on them that keeps their red over the skin's as in the driver's picture.
        inside: (h, w) what is between the lips.
    """
    if share <= 0:
        return colour
    teeth = _teeth(colour, tone, share, inside)
    clean = np.float32(vivid) * _cool_down(colour, tone)
    enamel, beside_dark = lift
    dull = _lift(colour, teeth, enamel, MOST_LIFT)
    still_dull = _lift(clean, teeth, enamel, MOST_LIFT * beside_dark)
    clean *= np.float32(max(dull, still_dull, 1.0))
    return np.asarray(colour + teeth[..., None] * (clean - colour), np.float32)


def lift_grey_teeth(
    out: Array32,
    colour: Array32,
    skin: Array,
    lift: tuple[float, float],
    share: float,
    inside: Bools,
) -> Array32:
    """Return colours (h, w, 3) whose teeth are no darker than beside the source's skin.

    As `clean_teeth`, for a source without colours: the driver's tell which are its teeth.

    Args:
        out: to change, 0..255.
        colour: (h, w, 3) the driver's own.
        skin: (3,) of the driver.
        lift, share, inside: as of `clean_teeth`.
    """
    if share <= 0:
        return out
    teeth = _teeth(colour, skin, share, inside)
    enamel, beside_dark = lift
    most = beside_dark * min(beside_dark, MOST_LIFT)
    lifted = np.float32(max(_lift(out, teeth, enamel, most), 1.0))
    return np.asarray(out * (1 + (lifted - 1) * teeth)[..., None], np.float32)


def _teeth(colour: Array32, tone: Array, share: float, inside: Bools) -> Array32:
    """Return 0..share how far colours (h, w, 3) beside a skin tone (3,) are teeth."""
    white = _soften(_whiteness(colour, tone, inside), TEETH_BLUR)
    return np.asarray(share * lightness(colour, tone) * white, np.float32)


def _lift(colour: Array32, teeth: Array32, enamel: float, most: float) -> float:
    """Return the factor, at most `most`, from the brightest teeth (h, w) of colours to enamel."""
    brightest = float(np.percentile(colour.mean(-1) * (teeth > 0), TEETH_PERCENTILE))
    return min(enamel / max(brightest, 1.0), most)


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
