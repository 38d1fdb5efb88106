"""Rendering of single hairs at roots that follow the head and its expression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.types import Array32
from thcli.editors.drawn.hair_roots import JOINTS, SHADES, HairStrokes, extend_below_jaw
from thcli.editors.drawn.scene import STEP, Scene

_SAMPLES = 12  # of a hair, about a pixel apart
_WIDTH = 0.54  # of a hair, pixels
_TIP = 0.5  # opacity of a tip, relative to the hair's
_FRONT = 0.5  # more weight of the lightest hairs, which lie in front of darker ones
_LIGHTER = 0.11  # brightness that hairs gain, since they are not narrower than a pixel
_SPLAT_VARIANCE = 0.127  # pixels^2 by which bilinear samples blur already
_BEHIND = 0.06  # depth of a root behind the nearest surface that is tolerated, canonical units
_TURNED, _FACING = -0.12, 0.08  # cosine to the camera at which roots are invisible, fully visible
_LEAST = 0.15  # visibility below which roots are dropped


def _sampling() -> tuple[Array32, Array32]:
    """Return weights of a hair's joints at its samples, (K, 4), and its opacity there, (K,)."""
    place = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    joints = np.linspace(0, 1, JOINTS)
    along = [np.interp(place, joints, one) for one in np.eye(JOINTS)]
    fade = np.where(place > joints[-2], _TIP, 1)
    return np.stack(along, 1).astype(np.float32), fade.astype(np.float32)


_ALONG, _FADE = _sampling()


@dataclass(frozen=True, slots=True)
class HairLayer:
    """Rendered hairs.

    x0, y0: first pixel.
    shade: (h, w) float32, brightness times coverage, 0..1.
    cover: (h, w) float32 coverage, 0..1.
    """

    x0: int
    y0: int
    shade: Array32
    cover: Array32

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height)."""
        return self.cover.shape[1], self.cover.shape[0]

    @property
    def window(self) -> tuple[slice, slice]:
        """Return the rows and columns of the crop that the layer covers."""
        width, height = self.size
        return slice(self.y0, self.y0 + height), slice(self.x0, self.x0 + width)


def draw_hairs(scene: Scene, strokes: HairStrokes, solid: float, margin: float) -> HairLayer | None:
    """Render hairs in the current pose; None where none is visible.

    Args:
        scene: crop to draw on.
        strokes: hairs.
        solid: 0..1, opacity of one hair.
        margin: free space around the hairs, canonical units.
    """
    scale, rotation, _ = scene.pose
    points = extend_below_jaw(scene.mesh, rotation, scale).astype(np.float32)
    corners = points[strokes.corners]
    root = np.einsum("mk,mkd->md", strokes.weights, corners)
    seen = _visibility(scene, corners, root) * strokes.opacity
    chosen = np.flatnonzero(seen > _LEAST * strokes.opacity)
    if not len(chosen):
        return None
    turned = strokes.joints[chosen] @ (np.float32(scale) * rotation[:2].T.astype(np.float32))
    x, y = np.moveaxis(root[chosen, None, :2] + np.matmul(_ALONG, turned), 2, 0)
    border = margin * scale + 3
    ranges = (float(x.min()), float(x.max())), (float(y.min()), float(y.max()))
    (x0, x1), (y0, y1) = (
        (max(int(low - border), 0), min(int(high + border) + 2, scene.side)) for low, high in ranges
    )
    if x1 <= x0 or y1 <= y0:
        return None
    long = np.hypot(turned[:, -1, 0], turned[:, -1, 1])
    ink = (seen[chosen] * long * np.float32(_WIDTH / _SAMPLES))[:, None] * _FADE
    level = (strokes.shade[chosen] + np.float32(0.5)) / np.float32(SHADES)
    covering = level * (1 + _FRONT * level)  # light hairs are in front of dark ones
    density, lightness = _splat(
        (x - np.float32(x0), y - np.float32(y0)), (ink, ink * covering[:, None]), (x1 - x0, y1 - y0)
    )
    lightness /= np.maximum(density, np.float32(1e-4)) * np.mean(1 + _FRONT * level)
    shade = np.clip(lightness + np.float32(_LIGHTER), 0, 1)
    cover = 1 - np.exp(-density)
    blur = max(float(scene.appearance.blur[0]) * 1.05, 0.6)
    sigma = max(blur**2 - _SPLAT_VARIANCE, 0.25) ** 0.5
    layers = np.asarray(cv2.merge([cover * shade, cover]))
    soft = cv2.GaussianBlur(layers, (0, 0), sigma) * np.float32(solid)
    return HairLayer(x0, y0, soft[..., 0], soft[..., 1])


def _splat(
    at: tuple[Array32, Array32], amounts: Sequence[Array32], size: tuple[int, int]
) -> list[Array32]:
    """Add amounts at positions to images, bilinearly; those outside of the images are left out.

    Args:
        at: x and y, (M, K) pixels.
        amounts: (M, K) each.
        size: width and height of the images.

    Returns:
        One (height, width) image for each of the amounts.
    """
    width, height = size
    x, y = (np.clip(p, 0, side - 1.001) for p, side in zip(at, size, strict=True))
    inside = np.asarray((x == at[0]) & (y == at[1]), np.float32)
    column, row = x.astype(np.int32), y.astype(np.int32)
    right, below = x - column, y - row
    first, count = np.ravel(row * width + column), width * height
    sums = [np.zeros(count + width + 1) for _ in amounts]
    for down, share in ((0, (1 - below) * inside), (1, below * inside)):
        for aside, part in ((0, share * (1 - right)), (1, share * right)):
            start = down * width + aside
            for total, amount in zip(sums, amounts, strict=True):
                added = np.bincount(first, np.ravel(amount * part), count)
                total[start : start + count] += added
    return [total[:count].reshape(height, width).astype(np.float32) for total in sums]


def _visibility(scene: Scene, corners: Array32, root: Array32) -> Array32:
    """Return (M,) 0..1, visibility of roots: the skin faces the camera and nothing occludes it."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(a, b)
    # The sign follows `topology.FRONT_SIGNS`.
    facing = -normal[:, 2] / np.maximum(np.linalg.norm(normal, axis=1), 1e-6)
    count = scene.depth.shape[0]
    column, row = np.clip(np.rint((root[:, :2] + 0.5) / STEP - 0.5).astype(np.intp), 0, count - 1).T
    clear = root[:, 2] < scene.depth[row, column] + _BEHIND * scene.pose[0]
    return np.asarray(np.clip((facing - _TURNED) / (_FACING - _TURNED), 0, 1) * clear, np.float32)
