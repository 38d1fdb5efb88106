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
from thcli.engines.mesh.background.plate import Fill, fill_plate
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.sampling import distance_to, polygon_mask, resize, to_samples
from thcli.faces.landmarks.topology import OVAL

# Samples of a face's height in which persons are divided, and at most of a picture's longer side
SAMPLES, MOST_SAMPLES = 32, 768
PERSON, NOBODY = 0.6, 0.1  # probabilities above which seeds are, and below which nobody is
# Seeds, in heights of a face: the end of the crown above the forehead; the neck behind the middle
# of the face, below it as the head is tilted, and below that; the trunk below the neck; half widths
# of the crown, and of the trunk from the neck on
ABOVE, NECK, BELOW, FAR_BELOW = 0.22, (0.5, 0.3, 0.3), 1.0, 2.5
CROWN, TRUNK = (0.32, 0.16), (0.03, 0.25)
# The same of a chest, which is a seed above the necks of all others, so far from their heads; and
# of shoulders, which are seeds so far from the trunks of others
CHEST, AWAY = (0.75, 0.75), 0.45
SHOULDERS, APART = (0.0, 0.45), (1.1, 1.1)
UPRIGHT = np.cos(np.pi / 4)  # cosine of a head's tilt up to which the body below it is upright
SIDES = 234, 454  # points before the ears
# Face heights around another's face that are not of who is behind it, and above it, with its hair;
# half widths of that at the forehead and at its top
CLEAR, HAIR_ABOVE, HAIR = 0.15, 0.4, (0.4, 0.3)
BACKGROUND, OTHERS = 1, 2  # labels; the own person's follows those of the others

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SeenPersons:
    """Persons of a picture.

    probability: (h, w) that a pixel shows one, in 0..1, of any size over the whole picture.
    own: (rows, columns) from `own_share`; None where one person is alone.
    cut: the person who moves is cut out, for another background.
    fill: gives what is behind that person, see `plate.fill_plate`.
    beside: (rows, columns) where others are, over the whole picture; None where nobody is told.
    part: pixels that show that person, and beyond which nothing changes; None for all of them.
    layered: that person is rendered alone, see `MatteLayers.alone`.
    """

    probability: Array32
    own: Array32 | None = None
    cut: bool = False
    fill: Fill = fill_plate
    beside: Mask | None = None
    part: Region | None = None
    layered: bool = False

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
    bodies = [_Body.of(face, scale, size) for face in (*neighbours, mesh)]
    seeds = np.where(likely < NOBODY, BACKGROUND, 0).astype(np.int32)
    for draw in (_Body.chest, _Body.trunk, _Body.crown):
        for number, body in enumerate(bodies):
            others = [other for other in bodies if other is not body]
            seeds[draw(body, others) & (likely > PERSON)] = OTHERS + number
    for number, body in enumerate(bodies):
        seeds[body.face] = OTHERS + number
    found = cv2.watershed(small, seeds)
    own = found == OTHERS + len(neighbours)
    # soft edges, and what the network only suspects, are of the nearest person
    return nearer_to(own, (found >= OTHERS) & ~own)


def nearer_to(own: Mask, others: Mask) -> Array32:
    """Return 1 where a sample is nearer to one mask (rows, columns) than to another, else 0."""
    return np.asarray(distance_to(own) < distance_to(others), np.float32)


@dataclass(frozen=True, slots=True)
class _Body:
    """Places of a person that are certain, and room that others leave to it.

    All but `down` are masks (rows, columns) in samples.
    face, skull: the face, and the hair above it.  column, breast, shoulders: see the constants.
    near: the face with its hair and what is next to it.  head: with wide hair, to the neck.
    flanks: what is beside the trunk.  lower: all that lies below the neck.
    down: (2,) direction of the trunk.
    """

    face: Mask
    skull: Mask
    column: Mask
    breast: Mask
    shoulders: Mask
    near: Mask
    head: Mask
    flanks: Mask
    lower: Mask
    down: Array

    @staticmethod
    def of(mesh: Array, scale: float, size: tuple[int, int]) -> _Body:
        """Return the body of a mesh (468, 3) in a picture of (columns, rows) samples.

        scale: samples a pixel.
        """
        face = np.column_stack([to_samples(mesh[:, :2], 1 / scale), mesh[:, 2] * scale])
        height, outline = anatomy.face_height(face), face[OVAL, :2]
        away = outline - outline.mean(0)
        away *= CLEAR * height / np.linalg.norm(away, axis=1, keepdims=True)
        forehead, chin = face[anatomy.FOREHEAD], face[anatomy.CHIN]
        along = chin - forehead
        back = np.cross(face[SIDES[1]] - face[SIDES[0]], along)
        back *= height / max(float(np.linalg.norm(back)), 1e-6)
        behind, tilted, below_that = NECK
        down = along[:2] / height
        down = np.array([0.0, 1.0]) if down[1] > UPRIGHT else down
        neck = ((forehead + chin) / 2 + behind * back + tilted * along)[:2]
        neck += below_that * height * down

        def band(first: Array, last: Array, half: tuple[float, float]) -> Mask:
            return _band((first, last), (half[0] * height, half[1] * height), size)

        def above(reach: float, half: tuple[float, float]) -> Mask:
            return band(forehead[:2], (forehead - reach * along)[:2], half)

        def below(reach: float, half: tuple[float, float]) -> Mask:
            return band(neck, neck + reach * height * down, half)

        head = np.zeros(size[::-1], np.uint8)
        top, end = np.rint([(forehead - ABOVE * along)[:2], neck]).astype(int).tolist()
        cv2.line(head, top, end, (1,), max(1, round(2 * AWAY * height)))
        rows, columns = np.ogrid[: size[1], : size[0]]
        return _Body(
            polygon_mask(outline, size),
            above(ABOVE, CROWN),
            below(BELOW, TRUNK),
            below(BELOW, CHEST),
            below(BELOW, SHOULDERS),
            polygon_mask(outline + away, size) | above(HAIR_ABOVE, HAIR),
            head > 0,
            below(FAR_BELOW, APART),
            (columns - neck[0]) * down[0] + (rows - neck[1]) * down[1] >= 0,
            down,
        )

    def crown(self, others: Sequence[_Body]) -> Mask:
        """Return the hair above the face, not before another head."""
        return _without(self.skull, [other.near for other in others])

    def trunk(self, others: Sequence[_Body]) -> Mask:
        """Return what is below the face, down to another head."""
        places = np.nonzero(self.column)
        depth = np.column_stack(places) @ self.down[::-1]
        kept = np.ones(len(depth), bool)
        for other in others:
            met = depth[kept & other.near[places]]
            if len(met):
                kept &= depth < met.min()
        return _only(self.column, kept)

    def chest(self, others: Sequence[_Body]) -> Mask:
        """Return what is below the face and beside that, and can be of nobody else."""
        breast = _without(self.breast, [other.lower for other in others])
        shoulders = _without(self.shoulders, [other.flanks for other in others])
        return _without(breast | shoulders, [other.head for other in others])


def _without(mask: Mask, others: Sequence[Mask]) -> Mask:
    """Return a mask without what others cover."""
    places = np.nonzero(mask)
    kept = np.ones(len(places[0]), bool)
    for other in others:
        kept &= ~other[places]
    return _only(mask, kept)


def _only(mask: Mask, kept: Mask) -> Mask:
    """Return a mask with those of its samples that are kept, in their order, (n,)."""
    out = mask.copy()
    out[mask] = kept
    return out


def _band(ends: tuple[Array, Array], half: tuple[float, float], size: tuple[int, int]) -> Mask:
    """Return a band between two points (2,), (rows, columns); half: of its width at each."""
    first, last = ends
    along = (last - first) / max(float(np.linalg.norm(last - first)), 1e-6)
    across = np.array([-along[1], along[0]])
    near, far = (share * across for share in half)
    return polygon_mask(np.array([first - near, first + near, last + far, last - far]), size)
