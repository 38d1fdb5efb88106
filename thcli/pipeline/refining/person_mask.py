"""Mask of the person in a refined crop: pixels beside the person do not change."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array32, Crop
from thcli.faces.compositing.mask import rim_mask
from thcli.faces.parsing.crops import Regions

# Margin of the mask over the side of the parser's crop: the outline moves when refined.
_MARGIN = 0.05
_RIM = 0.08  # width of the soft rim of the parser's crop over its side


def person_mask(regions: Regions, placement: Crop) -> Array32:
    """Return the soft mask of a parsed person with a margin, in the pixels of a crop.

    It fades out where the parser's crop ends.

    Args:
        regions: parsed face.
        placement: of the crop.

    Returns:
        (height, width) in 0..1.
    """
    size = regions.placement.size
    diameter = 2 * round(_MARGIN * size[0]) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    person = cv2.dilate(np.float32(1) - regions.probabilities[0], disc)
    blurred = np.asarray(cv2.GaussianBlur(person, (0, 0), diameter / 6), np.float32)
    mask = np.zeros(placement.size[::-1], np.float32)
    layer = regions.layer_in(placement, blurred * rim_mask(size, _RIM))
    if layer is not None:
        part, (left, top) = layer
        mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    return mask
