"""Application of a change to one crop: colour and detail first, then shape by one resampling."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.editors.atlas import layout, tone
from thcli.editors.atlas.directions import FaceChange
from thcli.editors.atlas.mouth import fit_to_mouth
from thcli.editors.atlas.sampling import STEP, AtlasProjection, project, unroll_image, upsample
from thcli.editors.atlas.wrinkles import LINE_SCALE, line_texture
from thcli.engines.mesh.sampling import box_mean, remap, resize
from thcli.faces.landmarks.topology import OVAL
from thcli.motion.canonical import decompose

# Share of the outline's motion that the pushed outline and the two rings follow.
FOLLOW = (1.0, 0.6, 0.0)
BANDS = (2.4, 6.0)  # pixels of a 512-pixel crop, as in `train.atlas.measure`
EDGE = 0.10  # of full scale: detail of this strength is an edge, not a wrinkle
_ITERATIONS = 4  # of inverting the motion
_TINY = 1e-6


def apply_change(crop: Image, mesh: Array, visible: Array32, change: FaceChange) -> Image:
    """Return a crop with a change applied.

    Args:
        crop: (S, S, 3).
        mesh: (468, 3), pixels of the crop.
        visible: (S / 2, S / 2) 0..1, 0 where the face is occluded.
        change: change to apply.
    """
    size = crop.shape[0]
    points = layout.extend_mesh(mesh)
    projection = project(mesh, points, size)
    facing = box_mean(projection.visibility * projection.coverage, 3)
    shown = visible * resize(facing, (size // 2, size // 2))
    pixels = crop.astype(np.float32) / np.float32(255)
    if np.abs(change.detail).max() > _TINY:
        pixels += _detail(pixels, projection, shown, change.detail)
    if np.abs(change.texture).max() > _TINY:
        gain = _gain(projection, shown, change, size)
        pixels = (pixels + np.float32(tone.FLOOR)) * gain - np.float32(tone.FLOOR)
    out: Image = np.clip(pixels * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)
    if np.abs(change.shape).max() > _TINY:
        out = _warp(out, mesh, points, projection, change.shape)
    return out


def _gain(projection: AtlasProjection, shown: Array32, change: FaceChange, size: int) -> Array32:
    """Return the factors (S, S, 3) of the colours."""
    half = (size // 2, size // 2)
    positions = resize(projection.positions, half)
    log_gain = unroll_image(change.texture, positions)
    if change.wrinkle_depth > 0:
        fine = (positions + np.float32(0.5)) * np.float32(LINE_SCALE) - np.float32(0.5)
        log_gain += unroll_image(line_texture(), fine) * np.float32(change.wrinkle_depth)
    gain = cv2.exp(np.asarray(log_gain, np.float32) * shown[..., None])
    return resize(np.asarray(gain, np.float32), (size, size))


def _detail(
    pixels: Array32, projection: AtlasProjection, shown: Array32, detail: Array32
) -> Array32:
    """Return (S, S, 3) to add to the pixels so that both bands of detail get their gain."""
    size = pixels.shape[0]
    half = (size // 2, size // 2)
    share = np.exp(projection.sample_atlas(detail)) - np.float32(1)
    share = resize(np.ascontiguousarray(share), half) * shown[..., None]
    wide = resize(pixels, half, shrink=True)
    scale = size / 512
    fine = pixels - cv2.GaussianBlur(pixels, (0, 0), BANDS[0] * scale)
    low, high = (cv2.GaussianBlur(wide, (0, 0), sigma * scale / 2) for sigma in BANDS)
    middle = _suppress_edges(low - high) * share[..., 1:]
    added = resize(np.asarray(middle, np.float32), (size, size))
    fine_share = resize(np.ascontiguousarray(share[..., 0]), (size, size))
    added += _suppress_edges(fine) * fine_share[..., None]
    return added


def _suppress_edges(band: Array32) -> Array32:
    """Reduce the band where it is as strong as an edge."""
    strength = np.abs(band).max(-1, keepdims=True) * np.float32(1 / EDGE)
    return np.asarray(band / (1 + strength**4), np.float32)


def _warp(
    image: Image, mesh: Array, points: Array, projection: AtlasProjection, shape: Array
) -> Image:
    """Warp an image by canonical displacements (468, 3) of the face's mesh points."""
    posed = decompose(mesh)
    turn = np.exp(posed.log_scale) * posed.rotation
    motion = fit_to_mouth(shape, posed.shape) @ turn.T
    outline = motion[OVAL]
    steps = np.concatenate([motion, *(outline * share for share in FOLLOW)])[:, :2]
    size = image.shape[0]
    motion_map = box_mean(projection.interpolate(points, steps), 3)
    grid = projection.grid
    x, y = grid.pixel_axes()
    here = np.stack(np.broadcast_arrays(x[None], y[:, None]), -1).astype(np.float32)
    source = here
    for _ in range(_ITERATIONS):
        at = (source + np.float32(0.5)) / np.float32(grid.step) - np.float32(0.5)
        source = here - remap(motion_map, np.ascontiguousarray(at))
    sampling_map = upsample(source - here, STEP)
    rows = np.arange(size, dtype=np.float32)
    sampling_map[..., 0] += rows[None]
    sampling_map[..., 1] += rows[:, None]
    # The stub does not know that the second map may be absent.
    warped = cv2.remap(  # type: ignore[call-overload]
        image, sampling_map, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, np.uint8)
