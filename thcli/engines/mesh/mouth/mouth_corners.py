"""The raised corner of a mouth that opens at one side.

Landmarks follow a smirk by about two thirds: the dark corner of the mouth lies beyond them, on what
they call lip and cheek. It then stays where it is when the lips close or move. `find_shift` looks
for it in the picture.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from thcli.core.geometry import rotvec_from_matrix
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Face, Image
from thcli.engines.mesh.anatomy import CHIN, FOREHEAD, LIPS
from thcli.engines.mesh.mouth.colours import skin_tone
from thcli.engines.mesh.sampling import remap
from thcli.motion import anatomy, canonical
from thcli.motion.timeline import Bools

# Slant of the line between the corners against the face, its height over its length: a straight
# mouth, and a smirk
SLANT_RANGE = (0.05, 0.1)
TURN_RANGE = (np.radians(25.0), np.radians(40.0))  # of the head, beyond which no corner is sought
STEP = 0.0125  # widths between samples around the corner
ALONG = np.arange(-0.3, 0.3 + STEP / 2, STEP)  # widths outwards from it, and down, that are sampled
DOWN = np.arange(-0.3, 0.2 + STEP / 2, STEP)
MOST_LIGHT = 0.6  # brightness over the skin's, of the dark in a corner of the mouth at most
DARK_QUANTILE = 0.1  # of the brightness between the lips' corner half, taken as the dark
DARK_SHARES = (0.5, 0.35, 0.2)  # of the way from there to the skin, below which a pixel is dark
# widths beside the end of the dark that are averaged; where landmarks of a straight grin have it
TIP, USUAL_TIP = 0.03, np.array([-0.03, 0.015])
SURE_RANGE, MOST_SHIFT = (0.02, 0.04), 0.2  # widths
RIM_MARGIN, OVER_BLUR = 0.01, 0.04  # widths
FALLOFF = 0.3  # widths over which the shift of the landmarks fades out


def slant(mesh: Array) -> float:
    """Return how much higher the corner on the image's right lies in the face, over the width."""
    shape = canonical.decompose(mesh).shape
    left, right = shape[list(anatomy.INNER_MOUTH_CORNERS)]
    return float((left[1] - right[1]) / max(float(np.linalg.norm(right - left)), 1e-9))


def smirk_share(mesh: Array) -> float:
    """Return 0..1, how far a mouth is slanted as in a smirk, which moves lips aside."""
    return float(smoothstep(*SLANT_RANGE, abs(slant(mesh))))


def refine(image: Image, face: Face) -> Face:
    """Move the landmarks of a picture's face (H, W, 3) uint8 to its raised corner."""
    mesh = np.asarray(face.mesh, np.float64)
    shift = find_shift(image, mesh)
    return replace(face, mesh=(mesh + shift).astype(np.float32)) if shift.any() else face


def correct(image: Image, mesh: Array, target: Array) -> tuple[Array, Array]:
    """Move the landmarks of a frame to the raised corner, and its target as far as that keeps it.

    Args:
        image: (H, W, 3) uint8 frame.
        mesh, target: (468, 3) pixels, the frame's own and where it goes.

    Returns:
        Both; the same arrays where nothing is shifted.
    """
    shift = find_shift(image, mesh)
    if not shift.any():
        return mesh, target
    kept = float(np.clip(slant(target) / slant(mesh), 0, 1))
    return mesh + shift, target + kept * shift


def find_shift(image: Image, mesh: Array) -> Array:
    """Find by how much landmarks miss the raised corner of a slanted mouth.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.

    Returns:
        (468, 3) pixels from the landmarks to where they belong, 0 where the mouth is straight or
        the picture shows no dark corner.
    """
    shift = np.zeros_like(mesh)
    slanted = slant(mesh)
    turn = abs(float(rotvec_from_matrix(canonical.decompose(mesh).rotation)[1]))
    share = smirk_share(mesh) * (1 - float(smoothstep(*TURN_RANGE, turn)))
    if share <= 0:
        return shift
    raised, other = anatomy.INNER_MOUTH_CORNERS[:: -1 if slanted > 0 else 1]
    axes = _corner_axes(mesh, raised, other)
    squared = float(axes[0] @ axes[0])
    local = (mesh[:, :2] - mesh[raised, :2]) @ axes.T / max(squared, 1.0)
    dark = _find_dark(image, mesh, local)
    if dark is None:
        return shift
    rows, columns = np.nonzero(dark)
    last = ALONG[columns] > ALONG[columns].max() - TIP
    tip = np.array([ALONG[columns][last].mean(), DOWN[rows][last].mean()])
    missed = np.clip(tip - USUAL_TIP, (0, -MOST_SHIFT), (MOST_SHIFT, 0))  # outwards and up
    missed *= float(smoothstep(*SURE_RANGE, np.hypot(*missed)))
    near = np.exp(-((np.linalg.norm(local, axis=-1) / FALLOFF) ** 2))
    found = near[:, None] * missed
    found[:, 1] -= _missed_above(dark, local + found)
    shift[:, :2] = share * found @ axes
    return shift


def _corner_axes(mesh: Array, corner: int, other: int) -> Array:
    """Return the vectors of one width outwards along the mouth and down the face, (2, 2) pixels."""
    along = mesh[corner, :2] - mesh[other, :2]
    down = np.array([-along[1], along[0]])
    down *= 1 if down @ (mesh[CHIN, :2] - mesh[FOREHEAD, :2]) >= 0 else -1
    return np.stack([along, down])


def _find_dark(image: Image, mesh: Array, local: Array) -> Bools | None:
    """Find the dark of a mouth's corner, (len(DOWN), len(ALONG)).

    None unless it begins between the lips and ends within what is sampled.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        local: (468, 2) widths of it outwards and down from the corner.
    """
    grid = np.stack(np.meshgrid(ALONG, DOWN), -1).reshape(-1, 2)
    pixels_from_local = np.linalg.lstsq(np.c_[local, np.ones(len(local))], mesh[:, :2])[0]
    places = np.c_[grid, np.ones(len(grid))] @ pixels_from_local
    places = places.reshape(len(DOWN), len(ALONG), 2).astype(np.float32)
    light = remap(image, places).astype(np.float32).mean(-1)
    light = cv2.GaussianBlur(light, (0, 0), 1.0)
    rim = np.rint((local[LIPS] - (ALONG[0], DOWN[0])) / STEP * 16).astype(np.int32)
    between = np.zeros(light.shape, np.uint8)
    cv2.fillPoly(between, [rim], 1, cv2.LINE_4, 4)
    beside = (between > 0) & (ALONG <= 0)
    if not beside.any():
        return None
    skin = max(float(skin_tone(image, mesh).mean()), 1.0)
    darkest = float(np.quantile(light[beside], DARK_QUANTILE))
    for part in DARK_SHARES:
        is_dark = light < min(darkest + part * (skin - darkest), MOST_LIGHT * skin)
        _, labels = cv2.connectedComponents(is_dark.astype(np.uint8), connectivity=4)
        found = np.isin(labels, np.setdiff1d(labels[beside & is_dark], [0]))
        ends = not (found[0].any() or found[-1].any() or found[:, -1].any())
        if ends and found.any():
            return np.asarray(found)
    return None


def _missed_above(dark: Bools, local: Array) -> Array:
    """Measure how far the dark reaches over the upper lip's landmarks, (468,) widths at each point.

    The skin above the lip moves less, what is below it not at all.
    """
    lip, rings = local[anatomy.LIPS.upper], anatomy.LIPS.upper_rings
    inwards = np.argsort(lip[:, 0])
    rim = np.interp(ALONG, lip[inwards, 0], lip[inwards, 1])
    top = np.where(dark.any(0), DOWN[dark.argmax(0)], np.inf)
    over = np.clip(rim - RIM_MARGIN - top, 0, MOST_SHIFT).astype(np.float32)
    over = cv2.GaussianBlur(over[None], (0, 0), OVER_BLUR / STEP)[0]
    missed = np.interp(local[:, 0], ALONG, over, left=0.0, right=0.0)
    edge = local[rings[-1]]
    outwards = np.argsort(edge[:, 0])
    above = np.interp(local[:, 0], edge[outwards, 0], edge[outwards, 1]) - local[:, 1]
    share = np.where(above > 0, np.exp(-((above / FALLOFF) ** 2)), 0.0)
    share[np.r_[anatomy.LIPS.upper, rings.ravel()]] = 1.0
    return np.asarray(share * missed)
