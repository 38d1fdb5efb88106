"""Separation of a source image into person and background plate, done once per source.

The alpha matte has fine edges and the plate is filled behind the person. A mask marks hair that
hangs down. With these layers the head moves over a static background instead of dragging it along.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import largest_channel, smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.background import beside_cheeks
from thcli.engines.mesh.background.beyond_sides import WidePerson
from thcli.engines.mesh.background.blocks import Coverage
from thcli.engines.mesh.background.grain import add_grain
from thcli.engines.mesh.background.hair import HEADWEAR, find_hair, parsed_hair
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.background.plate import Fill, Mask, fill_plate
from thcli.engines.mesh.background.strands import find_strands
from thcli.engines.mesh.sampling import (
    box_mean,
    masked_mean,
    odd_size,
    polygon_mask,
    resize,
    sample_crop,
    to_samples,
)
from thcli.faces.compositing.guided_filter import guided_filter
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing.classes import EARS
from thcli.faces.parsing.crops import Regions

CERTAIN = (0.25, 0.75)  # probabilities below which is background, above which is person
# Probabilities between which the doubt about what the parser sees as hair or an ear begins to count
# for it
DOUBTFUL = (0.1, 0.3)
MATTE_SAMPLES = 128  # samples per face height at which the matte's edge is refined
FILL_MARGIN = 0.01  # face heights around the person that the plate is not filled from
PLATE_RADIUS = 0.05  # face heights around the person that the plate replaces
PLATE_FEATHER = 0.03  # face heights over which the plate passes into the image
ISLAND_ALPHA = 0.1  # least alpha by which a part of the matte is connected to the face
SEEN_THROUGH = (0.05, 0.5)  # alpha between which the plate stops showing the image itself
HALO = 0.02  # face heights around the person that cameras sharpen and encoders smear
LEAST_CONTRAST = 5.0  # of 0..255, by which any background departs from its fill
TONE_RADIUS = 0.06  # face heights over which the background's tone is that of its fill
# Levels and face heights from which what is lighter than its fill is a lamp and no hair
LEAST_LIGHT, LIGHT_WIDTH = 40.0, 0.06
DIM = 5.0  # levels by which what is lighter than a dark plate is none of the person
# Face heights beside an edge whose colours are compared; levels by which a background is lighter
# than the person there: no light beside the person is a camera's or an encoder's, all of it is
BESIDE_EDGE, LIGHTER = 0.05, (0.0, 30.0)
WHOLE = 0.95  # alpha of pixels that show the person's own colour
CONTRAST_SHARE = 1.5  # of the background's own contrast that counts as background
STRIP = 256  # rows at a time, so that a large image is never whole in floating point
MIN_FACE_COVERAGE = 0.85  # share of the face that the matte must hold to be accepted


@dataclass(frozen=True, slots=True)
class MatteLayers:
    """A source image as a person over a background plate.

    person: (H, W, 4) uint8, premultiplied colour and alpha; plate * (1 - alpha) + person is the
    image exactly.  plate: (H, W, 3) uint8 background without the person.  coverage: of the person.
    cut: the plate is black and the picture is the person alone, with its alpha.
    strangers: (H, W, 4) uint8 like `person`, other persons of a picture that is cut out, or None.
    wide: the person, continued beyond the sides that cut it off; None of a mirror image.
    behind: (H, W, 3) uint8 what the picture shows without a person who is alone; None of others.
    """

    person: Image
    plate: Image
    coverage: Coverage
    cut: bool = False
    strangers: Image | None = None
    wide: WidePerson | None = None
    behind: Image | None = None

    @staticmethod
    def of(person: Image, plate: Image) -> MatteLayers:
        """Create the layers with the coverage of the person."""
        return MatteLayers(person, plate, Coverage.of(person))

    def alone(self) -> MatteLayers:
        """Return the person cut out just as it is, to be laid over `behind`."""
        return replace(self, plate=np.zeros_like(self.plate), cut=True, behind=self.plate)


def separate_person(
    image: Image,
    probability: Array32,
    mesh: Array,
    regions: Regions | None = None,
    fill: Fill = fill_plate,
    beside: Mask | None = None,
) -> tuple[MatteLayers, Array32, int] | None:
    """Separate the person from the background.

    Args:
        image: (H, W, 3) uint8 source image.
        probability: (h, w) person probability in 0..1, of any size over the whole image.
        mesh: (468, 3) pixels.
        regions: of the face, down to the shoulders; None finds hair by its colours.
        fill: gives what is behind the person.
        beside: (h, w) where others are, who tell nothing of the background; as `probability`.

    Returns:
        The layers, the hair mask (h, w) float32 in 0..1, and the mask's source pixels per
        sample. None when the matte does not cover the face.
    """
    height, width = image.shape[:2]
    face_size = anatomy.face_height(mesh)
    step = max(1, round(face_size / MATTE_SAMPLES))
    size = (max(1, width // step), max(1, height // step))
    small = resize(image, size, shrink=True).astype(np.float32) / np.float32(255)
    oval_points = to_samples(mesh[OVAL, :2], step)
    likely = resize(probability, size)
    on_head = np.zeros_like(likely)
    if regions is not None:
        likely *= beside_cheeks.person_share(likely, oval_points, regions, step)
        on_head = regions.mask_in(sample_crop(size, step), HEADWEAR | EARS)
        likely += (1 - likely) * on_head * smoothstep(*DOUBTFUL, likely)
    coarse = np.clip((likely - CERTAIN[0]) / (CERTAIN[1] - CERTAIN[0]), 0, 1)
    refined = guided_filter(small, coarse, max(2, round(0.05 * face_size / step)), 1e-4)
    alpha = np.clip((refined - 0.1) / 0.8, 0, 1)
    alpha = np.maximum(alpha, _enclosed_gaps(alpha))
    oval = polygon_mask(oval_points, size)
    if not oval.any() or alpha[oval].mean() < MIN_FACE_COVERAGE:
        return None
    core = cv2.erode(oval.astype(np.float32), np.ones((5, 5), np.uint8))
    alpha = np.maximum(alpha, box_mean(np.asarray(core, np.float32), 3))
    alpha = _without_islands(alpha, oval)
    whole = np.maximum(alpha, find_strands(small, alpha, face_size / step))
    replaced = _dilate(whole, (PLATE_RADIUS + PLATE_FEATHER) * face_size / step)
    feather = odd_size(2 * PLATE_FEATHER * face_size / step)
    replaced = box_mean(box_mean(replaced, feather), feather)
    hole = _dilate(whole, FILL_MARGIN * face_size / step) > 0
    levels = small * 255
    filled_small = add_grain(fill(levels, hole), hole, face_size / step)
    halo = odd_size(2 * HALO * face_size / step)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (halo, halo))
    grown = box_mean(np.asarray(cv2.dilate(alpha, disc), np.float32), 3)
    apart = hole if beside is None else hole | (resize(beside.astype(np.uint8), size) > 0)
    tolerance = _background_contrast(levels, apart)
    other = levels - filled_small
    lit = _find_lights(other, np.maximum(alpha, on_head), face_size / step)
    grown += lit * (alpha - grown)
    background = (1 - grown) * (1 - _strangeness(other, tolerance)[..., 0])
    radius = odd_size(2 * TONE_RADIUS * face_size / step)
    toned = filled_small + masked_mean(other, background, radius)
    glows = _may_glow(levels, filled_small, alpha, face_size / step)
    maps = [_to_uint8(filled_small), _to_uint8(toned)]
    maps += [_to_uint8(share * 255) for share in (replaced, alpha, grown, lit, glows)]
    filled, tone, replaced_full, opaque, grown_full, lit_full, glows_full = (
        resize(m, (width, height)) for m in maps
    )
    plate, person = np.empty_like(image), np.empty((height, width, 4), np.uint8)
    for top in range(0, height, STRIP):
        rows = slice(top, top + STRIP)
        pixels = image[rows].astype(np.float32)
        share = replaced_full[rows, :, None] * np.float32(1 / 255)
        hidden = smoothstep(*SEEN_THROUGH, grown_full[rows, :, None] * np.float32(1 / 255))
        # what differs from the fill no more than the background does by itself belongs to it
        unlit = 1 - lit_full[rows, :, None] * np.float32(1 / 255)
        strange = unlit * _strangeness(pixels - filled[rows], tolerance)
        seen = (pixels - tone[rows]) * (1 - hidden) * (1 - strange)
        plate[rows] = _to_uint8(pixels + share * (filled[rows] + seen - pixels))
        # hair darker than the plate belongs to the person, also where the network misses it
        half = np.float32(0.5)  # a level is rounded; black before black is no person
        ratio = 1 / largest_channel((plate[rows] + half) / (pixels + half))
        least = np.ceil(255 - 255 * ratio).clip(0, 255)
        # and so does what is lighter than a dark one: lit hair, pale cloth
        light = largest_channel((pixels - plate[rows] - DIM) / (255 + half - plate[rows]))
        least = np.maximum(least, np.ceil(light.clip(0, 1) * glows_full[rows]))
        person[rows, :, 3] = np.maximum(opaque[rows], least)
        transparency = cv2.cvtColor(255 - person[rows, :, 3], cv2.COLOR_GRAY2RGB)
        behind = cv2.multiply(plate[rows], transparency, scale=1 / 255)
        person[rows, :, :3] = cv2.subtract(image[rows], behind)
    if regions is None:
        hair = find_hair(small, alpha, oval_points)
    else:
        hair = parsed_hair(regions, alpha, oval_points, step)
    return MatteLayers.of(person, plate), hair, step


def separate_within(
    image: Image, persons: SeenPersons, mesh: Array, regions: Regions | None = None
) -> tuple[MatteLayers, Array32, int] | None:
    """Separate the person who moves as `separate_person` does, in the part that shows that person.

    Args:
        image: (H, W, 3) uint8 source image.
        persons: that it shows; their `part` is the whole of it without one.
        mesh: (468, 3) pixels.
        regions: of the face, down to the shoulders; None finds hair by its colours.
    """
    part = persons.part
    if part is None:
        moving, fill = persons.moving, persons.fill
        return separate_person(image, moving, mesh, regions, fill, persons.beside)
    rows, columns = part
    corner = np.array([columns.start, rows.start, 0], np.float64)
    moved = np.eye(3)
    moved[:2, 2] = -corner[:2]
    size = image.shape[1], image.shape[0]
    likely = np.ascontiguousarray(resize(persons.moving, size)[part])
    beside = None
    if persons.beside is not None:
        beside = resize(persons.beside.astype(np.uint8), size)[part] > 0
    found = separate_person(
        np.ascontiguousarray(image[part]),
        likely,
        mesh - corner,
        None if regions is None else regions.move(moved),
        persons.fill,
        beside,
    )
    if found is None:
        return None
    layers, near_hair, step = found
    person, plate = np.zeros((*image.shape[:2], 4), np.uint8), image.copy()
    person[part], plate[part] = layers.person, layers.plate
    hair = np.zeros((max(1, image.shape[0] // step), max(1, image.shape[1] // step)), np.float32)
    there = hair[round(rows.start / step) :, round(columns.start / step) :]
    height, width = (min(sides) for sides in zip(there.shape, near_hair.shape, strict=True))
    there[:height, :width] = near_hair[:height, :width]
    return MatteLayers.of(person, plate), hair, step


def _find_lights(other: Array32, person: Array32, face_size: float) -> Array32:
    """Find what is light and broad beside the person: a lamp or a window, and no hair.

    Args:
        other: (h, w, 3) difference of an image from its fill, 0..255.
        person: (h, w) matte in 0..1, with hair and hats that it misses.
        face_size: samples per face height.

    Returns:
        (h, w) float32 in 0..1.
    """
    light = (other.mean(-1) > LEAST_LIGHT) & (person < SEEN_THROUGH[0])
    width = odd_size(LIGHT_WIDTH * face_size)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    broad = cv2.morphologyEx(light.astype(np.float32), cv2.MORPH_OPEN, disc)
    return box_mean(np.asarray(broad, np.float32), 3)


def _may_glow(image: Array32, filled: Array32, alpha: Array32, face_size: float) -> Array32:
    """Return how far light beside a person may be the person's, (h, w) float32 in 0..1.

    Before a background that is lighter, a line of light along hair is what cameras sharpen.

    Args:
        image: (h, w, 3) 0..255.
        filled: (h, w, 3) of it, without the person.
        alpha: (h, w) of the person in 0..1.
        face_size: samples per face height.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    whole = np.asarray(cv2.erode((alpha > WHOLE).astype(np.float32), disc), np.float32)
    size = odd_size(2 * BESIDE_EDGE * face_size)
    lighter = smoothstep(*LIGHTER, filled.mean(-1) - masked_mean(image.mean(-1), whole, size))
    return np.asarray(1 - lighter * (box_mean(whole, size) > 0), np.float32)


def _strangeness(other: Array32, tolerance: np.float32) -> Array32:
    """Return by how much a difference (h, w, 3) exceeds the background's own, (h, w, 1) 0..1."""
    return np.asarray(smoothstep(1, 2, largest_channel(np.abs(other))[..., None] / tolerance))


def _background_contrast(image: Array32, hole: npt.NDArray[np.bool_]) -> np.float32:
    """Return how far the background departs from its own smooth version, 0..255.

    Args:
        image: (h, w, 3) 0..255.
        hole: (h, w) the person.
    """
    known, size = (~hole).astype(np.float32), 2 * (min(hole.shape) // 24) + 3
    smooth = masked_mean(image, known, size)
    values = np.abs(image - smooth)[~hole]
    spread = float(np.percentile(values, 90)) if len(values) else 0.0
    return np.float32(max(LEAST_CONTRAST, CONTRAST_SHARE * spread))


def _to_uint8(values: Array32) -> Image:
    return np.asarray(np.clip(values + np.float32(0.5), 0, 255), np.uint8)


def _dilate(alpha: Array32, radius: float) -> Array32:
    """Dilate a matte by a radius in samples, with a soft edge."""
    size = odd_size(2 * radius)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    dilated = cv2.dilate((alpha > 0.05).astype(np.float32), disc)
    return np.asarray(box_mean(np.asarray(dilated, np.float32), 3))


def _without_islands(alpha: Array32, oval: npt.NDArray[np.bool_]) -> Array32:
    """Clear what is not connected to the face: background that the network was unsure of."""
    _, labels = cv2.connectedComponents((alpha > ISLAND_ALPHA).astype(np.uint8))
    person = np.isin(labels, np.unique(labels[oval & (labels > 0)]))
    near = cv2.dilate(person.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.where(near, alpha, np.float32(0))


def _enclosed_gaps(alpha: Array32) -> Array32:
    """Find the gaps of the person that do not reach the image's edge (an earring, a pale collar).

    Returns (h, w) 0..1 with soft edges.
    """
    _, labels = cv2.connectedComponents((alpha < 0.5).astype(np.uint8))
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    inner = ~np.isin(labels, edge) & (labels > 0)
    dilated = cv2.dilate(inner.astype(np.float32), np.ones((7, 7)))
    return np.asarray(box_mean(np.asarray(dilated, np.float32), 3))
