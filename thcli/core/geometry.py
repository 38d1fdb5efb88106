"""Similarity transforms, rotations, crop matrices and image warps.

Convention: a matrix named `dst_from_src` maps column vectors of src pixels to dst pixels, so the
inner names of a product match (`crop_from_frame @ frame_from_raw`). Pixel (0, 0) is the centre of
the top-left pixel.

Rotations are (..., 3, 3) matrices or (..., 3) rotation vectors (unit axis times angle in radians).
Rotation vectors need no scipy, whose import takes a third of a second; angles do. Their
conversions copy their argument, because scipy takes no read-only array, and return empty results
for empty arrays, which scipy 1.12 refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32, Image


def fit_similarity(
    src: npt.ArrayLike, dst: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[npt.NDArray[np.float64], Array, Array]:
    """Fit rotation, uniform scale and translation by weighted least squares, never a reflection.

    Umeyama 1991, eq. 40-42, for one or many point sets.

    Args:
        src, dst: (..., K, D) points with D = 2 or 3, broadcast against each other.
        weights: (K,) non-negative, normalised here; None weighs all points equally.

    Returns:
        scale (...,), rotation (..., D, D) and translation (..., D), float64, with
        dst ~ scale * src @ rotation^T + translation.

    Raises:
        ValueError: fewer than two distinct points.
    """
    x, y = np.broadcast_arrays(np.asarray(src, np.float64), np.asarray(dst, np.float64))
    count, dim = x.shape[-2:]
    w = np.full(count, 1.0 / count) if weights is None else np.asarray(weights, np.float64)
    w = w / w.sum()
    x_mean, y_mean = w @ x, w @ y
    xc, yc = x - x_mean[..., None, :], y - y_mean[..., None, :]
    variance = (xc**2).sum(-1) @ w
    if (variance < 1e-18).any():
        raise ValueError("a similarity needs two distinct points")
    covariance = np.swapaxes(yc * w[:, None], -1, -2) @ xc
    u, d, vt = np.linalg.svd(covariance)
    sign = np.ones(d.shape)
    sign[..., -1] = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    rotation = (u * sign[..., None, :]) @ vt
    scale = (d * sign).sum(-1) / variance
    translation = y_mean - scale[..., None] * (rotation @ x_mean[..., None])[..., 0]
    assert rotation.shape[-2:] == (dim, dim)
    return scale, rotation, translation


def fit_similarity_matrix(
    src: npt.ArrayLike, dst: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> Array:
    """Fit a similarity to two (K, 2) point sets as `fit_similarity` does.

    Returns:
        dst_from_src, (3, 3) float64.
    """
    scale, rotation, translation = fit_similarity(src, dst, weights)
    matrix = np.eye(3)
    matrix[:2, :2] = scale * rotation
    matrix[:2, 2] = translation
    return matrix


def transform_points(dst_from_src: Array, points: npt.ArrayLike) -> Array:
    """Map (..., 2) src pixels by an affine (3, 3) matrix to (..., 2) float64 dst pixels."""
    return np.asarray(points, np.float64) @ dst_from_src[:2, :2].T + dst_from_src[:2, 2]


def square_crop_matrix(centre: Sequence[float], side: float, angle: float, size: int) -> Array:
    """Compute crop_from_frame of a rotated square that is resampled to size x size pixels.

    The outer edges of the square map to the outer edges of the crop: pixel centre u of the crop is
    at (u + 0.5) / size of the side.

    Args:
        centre: (x, y) of the square in frame pixels.
        side: frame pixels.
        angle: radians, positive from the image's x axis towards its y axis.
        size: side of the crop in pixels.

    Returns:
        (3, 3) float64.
    """
    c, s = np.cos(angle), np.sin(angle)
    k = size / side
    matrix = np.eye(3)
    matrix[:2, :2] = k * np.array([[c, s], [-s, c]])
    matrix[:2, 2] = (size - 1) / 2 - matrix[:2, :2] @ np.asarray(centre, np.float64)
    return matrix


def warp_affine(
    image: Image, dst_from_src: Array, size: tuple[int, int], *, border: int = cv2.BORDER_CONSTANT
) -> Image:
    """Warp an image bilinearly. The type of the pixels is kept.

    Reduction by more than a factor of two aliases: reduce the image first, as
    `faces.crops.align.crop` does.

    Args:
        image: (H, W, ...) of a type that cv2.warpAffine takes.
        dst_from_src: (3, 3) affine matrix.
        size: (width, height) of the result.
        border: border mode of cv2.warpAffine.
    """
    warped = cv2.warpAffine(
        image, dst_from_src[:2], size, flags=cv2.INTER_LINEAR, borderMode=border
    )
    return np.asarray(warped, image.dtype)


def rotvec_from_matrix(rotation: Array) -> Array:
    """Convert (..., 3, 3) rotation matrices to (..., 3) rotation vectors, angle in [0, pi].

    The unit quaternion is the eigenvector of Bar-Itzhack 2000, eq. 11, which is that of the nearest
    rotation where a matrix is not quite one.
    """
    r = np.asarray(rotation, np.float64)
    xx, yy, zz = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    skew = np.stack(
        [
            r[..., 2, 1] - r[..., 1, 2],
            r[..., 0, 2] - r[..., 2, 0],
            r[..., 1, 0] - r[..., 0, 1],
        ],
        -1,
    )
    trace = (xx + yy + zz)[..., None, None]
    k = np.zeros((*r.shape[:-2], 4, 4))
    k[..., :3, :3] = r + np.swapaxes(r, -1, -2) - trace * np.eye(3)
    k[..., :3, 3] = k[..., 3, :3] = skew
    k[..., 3, 3] = trace[..., 0, 0]
    quaternion = np.linalg.eigh(k)[1][..., -1]
    vector, scalar = quaternion[..., :3], quaternion[..., 3:]
    sine = np.linalg.norm(vector, axis=-1, keepdims=True)
    half = np.arctan2(sine, np.abs(scalar))
    per_sine = np.divide(2 * half, sine, out=np.full_like(sine, 2.0), where=sine > 0)
    return np.asarray(vector * np.where(scalar < 0, -per_sine, per_sine), np.float64)


def matrix_from_rotvec(rotvec: npt.ArrayLike) -> Array:
    """Convert (..., 3) rotation vectors to (..., 3, 3) rotation matrices by Rodrigues' formula."""
    v = np.asarray(rotvec, np.float64)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    cross = np.zeros((*v.shape, 3))  # cross @ x is the cross product of v and x
    cross[..., 2, 1], cross[..., 0, 2], cross[..., 1, 0] = v[..., 0], v[..., 1], v[..., 2]
    cross -= np.swapaxes(cross, -1, -2).copy()
    first = np.sinc(angle / np.pi)
    second = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.asarray(np.eye(3) + first * cross + second * (cross @ cross), np.float64)


def angles_from_matrix(rotation: Array) -> Array:
    """Decompose (..., 3, 3) rotations Rz(roll) Ry(yaw) Rx(pitch) into (..., 3) angles in degrees.

    In image axes (x right, y down, z away from the camera) positive pitch looks down, positive yaw
    turns the nose to the image's left, and positive roll tilts clockwise.

    Returns:
        pitch, yaw, roll, float64; pitch and roll in -180..180, yaw in -90..90. At yaw = -90 or 90
        only the sum or the difference of pitch and roll is defined; scipy then warns of gimbal
        lock and sets one of them to 0.
    """
    from scipy.spatial.transform import Rotation

    r = np.array(rotation, np.float64)
    if r.size == 0:
        return np.zeros(r.shape[:-1])
    # Rz Ry Rx is the intrinsic sequence z, y', x''
    angles = Rotation.from_matrix(r.reshape(-1, 3, 3)).as_euler("ZYX", degrees=True)[:, ::-1]
    return np.asarray(angles, np.float64).reshape(r.shape[:-1])


def matrix_from_angles(angles: npt.ArrayLike) -> Array:
    """Convert (..., 3) pitch, yaw, roll in degrees to (..., 3, 3), Rz(roll) Ry(yaw) Rx(pitch)."""
    from scipy.spatial.transform import Rotation

    a = np.array(angles, np.float64)
    if a.size == 0:
        return np.zeros((*a.shape, 3))
    rotation = Rotation.from_euler("ZYX", a.reshape(-1, 3)[:, ::-1], degrees=True)
    return np.asarray(rotation.as_matrix(), np.float64).reshape(*a.shape, 3)


def bounding_box(points: npt.ArrayLike) -> Array32:
    """Compute the box around (K, 2) or (K, 3) points: (4,) float32 x0, y0, x1, y1 in pixels."""
    p = np.asarray(points, np.float32)[:, :2]
    return np.concatenate([p.min(0), p.max(0)])


def box_iou(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Compute the intersection over union of two (4,) boxes x0, y0, x1, y1, 0..1."""
    p, q, inner = _areas(a, b)
    return inner / max(p + q - inner, 1e-12)


def box_overlap(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Compute the shared area of two (4,) boxes x0, y0, x1, y1 over the smaller one's, 0..1."""
    p, q, inner = _areas(a, b)
    return inner / max(min(p, q), 1e-12)


def is_apart(box: npt.ArrayLike, others: Iterable[npt.ArrayLike], overlap: float) -> bool:
    """Return whether a box (4,) shares at most `overlap` with each of others; see `box_overlap`."""
    return all(box_overlap(box, other) <= overlap for other in others)


def _areas(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[float, float, float]:
    """Return the areas of two (4,) boxes and the area that they share."""
    p, q = np.asarray(a, np.float64), np.asarray(b, np.float64)
    inner = np.clip(np.minimum(p[2:], q[2:]) - np.maximum(p[:2], q[:2]), 0, None).prod()
    return float((p[2:] - p[:2]).prod()), float((q[2:] - q[:2]).prod()), float(inner)
