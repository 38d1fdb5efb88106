"""Hair, neck and cloth of a source: what hangs from the head, and what stays."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.sampling import box_mean, polygon_mask, sample_crop
from thcli.faces.parsing.classes import HAIR, NECK, class_number
from thcli.faces.parsing.crops import Regions

HEADWEAR = HAIR | {class_number("hat")}
CLOTH = frozenset({class_number("cloth"), class_number("neck_l")})
SOFTNESS = 0.05  # face heights, of the mask's edge
CLOTH_SOFTNESS = 0.03  # the same of cloth
NECK_WIDTH = (0.35, 0.5)  # face heights to the side: neck, shoulder
NECK_FADE = (0.55, 1.0)  # below the middle of the face: hangs from the head, bends with the body
CLOTH_BELOW = (0.5, 0.9)  # the same of cloth: goes with the face that it surrounds, stays


def parsed_hair(regions: Regions, alpha: Array32, oval: Array, step: int) -> Array32:
    """Return where hair, hats and the upper neck hang from the head, as a parser sees them.

    Args:
        regions: of the face, in a crop that reaches down to the shoulders.
        alpha: (h, w) matte in 0..1.
        oval: (36, 2) the face's oval in samples.
        step: pixels of the image per sample.

    Returns:
        (h, w) float32 mask in 0..1 with soft edges.
    """
    placement = sample_crop((alpha.shape[1], alpha.shape[0]), step)
    above, across = measure_from_middle(alpha.shape, oval)
    neck = regions.mask_in(placement, NECK) * _upper_neck(above, across)
    hangs = np.minimum(regions.mask_in(placement, HEADWEAR) + neck, alpha)
    return _soften(np.asarray(hangs, np.float32), SOFTNESS * _face_size(oval))


def parsed_cloth(regions: Regions, shape: tuple[int, int], oval: Array, step: int) -> Array32:
    """Return where cloth is below the face, which no head moves, as a parser sees it.

    Args:
        regions: of the face, in a crop that reaches down to the shoulders.
        shape: (h, w) of the mask in samples.
        oval: (36, 2) the face's oval in samples.
        step: pixels of the image per sample.

    Returns:
        (h, w) float32 mask in 0..1 with soft edges.
    """
    cloth = regions.mask_in(sample_crop((shape[1], shape[0]), step), CLOTH)
    above, _ = measure_from_middle(shape, oval)
    soft = _soften(cloth, CLOTH_SOFTNESS * _face_size(oval))
    return np.asarray(soft * smoothstep(*CLOTH_BELOW, -above), np.float32)


def parsed_neck(regions: Regions, shape: tuple[int, int], oval: Array, step: int) -> Array32:
    """Return where the neck is, as a parser sees it; arguments and result as of `parsed_cloth`."""
    neck = regions.mask_in(sample_crop((shape[1], shape[0]), step), NECK)
    return _soften(neck, SOFTNESS * _face_size(oval))


def find_hair(small: Array32, alpha: Array32, oval: Array) -> Array32:
    """Find where hair hangs: the person's region that has the colours of the hair on top.

    The region must be connected to the top of the head. The upper neck is added by its colour, the
    skin's. The result is empty where the hair's colours are the skin's (a bald head).

    Args:
        small: (h, w, 3) image in 0..1.
        alpha: (h, w) matte in 0..1.
        oval: (36, 2) the face's oval in samples.

    Returns:
        (h, w) float32 mask in 0..1 with soft edges.
    """
    empty = np.zeros(alpha.shape, np.float32)
    above, across = measure_from_middle(alpha.shape, oval)
    face = polygon_mask(oval, (alpha.shape[1], alpha.shape[0]))
    seed = (above > 0.56) & (above < 0.85) & (across < 0.4) & (alpha > 0.9) & ~face
    skin = face & (above < 0.2) & (above > -0.3)
    if seed.sum() < 30 or skin.sum() < 30:
        return empty
    lab = cv2.cvtColor(box_mean(small, 3), cv2.COLOR_RGB2LAB)

    def colour_distance(region: npt.NDArray[np.bool_]) -> Array32:
        """Compute each sample's distance from a region's median colour, in robust deviations."""
        values = lab[region]
        median = np.median(values, 0)
        spread = 1.5 * np.median(np.abs(values - median), 0) + np.array([8, 4, 4], np.float32)
        return np.asarray(np.sqrt((((lab - median) / spread) ** 2).sum(-1)), np.float32)

    hair_distance, skin_distance = colour_distance(seed), colour_distance(skin)
    hair = (hair_distance < np.minimum(skin_distance, 3.0)) & (alpha > 0.5) & ~face
    hair_clean = _open(hair)
    _, labels = cv2.connectedComponents(hair_clean)
    joined = np.isin(labels, np.unique(labels[seed & (hair_clean > 0)])) & (hair_clean > 0)
    flesh = (skin_distance < 3.0) & ~hair & (alpha > 0.5) & ~face & (above < 0)
    flesh_clean = _open(flesh | face)
    _, labels = cv2.connectedComponents(flesh_clean)
    neck = (labels == np.bincount(labels[face & (flesh_clean > 0)]).argmax()) & ~face
    hangs = np.maximum(joined, neck * _upper_neck(above, across)).astype(np.float32)
    return _soften(hangs, SOFTNESS * _face_size(oval))


def _upper_neck(above: Array32, across: Array32) -> Array32:
    """Return how far samples of a neck hang from the head, by their place beside the face."""
    upper = (1 - smoothstep(*NECK_WIDTH, across)) * (1 - smoothstep(*NECK_FADE, -above))
    return np.asarray(upper, np.float32)


def _face_size(oval: Array) -> float:
    return max(float(np.linalg.norm(oval[0] - oval[18])), 1.0)


def measure_from_middle(shape: tuple[int, ...], oval: Array) -> tuple[Array32, Array32]:
    """Return how far samples lie above and beside the middle of a face, (h, w) face heights."""
    top, chin = oval[0], oval[18]
    face_size = _face_size(oval)
    up = (top - chin) / face_size
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    offset = np.stack([columns, rows], -1) - ((top + chin) / 2).astype(np.float32)
    above = offset @ (up / face_size).astype(np.float32)
    return above, np.abs(offset @ (np.array([-up[1], up[0]]) / face_size).astype(np.float32))


def _soften(mask: Array32, softness: float) -> Array32:
    """Close the gaps of a mask (h, w) and soften its edge."""
    radius = max(2, round(softness))
    kernel = np.ones((radius | 1, radius | 1), np.uint8)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)
    blurred = box_mean(np.asarray(closed, np.float32), 2 * radius + 1)
    return np.asarray(box_mean(blurred, 2 * radius + 1))


def _open(mask: npt.NDArray[np.bool_]) -> Image:
    """Apply a morphological opening of 3 x 3 samples; (h, w) uint8."""
    kernel = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel), np.uint8)
