"""A mouth's inside without a driver's picture: the source's own as far as it shows, and a drawn one: teeth, tongue, cavity.

Lengths are millimetres of a usual adult head, fitted to the face's own axes; the upper teeth belong to the skull, the lower ones and
the tongue to the jaw, and both are lit by the tone of the skin around the mouth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import CHIN, LIPS
from thcli.engines.mesh.opening import Opening
from thcli.engines.mesh.sampling import look_up

EYES_APART, NOSE_LONG = 90.0, 50.0  # mm: outer corners 33-263, root to base of the nose 168-2
NOSE_ROOT, NOSE_BASE, UPPER_LIP, LOWER_LIP = 168, 2, 13, 14
BEHIND_LIPS = 6.0  # mm
UPPER_EDGE = (19.0, 25.0)  # mm below the nose's base where the upper teeth may end
SHOWS_UPPER, SHOWS_LOWER = 2.0, 3.0  # mm of teeth beyond the closed lips
MOST_LOWER = 4.2  # mm of the lower teeth that the lip ever uncovers
SHOWS_PARTED = 2.0  # mm more under lips that are parted in the source
UPPER_TEETH = np.array(
    [0.0, 8.4, 15.0, 22.0, 27.5, 32.0]
)  # mm from the middle line: where one ends and the next begins
LOWER_TEETH = np.array([0.0, 5.3, 11.0, 17.5, 23.5, 29.0])
BRIGHT = 1.1  # of enamel against skin
UPPER_TALL, LOWER_TALL = 10.0, 8.5  # mm
OPENS = (0.015, 0.06)  # gap / width between which the inside appears
ALIKE = (
    0.05,
    0.3,
)  # |log| of target gap / source gap up to which the source's own inside is simply stretched
OWN = (0.03, 0.07)  # the same of a source whose own inside is worth showing


@dataclass(frozen=True, slots=True)
class Inside:
    """Of the source. upper: (2,) mm from the nose's base to the middle of the upper teeth's edge.  lower: from the chin to that of the lower.

    lips: the source's own opening.  tone: (3,) colour of the skin around the mouth.
    """

    upper: Array
    lower: Array
    lips: Opening
    tone: Array


def axes(mesh: Array) -> Array:
    """(3, 2) rows: a millimetre along the eyes, down the nose and out of the face, in pixels of the picture."""
    across = (mesh[263] - mesh[33]) / EYES_APART
    down = (mesh[NOSE_BASE] - mesh[NOSE_ROOT]) / NOSE_LONG
    out = -np.cross(across, down)
    out *= np.linalg.norm(across) / max(float(np.linalg.norm(out)), 1e-9)
    return np.stack([across[:2], down[:2], out[:2]])


def _millimetres(offset: Array, ax: Array) -> Array:
    plane = ax[:2]
    area = plane[0, 0] * plane[1, 1] - plane[0, 1] * plane[1, 0]
    if abs(area) < 1e-9:
        return np.zeros(2)
    return np.asarray(np.linalg.solve(plane.T, offset))


def prepare(mesh: Array, tone: Array) -> Inside:
    """mesh: (468, 3) pixels."""
    ax, flat = axes(mesh), mesh[:, :2]
    upper = _millimetres(flat[UPPER_LIP] - flat[NOSE_BASE], ax)
    lower = _millimetres(flat[LOWER_LIP] - flat[CHIN], ax)
    lips = opening.opening(mesh, LIPS)
    shows = SHOWS_UPPER + SHOWS_PARTED * float(smoothstep(*OWN, lips.gap))
    upper[1] = np.clip(upper[1] + shows, *UPPER_EDGE)
    return Inside(upper, lower - (0, SHOWS_LOWER), lips, tone)


def draw(out: Image, picture: Image, inside: Inside, source: Array, target: Array) -> None:
    """Draws the inside between the target's lips, in place. source, target: (468, 3) meshes in pixels of the picture."""
    place = opening.opening(target, LIPS)
    own = float(smoothstep(*OWN, inside.lips.gap))
    alike = 1 - float(
        smoothstep(*ALIKE, abs(np.log(max(place.gap, 1e-3) / max(inside.lips.gap, 1e-3))))
    )
    shown = float(smoothstep(*OPENS, place.gap)) * (1 - own * alike)
    where = opening.pixels(place, (out.shape[1], out.shape[0]), 0.06)
    if shown <= 0 or where is None:
        return
    u, v = opening.coordinates(place, where)
    rims = place.rims(u)
    ax = axes(target)
    edge = target[NOSE_BASE, :2] + inside.upper @ ax[:2] - BEHIND_LIPS * ax[2]
    jaw = target[CHIN, :2] + inside.lower @ ax[:2] - BEHIND_LIPS * ax[2]
    above = _millimetres(target[LOWER_LIP, :2] - BEHIND_LIPS * ax[2] - jaw, ax)[1]
    jaw = jaw + max(above - MOST_LOWER, 0.0) * ax[1]
    colour = _made(where, (u, v), rims, place, (edge, jaw, ax), inside.tone)
    if own > 0:
        _own(colour, own, picture, inside, source, where, (edge, ax))
    mask = opening.cover(
        place, u, v, (rims[0] + 0.01, rims[1] - 0.01), max(1.5, 0.035 * place.width)
    )
    opening.blend(out, where, shown * mask, colour)


def _made(
    where: tuple[slice, slice],
    uv: tuple[Array32, Array32],
    rims: tuple[Array32, Array32],
    place: Opening,
    anchors: tuple[Array, Array, Array],
    tone: Array,
) -> Array32:
    """The drawn inside, (h, w, 3) float32."""
    edge, jaw, ax = anchors
    u, v = uv
    mm = np.float32(place.width / max(float(np.linalg.norm(ax[0])), 1e-6))  # of the mouth's width
    x, y = _plane(where, edge, ax)
    jaw_x, jaw_y = _plane(where, jaw, ax)
    under_lip, over_lip = (v - rims[0]) * mm, (rims[1] - v) * mm
    gap = np.float32(max(place.gap, 0.0)) * mm
    light = np.float32(min(float(tone.mean()), 235.0))
    skin = tone.astype(np.float32)

    deep = np.float32(0.45) + np.float32(0.75) * np.clip(
        1 - over_lip / np.maximum(under_lip + over_lip, 1e-3), 0, 1
    )
    colour = deep[..., None] * skin * np.array([0.38, 0.20, 0.19], np.float32)

    tall = np.float32(np.clip(0.72 * gap, 1.0, 22.0))
    round_ = np.sqrt((jaw_x / 19) ** 2 + (over_lip / tall) ** 2)
    tongue = (1 - smoothstep(0.7, 1.05, round_)).astype(np.float32) * np.float32(
        smoothstep(5, 10, gap)
    )
    flesh = (
        skin
        * np.array([0.82, 0.52, 0.52], np.float32)
        * (np.float32(1.05) - np.float32(0.45) * np.clip(round_, 0, 1))[..., None]
    )
    colour += tongue[..., None] * (flesh - colour)

    soft = np.float32(max(0.35, 1.0 / max(float(np.linalg.norm(ax[0])), 1e-6)))
    lower = _teeth(
        jaw_x, -(jaw_y + np.float32(0.012) * jaw_x**2), LOWER_TEETH, LOWER_TALL, soft, skin, light
    )
    shade = np.float32(0.80) * (1 - np.float32(0.8) * smoothstep(9, 22, np.abs(jaw_x))).astype(
        np.float32
    )
    colour += lower[1][..., None] * (lower[0] * shade[..., None] - colour)

    upper = _teeth(x, y + np.float32(0.010) * x**2, UPPER_TEETH, UPPER_TALL, soft, skin, light)
    shade = (np.float32(0.78) + np.float32(0.22) * smoothstep(0, 3.0, under_lip)).astype(np.float32)
    shade *= (1 - np.float32(0.75) * smoothstep(11, 25, np.abs(x))).astype(np.float32)
    colour += upper[1][..., None] * (upper[0] * shade[..., None] - colour)
    corner = smoothstep(0.0, 0.16, np.minimum(u, 1 - u)).astype(np.float32)
    return np.asarray(colour * (np.float32(0.35) + np.float32(0.65) * corner)[..., None])


def _plane(where: tuple[slice, slice], origin: Array, ax: Array) -> tuple[Array32, Array32]:
    """Millimetres right of and below a point of the picture, of every pixel of a patch."""
    rows, columns = where
    plane = ax[:2]
    area = plane[0, 0] * plane[1, 1] - plane[0, 1] * plane[1, 0]
    area = area if abs(area) > 1e-6 else 1e-6
    x = (np.arange(columns.start, columns.stop) - origin[0]).astype(np.float32)[None]
    y = (np.arange(rows.start, rows.stop) - origin[1]).astype(np.float32)[:, None]
    a, b = np.float32(plane[1, 1] / area), np.float32(-plane[1, 0] / area)
    c, d = np.float32(-plane[0, 1] / area), np.float32(plane[0, 0] / area)
    return a * x + b * y, c * x + d * y


def _teeth(
    x: Array32,
    y: Array32,
    borders: Array,
    tall: float,
    soft: np.float32,
    skin: Array32,
    light: np.float32,
) -> tuple[Array32, Array32]:
    """One row of teeth: colour (h, w, 3) and cover (h, w). x: mm from the middle line.  y: mm beyond the biting edge (negative: on the tooth)."""
    away = np.abs(x)
    which = np.clip(
        np.searchsorted(borders, away.ravel(), "right").reshape(away.shape) - 1, 0, len(borders) - 2
    )
    left, wide = borders.astype(np.float32)[which], np.diff(borders).astype(np.float32)[which]
    side = 2 * (away - left) / wide - 1  # -1..1 over one tooth
    shorter = np.array([0.0, 0.9, 0.2, 1.2, 2.0], np.float32)[which]
    beyond = y + shorter + np.float32(0.9) * np.abs(side) ** 5
    cover = np.clip(np.float32(0.5) - beyond / (2 * soft), 0, 1) * (away < borders[-1])
    body = np.float32(1.0) - np.float32(0.13) * side**2  # round, from side to side
    gaps = 1 - np.float32(0.17) * smoothstep(0.80, 1.0, np.abs(side)).astype(np.float32)
    tip = 1 - np.float32(0.10) * smoothstep(-1.8, 0.0, beyond).astype(
        np.float32
    )  # the biting edge is glassy
    enamel = (
        np.float32(BRIGHT)
        * light
        * np.array([1.16, 1.11, 1.03], np.float32)
        * (skin / max(float(skin.mean()), 1.0)) ** np.float32(0.45)
    )
    colour = enamel * (body * gaps * tip)[..., None]
    gum = smoothstep(tall - 1.0, tall + 0.4, -beyond + np.float32(1.4) * side**2).astype(np.float32)
    colour += gum[..., None] * (skin * np.array([0.78, 0.46, 0.46], np.float32) - colour)
    return np.minimum(colour, 250), cover.astype(np.float32)


def _own(
    colour: Array32,
    share: float,
    picture: Image,
    inside: Inside,
    source: Array,
    where: tuple[slice, slice],
    anchors: tuple[Array, Array],
) -> None:
    """Lays what the source's own open mouth shows over the drawn inside, in place; it belongs to the skull."""
    edge, ax = anchors
    x, y = _plane(where, edge, ax)
    own_ax = axes(source)
    start = source[NOSE_BASE, :2] + inside.upper @ own_ax[:2] - BEHIND_LIPS * own_ax[2]
    (a, b), (c, d) = own_ax[:2].astype(np.float32)
    there = np.stack(
        [np.float32(start[0]) + a * x + c * y, np.float32(start[1]) + b * x + d * y], -1
    )
    lips = inside.lips
    local = (there - lips.corner.astype(np.float32)) @ (
        lips.axes.T / (lips.axes[0] @ lips.axes[0])
    ).astype(np.float32)
    u, v = local[..., 0], local[..., 1]
    rims = lips.rims(u)
    valid = opening.cover(lips, u, v, (rims[0] + 0.02, rims[1] - 0.03), max(2.0, 0.08 * lips.width))
    seen = look_up(picture, there)
    colour += (np.float32(share) * valid)[..., None] * (seen - colour)
