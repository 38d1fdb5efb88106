"""Frame-to-frame motion of a head from its pixels, accurate to hundredths of a pixel.

Landmarks jitter by half a pixel. The upper face without brows and eyes (forehead, nose, cheeks:
parts that neither speak nor blink) of a template frame is aligned with each following frame, by the
similarity at which their pixels agree best. Landmarks give the start, so a few iterations suffice.
The template is kept as long as the head shows the same side, so errors do not accumulate.

Inverse compositional alignment: Baker and Matthews 2004, "Lucas-Kanade 20 Years On", sec. 3.2; with
robust weights and a gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32, Face
from thcli.faces.landmarks import topology

SIDE = 64  # samples across the patch
MIN_PATCH = 16.0  # pixels of the image across the patch; smaller patches give no estimate
PATCH_SCALE = 2.0  # side of the patch over the distance of the outer eye corners
_MAX_SAMPLE_SIZE = 3.0  # pixels per sample; the image is reduced first where a sample is larger
_UPPER_FACE = topology.index_group("upper_face")
_RIGID = np.flatnonzero(topology.RIGID_WEIGHTS)
_RIGID_WEIGHT = topology.RIGID_WEIGHTS[_RIGID] / topology.RIGID_WEIGHTS.sum()
# Brows and eyes with the skin between: they move by themselves, and have the strongest edges.
_MOVING_PARTS = tuple(
    np.concatenate([brow[:5], lid.lower3[::-1]])
    for brow, lid in zip(topology.BROWS, topology.LIDS, strict=True)
)
# Samples: skin around a brow moves with it this far.
_DILATION = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
_LOCAL_WINDOW = SIDE // 4 + 1  # samples: slower changes of brightness are removed
_MIN_SAMPLES = 200  # of a usable patch: a face in profile has fewer
_MIN_CONTRAST = 1.0  # standard deviation of a usable patch, in levels of 255
_MAX_GAIN_CHANGE = 0.5  # change of contrast that lighting explains
_MAX_ITERATIONS = 8
_NOISE_FLOOR = 0.3  # levels of 255 by which equal pixels may differ
_CONVERGED = 0.02  # samples: an update smaller than this is the last
_MAX_SHAPE_CHANGE = 0.12  # of the rigid points, in eye distances, beyond which a new side is seen
_MAX_ZOOM = 0.15  # change of the log size, likewise
_MAX_RESIDUAL = 0.4  # share of the patch's variance that may remain unexplained
_MIN_INLIERS = 0.5  # mean weight of the patch's samples
# Between landmarks and pixels, in eye distances (or radians, or log size).
_MAX_DISAGREEMENT = 0.06

Pixels = npt.NDArray[Any]
_X, _Y = (v.astype(np.float32) for v in np.meshgrid(*2 * [np.arange(SIDE) - (SIDE - 1) / 2]))


@dataclass(frozen=True, slots=True)
class Similarity:
    """Map z -> a * z + b of points as complex numbers x + iy, in pixels."""

    a: complex = 1.0
    b: complex = 0.0

    def __matmul__(self, other: Similarity) -> Similarity:
        return Similarity(self.a * other.a, self.a * other.b + self.b)

    def inverse(self) -> Similarity:
        return Similarity(1 / self.a, -self.b / self.a)

    def apply(self, points: npt.ArrayLike) -> Array:
        """Map points (..., 2)."""
        p = np.asarray(points, np.float64)
        z = self.a * (p[..., 0] + 1j * p[..., 1]) + self.b
        return np.stack([z.real, z.imag], -1)


@dataclass(frozen=True, slots=True)
class _Template:
    """Patch of a frame that later frames are aligned with.

    mesh: its rigid points, (K, 2) pixels.  inside: (N,) flat indices of the samples in use.
    values: (N,).  jacobian: (N, 6), derivatives by log size and angle (each at the patch's rim), x,
    y, gain, level.  contrast: standard deviation of the values, levels of 255.
    """

    mesh: Array
    frame_from_patch: Similarity
    inside: npt.NDArray[np.intp]
    values: Array32
    jacobian: Array32
    contrast: float


class HeadMotionEstimator:
    """Frame-to-frame motion of every head of a clip. Not thread-safe."""

    def __init__(self) -> None:
        self._heads: dict[int, HeadAligner] = {}

    def estimate(
        self, image: Pixels, faces: Sequence[Face], *, cut: bool = False
    ) -> list[Similarity | None]:
        """Estimate the motion of each face since the frame before.

        Args:
            image: the next frame, (H, W, 3) uint8 or uint16.
            faces: faces of this frame, with track numbers; those without a mesh get no estimate.
            cut: True when the frame begins a new scene.

        Returns:
            Similarity of each face, this frame from the one before; None where pixels give none.
        """
        known = {} if cut else self._heads
        self._heads = {
            face.track: known.get(face.track, HeadAligner())
            for face in faces
            if face.mesh is not None
        }
        return [
            None if face.mesh is None else self._heads[face.track].align(image, face.mesh)
            for face in faces
        ]


class HeadAligner:
    """Frame-to-frame motion of one head, fed with every frame that shows it."""

    def __init__(self) -> None:
        self._template: _Template | None = None
        # The frame before: its region, the patch's placement and the mesh.
        self._last: tuple[_FrameRegion, Similarity, Array] | None = None

    def align(self, image: Pixels, mesh: Array32) -> Similarity | None:
        """Estimate the motion from the frame fed before to this one; None where pixels give none.

        image: (H, W, 3) uint8 or uint16.  mesh: of the face, (468, 3) pixels.
        """
        points = np.asarray(mesh[:, :2], np.float64)
        placement = _patch_placement(points)
        if not MIN_PATCH <= abs(placement.a) * SIDE < 4 * max(image.shape):
            self._template = self._last = None
            return None
        region, motion = _FrameRegion(image, placement), None
        if self._template is not None and self._last is not None:
            aligned = _align_template(self._template, region, points)
            if aligned is None:  # the frame before may resemble this one more
                self._template = _make_template(*self._last)
                aligned = _align_template(self._template, region, points)
            if aligned is not None:
                placement, motion = aligned, aligned @ self._last[1].inverse()
        if motion is None or self._template is None or _needs_new_template(self._template, points):
            self._template = _make_template(region, placement, points)
        self._last = region, placement, points
        return motion


class _FrameRegion:
    """Part of a frame around a patch: grey, reduced and blurred for sampling at any placement."""

    def __init__(self, image: Pixels, frame_from_patch: Similarity) -> None:
        sample_size = abs(frame_from_patch.a)  # pixels
        step = int(max(sample_size / _MAX_SAMPLE_SIZE, 1))
        reach = 0.75 * SIDE * sample_size
        height, width = image.shape[:2]
        centre = frame_from_patch.b.real, frame_from_patch.b.imag
        x0, y0 = (
            int(np.clip(v - reach, 0, n - 2 * step))
            for v, n in zip(centre, (width, height), strict=True)
        )
        x1, y1 = (
            int(np.clip(v + reach, low + 2 * step, n))
            for v, low, n in zip(centre, (x0, y0), (width, height), strict=True)
        )
        x0, y0 = x0 // step * step, y0 // step * step
        part = image[y0:y1, x0:x1]
        if step > 1:
            part = cv2.resize(
                part[: (y1 - y0) // step * step, : (x1 - x0) // step * step],
                ((x1 - x0) // step, (y1 - y0) // step),
                interpolation=cv2.INTER_AREA,
            )
        level = np.float32(255 / np.iinfo(part.dtype).max)
        grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).astype(np.float32) * level
        sigma = 0.5 * sample_size / step
        self._grey = cv2.GaussianBlur(grey, (0, 0), sigma) if sigma > 0.3 else grey
        first = complex(x0, y0) + (1 + 1j) * (step - 1) / 2  # centre of the first sample's block
        self._region_from_frame = Similarity(1 / step, -first / step)

    def patch(self, frame_from_patch: Similarity) -> Array32:
        """Sample the patch, (SIDE, SIDE), without slow changes of brightness."""
        m = self._region_from_frame @ frame_from_patch
        start = m.b - m.a * (1 + 1j) * (SIDE - 1) / 2
        matrix = np.array([[m.a.real, -m.a.imag, start.real], [m.a.imag, m.a.real, start.imag]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        samples = cv2.warpAffine(
            self._grey, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        local_mean = cv2.boxFilter(samples, -1, (_LOCAL_WINDOW, _LOCAL_WINDOW))
        return np.asarray(samples - local_mean, np.float32)


def _patch_placement(mesh: Array) -> Similarity:
    """Return frame_from_patch of the patch on a mesh."""
    left, right = (complex(*mesh[i]) for i in topology.EYE_OUTER)
    middle = complex(*mesh[168])
    return Similarity((right - left) * PATCH_SCALE / SIDE, middle)


def _make_template(region: _FrameRegion, frame_from_patch: Similarity, mesh: Array) -> _Template:
    in_patch = frame_from_patch.inverse().apply(mesh) + (SIDE - 1) / 2
    mask = np.zeros((SIDE, SIDE), np.uint8)
    _fill_hull(mask, in_patch[_UPPER_FACE])
    moving = np.zeros_like(mask)
    for part in _MOVING_PARTS:
        _fill_hull(moving, in_patch[part])
    mask[cv2.dilate(moving, _DILATION) > 0] = 0
    inside = np.flatnonzero(mask)
    patch = region.patch(frame_from_patch)
    dx = cv2.Sobel(patch, -1, 1, 0, scale=1 / 8).ravel()[inside]
    dy = cv2.Sobel(patch, -1, 0, 1, scale=1 / 8).ravel()[inside]
    x, y = _X.ravel()[inside] / (SIDE / 2), _Y.ravel()[inside] / (SIDE / 2)
    values = patch.ravel()[inside]
    columns = [dx * x + dy * y, dy * x - dx * y, dx, dy, values, np.ones_like(values)]
    contrast = float(np.sqrt((values**2).mean())) if len(values) else 0.0
    return _Template(mesh[_RIGID], frame_from_patch, inside, values, np.stack(columns, 1), contrast)


def _fill_hull(mask: npt.NDArray[np.uint8], points: Array) -> None:
    hull = np.rint(cv2.convexHull(points.astype(np.float32))).astype(np.int32)
    cv2.fillConvexPoly(mask, hull, 1)


def _fit(src: Array, dst: Array) -> Similarity:
    """Fit the weighted least-squares similarity of rigid points (K, 2)."""
    p, q = src[:, 0] + 1j * src[:, 1], dst[:, 0] + 1j * dst[:, 1]
    w = _RIGID_WEIGHT
    p0, q0 = (w * p).sum(), (w * q).sum()
    a = (w * (p - p0).conj() * (q - q0)).sum() / (w * abs(p - p0) ** 2).sum()
    return Similarity(complex(a), complex(q0 - a * p0))


def _needs_new_template(template: _Template, mesh: Array) -> bool:
    """Return True when the head has turned or zoomed too far to compare its pixels."""
    points = mesh[_RIGID]
    motion = _fit(template.mesh, points)
    error = motion.apply(template.mesh) - points
    eye_distance = abs(motion.a) * abs(template.frame_from_patch.a) * SIDE / PATCH_SCALE
    return bool(
        np.sqrt((_RIGID_WEIGHT * (error**2).sum(1)).sum()) > _MAX_SHAPE_CHANGE * eye_distance
        or abs(np.log(abs(motion.a))) > _MAX_ZOOM
    )


def _align_template(template: _Template, region: _FrameRegion, mesh: Array) -> Similarity | None:
    """Align the template with a frame; returns its frame_from_patch, None without agreement."""
    start = placement = _fit(template.mesh, mesh[_RIGID]) @ template.frame_from_patch
    if len(template.inside) < _MIN_SAMPLES or template.contrast < _MIN_CONTRAST:
        return None
    weight: Array32 = np.ones(len(template.inside), np.float32)
    residual: Array = np.zeros(len(template.inside))
    update: Array = np.zeros(6)
    for _ in range(_MAX_ITERATIONS):
        difference = region.patch(placement).ravel()[template.inside] - template.values
        weighted = template.jacobian * weight[:, None]
        # A trace on the diagonal: a patch without any detail does not move.
        normal = template.jacobian.T @ weighted + 1e-3 * np.eye(6)
        update = np.asarray(np.linalg.solve(normal, weighted.T @ difference), np.float64)
        residual = np.asarray(difference - template.jacobian @ update, np.float64)
        spread = 1.4826 * float(np.median(np.abs(residual[::3]))) + _NOISE_FLOOR
        # Weights of Geman and McClure.
        weight = np.asarray(1 / (1 + (residual / (2.5 * spread)) ** 2) ** 2, np.float32)
        scale_rotation = 1 + complex(update[0], update[1]) / (SIDE / 2)
        placement = placement @ Similarity(scale_rotation, complex(update[2], update[3])).inverse()
        if float(np.abs(update[:4]).max()) < _CONVERGED:
            break
    else:
        return None
    explained = max(float((weight * template.values**2).sum()), 1e-6)
    unexplained = float((weight * residual**2).sum()) / explained
    eye_distance = abs(placement.a) * SIDE / PATCH_SCALE
    disagreement = max(
        abs(np.log(placement.a / start.a)), abs(placement.b - start.b) / eye_distance
    )
    agrees = (
        unexplained < _MAX_RESIDUAL
        and abs(update[4]) < _MAX_GAIN_CHANGE
        and float(weight.mean()) > _MIN_INLIERS
    )
    return placement if agrees and disagreement < _MAX_DISAGREEMENT else None
