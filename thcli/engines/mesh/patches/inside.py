"""Patch of a mouth's inside, and the input channels of the network that paints it.

The patch holds the drawn inside between the lips of a rendered frame, and what is close around it.
Nothing in it comes from the pixels of a driving frame.
"""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.mouth.drawn_inside import DrawnShare, inside_mask
from thcli.engines.mesh.opening import Opening
from thcli.engines.mesh.patches import inputs
from thcli.engines.mesh.patches.frames import PatchFrame, place_patch
from thcli.faces.landmarks.topology import EYE_OUTER

CHANNELS = 4  # colours of the frame, and the inside's mask
SIZE = (128, 96)  # (width, height) of the largest patch in pixels
SPAN = 1.3  # widths of the inside along the largest patch
LEAST_WIDTH = 0.42  # of the inside over the distance of the outer eye corners, at least
SIDES = 8  # a patch has a multiple of so many rows and columns
# Change of a drawing by the network, at most: over the drawing's brightness, and beyond that.
# What is drawn dark stays dark, so that teeth and tongue are painted where they are drawn.
MOST_CHANGE = 0.3, 0.03
# Change of the tint (a channel over the sum) of enamel, at most: photographs that show gums or lips
# where it is drawn make it flesh. Enamel's brightness over the skin's, and the share by which its
# red over blue is less, from where nothing is enamel to where all is
MOST_TINT = 0.03
ENAMEL_LIGHT, ENAMEL_COOLNESS = (0.4, 0.65), (0.05, 0.12)
PAPER = 236.0  # skin that is brighter is that of a line drawing, which the network does not know
MARGIN = 0.08  # widths of lip and skin around the inside, at least
_HALF = np.array([0.5], np.float32)


def inside_frame(mesh: Array, lips: Opening, *, full: bool = False) -> PatchFrame:
    """Place the patch of an inside.

    Args:
        mesh: (468, 2+) pixels.
        lips: opening of its inner lips.
        full: of the largest size; else as small as the opening allows.
    """
    first, second = EYE_OUTER
    eyes = float(np.hypot(*(mesh[second, :2] - mesh[first, :2])))
    enlarged = max(1.0, LEAST_WIDTH * eyes / max(lips.width, 1e-6))
    middle = opening.between_rims(lips, _HALF, _HALF)[0, 0].astype(np.float64)
    needed = 2 * (np.array([0.5, _reach(lips)]) / enlarged + MARGIN) * SIZE[0] / SPAN
    small = np.minimum(SIDES * np.ceil(needed / SIDES), SIZE).astype(int)
    size = SIZE if full else (int(small[0]), int(small[1]))
    return place_patch(middle, lips.axes * enlarged, SPAN * size[0] / SIZE[0], size)


def _reach(lips: Opening) -> float:
    """Return how far the rims are from the middle of the opening, at most, in widths."""
    columns = opening.BETWEEN_CORNERS
    upper, lower = lips.upper[columns], lips.lower[columns]
    middle = (upper[32] + lower[32]) / 2
    return float(max(middle - upper.min(), lower.max() - middle))


def mask_patch(lips: Opening, frame: PatchFrame) -> Array32:
    """Return how much of each pixel of a patch shows the inside, (h, w) 0..1."""
    local = lips.to_local(frame.positions()).astype(np.float32)
    uv = local[..., 0], local[..., 1]
    return inside_mask(lips, uv, lips.rims(uv[0]))


def share_patch(drawn: DrawnShare, frame: PatchFrame) -> Array32:
    """Return how much of each pixel of a patch is drawn, (h, w) 0..1."""
    rows, columns = drawn.region
    region_from_patch = frame.image_from_patch[:2].copy()
    region_from_patch[:, 2] -= columns.start, rows.start
    out = cv2.warpAffine(
        drawn.share,
        region_from_patch,
        frame.size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(out, np.float32)


def keep_enamel(coarse: Image, change: Array32, tone: Array) -> Array32:
    """Limit the change of a drawing to one that leaves its enamel's tint.

    Args:
        coarse: (h, w, 3) uint8 patch of the frame with the drawn inside.
        change: (h, w, 3) of its colours, 0..255.
        tone: (3,) skin colour.
    """
    skin = np.asarray(tone, np.float32) + 1
    drawn = coarse.astype(np.float32) + np.float32(1)
    light = drawn[..., 0] + drawn[..., 1] + drawn[..., 2]
    coolness = 1 - (drawn[..., 0] / drawn[..., 2]) / (skin[0] / skin[2])
    share = smoothstep(*ENAMEL_LIGHT, light / skin.sum()) * smoothstep(*ENAMEL_COOLNESS, coolness)
    is_enamel = share > 0
    drawn, light = drawn[is_enamel], light[is_enamel, None]
    painted = np.maximum(drawn + change[is_enamel], 1)
    bright = painted.sum(1, keepdims=True)
    alike = drawn * (bright / light)
    departs = np.abs(painted / alike - 1).max(1, keepdims=True)
    lost = share[is_enamel, None] * np.maximum(1 - MOST_TINT / np.maximum(departs, 1e-6), 0)
    out = change.copy()
    out[is_enamel] += lost * (alike - painted)
    return out


def stack(coarse: Image, mask: Array32, factor: float) -> Array32:
    """Stack the input channels, (4, h, w).

    Args:
        coarse: (h, w, 3) uint8 patch of the frame with the drawn inside.
        mask: (h, w) of the inside, 0..1.
        factor: from colours to those of the network, see `inputs.gain`.
    """
    return np.concatenate([inputs.colours(coarse, factor), mask[None] - np.float32(0.5)])
