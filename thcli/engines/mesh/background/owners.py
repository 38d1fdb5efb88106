"""Owners of the pixels of a picture of several persons, and what is behind one who is taken away.

Behind a person those beside go on a little, in their own colours; then there is the background, in
colours that nobody of the picture has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.background import cut_out
from thcli.engines.mesh.background.close_view import See, see_closely
from thcli.engines.mesh.background.persons import SeenPersons, nearer_to, own_share
from thcli.engines.mesh.background.plate import fill_plate
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.sampling import (
    box_mean,
    distance_to,
    nearest_to,
    odd_size,
    polygon_mask,
    resize,
    to_samples,
)
from thcli.faces.landmarks.topology import OVAL

MOST_SAMPLES = 768  # of a picture's longer side
LEAST_PERSON = 0.25  # probability above which a sample shows a person
LIKELY = 0.5  # probability above which it is no background that another person may uncover
# Numbers of what nobody owns, and of that of it which shows a person
NOBODY, SOMEBODY = -1, -2
REACH = 0.35  # heights of a face by which its person goes on behind another
LEAST_SEEN = 0.05  # probability above which the part of the picture shows a person
AROUND = 0.8  # heights of a face around that, from which what is behind is filled
RIM = 0.05  # heights of a face beside a hole that may show some of the person who left it
# Heights of a face beside it that are its hair, where it is so many times nearer than other faces
BESIDE, CLEARLY = 0.3, 1.7
GAP = 8.0  # samples from a person within which what nobody owns is that person's
EDGE = 5  # samples of a person's outline that show some of the background, odd
SEAM = 5  # samples over which what is behind a person passes into each other, odd
SMOOTH = 7  # samples over which the colours of a person who goes on are smoothed, odd

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Owners:
    """The person of each sample of a picture.

    person: (rows, columns) number of the person whom a sample shows, SOMEBODY where no face touches
        that person, or NOBODY.
    seen: (N, rows, columns) probability that a sample shows each person, or one beside, in 0..1.
    heights: (N,) of the faces, of the picture's width.
    size: (width, height) of the picture in pixels.
    """

    person: Numbers
    seen: Array32
    heights: Array
    size: tuple[int, int]

    @staticmethod
    def find(image: Image, see: See, meshes: Sequence[Array]) -> Owners:
        """Tell whose the pixels of a picture are.

        Args:
            image: (H, W, 3) uint8.
            see: see `close_view`.
            meshes: (468, 3) pixels of every face, the nearest first, who owns what two claim.
        """
        seen = see_closely(image, see, meshes, MOST_SAMPLES)
        anybody = seen.max(0)
        rows, columns = anybody.shape
        width = image.shape[1]
        person = np.full((rows, columns), NOBODY, np.int16)
        for number, mesh in reversed(list(enumerate(meshes))):
            others = [other for other in meshes if other is not mesh]
            share = resize(own_share(image, anybody, mesh, others), (columns, rows))
            own = (share > 0.5) & (seen[number] > LEAST_PERSON)
            person[_around(own, to_samples(mesh[OVAL, :2], width / columns))] = number
        heights = np.array([anatomy.face_height(mesh) for mesh in meshes])
        scale = columns / width
        _give_hair(person, anybody, [mesh[:, :2] * scale for mesh in meshes])
        _close_gaps(person, anybody)
        unowned = (person == NOBODY) & (anybody > LIKELY)
        person[_without_specks(unowned, person != NOBODY)] = SOMEBODY
        return Owners(person, seen, heights / width, (width, image.shape[0]))

    @property
    def _anybody(self) -> Array32:
        """Probability (rows, columns) of any person."""
        return np.asarray(self.seen.max(0), np.float32)

    def persons(self, number: int, *, cut: bool) -> SeenPersons:
        """Return the persons as they are seen where one of them moves; cut: see `SeenPersons`."""
        share, seen = self.share(number), self.seen[number]
        part = self._part_around(seen * share > LEAST_SEEN, number)
        fill = partial(self.fill, number, part)
        beside = (self._anybody > LEAST_PERSON) & (self.person != number)
        return SeenPersons(seen, share, cut, fill, beside, part, layered=True)

    def cut_out_rest(self, picture: Image, moving: Sequence[int]) -> Image:
        """Return persons of a picture (H, W, 3) but those who move, (H, W, 4) premultiplied."""
        staying = (self.person >= 0) & ~np.isin(self.person, moving)
        likely = np.where(self.person == SOMEBODY, np.float32(1), self._anybody * staying)
        return cut_out.cut_out_all(picture, likely, float(np.median(self.heights)) * self.size[0])

    def _part_around(self, shown: Mask, number: int) -> Region:
        """Return the pixels of the picture that show a person, with some around."""
        margin = AROUND * self.heights[number] * self.size[0]
        bounds = []
        for axis, side in ((1, self.size[1]), (0, self.size[0])):
            found = np.flatnonzero(shown.any(axis))
            scale = side / shown.shape[1 - axis]
            first, last = (found[0], found[-1] + 1) if len(found) else (0, shown.shape[1 - axis])
            low, high = round(first * scale - margin), round(last * scale + margin)
            bounds.append(slice(max(low, 0), min(high, side)))
        return bounds[0], bounds[1]

    def share(self, number: int) -> Array32:
        """Return how far a sample that shows anybody shows a person, (rows, columns) 0 or 1."""
        own = self.person == number
        return nearer_to(own, (self.person >= 0) & ~own)

    def without(self, person: Image) -> Owners:
        """Return whose the samples are of the plate behind a person (H, W, 4)."""
        size = self.person.shape[1], self.person.shape[0]
        alpha = np.asarray(cv2.extractChannel(person, 3), np.uint8)
        hole = resize(alpha, size, shrink=alpha.shape[1] > size[0]) > 0
        behind = self._behind(self.person, hole, hole.shape[1])
        theirs = behind == np.arange(len(self.seen))[:, None, None]
        return replace(self, person=behind, seen=np.where(hole, np.float32(1) * theirs, self.seen))

    def fill(self, number: int, part: Region, image: Array32, hole: Mask) -> Array32:
        """Fill the hole that a person leaves.

        Args:
            number: of the person.
            part: pixels of the picture that `image` shows.
            image: (h, w, 3) float32 0..255.
            hole: (h, w).
        """
        rows, columns = part
        there = np.ix_(
            _samples(rows, self.size[1], hole.shape[0], self.person.shape[0]),
            _samples(columns, self.size[0], hole.shape[1], self.person.shape[1]),
        )
        width = hole.shape[1] * self.size[0] / (columns.stop - columns.start)
        person = self.person[there]
        behind = self._behind(person, hole, width)
        likely = self._anybody[there] > LIKELY
        anybody = cv2.dilate(likely.astype(np.uint8), np.ones((EDGE, EDGE), np.uint8))
        side = (odd_size(2 * RIM * self.heights[number] * width),) * 2
        rim = cv2.dilate(hole.astype(np.uint8), np.ones(side, np.uint8)) > 0
        known = ~hole & (anybody == 0)
        out = fill_plate(image, ~known, _continue(image, known) if known.any() else None)
        for other in np.unique(behind[hole]):
            own = (person == other) & ~rim
            if other != NOBODY and own.any():
                share = box_mean((behind == other).astype(np.float32), SEAM)
                out += share[..., None] * (_continue(image, own) - out)
        return np.where(hole[..., None], out, image)

    def _behind(self, person: Numbers, hole: Mask, width: float) -> Numbers:
        """Return the owners (h, w) of a picture whose hole shows what is nearest beside it.

        width: samples of the whole picture's width.
        """
        distance, nearest = nearest_to(~hole)
        found = person.ravel()[nearest]
        reach = REACH * np.append(self.heights, [np.median(self.heights), 0.0]) * width
        return np.where(distance < reach[found], found, np.int16(NOBODY)).astype(np.int16)


def _samples(pixels: slice, side: int, count: int, samples: int) -> npt.NDArray[np.intp]:
    """Return the samples, of so many over a side, at the middles of `count` parts of its pixels."""
    middles = pixels.start + (np.arange(count) + 0.5) * (pixels.stop - pixels.start) / count
    return np.asarray(np.minimum(middles * samples / side, samples - 1), np.intp)


def _around(mask: Mask, outline: Array) -> Mask:
    """Return the parts of a mask (rows, columns) that touch a face of this outline (K, 2)."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8))
    face = polygon_mask(outline, (mask.shape[1], mask.shape[0]))
    return np.isin(labels, np.unique(labels[face & (labels > 0)]))


def _without_specks(mask: Mask, beside: Mask) -> Mask:
    """Return a mask (rows, columns) without small parts that do not touch another one."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask | beside).astype(np.uint8))
    kept = stats[:, cv2.CC_STAT_AREA] >= cut_out.LEAST_STRANGER * mask.size
    kept[np.unique(labels[beside])] = True
    return np.asarray(mask & kept[labels])


def _give_hair(person: Numbers, anybody: Array32, faces: Sequence[Array]) -> None:
    """Give what lies beside a face (468, 2), in samples, and nearest to it, to its person.

    In place. Dark hair before the dark coat of the next person has no edge that divides them.
    """
    size = person.shape[1], person.shape[0]
    heights = [anatomy.face_height(face) for face in faces]
    ovals = [polygon_mask(face[OVAL], size) for face in faces]
    away = np.stack([distance_to(oval) / h for oval, h in zip(ovals, heights, strict=True)])
    rows, columns = np.mgrid[: size[1], : size[0]]
    for number, (face, height) in enumerate(zip(faces, heights, strict=True)):
        top, chin = face[anatomy.FOREHEAD], face[anatomy.CHIN]
        along = (chin - top) / height
        level = ((columns - top[0]) * along[0] + (rows - top[1]) * along[1]) / height
        others = np.delete(away, number, 0).min(0, initial=np.inf)
        beside = (level > 0) & (level < 1) & (away[number] < BESIDE)
        person[beside & (CLEARLY * away[number] < others) & (anybody > LEAST_PERSON)] = number


def _close_gaps(person: Numbers, anybody: Array32) -> None:
    """Give slivers between persons (rows, columns) to who is nearest, in place."""
    nobody = person == NOBODY
    distance, nearest = nearest_to(~nobody)
    gap = nobody & (anybody > LEAST_PERSON) & (distance < GAP)
    person[gap] = person.ravel()[nearest[gap]]


def _continue(image: Array32, known: Mask) -> Array32:
    """Return an image (h, w, 3) whose known pixels go on beyond their edge, and smoothed."""
    colours = image.reshape(-1, 3)[nearest_to(known)[1]]
    beyond = box_mean(box_mean(colours, SMOOTH), SMOOTH)
    return np.where(known[..., None], image, beyond)
