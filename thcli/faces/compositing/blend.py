"""Blending of a changed crop into its frame: three modes, all linear in the change.

Linear, so that no change stays none, bit for bit. feather mixes the two along one wide ramp.
laplacian mixes each octave of detail along a ramp of its own width (Burt and Adelson 1983): colours
blend slowly, texture at once, so no two textures overlap. poisson takes the crop's gradients and
the frame's colours (Pérez et al. 2003): the difference of the two at the rim is spread inwards by a
membrane and subtracted; the rest is blended as in laplacian.
"""

from __future__ import annotations

from thcli.core.options import Blend
from thcli.faces.compositing.pixel_ops import OPENCV, PixelOps, Values

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
    change: Values,
    mask: Values,
    mode: Blend,
    top: float,
    occlusion_mask: Values | None = None,
    ops: PixelOps = OPENCV,
) -> Values:
    """Return the values to add to the frame to show `change` through `mask`.

    Args:
        change: (h, w, 3), the new image minus the frame.
        mask: (h, w) 0..1, soft.
        mode: feather, laplacian or poisson.
        top: full scale of `change`.
        occlusion_mask: (h, w) 0..1, objects in front (a hand) that stay the frame's. Their pixels
            count at no rim, and their edges are as sharp as this mask.
        ops: of the device that holds them.

    Returns:
        (h, w, 3): 0 where the mask is 0, and where `occlusion_mask` is 1.
    """
    if occlusion_mask is not None:
        change = _fill_occluded(change, 1 - occlusion_mask, ops)
    if mode == "feather":
        out = change * ops.three(mask)
    elif mode == "laplacian":
        out = _laplacian(change, mask, ops)
    else:
        out = _poisson(change, mask, top, occlusion_mask, ops)
    if occlusion_mask is not None:
        out *= ops.three(1 - occlusion_mask)
    return out


def _sharpen_mask(mask: Values, ops: PixelOps) -> Values:
    """Return the mask with a ramp _STEEPNESS times as steep, around the same middle."""
    return ops.clip((mask - 0.5) * _STEEPNESS + 0.5, 0, 1)


def _outer_fade(mask: Values, ops: PixelOps) -> Values:
    """Return 1, and a smooth fall to 0 at the outermost part of the mask."""
    return ops.smoothstep(0, 1, mask * (1 / _FADE))


def _laplacian(change: Values, mask: Values, ops: PixelOps) -> Values:
    levels = 0
    while levels < _OCTAVES and min(mask.shape) >> (levels + 1) >= _MIN_SIDE:
        levels += 1
    octaves: list[Values] = []
    octave_mask = _sharpen_mask(mask, ops)
    current = change
    for _ in range(levels):
        below = ops.halve(current)
        detail = current - ops.double(below, _size(current))
        detail *= ops.three(octave_mask)
        octaves.append(detail)
        current, octave_mask = below, ops.halve(octave_mask)
    out = current * ops.three(octave_mask)
    for octave in reversed(octaves):
        out = ops.double(out, _size(octave))
        out += octave
    out *= ops.three(_outer_fade(mask, ops))
    return out


def _size(image: Values) -> tuple[int, int]:
    """Return (width, height)."""
    return image.shape[1], image.shape[0]


def _poisson(
    change: Values, mask: Values, top: float, occlusion_mask: Values | None, ops: PixelOps
) -> Values:
    height, width = mask.shape
    shrink = max(height, width) / _MEMBRANE_CELLS
    cells = (width, height)
    if shrink > 1:
        cells = (max(round(width / shrink), 2), max(round(height / shrink), 2))
    rim = ops.select(mask <= 0.5, 4 * mask * (1 - mask))
    if occlusion_mask is not None:
        rim *= 1 - occlusion_mask
    hold = ops.resize(rim, cells, "area")
    values = ops.resize(change * ops.three(rim), cells, "area")
    values /= ops.three(ops.maximum(hold, 1e-6))
    # Other content (hair, a bright wall) must not light the face: Welsch's weights.
    off = ops.largest_channel(values - ops.rim_median(values, hold))
    hold *= ops.exp(-((off / (_TOLERANCE * top)) ** 2))
    pull = 1.0 / (_REACH * max(cells)) ** 2
    hold *= _RIM_STIFFNESS
    membrane = solve_membrane(values * ops.three(hold), hold, pull, ops)
    return _laplacian(change - ops.resize(membrane, (width, height), "linear"), mask, ops)


def solve_membrane(force: Values, hold: Values, pull: float, ops: PixelOps = OPENCV) -> Values:
    """Solve (hold + pull) f - laplace f = force, free at the borders.

    Coarse to fine, relaxed at each level (cascadic multigrid, Bornemann and Deuflhard 1996).

    Args:
        force: (h, w, 3), the held values times `hold`.
        hold: (h, w), 0 where the membrane is free.
        pull: attraction to 0 everywhere, in 1 / cells^2.
        ops: of the device that holds them.

    Returns:
        f, (h, w, 3).
    """
    height, width = hold.shape
    if min(height, width) >= 2 * _MIN_SIDE:
        half = (-(-width // 2), -(-height // 2))
        # A cell of twice the side: the same forces over four times the area, at equal tension.
        coarse = solve_membrane(
            ops.resize(force, half, "area") * 4, ops.resize(hold, half, "area") * 4, 4 * pull, ops
        )
        membrane, sweeps = ops.resize(coarse, (width, height), "linear"), _SWEEPS
    else:
        membrane, sweeps = force * 0, 8 * _MIN_SIDE
    share = ops.three(1 / (hold + (pull + 4)))
    # Damped Jacobi: errors that oscillate within a few cells shrink at least by half a sweep.
    for _ in range(sweeps):
        new = ops.sum_of_neighbours(membrane)
        new += force
        new *= share
        membrane = new * 0.8 + membrane * 0.2
    return membrane


def _fill_occluded(change: Values, known: Values, ops: PixelOps) -> Values:
    """Extend the change from its surroundings to where `known`, (h, w) 0..1, is 0."""
    if ops.is_all(known > 0.999):
        return change
    height, width = known.shape
    small = (max(width // 8, 1), max(height // 8, 1))
    weight = ops.resize(known, small, "area")
    values = ops.resize(change * ops.three(known), small, "area")
    sigma = max(_FILL_SIGMA * max(small), 1.0)
    around = ops.blur(values, sigma) / ops.three(ops.blur(weight, sigma) + 1e-4)
    under = ops.resize(around, (width, height), "linear")
    return under + (change - under) * ops.three(known)
