"""Inside of an open mouth, as far as a frame sharply shows it: teeth, or its dark."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.imaging import Pixels, smoothstep, to_uint8
from thcli.core.types import AnyArray, Array
from thcli.faces.landmarks.topology import LIPS, LIPS_INNER, MOUTH_SKIN

CLOSED = -1.0  # what is said of a mouth that hardly opens
LEAST_GAP = 0.12  # mean gap of its middle over its width, from which a mouth is open
# Deviation of the brightness between the lips, and its median, over the skin's, of a plain inside
# to one that shows something. A tongue that is stuck out and mouths that a filter smooths have
# .05 to .11 and .85 or more in most frames, teeth .14 or more, a dark inside at most .7.
VARIED_RANGE, LIGHT_RANGE = (0.11, 0.14), (0.7, 0.8)
# Brightness over the skin's of its lightest and its darkest parts, from which a mouth shows teeth
# or a cavity, and the median of one that is dark as a whole. A soft video has none of them: up to
# .75, from .3 and around .55, a tan plate.
TEETH_RANGE, CAVITY_RANGE, DIM_RANGE = (0.77, 0.83), (0.23, 0.28), (0.35, 0.45)
LIGHTEST, DARKEST = 0.8, 0.02  # shares of the pixels up to which those are measured
# Share of the contrast between the lips that is finer than FINE places of a grid with COLUMNS
# along them: of a soft or small video, which shows teeth as one white band, to a sharp one
DETAIL_RANGE, COLUMNS, FINE = (0.125, 0.325), 48, 1.5
# Level from which a pixel is overexposed, and share of those between the lips: of teeth that shine,
# at most .1 in 163 of 165 drivers, to teeth that are a white plate with hard black gaps
OVEREXPOSED, OVEREXPOSED_RANGE = 248.0, (0.12, 0.25)
LEAST_CONTRAST = 0.02  # deviation of the brightness over the skin's that a share divides by
ACROSS = np.linspace(0.15, 0.85, 15)
MIDDLE = slice(2, 7)  # of the nine facing points of the lips
MIDDLE_SHARE = 0.6  # of the mouth's width, roughly, that those points span


def shown_inside(pixels: Pixels, mesh: AnyArray) -> float:
    """Return 0..1, whether the lips of a face sharply show more than one light tone.

    CLOSED if they are shut.

    Args:
        pixels: (H, W, 3) frame, uint8 or uint16.
        mesh: (468, 2+) pixels.
    """
    points = np.asarray(mesh, np.float64)[:, :2]
    rims = points[LIPS.upper][MIDDLE], points[LIPS.lower][MIDDLE]
    width = float(np.linalg.norm(points[LIPS_INNER[0]] - points[LIPS_INNER[10]]))
    gap = float(np.linalg.norm(rims[1] - rims[0], axis=-1).mean())
    if width < 1 or gap < LEAST_GAP * width:
        return CLOSED
    skin = max(float(np.median(_brightness(pixels, points[None, MOUTH_SKIN]))), 1.0)
    light = _brightness(pixels, between_rims(rims, 4 * len(rims[0]), ACROSS)) / skin
    varied = float(smoothstep(*VARIED_RANGE, light.std()))
    darkest, median, lightest = np.quantile(light, (DARKEST, 0.5, LIGHTEST))
    dark = 1 - float(smoothstep(*LIGHT_RANGE, median))
    cavity = 1 - min(smoothstep(*CAVITY_RANGE, darkest), smoothstep(*DIM_RANGE, median))
    shown = max(varied, dark) * float(max(smoothstep(*TEETH_RANGE, lightest), cavity))
    if shown == 0:
        return 0.0
    rows = max(round(COLUMNS * gap / (MIDDLE_SHARE * width)), len(rims[0]))
    across = np.linspace(ACROSS[0], ACROSS[-1], rows)
    levels = _brightness(pixels, between_rims(rims, COLUMNS, across))
    shown *= 1 - float(smoothstep(*OVEREXPOSED_RANGE, (levels >= OVEREXPOSED).mean()))
    light = levels / skin
    fine = light - cv2.GaussianBlur(light, (0, 0), FINE)
    detail = float(fine.std() / max(light.std(), LEAST_CONTRAST))
    return shown * float(smoothstep(*DETAIL_RANGE, detail))


def between_rims(rims: tuple[Array, Array], columns: int, across: Array) -> Array:
    """Return places (len(across), columns, 2) between two rims (n, 2), evenly along both."""
    along = np.linspace(0, len(rims[0]) - 1, columns)
    left = np.minimum(along.astype(int), len(rims[0]) - 2)
    part = (along - left)[:, None]
    top, bottom = (rim[left] + part * (rim[left + 1] - rim[left]) for rim in rims)
    return np.asarray(top + across[:, None, None] * (bottom - top))


def _brightness(pixels: Pixels, places: Array) -> Array:
    """Sample the mean of the channels, 0..255, at places (h, w, 2) of a frame."""
    return np.asarray(sample_colours(pixels, places).mean(-1))


def sample_colours(pixels: Pixels, places: Array) -> Array:
    """Sample colours (h, w, 3), 0..255, at places (h, w, 2) of a frame; its edges go on."""
    size = np.array([pixels.shape[1], pixels.shape[0]])
    x0, y0 = np.clip(np.floor(places.min((0, 1))).astype(int) - 1, 0, size - 1)
    x1, y1 = np.clip(np.ceil(places.max((0, 1))).astype(int) + 2, 1, size)
    part = to_uint8(pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)])
    maps = (places - (x0, y0)).astype(np.float32)
    seen = cv2.remap(part, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    return np.asarray(seen, np.float64)
