"""What is flesh, hair, cloth and background around a face, from where it lies and what colours it has.

A face's mesh says where skin is for sure and where hair, neck and cloth may be; a matte says where the person is. Histograms of
colour are gathered with these as first weights, then pixels and histograms are decided in turn a few times, as GrabCut does
(Rother, Kolmogorov, Blake 2004) but softly: everything is smooth in the mesh's points and the matte, so that a clip does not
flicker. Hair of the skin's own colour, hats and hands are beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from thcli.core.types import Array32, Image
from thcli.faces.compositing.guided_filter import guided
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing.polygon import distances

SIDE = 128  # samples across the crop
BACKGROUND, FLESH, HAIR, CLOTH = range(4)
_FOREHEAD, _CHIN_TIP = 10, 152  # points of the mesh
_BINS = (
    16,
    26,
    26,
)  # of lightness (0..100), and of the two opponent colours (-40..60, where skin and hair lie)
_ROUNDS = 3
_TRUST = 1.4  # of colours against places: neighbouring samples are not independent, yet skin's colours are very sure
_RADIUS, _SMOOTHNESS = 8, 1e-3  # of the guided filter that ends it
_LEAST = 0.03  # a matte's own doubt
_NEARBY = 3.0  # samples: from where a hidden one takes its colour's evidence
_BLUR = 0.9  # bins: how alike colours of one part are


@dataclass(frozen=True, slots=True)
class Around:
    """Places in a face's own frame, (SIDE, SIDE) float32 each, in face heights (forehead to chin).

    inside: distance into the face's outline, negative outside.  down: 0 at the forehead's point, 1 at the chin's.  out: 0 on
    the middle line, 1 at the outline's widest place.  right: whether it is the face's half on the right of an upright picture.
    """

    inside: Array32
    down: Array32
    out: Array32
    right: Array32


def around(mesh: Array32, crop_size: int) -> Around:
    """The places of a crop; mesh (468, 3) in its pixels."""
    points = (mesh[:, :2] + np.float32(0.5)) * np.float32(SIDE / crop_size) - np.float32(0.5)
    top, chin = points[_FOREHEAD], points[_CHIN_TIP]
    tall = max(float(np.linalg.norm(chin - top)), 1e-3)
    axis = (chin - top) / np.float32(tall)
    across = np.array(
        [axis[1], -axis[0]], np.float32
    )  # to the picture's right when the face is upright
    x, y = (a.astype(np.float32) for a in np.meshgrid(np.arange(SIDE), np.arange(SIDE)))
    down = ((x - top[0]) * axis[0] + (y - top[1]) * axis[1]) / tall
    aside = ((x - top[0]) * across[0] + (y - top[1]) * across[1]) / tall
    sides = (points[OVAL] - top) @ across / np.float32(tall)
    right = (aside > 0).astype(np.float32)
    out = np.where(
        aside > 0, aside / max(float(sides.max()), 1e-2), aside / min(float(sides.min()), -1e-2)
    )
    # A distance is smooth: half of the samples do.
    coarse = distances(
        (points[OVAL] + np.float32(0.5)) / 2 - np.float32(0.5), (SIDE // 2, SIDE // 2)
    )
    inside = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) * np.float32(2 / tall)
    return Around(np.asarray(inside, np.float32), down, out.astype(np.float32), right)


def divide(picture: Image, matte: Array32, hidden: Array32, place: Around) -> Array32:
    """(4, SIDE, SIDE) float32 probabilities of background, flesh, hair and cloth, sum 1.

    picture: (S, S, 3) RGB crop.  matte: (S, S) 0..1, how much each pixel is of a person.  hidden: (S, S) 0..1, where the colour
    tells nothing (eyes and brows are as dark as hair): what is around counts.
    """
    small = (_small(picture) / np.float32(255)).astype(np.float32)
    colours = _Colours(small, 1 - _small(hidden))
    places = _Places(place, _small(matte))
    weights = places.prior(None) ** 2
    weights /= weights.sum(0)
    for _ in range(_ROUNDS):
        score = np.log(places.prior(weights[HAIR]) + np.float32(1e-6)) + np.float32(
            _TRUST
        ) * colours.likelihood(weights)
        weights = np.exp(score - score.max(0))
        weights /= weights.sum(0)
    edges = np.clip(guided(small, weights, _RADIUS, _SMOOTHNESS), 1e-4, 1)
    return np.asarray(edges / edges.sum(0), np.float32)


class _Places:
    """What each place around a face is, before its colour is looked at."""

    def __init__(self, place: Around, person: Array32) -> None:
        d, t, o = place.inside, place.down, place.out
        self._place = place
        inner = _step(d, 0, 0.02)
        self._outer = outer = 1 - inner
        forehead = 0.45 * _step(t, -0.22, 0.05) * _step(-o, -0.95, 0.1) * _step(-t, -0.35, 0.1)
        neck = 0.8 * _step(-o, -0.95, 0.12) * _step(t, 0.7, 0.1) * _step(-t, -1.55, 0.12)
        ears = 0.3 * _step(t, 0.2, 0.05) * _step(-t, -0.8, 0.08) * _step(-o, -1.35, 0.06)
        self._flesh = inner * (1 - 0.35 * _step(-t, -0.3, 0.06) * _step(-d, -0.08, 0.02))
        self._flesh += outer * np.maximum(
            np.maximum(forehead, neck), np.maximum(ears, np.float32(0.02))
        )
        fringe = 0.35 * _step(-t, -0.45, 0.12) * _step(-d, -0.12, 0.04)
        temples = 0.1 * _step(-t, -0.75, 0.1) * _step(-d, -0.05, 0.02)
        self._hair = inner * (fringe + temples + 0.002) + outer * (
            0.8 * _step(-t, -0.55, 0.2) + 0.01
        )
        self._hanging = outer * (
            0.45 * _step(t, 0.55, 0.2) * _step(o, 0.75, 0.12) * _step(-t, -1.9, 0.3)
        )
        below, shoulders = (
            0.9 * _step(t, 1.18, 0.08),
            0.25 * _step(t, 0.95, 0.05) * _step(o, 1.2, 0.1),
        )
        self._cloth = outer * (below + shoulders) + 0.003
        self._there = np.maximum(
            np.clip(person, _LEAST, 1 - _LEAST), inner * np.float32(1 - _LEAST)
        )

    def prior(self, hair: Array32 | None) -> Array32:
        """(4, SIDE, SIDE) float32, sum 1. hair: what is known of it, if anything is."""
        hairy = self._hair + (
            self._hanging if hair is None else self._hanging * _long(self._place, hair)
        )
        share = self._there / (self._flesh + hairy + self._cloth)
        return np.stack(
            [1 - self._there, self._flesh * share, hairy * share, self._cloth * share]
        ).astype(np.float32)


def _long(place: Around, hair: Array32) -> Array32:
    """How much hair may hang below the chin, 0..1 on each side: only where there is some beside the cheek."""
    t, o = place.down, place.out
    band = (
        _step(t, 0.55, 0.03) * _step(-t, -0.95, 0.03) * _step(o, 0.95, 0.03) * _step(-o, -1.5, 0.05)
    )
    found = np.ones_like(t)
    for side in (place.right, 1 - place.right):
        share = float((hair * band * side).sum() / max(float((band * side).sum()), 1e-6))
        found = np.where(side > 0, np.float32(min(max(1.5 * share, 0.05), 1)), found)
    below = _step(t, 0.9, 0.05)
    return np.asarray(1 - below + below * cv2.GaussianBlur(found, (0, 0), 4), np.float32)


class _Colours:
    """The colours of a picture (SIDE, SIDE, 3) in 0..1, and how they are spread over its parts. telling: (SIDE, SIDE), where they count."""

    def __init__(self, picture: Array32, telling: Array32) -> None:
        lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)
        scaled = np.clip((lab + np.array([0, 40, 40], np.float32)) / np.float32(100), 0, 1)
        cells = (scaled * (np.array(_BINS, np.float32) - np.float32(1.001))).reshape(-1, 3)
        low = np.floor(cells).astype(np.intp)
        share = cells - low
        strides = np.array([_BINS[1] * _BINS[2], _BINS[2], 1])
        first = low @ strides
        # Every sample lies between eight bins, so that a slow change of light changes nothing suddenly.
        self._corners, self._shares = [], []
        for corner in np.ndindex(2, 2, 2):
            at = np.array(corner)
            self._corners.append(first + at @ strides)
            self._shares.append(np.where(at > 0, share, 1 - share).prod(1).astype(np.float32))
        self._telling = np.clip(telling, 0, 1).astype(np.float32)
        self._nearby = cv2.GaussianBlur(self._telling, (0, 0), _NEARBY) + np.float32(1e-3)

    def likelihood(self, weights: Array32) -> Array32:
        """(K, SIDE, SIDE): log likelihood of each sample's colour in each of K parts. weights: (K, SIDE, SIDE), who belongs to them."""
        out = np.empty_like(weights)
        count = int(np.prod(_BINS))
        for target, weight in zip(out, weights, strict=True):
            counted = (weight * self._telling).ravel()
            flat = np.zeros(count)
            for corner, share in zip(self._corners, self._shares, strict=True):
                flat += np.bincount(corner, counted * share, count)
            total = float(flat.sum())
            table = ndimage.gaussian_filter(
                flat.reshape(_BINS).astype(np.float32), _BLUR, mode="constant", truncate=3
            )
            table = ((table + 1e-4 * total / _BINS[0] ** 2 + 1e-3) / (total + 1)).ravel()
            found = sum(table[c] * s for c, s in zip(self._corners, self._shares, strict=True))
            logs = np.log(np.asarray(found, np.float32)).reshape(weight.shape)
            spread = cv2.GaussianBlur(logs * self._telling, (0, 0), _NEARBY) / self._nearby
            target[:] = cv2.GaussianBlur(spread + self._telling * (logs - spread), (0, 0), 0.7)
        return out


def _small(values: npt.NDArray[Any]) -> Array32:
    return np.asarray(cv2.resize(values, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)


def _step(x: Array32, middle: float, width: float) -> Array32:
    """A smooth step from 0 to 1 at `middle`."""
    return np.asarray(1 / (1 + np.exp(np.clip((middle - x) / width, -30, 30))), np.float32)
