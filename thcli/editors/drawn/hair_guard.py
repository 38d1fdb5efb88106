"""Hair that belongs to the head: what hangs beside the neck, and what merely looks like hair.

A parser takes wood or a wall beside the neck for long hair. Hair that hangs comes past the ear, so
a thing that is wide beside the neck and narrow at the ear is doubted unless the parser is sure; and
a patch apart from the hair of the head is dropped when its colour is another.
"""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.imaging import smoothstep, to_lab
from thcli.core.types import Array, Array32, Image
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing.classes import HAIR, group_probability

_TOP, _CHIN = 10, 152  # points of the mesh
# Positions in face heights, forehead to chin: the grid, the rows at the ear and beside the neck.
_REACH, _STEP = 1.4, 0.02
_EAR, _NECK = (0.2, 0.6), (0.65, 1.15)
_COUNTED = (0.3, 0.6)  # probability that becomes 0..1 of a width
_HANGS = 0.03  # mean width beside the neck below which no hair hangs
# Limits of doubt and trust, chosen on 52 pictures and clips, of which one showed such wood.
_NARROW = (0.26, 0.33)  # narrowest width at the ear over that beside the neck
_SURE = (0.71, 0.76)  # probability
_BELIEVED = (0.35, 0.65)  # mean over the clip
_BELOW, _BESIDE = (0.36, 0.5), (0.85, 1.0)  # zone of hanging hair: down, out of the outline
_APART, _HEAD = 0.25, 0.35  # probability that joins patches; hair above it is the head's
_OTHER_COLOUR = (22.0, 36.0)  # CIE Lab
_FEW = 30  # pixels


def hanging_hair(mesh: Array, side: int, regions: Array32) -> Array:
    """Return (2,) 0..1 for the left and the right of the image, how surely hair hangs there.

    Args:
        mesh: (468, 3), pixels of the crop.
        side: of the crop, pixels.
        regions: (19, S', S') probabilities.
    """
    hair = group_probability(regions, HAIR)
    down, across = np.meshgrid(
        np.arange(_EAR[0], _NECK[1], _STEP), np.arange(-_REACH, _REACH, _STEP), indexing="ij"
    )
    top, axis, height = _axis(mesh, side, len(hair))
    x = top[0] + height * (down * axis[0] + across * axis[1])
    y = top[1] + height * (down * axis[1] - across * axis[0])
    sampled = cv2.remap(hair, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
    low, high = _COUNTED
    counted = np.clip((sampled - low) / (high - low), 0, 1)
    ear, neck = down[:, 0] < _EAR[1], down[:, 0] >= _NECK[0]
    out = np.ones(2)
    for number, own in enumerate((across < 0, across >= 0)):
        widths = cv2.blur((counted * own).sum(1)[:, None] * _STEP, (1, 3))[:, 0]
        wide = float(widths[neck].mean())
        inside = sampled[neck] * (own[neck] * counted[neck] > 0)
        if wide > _HANGS:
            probable = float(inside.sum()) / max(float((inside > 0).sum()), 1.0)
            narrow = float(widths[ear].min()) / wide
            out[number] = max(smoothstep(*_NARROW, narrow), smoothstep(*_SURE, probable))
    return out


def hair_of_head(crop: Image, mesh: Array, regions: Array32, hanging: Array) -> Array32:
    """Return (S', S') 0..1, probability of hair that belongs to the head.

    Args:
        crop: (S, S, 3).
        mesh: (468, 3), pixels of the crop.
        regions: (19, S', S') probabilities.
        hanging: (2,) of `hanging_hair`, of a frame or their mean over a clip.
    """
    hair = np.asarray(group_probability(regions, HAIR), np.float32)
    top, axis, height = _axis(mesh, len(crop), len(hair))
    y, x = np.mgrid[: len(hair), : len(hair)].astype(np.float32)
    down = ((x - top[0]) * axis[0] + (y - top[1]) * axis[1]) / height
    across = ((x - top[0]) * axis[1] - (y - top[1]) * axis[0]) / height
    kept = np.ones_like(hair)
    doubt = 1 - smoothstep(*_BELIEVED, hanging)
    if doubt.max() > 0:
        oval = (mesh[OVAL, :2] + 0.5) * (len(hair) / len(crop)) - 0.5 - top
        edges = oval @ np.array([axis[1], -axis[0]]) / height
        out = np.where(across < 0, across / min(edges.min(), -0.1), across / max(edges.max(), 0.1))
        zone = smoothstep(*_BELOW, down) * np.maximum(
            smoothstep(*_BESIDE, out), smoothstep(0.8, 0.95, down)
        )
        kept -= (np.where(across < 0, doubt[0], doubt[1]) * zone).astype(np.float32)
    return hair * kept * _same_patch(crop, hair, down)


def _same_patch(crop: Image, hair: Array32, down: Array32) -> Array32:
    """Return (S', S') 0..1, lower in patches apart from the head's hair and of another colour."""
    out = np.ones_like(hair)
    count, labels = cv2.connectedComponents((hair > _APART).astype(np.uint8))
    if count < 3:
        return out
    of_head = np.bincount(labels[down < _HEAD], minlength=count)
    of_head[0] = 0
    main = int(of_head.argmax())
    small = np.asarray(cv2.resize(crop, hair.shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    sure = hair > 0.5
    colours = to_lab(small)
    own = colours[(labels == main) & sure]
    if len(own) < _FEW:
        return out
    middle = np.median(own, 0)
    for patch in set(range(1, count)) - {main}:
        chosen = labels == patch
        there = colours[chosen & sure]
        if len(there):
            apart = float(np.linalg.norm(np.median(there, 0) - middle))
            out[chosen] = 1 - smoothstep(*_OTHER_COLOUR, apart)
    return cv2.GaussianBlur(out, (0, 0), 1.0).astype(np.float32)


def _axis(mesh: Array, side: int, size: int) -> tuple[Array, Array, float]:
    """Return the forehead's point, the direction to the chin and the distance, region pixels."""
    points = (mesh[[_TOP, _CHIN], :2] + 0.5) * (size / side) - 0.5
    height = max(float(np.linalg.norm(points[1] - points[0])), 1e-3)
    return points[0], (points[1] - points[0]) / height, height
