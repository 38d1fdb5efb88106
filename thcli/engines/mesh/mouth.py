"""The driver's mouth in the source's tone.

For a mouth without a driving frame see `mouth_interior`.
"""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.sampling import remap
from thcli.faces.landmarks.topology import LIPS_OUTER, MOUTH_SKIN

OPEN_RANGE = (0.02, 0.07)  # gap / width between which the inside fades in
BRIGHTNESS_RANGE = (0.55, 1.4)  # of the gain on the driver's frame; teeth differ less than skins
LIP_PLACES = (0.35, 0.5, 0.65)  # shares of a lip's height at which its colour is taken
# Of a picture in grey or one tint to one in natural colours: red less blue of the skin, over its
# brightest; red over green and blue of the lips, over the skin's
WARM_RANGE, REDDER_RANGE = (0.02, 0.12), (1.16, 1.3)
SHOULDER = 230.0  # brightness above which highlights are compressed
MOST_OVER_ENAMEL = 1.3  # mean of the channels of highlights, over that of the source's enamel
# Pixels of the driver's mouth for one of the source's, from which it is blurred
LEAST_SHRINKING = 1.2
SHARP_DEVIATION = 1.0  # pixels of the blur that sharp pictures have
LEAST_BLUR = 0.6  # pixels of blur that a driver's mouth gets at least, if any
CHROMA_SHARE = 0.6  # share of a difference in colour (beyond brightness) that is matched


def skin_tone(image: Image, mesh: Array) -> Array:
    """Measure the skin's colour around the mouth, (3,), 0..255.

    The medians are robust to a beard or a shadow that covers less than half.
    """
    reach = max(1.0, 0.03 * float(np.linalg.norm(mesh[LIPS[0], :2] - mesh[LIPS[10], :2])))
    star = reach * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    points = (mesh[MOUTH_SKIN, None, :2] + star).reshape(1, -1, 2).astype(np.float32)
    return np.asarray(np.median(remap(image, points)[0], 0), np.float64)


def natural_colour(image: Image, mesh: Array, tone: Array) -> float:
    """Return 0..1, whether a picture shows the colours of skin or lips, or only a tint.

    Skin is warm, and in cold light the lips are still redder than the skin. Pictures in grey and
    films in a cold tint have neither.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        tone: (3,) skin colour.
    """
    inner, outer = mesh[LIPS, :2], mesh[LIPS_OUTER, :2]
    places = np.concatenate([inner + share * (outer - inner) for share in LIP_PLACES])
    lips = np.median(remap(image, places[None].astype(np.float32))[0].astype(np.float64), 0)
    warm = float(tone[0] - tone[2]) / max(float(tone.max()), 1.0)
    redder = redness(lips) / np.maximum(redness(tone), 1e-3)
    return max(float(smoothstep(*WARM_RANGE, warm)), float(smoothstep(*REDDER_RANGE, redder)))


def redness(colours: Array) -> Array:
    """Return red over the mean of green and blue of colours (..., 3), 0..255."""
    return np.asarray(colours[..., 0] / np.maximum(colours[..., 1:].mean(-1), 1.0))


def keep_colour(colour: Array32, tone: Array, natural: float) -> Array32:
    """Convert colours (h, w, 3) to grey times the tint of a skin tone.

    Args:
        colour: 0..255.
        tone: (3,) skin colour.
        natural: share of the colours that is kept, 0..1.
    """
    tint = (tone / max(float(tone.mean()), 1.0)).astype(np.float32)
    tinted = colour.mean(-1, keepdims=True) * tint
    return np.asarray(tinted + np.float32(natural) * (colour - tinted), np.float32)


def tone_gain(wanted: Array, present: Array) -> Array:
    """Compute the (3,) colour factor from one skin tone (3,) to another.

    Brightness is matched within BRIGHTNESS_RANGE, colour by CHROMA_SHARE.
    """
    light = float(wanted.mean() / max(present.mean(), 1.0))
    colour = np.clip(wanted / np.maximum(present, 1.0) / max(light, 1e-3), 0.6, 1.6)
    return np.asarray(np.clip(light, *BRIGHTNESS_RANGE) * colour**CHROMA_SHARE)


def warm_up(colour: Array32, tone: Array) -> Array32:
    """Return colours (h, w, 3) that are no cooler than grey, or than the skin where that is cool.

    Between skins of unlike warmth, white teeth would turn blue or green.
    """
    red, green, blue = np.maximum(tone, 1.0)
    out = colour.copy()
    np.minimum(out[..., 1], out[..., 0] * np.float32(max(1.0, green / red)), out=out[..., 1])
    most = np.float32(max(1.0, 2 * blue / (red + green)) / 2)
    np.minimum(out[..., 2], (out[..., 0] + out[..., 1]) * most, out=out[..., 2])
    return out


def match_tone(
    colour: Array32, wanted: Array, present: Array, natural: float, enamel: float = 255.0
) -> Array32:
    """Convert colours from one skin tone to another, without clipping.

    Args:
        colour: (h, w, 3) float32, 0..255.
        wanted, present: (3,) skin tones.
        natural: of the picture with the wanted tone, see `natural_colour`.
        enamel: mean of the channels of teeth in that picture. The ratio of skins makes those of
            dark skin, or of hard light, glow in the shade.

    Returns:
        (h, w, 3) float32, 0..255.
    """
    out = colour * tone_gain(wanted, present).astype(np.float32)
    out = keep_colour(warm_up(out, wanted), wanted, natural)
    enamel = max(enamel, 1.0)  # 0 beside black skin
    out = out * _compression(out.mean(-1, keepdims=True), enamel, MOST_OVER_ENAMEL * enamel)
    return np.asarray(out * _compression(out.max(-1, keepdims=True), SHOULDER, 255.0), np.float32)


def _compression(levels: Array32, shoulder: float, most: float) -> Array32:
    """Compute the factors that keep levels below the most, and those up to the shoulder as is."""
    levels, room = np.maximum(levels, np.float32(1)), np.float32(most - shoulder)
    beyond = np.maximum(levels - np.float32(shoulder), 0)
    kept = np.minimum(levels, np.float32(shoulder)) + room * (1 - np.exp(-beyond / room))
    return np.asarray(kept / levels, np.float32)


def render_driver_mouth(
    out: Image,
    colours: tuple[Array, Array],
    natural: float,
    target: Array,
    driver: Array,
    frame: Image,
    blur: float = 0.0,
) -> None:
    """Copy the inside of the driver's mouth between the target's lips, in place.

    It becomes as blurred as the source: sharp teeth look pasted into an enlarged thumbnail.

    Args:
        out: (H, W, 3) uint8 frame.
        colours: (3,) of the source's skin, and of its teeth.
        natural: of the source, see `natural_colour`.
        target: (468, 3) target mesh.
        driver: (468, 3) the driver's mesh in pixels of `frame`.
        frame: (h, w, 3) uint8 driving frame.
        blur: of the source beyond that of a sharp picture, deviation in pixels.
    """
    lips, driver_lips = opening.fit_opening(target, LIPS), opening.fit_opening(driver, LIPS)
    shown = float(smoothstep(*OPEN_RANGE, lips.gap))
    shrinking = driver_lips.width / max(lips.width, 1.0)
    added = _added_blur(blur, shrinking)
    margin = 0.06 + 2 * added / max(lips.width, 1.0)
    region = opening.bounding_region(lips, (out.shape[1], out.shape[0]), margin)
    if shown <= 0 or region is None:
        return
    u, v = opening.local_coordinates(lips, region)
    upper, lower = lips.rims(u)
    driver_v = opening.map_between_rims(v, (upper, lower), driver_lips.rims(u))
    positions = opening.to_pixels(driver_lips, u, driver_v)
    colour = _sample_smooth(frame, positions, shrinking).astype(np.float32)
    tone, enamel = colours
    colour = match_tone(colour, tone, skin_tone(frame, driver), natural, float(enamel.mean()))
    inner = (upper + 0.01, lower - 0.01)
    mask = opening.coverage(lips, u, v, inner, max(1.5, 0.035 * lips.width))
    if added > 0:
        colour = np.asarray(cv2.GaussianBlur(colour, (0, 0), added), np.float32)
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), added), np.float32)
    opening.blend(out, region, shown * mask, colour)


def _added_blur(blur: float, shrinking: float) -> float:
    """Return the deviation in pixels by which a driver's mouth is blurred; 0 for a sharp source.

    Args:
        blur: of the source, see `render_driver_mouth`.
        shrinking: pixels of the driver for one of the source.
    """
    # a mouth that is enlarged is blurred already
    own = SHARP_DEVIATION / np.clip(shrinking, 1e-3, 1.0)
    added = float(np.sqrt(max((SHARP_DEVIATION + blur) ** 2 - own**2, 0.0)))
    return added if added >= LEAST_BLUR else 0.0


def _sample_smooth(image: Image, positions: Array32, shrinking: float) -> Image:
    """Sample an image (H, W, 3) at positions (h, w, 2), blurred as far as that shrinks it.

    shrinking: pixels of the image for one of the result. Without the blur, teeth turn jagged.
    """
    if shrinking < LEAST_SHRINKING:
        return remap(image, positions)
    reach = int(np.ceil(2 * shrinking)) + 1
    size = np.array([image.shape[1], image.shape[0]])
    x0, y0 = np.clip(np.floor(positions.min((0, 1))).astype(int) - reach, 0, size - 1)
    x1, y1 = np.clip(np.ceil(positions.max((0, 1))).astype(int) + reach, 1, size)
    sigma = 0.5 * float(np.sqrt(shrinking**2 - 1))
    part = cv2.GaussianBlur(image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)], (0, 0), sigma)
    corner = np.array([x0, y0], np.float32)
    return remap(np.asarray(part, np.uint8), positions - corner)
