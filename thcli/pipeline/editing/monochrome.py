"""Monochrome footage stays so: what an edit changes takes its tones, not colours.

The colour of a black-and-white or sepia picture depends on its brightness alone. Edits change both,
as learnt from colour photographs, so grey lips would turn red or green.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from thcli.core.events import Listener, Warned
from thcli.core.imaging import smoothstep
from thcli.core.tones import HEAD_DEPARTS, fit_tones, luma, tone
from thcli.core.types import Image
from thcli.editors.shared.keys import split_colour

_DYES_WITH_A_HUE = frozenset(("blond", "brown_hair", "red_hair"))
_COSMETICS = ("lipstick", "rosy_cheeks", "makeup")


class MonochromeMeter:
    """Tells whether a face's crops are monochrome: one decision for a clip."""

    def __init__(self) -> None:
        self._departs = self._brightness = 0.0

    def add(self, crop: Image) -> None:
        """Measure the next crop (S, S, 3), in the order of the clip."""
        tones = fit_tones(crop)
        self._departs += tones.departs
        self._brightness += tones.brightness

    def share(self) -> float:
        """Return 0..1, how surely the clip is monochrome; 0 without crops."""
        if not self._brightness:
            return 0.0
        return 1 - float(smoothstep(*HEAD_DEPARTS, self._departs / self._brightness))


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
    slopes = fit_tones(picture).slopes
    old, new = before[changed].astype(np.float32), after[changed].astype(np.float32)
    toned = old + tone(luma(new), slopes) - tone(luma(old), slopes)
    mixed = new + np.float32(share) * (toned - new)
    out = after.copy()
    out[changed] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return out
