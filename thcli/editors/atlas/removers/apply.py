"""Application of a removal to one crop."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.editors.atlas import layout, tone
from thcli.editors.atlas.removers.measured import BESIDE, side_weights
from thcli.editors.atlas.removers.parts import FINE, SEEN
from thcli.editors.atlas.sampling import AtlasProjection, project, unroll_image
from thcli.engines.mesh.sampling import box_mean, resize
from thcli.faces.parsing.classes import ClassGroup, group_probability

_LIGHT = 7.0  # deviation of the light's Gaussian, samples of the projection
_MOST_LIGHT = 0.6  # limit of the light's difference to the clip's mean, soft logarithms
_SOFT = 1.5  # blur of the visible region's border, pixels of a 512-pixel crop at half resolution


@dataclass(frozen=True, slots=True)
class Removal:
    """Removal of a clip, on the fine atlas.

    texture: (ROWS, COLUMNS, 3) of the clip, soft logarithms.
    target: (ROWS, COLUMNS, 3) of the bare face.
    gain: (ROWS, COLUMNS, 3) smooth change where the frame's own detail stays.
    solid: (ROWS, COLUMNS) 0..1: where the frame's own detail is replaced, since it belongs to what
        is removed.
    known: (ROWS, COLUMNS) 0..1, how surely the clip shows the texture.
    beside: (ROWS, COLUMNS) 0..1, as `solid`, for temples beside the face: over ears and hair too.
    shaved: whether a beard is removed, and with it hair beside the jaw.
    """

    texture: Array32
    target: Array32
    gain: Array32
    solid: Array32
    known: Array32
    beside: Array32
    shaved: bool


def apply_removal(crop: Image, mesh: Array, planes: Array32, removal: Removal) -> Image:
    """Return a crop with a removal applied.

    Where `solid` is 0, colours get the gain and keep their detail. Where it is 1 the bare face
    replaces them, in the light of the frame.

    Args:
        crop: (S, S, 3).
        mesh: (468, 3), pixels of the crop.
        planes: (19, S', S') probabilities of the regions.
        removal: of the clip.
    """
    if not np.abs(removal.gain).max() > 0:
        return crop
    size = crop.shape[0]
    half = (size // 2, size // 2)
    points = layout.extend_mesh(mesh)
    projection = project(mesh, points, size)
    facing = box_mean(projection.visibility * projection.coverage, 3)
    seen, head = (_soft(planes, group, size) for group in (SEEN, BESIDE))
    shown = np.clip(2 * seen - 1, 0, 1) * resize(facing, half)
    positions = _fine(resize(projection.positions, half))
    maps = np.concatenate([removal.gain, removal.solid[..., None]], -1)
    sampled = unroll_image(maps, positions) * shown[..., None]
    side = projection.interpolate(points, side_weights(mesh)[:, None])[..., 0]
    covered = unroll_image(removal.beside, positions) * resize(side, half)
    sampled[..., 3] = np.maximum(sampled[..., 3], covered * np.clip(2 * head, 0, 1))
    rows, columns = (np.flatnonzero(np.abs(sampled).max(axis=(1 - a, 2)) > 1e-3) for a in (0, 1))
    if not len(rows) or not len(columns):
        return crop
    y0, y1, x0, x1 = 2 * rows[0], 2 * rows[-1] + 2, 2 * columns[0], 2 * columns[-1] + 2
    window = (slice(y0, y1), slice(x0, x1))
    part = sampled[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2]
    part = resize(np.ascontiguousarray(part), (x1 - x0, y1 - y0))
    log = tone.to_log(crop[window])
    gained = log + part[..., :3]
    light = resize(_light(crop, projection, removal), (size, size))[window]
    near = _fine(resize(projection.positions, (size, size)))[window]
    new = unroll_image(removal.target, np.ascontiguousarray(near)) + light
    solid = part[..., 3:]
    pixels = tone.from_log(gained + solid * (new - gained))
    out = crop.copy()
    changed = np.clip(pixels * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)
    out[window] = np.where(np.abs(part).max(-1, keepdims=True) > 1e-3, changed, crop[window])
    return out


def _soft(planes: Array32, group: ClassGroup, size: int) -> Array32:
    """Return the soft probability of some regions at half of a crop's resolution."""
    probability = np.ascontiguousarray(group_probability(planes, group))
    reduced = cv2.resize(probability, (size // 2, size // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(reduced, (0, 0), _SOFT * size / 512), np.float32)


def _fine(positions: Array32) -> Array32:
    """Convert positions in the atlas to positions in the fine atlas."""
    return (positions + np.float32(0.5)) * np.float32(FINE) - np.float32(0.5)


def _light(crop: Image, projection: AtlasProjection, removal: Removal) -> Array32:
    """Return the smooth difference (rows, columns, 3) of the frame's light to the clip's mean.

    It is measured around what is removed, and interpolated below it.
    """
    grid = projection.grid
    small = cv2.resize(crop, (grid.columns, grid.rows), interpolation=cv2.INTER_AREA)
    maps = np.concatenate([removal.texture, removal.solid[..., None], removal.known[..., None]], -1)
    at = _fine(projection.positions)
    found = np.concatenate([unroll_image(maps[..., :3], at), unroll_image(maps[..., 3:], at)], -1)
    kept = np.clip(1 - 2 * found[..., 3], 0, 1)
    weight = (kept * found[..., 4] * projection.visibility)[..., None]
    difference = (tone.to_log(np.asarray(small, np.uint8)) - found[..., :3]) * weight
    sums = cv2.GaussianBlur(np.concatenate([difference, weight], -1), (0, 0), _LIGHT)
    light = sums[..., :3] / (sums[..., 3:] + np.float32(0.02))
    return np.clip(light, -_MOST_LIGHT, _MOST_LIGHT).astype(np.float32)
