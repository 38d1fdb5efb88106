"""From a frame and its face to the parser's crop, and a parsed crop's masks back to the frame or into any other crop.

found = regions(parser, [frame.pixels], [face])[0]
mask = found.mask_in(where, FACE | HAIR)     # (h, w) float32 0..1 in the pixels of `where`
labels = found.labels_in(whole(frame.size))  # (H, W) uint8 numbers of CLASSES, the whole frame
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.imaging import to_uint8
from thcli.core.options import Template
from thcli.core.protocols import Parser
from thcli.core.types import Array32, Crop, Face, Image
from thcli.faces.crops import align
from thcli.faces.crops.crop import corners, crop, moved
from thcli.faces.landmarks.layouts import landmarks_of
from thcli.faces.parsing.classes import CLASSES, GROUPS, number, together

BACKGROUND = 0
_SQUARE = 2.0  # side of a square crop over the face's box
_TRACE = 1 / 512  # a probability below this never decides what a pixel is

Groups = Iterable[int | str] | str
Pixels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Regions:
    """One parsed face. where: the crop that the parser saw.  probabilities: (19, h, w) float32 in its pixels, sum 1.

    Outside of that crop everything counts as background.
    """

    where: Crop
    probabilities: Array32

    def mask(self, groups: Groups) -> Array32:
        """How much each pixel of `where` belongs to the chosen regions, (h, w) float32 0..1; groups: see `numbers`."""
        return together(self.probabilities, numbers(groups))

    def mask_in(self, crop: Crop, groups: Groups) -> Array32:
        """The same in another crop's pixels, (height, width) of crop.size: sub-pixel, antialiased, 0 where the parser did not look."""
        chosen = numbers(groups)
        if BACKGROUND in chosen:
            return np.float32(1) - self.mask_in(crop, frozenset(range(len(CLASSES))) - chosen)
        out = np.zeros(crop.size[::-1], np.float32)
        box = self._seen_in(crop)
        if box is not None and chosen:
            x0, y0, x1, y1 = box
            out[y0:y1, x0:x1] = self._brought(self.mask(chosen), crop, box)
        return out

    def layer_in(self, crop: Crop, layer: Array32) -> tuple[Array32, tuple[int, int]] | None:
        """Something else of this face's pixels, (h, w) or (h, w, C) float32 in 0..1, in another crop's.

        Only the part that the parser looked at, (height, width, ...), and where its upper left pixel lies; None where they do not meet.
        """
        box = self._seen_in(crop)
        return None if box is None else (self._brought(layer, crop, box), box[:2])

    def labels_in(self, crop: Crop) -> Image:
        """The most probable region of each pixel of another crop, (height, width) uint8 numbers of CLASSES."""
        labels, _ = self.decided_in(crop)
        return labels

    def decided_in(self, crop: Crop) -> tuple[Image, Array32]:
        """As `labels_in`, and how much each pixel is of this face at all, (height, width) 0..1: 1 less its background."""
        labels, person = np.zeros(crop.size[::-1], np.uint8), np.zeros(crop.size[::-1], np.float32)
        box = self._seen_in(crop)
        if box is None:
            return labels, person
        x0, y0, x1, y1 = box
        here = person[y0:y1, x0:x1]
        here[:] = self._brought(np.float32(1) - self.probabilities[BACKGROUND], crop, box)
        best, name = np.float32(1) - here, labels[y0:y1, x0:x1]
        for region, probability in enumerate(self.probabilities):
            if region != BACKGROUND and float(probability.max()) > _TRACE:
                there = self._brought(probability, crop, box)
                more = there > best
                best[more], name[more] = there[more], region
        return labels, person

    def _seen_in(self, crop: Crop) -> tuple[int, int, int, int] | None:
        """The rectangle x0, y0, x1, y1 of another crop that this one can reach; None where they do not meet."""
        own_from_other = self.where.crop_from_frame @ np.linalg.inv(crop.crop_from_frame)
        around = corners(Crop(own_from_other, self.where.size))
        low, high = np.floor(around.min(0)).astype(int) - 1, np.ceil(around.max(0)).astype(int) + 2
        x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
        x1, y1 = min(int(high[0]), crop.size[0]), min(int(high[1]), crop.size[1])
        return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def _brought(self, mask: Array32, other: Crop, box: tuple[int, int, int, int]) -> Array32:
        """A mask of this crop in the pixels of a rectangle of another."""
        x0, y0, x1, y1 = box
        part_from_other = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], np.float64)
        part_from_own = (
            part_from_other @ other.crop_from_frame @ np.linalg.inv(self.where.crop_from_frame)
        )
        place = Crop(part_from_own, (x1 - x0, y1 - y0))
        return np.clip(
            np.asarray(crop(mask, place, border="black", kernel="linear"), np.float32), 0, 1
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """What a parser is given of one face. where: its crop.  pixels: (h, w, 3) uint8.  face: in their pixels."""

    where: Crop
    pixels: Image
    face: Face


def cut(parser: Parser, picture: Pixels, face: Face, place: Crop | None = None) -> Cut:
    """A face cut out as the parser wants it; arguments as for `regions`."""
    size = parser.crop_size
    where = place_of(face, parser.template, size) if place is None else align.resized(place, size)
    return Cut(
        where,
        np.asarray(crop(to_uint8(picture), where), np.uint8),
        moved(face, where.crop_from_frame),
    )


def parse(parser: Parser, cuts: Sequence[Cut]) -> list[Regions]:
    """The regions of a batch of cuts."""
    if not cuts:
        return []
    found = parser.parse([c.pixels for c in cuts], [c.face for c in cuts])
    return [Regions(c.where, planes) for c, planes in zip(cuts, found, strict=True)]


def regions(
    parser: Parser,
    pictures: Sequence[Pixels],
    faces: Sequence[Face],
    places: Sequence[Crop] | None = None,
) -> list[Regions]:
    """Parses one face in each of a batch of pictures.

    pictures: (H, W, 3) RGB uint8 or uint16.  faces: with landmarks, in the pictures' pixels; a picture that shows several stands in
    the batch once for each.  places: where the parser shall look (a calmed path, of any size), in place of each face's own
    template.  Raises NoFaceError for a face without landmarks.
    """
    where = [None] * len(faces) if places is None else places
    return parse(
        parser, [cut(parser, p, f, w) for p, f, w in zip(pictures, faces, where, strict=True)]
    )


def place_of(face: Face, template: Template, size: int) -> Crop:
    """Where a parser looks for a face. Raises NoFaceError when it has no landmarks."""
    if template == "square":
        return align.square(face.box, size, _SQUARE)
    makers = {
        "ffhq": align.ffhq,
        "arcface": align.arcface,
        "close": align.close,
        "liveportrait": align.liveportrait,
    }
    return makers[template](landmarks_of(face), size)


def whole(size: tuple[int, int]) -> Crop:
    """The crop that is the whole frame, size (width, height)."""
    return Crop(np.eye(3), size)


def numbers(groups: Groups) -> frozenset[int]:
    """The regions meant: numbers, names of GROUPS or of CLASSES, one or several ("face", {1, 2}, ["hair", "l_ear"]).

    A name of both is the group: "mouth" is lips and all, 10 what is between them.

    Raises UsageError for a name that there is not.
    """
    listed = [groups] if isinstance(groups, str) else list(groups)
    sets = [
        frozenset([g])
        if isinstance(g, int)
        else GROUPS[g]
        if g in GROUPS
        else frozenset([number(g)])
        for g in listed
    ]
    return frozenset().union(*sets)
