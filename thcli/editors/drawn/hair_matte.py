"""Matte of the hair, strand by strand, from the parser's soft region and the image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.types import Array32
from thcli.editors.drawn.hair_guard import hair_of_head
from thcli.editors.drawn.scene import Scene
from thcli.faces.compositing.guided_filter import guided_filter
from thcli.faces.parsing.classes import EARS, SKIN, group_probability

# Guided filter where hair and surroundings have equal colours: radius at half size and epsilon.
_WINDOW, _EDGE = 5, 1.5e-3
_SURE_HAIR, _SURE_OTHER = (0.75, 0.95), (0.25, 0.05)  # probabilities of colour samples
_NEAR = 0.028  # of the crop's side: width of the windows that colours are averaged in
_BAND = 0.02  # of the crop's side: half width of the zone in which hair may be mixed
_DISTINCT = 28.0  # levels between hair and surroundings at which half of the colours' word counts
_ROOTS = 0.03  # of the crop's side: width of undyed roots at the skin
_LEAST = 1e-3
# Ranges that become 0..1, chosen on talk_suit_6s, talk_may_5s, talk_anchor_6s and lrwar_01855.
_FINE = (0.28, 0.88)  # filtered region
_INSIDE, _NEARBY = (0.6, 0.95), (0.03, 0.3)  # mean region nearby: least and largest cover
_SKIN_NEAR = (0.08, 0.5)  # mean skin nearby, at the roots
_KNOWN = 0.02  # share of sure pixels nearby whose colour counts fully


@dataclass(frozen=True, slots=True)
class HairMatte:
    """Hair of a crop.

    cover: (S, S) 0..1, share of hair in each pixel.
    roots: (S, S) 0..1, nearness of the skin, where hair grows out.
    difference: (S, S, 3) levels, colour of the hair less that of what is beside it.
    """

    cover: Array32
    roots: Array32
    difference: Array32


def hair_matte(scene: Scene) -> HairMatte:
    """Return the matte; its edges follow those of the image.

    Around the edge of the region a pixel is a mixture of the mean colours of sure hair and of sure
    surroundings nearby. Where these are alike the filtered region decides.
    """
    half = (scene.side // 2, scene.side // 2)
    image = cv2.resize(scene.crop, half, interpolation=cv2.INTER_AREA).astype(np.float32)
    found = hair_of_head(scene.crop, scene.mesh, scene.regions, scene.appearance.hanging)
    full = cv2.resize(found, (scene.side, scene.side), interpolation=cv2.INTER_LINEAR)
    plane = cv2.resize(full, half, interpolation=cv2.INTER_AREA)
    hair = np.asarray(plane, np.float32)
    filtered = guided_filter(image / np.float32(255), hair, _WINDOW, _EDGE)
    fine = _ramp(filtered, *_FINE)
    own, own_known = _near_colour(image, _ramp(hair, *_SURE_HAIR))
    other, other_known = _near_colour(image, _ramp(hair, *_SURE_OTHER))
    difference = own - other
    square = (difference**2).sum(-1)
    shares = ((image - other) * difference).sum(-1) / np.maximum(square, _LEAST)
    trust = square / (square + np.float32(_DISTINCT**2)) * own_known * other_known
    cover = fine + trust * (np.clip(shares, 0, 1) - fine)
    zone = _box(hair, _BAND)
    cover = np.clip(cover, _ramp(zone, *_INSIDE), _ramp(zone, *_NEARBY))
    skin = cv2.resize(
        group_probability(scene.regions, SKIN | EARS), half, interpolation=cv2.INTER_AREA
    )
    roots = _ramp(_box(np.asarray(skin, np.float32), _ROOTS), *_SKIN_NEAR)
    difference *= trust[..., None]
    maps = [_enlarge(part, scene.side) for part in (cover, roots, difference)]
    return HairMatte(*maps)


def _near_colour(image: Array32, weight: Array32) -> tuple[Array32, Array32]:
    """Return the weighted mean colour (h, w, 3) around each pixel, and 0..1 if there is one."""
    total = _box(weight, _NEAR)
    colour = _box(image * weight[..., None], _NEAR) / np.maximum(total, _LEAST)[..., None]
    known = np.clip(total / np.float32(_KNOWN), 0, 1)
    return np.asarray(colour, np.float32), np.asarray(known, np.float32)


def _box(plane: Array32, share: float) -> Array32:
    """Return a plane smoothed twice by a window, which has no corners any more."""
    side = 2 * round(share * plane.shape[0]) + 1
    return np.asarray(cv2.blur(cv2.blur(plane, (side, side)), (side, side)), np.float32)


def _ramp(plane: Array32, low: float, high: float) -> Array32:
    return np.asarray(np.clip((plane - np.float32(low)) / np.float32(high - low), 0, 1), np.float32)


def _enlarge(plane: Array32, side: int) -> Array32:
    out = cv2.resize(plane, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(out, np.float32)
