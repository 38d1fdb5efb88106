"""Geometry of spectacle frames: rims, bridge and temples as strips of quadrilaterals.

Units are canonical (the distance of the outer eye corners, about 9 cm). Axes are those of the
image: x right, y down, z away from the camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from thcli.core.types import Array
from thcli.editors.drawn.appearance import ANCHORS
from thcli.motion.canonical import neutral

_AROUND, _ALONG, _ACROSS = 64, 26, 10  # segments of a rim, of a temple, of the bridge
_ROW = {int(point): row for row, point in enumerate(ANCHORS)}  # mesh point -> row of the anchors


@dataclass(frozen=True, slots=True)
class FrameStyle:
    """Shape and colour of a frame, in canonical units.

    half: half width and half height of a lens.
    square: exponent of its outline; 2 is an ellipse, larger values approach a rectangle.
    brow: widening of the upper outer corner.
    taper: narrowing of the lower nose side.
    rim: (width, depth) of the rim.
    temple: (height at the hinge, height at the ear).
    above: height of the lens's middle over the eyes.
    colour: (3,) RGB in full light.
    """

    half: tuple[float, float]
    square: float
    brow: float
    taper: float
    rim: tuple[float, float]
    temple: tuple[float, float]
    above: float
    colour: tuple[float, float, float]


READING = FrameStyle(
    (0.275, 0.192), 3.1, 0.03, 0.16, (0.025, 0.036), (0.046, 0.034), -0.02, (34.0, 26.0, 22.0)
)
DARK = FrameStyle(
    (0.3, 0.235), 2.9, 0.05, 0.24, (0.042, 0.05), (0.085, 0.05), -0.02, (24.0, 22.0, 21.0)
)
# Forms that are asked for; colour and, of dark glasses, the temples are those of the frame above.
_METAL = (0.016, 0.026)
_SHAPED: Mapping[str, Mapping[str, Any]] = {
    "round": {"half": (0.232, 0.222), "square": 2.0, "brow": 0.0, "taper": 0.0},
    "square": {"half": (0.285, 0.205), "square": 6.0, "brow": 0.015, "taper": 0.07},
    "aviator": {"half": (0.285, 0.245), "square": 2.5, "brow": 0.03, "taper": 0.4},
}
_RIMS: Mapping[str, tuple[float, float]] = {"round": (0.02, 0.03), "aviator": _METAL}
_TEMPLES = (0.03, 0.026)  # of thin rims


def shaped(style: FrameStyle, shape: str) -> FrameStyle:
    """Return a frame in a form of `attribute_table`: round, square, aviator; "" for its own."""
    if not shape:
        return style
    style = replace(style, **_SHAPED[shape])
    return replace(style, rim=_RIMS[shape], temple=_TEMPLES) if shape in _RIMS else style


@dataclass(frozen=True, slots=True)
class GlassesFrame:
    """Frame fitted to a head.

    quads: (Q, 4, 3) corners, clockwise from outside.
    along: (Q,) 0 for rims and bridge; for temples the share of the way from hinge to ear, 0..1.
    lenses: (2, N, 3) outlines.
    centres: (2, 3) their middles.
    """

    quads: Array
    along: Array
    lenses: Array
    centres: Array


def outline(style: FrameStyle, grown: float = 0.0, count: int = _AROUND) -> Array:
    """Return a lens outline (count, 2) around its middle, x away from the nose, y down.

    Args:
        style: of the frame.
        grown: outward offset.
        count: number of points.
    """
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    c, s = np.cos(turn), np.sin(turn)
    power = 2 / style.square
    x, y = np.sign(c) * np.abs(c) ** power, np.sign(s) * np.abs(s) ** power
    x = np.where(
        x > 0,
        x * (1 - style.brow / style.half[0] * y),
        x * (1 - style.taper * np.clip(y + 0.2, 0, 1) ** 1.5),
    )
    points = np.stack([style.half[0] * x, style.half[1] * y], 1)
    if grown:
        along = np.roll(points, -1, 0) - np.roll(points, 1, 0)
        normal = np.stack([along[:, 1], -along[:, 0]], 1)
        points = points + grown * normal / np.maximum(
            np.linalg.norm(normal, axis=1, keepdims=True), 1e-9
        )
    return np.asarray(points)


def fit_frame(style: FrameStyle, anchors: Array, thick: float = 1.0) -> GlassesFrame:
    """Fit a frame to a head.

    Args:
        style: of the frame.
        anchors: (len(ANCHORS), 3) of `Appearance`.
        thick: factor of the rim's width.
    """
    return _fit_frame(style, np.round(anchors, 4).tobytes(), round(thick, 3))


@lru_cache(maxsize=8)
def _fit_frame(style: FrameStyle, raw: bytes, thick: float) -> GlassesFrame:
    anchors = np.frombuffer(raw).reshape(-1, 3)

    def point(index: int) -> Array:
        found: Array = anchors[_ROW[index]]
        return found

    wide = (point(356)[0] - point(127)[0]) / (neutral()[356, 0] - neutral()[127, 0])
    eyes = (point(33) + point(133) + point(263) + point(362)) / 4
    apart = (point(263)[0] + point(362)[0] - point(33)[0] - point(133)[0]) / 4
    middle = (point(127)[0] + point(356)[0]) / 2 * 0.3 + point(168)[0] * 0.7
    rim, deep = style.rim[0] * thick, style.rim[1] * thick**0.5
    half = style.half[0] * wide
    centre = max(apart + 0.04 * wide, half + rim + 0.07)
    height = eyes[1] - style.above
    brows = min(point(105)[2] - 0.07, point(334)[2] - 0.07)
    front = min(point(6)[2] + 0.01, point(8)[2] - 0.03, brows)

    def wrap(x: Array, y: Array, z: Array) -> Array:
        """Place points of the front's plane around the face, the lower side nearer to it."""
        return np.stack([middle + x, height + y, front + z + 0.14 * x**2 + 0.14 * y], -1)

    quads, along, lenses, centres = [], [], [], []
    # Profile of the rim from the lens outwards: (distance outwards, distance backwards).
    profile = [(0.0, 0.5), (0.0, -0.3), (0.22, -0.5), (0.78, -0.5), (1.0, -0.3), (1.0, 0.5)]
    for side in (-1.0, 1.0):
        rings = []
        for out, back in profile:
            plane = outline(style, out * rim) * (wide, wide)
            depth = np.full(len(plane), back * deep)
            rings.append(wrap(side * (centre + plane[:, 0]), plane[:, 1], depth))
        strips = np.stack(rings)  # (P, N, 3)
        quads.append(_strips(strips, closed=True, flip=side < 0))
        lens = outline(style, 0.2 * rim) * (wide, wide)
        lenses.append(wrap(side * (centre + lens[:, 0]), lens[:, 1], np.zeros(len(lens))))
        centres.append(wrap(np.array(side * centre), np.array(0.0), np.array(0.0)))
    bridge = _bridge(centre - half, style, rim, deep, wide)
    quads.append(_strips(wrap(*np.moveaxis(bridge, -1, 0)), closed=False, flip=True))
    along += [np.zeros(sum(len(q) for q in quads))]
    for side, ear in ((-1.0, point(127)), (1.0, point(356))):
        hinge_x = side * (centre + half + 0.5 * rim)
        hinge = wrap(np.array(hinge_x), np.array(-0.1 * wide), np.array(0.0))
        ring, share = _temple(hinge, ear, side, style, deep, wide)
        strip = _strips(ring, closed=False, flip=side < 0)
        quads.append(strip)
        along.append(np.tile((share[:-1] + share[1:]) / 2, len(strip) // (len(share) - 1)))
    return GlassesFrame(
        np.concatenate(quads), np.concatenate(along), np.stack(lenses), np.stack(centres)
    )


def _strips(rings: Array, *, closed: bool, flip: bool) -> Array:
    """Return quadrilaterals (Q, 4, 3) between neighbouring lines (P, N, 3)."""
    following = np.roll(rings, -1, 1) if closed else rings[:, 1:]
    now = rings if closed else rings[:, :-1]
    quads = np.stack([now[:-1], following[:-1], following[1:], now[1:]], 2).reshape(-1, 4, 3)
    return quads[:, ::-1] if flip else quads


def _bridge(gap: float, style: FrameStyle, rim: float, deep: float, wide: float) -> Array:
    """Return (5, N, 3) lines across the nose, in the front's plane: an arch that bows forward."""
    x = np.linspace(-gap - 0.3 * rim, gap + 0.3 * rim, _ACROSS + 1)
    bow = 1 - (x / x[-1]) ** 2
    y = -0.3 * style.half[1] * wide - 0.035 * bow
    tall = 0.6 * rim + 0.01
    lines = []
    for up, back in ((0.5, 0.4), (0.5, -0.3), (0.0, -0.5), (-0.5, -0.3), (-0.5, 0.4)):
        lines.append(
            np.stack([x, y - up * tall * (1.25 - 0.25 * bow), back * deep - 0.03 * bow], -1)
        )
    return np.stack(lines)


def _temple(
    hinge: Array, ear: Array, side: float, style: FrameStyle, deep: float, wide: float
) -> tuple[Array, Array]:
    """Return (4, N, 3) lines from the hinge to behind the ear, and each position along it (N,)."""
    share = np.linspace(0, 1, _ALONG + 1)
    start = hinge + np.array([side * 0.02, 0, 0])
    corner = np.array(
        [max(abs(hinge[0]), abs(ear[0]) - 0.02) * side + side * 0.025, hinge[1], hinge[2] + 0.07]
    )
    end = np.array([ear[0] + side * 0.045, ear[1] - 0.13 * wide, ear[2] + 0.17])
    path = np.where(
        share[:, None] < 0.1,
        start + (corner - start) * (share[:, None] / 0.1),
        corner + (end - corner) * ((share[:, None] - 0.1) / 0.9),
    )
    tall = (style.temple[0] + (style.temple[1] - style.temple[0]) * np.minimum(share * 2, 1)) * wide
    thick = 0.5 * deep
    lines = []
    for up, out in ((-0.5, -1.0), (-0.5, 0.0), (0.5, 0.0), (0.5, -1.0)):
        line = path.copy()
        line[:, 1] -= up * tall
        line[:, 0] += side * out * thick
        lines.append(line)
    return np.stack(lines), share
