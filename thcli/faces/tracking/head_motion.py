"""How a head moved since the frame before, by its pixels: to hundredths of a pixel, where landmarks tremble by half a one.

The upper face without brows and eyes (forehead, nose, cheeks: what neither speaks nor blinks) of a frame that is kept is laid on each frame that
follows, by the similarity at which their pixels agree best. Landmarks say where to begin, so that a few steps are enough. As long as the
head shows the same side the same frame is kept, and errors do not add up.

Inverse compositional alignment: Baker and Matthews 2004, "Lucas-Kanade 20 Years On", sec. 3.2; with robust weights and a gain.
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
SMALLEST = 16.0  # pixels of the picture across it; of smaller ones nothing is said
AROUND = 2.0  # its side over the distance of the outer eye corners
_GRAIN = 3.0  # a picture is first reduced until a sample is at most so many pixels
_HULL = np.array(
    [10, 67, 297, 54, 284, 127, 356, 234, 454, 123, 352, 50, 280, 205, 425, 2, 98, 327], np.int32
)
_RIGID = np.flatnonzero(topology.RIGID_WEIGHTS)
_WEIGHT = topology.RIGID_WEIGHTS[_RIGID] / topology.RIGID_WEIGHTS.sum()
_BROWS = (
    [70, 63, 105, 66, 107, 55, 65, 52, 53, 46],
    [336, 296, 334, 293, 300, 276, 283, 282, 295, 285],
)
_LIVELY = tuple(  # brows and eyes, each with what lies between: they move by themselves, and have the strongest edges
    np.concatenate([brow[:5], lid.lower3[::-1]])
    for brow, lid in zip(_BROWS, topology.LIDS, strict=True)
)
_ROUND = cv2.getStructuringElement(
    cv2.MORPH_ELLIPSE, (7, 7)
)  # samples: so far around a brow skin moves with it
_LOCAL = (
    SIDE // 4 + 1
)  # samples: brightness that changes more slowly than over this counts for nothing
_FEWEST = 200  # samples of a patch that tell anything: a face in profile has fewer
_FAINT = 1.0  # levels of 255 by which it must vary
_DIMMED = 0.5  # change of contrast that a lamp makes
_STEPS = 8
_FINEST = 0.3  # levels of 255 by which pixels always may differ
_ENOUGH = 0.02  # samples: a step smaller than this is the last
_TURNED = 0.12  # a mesh whose rigid points differ so much from the kept one's (of the eye distance) shows another side
_ZOOMED = 0.15  # change of the logarithm of its size, likewise
_UNLIKE = 0.4  # part of the patch's variance that may differ
_WITHIN = 0.5  # of the patch that must agree
_ASTRAY = 0.06  # of the eye distance (or radians, or logarithm of size) that landmarks and pixels may disagree by

Pixels = npt.NDArray[Any]
_X, _Y = (v.astype(np.float32) for v in np.meshgrid(*2 * [np.arange(SIDE) - (SIDE - 1) / 2]))


@dataclass(frozen=True, slots=True)
class Similarity:
    """z -> a * z + b of points as complex numbers x + iy, in pixels."""

    a: complex = 1.0
    b: complex = 0.0

    def __matmul__(self, other: Similarity) -> Similarity:
        return Similarity(self.a * other.a, self.a * other.b + self.b)

    def inverse(self) -> Similarity:
        return Similarity(1 / self.a, -self.b / self.a)

    def of(self, points: npt.ArrayLike) -> Array:
        """(..., 2) points, moved."""
        p = np.asarray(points, np.float64)
        z = self.a * (p[..., 0] + 1j * p[..., 1]) + self.b
        return np.stack([z.real, z.imag], -1)


@dataclass(frozen=True, slots=True)
class _Kept:
    """The frame that others are compared with. mesh: its rigid points, (K, 2).  where: frame from patch."""

    mesh: Array
    where: Similarity
    inside: npt.NDArray[np.intp]
    values: Array32
    slopes: Array32  # (N, 6): by log size and angle (each at the patch's rim), x, y, gain, level
    contrast: float


class Heads:
    """Follows every head of a clip. Not safe to share between threads."""

    def __init__(self) -> None:
        self._heads: dict[int, Optical] = {}

    def steps(
        self, picture: Pixels, faces: Sequence[Face], *, cut: bool = False
    ) -> list[Similarity | None]:
        """For each face: this frame from the one before by the head's pixels; None where these do not say.

        picture: the next frame, (H, W, 3) uint8 or uint16.  faces: of this frame, with track numbers; one without a mesh is not followed.  cut: whether
        the frame begins a new scene.
        """
        known = {} if cut else self._heads
        self._heads = {
            face.track: known.get(face.track, Optical()) for face in faces if face.mesh is not None
        }
        return [
            None if face.mesh is None else self._heads[face.track].step(picture, face.mesh)
            for face in faces
        ]


class Optical:
    """Follows one head, fed with every frame that shows it."""

    def __init__(self) -> None:
        self._kept: _Kept | None = None
        self._last: tuple[_View, Similarity, Array] | None = (
            None  # the frame before: its patch's place and its mesh
        )

    def step(self, picture: Pixels, mesh: Array32) -> Similarity | None:
        """This frame from the one fed before; None where the pixels do not say.

        picture: (H, W, 3) uint8 or uint16.  mesh: the face's, (468, 3) pixels.
        """
        points = np.asarray(mesh[:, :2], np.float64)
        where = _home(points)
        if not SMALLEST <= abs(where.a) * SIDE < 4 * max(picture.shape):
            self._kept = self._last = None
            return None
        view, step = _View(picture, where), None
        if self._kept is not None and self._last is not None:
            found = _laid(self._kept, view, points)
            if found is None:  # the frame before may look more like this one
                self._kept = _keep(*self._last)
                found = _laid(self._kept, view, points)
            if found is not None:
                where, step = found, found @ self._last[1].inverse()
        if step is None or self._kept is None or _other_side(self._kept, points):
            self._kept = _keep(view, where, points)
        self._last = view, where, points
        return step


class _View:
    """The part of a frame around a patch, grey, reduced and softened so that it can be sampled anywhere."""

    def __init__(self, picture: Pixels, home: Similarity) -> None:
        grain = abs(home.a)
        step = int(max(grain / _GRAIN, 1))
        reach = 0.75 * SIDE * grain
        height, width = picture.shape[:2]
        x0, y0 = (
            int(np.clip(v - reach, 0, n - 2 * step))
            for v, n in zip((home.b.real, home.b.imag), (width, height), strict=True)
        )
        x1, y1 = (
            int(np.clip(v + reach, o + 2 * step, n))
            for v, o, n in zip((home.b.real, home.b.imag), (x0, y0), (width, height), strict=True)
        )
        x0, y0 = x0 // step * step, y0 // step * step
        part = picture[y0:y1, x0:x1]
        if step > 1:
            part = cv2.resize(
                part[: (y1 - y0) // step * step, : (x1 - x0) // step * step],
                ((x1 - x0) // step, (y1 - y0) // step),
                interpolation=cv2.INTER_AREA,
            )
        level = np.float32(255 / np.iinfo(part.dtype).max)
        grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).astype(np.float32) * level
        soft = 0.5 * grain / step
        self._grey = cv2.GaussianBlur(grey, (0, 0), soft) if soft > 0.3 else grey
        corner = (
            complex(x0, y0) + (1 + 1j) * (step - 1) / 2
        )  # the middle of the first sample's block
        self._own = Similarity(1 / step, -corner / step)

    def patch(self, where: Similarity) -> Array32:
        """(SIDE, SIDE): what lies there, without its slow changes of brightness."""
        m = self._own @ where
        start = m.b - m.a * (1 + 1j) * (SIDE - 1) / 2
        matrix = np.array([[m.a.real, -m.a.imag, start.real], [m.a.imag, m.a.real, start.imag]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(
            self._grey, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(seen - cv2.boxFilter(seen, -1, (_LOCAL, _LOCAL)), np.float32)


def _home(mesh: Array) -> Similarity:
    """The patch's home on a mesh: frame from patch."""
    left, right = (complex(*mesh[i]) for i in topology.EYE_OUTER)
    middle = complex(*mesh[168])
    return Similarity((right - left) * AROUND / SIDE, middle)


def _keep(view: _View, where: Similarity, mesh: Array) -> _Kept:
    flat = where.inverse().of(mesh) + (SIDE - 1) / 2
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillConvexPoly(
        mask, np.rint(cv2.convexHull(flat[_HULL].astype(np.float32))).astype(np.int32), 1
    )
    lively = np.zeros_like(mask)
    for part in _LIVELY:
        cv2.fillConvexPoly(
            lively, np.rint(cv2.convexHull(flat[part].astype(np.float32))).astype(np.int32), 1
        )
    mask[cv2.dilate(lively, _ROUND) > 0] = 0
    inside = np.flatnonzero(mask)
    values = view.patch(where)
    dx, dy = (
        cv2.Sobel(values, -1, 1, 0, scale=1 / 8).ravel()[inside],
        cv2.Sobel(values, -1, 0, 1, scale=1 / 8).ravel()[inside],
    )
    x, y = _X.ravel()[inside] / (SIDE / 2), _Y.ravel()[inside] / (SIDE / 2)
    own = values.ravel()[inside]
    slopes = np.stack([dx * x + dy * y, dy * x - dx * y, dx, dy, own, np.ones_like(own)], 1)
    return _Kept(
        mesh[_RIGID],
        where,
        inside,
        own,
        slopes,
        float(np.sqrt((own**2).mean())) if len(own) else 0.0,
    )


def _fit(src: Array, dst: Array) -> Similarity:
    """The weighted least-squares similarity of rigid points (K, 2)."""
    p, q = src[:, 0] + 1j * src[:, 1], dst[:, 0] + 1j * dst[:, 1]
    p0, q0 = (_WEIGHT * p).sum(), (_WEIGHT * q).sum()
    a = (_WEIGHT * (p - p0).conj() * (q - q0)).sum() / (_WEIGHT * abs(p - p0) ** 2).sum()
    return Similarity(complex(a), complex(q0 - a * p0))


def _other_side(kept: _Kept, mesh: Array) -> bool:
    """Whether a head has turned too far, or come too near, for its pixels to be compared."""
    now = mesh[_RIGID]
    move = _fit(kept.mesh, now)
    off = move.of(kept.mesh) - now
    size = abs(move.a) * abs(kept.where.a) * SIDE / AROUND
    return bool(
        np.sqrt((_WEIGHT * (off**2).sum(1)).sum()) > _TURNED * size
        or abs(np.log(abs(move.a))) > _ZOOMED
    )


def _laid(kept: _Kept, view: _View, mesh: Array) -> Similarity | None:
    """Frame from patch, where the kept patch lies in this frame; None when it cannot be told."""
    start = where = _fit(kept.mesh, mesh[_RIGID]) @ kept.where
    if len(kept.inside) < _FEWEST or kept.contrast < _FAINT:
        return None
    weight: Array32 = np.ones(len(kept.inside), np.float32)
    left: Array = np.zeros(len(kept.inside))
    change: Array = np.zeros(6)
    for _ in range(_STEPS):
        rest = view.patch(where).ravel()[kept.inside] - kept.values
        heavy = kept.slopes * weight[:, None]
        # A trace on the diagonal: a patch without any detail does not move.
        change = np.asarray(
            np.linalg.solve(kept.slopes.T @ heavy + 1e-3 * np.eye(6), heavy.T @ rest), np.float64
        )
        left = np.asarray(rest - kept.slopes @ change, np.float64)
        spread = 1.4826 * float(np.median(np.abs(left[::3]))) + _FINEST
        weight = np.asarray(
            1 / (1 + (left / (2.5 * spread)) ** 2) ** 2, np.float32
        )  # Geman and McClure's
        move = Similarity(
            1 + complex(change[0], change[1]) / (SIDE / 2), complex(change[2], change[3])
        )
        where = where @ move.inverse()
        if float(np.abs(change[:4]).max()) < _ENOUGH:
            break
    else:
        return None
    unlike = float((weight * left**2).sum()) / max(float((weight * kept.values**2).sum()), 1e-6)
    off = where.a / start.a
    astray = max(abs(np.log(off)), abs(where.b - start.b) / (abs(where.a) * SIDE / AROUND))
    alike = unlike < _UNLIKE and abs(change[4]) < _DIMMED and float(weight.mean()) > _WITHIN
    return where if alike and astray < _ASTRAY else None
