"""Segmentation of skin, hair, cloth and background around a face, from position and colour.

The mesh of a face gives where skin certainly is, and where hair, neck and cloth may be; a matte
gives the person. Colour histograms start with these as weights. Pixels and histograms are then
estimated in turn a few times, as in GrabCut (Rother, Kolmogorov, Blake 2004), but softly:
everything is smooth in the mesh's points and the matte, so a clip does not flicker. Hair of the
skin's own colour, hats and hands are not separated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from thcli.core.types import Array32, Image
from thcli.faces.compositing.guided_filter import guided_filter
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing.polygon import signed_distance

SIDE = 128  # samples across the crop
BACKGROUND, FLESH, HAIR, CLOTH = range(4)
_FOREHEAD, _CHIN_TIP = 10, 152  # points of the mesh
# Histogram bins of lightness (0..100), and of the two opponent colours (-40..60, which holds skin
# and hair).
_BINS = (16, 26, 26)
_ROUNDS = 3
# Of colour against position: neighbours are not independent, but skin colours are reliable.
_COLOUR_WEIGHT = 1.4
_RADIUS, _SMOOTHNESS = 8, 1e-3  # of the final guided filter
_MATTE_FLOOR = 0.03  # uncertainty of the matte
_HIDDEN_SIGMA = 3.0  # samples: range from which a hidden sample takes its colour evidence
_HISTOGRAM_SIGMA = 0.9  # bins: blur of the histograms


@dataclass(frozen=True, slots=True)
class FaceCoordinates:
    """Positions relative to a face, (SIDE, SIDE) float32 each, in face heights (forehead to chin).

    inside: distance into the face's outline, negative outside.  down: 0 at the forehead point, 1 at
    the chin.  out: 0 on the middle line, 1 at the widest place of the outline.  right: 1 in the
    half of the face on the right of an upright image.
    """

    inside: Array32
    down: Array32
    out: Array32
    right: Array32


def face_coordinates(mesh: Array32, crop_size: int) -> FaceCoordinates:
    """Compute the coordinates of a crop; mesh: (468, 3) in its pixels."""
    points = (mesh[:, :2] + np.float32(0.5)) * np.float32(SIDE / crop_size) - np.float32(0.5)
    top, chin = points[_FOREHEAD], points[_CHIN_TIP]
    face_height = max(float(np.linalg.norm(chin - top)), 1e-3)
    axis = (chin - top) / np.float32(face_height)
    # To the right of the image when the face is upright.
    across = np.array([axis[1], -axis[0]], np.float32)
    x, y = (a.astype(np.float32) for a in np.meshgrid(np.arange(SIDE), np.arange(SIDE)))
    down = ((x - top[0]) * axis[0] + (y - top[1]) * axis[1]) / face_height
    aside = ((x - top[0]) * across[0] + (y - top[1]) * across[1]) / face_height
    sides = (points[OVAL] - top) @ across / np.float32(face_height)
    right = (aside > 0).astype(np.float32)
    most, least = max(float(sides.max()), 1e-2), min(float(sides.min()), -1e-2)
    out = np.where(aside > 0, aside / most, aside / least)
    # A distance is smooth: half of the resolution suffices.
    outline = (points[OVAL] + np.float32(0.5)) / 2 - np.float32(0.5)
    coarse = signed_distance(outline, (SIDE // 2, SIDE // 2))
    inside = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) * np.float32(
        2 / face_height
    )
    return FaceCoordinates(np.asarray(inside, np.float32), down, out.astype(np.float32), right)


def segment_regions(
    image: Image, matte: Array32, hidden: Array32, coordinates: FaceCoordinates
) -> Array32:
    """Return probabilities of background, flesh, hair and cloth, (4, SIDE, SIDE) float32, sum 1.

    Args:
        image: (S, S, 3) RGB crop.
        matte: (S, S) 0..1, person probability.
        hidden: (S, S) 0..1, pixels whose colour carries no evidence (eyes and brows are as dark as
            hair); their surroundings count instead.
        coordinates: of the crop.
    """
    small = (_downsample(image) / np.float32(255)).astype(np.float32)
    colours = _ColourModel(small, 1 - _downsample(hidden))
    spatial = _SpatialPrior(coordinates, _downsample(matte))
    weights = spatial.prior(None) ** 2
    weights /= weights.sum(0)
    for _ in range(_ROUNDS):
        log_prior = np.log(spatial.prior(weights[HAIR]) + np.float32(1e-6))
        score = log_prior + np.float32(_COLOUR_WEIGHT) * colours.likelihood(weights)
        weights = np.exp(score - score.max(0))
        weights /= weights.sum(0)
    edges = np.clip(guided_filter(small, weights, _RADIUS, _SMOOTHNESS), 1e-4, 1)
    return np.asarray(edges / edges.sum(0), np.float32)


class _SpatialPrior:
    """Prior probability of each region by position, before colours."""

    def __init__(self, coordinates: FaceCoordinates, person: Array32) -> None:
        d, t, o = coordinates.inside, coordinates.down, coordinates.out
        self._coordinates = coordinates
        inner = _soft_step(d, 0, 0.02)
        self._outer = outer = 1 - inner
        forehead = (
            0.45
            * _soft_step(t, -0.22, 0.05)
            * _soft_step(-o, -0.95, 0.1)
            * _soft_step(-t, -0.35, 0.1)
        )
        neck = (
            0.8
            * _soft_step(-o, -0.95, 0.12)
            * _soft_step(t, 0.7, 0.1)
            * _soft_step(-t, -1.55, 0.12)
        )
        ears = (
            0.3
            * _soft_step(t, 0.2, 0.05)
            * _soft_step(-t, -0.8, 0.08)
            * _soft_step(-o, -1.35, 0.06)
        )
        self._flesh = inner * (1 - 0.35 * _soft_step(-t, -0.3, 0.06) * _soft_step(-d, -0.08, 0.02))
        bare = np.maximum(np.maximum(forehead, neck), np.maximum(ears, np.float32(0.02)))
        self._flesh += outer * bare
        fringe = 0.35 * _soft_step(-t, -0.45, 0.12) * _soft_step(-d, -0.12, 0.04)
        temples = 0.1 * _soft_step(-t, -0.75, 0.1) * _soft_step(-d, -0.05, 0.02)
        scalp = 0.8 * _soft_step(-t, -0.55, 0.2) + 0.01
        self._hair = inner * (fringe + temples + 0.002) + outer * scalp
        sides = 0.45 * _soft_step(t, 0.55, 0.2) * _soft_step(o, 0.75, 0.12)
        self._hanging = outer * (sides * _soft_step(-t, -1.9, 0.3))
        below = 0.9 * _soft_step(t, 1.18, 0.08)
        shoulders = 0.25 * _soft_step(t, 0.95, 0.05) * _soft_step(o, 1.2, 0.1)
        self._cloth = outer * (below + shoulders) + 0.003
        clipped = np.clip(person, _MATTE_FLOOR, 1 - _MATTE_FLOOR)
        self._person = np.maximum(clipped, inner * np.float32(1 - _MATTE_FLOOR))

    def prior(self, hair: Array32 | None) -> Array32:
        """Return the prior, (4, SIDE, SIDE) float32, sum 1; hair: its current estimate, or None."""
        hanging = self._hanging
        if hair is not None:
            hanging = hanging * _long_hair_prior(self._coordinates, hair)
        hairy = self._hair + hanging
        share = self._person / (self._flesh + hairy + self._cloth)
        parts = [1 - self._person, self._flesh * share, hairy * share, self._cloth * share]
        return np.stack(parts).astype(np.float32)


def _long_hair_prior(coordinates: FaceCoordinates, hair: Array32) -> Array32:
    """Return the prior of hair below the chin, 0..1, for each side.

    Long hair needs hair beside the cheek of that side.
    """
    t, o = coordinates.down, coordinates.out
    band = (
        _soft_step(t, 0.55, 0.03)
        * _soft_step(-t, -0.95, 0.03)
        * _soft_step(o, 0.95, 0.03)
        * _soft_step(-o, -1.5, 0.05)
    )
    found = np.ones_like(t)
    for side in (coordinates.right, 1 - coordinates.right):
        share = float((hair * band * side).sum() / max(float((band * side).sum()), 1e-6))
        found = np.where(side > 0, np.float32(min(max(1.5 * share, 0.05), 1)), found)
    below = _soft_step(t, 0.9, 0.05)
    return np.asarray(1 - below + below * cv2.GaussianBlur(found, (0, 0), 4), np.float32)


class _ColourModel:
    """Colour histograms of the parts of an image.

    image: (SIDE, SIDE, 3) in 0..1.  evidence: (SIDE, SIDE) 0..1, weight of each sample's colour.
    """

    def __init__(self, image: Array32, evidence: Array32) -> None:
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        scaled = np.clip((lab + np.array([0, 40, 40], np.float32)) / np.float32(100), 0, 1)
        cells = (scaled * (np.array(_BINS, np.float32) - np.float32(1.001))).reshape(-1, 3)
        low = np.floor(cells).astype(np.intp)
        share = cells - low
        strides = np.array([_BINS[1] * _BINS[2], _BINS[2], 1])
        first = low @ strides
        # Trilinear over eight bins, so a slow change of light has no steps.
        self._corners, self._shares = [], []
        for corner in np.ndindex(2, 2, 2):
            at = np.array(corner)
            self._corners.append(first + at @ strides)
            self._shares.append(np.where(at > 0, share, 1 - share).prod(1).astype(np.float32))
        self._evidence = np.clip(evidence, 0, 1).astype(np.float32)
        self._nearby = cv2.GaussianBlur(self._evidence, (0, 0), _HIDDEN_SIGMA) + np.float32(1e-3)

    def likelihood(self, weights: Array32) -> Array32:
        """Return the log likelihood of each sample's colour in each of K parts, (K, SIDE, SIDE).

        weights: (K, SIDE, SIDE), membership of the samples.
        """
        out = np.empty_like(weights)
        count = int(np.prod(_BINS))
        for target, weight in zip(out, weights, strict=True):
            counted = (weight * self._evidence).ravel()
            flat = np.zeros(count)
            for corner, share in zip(self._corners, self._shares, strict=True):
                flat += np.bincount(corner, counted * share, count)
            total = float(flat.sum())
            table = ndimage.gaussian_filter(
                flat.reshape(_BINS).astype(np.float32),
                _HISTOGRAM_SIGMA,
                mode="constant",
                truncate=3,
            )
            table = ((table + 1e-4 * total / _BINS[0] ** 2 + 1e-3) / (total + 1)).ravel()
            found = sum(table[c] * s for c, s in zip(self._corners, self._shares, strict=True))
            logs = np.log(np.asarray(found, np.float32)).reshape(weight.shape)
            spread = cv2.GaussianBlur(logs * self._evidence, (0, 0), _HIDDEN_SIGMA) / self._nearby
            target[:] = cv2.GaussianBlur(spread + self._evidence * (logs - spread), (0, 0), 0.7)
        return out


def _downsample(values: npt.NDArray[Any]) -> Array32:
    return np.asarray(cv2.resize(values, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)


def _soft_step(x: Array32, middle: float, width: float) -> Array32:
    """Return a smooth step from 0 to 1 at `middle`."""
    return np.asarray(1 / (1 + np.exp(np.clip((middle - x) / width, -30, 30))), np.float32)
