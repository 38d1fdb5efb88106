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
from thcli.engines.mesh.mouth import closed_lips, side_light, toned_driver
from thcli.engines.mesh.mouth.colours import skin_tone, warm_colour
from thcli.engines.mesh.mouth.drawn_inside import SHOWN_RANGE, MouthInterior, inside_mask
from thcli.engines.mesh.mouth.tone_match import match_tone
from thcli.engines.mesh.sampling import remap

# Pixels of the driver's mouth for one of the source's, from which it is blurred
LEAST_SHRINKING = 1.2
SHARP_DEVIATION = 1.0  # pixels of the blur that sharp pictures have
# Line between closed lips: widths from it in which the driver's shade fades out, where the lips'
# own colour is taken, and from the corners in which it fades in; limits of the shade: a wet lip
# below the line has highlights, which are no line
SEAM_REACH, SEAM_LIPS, SEAM_ENDS, SEAM_SHADES = (0.03, 0.1), 0.12, (0.0, 0.08), (0.2, 1.0)
INSIDE = 0.5  # coverage of pixels that are between the lips
LEAST_BLUR = 0.6  # pixels of blur that a driver's mouth gets at least, if any


def render(out: Image, source: MouthInterior, target: Array, driver: Array, frame: Image) -> None:
    """Copy the inside of the driver's mouth between the target's lips, in place.

    It becomes as blurred as the source: sharp teeth look pasted into an enlarged thumbnail.

    Args:
        out: (H, W, 3) uint8 frame.
        source: the source's mouth: its tones, its blur and the light at its side.
        target: (468, 3) target mesh.
        driver: (468, 3) the driver's mesh in pixels of `frame`.
        frame: (h, w, 3) uint8 driving frame.
    """
    lips, driver_lips = opening.fit_opening(target, LIPS), opening.fit_opening(driver, LIPS)
    shown = float(smoothstep(*SHOWN_RANGE, lips.gap))
    shrinking = driver_lips.width / max(lips.width, 1.0)
    added = _added_blur(source.blur, shrinking)
    margin = 0.06 + 2 * added / max(lips.width, 1.0)
    region = opening.bounding_region(lips, (out.shape[1], out.shape[0]), margin)
    if shown <= 0 or region is None:
        return
    u, v = opening.local_coordinates(lips, region)
    upper, lower = lips.rims(u)
    driver_v = opening.map_between_rims(v, (upper, lower), driver_lips.rims(u))
    positions = opening.to_pixels(driver_lips, u, driver_v)
    colour = _sample_smooth(frame, positions, shrinking).astype(np.float32)
    mask = inside_mask(lips, (u, v), (upper, lower))
    present, enamel = skin_tone(frame, driver), float(source.enamel.mean())
    colour = match_tone(colour, source.tone, present, source.natural, enamel, mask > INSIDE)
    toned = source.natural * (1 - warm_colour(frame, driver, present))
    colour = toned_driver.colour_flesh(colour, source.tone, toned)
    light = side_light.along(u, source.aside - side_light.measure(frame, driver))
    colour = np.minimum(colour * light[..., None], 255)
    if added > 0:
        colour = np.asarray(cv2.GaussianBlur(colour, (0, 0), added), np.float32)
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), added), np.float32)
    opening.blend(out, region, shown * mask, colour)


def render_seam(
    out: Image, target: Array, driver: Array, frame: Image, share: float, natural: float
) -> None:
    """Shade the line between closed lips as the driver's closed lips have it, in place.

    Lips that are open in the source say nothing of how dark they meet. The driver's colours beside
    the line, over those of its lips a little further away, are those of the source's lips.

    Args:
        out: (H, W, 3) uint8 frame, with closed lips.
        target: (468, 3) target mesh.
        driver: (468, 3) the driver's mesh in pixels of `frame`.
        frame: (h, w, 3) uint8 driving frame.
        share: 0..1, how far the lips of the frame are made.
        natural: 0..1, see `colours.natural_colour`: a grey picture takes no colour of the shade.
    """
    lips, driver_lips = opening.fit_opening(target, LIPS), opening.fit_opening(driver, LIPS)
    share *= 1 - float(smoothstep(*closed_lips.OPEN_RANGE, max(lips.gap, driver_lips.gap)))
    region = opening.bounding_region(lips, (out.shape[1], out.shape[0]), SEAM_LIPS + 0.02)
    if share <= 0 or region is None:
        return
    u, v = opening.local_coordinates(lips, region)
    rims, own = lips.rims(u), driver_lips.rims(u)
    above, below = np.minimum(v - rims[0], 0), np.maximum(v - rims[1], 0)
    away = np.maximum(-above, below)
    part = np.clip((v - rims[0]) / np.maximum(rims[1] - rims[0], np.float32(1e-3)), 0, 1)
    between = own[0] + part * (own[1] - own[0])
    shrinking = driver_lips.width / max(lips.width, 1.0)

    def driven(at: Array32) -> Array32:
        positions = opening.to_pixels(driver_lips, u, at)
        return _sample_smooth(frame, positions, shrinking).astype(np.float32)

    view = out[region]
    corner = np.array([region[1].start, region[0].start], np.float32)
    upper_lip, lower_lip = (
        (
            remap(view, opening.to_pixels(lips, u, rims[k] + reach) - corner).astype(np.float32),
            driven(own[k] + reach),
        )
        for k, reach in ((0, -np.float32(SEAM_LIPS)), (1, np.float32(SEAM_LIPS)))
    )
    side = part[..., None]
    lip = upper_lip[0] + side * (lower_lip[0] - upper_lip[0])
    its_lip = np.maximum(upper_lip[1] + side * (lower_lip[1] - upper_lip[1]), 8)
    shade = np.clip(driven(between + above + below) / its_lip, *SEAM_SHADES)
    grey = shade.mean(-1, keepdims=True)
    shade = grey + np.float32(natural) * (shade - grey)
    inside = smoothstep(*SEAM_ENDS, np.minimum(u, 1 - u))
    mask = share * inside * (1 - smoothstep(*SEAM_REACH, away))
    opening.blend(out, region, np.asarray(mask, np.float32), lip * shade)


def _added_blur(blur: float, shrinking: float) -> float:
    """Return the deviation in pixels by which a driver's mouth is blurred; 0 for a sharp source.

    Args:
        blur: of the source, see `render`.
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
