"""The columns of points that the motion layer opens and closes, on top of `faces.landmarks.topology`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.faces.landmarks import topology
from thcli.faces.landmarks.topology import Indices


@dataclass(frozen=True, slots=True)
class Columns:
    """Pairs of points that close on each other, and the rings of skin that they carry.

    upper, lower: (K,) the facing points, column by column.  upper_rings, lower_rings: (R, K), the next rings outwards.
    """

    upper: Indices
    lower: Indices
    upper_rings: npt.NDArray[np.int32]
    lower_rings: npt.NDArray[np.int32]


LIDS = tuple(
    Columns(
        lid.upper, lid.lower, np.stack([lid.upper2, lid.upper3]), np.stack([lid.lower2, lid.lower3])
    )
    for lid in topology.LIDS
)
"""The picture's left eye first."""

LIPS = Columns(
    topology.LIPS.upper,
    topology.LIPS.lower,
    np.array(
        [[183, 42, 41, 38, 12, 268, 271, 272, 407], [185, 40, 39, 37, 0, 267, 269, 270, 409]],
        np.int32,
    ),
    np.array(
        [[96, 89, 179, 86, 15, 316, 403, 319, 325], [146, 91, 181, 84, 17, 314, 405, 321, 375]],
        np.int32,
    ),
)
"""From the picture's left to its right; the rings are the lips' middle and their outer rim."""

INNER_MOUTH_CORNERS = (78, 308)
FOREHEAD, CHIN = 10, 152
