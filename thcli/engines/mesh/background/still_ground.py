"""Background of a source video's frame, which stays where it is as the person's head moves.

A frame has no plate: what a head uncovers is drawn in from beside it, and lines of the background
would bend with it. They bend only where the person is shown, or was.
"""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy, compose
from thcli.engines.mesh.background import blocks
from thcli.engines.mesh.background.windows import iterate_blocks_in, upsample_block
from thcli.engines.mesh.sampling import (
    box_mean,
    largest,
    mix,
    odd_size,
    polygon_mask,
    remap,
    resize,
    to_levels,
)
from thcli.engines.mesh.warp import WarpMap
from thcli.faces.landmarks.topology import OVAL

MOVING = (0.008, 0.03)  # face heights of the head's motion: the map moves all, the person alone
LIKELY = (0.05, 0.4)  # probabilities of the person below which is background, above which it moves
COVERED = (0.75, 0.95)  # share of the face that is seen as a person: not trusted, trusted
REACH, SOFT = 0.03, 0.03  # face heights around the person that it moves with, and of its edge
SAMPLES = 96  # of what moves, per face height


def strength(mesh: Array, target: Array) -> float:
    """Return how far the background of a frame is to be held, 0..1, by its head's motion.

    Args:
        mesh, target: (468, 3) pixels, the frame's own and where it goes.
    """
    moved = np.hypot(*(target - mesh)[anatomy.RIGID, :2].T)
    return float(smoothstep(*MOVING, float(moved.max()) / anatomy.face_height(mesh)))


def find_person(probability: Array32, mesh: Array, size: tuple[int, int], held: float) -> Array32:
    """Find what moves with a head, the person and what is next to it.

    Args:
        probability: (h, w) of the person in 0..1, over the whole frame.
        mesh: (468, 3) pixels.
        size: (width, height) of the frame.
        held: from `strength`.

    Returns:
        (rows, columns) float32 in 0..1 over the frame; 1 everywhere where the background is not
        held.
    """
    step = max(1.0, anatomy.face_height(mesh) / SAMPLES)
    face_size = anatomy.face_height(mesh) / step
    columns, rows = (max(1, round(side / step)) for side in size)
    seen = resize(probability, (columns, rows), shrink=True)
    scale = np.array([columns, rows]) / size
    oval = polygon_mask((mesh[OVAL, :2] + 0.5) * scale - 0.5, (columns, rows))
    covered = float(seen[oval].mean()) if oval.any() else 0.0
    held *= float(smoothstep(*COVERED, covered))
    person = np.asarray(smoothstep(*LIKELY, seen), np.float32)
    person[oval] = 1
    reach = odd_size(2 * REACH * face_size)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    near = box_mean(np.asarray(cv2.dilate(person, disc), np.float32), odd_size(SOFT * face_size))
    return np.asarray(1 - held * (1 - near), np.float32)


def hold(out: Image, image: Image, person: Array32, warp_map: WarpMap) -> None:
    """Show a frame's own background beside its person, in place.

    Args:
        out: (H, W, 3) uint8 frame that was rendered through the map.
        image: (H, W, 3) uint8 the frame itself.
        person: from `find_person`.
        warp_map: of the frame.
    """
    grid, size = warp_map.grid, (image.shape[1], image.shape[0])
    scale = np.array([person.shape[1] / size[0], person.shape[0] / size[1]], np.float32)
    own = np.dstack(np.meshgrid(*grid.pixel_axes())).astype(np.float32)
    shown, was = (
        remap(person, (positions + np.float32(0.5)) * scale - np.float32(0.5))
        for positions in (compose.source_positions(warp_map), own)
    )
    still = 1 - np.maximum(shown, was)
    changed = np.where(largest(np.abs(warp_map.displacement)) > blocks.SLACK, still, 0)
    for region, block in iterate_blocks_in(changed, grid, size):
        share = to_levels(upsample_block(still, block, grid, region))
        out[region] = mix(out[region], image[region], share)
