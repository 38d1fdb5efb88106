"""The person cut out of a still background, once a source: an alpha with fine edges, the plate behind, and where the hair hangs.

With it the head moves over a background that stands still, instead of dragging it along.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.sampling import mean, polygon, resized
from thcli.faces.compositing.guided_filter import guided
from thcli.faces.landmarks.topology import OVAL

SURE = (0.25, 0.75)  # probabilities that count as background, as person
FINE = 128  # samples to a face at which the alpha's edge is refined
MARGIN = 0.1  # face heights around the person that the plate is not filled from
REPLACED = 0.05  # face heights around the person that are filled
STRIP = 256  # rows at a time: a large picture is never whole in floating point
LEAST = 0.85  # share of the face that the cut must hold to be believed


@dataclass(frozen=True, slots=True)
class Cut:
    """person: (H, W, 4) uint8, what the person adds to the plate, and its alpha: plate * (1 - alpha) + person is the picture exactly.

    plate: (H, W, 3) uint8 background without the person.
    """

    person: Image
    plate: Image


def cut(picture: Image, probability: Array32, mesh: Array) -> tuple[Cut, Array32, int] | None:
    """The person, and the hair as (map (h, w) float32 0..1, source pixels a sample). None when the cut does not hold the face.

    probability: (h, w) 0..1 of any size over the whole picture.  mesh: (468, 3) pixels.
    """
    height, width = picture.shape[:2]
    tall = anatomy.height(mesh)
    step = max(1, round(tall / FINE))
    size = (max(1, width // step), max(1, height // step))
    small = resized(picture, size, shrink=True).astype(np.float32) / np.float32(255)
    likely = resized(probability, size)
    coarse = np.clip((likely - SURE[0]) / (SURE[1] - SURE[0]), 0, 1)
    alpha = np.clip(
        (guided(small, coarse, max(2, round(0.05 * tall / step)), 1e-4) - 0.1) / 0.8, 0, 1
    )
    alpha = np.maximum(alpha, _enclosed(alpha))
    at = (mesh[OVAL, :2] + 0.5) / step - 0.5
    oval = polygon(at, size)
    if not oval.any() or alpha[oval].mean() < LEAST:
        return None
    core = cv2.erode(oval.astype(np.float32), np.ones((5, 5), np.uint8))
    alpha = np.maximum(alpha, mean(np.asarray(core, np.float32), 3))
    hidden, wide = _grown(alpha, REPLACED * tall / step), _grown(alpha, MARGIN * tall / step) > 0
    maps = [_levels(push_pull(small * 255, wide)), _levels(hidden * 255), _levels(alpha * 255)]
    filled, replaced, opaque = (resized(m, (width, height)) for m in maps)
    plate, person = np.empty_like(picture), np.empty((height, width, 4), np.uint8)
    for top in range(0, height, STRIP):
        rows = slice(top, top + STRIP)
        seen = picture[rows].astype(np.float32)
        share = replaced[rows, :, None] * np.float32(1 / 255)
        plate[rows] = _levels(seen + share * (filled[rows] - seen))
        # a wisp of hair darker than the plate is person as well, whatever the network says of it
        least = np.ceil(255 - 255 * (seen / np.maximum(plate[rows], 1)).min(-1)).clip(0, 255)
        person[rows, :, 3] = np.maximum(opaque[rows], least)
        behind = cv2.multiply(
            plate[rows], cv2.cvtColor(255 - person[rows, :, 3], cv2.COLOR_GRAY2RGB), scale=1 / 255
        )
        person[rows, :, :3] = cv2.subtract(picture[rows], behind)
    return Cut(person, plate), hair(small, alpha, at), step


def _levels(values: Array32) -> Image:
    return np.asarray(np.clip(values + np.float32(0.5), 0, 255), np.uint8)


def _grown(alpha: Array32, radius: float) -> Array32:
    size = 2 * round(radius / 2) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(
        mean(np.asarray(cv2.dilate((alpha > 0.05).astype(np.float32), disc), np.float32), 3)
    )


def _enclosed(alpha: Array32) -> Array32:
    """1 in the gaps of the person that do not reach the picture's edge (an earring, a pale collar), soft."""
    _, labels = cv2.connectedComponents((alpha < 0.5).astype(np.uint8))
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    inner = ~np.isin(labels, edge) & (labels > 0)
    return np.asarray(
        mean(np.asarray(cv2.dilate(inner.astype(np.float32), np.ones((7, 7))), np.float32), 3)
    )


def push_pull(picture: Array32, hole: npt.NDArray[np.bool_]) -> Array32:
    """Fills the holes of (h, w, 3) from their surroundings, ever more smoothly inwards. Gortler and others 1996, section 3.4."""
    weight = (~hole).astype(np.float32)
    levels = [(picture * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 2:
        colour, known = levels[-1]
        half = ((known.shape[1] + 1) // 2, (known.shape[0] + 1) // 2)
        levels.append((resized(colour, half, shrink=True), resized(known, half, shrink=True)))
    colour, known = levels[-1]
    total = max(float(known.sum()), 1e-6)
    middle = colour.sum((0, 1)) / total
    filled = np.where(
        known[..., None] > 1e-6, colour / np.maximum(known, 1e-6)[..., None], middle
    ).astype(np.float32)
    for colour, known in levels[-2::-1]:
        above = resized(filled, (known.shape[1], known.shape[0]))
        trust = np.clip(2 * known, 0, 1)[..., None]
        filled = colour / np.maximum(known, 1e-6)[..., None] * trust + above * (1 - trust)
    return np.asarray(filled, np.float32)


def hair(small: Array32, alpha: Array32, mesh: Array) -> Array32:
    """Where hair hangs, (h, w) 0..1: what has the colours of the person above the forehead and is joined to it.

    small: (h, w, 3) 0..1.  mesh: (36, 2) the face's oval in its samples. Nothing where those colours are the skin's (a bald head).
    """
    empty = np.zeros(alpha.shape, np.float32)
    top, chin = mesh[0], mesh[18]
    up = top - chin
    tall = max(float(np.linalg.norm(up)), 1.0)
    up = up / tall
    rows, columns = np.mgrid[0 : alpha.shape[0], 0 : alpha.shape[1]].astype(np.float32)
    rel = np.stack([columns, rows], -1) - ((top + chin) / 2).astype(np.float32)
    above = rel @ (up / tall).astype(np.float32)
    across = np.abs(rel @ (np.array([-up[1], up[0]]) / tall).astype(np.float32))
    face = polygon(mesh, (alpha.shape[1], alpha.shape[0]))
    seed = (above > 0.56) & (above < 0.85) & (across < 0.4) & (alpha > 0.9) & ~face
    skin = face & (above < 0.2) & (above > -0.3)
    if seed.sum() < 30 or skin.sum() < 30:
        return empty
    lab = cv2.cvtColor(mean(small, 3), cv2.COLOR_RGB2LAB)

    def apart(points: npt.NDArray[np.bool_]) -> Array32:
        values = lab[points]
        middle = np.median(values, 0)
        spread = 1.5 * np.median(np.abs(values - middle), 0) + np.array([8, 4, 4], np.float32)
        return np.asarray(np.sqrt((((lab - middle) / spread) ** 2).sum(-1)), np.float32)

    like = (apart(seed) < np.minimum(apart(skin), 3.0)) & (alpha > 0.5) & ~face
    clean = cv2.morphologyEx(like.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels = cv2.connectedComponents(clean)
    joined = np.isin(labels, np.unique(labels[seed & (clean > 0)])) & (clean > 0)
    flesh = (apart(skin) < 3.0) & ~like & (alpha > 0.5) & ~face & (above < 0)
    clean = cv2.morphologyEx(
        (flesh | face).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)
    )
    _, labels = cv2.connectedComponents(clean)
    neck = (labels == np.bincount(labels[face & (clean > 0)]).argmax()) & ~face
    radius = max(2, round(0.05 * tall))
    both = joined | neck
    full = cv2.morphologyEx(
        both.astype(np.float32), cv2.MORPH_CLOSE, np.ones((radius | 1, radius | 1), np.uint8)
    )
    return np.asarray(mean(mean(np.asarray(full, np.float32), 2 * radius + 1), 2 * radius + 1))
