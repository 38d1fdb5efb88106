"""Whose each pixel of a picture of several persons is, and what is behind one who is taken away.

Behind a person those beside go on a little, in their own colours; then there is the background, in
colours that nobody of the picture has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.background.persons import own_share
from thcli.engines.mesh.background.plate import fill_plate
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.sampling import box_mean, odd_size, polygon_mask, resize, to_samples
from thcli.faces.landmarks.topology import OVAL

MOST_SAMPLES = 768  # of a picture's longer side
LEAST_PERSON = 0.25  # probability above which a sample shows a person
NOBODY = -1
# Crop in which a person is seen closely: half its side, how far its middle lies below that of the
# face, and share of the half side over which it fades, in heights of the face; it is not worth it
# where the picture is less than so many times as large
CLOSE, CLOSE_BELOW, CLOSE_FADE, FARTHER = 2.2, 0.6, 0.3, 2.0
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
    def find(image: Image, see: Callable[[Image], Array32], meshes: Sequence[Array]) -> Owners:
        """Tell whose the pixels of a picture are.

        Args:
            image: (H, W, 3) uint8.
            see: gives the probability (h, w) of a person in 0..1 in a picture.
            meshes: (468, 3) pixels of every face, the nearest first, who owns what two claim.
        """
        height, width = image.shape[:2]
        scale = min(1.0, MOST_SAMPLES / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        whole = resize(see(image), size, shrink=scale < 1)
        seen = _see_closely(image, see, whole, meshes)
        anybody = seen.max(0)
        person = np.full(size[::-1], NOBODY, np.int16)
        for number, mesh in reversed(list(enumerate(meshes))):
            others = [other for other in meshes if other is not mesh]
            share = resize(own_share(image, anybody, mesh, others), size)
            own = (share > 0.5) & (seen[number] > LEAST_PERSON)
            person[_around(own, to_samples(mesh[OVAL, :2], 1 / scale))] = number
        heights = np.array([anatomy.face_height(mesh) for mesh in meshes])
        return Owners(person, seen, heights / width)

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
        likely = resize(self.seen.max(0), size) > LEAST_PERSON
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


def _see_closely(
    image: Image, see: Callable[[Image], Array32], whole: Array32, meshes: Sequence[Array]
) -> Array32:
    """Return the probability of each person (N, rows, columns) as a crop around the face shows it.

    Where that ends, those of other persons go on, and then that of the whole picture.

    Args:
        image: (H, W, 3) uint8.
        see: as in `Owners.find`.
        whole: (rows, columns) what it gives for the whole picture.
        meshes: (468, 3) pixels.
    """
    size = whole.shape[1], whole.shape[0]
    close = [_Close.of(image, see, mesh, size) for mesh in meshes]
    total, weights = np.zeros_like(whole), np.zeros_like(whole)
    for one in filter(None, close):
        total[one.region] += one.weight * one.seen
        weights[one.region] += one.weight
    mean = total / np.maximum(weights, np.float32(1e-6))
    together = whole + weights.clip(0, 1) * (mean - whole)
    out = np.asarray(np.repeat(together[None], len(meshes), 0), np.float32)
    for own, mine in zip(out, close, strict=True):
        if mine is not None:
            own[mine.region] += mine.weight * (mine.seen - own[mine.region])
    return out


@dataclass(frozen=True, slots=True)
class _Close:
    """A person who is seen closely.

    region: of the samples.  seen: (h, w) probability there.  weight: (h, w) of it, 0 at its rim.
    """

    region: Region
    seen: Array32
    weight: Array32

    @staticmethod
    def of(
        image: Image, see: Callable[[Image], Array32], mesh: Array, size: tuple[int, int]
    ) -> _Close | None:
        """See a person of (columns, rows) samples; None where the picture is hardly larger."""
        height = anatomy.face_height(mesh)
        middle = mesh[[anatomy.FOREHEAD, anatomy.CHIN], :2].mean(0)
        middle[1] += CLOSE_BELOW * height
        half = CLOSE * height
        sides, samples = np.array(image.shape[1::-1]), np.array(size)
        if sides.max() < FARTHER * 2 * half:
            return None
        low = np.clip(np.floor(middle - half), 0, sides - 1).astype(int)
        high = np.clip(np.ceil(middle + half), low + 1, sides).astype(int)
        crop = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
        scale = samples / sides
        first = np.floor(low * scale).astype(int)
        stop = np.minimum(np.ceil(high * scale).astype(int), samples)
        seen = resize(see(crop), (int(stop[0] - first[0]), int(stop[1] - first[1])))
        x, y = (np.arange(first[axis], stop[axis]) / scale[axis] - middle[axis] for axis in (0, 1))
        away = np.hypot(x[None], y[:, None]) / half
        weight = np.asarray(1 - smoothstep(1 - CLOSE_FADE, 1.0, away), np.float32)
        return _Close((slice(first[1], stop[1]), slice(first[0], stop[0])), seen, weight)


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
