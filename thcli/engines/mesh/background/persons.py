"""Persons that a network sees in a picture, and which of them moves: the others stay.

The network does not tell whose a pixel is. Faces and what is certainly theirs, the crown above and
the trunk below, are seeds that grow to the edges between persons by a watershed of the picture
(Meyer 1992, as in OpenCV).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.sampling import box_mean, polygon_mask, resize, to_samples
from thcli.faces.landmarks.topology import OVAL

# Samples of a face's height in which persons are divided, and at most of a picture's longer side
SAMPLES, MOST_SAMPLES = 64, 768
PERSON, NOBODY = 0.6, 0.1  # probabilities above which seeds are, and below which nobody is
# Seeds, in widths of a face: half of the crown, and of the trunk from the neck on; in its heights:
# the end of the crown above the forehead, the neck behind and below the middle of the face, and the
# trunk below that
CROWN, TRUNK = (0.25, 0.25), (0.08, 0.35)
ABOVE, NECK, BELOW = 0.12, (0.4, 0.6), 1.0
UPRIGHT = np.cos(np.pi / 4)  # cosine of a head's tilt up to which the body below it is upright
SIDES = 234, 454  # points before the ears
CLEAR = 0.15  # face heights around another's face that are none of it
BACKGROUND, OTHERS = 1, 2  # labels; the own person's follows those of the others

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SeenPersons:
    """Persons of a picture.

    probability: (h, w) that a pixel shows one, in 0..1, of any size over the whole picture.
    own: (rows, columns) from `own_share`; None where one person is alone.
    cut: the person who moves is cut out, for another background.
    """

    probability: Array32
    own: Array32 | None = None
    cut: bool = False

    @property
    def moving(self) -> Array32:
        """Probability (h, w) of the one who moves."""
        if self.own is None:
            return self.probability
        height, width = self.probability.shape
        return self.probability * resize(self.own, (width, height))


def own_share(
    image: Image, probability: Array32, mesh: Array, neighbours: Sequence[Array]
) -> Array32:
    """Return how far a pixel that shows a person is of the one who moves.

    Args:
        image: (H, W, 3) uint8.
        probability: (h, w) of a person in 0..1, of any size over the whole picture.
        mesh: (468, 3) pixels of the face that moves.
        neighbours: meshes of the other faces.

    Returns:
        (rows, columns) float32 in 0..1 over the whole picture.
    """
    height, width = image.shape[:2]
    scale = min(1.0, SAMPLES / anatomy.face_height(mesh), MOST_SAMPLES / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.medianBlur(resize(image, size, shrink=True), 3)
    likely = resize(probability, size, shrink=probability.shape[0] > size[1])
    faces = [_reduce(face, scale) for face in (*neighbours, mesh)]
    seeds = np.where(likely < NOBODY, BACKGROUND, 0).astype(np.int32)
    for draw in (_trunk, _crown):
        for number, face in enumerate(faces):
            others = [_surroundings(other, size) for other in faces if other is not face]
            seeds[draw(face, others, size) & (likely > PERSON)] = OTHERS + number
    for number, face in enumerate(faces):
        seeds[polygon_mask(face[OVAL, :2], size)] = OTHERS + number
    found = cv2.watershed(small, seeds)
    own = found == OTHERS + len(neighbours)
    # soft edges, and what the network only suspects, are of the nearest person
    mine = _distance(own) < _distance((found >= OTHERS) & ~own)
    return box_mean(mine.astype(np.float32), 3)


def _distance(mask: Mask) -> Array32:
    """Return each sample's distance to a mask (rows, columns)."""
    away = np.asarray(~mask, np.uint8)
    return np.asarray(cv2.distanceTransform(away, cv2.DIST_L2, 5), np.float32)


def _reduce(mesh: Array, scale: float) -> Array:
    """Return a mesh (468, 3) in samples."""
    return np.column_stack([to_samples(mesh[:, :2], 1 / scale), mesh[:, 2] * scale])


def _surroundings(face: Array, size: tuple[int, int]) -> Mask:
    """Return a face (468, 3) with what is next to it, (rows, columns) of a size."""
    outline = face[OVAL, :2]
    away = outline - outline.mean(0)
    reach = CLEAR * anatomy.face_height(face) / np.linalg.norm(away, axis=1, keepdims=True)
    return polygon_mask(outline + reach * away, size)


def _band(
    ends: tuple[Array, Array], half: tuple[float, float], unit: float, size: tuple[int, int]
) -> Mask:
    """Return a band between two points (2,), (rows, columns) of a size.

    Args:
        ends: the points.
        half: half of the band's width at each of them.
        unit: samples of which that is a multiple.
        size: (columns, rows).
    """
    first, last = ends
    along = (last - first) / max(float(np.linalg.norm(last - first)), 1e-6)
    across = unit * np.array([-along[1], along[0]])
    near, far = half
    corners = first - near * across, first + near * across, last + far * across, last - far * across
    return polygon_mask(np.array(corners), size)


def _trunk(face: Array, others: Sequence[Mask], size: tuple[int, int]) -> Mask:
    """Return what is below a face (468, 3), down to another one, (rows, columns) of a size."""
    face_size = anatomy.face_height(face)
    along = face[anatomy.CHIN] - face[anatomy.FOREHEAD]
    back = np.cross(face[SIDES[1]] - face[SIDES[0]], along)
    behind, below = NECK
    middle = (face[anatomy.CHIN] + face[anatomy.FOREHEAD]) / 2
    back *= face_size / max(float(np.linalg.norm(back)), 1e-6)
    neck = middle + behind * back + below * along
    down = along[:2] / face_size
    if down[1] > UPRIGHT:
        down = np.array([0.0, 1.0])
    out = _band((neck[:2], neck[:2] + BELOW * face_size * down), TRUNK, _width(face), size)
    for other in others:
        met = np.argwhere(out & other) @ down[::-1]
        if len(met):
            out[out] = np.argwhere(out) @ down[::-1] < met.min()
    return out


def _crown(face: Array, others: Sequence[Mask], size: tuple[int, int]) -> Mask:
    """Return the hair above a face (468, 3), not before another one, (rows, columns) of a size."""
    base = face[anatomy.FOREHEAD, :2]
    top = base + ABOVE * (base - face[anatomy.CHIN, :2])
    out = _band((base, top), CROWN, _width(face), size)
    for other in others:
        out &= ~other
    return out


def _width(face: Array) -> float:
    return float(np.ptp(face[OVAL, 0]))
