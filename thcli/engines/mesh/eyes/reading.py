"""Light and sharpness of a picture, read at its eyes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.types import Array, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import EYES

SHARP_EDGE = 2.5  # pixels over which a sharp picture goes from dark to light
EDGE_WIDTH = 2.5  # of a blurred edge, from dark to light at its steepest, over the deviation


@dataclass(frozen=True, slots=True)
class EyeReading:
    """Light and sharpness that the eyes show.

    white: brightness of their white over the skin's.  blur: deviation of the picture's blur beyond
    that of a sharp one, pixels.  share: the same over the width of an eye.  brightest: mean of the
    channels of what is brightest between the lids, 0..255.
    """

    white: float
    blur: float
    share: float
    brightest: float


def read_eyes(image: Image, mesh: Array, tone: Array) -> EyeReading | None:
    """Measure the eyes of an image (H, W, 3) uint8; None where it shows none.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        tone: (3,) skin colour.
    """
    whites, widths, sizes, brightest = [], [], [], []
    for ring in EYES:
        eye = opening.fit_opening(mesh, ring)
        region = opening.bounding_region(eye, (image.shape[1], image.shape[0]), 0.15)
        if region is None or min(image[region].shape[:2]) < 2:  # too small for a gradient
            continue
        grey = image[region].astype(np.float32).mean(-1)
        u, v = opening.local_coordinates(eye, region)
        upper, lower = eye.rims(u)
        within = grey[(v > upper) & (v < lower) & (u > 0.08) & (u < 0.92)]
        if not within.size:
            continue
        white, most = np.quantile(within, (0.85, 0.98)).tolist()
        whites.append(white)
        brightest.append(most)
        low, high = np.quantile(grey, [0.02, 0.98])
        steepest = max(float(np.quantile(np.hypot(*np.gradient(grey)), 0.995)), 1e-3)
        widths.append(float(high - low) / steepest)
        sizes.append(eye.width)
    if not whites:
        return None
    white = float(np.mean(whites)) / max(float(tone.mean()), 1.0)
    blur = max(min(widths) - SHARP_EDGE, 0.0) / EDGE_WIDTH
    share = blur / max(float(np.mean(sizes)), 1.0)
    return EyeReading(white, blur, share, float(np.mean(brightest)))
