"""Thin things that leave the matte: strands of hair, earrings."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import largest_channel
from thcli.core.types import Array32, Image
from thcli.engines.mesh.sampling import distance_to, odd_size

STRAND_REACH = 0.3  # face heights from the matte to the end of a thin thing
LINE_REACH = 0.45  # face heights from the matte where lines of the background are looked for
BESIDE = 0.14  # face heights from the matte to the middle of what stands beside the person
STRAND_WIDTH = 0.06  # face heights, the widest gap between what is beside a strand
STRAND_THICKNESS = 0.05  # face heights from which a thing is not thin
STRAND_CONTRAST = 0.05  # by which a strand differs from what is around it, of 0..1
STRAND_DEVIATIONS = 6.0  # of the surroundings' own contrast, above which a strand counts
TEXTURE_BAND = 0.12  # face heights from the matte, beyond which lines are the background's
MOST_TEXTURE = 0.01  # share of lines in that band above which the background is textured


def find_strands(small: Array32, alpha: Array32, face_size: float) -> Array32:
    """Find thin things that leave the matte, which the network is too coarse to see.

    They differ from both of their sides, are connected to the person and end near it. A line that
    goes on is the background's, and so is one that runs beside the person and touches it with an
    end. Before a textured background only what stands out from its lines is found, and nothing
    where these are many: they cannot be told from hair.

    Args:
        small: (h, w, 3) image in 0..1.
        alpha: (h, w) matte in 0..1.
        face_size: samples per face height.

    Returns:
        (h, w) float32, 0 or 1.
    """
    person = alpha > 0.5
    distance = distance_to(alpha >= 0.05) / np.float32(face_size)
    around = (distance > 0) & (distance < LINE_REACH)
    if not around.any() or not person.any():
        return np.zeros_like(alpha)
    lines = _find_lines(small, around, face_size)
    joined = _join(lines)
    _, labels = cv2.connectedComponents(np.maximum(joined, (alpha > 0.05).astype(np.uint8)))
    held = lines & np.isin(labels, np.unique(labels[person]))
    # without the person, each thing is a component of its own
    _, things = cv2.connectedComponents(_join(held))
    far = np.unique(things[held & (distance >= STRAND_REACH)])
    strands = held & ~np.isin(things, far)
    band = around & (distance > TEXTURE_BAND)
    if band.any() and (lines & ~strands)[band].mean() > MOST_TEXTURE:
        return np.zeros_like(alpha)
    strands[strands] = ~_beside(np.asarray(things[strands], np.int32), distance[strands])
    return strands.astype(np.float32)


def _beside(things: npt.NDArray[np.int32], distance: Array32) -> npt.NDArray[np.bool_]:
    """Tell which samples (n,) belong to things that stand beside the person.

    Args:
        things: (n,) number of each sample's thing.
        distance: (n,) face heights from the matte.
    """
    order = np.argsort(things, kind="stable")
    numbers, starts = np.unique(things[order], return_index=True)
    parts = np.split(distance[order], starts)[1:]
    beside = [float(np.median(part)) > BESIDE for part in parts]
    return np.isin(things, numbers[np.array(beside, bool)])


def _join(lines: npt.NDArray[np.bool_]) -> Image:
    """Bridge gaps of two samples, (h, w) uint8."""
    return np.asarray(cv2.dilate(lines.astype(np.uint8), np.ones((3, 3), np.uint8)))


def _find_lines(
    small: Array32, around: npt.NDArray[np.bool_], face_size: float
) -> npt.NDArray[np.bool_]:
    """Find thin lines, dark, bright or of another colour, in a part of an image (h, w, 3) 0..1."""
    width = odd_size(STRAND_WIDTH * face_size)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    contrast = np.maximum(
        largest_channel(cv2.morphologyEx(small, cv2.MORPH_BLACKHAT, kernel)),
        largest_channel(cv2.morphologyEx(small, cv2.MORPH_TOPHAT, kernel)),
    )
    values = contrast[around]
    middle = float(np.median(values))
    spread = 1.5 * float(np.median(np.abs(values - middle)))
    seen = contrast > max(STRAND_CONTRAST, middle + STRAND_DEVIATIONS * spread)
    thickness = odd_size(STRAND_THICKNESS * face_size)
    thick = cv2.morphologyEx(
        seen.astype(np.uint8), cv2.MORPH_OPEN, np.ones((thickness, thickness), np.uint8)
    )
    return np.asarray(seen & around & (thick == 0))
