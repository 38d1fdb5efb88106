"""What lies in front of a face (a hand, a microphone), found without training: where a face does not look as it does in the rest of its clip.

Each frame's face is unrolled onto one sheet by its mesh, so that expression and pose fall away. The median of many frames is the
person's own face; a frame is compared with it after its light is taken off, as much as the face itself varies there, and with a
tolerance of a cell for a mesh that is a little off. What is found is rounded off and brought to the picture's edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core import geometry
from thcli.core.imaging import to_uint8
from thcli.core.types import Array, Array32, Crop, Image
from thcli.faces.compositing.guided_filter import guided
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop
from thcli.faces.landmarks.topology import EYE_TRIANGLES, FRONT_SIGNS, MOUTH_TRIANGLES, TRIANGLES

SIDE = 96  # cells across the sheet
SAMPLES = 48  # unrolled faces kept of a clip, evenly over its length
_LOOK = 192  # pixels of the crop that a face is unrolled from: about a pixel to a cell
_AROUND = 2.0  # side of that crop over the mesh's
_LEAST_TURNED = 0.25  # of its frontal area: a triangle seen at less is turned away
_DARK = 10.0  # levels of 255 added before the logarithm: differences in the dark are noise
_LIGHT, _TINT = (
    0.14,
    0.035,
)  # differences in log brightness and log colour that a face has with itself, noise and all
_VARIES = 1.3  # how many of its own deviations a place may be off besides
_ROUNDS = 4  # of fitting a frame's light, each without what did not fit before
_MISFIT = 2.0  # so many times the allowed difference does not count for the light
_MOST = 3.0  # more than so many times the allowed difference is no more telling
_NEAR = 2.2  # cells around over which differences are taken together: a thing covers many
_CLEAR = 0.35  # by so much more than usual a place must differ, at least, to be as likely something else as not
_NORMAL = 1.28  # standard deviation of a normal distribution over the way from its 15th to its 40th percentile
_OFTEN = 3.0  # and by so many of its usual deviations
_STEEP = 6.0  # how quickly that changes
_GUIDE, _SMOOTH = (
    3,
    0.0008,
)  # window in pixels of the crop, and the variance of an edge, to which masks are brought
_BINS = 26  # of each of a colour's three numbers
_SEED = 0.6  # from so likely on a pixel tells the colours of what is in front (from a tenth down, those of the face)
_EVIDENCE = 3.0  # the most that a colour says, as the logarithm of odds
_FEW = 25  # pixels: fewer do not tell the colours of a thing
_LEAST = 0.01  # of the sheet: smaller spots are the face's own
_DISC = cv2.getStructuringElement(
    cv2.MORPH_ELLIPSE, (7, 7)
)  # cells: smaller holes in a thing are closed

Pixels = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sheet:
    """The flat sheet. plain: (468, 2+) a face seen from the front, in any unit: its outline is the sheet's."""

    plain: Array

    @cached_property
    def points(self) -> Array:
        """(468, 2) of the plain face in cells of the sheet."""
        flat = self.plain[:, :2]
        low, high = flat.min(0), flat.max(0)
        return np.asarray(
            (flat - (low + high) / 2) * ((SIDE - 3) / float((high - low).max())) + (SIDE - 1) / 2
        )

    @cached_property
    def _cells(self) -> tuple[npt.NDArray[np.intp], Array32, npt.NDArray[np.intp], Flags]:
        """Of every cell: its triangle's corners (n, 3), its weights on them (n, 3), the triangle; and which cells the face covers (SIDE, SIDE)."""
        triangles = np.concatenate([TRIANGLES, EYE_TRIANGLES, MOUTH_TRIANGLES])
        number = np.full((SIDE, SIDE), -1, np.int32)
        for index, triangle in enumerate(
            triangles
        ):  # in sixteenths of a cell, for edges between cells
            cv2.fillConvexPoly(
                number, np.rint(self.points[triangle] * 16).astype(np.int32), index, shift=4
            )
        inside = number >= 0
        y, x = np.nonzero(inside)
        which = number[inside]
        a, b, c = (self.points[triangles[which, i]] for i in range(3))
        full = _cross(b - a, c - a)
        full = np.where(np.abs(full) < 1e-9, 1e-9, full)
        at = np.stack([x, y], -1)
        second, third = _cross(at - a, c - a) / full, _cross(b - a, at - a) / full
        weights = np.clip(np.stack([1 - second - third, second, third], -1), -0.5, 1.5)
        return (
            triangles[which].astype(np.intp),
            weights.astype(np.float32),
            which.astype(np.intp),
            inside,
        )

    @property
    def inside(self) -> Flags:
        """(SIDE, SIDE), the cells that a face covers."""
        return self._cells[3]

    def unrolled(self, picture: Pixels, mesh: npt.ArrayLike) -> Unrolled:
        """A face of a picture, (H, W, 3) uint8 or uint16, laid flat by its mesh, (468, 2+) pixels."""
        points = np.asarray(mesh, np.float64)
        where = align.square(geometry.box_of(points), _LOOK, _AROUND)
        seen = to_uint8(crop(picture, where))
        flat = geometry.transform(where.crop_from_frame, points[:, :2])
        corners, weights, which, inside = self._cells
        at = np.einsum("nk,nkd->nd", weights, flat[corners]).astype(np.float32)
        places = np.zeros((SIDE, SIDE, 2), np.float32)
        places[inside] = at
        texture = cv2.remap(
            seen, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        shows = np.zeros((SIDE, SIDE), bool)
        shows[inside] = self._towards_us(flat)[which]
        edge = np.array(picture.shape[1::-1]) - 0.5
        within = np.logical_and(points[:, :2] > -0.5, points[:, :2] < edge).all(axis=1)
        shows[inside] &= np.asarray(within)[corners].all(1)
        return Unrolled(np.asarray(texture, np.uint8), shows)

    def _towards_us(self, flat: Array) -> Flags:
        """Which triangles are seen well. flat: (468, 2)."""
        triangles = np.concatenate([TRIANGLES, EYE_TRIANGLES, MOUTH_TRIANGLES])
        signs = np.concatenate([FRONT_SIGNS, np.zeros(len(triangles) - len(FRONT_SIGNS), np.int32)])
        own, plain = (
            _cross(p[triangles[:, 1]] - p[triangles[:, 0]], p[triangles[:, 2]] - p[triangles[:, 0]])
            for p in (flat, self.points)
        )
        ratio = own / np.where(np.abs(plain) < 1e-9, 1e-9, plain)
        ratio /= max(float(np.median(ratio)), 1e-9)
        return np.asarray((ratio > _LEAST_TURNED) | (signs == 0))  # lids and lips may shut

    def rolled(self, mask: Array32, mesh: npt.ArrayLike, where: Crop) -> Array32:
        """A mask of the sheet, (SIDE, SIDE), on the face in a crop's pixels, (height, width), 0 beyond it. mesh: in pixels of the frame."""
        flat = geometry.transform(where.crop_from_frame, np.asarray(mesh, np.float64)[:, :2])
        # The other way round: each triangle of the crop takes its cells, drawn in the order of the mesh.
        corners, weights, _, inside = self._cells
        at = np.einsum("nk,nkd->nd", weights, flat[corners])
        scale = float(np.ptp(flat, 0).max()) / SIDE  # crop pixels a cell
        step = max(scale, 1.0)
        width, height = (max(int(np.ceil(n / step)), 1) for n in where.size)
        x, y = (np.rint((at + 0.5) / step - 0.5).astype(int)).T
        fits = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
        np.add.at(total, (y[fits], x[fits]), mask[inside][fits])
        np.add.at(count, (y[fits], x[fits]), 1.0)
        near_total, near_count = (
            np.asarray(cv2.GaussianBlur(p, (0, 0), 0.8), np.float32) for p in (total, count)
        )
        coarse = np.where(near_count > 0.05, near_total / np.maximum(near_count, 1e-6), 0).astype(
            np.float32
        )
        return np.asarray(
            cv2.resize(coarse, where.size, interpolation=cv2.INTER_LINEAR), np.float32
        )


@dataclass(frozen=True, slots=True)
class Unrolled:
    """texture: (SIDE, SIDE, 3) uint8.  shows: (SIDE, SIDE), the cells that can be seen from where the camera stands."""

    texture: Image
    shows: Flags


class Memory:
    """A face's looks over a clip of any length: SAMPLES of them, evenly spaced."""

    def __init__(self) -> None:
        self._kept: list[Unrolled] = []
        self._every, self._count = 1, 0

    def add(self, unrolled: Unrolled) -> None:
        """The next frame's face, in order."""
        if self._count % self._every == 0:
            if len(self._kept) == SAMPLES:
                self._kept = self._kept[::2]
                self._every *= 2
            if self._count % self._every == 0:
                self._kept.append(unrolled)
        self._count += 1

    def usual(self) -> Usual | None:
        """How the face looks when nothing is before it; None when too little was seen to tell."""
        return usual_look(self._kept) if len(self._kept) >= 8 else None


@dataclass(frozen=True, slots=True)
class Usual:
    """A person's own face. look: (SIDE, SIDE, 3) brightness and two colours, logarithms.  low, high: what it is within a cell around.
    spread: (SIDE, SIDE, 3), how much it varies.  known: (SIDE, SIDE).  base, limit: (SIDE, SIDE), by how much it commonly differs from
    all this, and from where on that is something else."""

    look: Array32
    low: Array32
    high: Array32
    spread: Array32
    known: Flags
    base: Array32
    limit: Array32

    def difference(self, unrolled: Unrolled) -> Array32:
        """By how much a face differs around each cell of the sheet, (SIDE, SIDE), in allowed differences."""
        there = unrolled.shows & self.known
        seen = _looks(unrolled.texture)
        allowed = np.array([_LIGHT, _TINT, _TINT], np.float32) + np.float32(_VARIES) * self.spread
        weight, off = there.astype(np.float32), np.zeros(there.shape, np.float32)
        for _ in range(_ROUNDS):
            own = seen - _plane(seen - self.look, weight)
            beyond = np.maximum(np.maximum(own - self.high, self.low - own), 0)
            off = np.asarray(np.sqrt(((beyond / allowed) ** 2).sum(-1)), np.float32)
            weight = np.where(there, np.exp(-((off / _MISFIT) ** 2)), 0).astype(np.float32)
        return _mean(np.minimum(off, _MOST), there, _NEAR)

    def occluded(self, unrolled: Unrolled) -> Array32:
        """How likely something lies before each cell of the sheet, (SIDE, SIDE) 0..1."""
        more = (self.difference(unrolled) - self.base) / self.limit
        likely = np.asarray(1 / (1 + np.exp(-_STEEP * (more - 1))), np.float32)
        likely = np.where(unrolled.shows & self.known, likely, 0).astype(np.float32)
        return _without_spots(
            np.asarray(cv2.morphologyEx(likely, cv2.MORPH_CLOSE, _DISC), np.float32)
        )


def usual_look(samples: Sequence[Unrolled]) -> Usual:
    """The median face of many and how it varies, each in its own light."""
    looks = np.stack([_looks(s.texture) for s in samples])
    shows = np.stack([s.shows for s in samples])
    known = shows.sum(0) >= max(len(samples) // 6, 4)
    for _ in range(3):
        middle = _median(looks, shows)
        for look, show in zip(looks, shows, strict=True):
            off = np.abs(look - middle).max(-1)
            look -= _plane(
                look - middle,
                np.where(show & known, np.exp(-((off / 0.2) ** 2)), 0).astype(np.float32),
            )
    middle = _median(looks, shows)
    spread = 1.4826 * _median(np.abs(looks - middle), shows)
    cell = np.ones((3, 3), np.uint8)
    lowest, highest = (
        np.asarray(turn(middle, cell), np.float32) for turn in (cv2.erode, cv2.dilate)
    )
    spread = np.asarray(
        cv2.GaussianBlur(np.asarray(cv2.dilate(spread, cell)), (0, 0), 1.0), np.float32
    )
    nought, one = np.zeros(known.shape, np.float32), np.ones(known.shape, np.float32)
    plain = Usual(middle, lowest, highest, spread, known, nought, one)
    differs = np.stack([plain.difference(sample) for sample in samples])
    # Things in front only add to the difference: the face's own is told by the lower part.
    low, base = np.quantile(differs, [0.15, 0.4], axis=0).astype(np.float32)
    deviation = _NORMAL * (base - low)
    return replace(
        plain, base=base, limit=np.maximum(_CLEAR, _OFTEN * deviation).astype(np.float32)
    )


def refined(likely: Array32, picture: Pixels, face: Array32) -> Array32:
    """What lies before a face, (h, w) 0..1, told from the face by its colours and brought to the picture's edges.

    likely: (h, w) 0..1, where it probably is.  picture: (h, w, 3) uint8 or uint16.  face: (h, w) 0..1, where to look.
    """
    seen = to_uint8(picture)
    lab = cv2.GaussianBlur(cv2.cvtColor(seen, cv2.COLOR_RGB2LAB), (0, 0), 0.8).astype(np.int32)
    bins = [
        np.clip((lab[..., i] - low) // width, 0, _BINS - 1)
        for i, (low, width) in enumerate(((0, 10), (88, 3), (88, 3)))
    ]
    where = np.ravel((bins[0] * _BINS + bins[1]) * _BINS + bins[2])
    there = face > 0.5
    guide, found = seen.astype(np.float32) / np.float32(255), likely
    for _ in range(2):  # the second time with colours that are better known
        own = [
            _colours(where, np.where(there, np.clip((sign * found - low) / (1 - _SEED), 0, 1), 0))
            for sign, low in ((1, _SEED), (-1, -0.25 * (1 - _SEED)))
        ]
        if own[0] is None or own[1] is None:
            return np.where(there, np.minimum(found, likely), 0).astype(np.float32)
        evidence = np.clip(np.log(own[0] / own[1]), -_EVIDENCE, _EVIDENCE)[where].reshape(
            likely.shape
        )
        odds = np.log((found + 0.02) / (1.02 - found)) + 0.8 * evidence
        said = np.where(there, 1 / (1 + np.exp(-odds)), 0).astype(np.float32)
        now = np.clip(guided(guide, said, _GUIDE, _SMOOTH), 0, 1)
        found = np.asarray(0.5 * (found + now), np.float32)
    return np.where(there, now, 0).astype(np.float32)


def _colours(where: npt.NDArray[Any], weight: Array) -> Array | None:
    """How often each colour is seen, (_BINS^3,), a little blurred; None for too few pixels."""
    count = np.bincount(where, np.ravel(weight), _BINS**3).reshape(_BINS, _BINS, _BINS)
    if float(count.sum()) < _FEW:
        return None
    for axis in range(3):
        count = 0.5 * count + 0.25 * (np.roll(count, 1, axis) + np.roll(count, -1, axis))
    return np.asarray(np.ravel(count) / float(count.sum()) + 1e-4)


def _looks(texture: Image) -> Array32:
    """(h, w, 3) uint8 as log brightness, log red over green, log blue over green."""
    r, g, b = (
        np.log(channel.astype(np.float32) + np.float32(_DARK)) for channel in cv2.split(texture)
    )
    return np.stack([(r + g + b) / 3, r - g, b - g], -1)


def _median(values: Array32, shows: Flags) -> Array32:
    """Over the first axis, of what shows; of all where nothing does."""
    hidden = np.where(shows[..., None], values, np.nan)
    hidden[:, ~shows.any(0)] = values[:, ~shows.any(0)]
    return np.asarray(np.nanmedian(hidden, axis=0), np.float32)


def _plane(values: Array32, weight: Array32) -> Array32:
    """The plane, for each channel, that fits values (h, w, 3) best under weights (h, w): light from a side."""
    height, width = weight.shape
    y, x = np.mgrid[:height, :width].astype(np.float64) / max(height, width) - 0.5
    base = np.stack([np.ones(weight.size), x.ravel(), y.ravel()], -1)
    weighted = base * weight.reshape(-1, 1)
    normal = weighted.T @ base + 1e-3 * np.eye(3) * max(float(weight.sum()), 1e-6)
    return np.asarray(
        (base @ np.linalg.solve(normal, weighted.T @ values.reshape(-1, 3))).reshape(values.shape),
        np.float32,
    )


def _mean(values: Array32, there: Flags, sigma: float) -> Array32:
    weight = cv2.GaussianBlur(there.astype(np.float32), (0, 0), sigma)
    return np.asarray(
        cv2.GaussianBlur(np.where(there, values, 0).astype(np.float32), (0, 0), sigma)
        / np.maximum(weight, 1e-3),
        np.float32,
    )


def _without_spots(mask: Array32) -> Array32:
    """The mask without spots that are too small to be a thing."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    small = stats[:, cv2.CC_STAT_AREA] < _LEAST * mask.size
    small[0] = count == 1  # the background itself, when there is nothing else
    dropped = (
        cv2.dilate(small[labels].astype(np.uint8) * (labels > 0), np.ones((3, 3), np.uint8)) > 0
    )
    faint = (labels == 0) & (
        cv2.dilate((~small[labels] & (labels > 0)).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    )
    return np.where(dropped | faint, 0, mask).astype(np.float32)


def _cross(a: Array, b: Array) -> Array:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
