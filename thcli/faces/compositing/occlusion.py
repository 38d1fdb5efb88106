"""Occlusion of a face (a hand, a microphone), found without training.

Each frame's face is unwrapped to a UV map by its mesh, which removes expression and pose. The
median of many frames is the person's own appearance. A frame is compared with it after its lighting
is removed, relative to the variation of the face itself, and with a tolerance of one cell for
errors of the mesh. The result is closed, cleaned, and aligned with the edges of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core import geometry
from thcli.core.imaging import to_uint8
from thcli.core.types import Array, Array32, Crop, Image
from thcli.faces.compositing.guided_filter import guided_filter
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop
from thcli.faces.landmarks.topology import EYE_TRIANGLES, FRONT_SIGNS, MOUTH_TRIANGLES, TRIANGLES

UV_SIDE = 96  # cells across the UV map
SAMPLES = 48  # textures kept of a clip, evenly over its length
_MIN_SAMPLES = 8
_SOURCE_SIDE = 192  # side of the crop that a face is unwrapped from: about a pixel per cell
_CROP_SCALE = 2.0  # side of that crop over the mesh's
_MIN_FORESHORTENING = 0.25  # of its frontal area: a triangle below faces away
_LOG_OFFSET = 10.0  # levels of 255 added before the logarithm: dark differences are noise
# Differences in log brightness and log colour within one appearance, with noise.
_LIGHT_TOLERANCE, _TINT_TOLERANCE = 0.14, 0.035
_DEVIATION_FACTOR = 1.3  # allowed deviations of a cell, in addition
_LIGHT_ITERATIONS = 4  # of the fit of a frame's lighting, each without the outliers before
_OUTLIER = 2.0  # allowed differences from which a cell does not count for the lighting
_MAX_DIFFERENCE = 3.0  # allowed differences; more carries no more evidence
_NEIGHBOURHOOD = 2.2  # cells: range over which differences are averaged
# Excess difference at which occlusion has probability 0.5: at least this, and at least this many
# deviations of the face's own difference.
_MIN_LIMIT = 0.35
_LIMIT_DEVIATIONS = 3.0
# Standard deviation of a normal distribution over the distance of its 15th and 40th percentile.
_QUANTILE_TO_STD = 1.28
_STEEPNESS = 6.0  # of the logistic function of the excess
# Window in pixels of the crop, and variance of an edge, of the guided filter.
_GUIDE_RADIUS, _GUIDE_SMOOTHNESS = 3, 0.0008
_BINS = 26  # per axis of the colour histograms
# Probability from which a pixel samples the occluder's colours; below a tenth, the face's.
_SEED_PROBABILITY = 0.6
_MAX_LOG_ODDS = 3.0  # limit of the colour evidence
_MIN_PIXELS = 25  # fewer give no colour histogram
_MIN_AREA = 0.01  # of the UV map: smaller regions are the face's own
_CLOSING = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))  # cells: holes to close

Pixels = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class UvMap:
    """Flat map of the face, UV_SIDE x UV_SIDE cells.

    frontal_mesh: (468, 2+) a face seen from the front, in any unit; its outline is the map's.
    """

    frontal_mesh: Array

    @cached_property
    def points(self) -> Array:
        """Mesh points in cells of the map, (468, 2)."""
        flat = self.frontal_mesh[:, :2]
        low, high = flat.min(0), flat.max(0)
        scale = (UV_SIDE - 3) / float((high - low).max())
        return np.asarray((flat - (low + high) / 2) * scale + (UV_SIDE - 1) / 2)

    @cached_property
    def _cells(self) -> tuple[npt.NDArray[np.intp], Array32, npt.NDArray[np.intp], Flags]:
        """Triangles of the map's n cells on the face.

        Corner points (n, 3), barycentric weights (n, 3), triangle (n,), and the cells that the face
        covers (UV_SIDE, UV_SIDE).
        """
        triangles = np.concatenate([TRIANGLES, EYE_TRIANGLES, MOUTH_TRIANGLES])
        number = np.full((UV_SIDE, UV_SIDE), -1, np.int32)
        for index, triangle in enumerate(triangles):
            # In sixteenths of a cell, for edges between cells.
            corners = np.rint(self.points[triangle] * 16).astype(np.int32)
            cv2.fillConvexPoly(number, corners, index, shift=4)
        inside = number >= 0
        y, x = np.nonzero(inside)
        which = number[inside]
        a, b, c = (self.points[triangles[which, i]] for i in range(3))
        full = _cross(b - a, c - a)
        full = np.where(np.abs(full) < 1e-9, 1e-9, full)
        at = np.stack([x, y], -1)
        second, third = _cross(at - a, c - a) / full, _cross(b - a, at - a) / full
        weights = np.clip(np.stack([1 - second - third, second, third], -1), -0.5, 1.5)
        corners_of = triangles[which].astype(np.intp)
        return corners_of, weights.astype(np.float32), which.astype(np.intp), inside

    @property
    def inside(self) -> Flags:
        """Cells that a face covers, (UV_SIDE, UV_SIDE)."""
        return self._cells[3]

    def unwrap(self, image: Pixels, mesh: npt.ArrayLike) -> FaceTexture:
        """Unwrap the face of an image, (H, W, 3) uint8 or uint16; mesh: (468, 2+) pixels."""
        points = np.asarray(mesh, np.float64)
        placement = align.square(geometry.bounding_box(points), _SOURCE_SIDE, _CROP_SCALE)
        source = to_uint8(crop(image, placement))
        flat = geometry.transform_points(placement.crop_from_frame, points[:, :2])
        corners, weights, which, inside = self._cells
        positions = np.zeros((UV_SIDE, UV_SIDE, 2), np.float32)
        positions[inside] = np.einsum("nk,nkd->nd", weights, flat[corners]).astype(np.float32)
        x, y = positions[..., 0], positions[..., 1]
        texture = cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        visible = np.zeros((UV_SIDE, UV_SIDE), bool)
        visible[inside] = self._faces_camera(flat)[which]
        edge = np.array(image.shape[1::-1]) - 0.5
        within = np.logical_and(points[:, :2] > -0.5, points[:, :2] < edge).all(axis=1)
        visible[inside] &= np.asarray(within)[corners].all(1)
        return FaceTexture(np.asarray(texture, np.uint8), visible)

    def _faces_camera(self, flat: Array) -> Flags:
        """Return True for triangles that face the camera; flat: (468, 2)."""
        triangles = np.concatenate([TRIANGLES, EYE_TRIANGLES, MOUTH_TRIANGLES])
        signs = np.concatenate([FRONT_SIGNS, np.zeros(len(triangles) - len(FRONT_SIGNS), np.int32)])
        first, second, third = triangles.T
        area, frontal = (
            _cross(p[second] - p[first], p[third] - p[first]) for p in (flat, self.points)
        )
        ratio = area / np.where(np.abs(frontal) < 1e-9, 1e-9, frontal)
        ratio /= max(float(np.median(ratio)), 1e-9)
        # Sign 0: eyes and mouth, which may close.
        return np.asarray((ratio > _MIN_FORESHORTENING) | (signs == 0))

    def project(self, mask: Array32, mesh: npt.ArrayLike, placement: Crop) -> Array32:
        """Project a mask of the map to the face in a crop, (height, width), 0 beyond the face.

        Args:
            mask: (UV_SIDE, UV_SIDE).
            mesh: (468, 2+) pixels of the frame.
            placement: of the crop.
        """
        points = np.asarray(mesh, np.float64)[:, :2]
        flat = geometry.transform_points(placement.crop_from_frame, points)
        # Forward: cells are added to the pixels under them, in the order of the mesh.
        corners, weights, _, inside = self._cells
        at = np.einsum("nk,nkd->nd", weights, flat[corners])
        scale = float(np.ptp(flat, 0).max()) / UV_SIDE  # crop pixels a cell
        step = max(scale, 1.0)
        width, height = (max(int(np.ceil(n / step)), 1) for n in placement.size)
        x, y = (np.rint((at + 0.5) / step - 0.5).astype(int)).T
        fits = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
        np.add.at(total, (y[fits], x[fits]), mask[inside][fits])
        np.add.at(count, (y[fits], x[fits]), 1.0)
        local_total, local_count = (
            np.asarray(cv2.GaussianBlur(p, (0, 0), 0.8), np.float32) for p in (total, count)
        )
        mean = local_total / np.maximum(local_count, 1e-6)
        coarse = np.where(local_count > 0.05, mean, 0).astype(np.float32)
        enlarged = cv2.resize(coarse, placement.size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(enlarged, np.float32)


@dataclass(frozen=True, slots=True)
class FaceTexture:
    """Unwrapped face of one frame.

    texture: (UV_SIDE, UV_SIDE, 3) uint8.  visible: (UV_SIDE, UV_SIDE), cells that face the camera.
    """

    texture: Image
    visible: Flags


class TextureSamples:
    """Textures of a clip of any length: SAMPLES of them, evenly spaced."""

    def __init__(self) -> None:
        self._kept: list[FaceTexture] = []
        self._every, self._count = 1, 0

    def add(self, texture: FaceTexture) -> None:
        """Add the next frame's face, in order."""
        if self._count % self._every == 0:
            if len(self._kept) == SAMPLES:
                self._kept = self._kept[::2]
                self._every *= 2
            if self._count % self._every == 0:
                self._kept.append(texture)
        self._count += 1

    def appearance_model(self) -> AppearanceModel | None:
        """Fit the appearance of the unoccluded face; None with too few samples."""
        return fit_appearance(self._kept) if len(self._kept) >= _MIN_SAMPLES else None


@dataclass(frozen=True, slots=True)
class AppearanceModel:
    """Appearance of an unoccluded face and its own variation.

    median: (UV_SIDE, UV_SIDE, 3) log brightness and two log colours.  low, high: its range within
    one cell around.  spread: (UV_SIDE, UV_SIDE, 3) standard deviation.  observed: (UV_SIDE,
    UV_SIDE) cells with enough samples.  typical_difference, limit: (UV_SIDE, UV_SIDE), difference
    of the face itself, and excess over it at which occlusion has probability 0.5.
    """

    median: Array32
    low: Array32
    high: Array32
    spread: Array32
    observed: Flags
    typical_difference: Array32
    limit: Array32

    def difference(self, face: FaceTexture) -> Array32:
        """Return the difference of a face around each cell, in allowed differences."""
        usable = face.visible & self.observed
        colours = _log_colours(face.texture)
        tolerance = np.array([_LIGHT_TOLERANCE, _TINT_TOLERANCE, _TINT_TOLERANCE], np.float32)
        allowed = tolerance + np.float32(_DEVIATION_FACTOR) * self.spread
        weight, off = usable.astype(np.float32), np.zeros(usable.shape, np.float32)
        for _ in range(_LIGHT_ITERATIONS):
            relit = colours - _fit_plane(colours - self.median, weight)
            beyond = np.maximum(np.maximum(relit - self.high, self.low - relit), 0)
            off = np.asarray(np.sqrt(((beyond / allowed) ** 2).sum(-1)), np.float32)
            weight = np.where(usable, np.exp(-((off / _OUTLIER) ** 2)), 0).astype(np.float32)
        return _visible_mean(np.minimum(off, _MAX_DIFFERENCE), usable, _NEIGHBOURHOOD)

    def occlusion_probability(self, face: FaceTexture) -> Array32:
        """Return the probability of an occlusion at each cell, (UV_SIDE, UV_SIDE) 0..1."""
        excess = (self.difference(face) - self.typical_difference) / self.limit
        probability = np.asarray(1 / (1 + np.exp(-_STEEPNESS * (excess - 1))), np.float32)
        probability = np.where(face.visible & self.observed, probability, 0).astype(np.float32)
        closed = cv2.morphologyEx(probability, cv2.MORPH_CLOSE, _CLOSING)
        return _drop_small_regions(np.asarray(closed, np.float32))


def fit_appearance(samples: Sequence[FaceTexture]) -> AppearanceModel:
    """Fit the median appearance of many frames and its variation, each in its own lighting."""
    colours = np.stack([_log_colours(s.texture) for s in samples])
    visible = np.stack([s.visible for s in samples])
    observed = visible.sum(0) >= max(len(samples) // 6, 4)
    for _ in range(3):
        median = _visible_median(colours, visible)
        for sample, shown in zip(colours, visible, strict=True):
            off = np.abs(sample - median).max(-1)
            weight = np.where(shown & observed, np.exp(-((off / 0.2) ** 2)), 0)
            sample -= _fit_plane(sample - median, weight.astype(np.float32))
    median = _visible_median(colours, visible)
    spread = 1.4826 * _visible_median(np.abs(colours - median), visible)
    cell = np.ones((3, 3), np.uint8)
    lowest = np.asarray(cv2.erode(median, cell), np.float32)
    highest = np.asarray(cv2.dilate(median, cell), np.float32)
    widened = np.asarray(cv2.dilate(spread, cell))
    spread = np.asarray(cv2.GaussianBlur(widened, (0, 0), 1.0), np.float32)
    zero, one = np.zeros(observed.shape, np.float32), np.ones(observed.shape, np.float32)
    model = AppearanceModel(median, lowest, highest, spread, observed, zero, one)
    differences = np.stack([model.difference(sample) for sample in samples])
    # Occlusions only increase the difference: the lower quantiles are the face's own.
    low, typical = np.quantile(differences, [0.15, 0.4], axis=0).astype(np.float32)
    deviation = _QUANTILE_TO_STD * (typical - low)
    limit = np.maximum(_MIN_LIMIT, _LIMIT_DEVIATIONS * deviation).astype(np.float32)
    return replace(model, typical_difference=typical, limit=limit)


def refine_mask(probability: Array32, image: Pixels, face: Array32) -> Array32:
    """Refine an occlusion mask by colours, and align it with the edges of the image.

    Args:
        probability: (h, w) 0..1 of an occlusion.
        image: (h, w, 3) uint8 or uint16.
        face: (h, w) 0..1, region to search.

    Returns:
        The occlusion mask, (h, w) 0..1.
    """
    shallow = to_uint8(image)
    lab = cv2.cvtColor(shallow, cv2.COLOR_RGB2LAB)
    smooth = cv2.GaussianBlur(lab, (0, 0), 0.8).astype(np.int32)
    bins = [
        np.clip((smooth[..., i] - low) // width, 0, _BINS - 1)
        for i, (low, width) in enumerate(((0, 10), (88, 3), (88, 3)))
    ]
    bin_index = np.ravel((bins[0] * _BINS + bins[1]) * _BINS + bins[2])
    inside = face > 0.5
    guide, current = shallow.astype(np.float32) / np.float32(255), probability
    for _ in range(2):  # the second time with better histograms
        seeds = [
            np.clip((sign * current - low) / (1 - _SEED_PROBABILITY), 0, 1)
            for sign, low in (
                (1, _SEED_PROBABILITY),
                (-1, -0.25 * (1 - _SEED_PROBABILITY)),
            )
        ]
        front, behind = (_colour_histogram(bin_index, np.where(inside, s, 0)) for s in seeds)
        if front is None or behind is None:
            return np.where(inside, np.minimum(current, probability), 0).astype(np.float32)
        evidence = np.clip(np.log(front / behind), -_MAX_LOG_ODDS, _MAX_LOG_ODDS)[bin_index]
        prior_odds = np.log((current + 0.02) / (1.02 - current))
        odds = prior_odds + 0.8 * evidence.reshape(probability.shape)
        posterior = np.where(inside, 1 / (1 + np.exp(-odds)), 0).astype(np.float32)
        aligned = guided_filter(guide, posterior, _GUIDE_RADIUS, _GUIDE_SMOOTHNESS)
        refined = np.clip(aligned, 0, 1)
        current = np.asarray(0.5 * (current + refined), np.float32)
    return np.where(inside, refined, 0).astype(np.float32)


def _colour_histogram(bin_index: npt.NDArray[Any], weight: Array) -> Array | None:
    """Return the blurred frequency of each colour, (_BINS^3,); None for too few pixels."""
    count = np.bincount(bin_index, np.ravel(weight), _BINS**3).reshape(_BINS, _BINS, _BINS)
    if float(count.sum()) < _MIN_PIXELS:
        return None
    for axis in range(3):
        count = 0.5 * count + 0.25 * (np.roll(count, 1, axis) + np.roll(count, -1, axis))
    return np.asarray(np.ravel(count) / float(count.sum()) + 1e-4)


def _log_colours(texture: Image) -> Array32:
    """Return log brightness, log red over green, log blue over green of (h, w, 3) uint8."""
    r, g, b = (
        np.log(channel.astype(np.float32) + np.float32(_LOG_OFFSET))
        for channel in cv2.split(texture)
    )
    return np.stack([(r + g + b) / 3, r - g, b - g], -1)


def _visible_median(values: Array32, visible: Flags) -> Array32:
    """Return the median over the first axis of visible values; of all where none is visible."""
    used = np.where(visible.any(0), visible, True)
    count, *shape = values.shape
    # Hidden values are sorted behind all others; sorting is fastest along the last axis.
    masked = np.where(used[..., None], values, np.float32(np.inf))
    ordered = np.sort(np.ascontiguousarray(masked.reshape(count, -1).T), axis=1)
    seen = np.repeat(used.sum(0).ravel(), shape[-1])
    cell = np.arange(len(ordered))
    middle = ordered[cell, (seen - 1) // 2] + ordered[cell, seen // 2]
    return np.asarray(middle / 2, np.float32).reshape(shape)


def _fit_plane(values: Array32, weight: Array32) -> Array32:
    """Fit a plane to each channel of (h, w, 3), weighted by (h, w): light from a side."""
    basis = _plane_basis(weight.shape)
    weighted = basis * weight.ravel()
    normal = weighted @ basis.T + 1e-3 * np.eye(3) * max(float(weight.sum()), 1e-6)
    plane = basis.T @ np.linalg.solve(normal, weighted @ values.reshape(-1, 3))
    return np.asarray(plane.reshape(values.shape), np.float32)


@cache
def _plane_basis(shape: tuple[int, int]) -> Array:
    """Return (3, h * w), one and the position of each cell. Read-only: threads share it."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64) / max(shape) - 0.5
    basis = np.stack([np.ones(x.size), x.ravel(), y.ravel()])
    basis.flags.writeable = False
    return basis


def _visible_mean(values: Array32, visible: Flags, sigma: float) -> Array32:
    weight = cv2.GaussianBlur(visible.astype(np.float32), (0, 0), sigma)
    masked = np.where(visible, values, 0).astype(np.float32)
    total = cv2.GaussianBlur(masked, (0, 0), sigma)
    return np.asarray(total / np.maximum(weight, 1e-3), np.float32)


def _drop_small_regions(mask: Array32) -> Array32:
    """Return the mask without regions that are too small to be an object."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    small = stats[:, cv2.CC_STAT_AREA] < _MIN_AREA * mask.size
    small[0] = count == 1  # the background itself, when there is nothing else
    small_regions = small[labels].astype(np.uint8) * (labels > 0)
    dropped = cv2.dilate(small_regions, np.ones((3, 3), np.uint8)) > 0
    large_regions = (~small[labels] & (labels > 0)).astype(np.uint8)
    near_large = cv2.dilate(large_regions, np.ones((5, 5), np.uint8)) > 0
    return np.where(dropped | ((labels == 0) & ~near_large), 0, mask).astype(np.float32)


def _cross(a: Array, b: Array) -> Array:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
