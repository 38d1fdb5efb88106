"""Appearance of a face in a few numbers: colours, light, blur and size, averaged over the clip."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.editors.drawn.hair_guard import hair_of_head, hanging_hair
from thcli.editors.drawn.light import measure_light
from thcli.editors.drawn.sharpness import estimate_blur
from thcli.faces.parsing.classes import BROWS, HAIR, LIPS, SKIN, group_probability
from thcli.motion.canonical import decompose

_MIDLINE = (168, 6, 197, 195, 5, 8, 9, 151, 10)  # bridge and ridge of the nose, forehead
_EYES_AND_BROWS = (33, 133, 263, 362, 70, 300, 105, 334, 107, 336)
_TEMPLES = (127, 356, 234, 454, 162, 389, 116, 345)
_NOSE_AND_CHEEKS = (122, 351, 193, 417, 50, 280)
# Mesh points that determine the head's pose and the fit of glasses.
ANCHORS = np.array([*_MIDLINE, *_EYES_AND_BROWS, *_TEMPLES, *_NOSE_AND_CHEEKS], np.intp)
_WORK = 128  # side of the image that colours are measured in, pixels
_FEW, _USUAL_SPREAD = 40, 0.3  # fewer pixels of hair tell no spread; this one is assumed
LOG_FLOOR = 6.0  # levels of 255: smaller differences of brightness are noise
_LIPS_OF_SKIN = np.array([0.8, 0.65, 0.65])  # colour of lips that are not seen
_SURE = 0.75  # probability of a region; pixels below may be mixed with their surroundings


@dataclass(frozen=True, slots=True)
class Appearance:
    """Numbers of one face, or their mean over a clip.

    skin, hair, brow, lips: (3,) RGB 0..255; medians, of the brows that of their darker half.
    hair_share: share of the crop.
    hair_spread: standard deviation of the hair's log brightness.
    hanging: (2,) 0..1, how surely hair hangs on the left and on the right of the image.
    light: (4,) log brightness of skin: a constant and a slope along the surface normal in image
    axes (see `light.measure_light`).
    blur: standard deviation in pixels of the image's own blur.
    jaw: (3,), width of the jaw over the cheeks', height of the chin and of the upper lip,
    canonical.
    anchors: (len(ANCHORS), 3), canonical (see `motion.canonical`).
    """

    skin: Array
    hair: Array
    brow: Array
    lips: Array
    hair_share: Array
    hair_spread: Array
    hanging: Array
    light: Array
    blur: Array
    jaw: Array
    anchors: Array

    def to_array(self) -> Array32:
        """Return all values as (L,) float32."""
        values = [np.ravel(getattr(self, field.name)) for field in fields(self)]
        return np.concatenate(values).astype(np.float32)

    @staticmethod
    def from_array(row: Array32) -> Appearance:
        """Return the appearance of an array of `to_array`."""
        parts = np.split(np.asarray(row, np.float64), np.cumsum([3, 3, 3, 3, 1, 1, 2, 4, 1, 3]))
        skin, hair, brow, lips, share, spread, hanging, light, blur, jaw, anchors = parts
        corners = anchors.reshape(-1, 3)
        return Appearance(skin, hair, brow, lips, share, spread, hanging, light, blur, jaw, corners)


APPEARANCE_SIZE = 24 + 3 * len(ANCHORS)


def measure(crop: Image, mesh: Array, regions: Array32) -> Appearance:
    """Measure the appearance of one crop.

    Args:
        crop: (S, S, 3).
        mesh: (468, 3), pixels of the crop.
        regions: (19, S', S') probabilities.
    """
    size = (_WORK, _WORK)
    reduced = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    small = reduced.reshape(-1, 3).astype(np.float64)

    hanging = hanging_hair(mesh, len(crop), regions)

    def share(group: frozenset[int]) -> Array32:
        plane = (
            hair_of_head(crop, mesh, regions, hanging)
            if group == HAIR
            else group_probability(regions, group)
        )
        return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32).ravel()

    skin_share, hair_share, brow_share = share(SKIN), share(HAIR), share(BROWS)
    skin = _median(small, skin_share, np.array([170.0, 130.0, 110.0]))
    brow = _median(small, brow_share, 0.45 * skin, darker=True)
    hair = _median(small, hair_share, brow)
    posed = decompose(mesh)
    return Appearance(
        skin,
        hair,
        brow,
        _median(small, share(LIPS), _LIPS_OF_SKIN * skin),
        np.array([hair_share.mean()]),
        np.array([_spread(small, hair_share)]),
        hanging,
        measure_light(crop, mesh, regions),
        np.array([estimate_blur(crop, mesh)]),
        _jaw(posed.shape),
        posed.shape[ANCHORS],
    )


def _jaw(shape: Array) -> Array:
    """Return `Appearance.jaw` of a canonical shape (468, 3)."""
    (left, right, far_left, far_right), (base, lip, chin) = (
        shape[[172, 397, 234, 454], 0],
        shape[[2, 0, 152], 1],
    )
    return np.array([(right - left) / max(far_right - far_left, 1e-3), chin, lip - base])


def _median(pixels: Array, share: Array32, otherwise: Array, *, darker: bool = False) -> Array:
    """Return the median colour (3,) of the pixels that surely belong to a region.

    Args:
        pixels: (N, 3).
        share: (N,) probability of the region.
        otherwise: colour where too few pixels belong to it.
        darker: take the darker half of the pixels.
    """
    chosen = pixels[share > _SURE]
    if len(chosen) < 6:
        chosen = pixels[share > _SURE / 2]
    if len(chosen) < 6:
        return otherwise
    if darker:
        grey = chosen.mean(1)
        chosen = chosen[grey <= np.median(grey)]
    return np.asarray(np.median(chosen, axis=0))


def _spread(pixels: Array, share: Array32) -> float:
    """Return the spread of the log brightness of the surest hair, from its quantiles.

    Args:
        pixels: (N, 3).
        share: (N,) probability of hair.
    """
    chosen = pixels[share > _SURE]
    if len(chosen) < _FEW:
        return _USUAL_SPREAD
    low, high = np.quantile(np.log(chosen.mean(1) + LOG_FLOOR), (0.16, 0.84))
    return float(high - low) / 2
