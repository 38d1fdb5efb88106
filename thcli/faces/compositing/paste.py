"""Putting a changed crop back into its frame: soft rim, matched light and grain, things in front, the frame's own bit depth."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core import geometry
from thcli.core.options import Blend, PasteOptions
from thcli.core.types import Array32, Crop
from thcli.faces.compositing import grain
from thcli.faces.compositing.blend import blended
from thcli.faces.compositing.colour_match import Transfer, rim_transfer
from thcli.faces.compositing.detail import detail_gain
from thcli.faces.compositing.mask import hull_mask, rim_mask
from thcli.faces.crops.align import resized
from thcli.faces.crops.crop import corners, crop

DEFAULT = PasteOptions()
_MEASURE = 128  # pixels of the frame's own crop when its colour is measured
_ROWS = 128  # written at a time: their floats stay in the processor's cache
_COARSER = 1.05  # pixels of the frame to one of the crop, from which the frame has texture that the crop could not hold
_SAMPLE = 256  # pixels across the part whose grain is measured

Pixels = npt.NDArray[Any]


def paste(
    frame: Pixels,
    crop_pixels: Pixels,
    where: Crop,
    mask: Pixels | None = None,
    *,
    before: Pixels | None = None,
    keep: Array32 | None = None,
    points: npt.ArrayLike | None = None,
    feather: float = DEFAULT.feather,
    colour_match: bool = DEFAULT.colour_match,
    transfer: Transfer | None = None,
    blend: Blend = DEFAULT.blend,
    grain_from: tuple[int, int] | None = None,
    previous: Pixels | None = None,
) -> Pixels:
    """A new frame with the crop put back.

    frame: (H, W, 3) uint8 or uint16.  crop_pixels: (h, w, 3) of `where.size`, uint8, uint16, or float32 in 0..1.  mask: (h, w)
    uint8 or float in 0..1, 1 where the crop shall show; it is brought to 0 at the crop's rim.  Without one: the hull of
    `points`, (N, 2+) pixels of the frame (the face's mesh), else a rounded rectangle.  feather: width of the soft rim, a part of
    the crop's shorter side.  colour_match: see `faces.compositing.colour_match`.  transfer: a correction measured (and calmed) before; else it is
    measured here.  blend: see `faces.compositing.blend`.

    before: the crop as it was cut out of this frame.  With it only the change is carried: a crop that is `before` gives the frame,
    bit for bit, at any scale and angle, and the frame's own texture stays where the crop's did (see `faces.compositing.detail`).
    keep: (h, w) float in 0..1, what lies in front of the face (see `faces.compositing.occlusion`) and stays the frame's.
    grain_from: (seed, frame's number): the crop is given the grain that it lacks, made from these (see `faces.compositing.grain`); None for
    no grain.  previous: the frame before, of the same size, which tells grain from skin.

    What the mask does not cover is equal to the frame, bit for bit.  Raises ValueError when sizes do not fit.
    """
    width, height = where.size
    for name, one in (
        ("crop", crop_pixels),
        ("crop as it was", before),
        ("mask of what is kept", keep),
    ):
        if one is not None and one.shape[:2] != (height, width):
            raise ValueError(
                f"a {name} of {width} x {height} pixels, not {one.shape[1]} x {one.shape[0]}"
            )
    soft = soft_mask(where, mask, points=points, feather=feather)
    out = frame.copy()
    box = _box(frame, where, soft)
    if box is None:
        return out
    x0, y0, x1, y1 = box
    top = float(np.iinfo(frame.dtype).max)
    if colour_match and transfer is None:
        transfer = measure(frame, crop_pixels, where, soft, before=before, keep=keep)
    box_from_frame = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], np.float64)
    place = Crop(box_from_frame @ np.linalg.inv(where.crop_from_frame), (x1 - x0, y1 - y0))
    target = out[y0:y1, x0:x1]
    old = target.astype(np.float32)
    new = _in_place(
        old,
        _floats(crop_pixels, top),
        None if before is None else _floats(before, top),
        place,
        transfer,
        top,
    )
    shows = crop(soft, place, border="black", kernel="linear")
    kept = (
        None
        if keep is None
        else crop(np.asarray(keep, np.float32), place, border="replicate", kernel="linear")
    )
    if grain_from is not None:
        last = None if previous is None else previous[y0:y1, x0:x1].astype(np.float32)
        lack = _lack(old, new, shows if kept is None else shows * (1 - kept), last, top)
        if lack is not None:
            new += grain.make(lack, place.size, *grain_from) * np.float32(top)
    np.clip(new, 0, top, out=new)
    new -= old
    old += blended(new, shows, blend, top, kept)
    for row in range(0, len(target), _ROWS):
        rows = slice(row, row + _ROWS)
        target[rows] = np.rint(np.clip(old[rows], 0, top))
    return out


def carry(
    frame: Pixels,
    before: Pixels,
    after: Pixels,
    where: Crop,
    mask: Pixels | None = None,
    *,
    keep: Array32 | None = None,
) -> Pixels:
    """A new frame with the change of a crop, `after` less `before`, and nothing else: no colours are matched, no grain is made.

    frame: (H, W, 3) uint8 or uint16 that `before` was cut out of.  before, after: (h, w, 3) of `where.size`, uint8, uint16 or float32
    in 0..1; where the change is made by a network, `before` may be its reconstruction of the crop, so that its errors cancel.
    mask, keep: see `paste`.  Equal to the frame, bit for bit, where after is before and outside of the mask.
    """
    return paste(
        frame, after, where, mask, before=before, keep=keep, colour_match=False, blend="feather"
    )


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


def measure(
    frame: Pixels,
    crop_pixels: Pixels,
    where: Crop,
    mask: Array32,
    *,
    before: Pixels | None = None,
    keep: Array32 | None = None,
) -> Transfer:
    """The colour correction of a crop for its frame, see `faces.compositing.colour_match.rim_transfer`; mask as `soft_mask` gives it.

    before: the crop as it was cut, which stands for the frame.
    """
    if before is None:
        before = crop(frame, resized(where, min(_MEASURE, where.size[0])))
    return rim_transfer(before, crop_pixels, mask, keep)


def _in_place(
    old: Array32,
    after: Array32,
    before: Array32 | None,
    place: Crop,
    transfer: Transfer | None,
    top: float,
) -> Array32:
    """The crop as it looks in the frame's pixels, (h, w, 3) float32 like `old`, which is the frame there."""
    if transfer is not None:
        after = transfer.apply(after, top)
    if before is None:
        return np.asarray(crop(after, place), np.float32)
    new = old + crop(after - before, place)
    # A crop as fine as the frame holds all of its texture, and the change says what became of it.
    zoom = float(np.sqrt(abs(np.linalg.det(place.crop_from_frame[:2, :2]))))
    gain = detail_gain(before, after, top) if zoom > _COARSER else None
    if gain is not None:
        own = old - crop(before, place)  # what of the frame the crop could not hold
        own *= cv2.merge([crop(gain - np.float32(1), place, kernel="linear")] * 3)
        new += own
    return np.asarray(new, np.float32)


def _lack(
    old: Array32, new: Array32, shows: Array32, last: Array32 | None, top: float
) -> Array32 | None:
    """The grain that `new` lacks, looked for in the middle of the box."""
    height, width = shows.shape
    rows, columns = (
        slice(max((n - _SAMPLE) // 2, 0), (n + _SAMPLE) // 2 + 1) for n in (height, width)
    )
    there, made = (
        np.clip(picture[rows, columns], 0, top) / np.float32(top) for picture in (old, new)
    )
    gone = None if last is None else last[rows, columns] / np.float32(top)
    return grain.missing(there, made, shows[rows, columns], gone)


def _floats(pixels: Pixels, top: float) -> Array32:
    """(h, w, 3) of any kind as float32 in 0..top."""
    own = float(np.iinfo(pixels.dtype).max) if np.issubdtype(pixels.dtype, np.integer) else 1.0
    return np.asarray(pixels.astype(np.float32) * np.float32(top / own))


def _box(frame: Pixels, where: Crop, mask: Array32) -> tuple[int, int, int, int] | None:
    """The rectangle x0, y0, x1, y1 of the frame that the mask can reach; None when it lies outside."""
    left, top, wide, high = cv2.boundingRect((mask > 0).astype(np.uint8))
    if wide == 0:
        return None
    used = Crop(
        np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ where.crop_from_frame, (wide, high)
    )
    around = corners(used)
    low, up = np.floor(around.min(0)).astype(int) - 1, np.ceil(around.max(0)).astype(int) + 2
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = max(low[0], 0), max(low[1], 0), min(up[0], width), min(up[1], height)
    return (int(x0), int(y0), int(x1), int(y1)) if x0 < x1 and y0 < y1 else None
