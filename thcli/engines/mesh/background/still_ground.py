"""Background of a source video's frame, which stays where it is as the person's head moves.

A frame has no plate: what a head uncovers is drawn in from beside it, and lines of the background
would bend with it. They bend only where the person is shown, or was. A head whose top the picture
shows moves down whole, and what that uncovers is filled smoothly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.background import blocks
from thcli.engines.mesh.background.plate import push_pull
from thcli.engines.mesh.background.windows import iterate_blocks_in, upsample_block
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import (
    box_mean,
    largest,
    mix,
    odd_size,
    polygon_mask,
    remap,
    resize,
    to_levels,
    to_samples,
)
from thcli.engines.mesh.warp import WarpMap
from thcli.faces.landmarks.topology import OVAL

MOVING = (0.008, 0.03)  # face heights of the head's motion: the map moves all, the person alone
LIKELY = (0.05, 0.4)  # probabilities of the person below which is background, above which it moves
COVERED = (0.75, 0.95)  # share of the face that is seen as a person: not trusted, trusted
REACH, SOFT = 0.03, 0.03  # face heights around the person that it moves with, and of its edge
SAMPLES = 96  # of what moves, per face height
COARSER = 2  # samples of the map per sample at which that is shown: a frame's map is fine for lips
# Of these, upper rows that are not shown where the person ends, a line and noise; and those below
# behind which the background is filled, too
UPPER_ROWS, ALSO_BELOW = (0.2, 1.2), 3.0
# Face heights of the picture's upper edge that a head covers: it ends there as it does, it is drawn
# out to the edge
CUT_OFF = (0.35, 0.8)


# Estimates a picture's (H, W, 3) person probability, (H, W) in 0..1; None without its network
FindPerson = Callable[[Image], Array32 | None]


@dataclass(frozen=True, slots=True)
class StillGround:
    """Parts of a source video's frame that move with its head, and those that stay.

    person: (rows, columns) float32 in 0..1 over the frame, with what is next to it.
    held: 0..1, how far the background stays.  ends_above: 0..1, how far the person ends where the
    picture does, above which nothing of it is shown.
    """

    person: Array32
    held: float
    ends_above: float


def strength(mesh: Array, target: Array) -> float:
    """Return how far the background of a frame is to be held, 0..1, by its head's motion.

    Args:
        mesh, target: (468, 3) pixels, the frame's own and where it goes.
    """
    moved = np.hypot(*(target - mesh)[anatomy.RIGID, :2].T)
    return float(smoothstep(*MOVING, float(moved.max()) / anatomy.face_height(mesh)))


def find(image: Image, mesh: Array, held: float, find_person: FindPerson) -> StillGround | None:
    """Tell the person of a frame from its background.

    Args:
        image: (H, W, 3) uint8 frame.
        mesh: (468, 3) pixels.
        held: from `strength`.
        find_person: gives the person probability of the frame, reduced.

    Returns:
        None where the face is not seen as a person, and without a probability.
    """
    step = max(1.0, anatomy.face_height(mesh) / SAMPLES)
    face_size = anatomy.face_height(mesh) / step
    size = image.shape[1], image.shape[0]
    columns, rows = (max(1, round(side / step)) for side in size)
    seen = find_person(resize(image, (columns, rows), shrink=True))
    if seen is None:
        return None
    oval = polygon_mask(to_samples(mesh[OVAL, :2], _step(seen, size)), (columns, rows))
    covered = float(seen[oval].mean()) if oval.any() else 0.0
    held *= float(smoothstep(*COVERED, covered))
    if held <= 0:
        return None
    person = np.asarray(smoothstep(*LIKELY, seen), np.float32)
    chord = float(person[0].sum()) / face_size
    person[oval] = 1
    reach = odd_size(2 * REACH * face_size)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    near = box_mean(np.asarray(cv2.dilate(person, disc), np.float32), odd_size(SOFT * face_size))
    return StillGround(near, held, held * float(1 - smoothstep(*CUT_OFF, chord)))


def hold(out: Image, image: Image, ground: StillGround, warp_map: WarpMap) -> None:
    """Show a frame's own background beside its person, in place.

    Args:
        out: (H, W, 3) uint8 frame that was rendered through the map.
        image: (H, W, 3) uint8 the frame itself.
        ground: of the frame.
        warp_map: of the frame.
    """
    fine, size = warp_map.grid, (image.shape[1], image.shape[0])
    columns, rows = max(1, fine.columns // COARSER), max(1, fine.rows // COARSER)
    grid = SampleGrid(fine.x0, fine.y0, COARSER * fine.step, columns, rows)
    moved = resize(warp_map.displacement, (columns, rows), shrink=True)
    own = grid.pixel_positions()
    step = _step(ground.person, size)
    at_own, at_shown = (to_samples(places, step) for places in (own, own + moved))
    shown, was = remap(ground.person, at_shown), remap(ground.person, at_own)
    above = np.float32(ground.ends_above) * (1 - smoothstep(*UPPER_ROWS, at_shown[..., 1]))
    still = np.float32(ground.held) * (1 - (1 - above) * np.maximum(shown, was))
    changed = np.where(largest(np.abs(moved)) > blocks.SLACK, still, 0)
    # made up from a little below, so that the person's own place does not shine through
    uncovered = was * (at_shown[..., 1] < UPPER_ROWS[1] + ALSO_BELOW)
    behind = _fill(image, ground.person) if (above * was).any() else None
    for region, block in iterate_blocks_in(changed, grid, size):
        kept = image[region]
        if behind is not None:
            at = upsample_block(at_own, block, grid, region)
            share = to_levels(upsample_block(uncovered, block, grid, region))
            kept = mix(kept, remap(behind, at), share)
        share = to_levels(upsample_block(still, block, grid, region))
        out[region] = mix(out[region], kept, share)


def _step(samples: Array32, size: tuple[int, int]) -> Array32:
    """Return the pixels per sample, x and y, of samples (rows, columns) over a frame of a size."""
    return np.asarray(np.array(size) / samples.shape[::-1], np.float32)


def _fill(image: Image, person: Array32) -> Image:
    """Return a frame without its person, filled smoothly, (rows, columns, 3) uint8."""
    small = resize(image, (person.shape[1], person.shape[0]), shrink=True)
    filled = push_pull(small.astype(np.float32), person > 0)
    return np.asarray(np.clip(filled + np.float32(0.5), 0, 255), np.uint8)
