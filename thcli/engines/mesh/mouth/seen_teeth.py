"""Edge and enamel of the upper teeth, as a source with an open mouth shows them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.mouth.colours import redness
from thcli.engines.mesh.sampling import remap

Bools = npt.NDArray[np.bool_]

TOOTH_LIGHT = 0.6  # over the skin's, of a tooth in the shade of the lip
# Share of the way from the skin's redness to the lips' up to which teeth beside pale skin are red;
# widths from the rims at which the lips are measured
TOOTH_REDNESS, ON_LIPS = 0.3, 0.06
ACROSS = np.linspace(0.35, 0.65, 25, dtype=np.float32)  # of the mouth's width, around the incisors
DOWN = np.linspace(0.0, 1.0, 41, dtype=np.float32)
# Of the opening, within which a tooth begins below the upper lip, and below the gum of a smile
FIRST, FIRST_UNDER_GUM = 0.35, 0.55
# Widths that such a run of light pixels is long; limits of that as a share of the opening
LEAST_LENGTH, LEAST_HEIGHTS = 0.05, (0.14, 0.2)
LEAST_GAP = 1e-3  # gap / width of lips; less is shut
LEAST_COLUMNS = 0.5  # share of the columns in which teeth are seen
# Light of a mouth's dark below teeth, over the skin's; share of it there; of the opening, beside
# the lower lip, where its shade is as dark
DARK, LEAST_DARK, FROM_LIP = 0.55, 0.5, 0.15
# Of the opening, the rows below the upper lip that are as dark where it hides the teeth; share of
# them from which it does
BELOW_LIP, HIDDEN_RANGE = (0.1, 0.45), (0.4, 0.7)
TOOTH_COLUMN = (0.2, 0.5)  # share of a column that are teeth, from lips or dark to teeth
SMOOTH_COLUMNS = 5  # of the mouth's 64, over which that is averaged: lines between teeth are dark
# Light of the line between two rows over that of the darker one; rows of a run in which it is told
BITE, LEAST_BITE_ROWS = 0.85, 8
LIGHTEST = 0.6  # quantile of the light of teeth, from which on they show their enamel

_MIDDLE = np.array([0.5], np.float32)


def is_tooth(colours: Array, tone: Array, most_red: float) -> Bools:
    """Return which colours (..., 3) of a mouth are those of teeth, (...).

    Args:
        colours: of the mouth.
        tone: (3,) skin colour, beside which they are light.
        most_red: redness that they have at most, see `find_most_red`.
    """
    light = colours.mean(-1) / max(float(tone.mean()), 1.0)
    return np.asarray((light > TOOTH_LIGHT) & (redness(colours) <= most_red))


def find_most_red(image: Image, lips: opening.Opening, tone: Array) -> float:
    """Return the redness that teeth have at most: that of skin, or if it is pale, nearer to lips'.

    Args:
        image: (H, W, 3) uint8 source.
        lips: its opening.
        tone: (3,) skin colour.
    """
    skin, beyond = float(redness(tone)), ON_LIPS / max(lips.gap, LEAST_GAP)
    if skin < 1:  # in cold light lips are no redder than teeth
        return skin
    places = opening.between_rims(lips, ACROSS, np.array([-beyond, 1 + beyond], np.float32))
    lip = float(np.median(redness(remap(image, places).astype(np.float64))))
    return skin + TOOTH_REDNESS * max(lip - skin, 0.0)


@dataclass(frozen=True, slots=True)
class SeenTeeth:
    """The upper teeth that a source shows.

    edge: (2,) pixel in the middle of the mouth down to which they are seen.  ends: whether the dark
    of the mouth follows it, or the lower lip, or a row of lower teeth.  enamel: (3,) colour, that
    of the lightest.  height: share of the opening.  columns: (97,) in 0..1 at
    `opening.COLUMNS`, where it is teeth that are seen, not the lips' corners or the dark.
    """

    edge: Array
    ends: bool
    enamel: Array
    height: float
    columns: Array


def find(image: Image, lips: opening.Opening, tone: Array) -> SeenTeeth | None:
    """Find the upper teeth of a source. Where two rows meet in a dark line, they end there.

    Args:
        image: (H, W, 3) uint8.
        lips: opening of the source.
        tone: (3,) skin colour.

    Returns:
        The medians over the columns around the incisors; None where they show no teeth.
    """
    colours, most_red = _colours(image, lips, ACROSS), find_most_red(image, lips, tone)
    tooth, is_dark = is_tooth(colours, tone, most_red), _is_dark(colours, tone)
    least = float(np.clip(LEAST_LENGTH / max(lips.gap, LEAST_GAP), *LEAST_HEIGHTS))
    rows = _find_runs(tooth, is_dark, least)
    used = rows.any(0)
    if used.sum() < LEAST_COLUMNS * len(ACROSS):
        return None
    rows, colours = rows[:, used], colours[:, used]
    first, last = DOWN[rows.argmax(0)], DOWN[::-1][rows[::-1].argmax(0)]
    end = np.array([_end_at_bite(colours, rows, float(np.median(last)))], np.float32)
    edge = opening.between_rims(lips, _MIDDLE, end)[0, 0]
    dark = is_dark[(end < DOWN) & (DOWN < 1 - FROM_LIP)]
    shown = colours[rows]
    lightest = shown.mean(-1) >= np.quantile(shown.mean(-1), LIGHTEST)
    return SeenTeeth(
        np.asarray(edge, np.float64),
        bool(dark.size and dark.mean() > LEAST_DARK),
        np.asarray(np.median(shown[lightest], 0)),
        float(np.median(last - first)),
        _find_columns(image, lips, tone, most_red, float(end[0])),
    )


def hidden_share(image: Image, lips: opening.Opening, tone: Array) -> float:
    """Return 0..1, how far the upper lip of an open mouth hides the teeth: the dark is below it.

    Arguments as `find`.
    """
    rows = (BELOW_LIP[0] < DOWN) & (BELOW_LIP[1] > DOWN)
    is_dark = _is_dark(_colours(image, lips, ACROSS)[rows], tone)
    return float(smoothstep(*HIDDEN_RANGE, is_dark.mean()))


def _is_dark(colours: Array, tone: Array) -> Bools:
    """Return which colours (..., 3) are dark as a mouth is beside a skin tone (3,), (...)."""
    return np.asarray(colours.mean(-1) < DARK * tone.mean())


def _find_runs(tooth: Bools, is_dark: Bools, least: float) -> Bools:
    """Return the run of teeth of each column below the upper lip, or below the gum of a smile.

    Args:
        tooth, is_dark: (rows, columns), what is light as teeth, and dark as the mouth.
        least: share of the opening that a run is long.
    """
    rows = np.zeros(tooth.shape, np.bool_)
    for at, (column, first) in enumerate(zip(tooth.T, tooth.argmax(0), strict=True)):
        under_gum = not is_dark[:first, at].any()
        if not column[first] or DOWN[first] > (FIRST_UNDER_GUM if under_gum else FIRST):
            continue
        after = np.flatnonzero(~column[first:])
        last = first + (int(after[0]) if len(after) else len(column) - first) - 1
        if DOWN[last] - DOWN[first] >= least:
            rows[first : last + 1, at] = True
    return rows


def _end_at_bite(colours: Array, rows: Bools, end: float) -> float:
    """Return the share of the opening at which upper teeth end on lower ones, else `end`.

    Args:
        colours: (rows, columns, 3) around the incisors, where teeth are seen.
        rows: (rows, columns) bool, runs of teeth.
        end: of these runs.
    """
    light = np.median(colours.mean(-1), 1)
    run = np.flatnonzero((rows.mean(1) > 0.5) & (end >= DOWN))
    if len(run) < LEAST_BITE_ROWS:
        return end
    inner = run[len(run) // 4 : -len(run) // 4]
    bite = int(inner[light[inner].argmin()])
    beside = min(light[run[run < bite]].max(), light[run[run > bite]].max())
    return float(DOWN[bite]) if light[bite] < BITE * beside else end


def _find_columns(
    image: Image, lips: opening.Opening, tone: Array, most_red: float, end: float
) -> Array:
    """Return `SeenTeeth.columns` of teeth that end at a share of the opening."""
    colours = _colours(image, lips, opening.COLUMNS.astype(np.float32))
    tooth = is_tooth(colours, tone, most_red)
    share = tooth[(min(FIRST, end) / 2 < DOWN) & (end >= DOWN)].mean(0).astype(np.float32)
    smooth = cv2.blur(share[None], (SMOOTH_COLUMNS, 1))[0]
    return np.asarray(smoothstep(*TOOTH_COLUMN, smooth), np.float64)


def _colours(image: Image, lips: opening.Opening, columns: Array32) -> Array:
    return remap(image, opening.between_rims(lips, columns, DOWN)).astype(np.float64)
