"""Resampling of a Crop out of a frame, antialiased and with exact sub-pixel placement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

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
# Variance (pixels^2 of the frame) of the filter before shrinking s times: _FILTER_VARIANCE *
# (s^2 - 1), about that of a triangle as wide as the new pixel. It grows from 0, so a slow zoom
# through scale 1 is continuous.
_FILTER_VARIANCE = 0.15
_MARGIN = 3  # pixels that the cubic kernel reads beyond the crop's outline, and one for rounding

Pixels = npt.NDArray[Any]
Floats = TypeVar("Floats", bound=npt.NDArray[np.floating[Any]])


def crop(
    image: Pixels,
    placement: Crop,
    *,
    antialias: bool = True,
    border: Border = "replicate",
    kernel: Kernel = "cubic",
) -> Pixels:
    """Sample the pixels of a crop, (height, width, ...) of `placement.size`, of the image's dtype.

    Only the part of the image under the crop is read.

    Args:
        image: (H, W) or (H, W, C) uint8, uint16 or float32.
        placement: size of the crop and its similarity from the frame.
        antialias: filter before shrinking.
        border: content outside of the frame.
        kernel: cubic (Keys) keeps detail; linear never overshoots its neighbours (for masks).
    """
    plan = plan_sampling(placement, image.shape[1::-1], antialias=antialias, border=border)
    x0, y0, x1, y1 = plan.rectangle
    part = image[y0:y1, x0:x1]
    if plan.block > 1:
        part = _block_mean(part, plan.block)
    if plan.kernel is not None:
        part = cv2.sepFilter2D(
            part.astype(np.float32), -1, plan.kernel, plan.kernel, borderType=cv2.BORDER_REPLICATE
        )
    flags = cv2.INTER_CUBIC if kernel == "cubic" else cv2.INTER_LINEAR
    out = cv2.warpAffine(
        part, plan.crop_from_part, placement.size, flags=flags, borderMode=_BORDERS[border]
    )
    return to_dtype(np.asarray(out), image.dtype)


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """Steps that sample a crop: part of the image, means of blocks, a filter, an affine map.

    rectangle: x0, y0, x1, y1 of the part that is read.
    block: side of the blocks in pixels, 1 for none.
    kernel: of the filter along x and y, None for none.
    crop_from_part: (2, 3), from pixels of the filtered part.
    """

    rectangle: tuple[int, int, int, int]
    block: int
    kernel: Array32 | None
    crop_from_part: Array


def plan_sampling(
    placement: Crop, size: Sequence[int], *, antialias: bool, border: Border
) -> SamplingPlan:
    """Plan the steps of `crop`. size: (width, height) of the image."""
    matrix = placement.crop_from_frame
    shrink = 1.0 / max(float(np.sqrt(abs(np.linalg.det(matrix[:2, :2])))), 1e-9)
    spread = _FILTER_VARIANCE * max(shrink**2 - 1.0, 0.0) if antialias else 0.0
    # A box of k x k pixels has variance (k^2 - 1) / 12; a small kernel on the reduced pixels adds
    # the rest of `spread`.
    k = int(max(1, np.floor(np.sqrt(min(9 * spread + 1, (0.8 * shrink) ** 2)))))
    # The variance that the box leaves, in pixels^2 of the reduced image.
    remaining = max(spread - (k * k - 1) / 12, 0.0) / k**2
    kernel_1d = _binomial_kernel(remaining)
    margin = (_MARGIN + len(kernel_1d) // 2) * k
    x0, y0, x1, y1 = _source_rectangle(placement, size[0], size[1], margin, border)
    x0, y0 = x0 // k * k, y0 // k * k  # a fixed grid: boxes do not depend on the placement
    frame_from_part = np.array(
        [[k, 0, x0 + (k - 1) / 2], [0, k, y0 + (k - 1) / 2], [0, 0, 1]], np.float64
    )
    return SamplingPlan(
        (x0, y0, x1, y1), k, kernel_1d if spread > 0 else None, (matrix @ frame_from_part)[:2]
    )


def to_dtype(pixels: Pixels, kind: np.dtype[Any]) -> Pixels:
    """Convert pixels to `kind`; floats in units of that type are rounded and clipped to it."""
    if pixels.dtype == kind or not np.issubdtype(kind, np.integer):
        return pixels.astype(kind, copy=False)
    return np.asarray(np.rint(np.clip(pixels, 0, np.iinfo(kind).max)), kind)


def corners(placement: Crop) -> Array:
    """Return the crop's outer corners in the frame, (4, 2) pixels, clockwise from its top left."""
    width, height = placement.size
    edges = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], np.float64)
    edges -= [0.5, 0.5, 0.0]
    return np.asarray((np.linalg.inv(placement.crop_from_frame) @ edges.T).T[:, :2])


def transform_face(face: Face, dst_from_src: Array) -> Face:
    """Map a face to the pixels of another image of it, such as its crop; depths are scaled too.

    dst_from_src: `crop_from_frame`, for a crop.
    """

    def transform(points: Array32 | None) -> Array32 | None:
        return None if points is None else transform_landmarks(points, dst_from_src)

    mesh = transform(face.mesh)
    box = geometry.bounding_box(
        geometry.transform_points(dst_from_src, face.box[[[0, 1], [2, 1], [2, 3], [0, 3]]])
    )
    box = box if mesh is None else geometry.bounding_box(mesh)
    iris, keypoints, points = (transform(p) for p in (face.iris, face.keypoints, face.points))
    return replace(face, box=box, mesh=mesh, iris=iris, keypoints=keypoints, points=points)


def transform_landmarks(points: Floats, dst_from_src: Array) -> Floats:
    """Map landmarks (..., 2 or 3), of the same type, to other pixels by a similarity (3, 3)."""
    scale = np.sqrt(abs(np.linalg.det(dst_from_src[:2, :2]))).astype(points.dtype)
    plane = geometry.transform_points(dst_from_src, points[..., :2]).astype(points.dtype)
    # The stub loses the array's type.
    return np.concatenate([plane, points[..., 2:] * scale], -1)  # type: ignore[return-value]


def _source_rectangle(
    placement: Crop, width: int, height: int, margin: int, border: Border
) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of the frame that the crop reads.

    Within the frame, at least a pixel.
    """
    points = corners(placement)
    low, high = np.floor(points.min(0)) - margin, np.ceil(points.max(0)) + margin + 1
    if border == "reflect" and (low.min() < 0 or high[0] > width or high[1] > height):
        return 0, 0, width, height  # mirrored pixels may come from anywhere
    x0, y0 = (int(np.clip(v, 0, n - 1)) for v, n in zip(low, (width, height), strict=True))
    x1, y1 = (
        int(np.clip(v, a + 1, n)) for v, a, n in zip(high, (x0, y0), (width, height), strict=True)
    )
    return x0, y0, x1, y1


def _binomial_kernel(variance: float) -> Array32:
    """Return a smoothing kernel with exactly that variance in pixels^2.

    It is [a, 1 - 2a, a] convolved with itself: a sampled Gaussian narrower than a pixel has far
    less than its nominal variance.
    """
    times = max(int(np.ceil(variance / 0.4)), 1)
    a = variance / times / 2
    kernel = np.ones(1)
    for _ in range(times):
        kernel = np.convolve(kernel, [a, 1 - 2 * a, a])
    return kernel.astype(np.float32)


def _block_mean(part: Pixels, k: int) -> Pixels:
    """Return means of k x k pixels; the last row and column are repeated to fill their blocks."""
    height, width = part.shape[:2]
    below, right = -height % k, -width % k
    if below or right:
        part = cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return np.asarray(
        cv2.resize(part, (part.shape[1] // k, part.shape[0] // k), interpolation=cv2.INTER_AREA)
    )
