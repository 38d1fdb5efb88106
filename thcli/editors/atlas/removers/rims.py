"""Glasses taken off a texture: rims are replaced, what is behind lenses keeps its own detail."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array32, Image
from thcli.editors.atlas.removers.outline import lens_outlines
from thcli.editors.atlas.removers.parts import (
    PARTS,
    canonical_places,
    code_texture,
    decode_texture,
    eye_openings,
    lens_window,
    ring_mask,
)
from thcli.faces.landmarks.topology import BROWS

_BROAD = 6.0  # samples: deviation below which a difference is a rim or a reflection, not a tint
_RIM = 11  # samples; wider structures of the texture are no rims
_SHARP = (0.05, 0.12)  # soft logarithms of such a difference: below the first skin, above it a rim
_SURE = (0.12, 0.45)  # of the network's mask, likewise
_WORN = (0.06, 0.12)  # mean of the mask: bare faces have .02 at most, faces with glasses .16
_ZONE, _BESIDE = (0.08, 0.2), 15  # of the mask, near lenses; samples by which that is widened
_THIN = 4  # samples: half the width of a line that may be a pale rim
_LINE = (0.018, 2.0)  # least soft logarithms between such a line and the skin, and over its grain
_NOSE = (0.2, 0.12)  # canonical: half width and top of the nose, whose edges are no rims
_LONG = 16  # samples: shorter lines are no rims
_SOME = 0.3  # share of a line above which its samples are joined
_GROWN = 7  # samples: width of the dilation of rims
_CLEAR, _FEWEST = 0.06, 50  # soft logarithms by which gains of clear lenses differ; samples
_NEAR, _FAR = 2.5, 10.0  # samples: deviations of the means around a rim


class Uncovered(NamedTuple):
    """A part of a face without its glasses.

    target: (height, width, 3) soft logarithms of the skin that replaces rims.
    solid: (height, width) 0..1, share of `target`: 1 on rims, 0 on skin and behind lenses.
    gain: (height, width, 3) soft logarithms that are added elsewhere: without tints and shadows.
    """

    target: Array32
    solid: Array32
    gain: Array32


def take_off(texture: Array32, bare: Array32, mask: Array32, skin: Array32) -> Uncovered:
    """Separate rims from tints.

    Args:
        texture: (height, width, 3) soft logarithms with glasses.
        bare: likewise, as the network expects it without.
        mask: (height, width) 0..1 of the network, where it differs.
        skin: (height, width) 0..1, visible skin whose colours may be continued below rims.

    Returns:
        What replaces rims, where they are, and the change of what is beside them.
    """
    change = mask[..., None] * (bare - texture)
    sharp = np.abs(change - _blur(change, _BROAD)).max(-1)
    coded = code_texture(texture)
    around = decode_texture(np.asarray(cv2.medianBlur(coded, 2 * _RIM + 1), np.uint8))
    narrow = np.abs(texture - around).max(-1)
    found = smoothstep(*_SHARP, np.minimum(sharp, narrow)) * smoothstep(*_SURE, mask)
    found = np.maximum(found, _pale_rims(texture, coded, mask, skin))
    wide = cv2.dilate(found.astype(np.float32), np.ones((_GROWN, _GROWN), np.uint8))
    solid = _blur(np.asarray(wide, np.float32), _GROWN / 4)
    free = np.clip(1 - 1.5 * solid, 0, 1) * np.clip(skin, 0, 1)
    gain = _mean_around(change, free)
    # What replaces a rim meets the skin beside it: the network's colours may be off as a whole.
    target = bare + _mean_around(texture + gain - bare, free)
    whole = gain + solid[..., None] * (target - texture - gain)
    return Uncovered(target, solid, _clear_eyes(gain, whole, skin))


def _clear_eyes(gain: Array32, change: Array32, skin: Array32) -> Array32:
    """Return the gain with the tint of each lens taken off the eye behind it.

    Eyes keep their own pixels, and a lens with a tint is replaced as a whole, so that the gain
    does not know the tint: it is what the skin behind that lens changes by.

    Args:
        gain: (height, width, 3) soft logarithms.
        change: likewise, with what is replaced.
        skin: as in `take_off`.
    """
    window = PARTS["eyes"].window
    lens = lens_window()[0][window] & (skin > _SOME)
    across = canonical_places()[window][..., 0]
    out = gain.copy()
    for side in (across < 0, across > 0):
        if (lens & side).sum() < _FEWEST:
            continue
        lacking = np.median(change[lens & side], axis=0) - gain
        lacking = np.sign(lacking) * np.maximum(np.abs(lacking) - np.float32(_CLEAR), 0)
        out += (eye_openings()[window] * side)[..., None] * lacking
    return np.asarray(out, np.float32)


def _pale_rims(texture: Array32, coded: Image, mask: Array32, skin: Array32) -> Array32:
    """Return (height, width) 0..1, long thin lines around lenses: rims of the skin's brightness.

    The network sees that such glasses are worn, but not where their rims are.

    Args:
        texture: as in `take_off`.
        coded: the texture as bytes.
        mask: as in `take_off`.
        skin: likewise.
    """
    worn = smoothstep(*_WORN, float(mask.mean()))
    if not worn:
        return np.zeros(mask.shape, np.float32)
    around = decode_texture(np.asarray(cv2.medianBlur(coded, 2 * _THIN + 1), np.uint8))
    lenses = smoothstep(*_ZONE, mask).astype(np.float32)
    near = cv2.dilate(lenses, np.ones((_BESIDE, _BESIDE), np.uint8))
    brows = ring_mask(BROWS, 1, 1.0)[PARTS["eyes"].window]
    places = canonical_places()[PARTS["eyes"].window]
    nose = (np.abs(places[..., 0]) < _NOSE[0]) & (places[..., 1] > _NOSE[1])
    free = near * skin * (1 - brows) * ~nose
    seen = free > _SOME
    if not seen.any():
        return np.zeros(mask.shape, np.float32)
    thin = np.abs(texture - around).max(-1)
    least, over = _LINE
    least = max(least, over * float(np.median(thin[seen], axis=None)))
    line = smoothstep(least, 2 * least, thin) * free
    joined = cv2.dilate((line > _SOME).astype(np.uint8), np.ones((3, 3), np.uint8))
    _, labels, sizes, _ = cv2.connectedComponentsWithStats(joined)
    extent = np.hypot(sizes[:, cv2.CC_STAT_WIDTH], sizes[:, cv2.CC_STAT_HEIGHT])
    long = extent >= _LONG
    long[0] = False
    outlines = lens_outlines(thin / least, free)
    return np.asarray(worn * np.maximum(line * long[labels], outlines), np.float32)


def _mean_around(values: Array32, weight: Array32) -> Array32:
    """Return the local mean (height, width, 3) of values, of a wider one where few count."""
    near, far = (_sums(values, weight, deviation) for deviation in (_NEAR, _FAR))
    wide = far[..., :3] / (far[..., 3:] + np.float32(1e-3))
    return np.asarray(
        (near[..., :3] + np.float32(0.05) * wide) / (near[..., 3:] + np.float32(0.05)), np.float32
    )


def _sums(values: Array32, weight: Array32, deviation: float) -> Array32:
    """Return blurred weighted values and weights (height, width, 4)."""
    return _blur(np.concatenate([values * weight[..., None], weight[..., None]], -1), deviation)


def _blur(values: Array32, deviation: float) -> Array32:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), deviation), np.float32)
