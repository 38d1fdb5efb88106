"""Head, cloth and hair of a picture as a parser sees them, and hands beside its face."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.head.cheeks.mirrored_head import HAIR_CLASSES
from thcli.engines.mesh.sampling import box_mean, odd_size, remap, sample_crop, to_samples
from thcli.faces.parsing.classes import GLASSES, HEAD, class_number
from thcli.faces.parsing.crops import Regions

MASK_SAMPLES = 64  # samples per face height of the masks of head, cloth and hair
SOFTNESS, FINGER = 0.03, 0.07  # face heights, of their edges; around the points of hands
PARTS = (
    HEAD | GLASSES | {class_number("hat"), class_number("ear_r")},
    frozenset({class_number(name) for name in ("cloth", "neck", "neck_l")}),
    HAIR_CLASSES,
)


@dataclass(frozen=True, slots=True)
class Parts:
    """Masks of head, cloth and hair of a picture, (h, w, 3) float32, `step` pixels per sample."""

    masks: Array32
    step: int

    def sample(self, positions: Array32) -> Array32:
        """Return the masks at pixels (..., 2) of the picture."""
        return remap(self.masks, np.ascontiguousarray(to_samples(positions, self.step)))

    def hair_at(self, positions: Array32) -> Array32:
        """Return the mask of the hair at pixels (..., 2) of the picture."""
        return np.asarray(self.sample(positions)[..., 2])


def find_parts(
    regions: Regions, mesh: Array, size: tuple[int, int], picture_from_source: Array
) -> Parts:
    """Find the parts of a picture as a parser sees them.

    Args:
        regions: of the source's face, down to the shoulders.
        mesh: (468, 3) pixels of the source.
        size: (width, height) of the picture.
        picture_from_source: (3, 3), of the source itself or its mirror image.
    """
    face_size = anatomy.face_height(mesh)
    step = max(1, round(face_size / MASK_SAMPLES))
    columns, rows = (max(1, -(-side // step)) for side in size)
    crop = sample_crop((columns, rows), step)
    placement = replace(crop, crop_from_frame=crop.crop_from_frame @ picture_from_source)
    soft = odd_size(2 * SOFTNESS * face_size / step)
    masks = [box_mean(regions.mask_in(placement, group), soft) for group in PARTS]
    return Parts(np.dstack(masks), step)


def find_hands(hands: Array, parts: Parts, face_size: float) -> Array32 | None:
    """Return the mask (h, w) of hands (N, 21, 2) on the samples of `parts`; None without any."""
    if not len(hands):
        return None
    held = np.zeros(parts.masks.shape[:2], np.float32)
    for hand in to_samples(hands, parts.step):
        hull = cv2.convexHull(np.rint(hand).astype(np.int32))
        cv2.fillConvexPoly(held, hull, (1.0,))
    reach, soft = (odd_size(2 * width * face_size / parts.step) for width in (FINGER, SOFTNESS))
    round_ends = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    return box_mean(np.asarray(cv2.dilate(held, round_ends), np.float32), soft)


def under_hands(hands: Array, positions: Array, face_size: float) -> npt.NDArray[np.bool_]:
    """Return which pixels (P, 2) hands (N, 21, 2) lie over, (P,)."""
    if not len(hands):
        return np.zeros(len(positions), bool)
    away = np.linalg.norm(positions[:, None] - hands.reshape(-1, 2), axis=2).min(1)
    return np.asarray(away < FINGER * face_size)
