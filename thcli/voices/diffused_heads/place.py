"""Where dh-s's square lies on a face: upright to the eyes, from the brows to below the chin of an open mouth."""

from __future__ import annotations

import numpy.typing as npt

from thcli.core.types import Crop
from thcli.faces import align

TEMPLATE = 112  # pixels of ArcFace's square, in whose units the next two are
SIDE, CENTRE = 121.0, (55.5, 67.0)


def place(points: npt.ArrayLike, side: int, margin: int = 0) -> Crop:
    """The crop of `side` pixels around landmarks of any layout, of which `margin` on each side lie outside of the square proper.

    Raises NoFaceError for landmarks that are of no layout or fall together.
    """
    scale = (side - 2 * margin) / SIDE
    matrix = align.arcface(points, TEMPLATE).crop_from_frame * scale
    matrix[2] = 0, 0, 1
    matrix[0, 2] += (side - 1) / 2 - scale * CENTRE[0]
    matrix[1, 2] += (side - 1) / 2 - scale * CENTRE[1]
    return Crop(matrix, (side, side))
