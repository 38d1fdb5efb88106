"""Eyes closed on a PNCC image: the drawing of Real3D-Portrait's inference (REAL3D_A2M).

The PNCC mesh has no eyes: they are holes, which the lids' colours fill from above and below.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_fill_holes, distance_transform_edt

from thcli.core.types import Array32
from thcli.engines.real3d.pictures.background import copy_nearest

BOX_MARGIN = 4  # pixels around the hole that may close, in an image of 512 x 512
RIM = 5.0  # pixels of the face around the hole that count as the eye
REFERENCE_SIDE = 512

Bools = npt.NDArray[np.bool_]


def close_eyes(pncc: Array32, closed: float) -> Array32:
    """Close both eyes of a PNCC image.

    The upper and the lower limit of an eye move to the row in the middle of each column. Pixels
    between the old and the new limits copy the nearest pixel of the face.

    Args:
        pncc: (3, H, W) in [-1, 1], -1 outside of the face.
        closed: 0 as drawn, 1 shut.

    Returns:
        (3, H, W); `pncc` itself where an image has no eye, such as a profile.
    """
    if closed <= 0:
        return pncc
    # in 8 bits, as the reference sees it: a colour of 0 is not of the face
    face = (np.asarray((pncc + 1) / 2 * 255, np.uint8) != 0).all(0)
    height, width = face.shape
    holes = binary_fill_holes(face) & ~face
    covered = np.zeros_like(face)
    for left, right in ((width // 4, width // 2), (width // 2, width - width // 4)):
        hole = np.zeros_like(face)
        box = np.s_[height // 4 : height // 2, left:right]
        hole[box] = holes[box]
        if hole.any():
            covered |= _covered(_eye(face, hole, height / REFERENCE_SIDE), min(closed, 1.0))
    covered &= ~face
    if not covered.any():
        return pncc
    nearest = np.moveaxis(copy_nearest(np.moveaxis(pncc, 0, -1), face), -1, 0)
    return np.where(covered[None], nearest, pncc).astype(np.float32)


def _eye(face: Bools, hole: Bools, scale: float) -> Bools:
    """Return the hole with its rim of the face, within the box around the hole."""
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    margin = max(round(BOX_MARGIN * scale), 1)
    box = np.zeros_like(hole)
    box[
        max(rows[0] - margin, 0) : rows[-1] + margin + 1,
        max(columns[0] - margin, 0) : columns[-1] + margin + 1,
    ] = True
    near = np.asarray(distance_transform_edt(~hole) <= RIM * scale)
    return (hole | (near & face)) & box


def _covered(eye: Bools, closed: float) -> Bools:
    """Return the pixels of each column of an eye that its lids cover."""
    columns = np.flatnonzero(eye.any(0))
    part = eye[:, columns]
    rows = np.arange(eye.shape[0])[:, None]
    top, bottom = part.argmax(0), eye.shape[0] - 1 - part[::-1].argmax(0)
    middle = (rows * part).sum(0) / part.sum(0)
    upper, lower = top + closed * (middle - top), bottom + closed * (middle - bottom)
    out = np.zeros_like(eye)
    out[:, columns] = part & ((rows <= upper) | (rows >= lower))
    return out
