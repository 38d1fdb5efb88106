"""Lines of a smile beside and below the eyes: crow's feet, and the fold of the lower lid."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array32
from thcli.engines.mesh.head.shades import lines_of_skin
from thcli.engines.mesh.head.shades.lines_of_skin import UNIT, places, size

OUTER_CORNERS = (33, 263)
LOWER_LIDS = ((112, 26, 22, 23, 24, 110, 25), (341, 256, 252, 253, 254, 339, 255))
# From the outer corner outwards: degrees above the horizon, length in canonical units, strength
CROW_FEET = ((28.0, 0.17, 0.8), (2.0, 0.2, 1.0), (-25.0, 0.18, 0.8))
CROW_START = 0.055  # canonical units from the corner at which they begin
ALONG_FOOT, ALONG_LID = (0.1, 1.0, 0.7, 0.0), (0.0, 0.5, 0.8, 1.0, 1.0, 0.7, 0.0)
LID_DROP = 0.02  # canonical units of the fold below its mesh points
MOST_SHARE = 0.6  # of the lines, in wrinkled skin
LASH_BLUR = 0.05  # canonical units over which skin is averaged for folds: lashes do not count
LID_SKIN = (0.08, 0.3)  # share of skin around a fold: dark glasses or hair, and a lid
FOOT_WIDTH = 0.7  # over that of the lines of brows
FOOT_DEPTH, LID_DEPTH = 0.25, 0.4  # log brightness of whole lines of a mean smile


@cache
def drawn() -> Array32:
    """Draw the lines of the mean face, (H, W, 2) log brightness: crow's feet, and folds of lids."""
    points, feet, folds = places(), np.zeros(size()[::-1]), np.zeros(size()[::-1])
    for corner, lid in zip(OUTER_CORNERS, LOWER_LIDS, strict=True):
        side = np.sign(points[corner, 0] - points[10, 0])
        for degrees, length, strength in CROW_FEET:
            way = np.array([side * np.cos(np.radians(degrees)), -np.sin(np.radians(degrees))])
            steps = np.linspace(CROW_START, CROW_START + length, len(ALONG_FOOT))[:, None]
            foot = points[corner] + steps * way * UNIT
            foot[:, 1] += 0.12 * steps[:, 0] ** 2 * UNIT  # they bend downwards
            curve, along = lines_of_skin.spline(foot, strength * np.array(ALONG_FOOT))
            distance, nearest = lines_of_skin.distances(curve)
            feet += FOOT_DEPTH * lines_of_skin.dark_line(distance / FOOT_WIDTH, along[nearest])
        curve, along = lines_of_skin.spline(points[list(lid)], np.array(ALONG_LID))
        distance, nearest = lines_of_skin.distances(curve + np.array([0, LID_DROP * UNIT]))
        folds += LID_DEPTH * lines_of_skin.profile(distance, along[nearest])
    return np.stack([feet, folds], -1).astype(np.float32)


def shown(share: float, is_skin: Array32) -> Array32:
    """Return the lines of a source, (H, W) log brightness for a mean smile.

    Args:
        share: of lines that its skin shows, 0..1.
        is_skin: (H, W), 0..1. It leaves out lashes, and the lids with them.
    """
    feet, folds = np.moveaxis(drawn(), -1, 0)
    lids = smoothstep(*LID_SKIN, cv2.GaussianBlur(is_skin, (0, 0), LASH_BLUR * UNIT))
    return np.asarray(min(share, MOST_SHARE) * (feet * is_skin + folds * lids), np.float32)
