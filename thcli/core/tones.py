"""Tones of pictures: what the brightness of a pixel says about its colour.

The colour of a black-and-white or sepia picture depends on its brightness alone.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from thcli.core.types import Array, Array32, Image

# Departure of the colours of a crop of the head from what their brightness says, over the mean
# brightness, from monochrome to colour; docs/figures/editing.md has those of faces and clips.
HEAD_DEPARTS = (0.017, 0.021)
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)
_SIDE = 64  # of a crop whose colours are fitted; averages of pixels hide a codec's noise
_RIDGE = 1e-3  # of the fit, in pixels


class Tones(NamedTuple):
    """Colours of a crop as its brightness tells them.

    slopes: (3, 3) of `tone`.
    departs: root mean square of red and blue from it, in levels.
    brightness: mean, 0..255.
    """

    slopes: Array
    departs: float
    brightness: float


def fit_tones(crop: Image) -> Tones:
    """Fit a parabola of the brightness to the colours of a crop (h, w, 3)."""
    small = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    pixels = small.reshape(-1, 3).astype(np.float32)
    grey = luma(pixels)
    powers = _powers(grey).astype(np.float64)
    colours = (pixels - grey[:, None]).astype(np.float64)
    gram = powers.T @ powers + _RIDGE * np.eye(powers.shape[1])
    slopes: Array = np.asarray(np.linalg.solve(gram, powers.T @ colours), np.float64)
    departs = float(np.sqrt(np.mean((colours - powers @ slopes)[:, ::2] ** 2)))
    return Tones(slopes, departs, float(grey.mean()))


def tone(grey: Array32, slopes: Array) -> Array32:
    """Return the colours (N, 3) of a brightness (N,)."""
    return np.asarray(grey[:, None] + _powers(grey) @ slopes.astype(np.float32), np.float32)


def luma(pixels: Array32) -> Array32:
    """Return the brightness (N,) of pixels (N, 3)."""
    return np.asarray(cv2.transform(pixels[None], _LUMA)[0].reshape(-1), np.float32)


def _powers(grey: Array32) -> Array32:
    part = grey / np.float32(255)
    return np.stack([np.ones_like(part), part, part * part], -1)
