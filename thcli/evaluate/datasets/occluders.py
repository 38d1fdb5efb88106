"""Synthetic occluders with true masks: a hand in the face's own colours, a dark microphone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Face, Image

# Palm and fingers of a hand that reaches up: ends and width of each capsule in hand lengths, the
# thumb last.
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
    """An occluder made of capsules.

    parts: two ends and a width for each capsule.
    length: of one unit, in face heights.
    path: time 0..1 -> position of the tip in face heights from the face's middle, and turn in
    radians.
    tint: factors of red, green and blue on the cheeks' colour; None for a dark object.
    """

    name: str
    parts: tuple[tuple[tuple[float, float], tuple[float, float], float], ...]
    length: float
    path: Callable[[float], tuple[float, float, float]]
    tint: tuple[float, float, float] | None = None


def _reach(t: float) -> tuple[float, float, float]:
    """Return the path of a hand that comes from below, strokes over the face and leaves."""
    there = float(smoothstep(0.3, 0.42, t) - smoothstep(0.58, 0.7, t))
    across = float(smoothstep(0.38, 0.62, t))
    return 0.3 - 0.45 * across, 1.3 - 1.25 * there, 0.35 - 0.6 * across


def _speak(t: float) -> tuple[float, float, float]:
    """Return the path of a microphone that is held before the mouth and changes hands."""
    there = float(smoothstep(0.3, 0.42, t) - smoothstep(0.6, 0.72, t))
    return -0.25 + 0.4 * float(smoothstep(0.38, 0.64, t)), 1.1 - 0.85 * there, 0.3 - 0.5 * t


OCCLUDERS = (
    # Turned from the light, and redder than the face.
    Occluder("hand", _HAND, 0.9, _reach, (0.84, 0.76, 0.74)),
    # Worst case: the cheek's own colour.
    Occluder("pale hand", _HAND, 0.9, _reach, (1.0, 1.0, 1.0)),
    Occluder("microphone", _MICROPHONE, 0.9, _speak),
)


def occlude(
    clip: Iterable[tuple[Image, Face]], occluder: Occluder, count: int, seed: int = 0
) -> Iterator[tuple[Image, Array32]]:
    """Generate the images of a clip with an occluder, each with its coverage (H, W) 0..1.

    Skin has the colour of the cheeks in the first frame, and is shaded towards the edges.

    Args:
        clip: images with their true faces.
        occluder: shape and path.
        count: number of frames.
        seed: of the texture.
    """
    colour: Array | None = None
    for number, (image, face) in enumerate(clip):
        assert face.mesh is not None
        if colour is None:
            colour = _base_colour(occluder, image, face)
        shape, relief = _render(occluder, face, image.shape[1::-1], number / max(count - 1, 1))
        rng = np.random.default_rng([seed, 17])
        noise = rng.normal(0, 1, (*image.shape[:2], 1)).astype(np.float32)
        texture = cv2.GaussianBlur(noise, (0, 0), 2.0)
        strength = 30.0 if occluder.tint is None else 8.0
        own = colour * (0.72 + 0.33 * relief[..., None]) + strength * texture[..., None]
        mixed = image + shape[..., None] * (own - image)
        yield np.asarray(np.rint(np.clip(mixed, 0, 255)), np.uint8), shape


def _base_colour(occluder: Occluder, image: Image, face: Face) -> Array:
    if occluder.tint is None:
        return np.array([60.0, 60, 66])
    assert face.mesh is not None
    where = np.rint(face.mesh[[50, 280, 117, 346, 205, 425], :2]).astype(int)
    patches = (image[y - 2 : y + 3, x - 2 : x + 3] for x, y in where)
    cheeks = np.median([patch.reshape(-1, 3).mean(0) for patch in patches], axis=0)
    return np.asarray(cheeks * occluder.tint)


def _render(
    occluder: Occluder, face: Face, size: tuple[int, int], time: float
) -> tuple[Array32, Array32]:
    """Return coverage and relief of the shape, both (H, W) 0..1.

    The relief is 1 on the ridge of each part and 0 at its edges.
    """
    assert face.mesh is not None
    low, high = face.mesh[:, :2].min(0), face.mesh[:, :2].max(0)
    height = float(high[1] - low[1])
    x, y, turn = occluder.path(time)
    tip = (low + high) / 2 + height * np.array([x, y])
    c, s = np.cos(turn), np.sin(turn)
    axes = height * occluder.length * np.array([[c, -s], [s, c]])
    across, down = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in size))
    cover, relief = np.zeros(size[::-1], np.float32), np.zeros(size[::-1], np.float32)
    for first, second, width in occluder.parts:
        a, b = tip + axes @ np.array(first), tip + axes @ np.array(second)
        axis, length = (b - a).astype(np.float32), np.float32((b - a) @ (b - a))
        right, below = across - np.float32(a[0]), down - np.float32(a[1])
        along = np.clip((right * axis[0] + below * axis[1]) / length, 0, 1)
        distance = np.hypot(right - along * axis[0], below - along * axis[1])
        radius = height * occluder.length * width / 2
        cover = np.maximum(cover, np.clip((radius - distance) / 1.5 + 0.5, 0, 1))
        relief = np.maximum(relief, np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, 1)))
    return cover.astype(np.float32), relief.astype(np.float32)
