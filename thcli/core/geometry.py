"""Similarities, rotations and warps.

Convention: a matrix is named `dst_from_src` and maps column vectors of src pixels to dst pixels; products read like
dominoes (`crop_from_frame @ frame_from_raw`). Pixel (0, 0) means the centre of the top-left pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32, Image


def fit_similarity(
    src: npt.ArrayLike, dst: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[npt.NDArray[np.float64], Array, Array]:
    """Weighted least-squares rotation, uniform scale and shift, for one or many point sets.

    src, dst: (..., K, D) with D 2 or 3, broadcast against each other.  weights: (K,) non-negative, normalised here.
    Returns scale (...,), rotation (..., D, D), shift (..., D) with dst ~ scale * src @ rotation^T + shift; never a reflection.
    Raises ValueError for fewer than two distinct points.  Umeyama 1991, eq. 40-42.
    """
    x, y = np.broadcast_arrays(np.asarray(src, np.float64), np.asarray(dst, np.float64))
    count, dim = x.shape[-2:]
    w = np.full(count, 1.0 / count) if weights is None else np.asarray(weights, np.float64)
    w = w / w.sum()
    x_mean, y_mean = w @ x, w @ y
    xc, yc = x - x_mean[..., None, :], y - y_mean[..., None, :]
    variance = (xc**2).sum(-1) @ w
    if np.any(variance < 1e-18):
        raise ValueError("a similarity needs two distinct points")
    covariance = np.swapaxes(yc * w[:, None], -1, -2) @ xc
    u, d, vt = np.linalg.svd(covariance)
    sign = np.ones(d.shape)
    sign[..., -1] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    rotation = (u * sign[..., None, :]) @ vt
    scale = (d * sign).sum(-1) / variance
    shift = y_mean - scale[..., None] * (rotation @ x_mean[..., None])[..., 0]
    assert rotation.shape[-2:] == (dim, dim)
    return scale, rotation, shift


def similarity(
    src: npt.ArrayLike, dst: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> Array:
    """dst_from_src, (3, 3) float64, of two (K, 2) point sets; see `fit_similarity`."""
    scale, rotation, shift = fit_similarity(src, dst, weights)
    matrix = np.eye(3)
    matrix[:2, :2] = scale * rotation
    matrix[:2, 2] = shift
    return matrix


def transform(dst_from_src: Array, points: npt.ArrayLike) -> Array:
    """Maps (..., 2) src pixels by an affine (3, 3) to (..., 2) dst pixels, float64."""
    return np.asarray(points, np.float64) @ dst_from_src[:2, :2].T + dst_from_src[:2, 2]


def rotated_square(centre: Sequence[float], side: float, angle: float, size: int) -> Array:
    """crop_from_frame of a square of `side` pixels, turned by `angle` radians (picture's x axis towards y), seen as size x size pixels.

    The square's outer edges map to the outer edges of the crop: a pixel centre u of the crop lies at (u + 0.5) / size of the side.
    """
    c, s = np.cos(angle), np.sin(angle)
    k = size / side
    matrix = np.eye(3)
    matrix[:2, :2] = k * np.array([[c, s], [-s, c]])
    matrix[:2, 2] = (size - 1) / 2 - matrix[:2, :2] @ np.asarray(centre, np.float64)
    return matrix


def warp(
    picture: Image, dst_from_src: Array, size: tuple[int, int], *, border: int = cv2.BORDER_CONSTANT
) -> Image:
    """Bilinear warp of (H, W, ...) into size (width, height), same type; see cv2.warpAffine for `border`.

    Shrinking by more than two aliases: reduce the picture first (`faces.crops.align.crop` does).
    """
    return np.asarray(
        cv2.warpAffine(picture, dst_from_src[:2], size, flags=cv2.INTER_LINEAR, borderMode=border),
        picture.dtype,
    )


def rotvec_from_matrix(rotation: Array) -> Array:
    """(..., 3, 3) rotations -> (..., 3) axis times angle in radians, angle in [0, pi]."""
    r = np.asarray(rotation, np.float64)
    axis = np.stack(
        [r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]], -1
    )
    sine = np.linalg.norm(axis, axis=-1) / 2
    cosine = (np.trace(r, axis1=-2, axis2=-1) - 1) / 2
    angle = np.arctan2(sine, cosine)
    factor = np.where(sine > 1e-8, angle / np.maximum(2 * sine, 1e-300), 0.5)
    out = axis * factor[..., None]
    half_turn = (sine <= 1e-8) & (cosine < 0)
    if np.any(
        half_turn
    ):  # the antisymmetric part vanishes at pi: take the axis from the symmetric part
        symmetric = (r + np.eye(3)) / 2
        column = np.argmax(np.diagonal(symmetric, axis1=-2, axis2=-1), -1)
        picked = np.take_along_axis(symmetric, column[..., None, None], -1)[..., 0]
        picked = picked / np.maximum(np.linalg.norm(picked, axis=-1, keepdims=True), 1e-300)
        out = np.where(half_turn[..., None], picked * np.pi, out)
    return np.asarray(out)


def matrix_from_rotvec(rotvec: npt.ArrayLike) -> Array:
    """(..., 3) axis times angle in radians -> (..., 3, 3) rotations (Rodrigues)."""
    v = np.asarray(rotvec, np.float64)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    o = np.zeros_like(x)
    k = np.stack([np.stack([o, -z, y], -1), np.stack([z, o, -x], -1), np.stack([-y, x, o], -1)], -2)
    sinc = np.sinc(angle / np.pi)
    versine = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.asarray(np.eye(3) + sinc * k + versine * (k @ k), np.float64)


def angles_from_matrix(rotation: Array) -> Array:
    """(..., 3, 3) rotations -> (..., 3) pitch, yaw and roll in degrees, of `roll after yaw after pitch`: Rz Ry Rx.

    In picture axes (x right, y down, z away): positive pitch looks down, yaw turns the nose to the picture's left, roll tilts
    clockwise. pitch and roll: -180..180; yaw: -90..90, where at the ends only the sum or difference of the other two is told.
    """
    r = np.asarray(rotation, np.float64)
    flat = np.hypot(r[..., 0, 0], r[..., 1, 0])
    pitch = np.arctan2(r[..., 2, 1], r[..., 2, 2])
    roll = np.arctan2(r[..., 1, 0], r[..., 0, 0])
    return np.asarray(np.degrees(np.stack([pitch, np.arctan2(-r[..., 2, 0], flat), roll], -1)))


def matrix_from_angles(angles: npt.ArrayLike) -> Array:
    """The inverse of `angles_from_matrix`: (..., 3) pitch, yaw, roll in degrees -> (..., 3, 3)."""
    turns = np.radians(np.asarray(angles, np.float64))
    x, y, z = (matrix_from_rotvec(turns[..., i : i + 1] * np.eye(3)[i]) for i in range(3))
    return np.asarray(z @ y @ x)


def box_of(points: npt.ArrayLike) -> Array32:
    """(K, 2+) pixels -> (4,) x0, y0, x1, y1 float32."""
    p = np.asarray(points, np.float32)[:, :2]
    return np.concatenate([p.min(0), p.max(0)])


def box_iou(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Intersection over union of two (4,) boxes, 0..1."""
    p, q = np.asarray(a, np.float64), np.asarray(b, np.float64)
    inner = np.clip(np.minimum(p[2:], q[2:]) - np.maximum(p[:2], q[:2]), 0, None).prod()
    return float(inner / max((p[2:] - p[:2]).prod() + (q[2:] - q[:2]).prod() - inner, 1e-12))
