"""Colours of an eyeball where the lids of the source hide it.

They are those at the same distance from the middle of the iris, where the source shows them. Beside
an iris that looks aside lies the white that the source shows anywhere, as lids and corners shade
it.
"""

from __future__ import annotations

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.opening import COLUMNS, Opening, Rims, between_rims, to_pixels
from thcli.engines.mesh.sampling import remap

SEAM = 0.08  # half width of the blend between both sides of an iris
# Weight of the other side, which counts where it alone shows the ball, and of its white
OTHER_SIDE, OTHER_WHITE = 0.02, 0.3
SHOWS = 0.5  # of its largest gap: columns of an eye that show its ball, not its corners
BEYOND = 0.08  # widths beyond those, at which a side counts a quarter
WHITE, LIGHTER = (1.0, 1.2), 4.0  # radii from the middle of an iris to its white; power of light
BELOW = (0.12, 0.2, 0.28)  # widths below an eye at which its light is measured
SHADES = (0.7, 1.05)  # limits of the root of that light over the one where a white comes from
# Places of an eye where its white is sought, along and across; radii from the middle of an iris
# from which on; share of them, the whitest, whose median it is; levels by which colour, the largest
# channel less the least, makes it less white: skin may be lighter than a white
ALONG = np.linspace(0.06, 0.94, 45, dtype=np.float32)
ACROSS = np.linspace(0.25, 0.85, 9, dtype=np.float32)
OUTSIDE, WHITEST, COLOUR = 1.15, 0.1, 2
SKIN_SHARE = 0.5  # of the skin's colour that a white may have
DARK = 0.9  # light over the median of what is sought of a white that is none: all has a tint
# Widths below the upper lid, and from a corner, in which that white is shaded, and by how much
LID_SHADE, CORNER_SHADE = (0.14, 0.35), (0.25, 0.25)
WARMER = np.array([0.75, 1.05, 1.1], np.float32)  # power of a shade in red, green and blue
TURNS = 4  # steps in which the place at the same distance from an iris is found
ROW = 128  # pixels in a row of the map they are sampled through; OpenCV takes 32767 rows


def sample_beside(
    image: Image,
    eye: Opening,
    iris: Array,
    radius: float,
    place: tuple[Array32, Array32],
    margins: Rims,
    left: Array32,
) -> Array32:
    """Sample the colours that lie as far from the middle of an iris, between the rims beside it.

    Args:
        image: that holds the eye.
        eye: the eye's rims in `image`.
        iris: (2,) u, v of its centre.
        radius: of the iris in widths. Beyond it the lighter side counts more: it is the white.
        place: (N,) u and v of the eyeball.
        margins: (N,) widths inside the upper and the lower rim that are left out.
        left: (N,) in 0..1 what the iris leaves, whose white may be that of either side.

    Returns:
        (N, 3), mixed of both sides.
    """
    count = len(place[0])
    rows = -(-count // ROW), ROW
    centre_u, centre_v = iris.astype(np.float32)
    x, y = np.resize(place[0] - centre_u, rows), np.resize(place[1] - centre_v, rows)
    top, bottom = (np.resize(margin, rows) for margin in margins)
    side = np.array([-1, 1], np.float32)[:, None, None]
    squared, u = x**2 + y**2, centre_u + side * np.abs(x)
    gaps = eye.lower - eye.upper
    first, *_, last = COLUMNS[gaps >= SHOWS * gaps.max()].astype(np.float32)
    for _ in range(TURNS):
        upper, lower = eye.rims(u)
        v = np.clip(centre_v + y, upper + top, lower - bottom)
        wanted = centre_u + side * np.sqrt(np.maximum(squared - (v - centre_v) ** 2, 0))
        u = np.clip(wanted, first, last)
    seen = 1 / (1 + ((wanted - u) / BEYOND) ** 2) ** 2
    right = smoothstep(-SEAM, SEAM, x).astype(np.float32)
    share = np.stack([1 - right, right])
    positions = to_pixels(eye, u.reshape(-1, ROW), v.reshape(-1, ROW))
    sides = remap(image, positions).astype(np.float32).reshape(2, *rows, 3)
    light = sides.mean(-1)
    light /= np.maximum(light.max(0), 1)
    white = smoothstep(*WHITE, np.sqrt(squared) / max(radius, 1e-3))
    other = OTHER_SIDE + white * np.resize(left, rows) * np.float32(OTHER_WHITE - OTHER_SIDE)
    weights = (share + other) * seen * light ** (LIGHTER * white)
    weights /= weights.sum(0)
    below = light_below(image, eye)
    lit, there = (np.interp(at, COLUMNS, below) for at in (x + centre_u, (weights * u).sum(0)))
    shade = 1 + white * (np.clip(np.sqrt(lit / there), *SHADES) - 1)
    mean = shade[..., None] * (weights[..., None] * sides).sum(0)
    return np.asarray(mean.reshape(-1, 3)[:count], np.float32)


def find_white(
    image: Image, eye: Opening, iris: Array, radius: float, tone: Array
) -> Array32 | None:
    """Find the colour (3,) of the white of an eye; None where its iris fills it.

    Other arguments as in `sample_beside`; tone: (3,) skin colour, 0..255.
    """
    places = between_rims(eye, ALONG, ACROSS)
    outside = np.linalg.norm(eye.to_local(places) - iris, axis=-1) > OUTSIDE * radius
    count = round(WHITEST * outside.sum())
    if count == 0:
        return None
    seen = remap(image, places)[outside]
    darkest, light = seen.min(-1).astype(np.int32), seen.mean(-1, dtype=np.float32)
    whiteness = darkest - COLOUR * (seen.max(-1) - darkest)
    white = _median_of_most(seen, whiteness, count)
    most = SKIN_SHARE * _lacking(tone)
    if white.mean() < DARK * np.median(light) and _lacking(white).max() > most.max():
        return np.asarray(_median_of_most(seen, light, count), np.float32)
    return np.asarray(white.max() * (1 - np.minimum(_lacking(white), most)), np.float32)


def shade_white(white: Array32, u: Array32, below: Array32) -> Array32:
    """Return a white (3,) as lids and corners shade it, (..., 3).

    Args:
        white: 0..255.
        u: along the eye.
        below: widths below the upper lid.
    """
    (lid, darker), (corner, dimmer) = LID_SHADE, CORNER_SHADE
    shade = 1 - darker * (1 - smoothstep(0, lid, below))
    shade *= 1 - dimmer * (1 - smoothstep(0, corner, np.minimum(u, 1 - u)))
    return np.asarray(shade[..., None] ** WARMER * white, np.float32)


def _lacking(colour: Array) -> Array:
    """Return by how much the channels of a colour (3,) are less than its largest, 0..1."""
    return np.asarray(1 - colour / max(float(colour.max()), 1.0))


def _median_of_most(colours: Image, measure: Array, count: int) -> Array:
    """Return the median (3,) of the `count` colours (N, 3) that have most of a measure (N,)."""
    most = np.argsort(measure, kind="stable")[-count:]
    return np.asarray(np.median(colours[most], 0))


def light_below(image: Image, eye: Opening) -> Array:
    """Measure the light on the skin below an eye: (97,) at COLUMNS, at least 1."""
    v = eye.lower + np.array(BELOW)[:, None]
    u = np.broadcast_to(np.clip(COLUMNS, 0, 1), v.shape)
    skin = remap(image, to_pixels(eye, u.astype(np.float32), v.astype(np.float32)))
    middle = np.sort(skin.mean(-1), 0)[len(BELOW) // 2]  # a median; NumPy's takes ten times as long
    return np.asarray(np.maximum(middle, 1.0))
