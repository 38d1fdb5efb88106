"""Whose each pixel of a picture of several persons is, and what is behind one who is taken away.

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
from thcli.engines.mesh.background.close_view import See, see_closely
from thcli.engines.mesh.background.persons import SeenPersons, own_share
from thcli.engines.mesh.background.plate import fill_plate
from thcli.engines.mesh.sampling import box_mean, odd_size, polygon_mask, resize, to_samples
from thcli.faces.landmarks.topology import OVAL

MOST_SAMPLES = 768  # of a picture's longer side
LEAST_PERSON = 0.25  # probability above which a sample shows a person
LIKELY = 0.5  # probability above which it is no background that another person may uncover
NOBODY = -1
REACH = 0.35  # heights of a face by which its person goes on behind another
RIM = 0.12  # heights of a face beside a hole that may show some of the person who left it
EDGE = 5  # samples of a person's outline that show some of the background, odd
SEAM = 5  # samples over which what is behind a person passes into each other, odd
SMOOTH = 7  # samples over which the colours of a person who goes on are smoothed, odd

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose each sample of a picture is.

    person: (rows, columns) number of the person whom a sample shows, or NOBODY.
    seen: (N, rows, columns) probability that a sample shows each person, or one beside, in 0..1.
    heights: (N,) of the faces, of the picture's width.
    """

    person: Numbers
    seen: Array32
    heights: Array

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
        return Owners(person, seen, heights / width)

    def persons(self, number: int) -> SeenPersons:
        """Return the persons as they are seen where one of them moves."""
        fill = partial(self.fill, number)
        return SeenPersons(self.seen[number], self.share(number), fill=fill, layered=True)

    def share(self, number: int) -> Array32:
        """Return how far a sample that shows anybody shows a person, (rows, columns) 0 or 1."""
        own = self.person == number
        mine = _distance(own) < _distance((self.person != NOBODY) & ~own)
        return mine.astype(np.float32)

    def without(self, person: Image) -> Owners:
        """Return whose the samples are of the plate behind a person (H, W, 4)."""
        size = self.person.shape[1], self.person.shape[0]
        alpha = np.asarray(cv2.extractChannel(person, 3), np.uint8)
        hole = resize(alpha, size, shrink=alpha.shape[1] > size[0]) > 0
        behind = self._behind(self.person, hole)
        theirs = behind == np.arange(len(self.seen))[:, None, None]
        return replace(self, person=behind, seen=np.where(hole, np.float32(1) * theirs, self.seen))

    def fill(self, number: int, image: Array32, hole: Mask) -> Array32:
        """Fill the hole of an image (h, w, 3) float32 0..255 that a person leaves."""
        size = hole.shape[1], hole.shape[0]
        person = cv2.resize(self.person, size, interpolation=cv2.INTER_NEAREST).astype(np.int16)
        behind = self._behind(person, hole)
        likely = resize(self.seen.max(0), size) > LIKELY
        anybody = cv2.dilate(likely.astype(np.uint8), np.ones((EDGE, EDGE), np.uint8))
        side = (odd_size(2 * RIM * self.heights[number] * hole.shape[1]),) * 2
        rim = cv2.dilate(hole.astype(np.uint8), np.ones(side, np.uint8)) > 0
        known = ~hole & (anybody == 0)
        out = fill_plate(image, ~known, _continue(image, known) if known.any() else None)
        for other in np.unique(behind[hole]):
            own = (person == other) & ~rim
            if other != NOBODY and own.any():
                there = box_mean((behind == other).astype(np.float32), SEAM)
                out += there[..., None] * (_continue(image, own) - out)
        return np.where(hole[..., None], out, image)

    def _behind(self, person: Numbers, hole: Mask) -> Numbers:
        """Return the owners (h, w) of a picture whose hole shows what is nearest beside it."""
        distance, labels = cv2.distanceTransformWithLabels(
            hole.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        nearest = np.full(int(labels.max()) + 1, NOBODY, np.int16)
        nearest[labels[~hole]] = person[~hole]
        found = nearest[labels]
        reach = REACH * np.append(self.heights, 0.0) * hole.shape[1]  # the last is of nobody
        return np.where(distance < reach[found], found, np.int16(NOBODY)).astype(np.int16)


def _around(mask: Mask, outline: Array) -> Mask:
    """Return the parts of a mask (rows, columns) that touch a face of this outline (K, 2)."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8))
    face = polygon_mask(outline, (mask.shape[1], mask.shape[0]))
    return np.isin(labels, np.unique(labels[face & (labels > 0)]))


def _continue(image: Array32, known: Mask) -> Array32:
    """Return an image (h, w, 3) whose known pixels go on beyond their edge, and smoothed."""
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros((int(labels.max()) + 1, 3), np.float32)
    colours[labels[known]] = image[known]
    beyond = box_mean(box_mean(colours[labels], SMOOTH), SMOOTH)
    return np.where(known[..., None], image, beyond)


def _distance(mask: Mask) -> Array32:
    """Return each sample's distance to a mask (rows, columns)."""
    away = np.asarray(~mask, np.uint8)
    return np.asarray(cv2.distanceTransform(away, cv2.DIST_L2, 5), np.float32)
