"""Form of a person's beard: borders and density, from face, hair and seed.

People with equal faces get equal beards; others differ, as the growth of real beards does. The form
is continuous: what noise of the measurement changes of it is as small as the noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.editors.drawn.appearance import Appearance

_REACH = 0.7  # of the choices per standard deviation of a proportion
_MIDDLE = np.array([0.786, 1.193, 0.141])  # mean of `Appearance.jaw`
_SPREAD = np.array([0.0165, 0.057, 0.027])  # and their standard deviation, 27 pictures
_CHOICES = 9
_DARK = (0.35, 0.8)  # brightness of hair over skin: dark hair shows every hair of a thin growth


@dataclass(frozen=True, slots=True)
class BeardForm:
    """Borders and density of a beard.

    cheek: fall of the upper border on the cheeks, canonical units.
    side: the same beside the ears.
    cheeks: 0..1, density on the cheeks relative to the chin's.
    lip: lowering of the moustache's upper border, canonical units.
    philtrum: 0..1, bareness of the middle of the moustache.
    bare: 0..1, bareness beside the soul patch.
    corner: 0..1, bareness below the corners of the mouth.
    neck: height of the lower border below the chin, canonical units.
    patches: deviation of the density.
    length: factor of that of the style.
    seed: of the hairs.
    """

    cheek: float = 0.0
    side: float = 0.0
    cheeks: float = 0.5
    lip: float = 0.0
    philtrum: float = 0.35
    bare: float = 0.8
    corner: float = 0.45
    neck: float = 1.26
    patches: float = 0.2
    length: float = 1.0
    seed: int = 20


def form_of(appearance: Appearance, seed: int) -> BeardForm:
    """Return the form of a person's beard.

    Args:
        appearance: of the clip.
        seed: of `--seed`; another one gives another beard.
    """
    rng = np.random.default_rng([seed, 0xBEA2D])
    directions, start = rng.standard_normal((_CHOICES, 3)), rng.uniform(0, 2, _CHOICES)
    directions *= _REACH / np.linalg.norm(directions, axis=1, keepdims=True)
    along = directions @ ((appearance.jaw - _MIDDLE) / _SPREAD) + start
    cheek, side, cheeks, lip, philtrum, bare, neck, patches, length = _wave(along).tolist()
    hair = float(appearance.hair.mean()) / max(float(appearance.skin.mean()), 20.0)
    dark = 1 - float(smoothstep(*_DARK, hair))
    return BeardForm(
        cheek=-0.03 + 0.2 * cheek,
        side=-0.02 + 0.17 * side,
        cheeks=0.12 + 0.45 * cheeks + 0.1 * dark,
        lip=-0.01 + 0.045 * lip,
        philtrum=0.2 + 0.6 * philtrum,
        bare=0.4 + 0.6 * bare,
        corner=0.2 + 0.6 * bare,
        neck=1.2 + 0.09 * neck,
        patches=0.12 + 0.26 * patches,
        length=0.7 + 0.55 * length,
        seed=20 + int(rng.integers(1000)) * (seed > 0),
    )


def _wave(at: Array) -> Array:
    """Return 0..1, rising and falling evenly."""
    return np.asarray(np.abs(np.mod(at, 2) - 1))
