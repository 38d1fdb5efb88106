"""Hairs that grow on a face: roots pinned on its triangles, drawn one by one, each where the head and its expression carry it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.types import Array, Array32
from thcli.editors.drawn.light import looked_up, normals
from thcli.editors.drawn.scene import STEP, Scene
from thcli.faces.topology import TRIANGLES
from thcli.motion.canonical import neutral

FINE = 2  # samples to a pixel, each way
_JOINTS = np.linspace(0, 1, 4)  # of a hair, from root to tip
_SHADES = 6  # groups of hairs of one brightness, the dark ones below
_TIP = 0.5  # how much of a hair's cover its tip has
_FIRM = (0.3, 0.6, 1.0)  # cover of thin hairs to thick ones
_BEHIND = 0.06  # canonical units that a root may lie behind the nearest surface
_JAW = np.array("234 93 132 58 172 136 150 149 176 148 152 377 400 378 379 365 397 288 361 323 454".split(), np.int32)
# Two rings below the jaw, where a mesh has no points: share of the way inwards, down and back (canonical units).
_UNDER = ((0.93, 0.035, 0.11), (0.88, 0.13, 0.25))

Density = Callable[[Array], Array]
"""(N, 3) canonical places on the neutral face -> (N,) 0..1, how thick hair grows there."""
Flow = Callable[[Array], Array]
"""(N, 3) places -> (N, 3) the way that hair lies there, of any length."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Hairs on the neutral face. corners, weights: (M, 3) of each root on points of `extended`.  place: (M, 3).  normal, flow: (M, 3)
    canonical.  rank: (M,) 0..1, those of low rank grow first.  dice: (M, 4) normal random numbers.  lock: (M,) about -1..1, alike for
    neighbours: hairs lie in locks.  firm: (M,) 0..1, thinner where few grow."""

    corners: Array
    weights: Array
    place: Array
    normal: Array
    flow: Array
    rank: Array
    dice: Array
    lock: Array
    firm: Array


@dataclass(frozen=True, slots=True)
class Coat:
    """Drawn hairs. x0, y0: the first pixel.  shade, cover: (h, w) float32, brightness times cover and cover, 0..1."""

    x0: int
    y0: int
    shade: Array32
    cover: Array32

    @property
    def here(self) -> tuple[slice, slice]:
        height, width = self.cover.shape
        return slice(self.y0, self.y0 + height), slice(self.x0, self.x0 + width)


def extended(mesh: Array, rotation: Array, scale: float) -> Array:
    """(468 + 2 * 21, 3): a mesh with two rings under its jaw. rotation, scale: of its head."""
    jaw = mesh[_JAW]
    middle = (jaw[0] + jaw[-1]) / 2
    out = [mesh]
    for inward, down, back in _UNDER:
        own = (jaw - middle) @ rotation / scale
        own = own * (inward, 1, inward) + (0, down, back)
        out.append(middle + scale * own @ rotation.T)
    return np.concatenate(out)


def _skirt() -> Array:
    """Triangles between the jaw and the rings below it."""
    count = len(_JAW)
    rows = [_JAW, 468 + np.arange(count), 468 + count + np.arange(count)]
    out = []
    for upper, lower in zip(rows, rows[1:], strict=False):
        for i in range(count - 1):
            out += [(upper[i], lower[i], upper[i + 1]), (upper[i + 1], lower[i], lower[i + 1])]
    return np.array(out, np.int32)


SURFACE = np.concatenate([TRIANGLES, _skirt()])


def planted(density: Density, flow: Flow, count: int, seed: int) -> Growth:
    """About `count` hairs for each unit of area where the density is 1, always the same ones for a seed."""
    plain = extended(neutral(), np.eye(3), 1.0)
    outward = np.concatenate([normals(neutral()), np.tile((0.0, 0.6, -0.8), (len(plain) - 468, 1))])
    a, b, c = (plain[SURFACE[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    rng = np.random.default_rng([seed, 0x4A12])
    which = rng.choice(len(SURFACE), int(count * area.sum()), p=area / area.sum())
    u, v = rng.random(len(which)), rng.random(len(which))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    weights = np.stack([1 - u - v, u, v], 1)
    place = np.einsum("mk,mkd->md", weights, plain[SURFACE[which]])
    dice = rng.standard_normal((len(which), 4))
    rank = rng.random(len(which))
    thick = density(place)
    keep = rank < thick
    normal = np.einsum("mk,mkd->md", weights, outward[SURFACE[which]])
    place = place[keep]
    return Growth(
        SURFACE[which][keep], weights[keep], place, normal[keep], flow(place), (rank / np.maximum(thick, 1e-9))[keep], dice[keep],
        waves(place, 30.0, 75.0, seed), np.clip(0.25 + 0.95 * thick[keep], 0, 1),
    )  # fmt: skip


def waves(place: Array, low: float, high: float, seed: int) -> Array:
    """(N,) a smooth random field over (N, 3) places, mean 0 and deviation about 0.6. low, high: of its waves, radians a unit."""
    rng = np.random.default_rng([seed, 0x3AF])
    way = rng.standard_normal((14, 3))
    way *= (rng.uniform(low, high, 14) / np.linalg.norm(way, axis=1))[:, None]
    return np.asarray(np.cos(place @ way.T + rng.uniform(0, 2 * np.pi, 14)).sum(1) * (0.6 / np.sqrt(7)))


def drawn(
    scene: Scene, growth: Growth, length: Array, lift: float, sag: float, fill: float, solid: float, margin: float
) -> Coat | None:
    """The hairs as they are seen now; None where none is.

    length: (M,) canonical units.  lift: how far they stand off, 0 (flat) .. 1.  sag: how much their tips hang down.  fill: share of
    them that have grown.  solid: 0..1, how much one hair covers of what lies below.  margin: canonical units of room around them.
    """
    scale, rotation, _ = scene.pose
    grown = np.flatnonzero(growth.rank < fill)
    points = extended(scene.mesh, rotation, scale)
    tri = points[growth.corners[grown].astype(np.intp)]
    root = np.einsum("mk,mkd->md", growth.weights[grown], tri)
    seen = _seen(scene, tri, root)
    chosen = np.flatnonzero(seen > 0.15)
    if not len(chosen):
        return None
    grown, root = grown[chosen], root[chosen]
    lines = root[:, None] + scale * _offsets(growth, grown, length[grown], lift, sag) @ rotation.T
    room = margin * scale + 3
    low = np.maximum(np.floor(lines[..., :2].min((0, 1)) - room).astype(int), 0)
    high = np.minimum(np.ceil(lines[..., :2].max((0, 1)) + room + 1).astype(int), scene.side)
    if (high <= low).any():
        return None
    x0, y0 = int(low[0]), int(low[1])
    width, height = (high - low).tolist()
    canvas = np.zeros((height * FINE, width * FINE, 3), np.uint8)
    fine = np.rint((((lines[..., :2] - (x0, y0)) + 0.5) * FINE - 0.5) * 16).astype(np.int32)
    shade = np.clip(0.46 + 0.2 * growth.dice[grown, 3] + 0.16 * growth.lock[grown], 0, 1)
    group = np.minimum((shade * _SHADES).astype(int), _SHADES - 1)
    firm = np.minimum((growth.firm[grown] * seen[chosen] * len(_FIRM)).astype(int), len(_FIRM) - 1)
    for number in range(_SHADES):
        level = (number + 0.5) / _SHADES
        for part, thin in ((slice(2, 4), _TIP), (slice(0, 3), 1.0)):  # tips below, and finer
            for kind, strong in enumerate(_FIRM):
                own = list(fine[(group == number) & (firm == kind), part])
                if own:
                    alpha = 255 * strong * thin
                    cv2.polylines(canvas, own, False, (level * alpha, 0, alpha), 1, cv2.LINE_AA, 4)
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(float(scene.look.blur[0]) * 0.8, 0.45)).astype(np.float32) / np.float32(255)
    return Coat(x0, y0, small[..., 0] * np.float32(solid), small[..., 2] * np.float32(solid))


def _seen(scene: Scene, tri: Array, root: Array) -> Array:
    """(M,) how much a root shows: it faces us and nothing lies before it."""
    normal = np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    facing = np.abs(normal[:, 2]) * np.sign(-normal[:, 2] * _winding())
    scale = scene.pose[0]
    depth = np.where(np.isinf(scene.depth), np.float32(1e4), scene.depth)
    surface = looked_up(depth, root, STEP * depth.shape[0])
    return np.asarray(np.clip((facing + 0.12) / 0.2, 0, 1) * (root[:, 2] < surface + _BEHIND * scale))


def _winding() -> float:
    """1 when triangles of the mesh that face us have normals towards us as `np.cross` gives them, else -1."""
    return _WINDING


def _measured() -> float:
    a, b, c = (neutral()[TRIANGLES[:, i]] for i in range(3))
    return 1.0 if float(np.cross(b - a, c - a)[:, 2].sum()) < 0 else -1.0


_WINDING = _measured()


def _offsets(growth: Growth, grown: Array, length: Array, lift: float, sag: float) -> Array:
    """(M, 4, 3) from the root to each joint, canonical."""
    flow, normal, dice = growth.flow[grown], growth.normal[grown], growth.dice[grown]
    flat = flow - (flow * normal).sum(1, keepdims=True) * normal
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    aside = np.cross(normal, flat)
    turn = 0.26 * np.clip(dice[:, :1], -2, 2) + 0.3 * growth.lock[grown, None]
    way = np.cos(turn) * flat + np.sin(turn) * aside
    lift = lift * np.clip(1.15 - 1.3 * np.abs(growth.place[grown, :1]), 0.35, 1)
    way = way * np.cos(lift) + normal * np.sin(lift) * (1 + 0.3 * dice[:, 1:2])
    long = length * np.clip(1 + 0.25 * dice[:, 2], 0.4, 1.5)
    t = _JOINTS[None, :, None]
    curl = 0.25 * dice[:, 0, None, None] * aside[:, None] * t**2
    hang = sag * t**2 * np.array([0.0, 1.0, 0.15])
    return np.asarray(long[:, None, None] * (way[:, None] * t + curl + hang))
