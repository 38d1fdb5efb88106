"""How a changed crop meets the frame around it: three ways, all linear in the change, so that no change stays none, bit for bit.

feather mixes the two along a wide ramp.  laplacian mixes each octave of detail along a ramp of its own width (Burt and Adelson
1983): colours meet slowly, texture at once, so that no two textures lie over each other.  poisson takes the crop's gradients and the
frame's colours (Pérez et al. 2003): what the two differ by at the rim is carried inwards by a membrane and taken off; what is left
meets as in laplacian.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.options import Blend
from thcli.core.types import Array32

_OCTAVES = 5  # of detail, at most: ramps up to 2^5 pixels wide
_SMALLEST = 16  # pixels across the smallest picture of a pyramid
_SHARP = 4.0  # the finest octave's ramp is this many times steeper than the mask's
_GUARD = 0.25  # of the mask: below, what is left of the change ends smoothly, so that nothing shows beyond the mask
_CELLS = 96  # across the membrane: it has no detail, and a cell's mean has less noise than a pixel
_HOLD = 4.0  # how strongly the rim holds the membrane, against the pull between two cells
_REACH = 0.35  # of the box's side: as far as the membrane carries the rim's difference inwards; further in, colours are the crop's own
_TOLERANCE = (
    0.15  # of full scale: differences this far from the rim's common one are mostly other content
)
_SWEEPS = 6  # of relaxation at each level of the membrane
_FILL = (
    0.15  # of the box's side: width of the first blur that carries the change under what is kept
)


def blended(
    change: Array32, mask: Array32, how: Blend, top: float, keep: Array32 | None = None
) -> Array32:
    """What is added to the frame where `change` shall show through `mask`.

    change: (h, w, 3), the new picture less the frame, in units of which `top` are full scale.  mask: (h, w) 0..1, soft.  keep: (h, w) 0..1, things in front of it (a
    hand) that stay the frame's: what is theirs counts at no rim, and their edges are as sharp as `keep`.
    Returns (h, w, 3): 0 where the mask is 0, and where `keep` is 1.
    """
    if keep is not None:
        change = _filled(change, 1 - keep)
    if how == "feather":
        out = change * _three(mask)
    elif how == "laplacian":
        out = _laplacian(change, mask)
    else:
        out = _poisson(change, mask, top, keep)
    if keep is not None:
        out *= _three(1 - keep)
    return out


def _steep(mask: Array32) -> Array32:
    """The mask with a ramp _SHARP times as steep, around the same middle."""
    return np.asarray(np.clip((mask - 0.5) * _SHARP + 0.5, 0, 1), np.float32)


def _guard(mask: Array32) -> Array32:
    """1 but at the mask's outermost, where it falls to 0 as smoothly as the mask."""
    return np.asarray(smoothstep(0, 1, mask * np.float32(1 / _GUARD)), np.float32)


def _laplacian(change: Array32, mask: Array32) -> Array32:
    levels = 0
    while levels < _OCTAVES and min(mask.shape) >> (levels + 1) >= _SMALLEST:
        levels += 1
    parts: list[Array32] = []
    shows = _steep(mask)
    now: Array32 = change
    for _ in range(levels):
        below = _array(cv2.pyrDown(now))
        detail = now - _array(cv2.pyrUp(below, dstsize=now.shape[1::-1]))
        detail *= _three(shows)
        parts.append(detail)
        now, shows = below, _array(cv2.pyrDown(shows))
    out = now * _three(shows)
    for part in reversed(parts):
        out = _array(cv2.pyrUp(out, dstsize=part.shape[1::-1]))
        out += part
    out *= _three(_guard(mask))
    return out


def _array(pixels: npt.NDArray[Any]) -> Array32:
    """What OpenCV gave, which its types do not tell."""
    return np.asarray(pixels, np.float32)


def _three(mask: Array32) -> Array32:
    """A mask of three equal channels: numpy is slow at broadcasting over a last axis of 3."""
    return _array(cv2.merge([mask] * 3))


def _poisson(change: Array32, mask: Array32, top: float, keep: Array32 | None) -> Array32:
    height, width = mask.shape
    shrink = max(height, width) / _CELLS
    cells = (
        (width, height)
        if shrink <= 1
        else (max(round(width / shrink), 2), max(round(height / shrink), 2))
    )
    rim = np.asarray(np.where(mask <= 0.5, 4 * mask * (1 - mask), 0), np.float32)
    if keep is not None:
        rim *= 1 - keep
    hold = _array(cv2.resize(rim, cells, interpolation=cv2.INTER_AREA))
    seen = _array(cv2.resize(change * _three(rim), cells, interpolation=cv2.INTER_AREA))
    seen /= _three(np.maximum(hold, np.float32(1e-6)))
    if (
        hold.max() > 0
    ):  # hair, a bright wall: other content, which must not light the face (Welsch's weights)
        off = np.abs(seen - np.median(seen[hold > 0.3 * hold.max()], axis=0)).max(-1)
        hold *= np.exp(-((off / np.float32(_TOLERANCE * top)) ** 2))
    pull = 1.0 / (_REACH * max(cells)) ** 2
    hold *= np.float32(_HOLD)
    film = membrane(seen * _three(hold), hold, pull)
    return _laplacian(
        change - _array(cv2.resize(film, (width, height), interpolation=cv2.INTER_LINEAR)), mask
    )


def membrane(force: Array32, hold: Array32, pull: float) -> Array32:
    """The film f with  (hold + pull) f - laplace f = force,  free at the picture's borders.

    force: (h, w, 3), the held values times `hold`.  hold: (h, w), 0 where it floats.  pull: towards 0 everywhere, in 1 / cells^2.
    From coarse to fine, relaxed at each level (cascadic multigrid, Bornemann and Deuflhard 1996).
    """
    height, width = hold.shape
    if min(height, width) >= 2 * _SMALLEST:
        half = (-(-width // 2), -(-height // 2))
        # A cell of twice the side: the same forces over four times the area, against the same tension.
        coarse = membrane(
            _array(cv2.resize(force, half, interpolation=cv2.INTER_AREA)) * np.float32(4),
            _array(cv2.resize(hold, half, interpolation=cv2.INTER_AREA)) * np.float32(4),
            4 * pull,
        )
        film, sweeps = (
            _array(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)),
            _SWEEPS,
        )
    else:
        film, sweeps = np.zeros_like(force), 8 * _SMALLEST
    ring = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32)
    share = _three(_array(1 / (hold + np.float32(pull + 4))))
    for _ in range(
        sweeps
    ):  # Jacobi, damped: all errors that oscillate within a few cells shrink at least by half a sweep
        new = _array(cv2.filter2D(film, -1, ring, borderType=cv2.BORDER_REPLICATE))
        new += force
        new *= share
        film = _array(cv2.addWeighted(new, 0.8, film, 0.2, 0))
    return film


def _filled(change: Array32, known: Array32) -> Array32:
    """The change with the part that is not known carried in from around it."""
    if float(known.min()) > 0.999:
        return change
    height, width = known.shape
    small = (max(width // 8, 1), max(height // 8, 1))
    weight = cv2.resize(known, small, interpolation=cv2.INTER_AREA)
    values = cv2.resize(change * _three(known), small, interpolation=cv2.INTER_AREA)
    sigma = max(_FILL * max(small), 1.0)
    bottom = cv2.GaussianBlur(weight, (0, 0), sigma) + np.float32(1e-4)
    around = cv2.GaussianBlur(values, (0, 0), sigma) / bottom[..., None]
    under = cv2.resize(around, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(under + (change - under) * _three(known), np.float32)
