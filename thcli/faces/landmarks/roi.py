"""The turned square that the mesh net looks at: from a detection, from a mesh, and cut out of the picture."""

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
    """A turned square of a picture: centre in continuous pixels (a pixel's centre lies at +0.5), side in pixels, angle in radians (x towards y)."""

    x: float
    y: float
    side: float
    angle: float

    def matrix(self) -> npt.NDArray[np.float64]:
        """(2, 3) affine from the network's continuous 0..192 coordinates to continuous picture coordinates."""
        k = self.side / SIDE
        c, s = k * np.cos(self.angle), k * np.sin(self.angle)
        half = SIDE / 2
        return np.array([[c, -s, self.x - (c - s) * half], [s, c, self.y - (s + c) * half]])


def roi_of_detection(face: Face) -> Roi:
    """Around a detector's box, turned so that its two eye keypoints lie level."""
    x0, y0, x1, y1 = (float(v) + 0.5 for v in face.box)
    angle = 0.0
    if face.keypoints is not None:
        dx, dy = face.keypoints[1] - face.keypoints[0]
        angle = float(np.arctan2(dy, dx))
    return Roi((x0 + x1) / 2, (y0 + y1) / 2, MARGIN * max(x1 - x0, y1 - y0), angle)


def roi_of_mesh(mesh: Array32) -> Roi:
    """Around a mesh (468, 3) in pixels, turned so that its outer eye corners lie level."""
    dx, dy = mesh[263, :2] - mesh[33, :2]
    angle = float(np.arctan2(dy, dx))
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    turned = mesh[:, :2] @ np.array([[c, -s], [s, c]], np.float32)
    low, high = turned.min(0), turned.max(0)
    u, v = (low + high) / 2
    return Roi(
        float(c * u - s * v) + 0.5,
        float(s * u + c * v) + 0.5,
        MARGIN * float((high - low).max()),
        angle,
    )


def cut_out(picture: Pixels, roi: Roi) -> Pixels:
    """The region of interest as (192, 192, 3) of the picture's type; black outside of the picture."""
    crop_to_picture = roi.matrix()
    if (
        roi.side >= 2 * SIDE
    ):  # bilinear sampling would alias: reduce the part of the picture that is needed first
        step = int(roi.side / SIDE) // 2
        reach = roi.side * 0.7072
        x0, y0 = max(int(roi.x - reach), 0), max(int(roi.y - reach), 0)
        x1, y1 = (
            min(int(roi.x + reach) + 1, picture.shape[1]),
            min(int(roi.y + reach) + 1, picture.shape[0]),
        )
        width, height = (x1 - x0) // (2 * step), (y1 - y0) // (2 * step)
        if min(width, height) > 0:
            part = subsample(picture[y0 : y0 + 2 * step * height, x0 : x0 + 2 * step * width], step)
            picture = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
            # a kept pixel's centre stays where it was: half a pixel from its own edge, not from its block's
            crop_to_picture[:, 2] = (
                (crop_to_picture[:, 2] - (x0 + 0.5, y0 + 0.5)) / step + 0.5
            ) / 2
            crop_to_picture[:, :2] /= 2 * step
    # continuous coordinates to pixel centres, on both sides
    crop_to_picture[:, 2] += crop_to_picture[:, :2].sum(1) * 0.5 - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, crop_to_picture, (SIDE, SIDE), flags=flags))
