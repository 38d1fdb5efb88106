"""Strands of hair that leave the matte."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array32

STRAND_REACH = 0.2  # face heights from the matte to the end of a loose strand of hair
STRAND_WIDTH = 0.06  # face heights, the widest gap between what is beside a strand
STRAND_THICKNESS = 0.05  # face heights from which a dark thing is none of hair
STRAND_TONE = 0.12  # by which a strand may be darker than the person's own edge
STRAND_CONTRAST = 0.05  # by which a strand is darker than what is around it, of 0..1
STRAND_DEVIATIONS = 6.0  # of the surroundings' own contrast, above which a strand counts
TEXTURE_BAND = (0.12, 0.3)  # face heights from the matte, where strands are rare
MOST_TEXTURE = 0.01  # share of dark lines in that band above which the background is textured


def find_strands(small: Array32, alpha: Array32, face_size: float, lowest: int) -> Array32:
    """Find dark strands of hair that leave the matte, which the network is too coarse to see.

    They are thin, darker than both of their sides, and connected to the person. Before a textured
    background nothing is found: its lines cannot be told from hair.

    Args:
        small: (h, w, 3) image in 0..1.
        alpha: (h, w) matte in 0..1.
        face_size: samples per face height.
        lowest: row of the chin; below it there is more in the picture than hair.

    Returns:
        (h, w) float32, 0 or 1.
    """
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    width = max(3, 2 * round(STRAND_WIDTH * face_size / 2) + 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    contrast = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel)
    person = alpha > 0.5
    outside = (alpha < 0.05).astype(np.uint8)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, 5) / np.float32(face_size)
    distance[lowest:] = 0
    around = (distance > 0) & (distance < STRAND_REACH)
    if not around.any() or not person.any():
        return np.zeros_like(alpha)
    values = contrast[around]
    middle = float(np.median(values))
    spread = 1.5 * float(np.median(np.abs(values - middle)))
    dark = contrast > max(STRAND_CONTRAST, middle + STRAND_DEVIATIONS * spread)
    band = (distance > TEXTURE_BAND[0]) & (distance < TEXTURE_BAND[1])
    if band.any() and dark[band].mean() > MOST_TEXTURE:
        return np.zeros_like(alpha)
    thickness = max(3, 2 * round(STRAND_THICKNESS * face_size / 2) + 1)
    thick = cv2.morphologyEx(
        dark.astype(np.uint8), cv2.MORPH_OPEN, np.ones((thickness, thickness), np.uint8)
    )
    edge = (alpha > 0.05) & ~person
    inner = cv2.erode(person.astype(np.uint8), np.ones((width, width), np.uint8)) == 0
    rim = grey[:lowest][(person & inner)[:lowest]]
    hair_tone = float(np.median(rim)) if rim.size else 0.0
    thin = dark & around & (thick == 0) & (grey > hair_tone - STRAND_TONE)
    _, labels = cv2.connectedComponents((person | edge | thin).astype(np.uint8))
    return np.asarray(np.isin(labels, np.unique(labels[person])) & thin, np.float32)
