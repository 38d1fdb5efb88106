"""Stand-ins of an eye that is shut in the source: the other one, a painted or a lent one."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.eyes.texture import EyeTexture
from thcli.engines.mesh.mouth import colours
from thcli.engines.mesh.opening import Opening
from thcli.engines.mesh.sampling import remap

LENT_GAP = 0.05  # gap / width of a driver's eye from which a slit of it can be shown
# Levels by which blue exceeds the other channels, and both red and blue green, in eyes
BLUEST, PINKEST = 20, 6
# Places of an eye, along and across it; share of them that are lighter than its white; light of a
# white over fair skin: that of a driver with darker skin would glare there
PLACES, LIGHTEST = np.linspace(0.1, 0.9, 15, dtype=np.float32), 0.2
WHITEST = 1.05


def mirror_eye(eye: EyeTexture) -> EyeTexture:
    """Mirror an eye horizontally, as a substitute for the other one."""
    own, last = eye.opening, eye.image.shape[1] - 1
    (a, b), (c, d) = own.axes
    right = own.corner + own.axes[0]
    mirrored = Opening(
        np.array([last - right[0], right[1]]),
        np.array([[a, -b], [-c, d]]),
        own.upper[::-1].copy(),
        own.lower[::-1].copy(),
    )
    return replace(
        eye,
        image=np.ascontiguousarray(eye.image[:, ::-1]),
        opening=mirrored,
        iris=np.array([1 - eye.iris[0], eye.iris[1]]),
        is_own=False,
        lashes=None,
    )


def paint_eye(tone: Array, blur: float = 0.0) -> EyeTexture:
    """Paint a synthetic eye: sclera, brown iris, pupil, highlight and the upper lid's shadow.

    Args:
        tone: (3,) skin colour, 0..255, which sets the brightness.
        blur: deviation in widths of an eye.
    """
    wide, tall, margin, radius = 192, 96, 32, 0.21
    u = (np.arange(wide) - margin) / (wide - 2 * margin)
    v = (np.arange(tall)[:, None] - tall / 2) / (wide - 2 * margin)
    light = float(tone.mean())
    warm = tone / max(light, 1.0)
    white = light * 1.02 * warm**0.35 * np.array([1.0, 0.99, 0.97])
    # the eyeball turns away towards the corners
    shading = 1 - 0.35 * np.clip(np.abs(u - 0.5) * 2, 0, 1.2) ** 3
    colour = white * shading[None, :, None] * np.ones((tall, 1, 1))
    distance = np.hypot(u - 0.5, v) / radius
    gradient = 0.75 + 0.5 * np.clip(v / radius, -1, 1)[..., None] * 0.5
    brown = light * np.array([0.42, 0.29, 0.20]) * gradient
    rim = 1 - 0.45 * smoothstep(0.75, 1.0, distance)
    soft = 0.09
    iris_mask = (1 - smoothstep(1 - soft, 1 + soft, distance))[..., None]
    colour += iris_mask * (brown * rim[..., None] - colour)
    pupil_mask = (1 - smoothstep(0.42 - soft, 0.42 + soft, distance))[..., None]
    colour += pupil_mask * (light * 0.06 - colour)
    highlight = np.hypot(u - 0.5 + 0.3 * radius, v + 0.35 * radius) / radius
    colour += 0.85 * (1 - smoothstep(0.08, 0.26, highlight))[..., None] * (light * 1.25 - colour)
    x = np.clip(opening.COLUMNS, 0, 1)
    bow = (4 * x * (1 - x)) ** 0.8
    upper, lower = -0.17 * bow, 0.10 * bow
    below = v - np.interp(u, opening.COLUMNS, upper)
    colour *= (0.55 + 0.45 * smoothstep(0.0, 0.12, below))[..., None]
    axes = np.array([[wide - 2 * margin, 0.0], [0.0, wide - 2 * margin]])
    painted = Opening(np.array([margin, tall / 2]), axes, upper, lower)
    if blur > 0:
        colour = cv2.GaussianBlur(colour, (0, 0), blur * axes[0, 0])
    pixels = np.clip(colour + 0.5, 0, 255).astype(np.uint8)
    middle = np.array([0.5, 0.0])
    lit = np.asarray(white, np.float32)
    return EyeTexture(pixels, painted, middle, radius, False, blur, sees_iris=True, white=lit)


def substitute_from_driver(
    eyes: tuple[EyeTexture, ...], frame: Image, driver: Array, tone: Array
) -> tuple[EyeTexture, ...]:
    """Replace the eyes by the driver's open ones where none is the source's own.

    A mirrored one stays: it has the colour of the other. They are as blurred as the source.

    Args:
        eyes: texture of each eye.
        frame: (H, W, 3) uint8 driving frame.
        driver: (468, 3) the driver's mesh in pixels of the frame.
        tone: (3,) skin colour of the source, 0..255.
    """
    if any(eye.is_own for eye in eyes):
        return eyes
    gain = colours.tone_gain(tone, colours.skin_tone(frame, driver))
    out = []
    for ring, eye in zip(EYES, eyes, strict=True):
        eye_opening = opening.fit_opening(driver, ring)
        region = opening.bounding_region(eye_opening, (frame.shape[1], frame.shape[0]), 0.3)
        if region is None or eye_opening.gap < LENT_GAP:
            out.append(eye)
            continue
        rows, columns = region
        lit = gain * _dim_white(frame, eye_opening, gain, tone)
        tinted = _without_violet(np.minimum(frame[region] * lit, 255)).astype(np.uint8)
        if eye.blur > 0:
            deviation = eye.blur * eye_opening.width
            tinted = np.asarray(cv2.GaussianBlur(tinted, (0, 0), deviation), np.uint8)
        shifted = replace(eye_opening, corner=eye_opening.corner - (columns.start, rows.start))
        share = opening.foreshortening(driver, ring)
        middle = np.array([0.5, 0.0])
        out.append(EyeTexture(tinted, shifted, middle, 0.0, False, eye.blur, seen=share))
    return tuple(out)


def tint_eyes(eyes: tuple[EyeTexture, ...], tone: Array, natural: float) -> tuple[EyeTexture, ...]:
    """Give painted or lent eyes the tint of a picture without colours: sepia shows no blue iris.

    Args:
        eyes: none of which is the source's own.
        tone: (3,) skin colour, 0..255.
        natural: 0..1, see `colours.natural_colour`.
    """
    if natural >= 1:
        return eyes
    out = []
    for eye in eyes:
        tinted = colours.keep_colour(eye.image.astype(np.float32), tone, natural)
        out.append(replace(eye, image=np.clip(tinted + 0.5, 0, 255).astype(np.uint8)))
    return tuple(out)


def _dim_white(frame: Image, driver: Opening, gain: Array, tone: Array) -> float:
    """Return the gain (up to 1) by which a driver's white is no lighter than beside its own skin.

    Args:
        frame: (H, W, 3) uint8 driving frame.
        driver: its eye.
        gain: (3,) of its colours.
        tone: (3,) skin colour of the source, 0..255.
    """
    seen = remap(frame, opening.between_rims(driver, PLACES, PLACES)).astype(np.float64)
    own, white = (
        max(float(np.quantile(light, 1 - LIGHTEST)), 1.0)
        for light in (seen.mean(-1), (seen * gain).mean(-1))
    )
    return min(max(WHITEST * float(tone.mean()), own) / white, 1.0)


def _without_violet(seen: Array) -> Array:
    """Pale the pink, violet and blue of coated glasses, (h, w, 3) RGB 0..255; no eye has them.

    The reddish white of an eye in warm light stays: green alone would make it yellow.
    """
    red, green, blue = (seen[..., channel] for channel in range(3))
    blue = np.minimum(blue, np.maximum(red, green) + BLUEST)
    green = np.maximum(green, np.minimum(red, blue) - PINKEST)
    return np.stack([red, green, blue], -1)
