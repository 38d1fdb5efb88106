"""What a head does by itself while somebody talks: it sways and nods, looks about a little, lifts its brows, blinks.

Pieces of real heads' motion (data/heads.safetensors, made by tools/make_head_motion.py from GRID, CC BY 4.0) follow one another in an
order drawn from a seed, each fading into the next; larger while somebody speaks. Every number follows from the seed and the time
alone, so that windows of any size give the same motion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array

RATE = 25  # rows a second of the pieces
HOP = 1.48  # seconds from one piece to the next: half of a piece
COLUMNS = 8  # rotation vector, log scale, shift, brows
SWAY = 1.5  # of the pieces: their speakers sat still, as they were told
QUIET = 0.35  # of it remains while nobody speaks
DRIFT_EVERY = 2.6  # seconds
DRIFT = np.radians(
    [1.1, 2.4, 1.0]
)  # deviations of where the head turns meanwhile: pitch, yaw, roll
SETTLES = 1.2  # seconds in which the motion begins, from the source's own pose
LOOKS_EVERY = 1.1  # seconds
LOOKS = (
    0.55,
    0.025,
    0.012,
)  # how often the eyes move on, and deviations of where to, in eye widths
SACCADE = 0.06  # seconds
HOLDS = 0.3  # eye widths that an iris goes back by when the head turns one radian: eyes stay on whom they talk to

Speaking = Callable[[Array], Array]
"""Seconds (T,) -> how much somebody speaks there, (T,) in 0..1."""


@dataclass(frozen=True, slots=True)
class Bearing:
    """Rows of time. turn: (T, 3) rotation vector in radians.  zoom: (T,) factor.  shift: (T, 3) in IOD.  brow: (T,) the slider.  gaze: (T, 2) eye widths, right and down."""

    turn: Array
    zoom: Array
    shift: Array
    brow: Array
    gaze: Array


@cache
def pieces() -> Array:
    """(N, 75, COLUMNS) float64 the bundled pieces."""
    from safetensors.numpy import load

    content = files("thcli.motion").joinpath("data/heads.safetensors").read_bytes()
    return np.asarray(load(content)["pieces"], np.float64)


def bearing(seconds: Array, seed: int, speaking: Speaking) -> Bearing:
    """How a head bears itself at times (T,) >= 0."""
    lively = QUIET + (1 - QUIET) * speaking(seconds)
    begun = smoothstep(0, SETTLES, seconds)
    rows = sway(seconds, seed) * (SWAY * lively * begun)[:, None]
    turn = rows[:, :3] + drift(seconds, seed) * begun[:, None]
    away = np.stack([turn[:, 1], -turn[:, 0]], -1) * HOLDS
    return Bearing(
        turn,
        np.exp(rows[:, 3]),
        rows[:, 4:7],
        rows[:, 7],
        away + glances(seconds, seed) * begun[:, None],
    )


def still(seconds: Array) -> Bearing:
    """A head that does nothing."""
    zeros = np.zeros((len(seconds), 3))
    return Bearing(zeros, np.ones(len(seconds)), zeros, zeros[:, 0], zeros[:, :2])


def sway(seconds: Array, seed: int) -> Array:
    """(T, COLUMNS): two pieces at a time, one fading out as the other fades in."""
    slot = np.floor(seconds / HOP).astype(int)
    out = np.zeros((len(seconds), COLUMNS))
    for number in np.unique(np.concatenate([slot, slot - 1])):
        piece = _drawn(seed, int(number))
        local = (seconds - number * HOP) * RATE
        inside = (local >= 0) & (local <= 2 * HOP * RATE)
        if inside.any():
            at = np.clip(local[inside], 0, len(piece) - 1)
            low = np.minimum(at.astype(int), len(piece) - 2)
            share = (at - low)[:, None]
            weight = (
                np.sin(np.pi * local[inside] / (2 * HOP * RATE)) ** 2
            )  # with the next piece's: 1
            out[inside] += weight[:, None] * (piece[low] * (1 - share) + piece[low + 1] * share)
    return out


def _drawn(seed: int, number: int) -> Array:
    """(75, COLUMNS) the piece of a slot: any, perhaps mirrored, perhaps backwards."""
    draw = np.random.default_rng([seed, 11, number + 1])
    table = pieces()
    piece = table[int(draw.integers(len(table)))]
    if draw.random() < 0.5:
        piece = piece * [1, -1, -1, 1, -1, 1, 1, 1]
    return np.asarray(piece[::-1] if draw.random() < 0.5 else piece)


def drift(seconds: Array, seed: int) -> Array:
    """(T, 3) radians: slow turns from one place to the next, level at each."""
    return _between(
        seconds,
        DRIFT_EVERY,
        lambda number: np.random.default_rng([seed, 12, number]).normal(0, DRIFT),
    )


def glances(seconds: Array, seed: int) -> Array:
    """(T, 2) eye widths: quick small movements, then rest."""
    slot = np.floor(seconds / LOOKS_EVERY).astype(int)
    out = np.zeros((len(seconds), 2))
    for number in np.unique(slot):
        here = slot == number
        before, now = _look(seed, int(number) - 1), _look(seed, int(number))
        start = number * LOOKS_EVERY + np.random.default_rng([seed, 13, int(number) + 2]).uniform(
            0, LOOKS_EVERY - SACCADE
        )
        moved = smoothstep(start, start + SACCADE, seconds[here])[:, None]
        out[here] = before + moved * (now - before)
    return out


def _look(seed: int, number: int) -> Array:
    """(2,) where the eyes rest at the end of a slot: into the camera, or a little beside it."""
    often, along, across = LOOKS
    draw = np.random.default_rng([seed, 14, number + 2])
    return np.asarray(draw.normal(0, (along, across)) if draw.random() < often else np.zeros(2))


def _between(seconds: Array, every: float, value: Callable[[int], Array]) -> Array:
    """(T, K) a curve through value(k) at k * every, level there."""
    at = seconds / every
    low = np.floor(at).astype(int)
    known = {int(k): value(int(k)) for k in np.unique(np.concatenate([low, low + 1]))}
    share = smoothstep(0, 1, at - low)[:, None]
    first, then = (np.stack([known[int(k)] for k in low + step]) for step in (0, 1))
    return np.asarray(first + share * (then - first))
