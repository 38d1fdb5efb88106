"""The eyeball: a small layer of its own at full resolution, so that it is covered by the lids and never squashed by them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening as patch
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.opening import Opening
from thcli.engines.mesh.sampling import look_up

SHUT = 0.11  # gap / width of an eye that shows nothing to draw from
USUAL = 0.22  # of an open one
SHOWS = (0.06, 0.3)  # target opening / source opening between which the eyeball appears
SHADE = 0.8  # of the lash line once the lids meet
LASH = 0.015  # widths above the rim where the lash line's colour is
FURTHEST = (0.3, 0.2)  # widths from the middle that an iris may stand, along and across


@dataclass(frozen=True, slots=True)
class Eye:
    """What an eye is drawn from. opening: its rims in `picture`.  iris: (2,) u, v of its centre.  radius: of the iris, in widths; 0: it looks where it shall already.  own: it is the source's own."""

    picture: Image
    opening: Opening
    iris: Array
    radius: float
    own: bool = True


def weights(eyes: tuple[Eye, ...], target: Array) -> list[float]:
    """How much of each eyeball shows, 0 (shut) .. 1."""
    out = []
    for ring, eye in zip(EYES, eyes, strict=True):
        usual = eye.opening.gap if eye.own else USUAL
        out.append(float(smoothstep(*SHOWS, patch.opening(target, ring).gap / max(usual, 1e-3))))
    return out


def strip_sources(mesh: Array, shows: list[float]) -> Array:
    """(468, 2) source pixels for the strips under the eyeballs: as an eye shuts, its lower rim becomes the lash line of the upper one."""
    out = mesh[:, :2].copy()
    for ring, shown in zip(EYES, shows, strict=True):
        lower, upper = ring[1:8], ring[:8:-1]
        out[lower] += (1 - shown) * (out[upper] - out[lower])
    return out


def draw(out: Image, eyes: tuple[Eye, ...], shows: list[float], target: Array, gaze: Array) -> None:
    """Draws both eyeballs on a rendered picture, in place. gaze: (2, 2) shift of each iris in eye widths, along and across."""
    for ring, eye, shown, look in zip(EYES, eyes, shows, gaze, strict=True):
        place = patch.opening(target, ring)
        where = patch.pixels(place, (out.shape[1], out.shape[0]), 0.06)
        if shown <= 0 or where is None:
            continue
        u, v = patch.coordinates(place, where)
        upper, lower = rims = place.rims(u)
        own_upper, own_lower = eye.opening.rims(u)
        top, bottom = np.clip(upper, own_upper, own_lower), np.clip(lower, own_upper, own_lower)
        along, across = _turned(u, patch.across(v, rims, (top, bottom)), eye, look)
        there = patch.place(eye.opening, along, across)
        ball = look_up(eye.picture, there)
        patch.blend(
            out, where, shown * patch.cover(place, u, v, rims, max(1.2, 0.03 * place.width)), ball
        )


def draw_lash_lines(
    out: Image, eyes: tuple[Eye, ...], shows: list[float], target: Array, step: int
) -> None:
    """Draws the line between lids that are (nearly) shut, in place: the upper rim's own colours; the map cannot be that sharp.

    step: source pixels a sample of the map.
    """
    for ring, eye, shown in zip(EYES, eyes, shows, strict=True):
        place = patch.opening(target, ring)
        where = patch.pixels(place, (out.shape[1], out.shape[0]), 0.1)
        if shown >= 1 or where is None or not eye.own:
            continue
        u, v = patch.coordinates(place, where)
        upper, lower = place.rims(u)
        rim = look_up(
            eye.picture, patch.place(eye.opening, u, eye.opening.rims(u)[0] - np.float32(LASH))
        )
        reach = np.float32(0.6 * step / max(place.width, 1.0) + LASH)
        mask = patch.cover(place, u, v, (upper - reach, lower + reach), max(1.5, 1.2 * step))
        patch.blend(out, where, np.float32(1 - shown) * mask, rim * np.float32(SHADE))


def _turned(u: Array32, v: Array32, eye: Eye, look: Array) -> tuple[Array32, Array32]:
    """The source of u, v when the iris has moved: the iris shifts whole, what is around it stretches."""
    middle = np.array([0.5, eye.iris[1]])
    low, high = np.minimum(middle - FURTHEST, eye.iris), np.maximum(middle + FURTHEST, eye.iris)
    stands = np.clip(eye.iris + look, low, high)
    shift = (stands - eye.iris).astype(np.float32)
    length = float(np.hypot(*shift))
    if length < 1e-4 or eye.radius == 0:
        return u, v
    away = np.hypot(u - np.float32(stands[0]), v - np.float32(stands[1]))
    share = (1 - smoothstep(eye.radius, 2.2 * eye.radius + 1.2 * length, away)).astype(np.float32)
    along = u - shift[0] * share
    upper, lower = eye.opening.rims(along)
    return along, np.clip(v - shift[1] * share, upper, lower)


def of_face(
    picture: Image, mesh: Array, iris: npt.NDArray[np.floating] | None, tone: Array
) -> tuple[Eye, ...]:
    """Both eyes of a source; one that is shut takes the other's mirror image, or is painted.

    iris: (2, 5, 2) pixels, centre first, or None.  tone: (3,) the skin's colour.
    """
    eyes = []
    for side, ring in enumerate(EYES):
        place = patch.opening(mesh, ring)
        centre, radius = np.array([0.5, 0.0]), 0.2
        if iris is not None:
            rim = place.local(iris[side])
            centre, radius = (
                rim[0],
                float(np.clip(np.linalg.norm(rim[1:] - rim[0], axis=1).mean(), 0.1, 0.3)),
            )
        eyes.append(Eye(picture, place, centre, radius))
    open_ = [eye.opening.gap >= SHUT for eye in eyes]
    if all(open_):
        return tuple(eyes)
    if any(open_):
        own = eyes[open_.index(True)]
        lent = mirrored(own)
    else:
        lent = painted(tone)
    return tuple(eye if fine else lent for eye, fine in zip(eyes, open_, strict=True))


def mirrored(eye: Eye) -> Eye:
    """The eye of the other side."""
    place, wide = eye.opening, eye.picture.shape[1] - 1
    (a, b), (c, d) = place.axes
    right = place.corner + place.axes[0]
    turned = Opening(
        np.array([wide - right[0], right[1]]),
        np.array([[a, -b], [-c, d]]),
        place.upper[::-1].copy(),
        place.lower[::-1].copy(),
    )
    return Eye(
        np.ascontiguousarray(eye.picture[:, ::-1]),
        turned,
        np.array([1 - eye.iris[0], eye.iris[1]]),
        eye.radius,
        False,
    )


def painted(tone: Array) -> Eye:
    """An eye from nothing: white, a brown iris, a pupil, a light, the upper lid's shadow; as bright as the skin is."""
    wide, tall, margin, radius = 192, 96, 32, 0.21
    u = (np.arange(wide) - margin) / (wide - 2 * margin)
    v = (np.arange(tall)[:, None] - tall / 2) / (wide - 2 * margin)
    light = float(tone.mean())
    warm = tone / max(light, 1.0)
    white = light * 1.02 * warm**0.35 * np.array([1.0, 0.99, 0.97])
    round_ = (
        1 - 0.35 * np.clip(np.abs(u - 0.5) * 2, 0, 1.2) ** 3
    )  # the ball turns away towards the corners
    colour = white * round_[None, :, None] * np.ones((tall, 1, 1))
    away = np.hypot(u - 0.5, v) / radius
    brown = (
        light
        * np.array([0.42, 0.29, 0.20])
        * (0.75 + 0.5 * np.clip(v / radius, -1, 1)[..., None] * 0.5)
    )
    rim = 1 - 0.45 * smoothstep(0.75, 1.0, away)
    soft = 0.09
    colour += (1 - smoothstep(1 - soft, 1 + soft, away))[..., None] * (
        brown * rim[..., None] - colour
    )
    colour += (1 - smoothstep(0.42 - soft, 0.42 + soft, away))[..., None] * (light * 0.06 - colour)
    glint = np.hypot(u - 0.5 + 0.3 * radius, v + 0.35 * radius) / radius
    colour += 0.85 * (1 - smoothstep(0.08, 0.26, glint))[..., None] * (light * 1.25 - colour)
    x = np.clip(patch.COLUMNS, 0, 1)
    bow = (4 * x * (1 - x)) ** 0.8
    upper, lower = -0.17 * bow, 0.10 * bow
    below = v - np.interp(u, patch.COLUMNS, upper)
    colour *= (0.55 + 0.45 * smoothstep(0.0, 0.12, below))[..., None]
    axes = np.array([[wide - 2 * margin, 0.0], [0.0, wide - 2 * margin]])
    place = Opening(np.array([margin, tall / 2]), axes, upper, lower)
    return Eye(
        np.clip(colour + 0.5, 0, 255).astype(np.uint8), place, np.array([0.5, 0.0]), radius, False
    )


def borrowed(eyes: tuple[Eye, ...], driving: Image, driver: Array, gain: Array) -> tuple[Eye, ...]:
    """The eyes with those that are not the source's own taken from the driver's picture.

    driver: (468, 3) his mesh in pixels of it.  gain: (3,) colour factor to the source's tone.
    """
    out = []
    for ring, eye in zip(EYES, eyes, strict=True):
        place = patch.opening(driver, ring)
        where = patch.pixels(place, (driving.shape[1], driving.shape[0]), 0.3)
        if eye.own or where is None or place.gap < SHUT:
            out.append(eye)
            continue
        rows, columns = where
        tinted = np.minimum(driving[where] * gain, 255).astype(np.uint8)
        moved = replace(place, corner=place.corner - (columns.start, rows.start))
        out.append(Eye(tinted, moved, np.array([0.5, 0.0]), 0.0, False))
    return tuple(out)
