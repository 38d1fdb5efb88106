"""Crops of the pass of detail: aligned with the pixels of their frame, compared with the source."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from thcli.core.imaging import three_channels
from thcli.core.options import TemplateOptions
from thcli.core.types import Array32, Crop, Face, Image
from thcli.engines.mesh.sampling import remap
from thcli.faces.compositing.mask import rim_mask
from thcli.faces.compositing.paste import paste_change, soft_mask
from thcli.faces.compositing.pixel_ops import PixelOps
from thcli.faces.crops.crop import Pixels, corners, crop, transform_face
from thcli.pipeline.observe.crop_path import WINDOW
from thcli.pipeline.observe.crop_templates import crop_placement
from thcli.pipeline.observe.crop_track import CropTrack
from thcli.pipeline.refining.subjects import DetailSource
from thcli.refiners.detail.colour import head_mask
from thcli.refiners.detail.texture import Texture, enlarge_positions
from thcli.refiners.detail.transfer import CoarseCrop, analyse, colour_gains, missing_detail
from thcli.refiners.shared.bands import UNIT
from thcli.refiners.shared.residual import ResidualInput

MAX_SIDE = 640  # pixels of a crop; a larger face is reduced
_OVERSAMPLING = 1.25  # of the texture
_MIN_STEPS = 4
_STEP = 16  # pixels, of which a side is a multiple
_RIM = 0.08  # width of the soft rim of a crop over its side
_EDGE = 0.02  # width over the side of the fade at the edge of the source


def analyse_face(
    image: Image, face: Face, placement: Crop, unit: float, texture: Texture, scene: int
) -> CoarseCrop:
    """Cut an aligned crop and compare it with its texture.

    Args:
        image: (H, W, 3) uint8 frame.
        face: with its mesh, in pixels of the frame.
        placement: from `aligned_placement`.
        unit: from the same.
        texture: of the source.
        scene: number of the scene.
    """
    moved = transform_face(face, placement.crop_from_frame)
    frame_from_crop = np.asarray(np.linalg.inv(placement.crop_from_frame), np.float64)
    mesh = np.asarray(moved.mesh, np.float64)
    return analyse(cut(image, placement), unit, mesh, texture, scene, frame_from_crop)


def crop_change(
    crops: Sequence[CoarseCrop | None], middle: int, texture: Texture, *, same_view: bool
) -> Array32:
    """Compute the missing detail and colours of a crop, (N, N, 3) levels of 255.

    Args:
        crops: consecutive crops, None where the face was not detected.
        middle: position of the crop.
        texture: of the source.
        same_view: the footage was rendered from the source, whose colours then count.
    """
    own = crops[middle]
    assert own is not None
    change = missing_detail(crops, middle, texture)
    if same_view:
        gains = colour_gains(crops, middle) - np.float32(1)
        by_level = np.arange(256, dtype=np.float32)[:, None] * gains
        change += cv2.LUT(own.image, by_level[None]) * head_mask(own.image.shape[0])
    return change


def view_residual(crop: CoarseCrop, change: Array32, texture: Texture, side: int) -> ResidualInput:
    """Reduce a crop with its change, and the source over it, for a network that runs last.

    side: pixels of the network's input.
    """
    own = crop.image.shape[0]
    positions = enlarge_positions(crop.placed.reduced.positions, texture, own)
    source = remap(texture.image, positions)
    views = (crop.image + change, crop.image, source)
    detailed, coarse, placed = (
        np.asarray(np.clip(reduce(one, side) / 255, 0, 1), np.float32) for one in views
    )
    return ResidualInput(detailed, coarse, placed, reduce(crop.placed.visibility, side))


def reduce(values: Image | Array32, side: int) -> Array32:
    """Resize a crop to side x side pixels, float32; a smaller one is enlarged."""
    resampling = cv2.INTER_AREA if values.shape[0] > side else cv2.INTER_LINEAR
    size = (side, side)
    return np.asarray(cv2.resize(values.astype(np.float32), size, interpolation=resampling))


def source_texture(source: DetailSource, template: TemplateOptions, side: float) -> Texture:
    """Crop the source, a little larger than the footage shows the face where it has the pixels.

    side: of the footage's crops, pixels.
    """
    image, face = source.image, source.face
    limit = round(_OVERSAMPLING * side)
    placement, _ = aligned_placement(crop_placement(face, template), limit)
    moved = transform_face(face, placement.crop_from_frame)
    known = np.ones(image.shape[:2], np.float32)
    inside = np.asarray(crop(known, placement, border="black", kernel="linear"), np.float32)
    pixels = np.asarray(crop(image, placement), np.uint8)
    return Texture(pixels, np.asarray(moved.mesh, np.float64), _fade(inside))


def _unscaled_corner(placement: Crop) -> tuple[int, int] | None:
    """Return left and top of an aligned placement in the frame; None where it is scaled."""
    if placement.crop_from_frame[0, 0] != 1:
        return None
    left, top = (-round(float(shift)) for shift in placement.crop_from_frame[:2, 2])
    return left, top


def cut(image: Image, placement: Crop) -> Image:
    """Return the pixels of an aligned placement as `crop` does, (N, N, 3) uint8."""
    corner = _unscaled_corner(placement)
    if corner is None:
        return np.asarray(crop(image, placement), np.uint8)
    columns, rows = (
        np.clip(np.arange(low, low + placement.size[0]), 0, size - 1)
        for low, size in zip(corner, image.shape[1::-1], strict=True)
    )
    return np.asarray(np.take(image[rows[0] : rows[-1] + 1], columns, 1)[rows - rows[0]], np.uint8)


def add_to_frame(
    pixels: Pixels, coarse: Image, change: Array32, placement: Crop, ops: PixelOps
) -> Pixels:
    """Return a new frame with a change of a crop added.

    Args:
        pixels: (H, W, 3) frame.
        coarse: (N, N, 3) uint8, the crop.
        change: (N, N, 3) levels of 255.
        placement: from `aligned_placement`.
        ops: of the device that pastes a crop which is scaled.
    """
    mask, channels = _soft_rim(placement.size)
    corner = _unscaled_corner(placement)
    if corner is None:
        before = coarse.astype(np.float32) / np.float32(255)
        after = before + change / np.float32(255)
        return paste_change(pixels, before, after, placement, mask, ops=ops)
    (left, top), (height, width) = corner, pixels.shape[:2]
    rows, columns = (slice(max(low, 0), max(low + len(mask), 0)) for low in (top, left))
    part = np.s_[
        rows.start - top : max(height - top, 0), columns.start - left : max(width - left, 0)
    ]
    out = pixels.copy()
    full = np.iinfo(pixels.dtype).max
    old = out[rows, columns]
    new = old + change[part] * np.float32(full / 255)
    np.clip(new, 0, full, out=new)
    new -= old
    new *= channels[part]
    new += old
    out[rows, columns] = np.rint(new, out=new)
    return out


@lru_cache(maxsize=4)
def _soft_rim(size: tuple[int, int]) -> tuple[Array32, Array32]:
    """Return the mask with which a crop is pasted in 0..1: (N, N), and three times, (N, N, 3)."""
    mask = soft_mask(Crop(np.eye(3), size), rim_mask(size, _RIM))
    return mask, three_channels(mask)


def _fade(inside: Array32) -> Array32:
    """Fade a mask inwards over _EDGE of the side."""
    width = 2 * round(_EDGE * inside.shape[0]) + 1
    kernel, black = np.ones((width, width), np.uint8), (0.0,)
    known = (inside > 0.5).astype(np.float32)
    core = cv2.erode(known, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=black)
    return np.asarray(cv2.blur(core, (width, width)), np.float32)


def aligned_placement(placement: Crop, limit: int = MAX_SIDE) -> tuple[Crop, float]:
    """Align an upright crop with the pixels of its frame, so that nothing is resampled.

    Args:
        placement: the crop.
        limit: largest side in pixels; a larger crop is reduced.

    Returns:
        The placement, whose side is a multiple of _STEP pixels, and its pixels for one of a crop of
        `bands.UNIT` pixels.
    """
    outline = corners(placement)
    low, high = outline.min(0), outline.max(0)
    true_side = float((high - low).max())
    scale = min(1.0, limit / true_side)
    side = max(round(true_side * scale / _STEP), _MIN_STEPS) * _STEP
    left, top = np.rint((low + high) / 2 * scale - side / 2)
    shift = np.array([0.5 * scale - 0.5 - left, 0.5 * scale - 0.5 - top])
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]])
    return Crop(matrix, (side, side)), true_side * scale / UNIT


def usual_side(track: CropTrack) -> float:
    """Return the median side of a track's first crops in pixels of the frame, up to MAX_SIDE."""
    sides = [float(np.ptp(corners(t.placement), 0).max()) for t in track.window(0, WINDOW)]
    return min(float(np.median(sides)), MAX_SIDE)
