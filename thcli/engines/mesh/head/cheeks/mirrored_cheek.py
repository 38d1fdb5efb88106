"""Mirrored texture for the hidden half of a turned source.

Where the far cheek of the source comes into view, it takes the colour of the near one. Points that
the source hides are found by the cosine between surface and view. They take the colour of their
mirror points, matched in tone. See docs/mesh-engine.md, "Sides of a turned head".
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Crop, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.head import overlay
from thcli.engines.mesh.head.cheeks.head_parts import under_hands
from thcli.engines.mesh.head.continuation import continue_smoothly
from thcli.engines.mesh.head.outline import sine_of_yaw
from thcli.engines.mesh.head.shades.corner_shades import ShownCorners
from thcli.engines.mesh.head.steep_texture import (
    BORDER,
    NO_HAIR,
    BorderHair,
    outwards,
    region_share,
    turned_cosines,
)
from thcli.engines.mesh.sampling import (
    box_mean,
    masked_mean,
    merge_positions,
    mix,
    odd_size,
    remap,
    to_levels,
)
from thcli.engines.mesh.warp import WarpMap
from thcli.faces.detection.hands import NO_HANDS
from thcli.faces.landmarks.surface import CORNER_COUNTS, inward_normals, sum_at_points
from thcli.faces.landmarks.topology import PAIRS, TRIANGLES
from thcli.faces.parsing.classes import FACE, HAIR, SKIN, class_number
from thcli.faces.parsing.crops import Regions

MIN_WEIGHT = 0.05  # largest weight below which nothing is rendered
SPREAD_STEPS = 3  # times that the weights are spread over neighbouring triangles
STEEP = (0.5, 0.8)  # cosines in the source: replaced, and kept
LESS_SEEN = (0.05, 0.2)  # cosines by which the other side is seen better: not, and well enough
GROWTH = (0.08, 0.24)  # of the cosine by which a point turned into view: none, full
REACH = 0.08  # face heights over which these colours are averaged
LEAST_SKIN = 0.25  # share of skin there from which they are known
TRUSTED_COSINE = 0.45  # of both sides from which their colours are compared
GAIN_RANGE = (0.4, 2.0)  # of the colour gains
PULL = 0.12  # face heights by which texture moves inwards where the other side is steep, too
STEEP_MIRROR = (0.2, 0.7)  # cosines of the other side: full pull, none
OPAQUE = (0.7, 1.0)  # shares that hide what is below them: not, and well enough
# The same of a profile, whose nose reaches beyond the mesh: a second one would show earlier; and
# GROWTH of one, which shows nothing of its other side: half transparent, the mirrored half would be
# a ghost before hair and wall. Sines of the yaw of a face that is none, and of one that is
PROFILE_OPAQUE, PROFILE_GROWTH, PROFILE = (0.3, 0.7), (0.05, 0.15), (0.57, 0.67)
HIDING = (0.7, 0.85)  # shares that grow to 1, since what is below them is moved away
PERSON = 0.5  # share from which the pixels are the person's alone
# Sine of a source's yaw up to which what it mirrors has to be skin, from which it may be hair: hair
# before one cheek of a frontal source is no texture of the other one. Share of skin: none, enough
FRONTAL, SKIN_SHARE = (0.12, 0.25), (0.4, 0.8)
# Sine of a source's yaw up to which it shows both cheeks, and from which it has a hidden one
TURNED = (0.1, 0.12)
# Share of a cheek that reasons against it leave, up to which it is not mirrored, and from which it
# is: half transparent it would be a ghost before the source's own
DECIDED = (0.5, 0.8)
# Share of the side that is mirrored over which a hand lies: not, and so that it would show twice
IN_HAND = (0.04, 0.1)
# Share of hair over the hidden side, which falls before the cheek of a frontal source: not, and so
OWN_HAIR = (0.28, 0.38)
# Share of hair over the side that is mirrored, above which no source mirrors it: strands before one
# cheek would lie in the middle of the other one
MOST_HAIR = 0.28
# Share of the background where a point should be, which lies beyond the face's outline: no, and yes
BACKGROUND, BEYOND = frozenset({class_number("background")}), (0.4, 0.8)
# Log brightness that the hidden side lacks, from which its light is that of its skin in view rather
# than the other cheek's, whose bright spots it has none of; and the gains that this may take
SHADED, SHADED_GAIN = (0.25, 0.4), (0.15, 2.0)
# Face heights by which texture on the middle of a face moves inwards where a nose ends before what
# is behind it, which the mesh meets to a few pixels; cosines there: full, none
LIMB, LIMB_COSINE = 0.03, (0.4, 0.8)
BESIDE = 0.06  # face heights beyond the outline from which the source shows what is beside it


def _hiding_levels() -> Image:
    """Return the level of each level of a share (256,), grown as HIDING says."""
    share = np.arange(256) / 255
    return to_levels((share + (1 - share) * smoothstep(*HIDING, share)).astype(np.float32)).ravel()


_HIDING_LEVELS = _hiding_levels()
MIDLINE = np.arange(len(PAIRS)) == PAIRS
_AT_MIDLINE = TRIANGLES[MIDLINE[TRIANGLES].any(1)]


@dataclass(frozen=True, slots=True)
class MirroredCheek:
    """The source's hidden points and the colours of their mirror points.

    normals: (468, 3) unit vectors, z towards the camera, x and y inwards.  hidden: (468,) 0..1,
    how far a point may be replaced.  positions: (468, 2) source pixels of the mirrored texture,
    and of a point's own where the other side is hidden.
    gains: (468, 3) colour of each point over that of its mirror point, 1 where that is hidden.
    opaque: shares that hide what is below them: not, and well enough.
    growth: of the cosine by which a point turned into view: none of the mirrored texture, all.
    """

    normals: Array
    hidden: Array
    positions: Array
    gains: Array
    opaque: tuple[float, float]
    growth: tuple[float, float]


def prepare(
    image: Image,
    mesh: Array,
    regions: Regions | None = None,
    hair: BorderHair = NO_HAIR,
    hands: Array = NO_HANDS,
) -> MirroredCheek | None:
    """Find the hidden half of a source.

    None when both cheeks are seen, hair falls before one, or a hand lies on the one that is seen.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        regions: of the face, whose skin alone has the light of both sides; None takes all of it.
        hair: at the border, which mirrors nothing in a frontal source whose hair hangs beside it.
        hands: (N, 21, 2) pixels, points of hands near the face.
    """
    normal = inward_normals(mesh)
    cosine = normal[:, 2]
    hidden = 1 - smoothstep(*STEEP, cosine)
    if regions is not None:
        behind = region_share(regions, BACKGROUND, mesh[:, :2])
        hidden = np.maximum(hidden, smoothstep(*BEYOND, behind))
    hidden = hidden * _less_seen(cosine)
    yaw = abs(sine_of_yaw(mesh))
    hidden = hidden * smoothstep(*TURNED, yaw)
    if hidden.max() < MIN_WEIGHT:
        return None
    colour, share = _skin_colours(image, mesh, regions)
    seen = np.minimum(share, share[PAIRS]) > LEAST_SKIN
    trusted = (np.minimum(cosine, cosine[PAIRS]) > TRUSTED_COSINE) & seen
    gains = _gains(np.log(colour), trusted, hidden)
    positions = _positions(mesh, normal)
    other_hidden = (hidden[PAIRS] > hidden)[:, None]
    gains = np.where(other_hidden, 1.0, gains)
    positions = np.where(other_hidden, positions, positions[PAIRS])
    frontal = 1 - float(smoothstep(*FRONTAL, yaw))
    on_hair = np.zeros(len(mesh))
    if regions is not None:
        on_hair = region_share(regions, HAIR, mesh[:, :2])
    hair_before = float(smoothstep(*OWN_HAIR, float(np.average(on_hair, weights=hidden))))
    kept = 1 - frontal * np.maximum(hair.beside, hair_before)
    in_hand = np.average(under_hands(hands, positions, anatomy.face_height(mesh)), weights=hidden)
    kept = kept * (1 - float(smoothstep(*IN_HAND, float(in_hand))))
    hidden = hidden * smoothstep(*DECIDED, kept)
    if hidden.max() < MIN_WEIGHT:
        return None
    if regions is not None:
        in_hair = float(np.average(on_hair[PAIRS], weights=hidden))
        skin = smoothstep(*SKIN_SHARE, region_share(regions, FACE, positions))
        hidden = hidden * smoothstep(*DECIDED, 1 - frontal * (1 - skin))
        if in_hair > MOST_HAIR or hidden.max() < MIN_WEIGHT:
            return None
    opaque, growth = _of_profiles(OPAQUE, PROFILE_OPAQUE, yaw), _growth(yaw)
    return MirroredCheek(normal, hidden, positions, gains, opaque, growth)


def _less_seen(cosine: Array) -> Array:
    """Return how far points are seen less than their mirror points, (468,) 0..1."""
    return np.asarray(smoothstep(*LESS_SEEN, cosine[PAIRS] - cosine))


def _growth(yaw: float) -> tuple[float, float]:
    return _of_profiles(GROWTH, PROFILE_GROWTH, yaw)


def _of_profiles(
    usual: tuple[float, float], profile: tuple[float, float], yaw: float
) -> tuple[float, float]:
    """Return the limits of a face by the sine of its yaw."""
    share = float(smoothstep(*PROFILE, yaw))
    low, high = (a + share * (b - a) for a, b in zip(usual, profile, strict=True))
    return low, high


def _skin_colours(image: Image, mesh: Array, regions: Regions | None) -> tuple[Array, Array]:
    """Return the skin's colour around each point, (468, 3) levels + 4, and its share (468,).

    Beside a far cheek lies the background, which has no part in the skin's colour.
    """
    low = np.maximum(np.floor(mesh[:, :2].min(0)), 0).astype(int)
    high = np.minimum(np.ceil(mesh[:, :2].max(0)).astype(int) + 1, image.shape[1::-1])
    if (high <= low).any():
        return np.ones((len(mesh), 3)), np.zeros(len(mesh))
    part = image[low[1] : high[1], low[0] : high[0]]
    points = (mesh[:, :2] - low).astype(np.float32)
    height, width = part.shape[:2]
    skin = np.zeros((height, width), np.float32)
    cv2.fillConvexPoly(skin, np.rint(cv2.convexHull(points)).astype(np.int32), (1.0,))
    if regions is not None:
        placement = Crop(np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1.0]]), (width, height))
        skin *= regions.mask_in(placement, SKIN)
    reach = odd_size(REACH * anatomy.face_height(mesh))
    colour = remap(masked_mean(part, skin, reach), points[None])[0]
    share = remap(box_mean(skin, reach), points[None])[0]
    return colour.astype(np.float64) + 4, share.astype(np.float64)


def _gains(logs: Array, trusted: npt.NDArray[np.bool_], hidden: Array) -> Array:
    """Return what colours of mirror points are multiplied by, (468, 3).

    Args:
        logs: (468, 3) log colours of the points.
        trusted: (468,) where both sides are seen.
        hidden: (468,) 0..1, see `MirroredCheek`.
    """
    other = logs[PAIRS]
    ratio = continue_smoothly(np.clip(logs - other, *np.log(GAIN_RANGE)), trusted)
    light = float(np.average(ratio.mean(1), weights=hidden))
    own = continue_smoothly(logs, trusted) - other
    shaded, own = float(smoothstep(*SHADED, -light)), np.clip(own, *np.log(SHADED_GAIN))
    return np.asarray(np.exp(ratio + shaded * np.minimum(own - ratio, 0)))


def _positions(mesh: Array, normal: Array) -> Array:
    """Return the source pixels (468, 2) of points whose texture may lie beside the face."""
    cosine = normal[:, 2]
    pull = PULL * BORDER * (1 - smoothstep(*STEEP_MIRROR, cosine))
    pull += LIMB * MIDLINE * (1 - smoothstep(*LIMB_COSINE, cosine))
    shift = anatomy.face_height(mesh) * pull[:, None] * outwards(normal)
    return np.asarray(mesh[:, :2] - shift)


def may_show(normal: Array, mesh: Array, target: Array) -> bool:
    """Return whether a source may hide points, and a target turns far enough to show them.

    No cosine grows by more than the view moves.

    Args:
        normal: (468, 3) `inward_normals` of the source.
        mesh, target: (468, 3) source and target meshes.
    """
    yaw = abs(sine_of_yaw(mesh))
    if yaw <= TURNED[0] or _less_seen(normal[:, 2]).max() < MIN_WEIGHT:
        return False
    view = turned_cosines(np.eye(3), mesh, target)
    moved = float(np.hypot(np.hypot(view[0], view[1]), view[2] - 1))
    return moved > _growth(yaw)[0]


def shown_weights(cheek: MirroredCheek, mesh: Array, target: Array) -> Array | None:
    """Return each point's share (468,) of the mirrored texture; None where none is shown.

    Args:
        cheek: hidden points of the source.
        mesh, target: (468, 3) source and target meshes.
    """
    cosine = turned_cosines(cheek.normals, mesh, target)
    weight = cheek.hidden * smoothstep(*cheek.growth, cosine - cheek.normals[:, 2])
    return None if weight.max() < MIN_WEIGHT else _spread(weight)


def move_beside(texture: Array, cheek: MirroredCheek, mesh: Array, weight: Array) -> Array:
    """Move texture positions (468, 2) at the outline of the hidden cheek out of the source's face.

    The picture beside the target's face then shows hair or background up to its outline. The
    source's own outline, which the mesh meets to a few pixels, would show as a second one.

    Args:
        texture: source pixels that the points show.
        cheek: hidden points of the source.
        mesh: (468, 3) of the source.
        weight: (468,) from `shown_weights`.
    """
    reach = BESIDE * anatomy.face_height(mesh) * BORDER[:, None]
    hides = smoothstep(*cheek.opaque, weight)[:, None]
    return np.asarray(texture + hides * (mesh[:, :2] + reach * outwards(cheek.normals) - texture))


def render(
    frame: tuple[Image, Image | None],
    source: ShownCorners,
    cheek: MirroredCheek,
    weight: Array,
    target: Array,
    warp_map: WarpMap,
) -> None:
    """Render the mirrored texture where the target shows a hidden part of the source, in place.

    What it hides may be beside the source's person (`move_beside`): the cheek is the person's.

    Args:
        frame: (H, W, 3) uint8, and the alpha (H, W) uint8 of its person or None.
        source: its picture.
        cheek: hidden points of the source.
        weight: (468,) from `shown_weights`.
        target: (468, 3) target mesh.
        warp_map: the frame's map.
    """
    out, alpha = frame
    size, weight = (out.shape[1], out.shape[0]), _over_middle(weight)
    windows = overlay.iterate_values(cheek.positions, weight, cheek.gains, target, warp_map, size)
    for region, values in windows:
        x, y, share, *gains = (np.asarray(part, np.float32) for part in cv2.split(values))
        texture = source.sample(merge_positions(x, y))
        levels = np.asarray(cv2.LUT(to_levels(share), _HIDING_LEVELS), np.uint8)
        cv2.multiply(texture, cv2.merge(gains), texture, dtype=cv2.CV_8U)
        out[region] = mix(out[region], texture, levels)
        if alpha is not None:  # not blended with the plate a second time where it is no rim
            opaque = np.asarray(cv2.convertScaleAbs(levels, alpha=1 / PERSON), np.uint8)
            np.maximum(alpha[region], opaque, out=alpha[region])


def _spread(weight: npt.NDArray[np.floating]) -> Array:
    """Spread weights (468,) over neighbouring triangles, so that no triangle has a hard border."""
    out = np.asarray(weight, np.float64)
    for _ in range(SPREAD_STEPS):
        out = np.maximum(out, sum_at_points(out[TRIANGLES].mean(1)) / CORNER_COUNTS)
    return out


def _over_middle(weight: Array) -> Array:
    """Raise weights (468,) on the middle of the face to the largest beside them.

    A ramp from a nose's ridge would show what lies behind the nose in the source.
    """
    out = weight.copy()
    np.maximum.at(out, _AT_MIDLINE, weight[_AT_MIDLINE].max(1)[:, None])
    return np.where(MIDLINE, out, weight)
