"""Rendering of single hairs at roots that follow the head and its expression."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.types import Array32
from thcli.editors.drawn.hair_roots import SHADES, HairStrokes, extend_below_jaw
from thcli.editors.drawn.scene import STEP, Scene

_FINE = 2  # samples per pixel in each direction
_TIP = 0.5  # opacity of a tip, relative to the hair's
_OPACITIES = (0.3, 0.6, 1.0)  # of thin to thick hairs
_BEHIND = 0.06  # depth of a root behind the nearest surface that is tolerated, canonical units
_TURNED, _FACING = -0.12, 0.08  # cosine to the camera at which roots are invisible, fully visible
_LEAST = 0.15  # visibility below which roots are dropped


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
    lines = root[chosen, None, :2] + turned
    border = margin * scale + 3
    low = np.maximum(np.floor(lines.min((0, 1)) - border).astype(int), 0)
    high = np.minimum(np.ceil(lines.max((0, 1)) + border + 1).astype(int), scene.side)
    if (high <= low).any():
        return None
    width, height = (high - low).tolist()
    canvas = np.zeros((height * _FINE, width * _FINE, 3), np.uint8)
    samples = (lines - low.astype(np.float32) + np.float32(0.5)) * _FINE - np.float32(0.5)
    fine = np.rint(samples * 16).astype(np.int32)
    shade = strokes.shade[chosen]
    opacity = np.minimum((seen[chosen] * len(_OPACITIES)).astype(np.intp), len(_OPACITIES) - 1)
    for number in range(SHADES):  # dark hairs first
        level = (number + 0.5) / SHADES
        for part, thin in ((slice(2, 4), _TIP), (slice(0, 3), 1.0)):  # tips first
            for group, strong in enumerate(_OPACITIES):
                own = list(fine[(shade == number) & (opacity == group), part])
                if own:
                    alpha = 255 * strong * thin
                    cv2.polylines(canvas, own, False, (level * alpha, 0, alpha), 1, cv2.LINE_AA, 4)
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    sigma = max(float(scene.appearance.blur[0]) * 1.05, 0.6)
    soft = cv2.GaussianBlur(small, (0, 0), sigma).astype(np.float32)
    soft *= np.float32(solid / 255)
    return HairLayer(int(low[0]), int(low[1]), soft[..., 0], soft[..., 2])


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
