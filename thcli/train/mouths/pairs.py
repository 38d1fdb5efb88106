"""Pairs of drawn and photographed insides of mouths.

A photograph whose regions are labelled shows where its inner lips are. The mesh engine draws teeth,
tongue and cavity between them, with the anchors at which the drawing fits the photograph best, so
that a network learns how to paint what is drawn, and not to make up another mouth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from thcli import media
from thcli.core.errors import MediaError, NoFaceError
from thcli.core.options import RunOptions
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.eyes.reading import read_eyes
from thcli.engines.mesh.mouth import colours, mouth_interior
from thcli.engines.mesh.mouth.drawn_inside import MouthInterior
from thcli.engines.mesh.opening import Opening
from thcli.engines.mesh.patches import inside
from thcli.engines.mesh.patches.frames import sample_patch
from thcli.evaluate.datasets.parse_pairs import LabelledPair, read_labels
from thcli.faces.parsing import class_number
from thcli.train.data.talking_pairs import SourceTracker

Mask = npt.NDArray[np.bool_]
LEAST_PIXELS = 24  # width of an inside
LEAST_GAP = 0.04  # of the lips
# Widths by which a labelled inside is beyond the corners of the mesh at most; its width, at least;
# percentiles that are its ends
MOST_BEYOND, LEAST_WIDTH, ENDS = 0.25, 0.2, (0.5, 99.5)
COLUMN, COLUMNS, SMOOTH = 0.01, 200, 7  # width of a column of the labels; their number; averaged
# mm by which the upper and the lower teeth are tried beside those of an average head
UPPER_SHIFTS, LOWER_SHIFTS = np.arange(-8, 7, 1.0), np.arange(-6, 9, 2.0)
SEEN_ENAMEL_SHARE = 0.6  # of the pairs are drawn with the enamel of the photograph
WORST_FIT = 30.0  # mean difference of the drawing's colours from the photograph's, levels


@dataclass(frozen=True, slots=True)
class MouthPair:
    """An inside as drawn and as photographed.

    coarse, truth: (96, 128, 3) uint8 patches.  mask: (96, 128) uint8, share of the inside.
    tone: (3,) skin colour.
    """

    coarse: Image
    truth: Image
    mask: Image
    tone: Array


class MouthPairRenderer:
    """The drawing and the tracker, loaded once."""

    def __init__(self, run: RunOptions) -> None:
        """Load the tracker.

        Raises:
            WeightsError: weights are missing.
        """
        self._tracker = SourceTracker(run)

    def render(self, pair: LabelledPair, rng: np.random.Generator) -> MouthPair:
        """Draw the inside of the mouth of a photograph.

        Args:
            pair: the photograph and its labels.
            rng: source of the random numbers.

        Raises:
            MediaError: a file cannot be read, or it shows no open mouth that can be drawn.
            NoFaceError: it shows no face.
        """
        image = media.read_image(pair.image)
        shown = read_labels(pair) == class_number("mouth")
        if shown.shape != image.shape[:2]:
            size = image.shape[1], image.shape[0]
            resized = cv2.resize(shown.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
            shown = np.asarray(resized, np.bool_)
        if shown.any(0).sum() < LEAST_PIXELS:
            raise MediaError(f"{pair.image.name} shows no open mouth.", "It is left out.")
        face = self._tracker.find_face(image, pair.image.name)
        if face.mesh is None:
            raise NoFaceError(f"{pair.image.name} shows no face.", "Remove the image.")
        mesh = move_lips(np.asarray(face.mesh, np.float64), shown)
        lips = opening.fit_opening(mesh, LIPS)
        if lips.gap < LEAST_GAP:
            raise MediaError(f"{pair.image.name} shows no open mouth.", "It is left out.")
        drawn, fit = draw_alike(image, mesh, rng)
        if fit > WORST_FIT:
            raise MediaError(f"{pair.image.name} cannot be drawn.", "It is left out.")
        frame = inside.inside_frame(mesh, lips, full=True)
        mask = np.rint(255 * inside.mask_patch(lips, frame)).astype(np.uint8)
        return MouthPair(
            sample_patch(drawn, frame),
            sample_patch(image, frame),
            mask,
            colours.skin_tone(image, mesh),
        )


def move_lips(mesh: Array, shown: Mask) -> Array:
    """Return a mesh (468, 3) whose inner lips lie around what is labelled as inside, (H, W).

    Raises:
        MediaError: the labels do not lie between the lips of the mesh.
    """
    lips = opening.fit_opening(mesh, LIPS)
    rows, columns = np.nonzero(shown)
    u, v = lips.to_local(np.stack([columns, rows], -1)).T
    first, last = np.percentile(u, ENDS)
    if first < -MOST_BEYOND or last > 1 + MOST_BEYOND or last - first < LEAST_WIDTH:
        raise MediaError("The labels do not fit the face.", "It is left out.")
    column = np.clip(((u + 0.5) / COLUMN).astype(int), 0, COLUMNS - 1)
    known = np.unique(column)
    heights = np.array([[v[column == at].min(), v[column == at].max()] for at in known]).T
    half_pixel = 0.5 / lips.width
    upper = _smooth_row(np.interp(np.arange(COLUMNS), known, heights[0]) - half_pixel)
    lower = _smooth_row(np.interp(np.arange(COLUMNS), known, heights[1]) + half_pixel)
    half = len(LIPS) // 2
    local = lips.to_local(mesh[LIPS, :2])
    local[0, 0], local[half, 0] = min(0.0, first), max(1.0, last)
    along = local[:, 0]
    at = np.clip(((along + 0.5) / COLUMN).astype(int), 0, COLUMNS - 1)
    middle = (upper + lower)[at] / 2
    rims = np.where(np.arange(len(LIPS)) > half, upper[at], lower[at])
    local[:, 1] = np.where((along > first) & (along < last), rims, middle)
    moved = mesh.copy()
    moved[LIPS, :2] = lips.corner + local @ lips.axes
    return moved


def _smooth_row(heights: Array) -> Array:
    window = np.hanning(SMOOTH) / np.hanning(SMOOTH).sum()
    return np.convolve(np.pad(heights, SMOOTH // 2, "edge"), window, "valid")


def draw_alike(image: Image, mesh: Array, rng: np.random.Generator) -> tuple[Image, float]:
    """Draw the inside of a photograph's mouth as much like it as the drawing allows.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels, its inner lips at the edges of the inside.
        rng: tells whether the enamel is the photograph's.

    Returns:
        The image with the drawn inside, and its mean difference from the photograph.
    """
    interior = _closed(image, mesh, with_seen=rng.random() < SEEN_ENAMEL_SHARE)
    lips = opening.fit_opening(mesh, LIPS)
    region = opening.bounding_region(lips, (image.shape[1], image.shape[0]), 0.1)
    if region is None:
        raise MediaError("The mouth lies outside of the picture.", "It is left out.")
    uv = opening.local_coordinates(lips, region)
    weight = opening.coverage(lips, *uv, lips.rims(uv[0]), 1.5)
    truth = _smooth(image[region], lips)

    def draw(upper: float, lower: float) -> tuple[Image, float]:
        shifted = replace(
            interior,
            upper=interior.upper + np.array([0, upper]),
            lower=interior.lower + np.array([0, lower]),
            bite=interior.bite + upper - lower,
        )
        out = image.copy()
        mouth_interior.render(out, image, shifted, mesh, mesh)
        error = np.abs(_smooth(out[region], lips) - truth).mean(-1) * weight
        return out, float(error.sum() / max(float(weight.sum()), 1e-6))

    upper = min(UPPER_SHIFTS, key=lambda shift: draw(shift, 0.0)[1])
    upper = min((upper - 0.5, upper, upper + 0.5), key=lambda shift: draw(shift, 0.0)[1])
    lower = min(LOWER_SHIFTS, key=lambda shift: draw(upper, shift)[1])
    return draw(float(upper), float(lower))


def _smooth(image: Image, lips: Opening) -> Array32:
    """Return an image without detail finer than a tooth."""
    sigma = max(0.02 * lips.width, 0.5)
    return np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma), np.float32)


def _closed(image: Image, mesh: Array, *, with_seen: bool) -> MouthInterior:
    """Return the mouth as if a source showed it closed, so that all of it is drawn."""
    tone = colours.skin_tone(image, mesh)
    natural = colours.natural_colour(image, mesh, tone)
    interior = mouth_interior.measure(image, mesh, tone, read_eyes(image, mesh, tone), natural)
    seen = mouth_interior.with_seen_teeth(interior, image, mesh)
    lips = interior.lips
    middle = (lips.upper + lips.lower) / 2
    return replace(
        seen,
        enamel=seen.enamel if with_seen else interior.enamel,
        own=None,
        lips=replace(lips, upper=middle, lower=middle),
        gap=0.0,
        bite=seen.bite + interior.gap,
        tooth=interior.tooth + float(seen.upper[1] - interior.upper[1]),
    )
