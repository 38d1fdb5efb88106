"""Edges of an occlusion: its mask refined by the colours of the occluder, and by the image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import to_uint8
from thcli.core.types import Array, Array32
from thcli.faces.compositing.guided_filter import guided_filter

# Window in pixels of the crop, and variance of an edge, of the guided filter.
_GUIDE_RADIUS, _GUIDE_SMOOTHNESS = 3, 0.0008
_BINS = 26  # per axis of the colour histograms
# Probability from which a pixel samples the occluder's colours; below a tenth, the face's.
_SEED_PROBABILITY = 0.6
_MAX_LOG_ODDS = 3.0  # limit of the colour evidence
_MIN_PIXELS = 25  # fewer give no colour histogram


def refine_mask(probability: Array32, image: npt.NDArray[Any], face: Array32) -> Array32:
    """Refine an occlusion mask by colours, and align it with the edges of the image.

    Args:
        probability: (h, w) 0..1 of an occlusion.
        image: (h, w, 3) uint8 or uint16.
        face: (h, w) 0..1, region to search.

    Returns:
        The occlusion mask, (h, w) 0..1.
    """
    shallow = to_uint8(image)
    lab = cv2.cvtColor(shallow, cv2.COLOR_RGB2LAB)
    smooth = cv2.GaussianBlur(lab, (0, 0), 0.8).astype(np.int32)
    bins = [
        np.clip((smooth[..., i] - low) // width, 0, _BINS - 1)
        for i, (low, width) in enumerate(((0, 10), (88, 3), (88, 3)))
    ]
    bin_index = np.ravel((bins[0] * _BINS + bins[1]) * _BINS + bins[2])
    inside = face > 0.5
    guide, current = shallow.astype(np.float32) / np.float32(255), probability
    for _ in range(2):  # the second time with better histograms
        seeds = [
            np.clip((sign * current - low) / (1 - _SEED_PROBABILITY), 0, 1)
            for sign, low in (
                (1, _SEED_PROBABILITY),
                (-1, -0.25 * (1 - _SEED_PROBABILITY)),
            )
        ]
        front, behind = (_colour_histogram(bin_index, np.where(inside, s, 0)) for s in seeds)
        if front is None or behind is None:
            return np.where(inside, np.minimum(current, probability), 0).astype(np.float32)
        evidence = np.clip(np.log(front / behind), -_MAX_LOG_ODDS, _MAX_LOG_ODDS)[bin_index]
        prior_odds = np.log((current + 0.02) / (1.02 - current))
        odds = prior_odds + 0.8 * evidence.reshape(probability.shape)
        posterior = np.where(inside, 1 / (1 + np.exp(-odds)), 0).astype(np.float32)
        aligned = guided_filter(guide, posterior, _GUIDE_RADIUS, _GUIDE_SMOOTHNESS)
        refined = np.clip(aligned, 0, 1)
        current = np.asarray(0.5 * (current + refined), np.float32)
    return np.where(inside, refined, 0).astype(np.float32)


def _colour_histogram(bin_index: npt.NDArray[Any], weight: Array) -> Array | None:
    """Return the blurred frequency of each colour, (_BINS^3,); None for too few pixels."""
    count = np.bincount(bin_index, np.ravel(weight), _BINS**3).reshape(_BINS, _BINS, _BINS)
    if float(count.sum()) < _MIN_PIXELS:
        return None
    for axis in range(3):
        count = 0.5 * count + 0.25 * (np.roll(count, 1, axis) + np.roll(count, -1, axis))
    return np.asarray(np.ravel(count) / float(count.sum()) + 1e-4)
