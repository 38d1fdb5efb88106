"""Lines of the forehead and between the brows, drawn where brows rise or are knit, and of smiles.

The lines run along the mesh of the mean face. A picture gets as much of them as its own skin shows:
a smooth forehead gets a third, and lines that it has already grow deeper, or fade where brows come
down. Nothing is drawn on what is no skin: hair, hats, glasses that are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.head.flat_face import FlatFace
from thcli.engines.mesh.head.shades import eye_lines, lines_of_skin
from thcli.engines.mesh.head.shades.lines_of_skin import UNIT, places, size
from thcli.engines.mesh.sampling import largest, remap
from thcli.faces.landmarks import topology
from thcli.motion import brows, canonical

KNIT = 2  # channel of knit brows, after those of either raised one and before the own lines
# Columns of mesh points from a brow's upper edge to the hair, from the image's left to its right
COLUMNS = (
    ((63,), 54),
    ((105,), 103),
    ((66,), 67),
    ((107,), 109),
    ((107, 336), 10),
    ((336,), 338),
    ((296,), 297),
    ((334,), 332),
    ((293,), 284),
)
HEIGHTS = ((0.30, 1.0), (0.52, 0.85), (0.74, 0.6))  # of lines from brow to hair; their strength
SIDES = (0.15, 0.7, 1.0, 0.85, 0.6, 0.85, 1.0, 0.7, 0.15)  # strength along a line, by column
RISE_DEPTH, KNIT_DEPTH, SHADE_DEPTH = 0.24, 0.5, 0.16  # log brightness of whole lines
OWN_GAIN = 0.8  # share by which own lines grow or fade
OWN_LIMIT = 0.2  # log brightness of the own line that counts at most
OWN_BAND = (0.008, 0.035)  # canonical units between which lines lie
LINE_RANGE = (0.012, 0.035)  # mean log brightness of the own lines: smooth, and wrinkled
SMOOTH_SHARE = 0.35  # of the lines in smooth skin
OLD_RANGE, MOST_OWN = (0.035, 0.07), 0.8  # own lines that take over; the share that they take
LEAST_SKIN = 0.5  # share of skin from which own lines count
LIGHT_SHARE = 0.4  # of the light ridges beside own lines that is kept
RISE_RANGE = (0.03, 0.12)  # rise of the brows, canonical units, over which lines appear
KNIT_RANGE = (0.03, 0.12)
BRIGHT_RANGE = (0.25, 0.55)  # log brightness beside the skin's between which it is no skin
TINT_RANGE = (0.12, 0.3)  # the same of the tint
ROUGH_RANGE = (0.05, 0.11)  # log brightness of strands
WIDER_RANGE = (1.0, 1.15)  # eyes over the source's: squeezed by a smile, and opened wide
EYE_WIDTH = 0.33  # canonical units
BLUR_GAIN = 4.0  # of the picture's blur: lines of blurred pictures are broad and faint
FOREHEAD_SKIN = (9, 151, 108, 337, 69, 299, 107, 336)  # mesh points
BLACK = 6  # added to 8-bit colours, so that dark noise has no large logarithm
SKIN_BLUR, STRAND_BLUR = 0.02, 0.03  # canonical units over which skin and strands are averaged
SKIN_MARGIN = 5  # pixels of the field, width by which skin shrinks
LINE_LENGTH, LINE_BLUR = 0.03, 0.1 / UNIT  # canonical units: no strands, no grain
ABOVE_BROWS = 0.12  # canonical units above the brows over which own lines appear


@dataclass(frozen=True, slots=True)
class BrowLines:
    """Lines of a source.

    field: (H, W, 5) float32, log brightness by channel.  own: (468, 3) canonical shape.
    """

    field: Array32
    own: Array

    def shown(self, shape: Array, smile: float) -> Array32 | None:
        """Return the log brightness (H, W) that an expression adds, None for none.

        Args:
            shape: (468, 3) canonical.
            smile: how much more it smiles than the source, in mean smiles.
        """
        eyes, own = (float(canonical.eye_openings(one).mean()) for one in (shape, self.own))
        awake = float(smoothstep(*WIDER_RANGE, eyes / max(own, 1e-3)))
        squeezed = max(smile, 0.0) * (1 - awake)
        amounts = np.append(self.amounts(shape), np.float32(squeezed))
        return self.field @ amounts if amounts.any() else None

    def amounts(self, shape: Array) -> Array32:
        """Return how much of the brows' channels a canonical shape (468, 3) shows, (4,)."""
        rises, knitted = brows.measure(shape - self.own)
        rise = float(rises.mean())
        knit = smoothstep(*KNIT_RANGE, float(knitted))
        shown = [float(smoothstep(*RISE_RANGE, value)) for value in rises]
        fading = float(smoothstep(*RISE_RANGE, -rise))
        return np.array([*shown, float(knit), sum(shown) / 2 - fading], np.float32)


@cache
def drawn() -> Array32:
    """Draw the lines of the mean face, (H, W, 3): raised left, raised right, knit."""
    points = places()
    width, height = size()
    middle = float(points[10, 0])
    rows, columns = np.indices((height, width))
    right = smoothstep(-0.2, 0.2, (columns - middle) / UNIT)
    low = np.stack([points[list(a)].mean(0) for a, _ in COLUMNS])
    high = np.stack([points[b] for _, b in COLUMNS])
    raised = np.zeros((height, width))
    for share, strength in HEIGHTS:
        curve, along = lines_of_skin.spline(low + share * (high - low), np.array(SIDES) * strength)
        distance, nearest = lines_of_skin.distances(curve)
        raised += lines_of_skin.profile(distance, along[nearest])
    knit = np.zeros((height, width))
    for inner, strength in ((107, 1.0), (336, 0.85)):
        side = np.sign(points[inner, 0] - middle)
        top = np.array([middle + side * 0.085 * UNIT, points[inner, 1] - 0.03 * UNIT])
        foot = np.array([middle + side * 0.06 * UNIT, points[8, 1] + 0.02 * UNIT])
        curve, along = lines_of_skin.spline(
            np.stack([top, (top + foot) / 2, foot]), np.array([0.1, 1.0, 0.2])
        )
        distance, nearest = lines_of_skin.distances(curve)
        knit += lines_of_skin.profile(distance, strength * along[nearest])
    eye = np.stack([points[list(head)].mean(0) for head in ((55, 193), (285, 417))])
    for x, y in eye:
        knit -= (SHADE_DEPTH / KNIT_DEPTH) * np.exp(
            -((columns - x) ** 2 / (0.07 * UNIT) ** 2 + (rows - y) ** 2 / (0.06 * UNIT) ** 2) / 2
        )
    field = np.stack([raised * (1 - right), raised * right, knit], -1)
    return (field * (RISE_DEPTH, RISE_DEPTH, KNIT_DEPTH)).astype(np.float32)


@cache
def _flat() -> FlatFace:
    return FlatFace.of(places(), size(), topology.TRIANGLES)


@cache
def _region() -> Array32:
    """Return where lines may lie, (H, W): skin above the eyes, away from brows and outline."""
    ids = _flat().ids
    inside = (ids >= 0).astype(np.uint8)
    points = places()
    near = [cv2.distanceTransform(cv2.copyMakeBorder(inside, 1, 1, 1, 1, 0), 2, 5)[1:-1, 1:-1]]
    for ring in topology.EYES:
        hole = np.ones_like(inside)
        cv2.fillPoly(hole, [np.rint(points[ring]).astype(np.int32)], (0,))
        near.append(cv2.distanceTransform(hole, 2, 5))
    fade = np.clip(np.min(near, 0) / (0.08 * UNIT), 0, 1)
    below = smoothstep(0.0, 0.15, (points[6, 1] - np.indices(ids.shape)[0]) / UNIT)
    return np.asarray(fade * below, np.float32)


def _blur(values: Array32, deviation: float) -> Array32:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), deviation * UNIT), np.float32)


def prepare(image: Image, mesh: Array, blur: float, worn: Array | None = None) -> BrowLines:
    """Prepare a source.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        blur: deviation of the picture's edges in widths of an eye.
        worn: (468,) how far points are glasses, 0..1; None for none.
    """
    worn = np.zeros(topology.POINTS) if worn is None else worn
    samples = _flat().unwrap(np.c_[mesh[:, :2], worn])
    colours = remap(image, np.ascontiguousarray(samples[..., :2])).astype(np.float32)
    logs = np.log(colours + BLACK)
    bright = logs.mean(-1)
    is_skin = _skin(bright, logs - bright[..., None])
    shown = is_skin * _region() * (1 - samples[..., 2])
    band, lines = _own_lines(bright, is_skin)
    share = _share(lines, shown)
    made = drawn() * share
    if blur > 0:
        made = _blur(made, BLUR_GAIN * EYE_WIDTH * blur)
    above = smoothstep(0.0, ABOVE_BROWS, (places()[107, 1] - np.indices(bright.shape)[0]) / UNIT)
    growing = np.minimum(lines, 0) + LIGHT_SHARE * np.maximum(lines, 0)
    field = np.concatenate([made, (OWN_GAIN * growing * above)[..., None]], -1)
    field[..., KNIT] += OWN_GAIN * band * np.clip(-drawn()[..., KNIT] / KNIT_DEPTH, 0, 1)
    beside_eyes = eye_lines.shown(share, is_skin) * (1 - samples[..., 2])
    if blur > 0:
        beside_eyes = _blur(beside_eyes, BLUR_GAIN * EYE_WIDTH * blur)
    field = np.concatenate([field * shown[..., None], beside_eyes[..., None]], -1)
    own = canonical.decompose(mesh).shape
    return BrowLines(field.astype(np.float32), own)


def _skin(bright: Array32, tint: Array32) -> Array32:
    """Return how far a field is skin, (H, W) 0..1, by log brightness (H, W) and tint (H, W, 3)."""
    at = np.rint(places()[list(FOREHEAD_SKIN)]).astype(int)
    skin = np.median(_blur(bright, STRAND_BLUR)[at[:, 1], at[:, 0]])
    skin_tint = np.median(_blur(tint, STRAND_BLUR)[at[:, 1], at[:, 0]], 0)
    fine = _blur(bright, OWN_BAND[0])
    strands = np.asarray(np.abs(cv2.Sobel(fine, cv2.CV_32F, 1, 0, scale=1 / 4)), np.float32)
    is_skin = 1 - smoothstep(*BRIGHT_RANGE, np.abs(_blur(bright, SKIN_BLUR) - skin))
    is_skin *= 1 - smoothstep(*TINT_RANGE, largest(_blur(tint, SKIN_BLUR) - skin_tint))
    is_skin *= 1 - smoothstep(*ROUGH_RANGE, _blur(strands, STRAND_BLUR))
    eroded = cv2.erode(is_skin.astype(np.float32), np.ones((SKIN_MARGIN,) * 2, np.uint8))
    return _blur(np.asarray(eroded, np.float32), SKIN_BLUR)


def _own_lines(bright: Array32, is_skin: Array32) -> tuple[Array32, Array32]:
    """Return the log brightness (H, W) of fine structure of the skin, and of its level lines."""
    fine = _blur(bright, OWN_BAND[0])
    coarse = _blur(bright * is_skin, OWN_BAND[1]) / (_blur(is_skin, OWN_BAND[1]) + 1e-3)
    band = np.clip(fine - coarse, -OWN_LIMIT, OWN_LIMIT) * (is_skin > LEAST_SKIN)
    lines = cv2.GaussianBlur(band, (0, 0), sigmaX=LINE_LENGTH * UNIT, sigmaY=LINE_BLUR * UNIT)
    return band, np.asarray(lines, np.float32)


def _share(lines: Array32, shown: Array32) -> float:
    """Return the share of the drawn lines that skin with own lines (H, W) gets, by where shown."""
    forehead = shown * largest(drawn()[..., :2])
    depth = float((np.abs(lines) * forehead).sum() / max(float(forehead.sum()), 1e-6))
    share = SMOOTH_SHARE + (1 - SMOOTH_SHARE) * float(smoothstep(*LINE_RANGE, depth))
    return share * (1 - MOST_OWN * float(smoothstep(*OLD_RANGE, depth)))
