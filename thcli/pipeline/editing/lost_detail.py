"""Detail that a step took off the crop, taken off the frame too.

A change is added to the frame, so that the frame keeps its own detail. Of a rim that was removed
the frame would keep what the crop's resampling lost: thin bright and dark lines.
"""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array32, Crop, Image
from thcli.faces.crops.crop import Pixels

_FINE, _AROUND = 2.0, 5.0  # pixels of the crop: deviations of detail and of its mean
_NOISE = 2.0  # levels of detail that no change is told from


def replace_lost_detail(
    changed: Pixels, before: Image, after: Image, placement: Crop, mask: Array32
) -> Pixels:
    """Return a changed frame that shows the crop itself where the crop lost its detail.

    Args:
        changed: (H, W, 3) uint8 or uint16, the frame with the change added.
        before: (h, w, 3) uint8 crop.
        after: the changed crop.
        placement: of the crop in the frame.
        mask: (h, w) 0..1, where the frame may change.
    """
    touched = np.abs(after.astype(np.int16) - before).max(-1)
    if not touched.any():
        return changed
    share = lost_detail(before, after) * mask
    rows, columns = (np.flatnonzero(share.max(axis=axis) > 0.02) for axis in (1, 0))
    if not len(rows):
        return changed
    frame_from_crop = np.linalg.inv(placement.crop_from_frame)
    ends = np.array([[x, y, 1] for x in columns[[0, -1]] for y in rows[[0, -1]]], np.float64)
    box = (ends @ frame_from_crop.T)[:, :2]
    height, width = changed.shape[:2]
    x0, y0 = np.clip(np.floor(box.min(0)).astype(int) - 1, 0, (width, height))
    x1, y1 = np.clip(np.ceil(box.max(0)).astype(int) + 2, 0, (width, height))
    if x1 <= x0 or y1 <= y0:
        return changed
    shift = np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1]], np.float64)
    matrix = (placement.crop_from_frame @ shift)[:2]
    size, flags = (int(x1 - x0), int(y1 - y0)), cv2.WARP_INVERSE_MAP
    shown = cv2.warpAffine(  # beyond an edge the crop goes on: `own` reaches half a pixel there
        after.astype(np.float32),
        matrix,
        size,
        flags=cv2.INTER_CUBIC | flags,
        borderMode=cv2.BORDER_REPLICATE,
    )
    own = cv2.warpAffine(share, matrix, size, flags=cv2.INTER_LINEAR | flags)[..., None]
    most = np.iinfo(changed.dtype).max
    out = changed.copy()
    part = out[y0:y1, x0:x1].astype(np.float32)
    part += np.clip(own, 0, 1) * (shown * np.float32(most / 255) - part)
    out[y0:y1, x0:x1] = np.clip(np.rint(part), 0, most).astype(changed.dtype)
    return out


def lost_detail(before: Image, after: Image) -> Array32:
    """Return (h, w) 0..1, share of the local detail of a crop that a change took off."""
    first, second = (_detail(crop) for crop in (before, after))
    products = np.stack([first * first, first * second], -1)
    energy, kept = cv2.split(cv2.GaussianBlur(products, (0, 0), _AROUND))
    lost = (energy - kept) / (energy + np.float32(_NOISE**2))
    return np.asarray(np.clip(2 * lost, 0, 1), np.float32)


def _detail(crop: Image) -> Array32:
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), _FINE), np.float32)
