"""Drift of a coarse crop's colours from those of its source.

Engines change the colours of a still image slowly. The drift is the median difference where both
show the same surface: eyes that close, mouths that open and shadows of folds do not count.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep, three_channels
from thcli.core.types import Array32, Image
from thcli.engines.mesh.sampling import remap
from thcli.refiners.detail.texture import PlacedTexture, Texture

_SIDE = 64  # samples per side of a crop
_HEAD = 0.55  # radius of the samples from the middle, half sides
_AROUND = (0.5, 0.95)  # half sides from the middle between which changes of colour fade
_SEEN = 0.5  # visibility times agreement from which a sample counts
_RANGE = (16, 245)  # levels of 255 between which a sample has colours
_ENOUGH = (60, 180)  # samples between which the drift counts more and more
_DRIFT = (0.06, 0.12)  # of a channel, logarithm


def measure_drift(placed: PlacedTexture, texture: Texture, agreement: Array32) -> Array32:
    """Return the logarithm of the texture's colours over the crop's, (3,) float32.

    It falls to 0 as less and less of the source is seen.

    Args:
        placed: texture over the crop.
        texture: of the source.
        agreement: (n, n) float32 in 0..1, of the structure with the texture's.
    """
    reduced = placed.reduced
    known = remap(texture.weight, reduced.positions)
    seen = np.asarray(_samples(known) * _samples(placed.visibility) * _samples(agreement))
    own, other = _samples(reduced.image), _samples(reduced.texture)
    low, high = _RANGE
    in_range = np.all([(one.min(2) > low) & (one.max(2) < high) for one in (own, other)], 0)
    counted = (seen > _SEEN) & in_range & _in_head()
    count = np.count_nonzero(counted)
    if count <= _ENOUGH[0]:
        return np.zeros(3, np.float32)
    ratios = np.log(other[counted] / own[counted])
    return np.asarray(smoothstep(*_ENOUGH, count) * np.median(ratios, 0), np.float32)


def gains_against(drift: Array32) -> Array32:
    """Return the gain of each channel that undoes a drift, (3,) float32.

    A difference above _DRIFT is one of light, not a drift of the engine's colours, and stays.
    """
    size = float(np.abs(drift).max())
    share = np.float32(1 - smoothstep(*_DRIFT, size))
    return np.asarray(np.exp(share * drift), np.float32)


@lru_cache(maxsize=4)
def head_mask(side: int) -> Array32:
    """Return a soft mask of the head, in the middle of a square crop: (N, N, 3) 0..1, read-only."""
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    mask = three_channels(np.asarray(1 - smoothstep(*_AROUND, np.hypot(x, y)), np.float32))
    mask.flags.writeable = False
    return mask


def _samples(values: Image | Array32) -> Array32:
    """Reduce or enlarge values to _SIDE samples a side, float32."""
    shrinks = values.shape[0] > _SIDE
    resampling = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, (_SIDE, _SIDE), interpolation=resampling), np.float32)


def _in_head() -> npt.NDArray[np.bool_]:
    """Return (_SIDE, _SIDE) booleans: the samples around the middle of a crop."""
    axis = (np.arange(_SIDE) + 0.5) * 2 / _SIDE - 1
    return np.asarray(np.hypot(axis, axis[:, None]) < _HEAD, np.bool_)
