"""Hairs on the neutral face: positions of roots, growth directions, combed shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.faces.landmarks.surface import inward_normals
from thcli.faces.landmarks.topology import OVAL, POINTS, TRIANGLES
from thcli.motion.canonical import neutral

SHADES = 6  # groups of hairs by brightness
JOINTS = 4  # of a hair, from root to tip
_JAW = np.asarray(OVAL[8:29][::-1], np.intp)  # from ear to ear below the chin
# Two rings below the jaw, where a mesh has no points: factor of the width, then shift down and
# back in canonical units.
_RINGS = ((0.93, 0.035, 0.11), (0.88, 0.13, 0.25))
_RING_NORMAL = (0.0, 0.6, -0.8)
_FREQUENCIES = (30.0, 75.0)  # of the noise that forms locks, radians per canonical unit
_WIDE_FREQUENCIES = (9.0, 22.0)  # of the noise of wider patches

Density = Callable[[Array], Array]
"""Canonical positions (N, 3) on the neutral face -> density of hair (N,) 0..1."""
Flow = Callable[[Array], Array]
"""Canonical positions (N, 3) -> growth direction (N, 3) of any length."""


@dataclass(frozen=True, slots=True)
class HairRoots:
    """M hairs on the neutral face, sorted by the density at which they appear.

    corners, weights: (M, 3) points of `extend_below_jaw` and barycentric weights of each root.
    place, normal, flow: (M, 3) canonical position, surface normal and growth direction.
    rank: (M,) 0..1, rising.
    noise: (M, 4) standard normal numbers.
    clump: (M,) about -1..1, similar for neighbours, so that hairs form locks.
    patch: (M,) about -1..1, of wider patches that are lighter or darker.
    opacity: (M,) 0..1, lower where few hairs grow.
    """

    corners: npt.NDArray[np.intp]
    weights: Array
    place: Array
    normal: Array
    flow: Array
    rank: Array
    noise: Array
    clump: Array
    patch: Array
    opacity: Array


@dataclass(frozen=True, slots=True)
class HairStrokes:
    """Combed hairs, ready to render.

    corners, weights: (M, 3) of each root.
    joints: (M, 4, 3) canonical, relative to the root.
    shade: (M,) brightness group, 0..SHADES - 1.
    opacity: (M,) 0..1.
    """

    corners: npt.NDArray[np.intp]
    weights: Array32
    joints: Array32
    shade: npt.NDArray[np.intp]
    opacity: Array32


def extend_below_jaw(mesh: Array, rotation: Array, scale: float) -> Array:
    """Return a mesh with two rings below its jaw, (468 + 2 * 21, 3).

    Args:
        mesh: (468, 3).
        rotation, scale: of the head.
    """
    jaw = mesh[_JAW]
    middle = (jaw[0] + jaw[-1]) / 2
    own = (jaw - middle) @ rotation / scale
    rings = (own * (inward, 1, inward) + (0, down, back) for inward, down, back in _RINGS)
    return np.concatenate([mesh, *(middle + scale * ring @ rotation.T for ring in rings)])


def _surface() -> npt.NDArray[np.intp]:
    """Return the triangles of the mesh and of the rings below the jaw, with equal winding."""
    count = len(_JAW)
    rows = [_JAW, POINTS + np.arange(count), POINTS + count + np.arange(count)]
    below = []
    for upper, lower in pairwise(rows):
        for i in range(count - 1):
            below += [(upper[i], lower[i], upper[i + 1]), (upper[i + 1], lower[i], lower[i + 1])]
    return np.concatenate([TRIANGLES.astype(np.intp), np.array(below, np.intp)])


SURFACE = _surface()


def plant_hairs(density: Density, flow: Flow, count: int, seed: int) -> HairRoots:
    """Sample hair roots; the same ones for the same seed.

    Args:
        density: of hairs on the neutral face.
        flow: growth direction.
        count: hairs per canonical unit of area at density 1.
        seed: of the random numbers.
    """
    plain = extend_below_jaw(neutral(), np.eye(3), 1.0)
    ring_normals = np.tile(_RING_NORMAL, (len(plain) - POINTS, 1))
    outward = np.concatenate([-inward_normals(neutral()), ring_normals])
    a, b, c = (plain[SURFACE[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    rng = np.random.default_rng([seed, 0x4A12])
    which = rng.choice(len(SURFACE), int(count * area.sum()), p=area / area.sum())
    u, v = rng.random(len(which)), rng.random(len(which))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    weights = np.stack([1 - u - v, u, v], 1)
    place = np.einsum("mk,mkd->md", weights, plain[SURFACE[which]])
    noise, rank = rng.standard_normal((len(which), 4)), rng.random(len(which))
    thick = density(place)
    rank = rank / np.maximum(thick, 1e-9)
    keep = np.flatnonzero(rank < 1)
    keep = keep[np.argsort(rank[keep], kind="stable")]
    place, corners = place[keep], SURFACE[which[keep]]
    normal = np.einsum("mk,mkd->md", weights[keep], outward[corners])
    return HairRoots(
        corners,
        weights[keep],
        place,
        normal,
        flow(place),
        rank[keep],
        noise[keep],
        smooth_noise(place, seed, _FREQUENCIES),
        smooth_noise(place, seed + 1, _WIDE_FREQUENCIES),
        np.clip(0.12 + 1.05 * thick[keep], 0, 1),
    )


def smooth_noise(place: Array, seed: int, frequencies: tuple[float, float]) -> Array:
    """Return (N,) smooth random values at positions (N, 3), mean 0 and deviation about 0.6.

    Args:
        place: canonical positions.
        seed: of the random numbers.
        frequencies: least and most, radians per canonical unit.
    """
    rng = np.random.default_rng([seed, 0x3AF])
    waves = rng.standard_normal((14, 3))
    waves *= (rng.uniform(*frequencies, 14) / np.linalg.norm(waves, axis=1))[:, None]
    phases = place @ waves.T + rng.uniform(0, 2 * np.pi, 14)
    return np.asarray(np.cos(phases).sum(1) * (0.6 / np.sqrt(7)))


def comb_hairs(
    roots: HairRoots, length: Array, lift: float, sag: float, fill: float
) -> HairStrokes:
    """Return the hairs with their combed shapes.

    Args:
        roots: hairs.
        length: (M,) canonical units.
        lift: angle to the skin in radians, largest in the middle of the face.
        sag: drop of the tips, relative to the length.
        fill: 0..1, share of the hairs that are grown.
    """
    grown = slice(0, int(np.searchsorted(roots.rank, fill)))
    flow, normal = roots.flow[grown], roots.normal[grown]
    noise, clump = roots.noise[grown], roots.clump[grown, None]
    flat = flow - (flow * normal).sum(1, keepdims=True) * normal
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    aside = np.cross(normal, flat)
    turn = 0.15 * np.clip(noise[:, :1], -2, 2) + 0.3 * clump
    off = lift * np.clip(1.15 - 1.3 * np.abs(roots.place[grown, :1]), 0.35, 1)
    along_skin = (np.cos(turn) * flat + np.sin(turn) * aside) * np.cos(off)
    direction = along_skin + normal * np.sin(off) * (1 + 0.3 * noise[:, 1:2])
    long = length[grown] * np.clip(1 + 0.25 * noise[:, 2], 0.4, 1.5)
    t = np.linspace(0, 1, JOINTS)[None, :, None]
    curl = 0.25 * noise[:, 0, None, None] * aside[:, None] * t**2
    hang = sag * t**2 * np.array([0.0, 1.0, 0.15])
    joints = long[:, None, None] * (direction[:, None] * t + curl + hang)
    varied = 0.15 * noise[:, 3] + 0.15 * clump[:, 0] + 0.12 * roots.patch[grown]
    shade = np.clip(0.4 + varied, 0, 0.999)
    return HairStrokes(
        roots.corners[grown],
        roots.weights[grown].astype(np.float32),
        joints.astype(np.float32),
        (shade * SHADES).astype(np.intp),
        roots.opacity[grown].astype(np.float32),
    )
