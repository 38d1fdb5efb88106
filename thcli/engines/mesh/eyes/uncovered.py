"""An eyeball whose iris moves and whose lids part further than the source's."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.eyes import eyeball
from thcli.engines.mesh.eyes.texture import EyeTexture
from thcli.engines.mesh.opening import Rims
from thcli.engines.mesh.sampling import remap
from thcli.motion.anatomy import EYE_RADIUS, IRIS_REACH

# What lids uncover. Widths of lashes and their shadow inside the upper and the lower rim of the
# source, and at most this share of its gap; widths beyond the rims that count as seen
LASH_DEPTHS, LASH_SHARE, RIM_SLACK = (0.13, 0.04), 0.35, np.float32(0.03)
LEAST_UNCOVERED = 1e-4  # widths, more than rounding makes of rims that are where they were
# Widths from a corner of an eye from which it is uncovered, and from which its white is made
CORNERS, INNER_CORNERS = (0.05, 0.2), (0.0, 0.12)
# Widths along an eye by which an iris moves, from which the white behind it is made; distance from
# its middle in radii over which that begins
LEAVES, BESIDE_IRIS = (0.05, 0.15), (0.95, 1.1)
# Radii from the middle of an iris over which a white that is lighter than the eye's stays: what is
# sampled further away is skin, or lashes
OWN_WHITE = (1.1, 1.6)
MOST_MOVED = (IRIS_REACH, 0.24)  # widths along and across, from the middle, of an iris that moves
NARROWEST = 0.6  # least width of an iris that looks aside over its own


def uncover(
    eye: EyeTexture,
    local: tuple[Array32, Array32],
    rims: Rims,
    mask: Array32,
    shift: Array,
    width: float,
) -> Image | Array32:
    """Sample an eyeball, also where the lids of the source hide it: (h, w, 3).

    An eyeball keeps its shape when lids open further or its iris moves. What they uncover has the
    colours at the same distance from the middle of the iris, beside which the source shows them.

    Args:
        eye: with an iris that was seen.
        local: u and v of the target's opening, (h, w).
        rims: of the target at u.
        mask: (h, w) how much of a pixel shows the eyeball.
        shift: (2,) of the iris in widths.
        width: of the target's opening in pixels.
    """
    u, v = local
    way = move_iris(eye, shift)
    along, across = shift_iris(u, v, eye, way)
    ball = remap(eye.image, opening.to_pixels(eye.opening, along, across))
    radii = _distance(u, v, eye, way) / np.float32(eye.radius)
    left = _left_behind(u, radii, eye, way)
    # what an iris leaves is sought where the eyeball, which moves as a whole, has it
    along = along + left * (u - np.float32(way[0]) - along)
    across = across + left * (v - np.float32(way[1]) - across)
    own, moved = eye.opening.rims(along), across - v
    thickest = LASH_SHARE * np.maximum(own[1] - own[0], 0)
    margins, hidden = [], np.zeros(u.shape, np.bool_)
    for sign, rim, own_rim, depth in zip((1, -1), rims, own, LASH_DEPTHS, strict=True):
        uncovered = np.maximum(sign * (own_rim - rim - moved), 0)
        margin = np.minimum(np.minimum(2 * uncovered, depth), thickest) - RIM_SLACK
        hidden |= (uncovered > LEAST_UNCOVERED) & (sign * (across - own_rim) < margin)
        lashes = left * np.minimum(np.float32(depth), thickest)
        margins.append(np.maximum(margin, lashes))
    made_share = np.maximum(hidden, left)
    index = np.flatnonzero((made_share > 0) & (mask > 0))
    if not len(index):
        return ball
    place, inside = (along.take(index), across.take(index)), [m.take(index) for m in margins]
    made = eyeball.sample_beside(
        eye.image,
        eye.opening,
        eye.iris,
        eye.radius,
        place,
        (inside[0], inside[1]),
        left.take(index),
    )
    near = u.take(index)
    weight = smoothstep(*CORNERS, np.minimum(near, 1 - near)).astype(np.float32)
    weight *= made_share.take(index)
    out = ball.astype(np.float32)
    added = np.zeros_like(out)
    added.reshape(-1, 3)[index] = weight[:, None] * (made - out.reshape(-1, 3)[index])
    if eye.white is not None and left.any():
        white = eyeball.shade_white(eye.white, u, v - rims[0])
        added += _whiten(white - out - added, u, radii, left)
    if eye.blur > 0:  # what is made is as blurred as the source
        added = np.asarray(cv2.GaussianBlur(added, (0, 0), eye.blur * width), np.float32)
    return np.asarray(out + added, np.float32)


def _whiten(change: Array32, u: Array32, radii: Array32, left: Array32) -> Array32:
    """Return the part of a change to an eye's white, (h, w, 3), that an iris leaves to the ball.

    Args:
        change: from the colours that are shown.
        u: along the eye, (h, w).
        radii: (h, w) from the middle of the iris.
        left: (h, w) in 0..1, see `_left_behind`.
    """
    far = smoothstep(*OWN_WHITE, radii).astype(np.float32)
    share = left * smoothstep(*INNER_CORNERS, np.minimum(u, 1 - u)).astype(np.float32)
    whiter = np.where(change > 0, change, far[..., None] * change)
    return np.asarray(share[..., None] * whiter, np.float32)


def move_iris(eye: EyeTexture, shift: Array) -> Array:
    """Return the way (2,) of an iris in widths: `shift`, as far as it stays in the eye."""
    middle = np.array([0.5, eye.iris[1]])
    low, high = np.minimum(middle - MOST_MOVED, eye.iris), np.maximum(middle + MOST_MOVED, eye.iris)
    return np.asarray(np.clip(eye.iris + shift, low, high) - eye.iris)


def shift_iris(u: Array32, v: Array32, eye: EyeTexture, moved: Array) -> tuple[Array32, Array32]:
    """Map u, v to the source when the iris moves: the iris shifts whole, its rim stretches.

    On a ball that turns it is foreshortened as well, along the eye.
    """
    length = float(np.hypot(*moved))
    if length < 1e-4 or eye.radius == 0:
        return u, v
    distance = _distance(u, v, eye, moved)
    outer_radius = 2.2 * eye.radius + 1.2 * length
    share = (1 - smoothstep(eye.radius, outer_radius, distance)).astype(np.float32)
    wider = (u - np.float32(eye.iris[0] + moved[0])) * np.float32(1 / _narrowed(eye, moved) - 1)
    return u + (wider - np.float32(moved[0])) * share, v - np.float32(moved[1]) * share


def _narrowed(eye: EyeTexture, moved: Array) -> float:
    """Return the width of a moved iris over its own in the source; 1 for a disc on flat eyes."""
    if not eye.sees_iris:
        return 1.0
    own = eye.iris[0] - 0.5
    cosines = np.sqrt(np.maximum(1 - (np.array([own + moved[0], own]) / EYE_RADIUS) ** 2, 0.1))
    return float(np.clip(cosines[0] / cosines[1], NARROWEST, 1))


def _distance(u: Array32, v: Array32, eye: EyeTexture, moved: Array) -> Array32:
    """Return the distance of u, v from the middle of a moved iris, as the source shows it."""
    x, y = (eye.iris + moved).astype(np.float32)
    return np.asarray(np.hypot((u - x) / np.float32(_narrowed(eye, moved)), v - y), np.float32)


def _left_behind(u: Array32, radii: Array32, eye: EyeTexture, moved: Array) -> Array32:
    """Return 0..1 for the eyeball that an iris leaves as it moves along the eye.

    The source has too little beside its iris: the corner of the eye would be drawn out.

    Args:
        u: along the eye.
        radii: from the middle of the moved iris.
        eye: whose iris it is.
        moved: (2,) its way in widths.
    """
    far = float(smoothstep(*LEAVES, abs(moved[0])))
    if far == 0:
        return np.zeros_like(u)
    behind = (u - np.float32(eye.iris[0] + moved[0])) * np.float32(-np.sign(moved[0]))
    outside = smoothstep(*BESIDE_IRIS, radii)
    share = far * outside * smoothstep(0, eye.radius, behind)
    return np.asarray(share, np.float32)
