"""Separation of a source image into person and background plate, done once per source.

The alpha matte has fine edges and the plate is filled behind the person. A mask marks hair that
hangs down. With these layers the head moves over a static background instead of dragging it along.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.sampling import box_mean, polygon_mask, resize
from thcli.faces.compositing.guided_filter import guided_filter
from thcli.faces.landmarks.topology import OVAL

CERTAIN = (0.25, 0.75)  # probabilities below which is background, above which is person
MATTE_SAMPLES = 128  # samples per face height at which the matte's edge is refined
FILL_MARGIN = 0.1  # face heights around the person that the plate is not filled from
PLATE_RADIUS = 0.05  # face heights around the person that the plate replaces
STRAND_REACH = 0.2  # face heights from the matte to the end of a loose strand of hair
STRAND_WIDTH = 0.06  # face heights, the widest gap between what is beside a strand
STRAND_THICKNESS = 0.05  # face heights from which a dark thing is none of hair
STRAND_TONE = 0.12  # by which a strand may be darker than the person's own edge
STRAND_CONTRAST = 0.05  # by which a strand is darker than what is around it, of 0..1
STRAND_DEVIATIONS = 6.0  # of the surroundings' own contrast, above which a strand counts
TEXTURE_BAND = (0.12, 0.3)  # face heights from the matte, where strands are rare
MOST_TEXTURE = 0.01  # share of dark lines in that band above which the background is textured
STRIP = 256  # rows at a time, so that a large image is never whole in floating point
MIN_FACE_COVERAGE = 0.85  # share of the face that the matte must hold to be accepted


@dataclass(frozen=True, slots=True)
class MatteLayers:
    """A source image as a person over a background plate.

    person: (H, W, 4) uint8, premultiplied colour and alpha; plate * (1 - alpha) + person is the
    image exactly.  plate: (H, W, 3) uint8 background without the person.
    """

    person: Image
    plate: Image


def separate_person(
    image: Image, probability: Array32, mesh: Array
) -> tuple[MatteLayers, Array32, int] | None:
    """Separate the person from the background.

    Args:
        image: (H, W, 3) uint8 source image.
        probability: (h, w) person probability in 0..1, of any size over the whole image.
        mesh: (468, 3) pixels.

    Returns:
        The layers, the hair mask (h, w) float32 in 0..1, and the mask's source pixels per
        sample. None when the matte does not cover the face.
    """
    height, width = image.shape[:2]
    face_size = anatomy.face_height(mesh)
    step = max(1, round(face_size / MATTE_SAMPLES))
    size = (max(1, width // step), max(1, height // step))
    small = resize(image, size, shrink=True).astype(np.float32) / np.float32(255)
    likely = resize(probability, size)
    coarse = np.clip((likely - CERTAIN[0]) / (CERTAIN[1] - CERTAIN[0]), 0, 1)
    refined = guided_filter(small, coarse, max(2, round(0.05 * face_size / step)), 1e-4)
    alpha = np.clip((refined - 0.1) / 0.8, 0, 1)
    alpha = np.maximum(alpha, _enclosed_gaps(alpha))
    oval_points = (mesh[OVAL, :2] + 0.5) / step - 0.5
    oval = polygon_mask(oval_points, size)
    if not oval.any() or alpha[oval].mean() < MIN_FACE_COVERAGE:
        return None
    core = cv2.erode(oval.astype(np.float32), np.ones((5, 5), np.uint8))
    alpha = np.maximum(alpha, box_mean(np.asarray(core, np.float32), 3))
    chin = int(oval_points[:, 1].max().clip(0, size[1]))
    whole = np.maximum(alpha, find_strands(small, alpha, face_size / step, chin))
    replaced = _dilate(whole, PLATE_RADIUS * face_size / step)
    hole = _dilate(whole, FILL_MARGIN * face_size / step) > 0
    maps = [_to_uint8(push_pull(small * 255, hole)), _to_uint8(replaced * 255)]
    maps.append(_to_uint8(alpha * 255))
    filled, replaced_full, opaque = (resize(m, (width, height)) for m in maps)
    plate, person = np.empty_like(image), np.empty((height, width, 4), np.uint8)
    for top in range(0, height, STRIP):
        rows = slice(top, top + STRIP)
        pixels = image[rows].astype(np.float32)
        share = replaced_full[rows, :, None] * np.float32(1 / 255)
        plate[rows] = _to_uint8(pixels + share * (filled[rows] - pixels))
        # hair darker than the plate belongs to the person, also where the network misses it
        least = np.ceil(255 - 255 * (pixels / np.maximum(plate[rows], 1)).min(-1)).clip(0, 255)
        person[rows, :, 3] = np.maximum(opaque[rows], least)
        transparency = cv2.cvtColor(255 - person[rows, :, 3], cv2.COLOR_GRAY2RGB)
        behind = cv2.multiply(plate[rows], transparency, scale=1 / 255)
        person[rows, :, :3] = cv2.subtract(image[rows], behind)
    return MatteLayers(person, plate), find_hair(small, alpha, oval_points), step


def find_strands(small: Array32, alpha: Array32, face_size: float, lowest: int) -> Array32:
    """Find dark strands of hair that leave the matte, which the network is too coarse to see.

    They are thin, darker than both of their sides, and connected to the person. Before a textured
    background nothing is found: its lines cannot be told from hair.

    Args:
        small: (h, w, 3) image in 0..1.
        alpha: (h, w) matte in 0..1.
        face_size: samples per face height.
        lowest: row of the chin; below it there is more in the picture than hair.

    Returns:
        (h, w) float32, 0 or 1.
    """
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    width = max(3, 2 * round(STRAND_WIDTH * face_size / 2) + 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    contrast = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel)
    person = alpha > 0.5
    outside = (alpha < 0.05).astype(np.uint8)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, 5) / np.float32(face_size)
    distance[lowest:] = 0
    around = (distance > 0) & (distance < STRAND_REACH)
    if not around.any() or not person.any():
        return np.zeros_like(alpha)
    values = contrast[around]
    middle = float(np.median(values))
    spread = 1.5 * float(np.median(np.abs(values - middle)))
    dark = contrast > max(STRAND_CONTRAST, middle + STRAND_DEVIATIONS * spread)
    band = (distance > TEXTURE_BAND[0]) & (distance < TEXTURE_BAND[1])
    if band.any() and dark[band].mean() > MOST_TEXTURE:
        return np.zeros_like(alpha)
    thickness = max(3, 2 * round(STRAND_THICKNESS * face_size / 2) + 1)
    thick = cv2.morphologyEx(
        dark.astype(np.uint8), cv2.MORPH_OPEN, np.ones((thickness, thickness), np.uint8)
    )
    edge = (alpha > 0.05) & ~person
    inner = cv2.erode(person.astype(np.uint8), np.ones((width, width), np.uint8)) == 0
    rim = grey[:lowest][(person & inner)[:lowest]]
    hair_tone = float(np.median(rim)) if rim.size else 0.0
    thin = dark & around & (thick == 0) & (grey > hair_tone - STRAND_TONE)
    _, labels = cv2.connectedComponents((person | edge | thin).astype(np.uint8))
    return np.asarray(np.isin(labels, np.unique(labels[person])) & thin, np.float32)


def _to_uint8(values: Array32) -> Image:
    return np.asarray(np.clip(values + np.float32(0.5), 0, 255), np.uint8)


def _dilate(alpha: Array32, radius: float) -> Array32:
    """Dilate a matte by a radius in samples, with a soft edge."""
    size = 2 * round(radius / 2) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    dilated = cv2.dilate((alpha > 0.05).astype(np.float32), disc)
    return np.asarray(box_mean(np.asarray(dilated, np.float32), 3))


def _enclosed_gaps(alpha: Array32) -> Array32:
    """Find the gaps of the person that do not reach the image's edge (an earring, a pale collar).

    Returns (h, w) 0..1 with soft edges.
    """
    _, labels = cv2.connectedComponents((alpha < 0.5).astype(np.uint8))
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    inner = ~np.isin(labels, edge) & (labels > 0)
    dilated = cv2.dilate(inner.astype(np.float32), np.ones((7, 7)))
    return np.asarray(box_mean(np.asarray(dilated, np.float32), 3))


def push_pull(image: Array32, hole: npt.NDArray[np.bool_]) -> Array32:
    """Fill the holes of an image (h, w, 3) from their surroundings, ever more smoothly inwards.

    Source: Gortler et al. 1996 (The Lumigraph), section 3.4.
    """
    weight = (~hole).astype(np.float32)
    levels = [(image * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 2:
        colour, known = levels[-1]
        half = ((known.shape[1] + 1) // 2, (known.shape[0] + 1) // 2)
        levels.append((resize(colour, half, shrink=True), resize(known, half, shrink=True)))
    colour, known = levels[-1]
    total = max(float(known.sum()), 1e-6)
    mean_colour = colour.sum((0, 1)) / total
    normalised = colour / np.maximum(known, 1e-6)[..., None]
    filled = np.where(known[..., None] > 1e-6, normalised, mean_colour).astype(np.float32)
    for colour, known in levels[-2::-1]:
        above = resize(filled, (known.shape[1], known.shape[0]))
        weight_known = np.clip(2 * known, 0, 1)[..., None]
        own = colour / np.maximum(known, 1e-6)[..., None]
        filled = own * weight_known + above * (1 - weight_known)
    return np.asarray(filled, np.float32)


def find_hair(small: Array32, alpha: Array32, oval: Array) -> Array32:
    """Find where hair hangs: the person's region that has the colours of the hair on top.

    The region must be connected to the top of the head. A neck of the skin's colour is added.
    The result is empty where the hair's colours are the skin's (a bald head).

    Args:
        small: (h, w, 3) image in 0..1.
        alpha: (h, w) matte in 0..1.
        oval: (36, 2) the face's oval in samples.

    Returns:
        (h, w) float32 mask in 0..1 with soft edges.
    """
    empty = np.zeros(alpha.shape, np.float32)
    top, chin = oval[0], oval[18]
    up = top - chin
    face_size = max(float(np.linalg.norm(up)), 1.0)
    up = up / face_size
    rows, columns = np.mgrid[0 : alpha.shape[0], 0 : alpha.shape[1]].astype(np.float32)
    offset = np.stack([columns, rows], -1) - ((top + chin) / 2).astype(np.float32)
    above = offset @ (up / face_size).astype(np.float32)
    across = np.abs(offset @ (np.array([-up[1], up[0]]) / face_size).astype(np.float32))
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
    radius = max(2, round(0.05 * face_size))
    kernel = np.ones((radius | 1, radius | 1), np.uint8)
    closed = cv2.morphologyEx((joined | neck).astype(np.float32), cv2.MORPH_CLOSE, kernel)
    blurred = box_mean(np.asarray(closed, np.float32), 2 * radius + 1)
    return np.asarray(box_mean(blurred, 2 * radius + 1))


def _open(mask: npt.NDArray[np.bool_]) -> Image:
    """Apply a morphological opening of 3 x 3 samples; (h, w) uint8."""
    kernel = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel), np.uint8)
