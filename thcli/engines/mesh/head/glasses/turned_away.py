"""Lenses of the side of a head that turns away: without ends, and cut where they have no rim.

The end piece of a frame, between lens and hinge, goes back along the head like the temple that it
holds, and so vanishes with it behind the lens. A rim that is not told from the skin is not seen
before a background either; what is left of it there would be debris.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Image
from thcli.engines.mesh.anatomy import neutral_distances
from thcli.engines.mesh.head.glasses.places import Places
from thcli.engines.mesh.head.glasses.temples import Temple
from thcli.engines.mesh.sampling import box_mean
from thcli.faces.landmarks.topology import EYES, TRIANGLES

THIN = 0.045  # face heights, half of the height below which glasses are no lens but an end piece
AROUND_LIDS = 0.03  # face heights around eyes with their lids that are lens
ROUND = 0.02  # face heights around a lens that its corners take
INNER = 0.24  # face heights from the bridge from which ends are looked for
# Face heights outwards that a temple loses as its head turns: its end begins to vanish, is gone
AWAY = (0.03, 0.12)
ANGLES = 18  # places along the outer half of a lens in which a rim is looked for
SEEN = 0.5  # opacity of a rim
CLOSED = 0.75  # share of these places from which a rim is seen beyond the outline, too
AROUND = 0.22  # face heights around the eyes whose skin hides a lens
STEPS = 4  # samples of an edge of the mesh
ROWS = 40  # of an outline
SHIFT = 4  # bits of a pixel's fraction in an outline


@dataclass(frozen=True, slots=True)
class Away:
    """A lens as its side turns away.

    texture: (h, w, 4) uint8 premultiplied, of the lens without the end piece.  temple: beside it.
    is_closed: whether its rim is seen all around.
    """

    texture: Image
    temple: Temple
    is_closed: bool


@dataclass(frozen=True, slots=True)
class Outline:
    """Outline of a face's side in a frame.

    points: (468, 3) target mesh.  outwards: (2,) direction of the side in the frame, of length 1.
    kept: 0..1, share that stays of what lies beyond.
    """

    points: Array
    outwards: Array
    kept: float

    def cut(self, texture: Image, corner: npt.NDArray[np.integer]) -> Image:
        """Return what is laid over a frame without what lies beyond the outline.

        Args:
            texture: (h, w, 4) premultiplied, in the frame.
            corner: (2,) pixel of the frame that is the texture's first.
        """
        outwards = self.outwards
        axes = np.stack([outwards, [-outwards[1], outwards[0]]], 1)
        ends = ((self.points[:, :2] - corner) @ axes).T
        far = ends[0, _EDGES].max(0) > ends[0, _EDGES].mean()
        first, last = ends[:, _EDGES[0, far]], ends[:, _EDGES[1, far]]
        out, row = first[:, None] + _WAY * (last - first)[:, None]
        low, high = float(row.min()), float(row.max())
        place = np.clip(((row - low) / max(high - low, 1e-6) * ROWS).astype(int), 0, ROWS - 1)
        farthest = np.full(ROWS, -np.inf)
        np.maximum.at(farthest, place.ravel(), out.ravel())
        rows = low + (np.arange(ROWS) + 0.5) * (high - low) / ROWS
        known = np.isfinite(farthest)
        inside = np.full(2, float(out.min()) - (high - low))
        head = np.stack([np.append(farthest[known], inside), [*rows[known], high, low]], 1)
        polygon = np.rint(head @ axes.T * 2**SHIFT).astype(np.int32)
        shown = np.full(texture.shape[:2], round(255 * self.kept), np.uint8)
        cv2.fillPoly(shown, [polygon], 255, cv2.LINE_AA, SHIFT)
        return np.asarray(cv2.multiply(texture, cv2.merge([shown] * 4), scale=1 / 255), np.uint8)


@dataclass(frozen=True, slots=True)
class Turn:
    """A lens's side in a frame: 0..1 how far its end piece is seen; what cuts it, or None."""

    share: float
    outline: Outline | None


def find(away: Away, target_from_source: Array, points: Array, size: float) -> Turn:
    """Return how far a lens's side is turned away.

    Args:
        away: of the lens.
        target_from_source: (3, 3) of the head.
        points: (468, 3) target mesh.
        size: of the source's face in pixels.
    """
    outwards = flat(target_from_source @ away.temple.outwards)
    hinge, ear = away.temple.whole[:2] @ target_from_source[:2].T
    scale = float(np.cbrt(abs(np.linalg.det(target_from_source))))
    grown = float((ear - hinge) @ outwards) / max(scale * size, 1e-9)
    share = 1 - float(smoothstep(*AWAY, away.temple.full - grown))
    is_whole = away.is_closed or share >= 1
    return Turn(share, None if is_whole else Outline(points, outwards, share))


def flat(direction: Array) -> Array:
    """Return a direction (3,) in the picture, (2,) of length 1."""
    return np.asarray(direction[:2] / max(float(np.linalg.norm(direction[:2])), 1e-9))


def find_ends(
    worn: npt.NDArray[np.bool_], eyes: npt.NDArray[np.bool_], places: Places, size: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the lenses and the end pieces beside them, (h, w) each, of what is glasses.

    Args:
        worn: (h, w) glasses in a crop, which may leave out what is seen through them.
        eyes: (h, w) eyes with their lids.
        places: of its pixels.
        size: of the face in pixels.
    """
    lids = cv2.dilate(eyes.astype(np.uint8), _disc(AROUND_LIDS * size)) > 0
    seen = (worn | lids).astype(np.uint8)
    lens = cv2.morphologyEx(seen, cv2.MORPH_OPEN, _disc(THIN * size))
    grown = cv2.dilate(lens, _disc(ROUND * size))
    beside = (grown == 0) & (np.abs(places.across) > INNER)
    joints = cv2.dilate((worn & beside).astype(np.uint8), _disc(ROUND * size)) > 0
    return lens > 0, beside | joints & (lens == 0)


def is_closed(alpha: Image, lens: npt.NDArray[np.bool_], places: Places, side: int) -> bool:
    """Return whether the outer half of a lens's rim is seen all around.

    Args:
        alpha: (h, w) uint8 of the glasses without their ends.
        lens: (h, w) from `find_ends`.
        places: of the pixels.
        side: -1 or 1, of the image.
    """
    own = lens & (places.across * side > 0)
    if not own.any():
        return False
    across, down = places.across * side, places.down
    middle = (across[own].min() + across[own].max()) / 2, (down[own].min() + down[own].max()) / 2
    half = max(np.ptp(across[own]), 1e-6) / 2, max(np.ptp(down[own]), 1e-6) / 2
    x, y = (across - middle[0]) / half[0], (down - middle[1]) / half[1]
    rim = (np.hypot(x, y) > 0.6) & (x > 0.1) & (across > 0) & (np.abs(y) < 2)
    angle = np.arctan2(y[rim], x[rim])
    bins = np.clip(((angle / np.pi + 0.5) * ANGLES).astype(int), 0, ANGLES - 1)
    opaque = np.zeros(ANGLES)
    np.maximum.at(opaque, bins, box_mean(alpha, 3)[rim] / 255.0)
    return bool((opaque > SEEN).mean() > CLOSED)


def shown_texture(texture: Image, away: Away, turn: Turn) -> Image:
    """Return a lens's texture (h, w, 4) with as much of the end piece as is still seen."""
    if turn.share >= 1:
        return texture
    if turn.share <= 0:
        return away.texture
    return np.asarray(cv2.addWeighted(texture, turn.share, away.texture, 1 - turn.share, 0))


def _disc(radius: float) -> Image:
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _edges() -> npt.NDArray[np.intp]:
    near = neutral_distances(np.concatenate(EYES)) < AROUND
    pairs = np.concatenate([TRIANGLES[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    pairs = np.unique(np.sort(pairs, 1), axis=0)
    return np.asarray(pairs[near[pairs].all(1)].T, np.intp)


_EDGES = _edges()
_WAY = np.linspace(0, 1, STEPS)[:, None]
