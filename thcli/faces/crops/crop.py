"""Cutting a Crop out of a frame, without aliasing when it shrinks and without a shift of a part of a pixel, and a face with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core import geometry
from thcli.core.types import Array, Array32, Crop, Face

Border = Literal["replicate", "black", "reflect"]
Kernel = Literal["cubic", "linear"]
_BORDERS: dict[str, int] = {
    "replicate": cv2.BORDER_REPLICATE,
    "black": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT_101,
}
# Variance (pixels^2 of the frame) of the filter before shrinking s times: _SPREAD * (s^2 - 1), about that of a triangle as
# wide as the new pixel; it grows from 0, so that nothing jumps when a slow zoom passes scale 1.
_SPREAD = 0.15
_MARGIN = 3  # pixels that the cubic kernel looks beyond the crop's outline, and one for rounding

Pixels = npt.NDArray[Any]


def crop(
    picture: Pixels,
    where: Crop,
    *,
    antialias: bool = True,
    border: Border = "replicate",
    kernel: Kernel = "cubic",
) -> Pixels:
    """The pixels of a crop, (height, width, ...) of `where.size`, of the picture's own type.

    picture: (H, W) or (H, W, C) uint8, uint16 or float32.  antialias: filter before shrinking.  border: what lies outside of
    the frame.  kernel: cubic (Keys) keeps detail, linear never goes beyond its neighbours (for masks).  Only the part of the
    picture under the crop is read.
    """
    kind = picture.dtype
    matrix = where.crop_from_frame
    shrink = 1.0 / max(float(np.sqrt(abs(np.linalg.det(matrix[:2, :2])))), 1e-9)
    spread = _SPREAD * max(shrink**2 - 1.0, 0.0) if antialias else 0.0
    # A box of k x k pixels has variance (k^2 - 1) / 12; a small kernel on the reduced pixels adds what is left of `spread`.
    k = int(max(1, np.floor(np.sqrt(min(9 * spread + 1, (0.8 * shrink) ** 2)))))
    left = (
        max(spread - (k * k - 1) / 12, 0.0) / k**2
    )  # what the box has not done, in pixels^2 of the reduced picture
    kernel_1d = _binomial(left)
    margin = (_MARGIN + len(kernel_1d) // 2) * k
    x0, y0, x1, y1 = _region(where, picture.shape[1], picture.shape[0], margin, border)
    x0, y0 = (
        x0 // k * k,
        y0 // k * k,
    )  # a fixed grid: what a box covers does not depend on where the crop lies
    part = picture[y0:y1, x0:x1]
    if k > 1:
        part = _reduce(part, k)
    if spread > 0:
        part = cv2.sepFilter2D(
            part.astype(np.float32), -1, kernel_1d, kernel_1d, borderType=cv2.BORDER_REPLICATE
        )
    frame_from_part = np.array(
        [[k, 0, x0 + (k - 1) / 2], [0, k, y0 + (k - 1) / 2], [0, 0, 1]], np.float64
    )
    flags = cv2.INTER_CUBIC if kernel == "cubic" else cv2.INTER_LINEAR
    out = cv2.warpAffine(
        part, (matrix @ frame_from_part)[:2], where.size, flags=flags, borderMode=_BORDERS[border]
    )
    return to_kind(np.asarray(out), kind)


def to_kind(pixels: Pixels, kind: np.dtype[Any]) -> Pixels:
    """Pixels as `kind`: floats in that type's units are rounded and clipped to it; the same type comes back as it is."""
    if pixels.dtype == kind or not np.issubdtype(kind, np.integer):
        return pixels.astype(kind, copy=False)
    return np.asarray(np.rint(np.clip(pixels, 0, np.iinfo(kind).max)), kind)


def corners(where: Crop) -> Array:
    """The crop's outer corners in the frame, (4, 2) pixels, clockwise from the crop's top left."""
    width, height = where.size
    edges = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], np.float64) - [
        0.5,
        0.5,
        0.0,
    ]
    return np.asarray((np.linalg.inv(where.crop_from_frame) @ edges.T).T[:, :2])


def moved(face: Face, dst_from_src: Array) -> Face:
    """A face in the pixels of another picture of it, such as its crop (dst_from_src = crop_from_frame); depths are scaled too."""
    scale = np.float32(np.sqrt(abs(np.linalg.det(dst_from_src[:2, :2]))))

    def mapped(points: Array32 | None) -> Array32 | None:
        if points is None:
            return None
        plane = geometry.transform(dst_from_src, points[..., :2]).astype(np.float32)
        return np.concatenate([plane, points[..., 2:] * scale], -1)

    mesh = mapped(face.mesh)
    box = geometry.box_of(
        geometry.transform(dst_from_src, face.box[[[0, 1], [2, 1], [2, 3], [0, 3]]])
    )
    box = box if mesh is None else geometry.box_of(mesh)
    iris, keypoints, points = mapped(face.iris), mapped(face.keypoints), mapped(face.points)
    return replace(face, box=box, mesh=mesh, iris=iris, keypoints=keypoints, points=points)


def _region(
    where: Crop, width: int, height: int, margin: int, border: Border
) -> tuple[int, int, int, int]:
    """The rectangle x0, y0, x1, y1 of the frame that the crop reads: within the frame, at least a pixel."""
    points = corners(where)
    low, high = np.floor(points.min(0)) - margin, np.ceil(points.max(0)) + margin + 1
    if border == "reflect" and (low.min() < 0 or high[0] > width or high[1] > height):
        return 0, 0, width, height  # what is mirrored may come from anywhere
    x0, y0 = (int(np.clip(v, 0, n - 1)) for v, n in zip(low, (width, height), strict=True))
    x1, y1 = (
        int(np.clip(v, a + 1, n)) for v, a, n in zip(high, (x0, y0), (width, height), strict=True)
    )
    return x0, y0, x1, y1


def _binomial(variance: float) -> Array32:
    """A smoothing kernel with exactly that variance in pixels^2: [a, 1 - 2a, a] as often as needed.

    A sampled Gaussian narrower than a pixel has far less than its own variance.
    """
    times = max(int(np.ceil(variance / 0.4)), 1)
    a = variance / times / 2
    kernel = np.ones(1)
    for _ in range(times):
        kernel = np.convolve(kernel, [a, 1 - 2 * a, a])
    return kernel.astype(np.float32)


def _reduce(part: Pixels, k: int) -> Pixels:
    """Means of k x k pixels; the last row and column are repeated to fill theirs."""
    height, width = part.shape[:2]
    below, right = -height % k, -width % k
    if below or right:
        part = cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return np.asarray(
        cv2.resize(part, (part.shape[1] // k, part.shape[0] // k), interpolation=cv2.INTER_AREA)
    )
