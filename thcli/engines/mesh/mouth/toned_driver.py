"""Inside of a mouth whose driver is filmed in grey or in one cold tint."""

from __future__ import annotations

import numpy as np

from thcli.core.types import Array, Array32
from thcli.engines.mesh.mouth.colours import lightness

FLESH = (1.4, 0.83, 0.77)  # channels of tongue, gums and the dark of a mouth over their mean


def colour_flesh(colour: Array32, tone: Array, share: float) -> Array32:
    """Return colours (h, w, 3), 0..255, whose tongue, gums and dark are as red as in nature.

    A driver without colours says nothing of them: beside lips in natural colours they would be
    grey. Teeth, which are as light as the skin, stay as they are.

    Args:
        colour: matched to the source's tone.
        tone: (3,) the source's skin.
        share: 0..1 of the change.
    """
    if share <= 0:
        return colour
    flesh = (share * (1 - lightness(colour, tone)))[..., None]
    red = colour.mean(-1, keepdims=True) * np.array(FLESH, np.float32)
    return np.asarray(colour + flesh * (red - colour), np.float32)
