"""Application of expression sliders to canonical shapes of a source."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.motion import anatomy, closure, smiles
from thcli.motion.canonical import eye_openings, lip_gaps, mouth_opening, neutral
from thcli.motion.control.shapes import sum_shapes
from thcli.motion.sliders import load_slider_shapes

WIDEST = 0.4  # share by which lids at -1 open an open eye further
SQUINT = 0.35  # closing of the lids at squint 1
LID_FOLLOWS = 0.012  # closing of the lids per degree that the eyes look down
RELAXED = 2.0  # share of the own smile and gap that a smile of -1 or a pucker of 1 takes, up to 1
ORDINARY_SMILE, BROAD_SMILE = 0.25, 1.25  # coefficients: of faces at rest, of a broad smile
LEAST_ADDED = 0.3  # share of a raised smile that a broad smile takes
BARED_TEETH = 0.16  # opening of the mouth by a whole smile
SHUT_EYES = (0.06, 0.1)  # opening of a source's eyes below which lids at -1 open them


def apply_sliders(shape: Array, rows: Mapping[str, Array], source: Array) -> None:
    """Add sliders to canonical shapes (T, 468, 3), in place. Lips do not cross.

    Args:
        shape: shapes of a source.
        rows: values (T,) of sliders by their names in `core.expressions.SLIDERS`.
        source: (468, 3) shape of the source itself, whose open lips shut as they purse.
    """
    rows = _fit_smile(shape, rows, lip_gaps(source) - lip_gaps(neutral()))
    gaps = lip_gaps(shape)
    lids = [shape[:, rims.upper] - shape[:, rims.lower] for rims in anatomy.LIDS]
    openings = eye_openings(shape)
    added = sum_shapes(rows, len(shape))
    shape += added
    jaw = rows.get("jaw")
    if jaw is None:
        closure.set_lips(shape, np.maximum(gaps, 0))
    else:
        closure.set_lips(shape, np.maximum(lip_gaps(shape), np.minimum(gaps, 0)))
    # cheeks narrow an open eye by the same ratio whatever its opening, so that shut eyes stay shut
    narrowed = eye_openings(neutral() + added) / eye_openings(neutral())
    closing = lid_closing(rows, len(shape))
    factor = narrowed * np.where(closing > 0, 1 - closing, 1 - WIDEST * closing)
    opened = (1 - smoothstep(*SHUT_EYES, openings)) * np.maximum(-closing, 0)
    for side, (rims, gap) in enumerate(zip(anatomy.LIDS, lids, strict=True)):
        wanted = gap * factor[:, side, None, None]
        wanted += opened[:, side, None, None] * (neutral()[rims.upper] - neutral()[rims.lower])
        change = wanted - (shape[:, rims.upper] - shape[:, rims.lower])
        closure.open_rims(shape, rims, change, closure.UPPER_LID, closure.LID_RINGS)


def _fit_smile(shape: Array, rows: Mapping[str, Array], own_gaps: Array) -> Mapping[str, Array]:
    """Fit the slider `smile` to the smiles that shapes (T, 468, 3) have. Returns all sliders.

    A lowered one, and pursed lips, first take the own smile out of the shapes, in place; pursed
    ones also the gaps (9,) of its lips, beyond those of shut ones. A raised one adds the less the
    more the face smiles, so that the upper lip does not rise beyond its teeth.
    """
    smile, pucker = (rows.get(name, np.zeros(len(shape))) for name in ("smile", "pucker"))
    lowered = np.maximum(np.maximum(-smile, pucker), 0)
    if not (smile.any() or lowered.any()):
        return rows
    own = smiles.levels(shape)
    if lowered.any():
        shut = np.clip(RELAXED * pucker, 0, 1)[:, None] * np.maximum(own_gaps, 0)
        _relax_smile(shape, own, lowered, np.maximum(lip_gaps(shape) - shut, 0))
    added = np.interp(own, (ORDINARY_SMILE, BROAD_SMILE), (1, LEAST_ADDED))
    return {**rows, "smile": np.where(smile > 0, added * smile, smile)}


def _relax_smile(shape: Array, own: Array, lowered: Array, most: Array) -> None:
    """Take a smile out of shapes (T, 468, 3), in place, as far as it is lowered.

    A mouth that smiles has corners far above those that the slider lowers. What the face model
    finds of a smile, beyond that of a face at rest, goes first, and the gap of the lips with it.

    Args:
        shape: the shapes.
        own: (T,) coefficient of their smiles.
        lowered: (T,) by which the slider is below 0, or the lips purse.
        most: (T, 9) gaps that the lips keep at most.
    """
    taken = np.minimum(RELAXED * lowered, 1) * np.maximum(own - ORDINARY_SMILE, 0)
    opening = mouth_opening(shape)
    closed = 1 - np.minimum(BARED_TEETH * taken / np.maximum(opening, 1e-6), 1)
    gaps = np.minimum(lip_gaps(shape) * closed[:, None], most)
    shapes = load_slider_shapes()
    before, whole = shape.copy(), np.ones((shape.shape[1], 1))
    shape -= taken[:, None, None] * shapes.smile
    closure.close_jaw(shape, gaps, whole, shapes.jaw)
    closure.set_lips(shape, gaps)
    for moved, own_shape in zip(shape, before, strict=True):
        closure.raise_chin(moved[None], own_shape, whole)


def gaze_shift(rows: Mapping[str, Array], count: int) -> Array:
    """Return the displacement of the irises in eye widths, (T, 2, 2), equal for both eyes."""
    zeros = np.zeros(count)
    degrees = np.stack([rows.get("gaze-x", zeros), rows.get("gaze-y", zeros)], -1)
    return np.repeat(anatomy.EYE_RADIUS * np.sin(np.radians(degrees))[:, None], 2, 1)


def lid_closing(rows: Mapping[str, Array], count: int) -> Array:
    """Return the closing of each eye's lids, (T, 2): 0 unchanged, 1 shut, negative wider.

    The eye on the image's left comes first.
    """
    zeros = np.zeros(count)
    both = rows.get("lids", zeros)
    both = both + SQUINT * rows.get("squint", zeros) * (1 - np.maximum(both, 0))
    down = LID_FOLLOWS * rows.get("gaze-y", zeros) * (1 - np.abs(both)).clip(0)
    wink = rows.get("wink", zeros)
    sides = np.stack([np.maximum(-wink, 0), np.maximum(wink, 0)], -1)
    closing = (both + down)[:, None]
    return np.asarray(np.clip(closing + sides * (1 - closing), -1, 1))
