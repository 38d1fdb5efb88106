"""Hairs drawn one by one, each where the head and its expression carry its root."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.types import Array32
from thcli.editors.drawn.hair_roots import SHADES, Hairs, extended
from thcli.editors.drawn.scene import STEP, Scene

_FINE = 2  # samples to a pixel, each way
_TIP = 0.5  # how much of a hair's cover its tip has
_FIRM = (0.3, 0.6, 1.0)  # cover of thin hairs to thick ones
_BEHIND = 0.06  # canonical units that a root may lie behind the nearest surface
_TURNED, _FACING = -0.12, 0.08  # towards us, of a root's surface: not seen, fully seen
_LEAST = 0.15  # roots that show less are left out


@dataclass(frozen=True, slots=True)
class Coat:
    """Drawn hairs. x0, y0: the first pixel.  shade, cover: (h, w) float32, brightness times cover and cover, 0..1."""

    x0: int
    y0: int
    shade: Array32
    cover: Array32

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.cover.shape[1], self.cover.shape[0]

    @property
    def here(self) -> tuple[slice, slice]:
        """Its pixels in the crop."""
        width, height = self.size
        return slice(self.y0, self.y0 + height), slice(self.x0, self.x0 + width)


def drawn(scene: Scene, hairs: Hairs, solid: float, margin: float) -> Coat | None:
    """The hairs as they are seen now; None where none is. solid: 0..1, how much one covers of what lies below.  margin: canonical units of
    room around them."""
    scale, rotation, _ = scene.pose
    points = extended(scene.mesh, rotation, scale).astype(np.float32)
    corners = points[hairs.corners]
    root = np.einsum("mk,mkd->md", hairs.weights, corners)
    seen = _seen(scene, corners, root) * hairs.firm
    chosen = np.flatnonzero(seen > _LEAST * hairs.firm)
    if not len(chosen):
        return None
    turned = hairs.joints[chosen] @ (np.float32(scale) * rotation[:2].T.astype(np.float32))
    lines = root[chosen, None, :2] + turned
    room = margin * scale + 3
    low = np.maximum(np.floor(lines.min((0, 1)) - room).astype(int), 0)
    high = np.minimum(np.ceil(lines.max((0, 1)) + room + 1).astype(int), scene.side)
    if (high <= low).any():
        return None
    width, height = (high - low).tolist()
    canvas = np.zeros((height * _FINE, width * _FINE, 3), np.uint8)
    fine = np.rint(
        ((lines - low.astype(np.float32) + np.float32(0.5)) * _FINE - np.float32(0.5)) * 16
    ).astype(np.int32)
    shade = hairs.shade[chosen]
    firm = np.minimum((seen[chosen] * len(_FIRM)).astype(np.intp), len(_FIRM) - 1)
    for number in range(SHADES):  # the dark ones below
        level = (number + 0.5) / SHADES
        for part, thin in ((slice(2, 4), _TIP), (slice(0, 3), 1.0)):  # tips below, and finer
            for kind, strong in enumerate(_FIRM):
                own = list(fine[(shade == number) & (firm == kind), part])
                if own:
                    alpha = 255 * strong * thin
                    cv2.polylines(canvas, own, False, (level * alpha, 0, alpha), 1, cv2.LINE_AA, 4)
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), max(float(scene.look.blur[0]) * 0.8, 0.45)).astype(
        np.float32
    )
    soft *= np.float32(solid / 255)
    return Coat(int(low[0]), int(low[1]), soft[..., 0], soft[..., 2])


def _seen(scene: Scene, corners: Array32, root: Array32) -> Array32:
    """(M,) 0..1, how much a root shows: its skin faces us and nothing lies before it."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(a, b)
    facing = -normal[:, 2] / np.maximum(
        np.linalg.norm(normal, axis=1), 1e-6
    )  # as `topology.FRONT_SIGNS` has it
    count = scene.depth.shape[0]
    column, row = np.clip(np.rint((root[:, :2] + 0.5) / STEP - 0.5).astype(np.intp), 0, count - 1).T
    clear = root[:, 2] < scene.depth[row, column] + _BEHIND * scene.pose[0]
    return np.asarray(np.clip((facing - _TURNED) / (_FACING - _TURNED), 0, 1) * clear, np.float32)
