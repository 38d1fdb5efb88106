"""Masks, hands and other objects before the mouth: rigid pieces on the head, without lips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.geometry import transform_points
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.mouth import colours
from thcli.engines.mesh.sampling import remap
from thcli.faces.detection.hands import cover
from thcli.faces.landmarks.topology import CHEEKS, LIPS_INNER, LIPS_OUTER, MOUTH_SKIN, Indices
from thcli.faces.parsing.classes import MOUTH, class_number
from thcli.faces.parsing.crops import Regions
from thcli.motion import canonical

# Mean probabilities over the lips, least of an object and most of a mouth. A mask has .98 and 0,
# fifty open mouths, beards and profiles at most .24 and at least .19, a drawn face .61 and 0.
LEAST_OBJECT, MOST_MOUTH = 0.65, 0.1
# The same for an object whose colour is not the skin's, and its difference in warmth (see
# `colours.warmth`): most masks are taken for skin in parts. Of 258 pictures without masks six had
# no mouth; a blurred one came nearest, with .37 and .15. Ten of 12 masks have .21 and .2 or more.
LEAST_COLOURED_OBJECT, LEAST_COLOUR = 0.2, 0.19
# Mean probabilities over the tip of the nose and over the lips, below which both are behind a mask
# that the parser takes for skin. It differs from the forehead in warmth, as above, or in log
# brightness. So do 19 of 38 masks that the rules above miss, and none of 1,228 other pictures
MASKED = ((0.4, MOST_MOUTH), (0.1, 0.3))
LEAST_LIGHT = 0.4
# Mean share of the lips that is under hands. Of 14 pictures with hands near the face five have .65
# or more, the others 0.
LEAST_HAND = 0.3
NEAR_LIPS = (0.25, 0.4)  # face heights from the lips: part of the object, not of it
MOST_COVERED = 0.5  # mean share of the cheeks, up to which they are bare


@dataclass(frozen=True, slots=True)
class Covering:
    """An object before the mouth.

    rigid: (468,) 0..1, how far a point moves with it.  no_skin: (468,) 0..1, how far a point shows
    it, or the background beside the face.  over_nose: it is a mask over mouth and nose.
    """

    rigid: Array
    no_skin: Array
    over_nose: bool = False

    @property
    def bare(self) -> Indices | None:
        """Points of skin where the cheeks are covered, too; None where they are not."""
        return _FOREHEAD if self.no_skin[CHEEKS].mean() > MOST_COVERED else None


def find(image: Image, regions: Regions, mesh: Array, hands: Array) -> Covering | None:
    """Return the object before the mouth of a face; None where the mouth is seen.

    Args:
        image: (H, W, 3) uint8.
        regions: of the face.
        mesh: (468, 3) pixels of the image.
        hands: (N, 21, 2) pixels, points of hands near the face.
    """
    hand = cover(hands, mesh[:, :2])
    if hand[LIPS_OUTER].mean() >= LEAST_HAND:
        return Covering(np.maximum(hand, _NEAR), np.maximum(hand, _IS_LIP))
    points = transform_points(regions.placement.crop_from_frame, mesh[:, :2])
    places = points[None].astype(np.float32)
    front, mouth, nose = (remap(regions.mask(group), places)[0] for group in _GROUPS)
    lips, tip = float(mouth[LIPS_OUTER].mean()), float(nose[_NOSE_TIP].mean())
    below, above = (colours.tone_at(image, mesh, part) for part in (MOUTH_SKIN, _FOREHEAD))
    is_coloured = abs(colours.warmth(below) - colours.warmth(above)) >= LEAST_COLOUR
    lighter = np.log(max(float(below.mean()), 1.0) / max(float(above.mean()), 1.0))
    is_masked = any(tip < most_tip and lips <= most_lips for most_tip, most_lips in MASKED)
    is_masked &= is_coloured or abs(lighter) >= LEAST_LIGHT
    least = LEAST_COLOURED_OBJECT if is_coloured else LEAST_OBJECT
    if not is_masked and (lips > MOST_MOUTH or front[LIPS_OUTER].mean() < least):
        return None
    if is_masked:
        front = np.maximum(front, _LOWER)
    return Covering(np.maximum(front * _NEAR, _IS_LIP), np.maximum(front, _IS_LIP), is_masked)


_FOREHEAD: Indices = np.array([9, 69, 108, 151, 299, 337], np.int32)  # points of the mesh
_NOSE_TIP: Indices = np.array([1, 2, 4, 5, 98, 327], np.int32)
_OBJECT = frozenset({class_number("background"), class_number("cloth")})
_GROUPS = (_OBJECT, MOUTH, frozenset({class_number("nose")}))
_LIPS = np.concatenate([LIPS_OUTER, LIPS_INNER])
_NEAR = 1 - smoothstep(*NEAR_LIPS, anatomy.neutral_distances(_LIPS))
_IS_LIP = np.isin(np.arange(len(_NEAR)), _LIPS).astype(np.float64)
_HEIGHTS = canonical.neutral()[:, 1]
_LOWER = (_HEIGHTS[_NOSE_TIP].min() < _HEIGHTS).astype(np.float64)
