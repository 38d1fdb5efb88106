"""Back of a head and nape, which a turn shows behind an ear.

The ear of a frontal picture hides them, and a head that turns without them has an ear that stands
off, with the wall between it and the jaw. A head is about as broad from the side as from the front,
so that its outline stays where it is around an axis behind the face: what comes into view is the
source's own outline there, without the ear.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Crop, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.head.outline import LEFT_SIDE, RIGHT_SIDE, sine_of_yaw
from thcli.engines.mesh.sampling import box_mean, masked_mean, odd_size, remap
from thcli.faces.parsing.classes import EARS, GLASSES, HAIR, HEAD, NECK, SKIN, class_number
from thcli.faces.parsing.crops import Regions

SAMPLES = 64  # samples per face height of outlines and regions
HALF = 96  # samples from the axis to the sides of the regions, above and below
# Face heights from the middle of forehead and chin back to the axis. In 285 photographs of short
# hair the near outline lies .58 of them times the sine of the yaw further out than from the front;
# behind the ears of the engine's heads, which are `outline.HEAD_DEPTH` deep, that is too far
DEPTH = 0.5
LEAST_EAR = 0.008  # squares of the face's height of an ear that is seen
MOST_HAT, MOST_HAIR = 0.01, 0.1  # the same of a hat; share of hair in the outline below the ear
BELOW = 0.35  # face heights below the ear in which that is measured
# Face heights above and below the ear between which the outline is made; over which it is smoothed
MADE, SMOOTH = (0.05, 0.08), 0.07
BEYOND_EAR = 0.02  # face heights that it lies beyond the ear at most: hair that stands off is seen
# Face heights above the ear from which the outline falls back to where the head is seen, and slope
CROWN, FALL = 0.2, 0.5
# Face heights inside the outline from which texture is read, how far, and over which rows: of hair
# above the ear, of the neck below it; density over that of the regions
FRINGE, DEEP, HAIR_ROWS, NECK_ROWS, FINE = 0.025, 0.15, (0.5, 0.04), (0.04, 0.4), 2
OWN = (0.5, 0.9)  # probability of hair or skin from which it is texture
# Light of hair and neck over that of the strip, what is lost at the outline, and how far inside
HAIR_LIGHT, NECK_LIGHT = (0.95, 0.15, 0.1), (0.95, 0.2, 0.2)
FEW = 0.02  # share of such pixels around one, below which it takes the mean of all
# Squares of the face's height of hair above the ear, below which the head is bald, unless that side
# of it has more of it
LEAST_HAIR, MOST_BALD = 0.01, 0.03
LEAST_TEXTURE = 0.002  # the same of pixels that make up a texture

Bools = npt.NDArray[np.bool_]
Pixels = TypeVar("Pixels", bound=npt.NDArray[Any])


@dataclass(frozen=True, slots=True)
class Texture:
    """Texture of a strip inside an outline, (rows, columns, 3) uint8; columns run inwards.

    top: face heights of its first row below the axis' middle.  A sample is 1 / (SAMPLES * FINE).
    """

    pixels: Image
    top: float


@dataclass(frozen=True, slots=True)
class HeadSide:
    """Side of a head whose ear is seen.

    side: -1 on the image's left, 1 on its right.  edge: (2 HALF,) face heights from the axis to the
    outline, from HALF samples above its middle on.  ear: face heights of its top and its lobe below
    that.  hair, neck: texture above the lobe, and below.
    """

    side: int
    edge: Array32
    ear: tuple[float, float]
    hair: Texture
    neck: Texture


@dataclass(frozen=True, slots=True)
class BackOfHead:
    """Back of a source's head.

    axis: (3,) pixels of its middle.  along: (2, 2) unit vectors to the right and down along the
    face.  height: of the face in pixels.  sine: of the yaw.
    background: (2 HALF, 2 HALF) float32 in 0..1, what the parser sees as such around the axis.
    """

    axis: Array
    along: Array
    height: float
    sine: float
    sides: tuple[HeadSide, ...]
    background: Array32


def prepare(image: Image, mesh: Array, regions: Regions) -> BackOfHead | None:
    """Measure the outline and the texture of a head beside its ears; None where none is seen.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        regions: of the face, down to the shoulders.
    """
    height = anatomy.face_height(mesh)
    downwards = mesh[anatomy.CHIN] - mesh[anatomy.FOREHEAD]
    back = np.cross(mesh[RIGHT_SIDE] - mesh[LEFT_SIDE], downwards)
    back /= max(float(np.linalg.norm(back)), 1e-6)
    axis = (mesh[anatomy.FOREHEAD] + mesh[anatomy.CHIN]) / 2 + DEPTH * height * back
    along = anatomy.face_axes(mesh)
    linear = along * SAMPLES / height
    placement = np.eye(3)
    placement[:2] = np.c_[linear, HALF - 0.5 - linear @ axis[:2]]
    around = Crop(placement, (2 * HALF, 2 * HALF))
    labels, foreground = regions.labels_and_foreground_in(around)
    seen = _Seen(
        image,
        labels,
        np.dstack([regions.mask_in(around, group) for group in (HAIR, SKIN | NECK)]),
        np.asarray(np.linalg.inv(placement), np.float64),
    )
    found = [_find_side(seen, side) for side in (-1, 1)]
    sides = tuple(side for side in found if side is not None)
    if not sides:
        return None
    return BackOfHead(axis, along, height, sine_of_yaw(mesh), sides, 1 - foreground)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A head around its axis.

    image: (H, W, 3) uint8.  labels: (2 HALF, 2 HALF) regions.
    masks: (2 HALF, 2 HALF, 2) float32, of hair and of bare skin.
    frame_from_samples: (3, 3).
    """

    image: Image
    labels: Image
    masks: Array32
    frame_from_samples: Array


def _find_side(seen: _Seen, side: int) -> HeadSide | None:
    """Measure a side of a head (-1 or 1); None where its ear is hidden, or hair hangs below it.

    Also where hair is seen on the head, but not above the ear.
    """
    labels, masks = _beside(seen.labels, side), _beside(seen.masks, side)
    square = SAMPLES**2
    ear, hair = _is_of(labels, EARS), _is_of(labels, HAIR)
    hat = _is_of(seen.labels, {class_number("hat")})
    if ear.sum() < LEAST_EAR * square or hat.sum() > MOST_HAT * square:
        return None
    rows = np.flatnonzero(ear.any(1))
    top, lobe = int(rows[0]), int(rows[-1])
    own = _is_of(labels, HEAD | NECK | GLASSES)
    width = np.where(own.all(1), HALF, np.argmin(own, 1))
    below = _rows(lobe + 1, lobe + BELOW * SAMPLES)
    inside = np.arange(HALF) < width[:, None]
    if (hair & inside)[below].sum() > MOST_HAIR * max(int(inside[below].sum()), 1):
        return None
    outline = _without_ear(width, top, lobe)
    depth = outline[:, None] - np.arange(HALF)
    strip = (depth > FRINGE * SAMPLES) & (depth < (FRINGE + DEEP) * SAMPLES)
    above = _rows(top - HAIR_ROWS[0] * SAMPLES, top - HAIR_ROWS[1] * SAMPLES)
    is_bald = (hair & strip)[above].sum() < LEAST_HAIR * square
    if is_bald and hair.sum() > MOST_BALD * square:
        return None
    scalp = masks[..., int(is_bald)] * strip
    beneath = _rows(lobe + NECK_ROWS[0] * SAMPLES, lobe + NECK_ROWS[1] * SAMPLES)
    read = partial(_read, seen, side, outline)
    hair_texture = read(scalp, above, HAIR_LIGHT)
    neck_texture = read(masks[..., 1] * strip, beneath, NECK_LIGHT)
    if hair_texture is None or neck_texture is None:
        return None
    edge = _shown_edge(outline, top, int(np.flatnonzero(ear.any(0))[-1]))
    return HeadSide(side, edge, (_height_of(top), _height_of(lobe)), hair_texture, neck_texture)


def _without_ear(width: npt.NDArray[np.intp], top: int, lobe: int) -> Array:
    """Return samples (2 HALF,) from the axis to the outline of a head without its ear.

    Args:
        width: (2 HALF,) samples of head and neck in each row, with the ear.
        top, lobe: first and last row of the ear.
    """
    outline = width.astype(np.float64)
    first, last = (round(reach * SAMPLES) for reach in MADE)
    first, last = max(top - first, 0), min(lobe + last, len(outline) - 1)
    # a skull is broad down to the middle of the ear
    share = smoothstep(0.0, 1.0, np.linspace(0.0, 1.0, last - first + 1))
    outline[first : last + 1] = outline[first] + share * (outline[last] - outline[first])
    return outline


def _shown_edge(outline: Array, top: int, ear: int) -> Array32:
    """Return the outline (2 HALF,) of what a turn shows, in face heights.

    Args:
        outline: (2 HALF,) samples of the head's.
        top: first row of the ear.
        ear: samples from the axis to its rim.
    """
    edge = np.minimum(outline, ear + BEYOND_EAR * SAMPLES)
    edge -= FALL * np.maximum(top - CROWN * SAMPLES - np.arange(len(edge)), 0)
    size = odd_size(SMOOTH * SAMPLES)
    smooth = box_mean(box_mean(edge[:, None].astype(np.float32), size), size)[:, 0]
    return np.asarray(smooth / SAMPLES, np.float32)


def _read(
    seen: _Seen,
    side: int,
    outline: Array,
    mask: Array32,
    rows: slice,
    light: tuple[float, float, float],
) -> Texture | None:
    """Read the texture inside an outline; what a mask leaves out is made of what it holds.

    Args:
        seen: the head.
        side: -1 or 1.
        outline: (2 HALF,) samples from the axis.
        mask: (2 HALF, HALF) of samples from the axis outwards, 0..1.
        rows: of the outline.
        light: HAIR_LIGHT or NECK_LIGHT.
    """
    inwards = np.arange(0, DEEP * SAMPLES, 1 / FINE) + FRINGE * SAMPLES
    row = np.arange(rows.start, rows.stop, 1 / FINE)
    across = np.interp(row, np.arange(len(outline)), outline)[:, None] - inwards
    row = np.broadcast_to(row[:, None], across.shape)
    places = np.stack([across, row], -1).astype(np.float32)
    share = smoothstep(*OWN, remap(np.ascontiguousarray(mask), places))
    if share.sum() < LEAST_TEXTURE * (SAMPLES * FINE) ** 2:
        return None
    samples = np.stack([HALF - (side < 0) + side * across, row, np.ones_like(across)], -1)
    at = samples @ seen.frame_from_samples[:2].T
    pixels = remap(seen.image, at.astype(np.float32)).astype(np.float32)
    # what lies apart from the mask takes its mean
    size = odd_size(DEEP * SAMPLES * FINE)
    plain, known = masked_mean(pixels, share, size), box_mean(share, size)
    mean = (pixels * share[..., None]).sum((0, 1)) / share.sum()
    plain += np.exp(-known / FEW)[..., None] * (mean - plain)
    plain += share[..., None] * (pixels - plain)
    level, lost, reach = light
    plain *= (level - lost * (1 - smoothstep(0, reach * SAMPLES, inwards)))[:, None]
    return Texture(np.asarray(cv2.convertScaleAbs(plain), np.uint8), _height_of(rows.start))


def _beside(values: Pixels, side: int) -> Pixels:
    """Return the half of samples (2 HALF, 2 HALF, ...) on a side, from the axis outwards."""
    half = values[:, HALF:] if side > 0 else values[:, HALF - 1 :: -1]
    return half  # type: ignore[return-value]  # of the same type


def _is_of(labels: Image, classes: frozenset[int] | set[int]) -> Bools:
    return np.isin(labels, list(classes))


def _rows(first: float, last: float) -> slice:
    """Return some rows of the samples from face heights times SAMPLES; at least two."""
    start = min(max(round(first), 0), 2 * HALF - 2)
    return slice(start, max(min(round(last), 2 * HALF), start + 2))


def _height_of(row: float) -> float:
    """Return the face heights of a row below the middle of the axis."""
    return (row - HALF + 0.5) / SAMPLES
