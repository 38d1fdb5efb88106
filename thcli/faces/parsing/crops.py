"""Crops for a parser, and a parsed crop's masks in the frame or in any other crop.

found = parse_faces(parser, [frame.pixels], [face])[0]
mask = found.mask_in(placement, FACE | HAIR)  # (h, w) float32 0..1 in the pixels of `placement`
labels = found.labels_in(full_frame_crop(frame.size))  # (H, W) uint8 numbers of CLASSES
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.batches import require_finite
from thcli.core.imaging import to_uint8
from thcli.core.options import Template
from thcli.core.protocols import Parser
from thcli.core.types import Array, Array32, Crop, Face, Image
from thcli.faces.crops import align
from thcli.faces.crops.crop import corners, crop, transform_face
from thcli.faces.landmarks.layouts import landmarks_of
from thcli.faces.parsing.classes import CLASSES, GROUPS, class_number, group_probability

BACKGROUND = 0
HEAD_SCALE = 2.4  # side of a crop of the whole head with long hair, over the face's box
_SQUARE_SCALE = 2.0  # side of a square crop over the face's box
_NEGLIGIBLE = 1 / 512  # a lower probability never decides the region of a pixel

Groups = Iterable[int | str] | str
Pixels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Regions:
    """Region probabilities of one parsed face.

    placement: crop that the parser read.  probabilities: (19, h, w) float32 in its pixels, sum 1.
    Outside of that crop everything is background.
    """

    placement: Crop
    probabilities: Array32

    def move(self, dst_from_src: Array) -> Regions:
        """Return the regions in pixels of a copy of their picture; dst_from_src: (3, 3)."""
        crop_from_dst = self.placement.crop_from_frame @ np.linalg.inv(dst_from_src)
        return replace(self, placement=Crop(crop_from_dst, self.placement.size))

    def mask(self, groups: Groups) -> Array32:
        """Return the probability of some regions in pixels of `placement`, (h, w) float32 0..1.

        groups: see `class_numbers`.
        """
        return group_probability(self.probabilities, class_numbers(groups))

    def mask_in(self, target: Crop, groups: Groups) -> Array32:
        """Return the probability of some regions in another crop's pixels.

        Sub-pixel, antialiased, 0 outside of the parser's crop.

        Args:
            target: crop whose pixels the mask is in.
            groups: see `class_numbers`.

        Returns:
            (height, width) of target.size, float32 0..1.
        """
        chosen = class_numbers(groups)
        if BACKGROUND in chosen:
            return np.float32(1) - self.mask_in(target, frozenset(range(len(CLASSES))) - chosen)
        out = np.zeros(target.size[::-1], np.float32)
        box = self._overlap_in(target)
        if box is not None and chosen:
            x0, y0, x1, y1 = box
            out[y0:y1, x0:x1] = self._resample(self.mask(chosen), target, box)
        return out

    def layer_in(self, target: Crop, layer: Array32) -> tuple[Array32, tuple[int, int]] | None:
        """Resample another layer of this face's crop to a target crop.

        Args:
            target: crop whose pixels the result is in.
            layer: (h, w) or (h, w, C) float32 in 0..1, in pixels of `placement`.

        Returns:
            The part inside the parser's crop, (height, width, ...), and the target pixel of its
            upper left corner; None where the two crops do not overlap.
        """
        box = self._overlap_in(target)
        return None if box is None else (self._resample(layer, target, box), box[:2])

    def labels_in(self, target: Crop) -> Image:
        """Return the most probable region of each pixel of a crop, (height, width) uint8."""
        labels, _ = self.labels_and_foreground_in(target)
        return labels

    def labels_and_foreground_in(self, target: Crop) -> tuple[Image, Array32]:
        """Return `labels_in`, and the foreground probability (1 less the background), 0..1.

        Both are (height, width) of the target.
        """
        labels = np.zeros(target.size[::-1], np.uint8)
        foreground = np.zeros(target.size[::-1], np.float32)
        box = self._overlap_in(target)
        if box is None:
            return labels, foreground
        x0, y0, x1, y1 = box
        inner = foreground[y0:y1, x0:x1]
        inner[:] = self._resample(np.float32(1) - self.probabilities[BACKGROUND], target, box)
        best, label = np.float32(1) - inner, labels[y0:y1, x0:x1]
        for region, plane in enumerate(self.probabilities):
            if region != BACKGROUND and float(plane.max()) > _NEGLIGIBLE:
                probability = self._resample(plane, target, box)
                higher = probability > best
                best[higher], label[higher] = probability[higher], region
        return labels, foreground

    def _overlap_in(self, target: Crop) -> tuple[int, int, int, int] | None:
        """Return x0, y0, x1, y1 of the target that this crop covers; None without an overlap."""
        own_from_target = self.placement.crop_from_frame @ np.linalg.inv(target.crop_from_frame)
        outline = corners(Crop(own_from_target, self.placement.size))
        low = np.floor(outline.min(0)).astype(int) - 1
        high = np.ceil(outline.max(0)).astype(int) + 2
        x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
        x1, y1 = min(int(high[0]), target.size[0]), min(int(high[1]), target.size[1])
        return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def _resample(self, layer: Array32, target: Crop, box: tuple[int, int, int, int]) -> Array32:
        """Resample a layer of this crop to the pixels of a rectangle of the target."""
        x0, y0, x1, y1 = box
        part_from_target = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], np.float64)
        frame_from_own = np.linalg.inv(self.placement.crop_from_frame)
        part_from_own = part_from_target @ target.crop_from_frame @ frame_from_own
        part = Crop(part_from_own, (x1 - x0, y1 - y0))
        sampled = crop(layer, part, border="black", kernel="linear")
        return np.clip(np.asarray(sampled, np.float32), 0, 1)


@dataclass(frozen=True, slots=True)
class ParserCrop:
    """Input of a parser for one face.

    placement: of the crop.  pixels: (h, w, 3) uint8.  face: in their pixels.
    """

    placement: Crop
    pixels: Image
    face: Face


def crop_for_parser(
    parser: Parser, image: Pixels, face: Face, placement: Crop | None = None
) -> ParserCrop:
    """Crop a face as the parser requires; arguments as for `parse_faces`."""
    size = parser.crop_size
    if placement is None:
        placement = template_crop(face, parser.template, size)
    else:
        placement = align.resize(placement, size)
    pixels = np.asarray(crop(to_uint8(image), placement), np.uint8)
    return ParserCrop(placement, pixels, transform_face(face, placement.crop_from_frame))


def parse_crops(parser: Parser, crops: Sequence[ParserCrop]) -> list[Regions]:
    """Parse a batch of crops. Raises NotFiniteError for probabilities that are NaN."""
    if not crops:
        return []
    found = parser.parse([c.pixels for c in crops], [c.face for c in crops])
    require_finite(found)
    return [Regions(c.placement, planes) for c, planes in zip(crops, found, strict=True)]


def parse_faces(
    parser: Parser,
    images: Sequence[Pixels],
    faces: Sequence[Face],
    placements: Sequence[Crop] | None = None,
) -> list[Regions]:
    """Parse one face in each of a batch of images.

    Args:
        parser: the parser.
        images: (H, W, 3) RGB uint8 or uint16; an image with several faces is listed once for each.
        faces: with landmarks, in pixels of their images.
        placements: crops that the parser reads (a stabilized path, of any size), instead of each
            face's own template.

    Raises:
        NoFaceError: a face without landmarks.
        NotFiniteError: probabilities are NaN.
    """
    chosen = [None] * len(faces) if placements is None else placements
    crops = [
        crop_for_parser(parser, image, face, placement)
        for image, face, placement in zip(images, faces, chosen, strict=True)
    ]
    return parse_crops(parser, crops)


def template_crop(face: Face, template: Template, size: int) -> Crop:
    """Place a parser's crop on a face. Raises NoFaceError when the face has no landmarks."""
    if template == "square":
        return align.square(face.box, size, _SQUARE_SCALE)
    templates = {
        "ffhq": align.ffhq,
        "arcface": align.arcface,
        "close": align.close,
        "liveportrait": align.liveportrait,
    }
    return templates[template](landmarks_of(face), size)


def full_frame_crop(size: tuple[int, int]) -> Crop:
    """Return the crop that is the whole frame; size: (width, height)."""
    return Crop(np.eye(3), size)


def class_numbers(groups: Groups) -> frozenset[int]:
    """Return the numbers of regions.

    Args:
        groups: numbers, names of GROUPS or of CLASSES, one or several ("face", {1, 2},
            ["hair", "l_ear"]). A name of both is the group: "mouth" includes the lips, 10 does not.

    Raises:
        UsageError: there is no region of that name.
    """
    listed = [groups] if isinstance(groups, str) else list(groups)
    sets = [
        frozenset([g])
        if isinstance(g, int)
        else GROUPS[g]
        if g in GROUPS
        else frozenset([class_number(g)])
        for g in listed
    ]
    return frozenset().union(*sets)
