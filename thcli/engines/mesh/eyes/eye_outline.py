"""The outline of drawn eyes: the ellipse at which white and lashes end and skin begins.

Skin is known from the face's own: an eye is paler or much darker. What an eye encloses, as an iris
of the skin's colour, belongs to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep, to_lab
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.opening import Opening
from thcli.engines.mesh.sampling import cautious_mean, remap

SAMPLES = 64  # of a view of an eye, per width
VIEW_U, VIEW_V = (-0.9, 1.9), (-1.3, 1.3)  # its reach in widths
COARSER = 1.5  # pixels per sample from which a picture is smoothed before
SKIN = (168, 6, 9, 151, 50, 280, 205, 425, 187, 411)  # points on the nose, forehead and cheeks
SKIN_REACH = 25.0  # Lab units from the skin's median, beyond which a point shows something else
LAB_WEIGHTS = (0.6, 1.0, 1.0)  # of its differences: light changes over a face
PALE_GAIN, DARK_LIGHT, DARK_GAIN = 1.3, 0.6, 1.5  # of the white of an eye, and of lashes
SOFT = 1.2  # samples, deviation of the likeness
EYE_RANGE = (0.1, 0.45)  # likeness to an eye: skin, and an eye
LARGEST_HOLE = 0.9  # square widths of what is enclosed by an eye and belongs to it: its iris
PALE_IRIS = 0.35  # likeness to the white from which a pixel is no iris

ANGLES = np.linspace(0, 2 * np.pi, 48, endpoint=False)
# Ellipses that are compared first: half axes along and across in widths, tilt in radians; centres
AXES = tuple(
    shape
    for shape in itertools.product(
        np.linspace(0.45, 1.05, 6), np.linspace(0.3, 1.05, 7), (-0.3, 0.0, 0.3)
    )
    if shape[1] <= 1.25 * shape[0]
)
CENTRES = tuple(itertools.product(np.linspace(0.05, 0.95, 9), np.linspace(-0.3, 0.45, 7)))
KEPT = 8  # of them, from which the best is sought
STEPS = np.array([0.06, 0.06, 0.06, 0.06, 0.06, 0.06, 0.12])  # of the first search
OWN_STEPS = np.array([0.06, 0.06, 0.06, 0.06, 0.1])  # of the one for each eye by itself
SHRINK = 0.75  # of the steps from round to round
RIMS = (0.11, 0.09, 0.07, 0.05, 0.05, 0.04, 0.04)  # widths to both sides that are compared
GROWN = np.arange(1.0, 1.16, 0.02)  # sizes of an ellipse up to which an eye's lower rim may lie
IRIS_RADII = np.linspace(0.2, 0.8, 13)  # over the outline's smaller half axis
IRIS_RIM = (0.85, 1.15)  # radii inside and outside of its rim that are compared
LEAST_SEEN = 12  # of the ANGLES of an iris; fewer count as that many
IRIS_OFFSETS = tuple(itertools.product(np.linspace(-0.3, 0.3, 7), repeat=2))  # in half axes

Mask = npt.NDArray[np.bool_]
_MIRROR, _OTHER_SIDE = np.array([-1.0, 1, 1, 1, -1]), np.array([1.0, 0, 0, 0, 0])


@dataclass(frozen=True, slots=True)
class EyeView:
    """An eye in coordinates of its landmarks' opening.

    opening: of the landmarks.  u, v: (h, w).  likeness: (h, w) to an eye, 0 for skin to 1.
    white: (h, w) likeness to the white of an eye.  is_within: (h, w) between the landmarks.
    """

    opening: Opening
    u: Array32
    v: Array32
    likeness: Array32
    white: Array32
    is_within: Mask

    @staticmethod
    def of(image: Image, mesh: Array, ring: npt.NDArray[np.int32]) -> EyeView:
        """Read the eye of a ring of landmarks in an image (H, W, 3) uint8."""
        eye = opening.fit_opening(mesh, ring)
        u, v = np.meshgrid(
            np.arange(*VIEW_U, 1 / SAMPLES, dtype=np.float32),
            np.arange(*VIEW_V, 1 / SAMPLES, dtype=np.float32),
        )
        coarser = eye.width / SAMPLES
        smooth = image
        if coarser > COARSER:
            smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), coarser / 2), np.uint8)
        colours = to_lab(remap(smooth, opening.to_pixels(eye, u, v)))
        skin = _skin_colours(image, mesh, eye.width)
        hue = np.median(skin[:, 1:], 0)
        hue /= max(float(np.linalg.norm(hue)), 1e-3)
        skin_light = max(float(np.median(skin[:, 0])), 1.0)
        saturation = float(np.median(skin[:, 1:] @ hue / np.maximum(skin[:, 0], 5)))
        light = colours[..., 0]
        pale = 1 - colours[..., 1:] @ hue / np.maximum(light, 8) / max(saturation, 0.08)
        dark = 1 - light / (DARK_LIGHT * skin_light)
        likeness = np.clip(np.maximum(PALE_GAIN * pale, DARK_GAIN * dark), 0, 1)
        likeness = np.asarray(cv2.GaussianBlur(likeness.astype(np.float32), (0, 0), SOFT))
        upper, lower = eye.rims(u)
        within = (v > upper) & (v < lower) & (u > 0) & (u < 1)
        is_eye = smoothstep(*EYE_RANGE, _fill_holes(likeness))
        white = np.clip(pale, 0, 1) * smoothstep(DARK_LIGHT, 1, light / skin_light)
        return EyeView(eye, u, v, np.asarray(is_eye, np.float32), white.astype(np.float32), within)

    def look(self, values: Array32, u: Array, v: Array) -> Array32:
        """Return values (h, w) of the view at u, v."""
        rows = np.clip(np.round((v - VIEW_V[0]) * SAMPLES), 0, values.shape[0] - 1).astype(int)
        columns = np.clip(np.round((u - VIEW_U[0]) * SAMPLES), 0, values.shape[1] - 1).astype(int)
        return np.asarray(values[rows, columns])

    def contrast(self, ellipses: Array, rim: float = RIMS[-1]) -> Array:
        """Return how clearly an eye ends at each ellipse, at most 1.

        Half of that is how clearly it ends along the worse half.

        Args:
            ellipses: (N, 5), see `outline_points`.
            rim: widths to its inside and outside that are compared.
        """
        size = rim / np.sqrt(ellipses[:, 2] * ellipses[:, 3])
        inside = self.look(self.likeness, *outline_points(ellipses, 1 - size))
        outside = self.look(self.likeness, *outline_points(ellipses, 1 + size))
        return cautious_mean(inside - outside)

    def inside(self, ellipse: Array) -> Mask:
        """Return which samples lie in an ellipse."""
        u, v, along, across, tilt = ellipse
        x, y = self.u - u, self.v - v
        cosine, sine = np.cos(tilt), np.sin(tilt)
        far = ((x * cosine + y * sine) / along) ** 2 + ((y * cosine - x * sine) / across) ** 2
        return np.asarray(far < 1)

    def reaches_below(self, ellipse: Array) -> float:
        """Return how far an ellipse reaches below the landmarks, in widths."""
        _, v = outline_points(ellipse[None])
        return float(v.max()) - float(self.opening.lower.max())

    def area_ratio(self, ellipse: Array) -> float:
        """Return the area of an ellipse over that between the landmarks."""
        return float(self.inside(ellipse).sum() / max(int(self.is_within.sum()), 1))

    def white_share(self, ellipse: Array) -> float:
        """Return the area of the white between landmarks and ellipse over that of the former."""
        beside = self.white[self.inside(ellipse) & ~self.is_within] > PALE_IRIS
        return float(beside.sum() / max(int(self.is_within.sum()), 1))

    def rim(self, ellipse: Array, angles: Array) -> Array:
        """Return u, v (K, 2) of an eye's rim at angles (K,) of an ellipse, see `outline_points`.

        Below, it is moved out to where the eye ends, so that no white is left under shut lids.
        """
        grown_ellipses = np.tile(ellipse, (len(GROWN), 1))
        rims = np.stack(outline_points(grown_ellipses, GROWN, angles), -1)
        is_eye = self.look(self.likeness, rims[..., 0], rims[..., 1]) > 0.5
        grown = np.logical_and.accumulate(is_eye).sum(0).clip(0, len(GROWN) - 1)
        above = np.sin(angles) < -1e-6
        return np.asarray(rims[np.where(above, 0, grown), np.arange(len(angles))])

    def find_iris(self, ellipse: Array) -> Array:
        """Return u, v and the radius, in widths, of the circle that the white surrounds best."""
        radii, offsets = IRIS_RADII * ellipse[3], np.array(IRIS_OFFSETS) * ellipse[3]
        circles = np.array(
            [[*(ellipse[:2] + by), r, r, 0.0] for by, r in itertools.product(offsets, radii)]
        )
        seen = np.where(self.inside(ellipse), self.white, -1).astype(np.float32)
        inner, outer = (self.look(seen, *outline_points(circles, k)) for k in IRIS_RIM)
        is_seen = (inner >= 0) & (outer >= 0)
        steps = np.where(is_seen, outer - inner, 0).sum(1)
        steps = steps / np.maximum(is_seen.sum(1), LEAST_SEEN)
        return circles[int(steps.argmax()), :3]


def _skin_colours(image: Image, mesh: Array, width: float) -> Array32:
    """Return colours (N, 3) Lab of a face's skin; width: of an eye in pixels."""
    smooth = cv2.GaussianBlur(image, (0, 0), max(0.06 * width, 0.5))
    places = mesh[None, SKIN, :2].astype(np.float32)
    colours = to_lab(remap(np.asarray(smooth, np.uint8), places))[0]
    away = np.linalg.norm((colours - np.median(colours, 0)) * LAB_WEIGHTS, axis=1)
    is_skin = away < SKIN_REACH
    return np.asarray(colours[is_skin] if is_skin.sum() > 2 else colours)


def _fill_holes(likeness: Array32) -> Array32:
    """Raise what is enclosed by a higher likeness to it: an iris inside the white."""
    filled, largest = likeness.copy(), LARGEST_HOLE * SAMPLES**2
    for level in np.arange(0.1, 1, 0.05):
        count, labels = cv2.connectedComponents((filled < level).astype(np.uint8), connectivity=4)
        is_open = np.bincount(labels.ravel(), minlength=count) > largest
        border = [labels[0], labels[-1], labels[:, 0], labels[:, -1]]
        is_open[np.concatenate(border)] = True
        is_open[0] = True
        filled = np.where(is_open[labels], filled, np.maximum(filled, level)).astype(np.float32)
    return filled


def outline_points(
    ellipses: Array, scale: Array | float = 1.0, angles: Array = ANGLES
) -> tuple[Array, Array]:
    """Return u and v, each (N, K), along ellipses.

    Args:
        ellipses: (N, 5) u and v of the centre, half axes along and across, tilt in radians.
        scale: (N,) by which they are larger.
        angles: (K,) radians, from the half axis along, downwards.
    """
    u, v, along, across, tilt = (ellipses[:, i, None] for i in range(5))
    size = np.broadcast_to(scale, len(ellipses))[:, None]
    x, y = along * size * np.cos(angles), across * size * np.sin(angles)
    return u + x * np.cos(tilt) - y * np.sin(tilt), v + x * np.sin(tilt) + y * np.cos(tilt)


def fit_ellipses(views: list[EyeView]) -> list[Array]:
    """Fit an ellipse (5,) to each eye: of one shape, mirrored, then each a little by itself."""
    places = np.array([[(*centre, *axes) for centre in CENTRES] for axes in AXES])
    found = [
        view.contrast(side.reshape(-1, 5), RIMS[0]).reshape(side.shape[:2])
        for view, side in zip(views, (places, places * _MIRROR + _OTHER_SIDE), strict=True)
    ]

    def sides(both: Array) -> tuple[Array, Array]:
        return both[:, [0, 1, 4, 5, 6]], both[:, [2, 3, 4, 5, 6]] * _MIRROR + _OTHER_SIDE

    def of_both(both: Array, rim: float) -> Array:
        left, right = sides(both)
        return views[0].contrast(left, rim) + views[1].contrast(right, rim)

    steps = STEPS * _moves(7, [(0, 4), (1, 5), (2, 4), (3, 5)])
    best, most = np.zeros((1, 7)), -np.inf
    for shape in np.argsort(-(found[0].max(1) + found[1].max(1)))[:KEPT]:
        first, second = (places[shape, side[shape].argmax()] for side in found)
        start = np.array([[*first[:2], *second[:2], *first[2:]]])
        fitted, contrast = _climb(of_both, start, steps, RIMS)
        if contrast > most:
            best, most = fitted, contrast
    own = OWN_STEPS * _moves(5, [(0, 2), (1, 3)])
    return [
        _climb(view.contrast, side, own, RIMS[2:])[0][0]
        for view, side in zip(views, sides(best), strict=True)
    ]


def _moves(count: int, pairs: list[tuple[int, int]]) -> Array:
    """Return steps (N, count) along each value, and along both of pairs, to either side."""
    one = np.eye(count)
    both = [a * one[i] + b * one[j] for i, j in pairs for a in (-1, 1) for b in (-1, 1)]
    return np.concatenate([one, -one, both])


def _climb(
    value: Callable[[Array, float], Array], start: Array, moves: Array, rims: tuple[float, ...]
) -> tuple[Array, float]:
    """Follow moves that raise a value, ever smaller ones; return the place (1, n) and its value."""
    kept = start
    for rim in rims:
        tried = np.concatenate([kept, *(kept + move for move in moves)])
        values = value(tried, rim)
        kept, moves = tried[np.argsort(-values, kind="stable")[:4]], moves * SHRINK
    return kept[:1], float(values.max())
