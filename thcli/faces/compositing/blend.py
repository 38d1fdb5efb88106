"""Blending of a changed crop into its frame: three modes, all linear in the change.

Linear, so that no change stays none, bit for bit. feather mixes the two along one wide ramp.
laplacian mixes each octave of detail along a ramp of its own width (Burt and Adelson 1983): colours
blend slowly, texture at once, so no two textures overlap. poisson takes the crop's gradients and
the frame's colours (Pérez et al. 2003): the difference of the two at the rim is spread inwards by a
membrane and subtracted; the rest is blended as in laplacian.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.options import Blend
from thcli.core.types import Array32

_OCTAVES = 5  # at most: ramps up to 2^5 pixels wide
_MIN_SIDE = 16  # of the smallest image of a pyramid, in pixels
_STEEPNESS = 4.0  # of the finest octave's ramp, against the mask's
# Of the mask: below, the change fades out smoothly, so that nothing shows beyond the mask.
_FADE = 0.25
_MEMBRANE_CELLS = 96  # across the membrane: it has no detail, and a cell's mean has less noise
_RIM_STIFFNESS = 4.0  # of the rim's hold on the membrane, against the tension between two cells
# Of the box's side: reach of the rim's difference inwards; further in, colours are the crop's own.
_REACH = 0.35
# Of full scale: pixels that differ more from the rim's median are mostly other content.
_TOLERANCE = 0.15
_SWEEPS = 6  # of relaxation at each level of the membrane
_FILL_SIGMA = 0.15  # of the box's side: first blur that extends the change under occlusions


def blend_change(
    change: Array32,
    mask: Array32,
    mode: Blend,
    top: float,
    occlusion_mask: Array32 | None = None,
) -> Array32:
    """Return the values to add to the frame to show `change` through `mask`.

    Args:
        change: (h, w, 3), the new image minus the frame.
        mask: (h, w) 0..1, soft.
        mode: feather, laplacian or poisson.
        top: full scale of `change`.
        occlusion_mask: (h, w) 0..1, objects in front (a hand) that stay the frame's. Their pixels
            count at no rim, and their edges are as sharp as this mask.

    Returns:
        (h, w, 3): 0 where the mask is 0, and where `occlusion_mask` is 1.
    """
    if occlusion_mask is not None:
        change = _fill_occluded(change, 1 - occlusion_mask)
    if mode == "feather":
        out = change * _to_three_channels(mask)
    elif mode == "laplacian":
        out = _laplacian(change, mask)
    else:
        out = _poisson(change, mask, top, occlusion_mask)
    if occlusion_mask is not None:
        out *= _to_three_channels(1 - occlusion_mask)
    return out


def _sharpen_mask(mask: Array32) -> Array32:
    """Return the mask with a ramp _STEEPNESS times as steep, around the same middle."""
    return np.asarray(np.clip((mask - 0.5) * _STEEPNESS + 0.5, 0, 1), np.float32)


def _outer_fade(mask: Array32) -> Array32:
    """Return 1, and a smooth fall to 0 at the outermost part of the mask."""
    return np.asarray(smoothstep(0, 1, mask * np.float32(1 / _FADE)), np.float32)


def _laplacian(change: Array32, mask: Array32) -> Array32:
    levels = 0
    while levels < _OCTAVES and min(mask.shape) >> (levels + 1) >= _MIN_SIDE:
        levels += 1
    octaves: list[Array32] = []
    octave_mask = _sharpen_mask(mask)
    current: Array32 = change
    for _ in range(levels):
        below = _as_float32(cv2.pyrDown(current))
        detail = current - _as_float32(cv2.pyrUp(below, dstsize=current.shape[1::-1]))
        detail *= _to_three_channels(octave_mask)
        octaves.append(detail)
        current, octave_mask = below, _as_float32(cv2.pyrDown(octave_mask))
    out = current * _to_three_channels(octave_mask)
    for octave in reversed(octaves):
        out = _as_float32(cv2.pyrUp(out, dstsize=octave.shape[1::-1]))
        out += octave
    out *= _to_three_channels(_outer_fade(mask))
    return out


def _as_float32(pixels: npt.NDArray[Any]) -> Array32:
    """Return OpenCV's result with the type that its stubs do not give."""
    return np.asarray(pixels, np.float32)


def _to_three_channels(mask: Array32) -> Array32:
    """Repeat a mask to three channels: numpy is slow at broadcasting over a last axis of 3."""
    return _as_float32(cv2.merge([mask] * 3))


def _poisson(change: Array32, mask: Array32, top: float, occlusion_mask: Array32 | None) -> Array32:
    height, width = mask.shape
    shrink = max(height, width) / _MEMBRANE_CELLS
    cells = (width, height)
    if shrink > 1:
        cells = (max(round(width / shrink), 2), max(round(height / shrink), 2))
    rim = np.asarray(np.where(mask <= 0.5, 4 * mask * (1 - mask), 0), np.float32)
    if occlusion_mask is not None:
        rim *= 1 - occlusion_mask
    hold = _as_float32(cv2.resize(rim, cells, interpolation=cv2.INTER_AREA))
    weighted = change * _to_three_channels(rim)
    values = _as_float32(cv2.resize(weighted, cells, interpolation=cv2.INTER_AREA))
    values /= _to_three_channels(np.maximum(hold, np.float32(1e-6)))
    if hold.max() > 0:
        # Other content (hair, a bright wall) must not light the face: Welsch's weights.
        median = np.median(values[hold > 0.3 * hold.max()], axis=0)
        off = np.abs(values - median).max(-1)
        hold *= np.exp(-((off / np.float32(_TOLERANCE * top)) ** 2))
    pull = 1.0 / (_REACH * max(cells)) ** 2
    hold *= np.float32(_RIM_STIFFNESS)
    membrane = solve_membrane(values * _to_three_channels(hold), hold, pull)
    spread = cv2.resize(membrane, (width, height), interpolation=cv2.INTER_LINEAR)
    return _laplacian(change - _as_float32(spread), mask)


def solve_membrane(force: Array32, hold: Array32, pull: float) -> Array32:
    """Solve (hold + pull) f - laplace f = force, free at the borders.

    Coarse to fine, relaxed at each level (cascadic multigrid, Bornemann and Deuflhard 1996).

    Args:
        force: (h, w, 3), the held values times `hold`.
        hold: (h, w), 0 where the membrane is free.
        pull: attraction to 0 everywhere, in 1 / cells^2.

    Returns:
        f, (h, w, 3).
    """
    height, width = hold.shape
    if min(height, width) >= 2 * _MIN_SIDE:
        half = (-(-width // 2), -(-height // 2))
        # A cell of twice the side: the same forces over four times the area, at equal tension.
        four = np.float32(4)
        coarse = solve_membrane(
            _as_float32(cv2.resize(force, half, interpolation=cv2.INTER_AREA)) * four,
            _as_float32(cv2.resize(hold, half, interpolation=cv2.INTER_AREA)) * four,
            4 * pull,
        )
        enlarged = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        membrane, sweeps = _as_float32(enlarged), _SWEEPS
    else:
        membrane, sweeps = np.zeros_like(force), 8 * _MIN_SIDE
    ring = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32)
    share = _to_three_channels(_as_float32(1 / (hold + np.float32(pull + 4))))
    # Damped Jacobi: errors that oscillate within a few cells shrink at least by half a sweep.
    for _ in range(sweeps):
        new = _as_float32(cv2.filter2D(membrane, -1, ring, borderType=cv2.BORDER_REPLICATE))
        new += force
        new *= share
        membrane = _as_float32(cv2.addWeighted(new, 0.8, membrane, 0.2, 0))
    return membrane


def _fill_occluded(change: Array32, known: Array32) -> Array32:
    """Extend the change from its surroundings to where `known`, (h, w) 0..1, is 0."""
    if float(known.min()) > 0.999:
        return change
    height, width = known.shape
    small = (max(width // 8, 1), max(height // 8, 1))
    weight = cv2.resize(known, small, interpolation=cv2.INTER_AREA)
    values = cv2.resize(change * _to_three_channels(known), small, interpolation=cv2.INTER_AREA)
    sigma = max(_FILL_SIGMA * max(small), 1.0)
    bottom = cv2.GaussianBlur(weight, (0, 0), sigma) + np.float32(1e-4)
    around = cv2.GaussianBlur(values, (0, 0), sigma) / bottom[..., None]
    under = cv2.resize(around, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(under + (change - under) * _to_three_channels(known), np.float32)
