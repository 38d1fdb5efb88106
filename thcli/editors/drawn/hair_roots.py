"""Hairs that grow on the neutral face: where their roots are, which way they lie, how they are combed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.editors.drawn.light import normals
from thcli.faces.landmarks.topology import POINTS, TRIANGLES
from thcli.motion.canonical import neutral

SHADES = 6  # groups of hairs of one brightness
_JOINTS = np.linspace(0, 1, 4)  # of a hair, from root to tip
_JAW = np.array(
    [
        "234",
        "93",
        "132",
        "58",
        "172",
        "136",
        "150",
        "149",
        "176",
        "148",
        "152",
        "377",
        "400",
        "378",
        "379",
        "365",
        "397",
        "288",
        "361",
        "323",
        "454",
    ],
    np.intp,
)
# Two rings below the jaw, where a mesh has no points: share of the way inwards, down and back (canonical units).
_UNDER = ((0.93, 0.035, 0.11), (0.88, 0.13, 0.25))
_BELOW = (0.0, 0.6, -0.8)  # the way out of the skin there
_LOCKS = (30.0, 75.0)  # waves by which neighbouring hairs are alike, radians a canonical unit

Density = Callable[[Array], Array]
"""(N, 3) canonical places on the neutral face -> (N,) 0..1, how thick hair grows there."""
Flow = Callable[[Array], Array]
"""(N, 3) places -> (N, 3) the way that hair lies there, of any length."""


@dataclass(frozen=True, slots=True)
class Growth:
    """M hairs on the neutral face, those that grow first before the others.

    corners, weights: (M, 3) of each root on points of `extended`.  place, normal, flow: (M, 3) canonical.  rank: (M,) 0..1, rising.
    dice: (M, 4) normal random numbers.  lock: (M,) about -1..1, alike for neighbours: hairs lie in locks.  firm: (M,) 0..1, finer
    where few grow.
    """

    corners: npt.NDArray[np.intp]
    weights: Array
    place: Array
    normal: Array
    flow: Array
    rank: Array
    dice: Array
    lock: Array
    firm: Array


@dataclass(frozen=True, slots=True)
class Hairs:
    """Combed hairs, ready to be drawn. corners, weights: (M, 3).  joints: (M, 4, 3) canonical, from the root on.  shade: (M,) 0..SHADES - 1.
    firm: (M,) 0..1."""

    corners: npt.NDArray[np.intp]
    weights: Array32
    joints: Array32
    shade: npt.NDArray[np.intp]
    firm: Array32


def extended(mesh: Array, rotation: Array, scale: float) -> Array:
    """(468 + 2 * 21, 3): a mesh with two rings under its jaw. rotation, scale: of its head."""
    jaw = mesh[_JAW]
    middle = (jaw[0] + jaw[-1]) / 2
    own = (jaw - middle) @ rotation / scale
    rings = (own * (inward, 1, inward) + (0, down, back) for inward, down, back in _UNDER)
    return np.concatenate([mesh, *(middle + scale * ring @ rotation.T for ring in rings)])


def _surface() -> npt.NDArray[np.intp]:
    """The mesh's triangles, and those between the jaw and the rings below it, wound alike."""
    count = len(_JAW)
    rows = [_JAW, POINTS + np.arange(count), POINTS + count + np.arange(count)]
    below = []
    for upper, lower in pairwise(rows):
        for i in range(count - 1):
            below += [(upper[i], lower[i], upper[i + 1]), (upper[i + 1], lower[i], lower[i + 1])]
    return np.concatenate([TRIANGLES.astype(np.intp), np.array(below, np.intp)])


SURFACE = _surface()


def planted(density: Density, flow: Flow, count: int, seed: int) -> Growth:
    """About `count` hairs for each canonical unit of area where the density is 1, always the same ones for a seed."""
    plain = extended(neutral(), np.eye(3), 1.0)
    outward = np.concatenate([normals(neutral()), np.tile(_BELOW, (len(plain) - POINTS, 1))])
    a, b, c = (plain[SURFACE[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    rng = np.random.default_rng([seed, 0x4A12])
    which = rng.choice(len(SURFACE), int(count * area.sum()), p=area / area.sum())
    u, v = rng.random(len(which)), rng.random(len(which))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    weights = np.stack([1 - u - v, u, v], 1)
    place = np.einsum("mk,mkd->md", weights, plain[SURFACE[which]])
    dice, rank = rng.standard_normal((len(which), 4)), rng.random(len(which))
    thick = density(place)
    rank = rank / np.maximum(thick, 1e-9)
    keep = np.flatnonzero(rank < 1)
    keep = keep[np.argsort(rank[keep], kind="stable")]
    place, corners = place[keep], SURFACE[which[keep]]
    normal = np.einsum("mk,mkd->md", weights[keep], outward[corners])
    return Growth(
        corners,
        weights[keep],
        place,
        normal,
        flow(place),
        rank[keep],
        dice[keep],
        _waves(place, seed),
        np.clip(0.25 + 0.95 * thick[keep], 0, 1),
    )


def _waves(place: Array, seed: int) -> Array:
    """(N,) a smooth random field over (N, 3) places, mean 0 and deviation about 0.6."""
    rng = np.random.default_rng([seed, 0x3AF])
    way = rng.standard_normal((14, 3))
    way *= (rng.uniform(*_LOCKS, 14) / np.linalg.norm(way, axis=1))[:, None]
    return np.asarray(
        np.cos(place @ way.T + rng.uniform(0, 2 * np.pi, 14)).sum(1) * (0.6 / np.sqrt(7))
    )


def combed(growth: Growth, length: Array, lift: float, sag: float, fill: float) -> Hairs:
    """The hairs as they lie. length: (M,) canonical units.  lift: radians that they stand off, most in the middle of the face.  sag: how much
    their tips hang down, over their length.  fill: share of them that have grown."""
    grown = slice(0, int(np.searchsorted(growth.rank, fill)))
    flow, normal, dice, lock = (
        growth.flow[grown],
        growth.normal[grown],
        growth.dice[grown],
        growth.lock[grown, None],
    )
    flat = flow - (flow * normal).sum(1, keepdims=True) * normal
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    aside = np.cross(normal, flat)
    turn = 0.26 * np.clip(dice[:, :1], -2, 2) + 0.3 * lock
    off = lift * np.clip(1.15 - 1.3 * np.abs(growth.place[grown, :1]), 0.35, 1)
    way = (np.cos(turn) * flat + np.sin(turn) * aside) * np.cos(off) + normal * np.sin(off) * (
        1 + 0.3 * dice[:, 1:2]
    )
    long = length[grown] * np.clip(1 + 0.25 * dice[:, 2], 0.4, 1.5)
    t = _JOINTS[None, :, None]
    curl = 0.25 * dice[:, 0, None, None] * aside[:, None] * t**2
    hang = sag * t**2 * np.array([0.0, 1.0, 0.15])
    joints = long[:, None, None] * (way[:, None] * t + curl + hang)
    shade = np.clip(0.46 + 0.2 * dice[:, 3] + 0.16 * lock[:, 0], 0, 0.999)
    return Hairs(
        growth.corners[grown],
        growth.weights[grown].astype(np.float32),
        joints.astype(np.float32),
        (shade * SHADES).astype(np.intp),
        growth.firm[grown].astype(np.float32),
    )
