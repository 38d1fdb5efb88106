"""Things drawn in front of a moving face, with their true masks: a hand in the face's own colours, a dark microphone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Face, Image

# Fingers and palm of a hand that reaches up, in hand lengths: both ends and the width of each part, the thumb last.
_HAND = (
    ((0.0, 0.95), (0.0, 0.5), 0.32),
    ((-0.11, 0.45), (-0.13, 0.06), 0.11),
    ((-0.035, 0.42), (-0.04, 0.0), 0.11),
    ((0.04, 0.42), (0.05, 0.03), 0.11),
    ((0.11, 0.47), (0.14, 0.13), 0.1),
    ((-0.18, 0.62), (-0.3, 0.36), 0.1),
)
_MICROPHONE = (((0.0, 0.02), (0.0, 0.1), 0.26), ((0.0, 0.15), (0.0, 1.2), 0.12))


@dataclass(frozen=True, slots=True)
class Occluder:
    """parts: capsules, each two ends and a width.  length: of one unit, in face heights.  path: time 0..1 through the clip -> where the
    tip is, in face heights from the face's middle, and how far the whole is turned, radians.  tint: of red, green and blue, over those of the face's cheeks; None for a dark thing."""

    name: str
    parts: tuple[tuple[tuple[float, float], tuple[float, float], float], ...]
    length: float
    path: Callable[[float], tuple[float, float, float]]
    tint: tuple[float, float, float] | None = None


def _reach(t: float) -> tuple[float, float, float]:
    """From below to cheek and mouth, a stroke over the face, and away, within a third of the clip."""
    there = float(smoothstep(0.3, 0.42, t) - smoothstep(0.58, 0.7, t))
    across = float(smoothstep(0.38, 0.62, t))
    return 0.3 - 0.45 * across, 1.3 - 1.25 * there, 0.35 - 0.6 * across


def _speak(t: float) -> tuple[float, float, float]:
    """Held before the mouth, and taken from one hand into the other."""
    there = float(smoothstep(0.3, 0.42, t) - smoothstep(0.6, 0.72, t))
    return -0.25 + 0.4 * float(smoothstep(0.38, 0.64, t)), 1.1 - 0.85 * there, 0.3 - 0.5 * t


OCCLUDERS = (
    Occluder(
        "hand", _HAND, 0.9, _reach, (0.84, 0.76, 0.74)
    ),  # turned from the light, and redder, as hands are
    Occluder(
        "pale hand", _HAND, 0.9, _reach, (1.0, 1.0, 1.0)
    ),  # the worst case: the cheek's own colour
    Occluder("microphone", _MICROPHONE, 0.9, _speak),
)


def covered(
    clip: Iterable[tuple[Image, Face]], what: Occluder, count: int, seed: int = 0
) -> Iterator[tuple[Image, Array32]]:
    """A clip with something before its face: each picture, and how much of every pixel it covers, (H, W) 0..1.

    count: frames of the clip.  Skin has the brightness and colour of this face's cheeks in the first frame, rounded off towards the edges.
    """
    colour: Array | None = None
    for number, (picture, face) in enumerate(clip):
        assert face.mesh is not None
        if colour is None:
            colour = (
                np.array([60.0, 60, 66])
                if what.tint is None
                else _cheeks(picture, face) * what.tint
            )
        shape, relief = _drawn(what, face, picture.shape[1::-1], number / max(count - 1, 1))
        rng = np.random.default_rng([seed, 17])
        texture = cv2.GaussianBlur(
            rng.normal(0, 1, (*picture.shape[:2], 1)).astype(np.float32), (0, 0), 2.0
        )
        strength = 30.0 if what.tint is None else 8.0
        own = colour * (0.72 + 0.33 * relief[..., None]) + strength * texture[..., None]
        mixed = picture + shape[..., None] * (own - picture)
        yield np.asarray(np.rint(np.clip(mixed, 0, 255)), np.uint8), shape


def _cheeks(picture: Image, face: Face) -> Array:
    assert face.mesh is not None
    where = np.rint(face.mesh[[50, 280, 117, 346, 205, 425], :2]).astype(int)
    return np.asarray(
        np.median(
            [picture[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).mean(0) for x, y in where], axis=0
        )
    )


def _drawn(
    what: Occluder, face: Face, size: tuple[int, int], time: float
) -> tuple[Array32, Array32]:
    """The shape's cover and its relief, both (H, W) 0..1: 1 on the ridge of each part, 0 at its edges."""
    assert face.mesh is not None
    low, high = face.mesh[:, :2].min(0), face.mesh[:, :2].max(0)
    height = float(high[1] - low[1])
    x, y, turn = what.path(time)
    tip = (low + high) / 2 + height * np.array([x, y])
    c, s = np.cos(turn), np.sin(turn)
    axes = height * what.length * np.array([[c, -s], [s, c]])
    across, down = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in size))
    cover, relief = np.zeros(size[::-1], np.float32), np.zeros(size[::-1], np.float32)
    for first, second, width in what.parts:
        a, b = tip + axes @ np.array(first), tip + axes @ np.array(second)
        way, length = (b - a).astype(np.float32), np.float32((b - a) @ (b - a))
        right, below = across - np.float32(a[0]), down - np.float32(a[1])
        along = np.clip((right * way[0] + below * way[1]) / length, 0, 1)
        distance = np.hypot(right - along * way[0], below - along * way[1])
        radius = height * what.length * width / 2
        cover = np.maximum(cover, np.clip((radius - distance) / 1.5 + 0.5, 0, 1))
        relief = np.maximum(relief, np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, 1)))
    return cover.astype(np.float32), relief.astype(np.float32)
