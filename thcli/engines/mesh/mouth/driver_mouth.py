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
from thcli.engines.mesh.mouth.colours import match_tone, skin_tone
from thcli.engines.mesh.sampling import remap

OPEN_RANGE = (0.02, 0.07)  # gap / width between which the inside fades in
# Pixels of the driver's mouth for one of the source's, from which it is blurred
LEAST_SHRINKING = 1.2
SHARP_DEVIATION = 1.0  # pixels of the blur that sharp pictures have
LEAST_BLUR = 0.6  # pixels of blur that a driver's mouth gets at least, if any


def render(
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
        natural: of the source, see `colours.natural_colour`.
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
