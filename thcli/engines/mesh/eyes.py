"""The eyeball: a small layer of its own at full resolution, so that it is covered by the lids and never squashed by them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import patch
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.field import smoothstep
from thcli.engines.mesh.patch import Opening
from thcli.engines.mesh.sampling import look_up

SHUT = 0.07  # gap / width of an eye that shows nothing to draw from
USUAL = 0.22  # of an open one
SHOWS = (0.06, 0.3)  # target opening / source opening between which the eyeball appears
FURTHEST = (0.3, 0.2)  # widths from the middle that an iris may stand, along and across


@dataclass(frozen=True, slots=True)
class Eye:
    """What an eye is drawn from. opening: its rims in `picture`.  iris: (2,) u, v of its centre.  radius: of the iris, in widths.  own: it is the source's own."""

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
        across = top + (v - upper) / np.maximum(lower - upper, 1e-3) * (bottom - top)
        along, across = _turned(u, across, eye, look)
        there = patch.place(eye.opening, along, across)
        ball = look_up(eye.picture, there)
        patch.blend(out, where, shown * patch.cover(place, u, v, rims, max(1.2, 0.03 * place.width)), ball)


def _turned(u: Array32, v: Array32, eye: Eye, look: Array) -> tuple[Array32, Array32]:
    """The source of u, v when the iris has moved: the iris shifts whole, what is around it stretches."""
    middle = np.array([0.5, eye.iris[1]])
    low, high = np.minimum(middle - FURTHEST, eye.iris), np.maximum(middle + FURTHEST, eye.iris)
    stands = np.clip(eye.iris + look, low, high)
    shift = (stands - eye.iris).astype(np.float32)
    length = float(np.hypot(*shift))
    if length < 1e-4:
        return u, v
    away = np.hypot(u - np.float32(stands[0]), v - np.float32(stands[1]))
    share = (1 - smoothstep(eye.radius, 2.2 * eye.radius + 1.2 * length, away)).astype(np.float32)
    along = u - shift[0] * share
    upper, lower = eye.opening.rims(along)
    return along, np.clip(v - shift[1] * share, upper, lower)
