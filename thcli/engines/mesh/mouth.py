"""The inside of the mouth: the driver's own, in the source's tone, or a made one (see `interior`)."""

from __future__ import annotations

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.sampling import look_up
from thcli.faces.landmarks.topology import LIPS_OUTER, MOUTH_SKIN

OPENS = (0.02, 0.07)  # gap / width between which the inside appears
CLOSES = (0.35, 0.75)  # target gap / source gap between which the line between closed lips fades in
GAIN = (0.55, 1.7)  # of the driver's picture at most
CHROMA = 0.6  # share of a difference in colour (beyond brightness) that is matched


def tone(picture: Image, mesh: Array) -> Array:
    """The skin's colour around the mouth, (3,): medians, which a beard's or a shadow's half does not move."""
    reach = max(1.0, 0.03 * float(np.linalg.norm(mesh[LIPS[0], :2] - mesh[LIPS[10], :2])))
    star = reach * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    points = (mesh[MOUTH_SKIN, None, :2] + star).reshape(1, -1, 2).astype(np.float32)
    return np.asarray(np.median(look_up(picture, points)[0], 0), np.float64)


def gain(wanted: Array, there: Array) -> Array:
    """Per-channel factor from one tone to another: brightness within GAIN, colour in part."""
    light = float(wanted.mean() / max(there.mean(), 1.0))
    colour = np.clip(wanted / np.maximum(there, 1.0) / max(light, 1e-3), 0.6, 1.6)
    return np.asarray(np.clip(light, *GAIN) * colour**CHROMA)


def seam(picture: Image, mesh: Array) -> Array:
    """The colour of the line between closed lips, (3,): the lips' own, in shadow."""
    rims = mesh[LIPS, :2] + 0.35 * (mesh[LIPS_OUTER, :2] - mesh[LIPS, :2])
    return np.asarray(
        0.55 * np.median(look_up(picture, rims[None].astype(np.float32))[0], 0), np.float64
    )


def draw_seam(out: Image, colour: Array, own_gap: float, target: Array, step: int) -> None:
    """Covers what an open source mouth leaves between lips that are closing, in place: the map cannot be that sharp.

    own_gap: of the source's lips, in widths.  step: source pixels a sample of the map.
    """
    place = opening.opening(target, LIPS)
    shown = 1 - float(smoothstep(*CLOSES, place.gap / own_gap))
    where = opening.pixels(place, (out.shape[1], out.shape[0]), 0.06)
    if shown <= 0 or where is None:
        return
    u, v = opening.coordinates(place, where)
    upper, lower = place.rims(u)
    reach = np.float32(0.7 * step / max(place.width, 1.0))
    mask = opening.cover(place, u, v, (upper - reach, lower + reach), max(1.5, 1.2 * step))
    opening.blend(out, where, shown * mask, colour.astype(np.float32)[None, None])


def draw_driver(out: Image, own_tone: Array, target: Array, driver: Array, frame: Image) -> None:
    """Puts the driver's mouth, (468, 3) mesh in pixels of his frame, between the target's lips, in place."""
    place, his = opening.opening(target, LIPS), opening.opening(driver, LIPS)
    shown = float(smoothstep(*OPENS, place.gap))
    where = opening.pixels(place, (out.shape[1], out.shape[0]), 0.06)
    if shown <= 0 or where is None:
        return
    u, v = opening.coordinates(place, where)
    upper, lower = place.rims(u)
    there = opening.place(his, u, opening.across(v, (upper, lower), his.rims(u)))
    colour = look_up(frame, there).astype(np.float32)
    colour = np.minimum(colour * gain(own_tone, tone(frame, driver)).astype(np.float32), 255)
    mask = opening.cover(place, u, v, (upper + 0.01, lower - 0.01), max(1.5, 0.035 * place.width))
    opening.blend(out, where, shown * mask, colour)
