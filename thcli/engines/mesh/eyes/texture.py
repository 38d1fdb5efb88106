"""An eyeball of a source and its geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.eyes.hanging_lashes import HangingLashes
from thcli.engines.mesh.opening import Opening

ROUND_IRIS = (0.25, 0.75)  # place of an iris along an eye that shows the ball on both of its sides
NEVER_SHOWS = 2.0  # foreshortening that no eye reaches
# An eye's foreshortening over the source's: limits, and its |log| from which it is followed
TURN_RATIOS, TURN_RANGE = (0.4, 1.6), (0.1, 0.3)


@dataclass(frozen=True, slots=True)
class EyeTexture:
    """The image of an eyeball and its geometry.

    image: image that holds the eye.  opening: the eye's rims in `image`.  iris: (2,) u, v of
    the iris centre.  radius: of the iris, in widths; 0 when its gaze is right already.  is_own:
    whether the eye is the source's own.  blur: deviation in widths, 0 in pictures that are sharp.
    sees_iris: whether the iris was seen away from the corners, so that what lids hid can be made.
    seen: its foreshortening, see `opening.foreshortening`.  shut: gap of the source's shut eye in
    whose place it stands, 0 for its own.  hidden: foreshortening of the eye that the source hides,
    in whose place it stands, `NEVER_SHOWS` behind what covers it; 0 for others.
    hanging: lashes of that shut eye; None behind what hides it, and for others.
    white: (3,) colour of its white, 0..255, None where none is seen.  lashes: (97, 3) colours along
    its upper rim, None for those that are not its own.
    """

    image: Image
    opening: Opening
    iris: Array
    radius: float
    is_own: bool = True
    blur: float = 0.0
    sees_iris: bool = False
    seen: float = 1.0
    shut: float = 0.0
    hidden: float = 0.0
    hanging: HangingLashes | None = None
    white: Array32 | None = None
    lashes: Array32 | None = None

    @property
    def is_covered(self) -> bool:
        """True where something covers it, so that it never shows."""
        return self.hidden >= NEVER_SHOWS


def is_round(iris_u: float) -> bool:
    """Return whether an iris there along an eye is well away from its corners."""
    return bool(ROUND_IRIS[0] < iris_u < ROUND_IRIS[1])


def turn_ratio(eye: EyeTexture, ring: npt.NDArray[np.int32], target: Array) -> float:
    """Return how far a turn of the head narrows an eye of a target mesh (468, 3), 1 for no turn.

    Lengths across it, in its own widths, grow by as much: they are multiplied by that.
    """
    ratio = float(np.clip(opening.foreshortening(target, ring) / max(eye.seen, 1e-3), *TURN_RATIOS))
    return 1 + float(smoothstep(*TURN_RANGE, abs(np.log(ratio)))) * (ratio - 1)
