"""Skin below a chin that rises over what the picture no longer shows."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Image
from thcli.engines.mesh.background import blocks
from thcli.engines.mesh.background.blocks import Block
from thcli.engines.mesh.background.windows import pixels_of, upsample_block
from thcli.engines.mesh.sampling import mix, resize, to_levels
from thcli.engines.mesh.warp import WarpMap

# Bilateral filter: width, deviation of places (samples of the map) and of levels
REACH, BLUR, ALIKE = 21, 8.0, 70.0
LEAST = 0.02  # share that shows


def soften(out: Image, warp_map: WarpMap, alpha: Image | None = None) -> None:
    """Smooth what is drawn out from the picture's last rows into streaks, in place.

    Skin becomes plain, and stays apart from clothes, hair and background.

    Args:
        out: (H, W, 3) uint8 frame.
        warp_map: of the frame.
        alpha: (H, W) uint8 that the frame is premultiplied by; None where it is not.
    """
    share, grid = warp_map.drawn_out, warp_map.grid
    if share is None or share.max() <= LEAST:
        return
    left, top, width, height = cv2.boundingRect((share > LEAST).astype(np.uint8))
    rows, columns = slice(top, top + height), slice(left, left + width)
    region = pixels_of(grid.part(rows, columns), (out.shape[1], out.shape[0]))
    if region is None:
        return
    shown = out[region]
    size = shown.shape[1], shown.shape[0]
    small = max(2, size[0] // grid.step), max(2, size[1] // grid.step)
    plain = cv2.bilateralFilter(resize(shown, small, shrink=True), REACH, ALIKE, BLUR)
    smooth = resize(np.asarray(plain, np.uint8), size)
    if alpha is not None:
        smooth = np.asarray(cv2.min(smooth, cv2.merge([alpha[region]] * 3)), np.uint8)
    weight = upsample_block(share, Block(rows, columns, blocks.MIXED), grid, region)
    out[region] = mix(shown, smooth, to_levels(weight))
