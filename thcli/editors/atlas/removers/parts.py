"""Parts of the atlas that the remover sees, and the attributes that it removes from each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32, Image
from thcli.editors.atlas import layout, sampling, tone
from thcli.editors.atlas.regions import RegionName, region_mask
from thcli.faces.landmarks.topology import EYES, LIPS_INNER
from thcli.faces.parsing.classes import FACE, NECK, ClassGroup, class_number
from thcli.motion.canonical import neutral

FINE = 1.5
"""Samples of these textures to a sample of the atlas: 96 to the distance of the eye corners."""
ROWS, COLUMNS = round(layout.ROWS * FINE), round(layout.COLUMNS * FINE)
SEEN: ClassGroup = FACE | NECK | frozenset({class_number("eye_g")})
"""Regions whose texture counts as seen: the face, what is worn on it, and the throat."""

_LASHES = 4  # samples around an eye opening that count as the eye
_RAMP = 8  # samples over which a change fades at the border of a part

Indices = npt.NDArray[np.signedinteger[Any]]
PartName = Literal["eyes", "lower"]


@dataclass(frozen=True, slots=True)
class Part:
    """One rectangle of the fine atlas.

    top, left, height, width: in samples; the size is a multiple of 16.
    removes: attributes that the network can take off it.
    """

    top: int
    left: int
    height: int
    width: int
    removes: tuple[str, ...]

    @property
    def window(self) -> tuple[slice, slice]:
        """Return its rows and columns."""
        rows = slice(self.top, self.top + self.height)
        return rows, slice(self.left, self.left + self.width)


PARTS: dict[PartName, Part] = {
    "eyes": Part(60, 56, 80, 176, ("eyeglasses", "makeup")),
    "lower": Part(124, 48, 112, 192, ("beard", "makeup")),
}
REMOVABLE = tuple(dict.fromkeys(name for part in PARTS.values() for name in part.removes))
"""Attributes that the network is conditioned on, in this order."""


def unroll_face(image: Image, mesh: Array, seen: Array32) -> tuple[Array32, Array32]:
    """Unroll a face into the fine atlas.

    Args:
        image: (S, S, 3) uint8.
        mesh: (468, 3), pixels of the image.
        seen: (S', S') 0..1, probability of `SEEN`.

    Returns:
        Texture (ROWS, COLUMNS, 3) in soft logarithms, and visibility (ROWS, COLUMNS) 0..1.
    """
    points = layout.extend_mesh(mesh)
    at = sampling.sample_positions(points, FINE)
    facing = layout.rasterize(layout.facing_weights(mesh)[:, None], FINE)[..., 0]
    weight = sampling.unroll_plane(seen, at, len(image))
    texture = tone.to_log(sampling.unroll_image(image, at))
    return texture, np.clip(weight * facing, 0, 1).astype(np.float32)


def code_texture(texture: Array32) -> Image:
    """Store soft logarithms as uint8."""
    scaled = (texture - tone.LOW) * (255 / (tone.HIGH - tone.LOW))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def decode_texture(coded: Image) -> Array32:
    """Return the soft logarithms that `code_texture` stored."""
    step = np.float32((tone.HIGH - tone.LOW) / 255)
    return coded.astype(np.float32) * step + np.float32(tone.LOW)


@cache
def part_places(name: PartName) -> Array32:
    """Return the positions (2, height, width) of a part's samples in the atlas, about -1..1."""
    part = PARTS[name]
    y, x = np.mgrid[: part.height, : part.width].astype(np.float32)
    across = (x + part.left + np.float32(0.5)) / (COLUMNS / 2) - 1
    down = (y + part.top + np.float32(0.5)) / (ROWS / 2) - 1
    return np.stack([across, down])


def condition_row(name: str) -> Array32:
    """Return the condition (len(REMOVABLE),) of the network that removes one attribute."""
    return np.array([one == name for one in REMOVABLE], np.float32)


@cache
def part_ramp(name: PartName) -> Array32:
    """Return (height, width) 0..1: 0 at the border of a part; both parts share their overlap."""
    part = PARTS[name]
    y, x = np.mgrid[: part.height, : part.width].astype(np.float32) + np.float32(0.5)
    shared = PARTS["eyes"].top + PARTS["eyes"].height - PARTS["lower"].top
    above, below = (shared, _RAMP) if name == "lower" else (_RAMP, shared)
    sides = np.minimum(x, part.width - x) / _RAMP
    ends = np.minimum(y / above, (part.height - y) / below)
    return np.asarray(np.clip(np.minimum(sides, ends), 0, 1), np.float32)


@cache
def zone_mask(attribute: str) -> Array32:
    """Return (ROWS, COLUMNS) 0..1, where an attribute is removed: of some, a part of the face."""
    names: dict[str, tuple[RegionName, ...]] = {"moustache": ("upper_lip",), "lipstick": ("lips",)}
    if attribute not in names:
        return np.ones((ROWS, COLUMNS), np.float32)
    mask = np.max([region_mask(name) for name in names[attribute]], 0)
    return np.asarray(cv2.resize(mask, (COLUMNS, ROWS), interpolation=cv2.INTER_LINEAR), np.float32)


@cache
def canonical_places() -> Array32:
    """Return the canonical position (ROWS, COLUMNS, 3) of every sample, 0 outside the face."""
    return layout.rasterize(layout.extend_mesh(neutral()), FINE)


@cache
def lens_window() -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the samples (ROWS, COLUMNS) behind lenses, and those of the cheeks below them."""
    x, y = np.abs(canonical_places()[..., 0]), canonical_places()[..., 1]
    lens = (np.abs(x - 0.34) < 0.2) & (np.abs(y) < 0.12)
    return lens, (np.abs(x - 0.4) < 0.2) & (y > 0.33) & (y < 0.45)


@cache
def eye_openings() -> Array32:
    """Return (ROWS, COLUMNS) 0..1, the eyes: they move, so their own pixels always stay."""
    return ring_mask(EYES, _LASHES, 2.0)


@cache
def mouth_opening() -> Array32:
    """Return (ROWS, COLUMNS) 0..1, between the lips: teeth wear no make-up."""
    return ring_mask((LIPS_INNER,), 1, 1.0)


def ring_mask(rings: Iterable[Indices], grown: int, soft: float) -> Array32:
    """Return (ROWS, COLUMNS) 0..1, the inside of rings of the mesh.

    Args:
        rings: indices of points.
        grown: samples by which it is widened.
        soft: deviation of its blur, samples.
    """
    flat = (layout.unroll_points(neutral()) + 0.5) * FINE - 0.5
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    for ring in rings:
        cv2.fillPoly(mask, [np.rint(flat[ring] * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grown + 1, 2 * grown + 1))
    wide = cv2.GaussianBlur(cv2.dilate(mask, element), (0, 0), soft)
    return wide.astype(np.float32) / np.float32(255)


@cache
def cheek_window() -> npt.NDArray[np.bool_]:
    """Return the samples (ROWS, COLUMNS) of the cheeks, above a beard."""
    x, y = np.abs(canonical_places()[..., 0]), canonical_places()[..., 1]
    return (x > 0.2) & (x < 0.5) & (y > 0.3) & (y < 0.5)
