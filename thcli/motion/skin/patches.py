"""Patches of skin of one face, found again in other frames by least squares.

Lucas and Kanade 1981. The equations of a patch are those of its brightness; a point's shift solves
the sum of those of the patches around it, so that a patch that shows an edge alone, or nothing,
takes from its neighbours what it does not tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.geometry import fit_similarity
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.faces.landmarks import topology
from thcli.faces.landmarks.roi import SIDE, Roi, crop_roi
from thcli.motion.canonical import RIGID, RIGID_WEIGHTS, neutral, neutral_distances

UNIT = 66.0  # pixels of a crop per canonical unit
PATCHES = 200
_REACH, _STEP = 5, 2  # pixels of the crop to each side of a patch's centre, and between samples
_NEAR = 0.08  # canonical units: width of the neighbourhood whose patches a point follows
_ROUNDS = 2  # of the least squares
_PULL = 8.0  # squared grey levels per pixel by which points keep the place that was tracked
_DIFFERENT = 12.0  # grey levels by which a patch that shows something else differs
_MOST = 4.5  # pixels of the crop that a point is moved at most
_GAIN = (0.4, 2.5)  # least and greatest contrast of a frame over the template's
_EYE_REACH = (0.03, 0.15)  # canonical units from an eye's rim: moved with it, and by themselves
_OUTSIDE = 2.0  # pixels by which a patch's centre may come near to the picture's edge

Pixels = npt.NDArray[Any]


class _Layout(NamedTuple):
    """Points under the patches (P,), weights of the patches around each point (468, P), samples.

    Samples are (K, 2) pixels from a patch's centre.
    """

    points: npt.NDArray[np.intp]
    near: Array32
    samples: Array32


@cache
def _layout() -> _Layout:
    """Return patches spread over the face, but for lids and inner lips, which change by nature."""
    flat = neutral()[:, :2]
    distance = np.linalg.norm(flat[:, None] - flat, axis=-1)
    usable = np.ones(len(flat), bool)
    for rims in (topology.LIPS, *topology.LIDS):
        usable[np.concatenate([rims.upper, rims.lower])] = False
    usable[np.ravel(topology.EYE_CORNERS)] = False
    points = np.flatnonzero(usable)
    chosen, apart = [int(points[0])], distance[points, points[0]]
    while len(chosen) < PATCHES:
        chosen.append(int(points[np.argmax(apart)]))
        apart = np.minimum(apart, distance[points, chosen[-1]])
    chosen.sort()
    near = np.exp(-(distance[:, chosen] ** 2) / (2 * _NEAR**2)).astype(np.float32)
    near[near < np.finfo(np.float32).tiny] = 0  # with subnormal numbers a product takes 50 times
    steps = np.arange(-_REACH, _REACH + 1, _STEP, dtype=np.float32)
    samples = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    return _Layout(np.array(chosen), near, samples)


@cache
def _keep_openings() -> Array32:
    """Return the matrix (468, 468) from shifts of the points to shifts that open and shut nothing.

    Landmarks tell how far eyes and lips are open, pixels do not: a template with open eyes would
    hold the lids of a blink apart. An eye moves as its corners do, facing points of the inner lips
    alike.
    """
    mixed = np.eye(len(neutral()))
    upper, lower = topology.LIPS.upper, topology.LIPS.lower
    mixed[upper] = mixed[lower] = (mixed[upper] + mixed[lower]) / 2
    for rim, corners in zip(topology.EYES, topology.EYE_CORNERS, strict=True):
        share = 1 - smoothstep(*_EYE_REACH, neutral_distances(rim))
        mixed *= 1 - share[:, None]
        for corner in corners:
            mixed[:, corner] += share / len(corners)
    return mixed.astype(np.float32)


@dataclass(frozen=True, slots=True)
class SkinView:
    """Crop of a frame, in which a face has the same size and place in the picture plane.

    Attributes:
        grey: (192, 192) float32.
        points: (468, 2) float32, the mesh in pixels of the crop.
        image_from_crop: (2, 2) linear part.
        inside: (P,) bool, patches whose centres the frame shows.
    """

    grey: Array32
    points: Array32
    image_from_crop: Array
    inside: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, image: Pixels, mesh: npt.ArrayLike) -> SkinView:
        """Return the view of a face (468, 3) in an image (H, W, 3) uint8 or uint16."""
        points, flat = np.asarray(mesh, np.float64)[:, :2], neutral()[:, :2]
        scale, rotation, shift = fit_similarity(flat[RIGID], points[RIGID], RIGID_WEIGHTS)
        x, y = scale * ((flat.min(0) + flat.max(0)) / 2) @ rotation.T + shift + 0.5
        angle = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
        roi = Roi(float(x), float(y), float(SIDE * scale / UNIT), angle)
        crop = crop_roi(image, roi)
        grey = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.float32)
        if crop.dtype == np.uint16:
            grey *= np.float32(1 / 257)
        matrix = roi.matrix()
        in_crop = (points + 0.5 - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T - 0.5
        limits = np.array([image.shape[1], image.shape[0]]) - _OUTSIDE
        centres = points[_layout().points]
        inside = np.asarray(((centres > _OUTSIDE) & (centres < limits)).all(1))
        return cls(grey, in_crop.astype(np.float32), matrix[:, :2], inside)


class SkinPatches:
    """Patches of one view of a face, its template."""

    def __init__(self, view: SkinView) -> None:
        centres, inside = view.points[_layout().points], view.inside
        grey = view.grey
        slopes = [cv2.Scharr(grey, cv2.CV_32F, dx, dy, scale=1 / 32) for dx, dy in ((1, 0), (0, 1))]
        self._grey = _sample(grey, centres)
        x, y = (_sample(np.asarray(slope, np.float32), centres) for slope in slopes)
        self._slopes = np.stack([x, y], 1) / np.float32(x.shape[1])
        self._normal = np.stack([(x * x).mean(1), (x * y).mean(1), (y * y).mean(1)], 1)
        self._contrast = max(float((self._grey[inside] ** 2).sum()), 1e-6)
        self._inside = inside

    def find(self, view: SkinView) -> Array:
        """Return by how much the points of a view are off the template's skin, (468, 2) pixels.

        Pixels are those of the frame; it is 0 where no patch tells it.
        """
        layout = _layout()
        seen = (self._inside & view.inside).astype(np.float32)
        centres = view.points[layout.points]
        shift = np.zeros((len(view.points), 2), np.float32)
        for _ in range(_ROUNDS):
            own = shift[layout.points]
            grey = _sample(view.grey, centres + own)
            gain = np.float32(np.clip((self._grey * grey).sum() / self._contrast, *_GAIN))
            error = gain * self._grey - grey
            trust = seen / (1 + (np.abs(error).mean(1) / np.float32(_DIFFERENT)) ** 2)
            xx, xy, yy = gain**2 * self._normal.T
            right = gain * np.einsum("pck,pk->pc", self._slopes, error)
            right[:, 0] += xx * own[:, 0] + xy * own[:, 1]
            right[:, 1] += xy * own[:, 0] + yy * own[:, 1]
            equations = np.column_stack([xx, xy, yy, right]) * trust[:, None]
            xx, xy, yy, bx, by = (layout.near @ equations).T
            xx, yy = xx + np.float32(_PULL), yy + np.float32(_PULL)
            shift = np.column_stack([yy * bx - xy * by, xx * by - xy * bx])
            shift /= (xx * yy - xy**2)[:, None]
            length = np.linalg.norm(shift, axis=1, keepdims=True)
            shift *= np.minimum(1, np.float32(_MOST) / np.maximum(length, np.float32(1e-6)))
        return np.asarray(_keep_openings() @ shift @ view.image_from_crop.T)


def _sample(values: Array32, centres: Array32) -> Array32:
    """Return values (P, K) of a map around centres (P, 2), less their mean in each patch."""
    at = centres[:, None] + _layout().samples
    found = cv2.remap(
        values,
        np.ascontiguousarray(at[..., 0]),
        np.ascontiguousarray(at[..., 1]),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(found - found.mean(1, keepdims=True), np.float32)
