"""Beard styles on the neutral face, from stubble to full beard: density, direction and length.

Positions are canonical (see `motion.canonical`): the base of the nose is at y .43, the corners of
the mouth at (+-.27, .70), the chin at 1.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.editors.drawn.beard_form import BeardForm
from thcli.editors.drawn.hair_roots import (
    HairRoots,
    HairStrokes,
    comb_hairs,
    plant_hairs,
    smooth_noise,
)

_PATCH_FREQUENCIES = (10.0, 26.0)  # unevenness of a beard's density

# Upper border of a beard: distance from the middle line, and height.
_CHEEK_X = np.array([0.0, 0.26, 0.34, 0.45, 0.56, 0.66, 0.72, 0.8])
_CHEEK_Y = np.array([0.62, 0.62, 0.60, 0.565, 0.49, 0.36, 0.2, 0.06])
# Upper and lower border of a moustache.
_LIP_X = np.array([0.0, 0.08, 0.16, 0.24, 0.32, 0.38])
_LIP_TOP = np.array([0.475, 0.465, 0.475, 0.52, 0.6, 0.68])
_LIP_LOW = np.array([0.6, 0.585, 0.61, 0.66, 0.74, 0.8])


@dataclass(frozen=True, slots=True)
class BeardStyle:
    """Parameters of a beard style.

    length: canonical units at strength 1.
    power: exponent of the strength in the length.
    lift, sag: see `hair_roots.comb_hairs`.
    thick: hairs per unit of area.
    solid: opacity of one hair.
    below: darkening of the skin between hairs.
    fill: share of grown hairs at strength 0, and its increase up to strength 1.
    """

    name: str
    length: float
    power: float
    lift: float
    sag: float
    thick: int = 4600
    solid: float = 0.92
    below: float = 0.85
    fill: tuple[float, float] = (0.35, 0.65)


BEARD_STYLES = {
    style.name: style
    for style in (
        BeardStyle("beard", 0.08, 1.5, 0.42, 0.3, thick=8000, below=0.85, fill=(0.42, 0.48)),
        BeardStyle("moustache", 0.066, 1.0, 0.25, 0.12, thick=6500, below=0.8),
        BeardStyle("goatee", 0.085, 1.3, 0.4, 0.3, thick=8000, below=0.85),
        BeardStyle(
            "stubble", 0.015, 0.7, 0.5, 0.0, thick=12000, solid=0.42, below=0.75, fill=(0.25, 0.45)
        ),
        BeardStyle("sideburns", 0.085, 1.0, 0.25, 0.2, thick=8000),
    )
}


def _rise(value: Array, edge: Array | float, soft: float) -> Array:
    return np.asarray(smoothstep(0, 1, (value - edge) / (2 * soft) + 0.5))


def _moustache(place: Array, form: BeardForm) -> Array:
    x, y = np.abs(place[:, 0]), place[:, 1]
    top, low = np.interp(x, _LIP_X, _LIP_TOP) + form.lip, np.interp(x, _LIP_X, _LIP_LOW)
    philtrum = 1 - form.philtrum * np.exp(-((x / 0.03) ** 2))
    return np.asarray(
        _rise(y, top, 0.03) * _rise(-y, -low - 0.02, 0.025) * _rise(-x, -0.31, 0.05) * philtrum
    )


def _below_lip(x: Array, y: Array, form: BeardForm) -> Array:
    """Return 1 except on the mouth and on the bare patches beside the soul patch."""
    mouth = _rise(x, 0.28, 0.03) + _rise(y, 0.83, 0.025)
    bare = np.exp(-(((x - 0.16) / 0.075) ** 2) - ((y - 0.88) / 0.06) ** 2)
    corner = np.exp(-(((x - 0.33) / 0.05) ** 2) - ((y - 0.74) / 0.08) ** 2)
    return np.asarray(np.clip(mouth, 0, 1) * (1 - form.bare * bare) * (1 - form.corner * corner))


def _neck(place: Array, form: BeardForm) -> Array:
    """Return a density that falls off below the jaw."""
    return np.asarray(1 - _rise(place[:, 1], form.neck, 0.05))


def _cheek(x: Array, form: BeardForm) -> Array:
    """Return the height of the upper border at a distance from the middle line."""
    fall = np.interp(x, [0.26, 0.5, 0.72], [0.0, form.cheek, form.side])
    return np.asarray(np.interp(x, _CHEEK_X, _CHEEK_Y) + fall)


def _beard(place: Array, form: BeardForm) -> Array:
    x, y = np.abs(place[:, 0]), place[:, 1]
    cheek = _cheek(x, form)
    soft = np.interp(x, [0.3, 0.6, 0.75], [0.09, 0.15, 0.12])
    t = np.clip((y - cheek) / (2 * soft) + 0.5, 0, 1)
    noise = smooth_noise(place, form.seed, _PATCH_FREQUENCIES)
    patches = np.clip(0.85 + form.patches * noise, 0.3, 1)
    # Hair is thickest on chin and jaw, thinner on the cheeks.
    thick = np.interp(y - 0.55 * x, [0.1, 0.45, 0.8], [form.cheeks, 0.42 + 0.6 * form.cheeks, 1.0])
    full = t**1.8 * thick * patches * _below_lip(x, y, form) * _neck(place, form)
    return np.asarray(np.maximum(full, _moustache(place, form)))


def _goatee(place: Array, form: BeardForm) -> Array:
    x, y = np.abs(place[:, 0]), place[:, 1]
    wide = np.interp(y, [0.6, 0.75, 0.95, 1.15, 1.3], [0.37, 0.385, 0.36, 0.27, 0.2])
    wide = wide - form.side + 0.04
    chin = _rise(-x, -wide, 0.035) * _rise(y, 0.62, 0.03) * _below_lip(x, y, form)
    return np.asarray(np.maximum(chin * _neck(place, form), _moustache(place, form)))


def _stubble(place: Array, form: BeardForm) -> Array:
    thick = np.interp(place[:, 1], [0.2, 0.6, 0.9], [0.35, 0.7, 1.0])
    return np.asarray(_beard(place, form) * np.maximum(thick, 0.9 * _moustache(place, form)))


def _sideburns(place: Array, form: BeardForm) -> Array:
    x, y, z = np.abs(place[:, 0]), place[:, 1], place[:, 2]
    long = _rise(y, -0.2, 0.06) * _rise(-y, -0.5, 0.07)
    return np.asarray(
        long * _rise(z, np.interp(y, [-0.2, 0.1, 0.5], [0.46, 0.38, 0.4]), 0.07) * (x > 0.5)
    )


DENSITIES = {
    "beard": _beard,
    "moustache": _moustache,
    "goatee": _goatee,
    "stubble": _stubble,
    "sideburns": _sideburns,
}


def flow(place: Array) -> Array:
    """Return growth directions: down cheeks and chin, outwards on the upper lip."""
    x, y = place[:, 0], place[:, 1]
    out = np.stack([-0.12 * np.sign(x) - 0.15 * x, np.ones(len(x)), np.zeros(len(x))], 1)
    lip = _moustache(place, BeardForm())[:, None]
    across = np.stack([np.clip(x / 0.06, -1, 1) * 0.9, 0.35 + 1.1 * np.abs(x), np.zeros(len(x))], 1)
    chin = _rise(y, 0.95, 0.1)[:, None] * np.exp(-((x / 0.25) ** 2))[:, None]
    return np.asarray(
        (1 - lip) * (out + chin * np.stack([-0.8 * x, 0 * x, 0 * x], 1)) + lip * across
    )


@lru_cache(maxsize=8)
def beard_hair_roots(name: str, form: BeardForm) -> HairRoots:
    """Return the hairs of one beard style in a person's form."""

    def density(place: Array) -> Array:
        return DENSITIES[name](place, form)

    return plant_hairs(density, flow, BEARD_STYLES[name].thick, form.seed)


@lru_cache(maxsize=16)
def beard_strokes(name: str, strength: float, form: BeardForm) -> HairStrokes:
    """Return one beard style at a strength; hairs are longest on the chin."""
    own, style = beard_hair_roots(name, form), BEARD_STYLES[name]
    low, rise = style.fill
    length = form.length * style.length * strength**style.power * _lengths(own.place, name, form)
    return comb_hairs(own, length, style.lift, style.sag, min(low + rise * strength, 1.0))


def _lengths(place: Array, name: str, form: BeardForm) -> Array:
    """Return (M,) lengths relative to the style's."""
    if name in ("stubble", "sideburns"):
        return np.ones(len(place))
    x, y = np.abs(place[:, 0]), place[:, 1]
    where = np.interp(y, [0.2, 0.55, 0.8, 1.08, 1.2], [0.55, 0.72, 0.9, 1.15, 0.8]) * np.interp(
        x, [0, 0.3, 0.75], [1.05, 1, 0.75]
    )
    where *= 0.35 + 0.65 * np.clip((y - _cheek(x, form)) / 0.16, 0, 1)
    return np.asarray(
        np.where(_moustache(place, form) > 0.3, 0.85 - 0.5 * np.maximum(x - 0.15, 0), where)
    )
