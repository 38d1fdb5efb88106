"""Rotated square region of interest of the mesh network.

From a detection, from a mesh, and its crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import subsample
from thcli.core.types import Array32, Face

SIDE = 192  # pixels of the network's input
MARGIN = 1.5  # side of the region over the larger side of the mesh (or of the detector's box)

Pixels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Roi:
    """Rotated square of an image.

    x, y: centre in continuous pixels (a pixel's centre is at +0.5).  side: pixels.
    angle: radians, x towards y.
    """

    x: float
    y: float
    side: float
    angle: float

    def matrix(self) -> npt.NDArray[np.float64]:
        """Return the (2, 3) affine from continuous network coordinates, 0..192, to the image."""
        k = self.side / SIDE
        c, s = k * np.cos(self.angle), k * np.sin(self.angle)
        half = SIDE / 2
        return np.array([[c, -s, self.x - (c - s) * half], [s, c, self.y - (s + c) * half]])

    def difference(self, other: Roi) -> float:
        """Return by which share of its side the region moves, grows or turns most from another."""
        moved = max(abs(self.x - other.x), abs(self.y - other.y)) / self.side
        turned = abs(np.sin(self.angle - other.angle))
        return float(max(moved, abs(np.log(self.side / other.side)), turned))

    def is_like(self, other: Roi, sine: float, ratio: float) -> bool:
        """Return whether another region has the same turn and size, up to a sine and a ratio."""
        turned = abs(np.sin(self.angle - other.angle))
        return bool(turned < sine and 1 / ratio < self.side / other.side < ratio)

    def halfway_to(self, other: Roi) -> Roi:
        """Return the mean of this region and another."""
        turn = float(np.arctan2(*(f(other.angle - self.angle) for f in (np.sin, np.cos))))
        x, y, side = ((getattr(self, k) + getattr(other, k)) / 2 for k in ("x", "y", "side"))
        return Roi(x, y, side, self.angle + turn / 2)


def roi_of_detection(face: Face) -> Roi:
    """Return the region around a detector's box, rotated so that its eye keypoints are level."""
    x0, y0, x1, y1 = (float(v) + 0.5 for v in face.box)
    angle = 0.0
    if face.keypoints is not None:
        dx, dy = face.keypoints[1] - face.keypoints[0]
        angle = float(np.arctan2(dy, dx))
    return Roi((x0 + x1) / 2, (y0 + y1) / 2, MARGIN * max(x1 - x0, y1 - y0), angle)


def roi_of_mesh(mesh: Array32) -> Roi:
    """Return the region around a mesh (468, 3) in pixels, rotated so that its eyes are level.

    The outer eye corners (33, 263) give the angle.
    """
    dx, dy = mesh[263, :2] - mesh[33, :2]
    angle = float(np.arctan2(dy, dx))
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    rotated = mesh[:, :2] @ np.array([[c, -s], [s, c]], np.float32)
    low, high = rotated.min(0), rotated.max(0)
    u, v = (low + high) / 2
    return Roi(
        float(c * u - s * v) + 0.5,
        float(s * u + c * v) + 0.5,
        MARGIN * float((high - low).max()),
        angle,
    )


def crop_roi(image: Pixels, roi: Roi) -> Pixels:
    """Crop the region as (192, 192, 3) of the image's dtype; black outside of the image."""
    image_from_crop = roi.matrix()
    if roi.side >= 2 * SIDE:
        # Bilinear sampling would alias: reduce the needed part of the image first.
        step = int(roi.side / SIDE) // 2
        reach = roi.side * 0.7072
        x0, y0 = max(int(roi.x - reach), 0), max(int(roi.y - reach), 0)
        x1 = min(int(roi.x + reach) + 1, image.shape[1])
        y1 = min(int(roi.y + reach) + 1, image.shape[0])
        width, height = (x1 - x0) // (2 * step), (y1 - y0) // (2 * step)
        if min(width, height) > 0:
            part = subsample(image[y0 : y0 + 2 * step * height, x0 : x0 + 2 * step * width], step)
            image = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
            # A kept pixel's centre stays: half a pixel from its own edge, not from its block's.
            shift = image_from_crop[:, 2] - (x0 + 0.5, y0 + 0.5)
            image_from_crop[:, 2] = (shift / step + 0.5) / 2
            image_from_crop[:, :2] /= 2 * step
    # From continuous coordinates to pixel centres, on both sides.
    image_from_crop[:, 2] += image_from_crop[:, :2].sum(1) * 0.5 - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, image_from_crop, (SIDE, SIDE), flags=flags))
