"""Monochrome footage stays so: what an edit changes takes its tones, not colours.

The colour of a black-and-white or sepia picture depends on its brightness alone. Edits change both,
as learnt from colour photographs, so grey lips would turn red or green.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np

from thcli.core.events import Listener, Warned
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.editors.shared.colours import split_colour

_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)
_SIDE = 64  # of a crop whose colours are fitted; averages of pixels hide a codec's noise
# Departure of colours from what their brightness says, over the mean brightness, from monochrome to
# colour; docs/figures.md has those of faces and clips.
_DEPARTS = (0.017, 0.021)
_RIDGE = 1e-3  # of the fit, in pixels
_DYES_WITH_A_HUE = frozenset(("blond", "brown_hair", "red_hair"))
_COSMETICS = ("lipstick", "rosy_cheeks", "makeup")


class _Tones(NamedTuple):
    """Colours of a crop as its brightness tells them.

    slopes: (3, 3) of `_tone`.
    departs: root mean square of red and blue from it, in levels.
    brightness: mean, 0..255.
    """

    slopes: Array
    departs: float
    brightness: float


class MonochromeMeter:
    """Tells whether a face's crops are monochrome: one decision for a clip."""

    def __init__(self) -> None:
        self._departs = self._brightness = 0.0

    def add(self, crop: Image) -> None:
        """Measure the next crop (S, S, 3), in the order of the clip."""
        tones = _fit(crop)
        self._departs += tones.departs
        self._brightness += tones.brightness

    def share(self) -> float:
        """Return 0..1, how surely the clip is monochrome; 0 without crops."""
        if not self._brightness:
            return 0.0
        return 1 - float(smoothstep(*_DEPARTS, self._departs / self._brightness))


class DroppedColours:
    """Warns once that cosmetics get the tones of monochrome footage."""

    def __init__(self, on: Listener) -> None:
        self._on, self._warned = on, False

    def __call__(self, attributes: Iterable[str]) -> None:
        """Warn if the attributes, painted in the footage's tones, have a colour of their own."""
        given = set(attributes)
        names = [name for name in _COSMETICS if name in given]
        if names and not self._warned:
            self._warned = True
            said = ", ".join(names)
            self._on(
                Warned(
                    f"On monochrome footage these are painted not in colour: {said}. "
                    "A colour that is given (lipstick=red) is painted."
                )
            )


def asks_for_colour(key: str) -> bool:
    """Return True for an attribute that names a colour: "lipstick#e275a8", "red_hair"."""
    name, colour = split_colour(key)
    return bool(colour) or name in _DYES_WITH_A_HUE


def keep_monochrome(picture: Image, before: Image, after: Image, share: float) -> Image:
    """Return an edited crop whose changes have the tones of a picture.

    Args:
        picture: (S, S, 3) crop of the footage.
        before: (S, S, 3) crop before the edit: the picture, or an editor's reconstruction of it.
        after: (S, S, 3) edited crop.
        share: 0..1, how surely the footage is monochrome.
    """
    changed = (before != after).any(-1)
    if not share or not changed.any():
        return after
    slopes = _fit(picture).slopes
    old, new = before[changed].astype(np.float32), after[changed].astype(np.float32)
    toned = old + _tone(_luma(new), slopes) - _tone(_luma(old), slopes)
    mixed = new + np.float32(share) * (toned - new)
    out = after.copy()
    out[changed] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return out


def _fit(crop: Image) -> _Tones:
    """Fit a parabola of the brightness to the colours of a crop."""
    small = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    pixels = small.reshape(-1, 3).astype(np.float32)
    grey = _luma(pixels)
    powers = _powers(grey).astype(np.float64)
    colours = (pixels - grey[:, None]).astype(np.float64)
    gram = powers.T @ powers + _RIDGE * np.eye(powers.shape[1])
    slopes: Array = np.asarray(np.linalg.solve(gram, powers.T @ colours), np.float64)
    departs = float(np.sqrt(np.mean((colours - powers @ slopes)[:, ::2] ** 2)))
    return _Tones(slopes, departs, float(grey.mean()))


def _tone(grey: Array32, slopes: Array) -> Array32:
    """Return the colours (N, 3) of a brightness (N,)."""
    return np.asarray(grey[:, None] + _powers(grey) @ slopes.astype(np.float32), np.float32)


def _powers(grey: Array32) -> Array32:
    part = grey / np.float32(255)
    return np.stack([np.ones_like(part), part, part * part], -1)


def _luma(pixels: Array32) -> Array32:
    """Return the brightness (N,) of pixels (N, 3)."""
    return np.asarray(cv2.transform(pixels[None], _LUMA)[0].reshape(-1), np.float32)
