"""Hair of a beard that stands out beside the jaw, before the background.

The atlas ends at the outline of the face. A dark line stays there between shaved skin and a lighter
background: it gets the colour of the skin beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.editors.atlas import tone
from thcli.editors.atlas.removers.measured import BESIDE
from thcli.editors.atlas.sampling import unroll_plane
from thcli.engines.mesh.sampling import resize
from thcli.faces.landmarks.topology import EYE_OUTER, OVAL
from thcli.faces.parsing.classes import group_probability

_ACROSS, _DOWN = 160, 56  # samples along the jaw, and across it
_REACH = (-0.22, 0.32)  # of these across, distances of the outer eye corners; inside is negative
_SKIN, _LINE, _AIR = (-0.18, -0.07), (-0.06, 0.1), (0.2, 0.31)  # of skin, hair and background
_END = (0.17, 0.24)  # hair ends before
_NEAR = 7  # samples along the jaw on both sides of what does not end
_SIDES = 1.9  # radians from the chin, seen from the middle of the face, up to the ears
_SMOOTH = 4.0  # samples along the jaw: softness of what is measured
# Soft logarithms: by which removal lightens the skin beside a beard's edge, and by which the line
# is darker than skin and background. Nothing changes below the first, all above the second.
_SHAVED, _DARKER = (0.03, 0.12), (0.2, 0.45)
_SHADE = 0.06  # soft logarithms by which an outline is darker than the skin beside it


@dataclass(frozen=True, slots=True)
class _Outline:
    """Jaw from ear to ear.

    points, outward: (_ACROSS, 2) pixels, and unit vectors. eyes: distance of the eye corners.
    """

    points: Array
    outward: Array
    eyes: float


def take_off_fringe(
    before: Image, after: Image, mesh: Array, planes: Array32
) -> tuple[Image, Array32 | None]:
    """Return a crop without the hair beside the jaw, and where that was.

    Args:
        before: (S, S, 3) with the beard.
        after: (S, S, 3) without it.
        mesh: (468, 3), pixels of the crop.
        planes: (19, S', S') probabilities of the regions.

    Returns:
        The crop, and (S, S) 0..1, where it was changed; None where nothing was.
    """
    outline = _outline(mesh)
    distance = np.linspace(*_REACH, _DOWN) * outline.eyes
    at = (outline.points + distance[:, None, None] * outline.outward).astype(np.float32)
    strips = [
        cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for image in (before, after)
    ]
    inside = (at > 0).all((0, 2)) & (at < len(after) - 1).all((0, 2))
    head = unroll_plane(np.ascontiguousarray(group_probability(planes, BESIDE)), at, len(after))
    air = 1 - np.clip(2 * head[_rows(_AIR)].mean(0), 0, 1)  # a throat has a natural shade
    bare = np.clip(2 * head[_rows(_SKIN)].min(0) - 1, 0, 1)  # else a hand covers the jaw
    air *= cv2.erode(bare, np.ones(_NEAR)).ravel()
    colours = [strip.astype(np.float32) / np.float32(255) for strip in strips]
    change, share = _recolour(colours[0], colours[1], np.where(inside, air, 0))
    if share.max() < 0.05:
        return after, None
    return _paste(after, outline, change, share)


def _outline(mesh: Array) -> _Outline:
    ring = mesh[OVAL, :2].astype(np.float64)
    across = mesh[EYE_OUTER[1], :2] - mesh[EYE_OUTER[0], :2]
    eyes = float(np.linalg.norm(across))
    middle = ring.mean(0)
    own = ring - middle
    right = across / eyes
    angle = np.arctan2(own @ right, own @ np.array([-right[1], right[0]]))
    jaw = ring[np.abs(angle) < _SIDES][np.argsort(angle[np.abs(angle) < _SIDES])]
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(jaw, axis=0), axis=1))]
    even = np.linspace(0, length[-1], _ACROSS)
    points = np.stack([np.interp(even, length, jaw[:, axis]) for axis in (0, 1)], 1)
    points = np.stack([_along(points[:, axis], odd=True) for axis in (0, 1)], 1)
    tangent = np.gradient(points, axis=0)
    outward = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True) + 1e-9
    if ((points - middle) * outward).sum() < 0:
        outward = -outward
    return _Outline(points, outward, eyes)


def _along(values: Array, *, odd: bool = False) -> Array:
    """Smooth values (_ACROSS, ...) along the jaw."""
    pad = round(4 * _SMOOTH)
    widths = [(pad, pad), *[(0, 0)] * (values.ndim - 1)]
    kind = "odd" if odd else "even"
    padded = np.pad(values, widths, mode="reflect", reflect_type=kind)  # type: ignore[call-overload]
    flat = padded.reshape(len(padded), -1)
    soft = cv2.GaussianBlur(flat, (1, 2 * pad + 1), sigmaX=1e-3, sigmaY=_SMOOTH)
    return np.asarray(soft.reshape(padded.shape)[pad:-pad])


def _rows(ends: tuple[float, float]) -> slice:
    """Return the rows of a strip between two distances."""
    low, high = (round((end - _REACH[0]) / (_REACH[1] - _REACH[0]) * (_DOWN - 1)) for end in ends)
    return slice(low, high + 1)


def _recolour(before: Array32, after: Array32, allowed: Array) -> tuple[Array32, Array32]:
    """Return the change of colours (_DOWN, _ACROSS, 3) and where it is, (_DOWN, _ACROSS) 0..1.

    Args:
        before: strip with the beard, 0..1.
        after: strip without it.
        allowed: (_ACROSS,) 0..1, where the line may change.
    """
    luma = after @ tone.LUMA
    skin = _along(np.median(after[_rows(_SKIN)], 0))
    air = _along(np.median(luma[_rows(_AIR)], 0))
    old, new = (
        np.log(one[_rows(_SKIN)] @ tone.LUMA + tone.FLOOR).mean(0) for one in (before, after)
    )
    line = luma[_rows(_LINE)]
    darkest = line.argmin(0) + _rows(_LINE).start
    hair = np.take_along_axis(after, darkest[None, :, None], 0)[0]
    hair_luma, skin_luma = _along(line.min(0)), skin @ tone.LUMA
    lightest = np.minimum(skin_luma, air)
    darker = np.log((lightest + tone.FLOOR) / (hair_luma + tone.FLOOR))
    share = smoothstep(*_SHAVED, _along(new - old)) * smoothstep(*_DARKER, darker)
    row = np.arange(_DOWN)[:, None]
    beside = np.where(row < darkest, skin_luma, air)
    alpha = np.clip((beside - luma) / np.maximum(beside - hair_luma, 0.02), 0, 1)
    # The line alone: from the darkest sample on, no further than where it ends.
    for step, rows in ((-1, range(_DOWN - 2, -1, -1)), (1, range(1, _DOWN))):
        for k in rows:
            there = (k < darkest) if step < 0 else (k > darkest)
            alpha[k] = np.where(there, np.minimum(alpha[k], alpha[k - step]), alpha[k])
    ends = 1 - np.clip(2 * alpha[_rows(_END)].max(0), 0, 1)  # what goes on is a coat or a wall
    share = np.minimum(share * allowed, cv2.erode(ends, np.ones(_NEAR)).ravel())
    alpha = (alpha * _along(share)).astype(np.float32)
    wanted = skin * np.float32(np.exp(-_SHADE)) - _along(hair)
    return (alpha[..., None] * wanted).astype(np.float32), alpha


def _paste(
    after: Image, outline: _Outline, change: Array32, share: Array32
) -> tuple[Image, Array32]:
    """Add the change of a strip to a crop. Returns it and where it changed, (S, S) 0..1."""
    size = len(after)
    reach = max(abs(end) for end in _REACH) * outline.eyes
    low = np.clip(np.floor(outline.points.min(0) - reach), 0, size - 2).astype(int)
    high = np.clip(np.ceil(outline.points.max(0) + reach), low + 2, size).astype(int)
    y, x = np.mgrid[low[1] : high[1] : 2, low[0] : high[0] : 2].astype(np.float32)
    places = np.stack([x.ravel(), y.ravel()], 1)
    points, outward = outline.points.astype(np.float32), outline.outward.astype(np.float32)
    squares = (places**2).sum(1)[:, None] - 2 * places @ points.T + (points**2).sum(1)
    nearest = squares.argmin(1)
    own, away = places - points[nearest], outward[nearest]
    spacing = np.linalg.norm(np.gradient(points, axis=0), axis=1)[nearest]
    tangent = np.gradient(points, axis=0)[nearest] / spacing[:, None]
    column = nearest + (own * tangent).sum(1) / spacing
    depth = (own * away).sum(1) / outline.eyes
    row = (depth - _REACH[0]) / (_REACH[1] - _REACH[0]) * (_DOWN - 1)
    maps = [
        resize(one.reshape(y.shape).astype(np.float32), (high[0] - low[0], high[1] - low[1]))
        for one in (column, row)
    ]
    planes = np.concatenate([change, share[..., None]], -1)
    added = cv2.remap(planes, maps[0], maps[1], cv2.INTER_LINEAR, borderValue=0)
    out, beside = after.copy(), np.zeros((size, size), np.float32)
    window = (slice(low[1], high[1]), slice(low[0], high[0]))
    colours = after[window].astype(np.float32) + added[..., :3] * 255
    out[window] = np.clip(colours + 0.5, 0, 255).astype(np.uint8)
    beside[window] = np.clip(added[..., 3] * 4, 0, 1)
    return out, beside
