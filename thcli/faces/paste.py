"""Putting a changed crop back into its frame: soft rim, matched light, the frame's own bit depth."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core import geometry
from thcli.core.options import PasteOptions
from thcli.core.types import Array32, Crop
from thcli.faces.align import resized
from thcli.faces.colour import Transfer, rim_transfer
from thcli.faces.crop import corners, crop
from thcli.faces.mask import hull_mask, rim_mask

DEFAULT = PasteOptions()
_MEASURE = 128  # pixels of the frame's own crop when its colour is measured
_ROWS = 128  # blended at a time: their floats stay in the processor's cache

Pixels = npt.NDArray[Any]


def paste(
    frame: Pixels,
    crop_pixels: Pixels,
    where: Crop,
    mask: Pixels | None = None,
    *,
    points: npt.ArrayLike | None = None,
    feather: float = DEFAULT.feather,
    colour_match: bool = DEFAULT.colour_match,
    transfer: Transfer | None = None,
) -> Pixels:
    """A new frame with the crop put back.

    frame: (H, W, 3) uint8 or uint16.  crop_pixels: (h, w, 3) of `where.size`, uint8, uint16, or float32 in 0..1.  mask: (h, w)
    uint8 or float in 0..1, 1 where the crop shall show; it is brought to 0 at the crop's rim.  Without one: the hull of
    `points`, (N, 2+) pixels of the frame (the face's mesh), else a rounded rectangle.  feather: width of the soft rim, a part of
    the crop's shorter side.  colour_match: see `faces.colour`.  transfer: a correction measured (and calmed) before; else it is
    measured here.  What the mask does not cover is equal to the frame, bit for bit.
    Raises ValueError when sizes do not fit.
    """
    width, height = where.size
    if crop_pixels.shape[:2] != (height, width):
        raise ValueError(f"a crop of {width} x {height} pixels, not {crop_pixels.shape[1]} x {crop_pixels.shape[0]}")
    alpha_crop = soft_mask(where, mask, points=points, feather=feather)
    out = frame.copy()
    box = _box(frame, where, alpha_crop)
    if box is None:
        return out
    x0, y0, x1, y1 = box
    top = float(np.iinfo(frame.dtype).max)
    own = float(np.iinfo(crop_pixels.dtype).max) if np.issubdtype(crop_pixels.dtype, np.integer) else 1.0
    new = crop_pixels.astype(np.float32) * np.float32(top / own)
    if colour_match and transfer is None:
        transfer = measure(frame, crop_pixels, where, alpha_crop)
    if transfer is not None:
        new = transfer.apply(new, top)
    box_from_frame = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], np.float64)
    place = Crop(box_from_frame @ np.linalg.inv(where.crop_from_frame), (x1 - x0, y1 - y0))
    new = crop(new, place)
    alpha = crop(alpha_crop, place, border="black", kernel="linear")
    target = out[y0:y1, x0:x1]
    for row in range(0, len(target), _ROWS):
        rows = slice(row, row + _ROWS)
        old = target[rows].astype(np.float32)
        # A mask of three equal channels: numpy is slow at broadcasting over a last axis of 3.
        change = np.clip(new[rows], 0, top) - old
        change *= cv2.merge([alpha[rows]] * 3)
        change += old
        target[rows] = np.rint(change, out=change)
    return out


def soft_mask(
    where: Crop,
    mask: Pixels | None = None,
    *,
    points: npt.ArrayLike | None = None,
    feather: float = DEFAULT.feather,
) -> Array32:
    """The mask that `paste` blends with, (h, w) float32 0..1 in the crop's pixels; arguments as there."""
    width, height = where.size
    if mask is not None:
        if mask.shape != (height, width):
            raise ValueError(f"a mask of {width} x {height} pixels, not of shape {mask.shape}")
        given = mask.astype(np.float32) / np.float32(255.0 if mask.dtype == np.uint8 else 1.0)
        return np.asarray(np.minimum(np.clip(given, 0, 1), rim_mask(where.size, feather)))
    if points is not None:
        inside = geometry.transform(where.crop_from_frame, np.asarray(points, np.float64)[:, :2])
        return hull_mask(inside, where.size, feather)
    return rim_mask(where.size, feather)


def measure(frame: Pixels, crop_pixels: Pixels, where: Crop, mask: Array32) -> Transfer:
    """The colour correction of a crop for its frame, see `faces.colour.rim_transfer`; mask as `soft_mask` gives it."""
    small = resized(where, min(_MEASURE, where.size[0]))
    return rim_transfer(crop(frame, small), crop_pixels, mask)


def _box(frame: Pixels, where: Crop, mask: Array32) -> tuple[int, int, int, int] | None:
    """The rectangle x0, y0, x1, y1 of the frame that the mask can reach; None when it lies outside."""
    left, top, wide, high = cv2.boundingRect((mask > 0).astype(np.uint8))
    if wide == 0:
        return None
    used = Crop(np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ where.crop_from_frame, (wide, high))
    around = corners(used)
    low, up = np.floor(around.min(0)).astype(int) - 1, np.ceil(around.max(0)).astype(int) + 2
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = max(low[0], 0), max(low[1], 0), min(up[0], width), min(up[1], height)
    return (int(x0), int(y0), int(x1), int(y1)) if x0 < x1 and y0 < y1 else None
