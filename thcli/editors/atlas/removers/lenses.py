"""Lenses of worn glasses: whether the eyes behind them are visible."""

from __future__ import annotations

import numpy as np

from thcli.core.errors import UsageError
from thcli.core.types import Array32
from thcli.editors.atlas import tone
from thcli.editors.atlas.removers.parts import lens_window

# Soft logarithms by which the lighter quarter of a lens may be darker than the cheeks: clear ones
# had .13 at most, those that hide the eyes .62 at least (18 wearers and five clips).
_MAX_DARK, _LIGHTER = 0.5, 0.75
# The same where little of the eyes is seen, and the share of them below which lenses hide them:
# 130 pictures of wearers, of whom 35 wear dark or mirrored lenses.
_MAX_TINT, _HALF_SEEN, _UNSEEN = 0.2, 0.25, 0.1


def check_lenses(texture: Array32, seen: float) -> None:
    """Raise UsageError for lenses through which the eyes are not visible.

    Args:
        texture: of the clip.
        seen: 0..1, share of the open eyes that is visible.
    """
    luma = texture @ tone.LUMA
    lens, cheek = (luma[where] for where in lens_window())
    dark = float(cheek.mean()) - float(np.quantile(lens, _LIGHTER))
    if dark > (_MAX_DARK if seen > _HALF_SEEN else _MAX_TINT) or seen < _UNSEEN:
        what = "dark" if dark > _MAX_TINT else "mirrored"
        raise UsageError(
            f"These glasses are {what}: the eyes behind them are not visible, so they cannot be "
            "removed.",
            "Clear and lightly tinted ones can be removed (--attr eyeglasses=-1).",
        )
