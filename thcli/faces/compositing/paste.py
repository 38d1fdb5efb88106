"""Compositing of a changed crop into its frame.

Soft rim, matched light and grain, occlusions in front, in the frame's own bit depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core import geometry
from thcli.core.options import PasteOptions
from thcli.core.types import Array32, Crop, Image
from thcli.faces.compositing import grain
from thcli.faces.compositing.blend import blend_change
from thcli.faces.compositing.colour_match import ColourTransfer, estimate_transfer
from thcli.faces.compositing.detail import GRID, REACH, detail_gain
from thcli.faces.compositing.mask import hull_mask, rim_mask
from thcli.faces.compositing.pixel_ops import OPENCV, PixelOps, Values
from thcli.faces.crops.align import resize
from thcli.faces.crops.crop import corners, crop

DEFAULT = PasteOptions()
CHANGE_ONLY = PasteOptions(colour_match=False, blend="feather")
"""Options that add the change of a crop along a soft rim, without colour match."""
_MEASURE_SIDE = 128  # side of the frame's own crop while colours are measured, in pixels
# Pixels of the frame per pixel of the crop from which the frame has texture that the crop cannot.
_DETAIL_ZOOM = 1.05
_GRAIN_SIDE = 256  # side of the part whose grain is measured, in pixels

Pixels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PasteContext:
    """Further data of a frame for `paste`; every field is optional.

    original: the crop before the change, sampled from this frame. Only the change is then added: a
        crop equal to `original` gives the frame, bit for bit, at any scale and angle, and the
        frame's own texture stays where the crop's did (see `faces.compositing.detail`).
    occlusion_mask: (h, w) float in 0..1, objects in front of the face that stay the frame's (see
        `faces.compositing.occlusion`).
    points: (N, 2+) pixels of the frame, the face's mesh; their hull is the mask where none is
    given.
    transfer: colour correction measured (and smoothed) before; None to measure it.
    grain_key: (seed, frame number) of the grain that is added to a crop that lacks it (see
        `faces.compositing.grain`); None for no grain.
    previous_frame: the frame before, of the same size, which separates grain from skin texture.
    """

    original: Pixels | None = None
    occlusion_mask: Array32 | None = None
    points: npt.ArrayLike | None = None
    transfer: ColourTransfer | None = None
    grain_key: tuple[int, int] | None = None
    previous_frame: Pixels | None = None


NO_CONTEXT = PasteContext()


def paste(
    frame: Pixels,
    crop_pixels: Pixels,
    placement: Crop,
    mask: Pixels | None = None,
    *,
    context: PasteContext = NO_CONTEXT,
    options: PasteOptions = DEFAULT,
    ops: PixelOps = OPENCV,
) -> Pixels:
    """Return a new frame with the crop composited.

    Pixels that the mask does not cover are equal to the frame, bit for bit.

    Args:
        frame: (H, W, 3) uint8 or uint16.
        crop_pixels: (h, w, 3) of `placement.size`, uint8, uint16, or float32 in 0..1.
        placement: of the crop in the frame.
        mask: (h, w) uint8 or float in 0..1, 1 where the crop shows; it falls to 0 at the crop's
            rim. Without one: the hull of `context.points`, else a rounded rectangle.
        context: further data of this frame.
        options: width of the rim, colour match, blend mode, grain and detail.
        ops: of the device that composites (`pixel_ops`). The part of the frame under the mask and
            the crops go there once, and the result comes back.

    Raises:
        ValueError: the sizes do not match.
        DeviceMemoryError: the memory of the operations' device does not suffice.
    """
    original = context.original if options.detail else None
    occlusion_mask = context.occlusion_mask
    _require_size(placement, crop_pixels, "crop")
    _require_size(placement, original, "original crop")
    _require_size(placement, occlusion_mask, "occlusion mask")
    soft = soft_mask(placement, mask, points=context.points, feather=options.feather)
    out = frame.copy()
    if original is not None and not options.colour_match and context.grain_key is None:
        window = _changed_window(original, crop_pixels)
        placement = _part_placement(placement, window)
        crop_pixels, original, soft = crop_pixels[window], original[window], soft[window]
        occlusion_mask = None if occlusion_mask is None else occlusion_mask[window]
    box = None if 0 in soft.shape else _affected_box(frame, placement, soft)
    if box is None:
        return out
    x0, y0, x1, y1 = box
    top = float(np.iinfo(frame.dtype).max)
    transfer = context.transfer
    if options.colour_match and transfer is None:
        transfer = measure_transfer(
            frame, crop_pixels, placement, soft, original=original, occlusion_mask=occlusion_mask
        )
    box_from_frame = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], np.float64)
    frame_from_crop = np.linalg.inv(placement.crop_from_frame)
    box_placement = Crop(box_from_frame @ frame_from_crop, (x1 - x0, y1 - y0))
    target = out[y0:y1, x0:x1]
    with ops.memory_errors():
        old = ops.load(target)
        after = _load(crop_pixels, top, ops)
        if transfer is not None:
            after = transfer.apply(after, top, ops)
        before = None if original is None else _load(original, top, ops)
        new = _resample_crop(old, after, before, box_placement, top, ops)
        box_mask = ops.crop(ops.load(soft), box_placement, border="black")
        occluded = None
        if occlusion_mask is not None:
            occluded = ops.crop(ops.load(occlusion_mask), box_placement, border="replicate")
        if options.grain and context.grain_key is not None:
            last = context.previous_frame
            previous = None if last is None else last[y0:y1, x0:x1]
            visible = box_mask if occluded is None else box_mask * (1 - occluded)
            strength = _missing_grain(target, new, visible, previous, ops)
            if strength is not None:
                noise = grain.synthesize(strength, box_placement.size, *context.grain_key)
                new += ops.load(noise, top)
        new = ops.clip(new, 0, top)
        new -= old
        old += blend_change(new, box_mask, options.blend, top, occluded, ops)
        ops.store(old, top, target)
    return out


def paste_change(
    frame: Pixels,
    before: Pixels,
    after: Pixels,
    placement: Crop,
    mask: Pixels | None = None,
    *,
    occlusion_mask: Array32 | None = None,
    ops: PixelOps = OPENCV,
) -> Pixels:
    """Return a new frame with the change of a crop added, without colour match and grain.

    The result is equal to the frame, bit for bit, where `after` is `before` and outside of the
    mask.

    Args:
        frame: (H, W, 3) uint8 or uint16.
        before: (h, w, 3) of `placement.size`, uint8, uint16 or float32 in 0..1: the crop of the
            frame, or a network's reconstruction of it, so that its errors cancel.
        after: the changed crop, likewise.
        placement: of the crop in the frame.
        mask: as for `paste`.
        occlusion_mask: as in `PasteContext`.
        ops: as for `paste`.
    """
    context = PasteContext(original=before, occlusion_mask=occlusion_mask)
    return paste(frame, after, placement, mask, context=context, options=CHANGE_ONLY, ops=ops)


def soft_mask(
    placement: Crop,
    mask: Pixels | None = None,
    *,
    points: npt.ArrayLike | None = None,
    feather: float = DEFAULT.feather,
) -> Array32:
    """Return the mask that `paste` blends with, (h, w) float32 0..1 in the crop's pixels.

    placement, mask: as for `paste`. points: as in `PasteContext`. feather: width of the soft rim,
    in shorter sides of the crop.
    """
    width, height = placement.size
    if mask is not None:
        if mask.shape != (height, width):
            raise ValueError(f"The mask must be {width} x {height} pixels, not {mask.shape}.")
        scaled = mask.astype(np.float32) / np.float32(255.0 if mask.dtype == np.uint8 else 1.0)
        return np.asarray(np.minimum(np.clip(scaled, 0, 1), rim_mask(placement.size, feather)))
    if points is not None:
        plane = np.asarray(points, np.float64)[:, :2]
        in_crop = geometry.transform_points(placement.crop_from_frame, plane)
        return hull_mask(in_crop, placement.size, feather)
    return rim_mask(placement.size, feather)


def measure_transfer(
    frame: Pixels,
    crop_pixels: Pixels,
    placement: Crop,
    mask: Array32,
    *,
    original: Pixels | None = None,
    occlusion_mask: Array32 | None = None,
) -> ColourTransfer:
    """Measure the colour correction of a crop for its frame.

    See `faces.compositing.colour_match.estimate_transfer`. mask: as `soft_mask` gives it.
    original, occlusion_mask: as in `PasteContext`.
    """
    if original is None:
        original = crop(frame, resize(placement, min(_MEASURE_SIDE, placement.size[0])))
    return estimate_transfer(original, crop_pixels, mask, occlusion_mask)


def _require_size(placement: Crop, pixels: Pixels | None, name: str) -> None:
    width, height = placement.size
    if pixels is not None and pixels.shape[:2] != (height, width):
        raise ValueError(
            f"The {name} must be {width} x {height} pixels, "
            f"not {pixels.shape[1]} x {pixels.shape[0]}."
        )


def _resample_crop(
    old: Values,
    after: Values,
    before: Values | None,
    placement: Crop,
    top: float,
    ops: PixelOps,
) -> Values:
    """Return the crop in the frame's pixels, (h, w, 3) float32 like `old`, the frame there."""

    def placed(image: Values) -> Values:
        return ops.crop(image, placement, border="replicate", kernel="cubic")

    if before is None:
        return placed(after)
    new = old + placed(after - before)
    # A crop as fine as the frame holds all of its texture: the change is complete.
    zoom = float(np.sqrt(abs(np.linalg.det(placement.crop_from_frame[:2, :2]))))
    gain = detail_gain(before, after, top, ops) if zoom > _DETAIL_ZOOM else None
    if gain is not None:
        detail = old - placed(before)  # texture of the frame that the crop cannot hold
        detail *= ops.three(ops.crop(gain - 1, placement, border="replicate"))
        new += detail
    return new


def _missing_grain(
    frame: Pixels, new: Values, visible: Values, previous: Pixels | None, ops: PixelOps
) -> Array32 | None:
    """Return the grain that `new` lacks, measured in the middle of the box, on the host."""
    height, width = visible.shape
    top = np.float32(np.iinfo(frame.dtype).max)
    rows, columns = (
        slice(max((n - _GRAIN_SIDE) // 2, 0), (n + _GRAIN_SIDE) // 2 + 1) for n in (height, width)
    )
    old, composed = (
        np.clip(image, 0, top) / top
        for image in (frame[rows, columns].astype(np.float32), ops.fetch(new[rows, columns]))
    )
    last = None if previous is None else previous[rows, columns].astype(np.float32) / top
    return grain.missing_grain(old, composed, ops.fetch(visible[rows, columns]), last)


def _load(pixels: Pixels, top: float, ops: PixelOps) -> Values:
    """Convert (h, w, 3) of any dtype to float32 in 0..top."""
    full_scale = (
        float(np.iinfo(pixels.dtype).max) if np.issubdtype(pixels.dtype, np.integer) else 1.0
    )
    return ops.load(pixels, top / full_scale)


def _affected_box(
    frame: Pixels, placement: Crop, mask: Array32
) -> tuple[int, int, int, int] | None:
    """Return x0, y0, x1, y1 of the frame that the mask can reach; None when it is outside."""
    left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    if width == 0:
        return None
    window = slice(top, top + height), slice(left, left + width)
    outline = corners(_part_placement(placement, window))
    low = np.floor(outline.min(0)).astype(int) - 1
    high = np.ceil(outline.max(0)).astype(int) + 2
    frame_height, frame_width = frame.shape[:2]
    x0, y0 = max(low[0], 0), max(low[1], 0)
    x1, y1 = min(high[0], frame_width), min(high[1], frame_height)
    return (int(x0), int(y0), int(x1), int(y1)) if x0 < x1 and y0 < y1 else None


def _part_placement(placement: Crop, window: tuple[slice, slice]) -> Crop:
    """Return the placement of rows and columns of a crop."""
    rows, columns = window
    part_from_crop = np.array([[1, 0, -columns.start], [0, 1, -rows.start], [0, 0, 1]])
    size = columns.stop - columns.start, rows.stop - rows.start
    return Crop(part_from_crop @ placement.crop_from_frame, size)


def _changed_window(before: Pixels, after: Pixels) -> tuple[slice, slice]:
    """Return rows and columns of a crop that a change reaches, with the filters of the detail."""
    difference = np.not_equal(before, after).reshape(len(before), -1)
    rows = np.flatnonzero(difference.any(1))
    columns = np.flatnonzero(difference.any(0)) // max(before.shape[2], 1)
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return _reached(rows, before.shape[0]), _reached(columns, before.shape[1])


def _reached(changed: npt.NDArray[np.intp], size: int) -> slice:
    """Return the places that a change reaches, from a multiple of the detail's grid on."""
    first = max(int(changed[0]) - REACH, 0) // GRID * GRID
    last = int(changed[-1]) + 1 + REACH
    return slice(first, min(last + -last % GRID, size))


def add_change(pixels: Any, before: Image, after: Image) -> Any:
    """Add the change of an 8-bit image to a frame of its own depth.

    Pixels that do not change are equal to the frame, bit for bit.

    Args:
        pixels: (H, W, 3) uint8 or uint16 frame.
        before: (H, W, 3), the frame in 8 bits.
        after: (H, W, 3), the changed image.
    """
    if pixels.dtype == np.uint8:
        return after
    change = (after.astype(np.int32) - before) * 257
    return np.where(change == 0, pixels, np.clip(pixels + change, 0, 65535)).astype(np.uint16)
