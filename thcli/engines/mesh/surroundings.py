"""Surroundings of a source's mesh, and how far they follow its head.

Hair and ears follow the head, the neck bends, the shoulders stay. Axes of the face decide how much
follows it, and the hair mask of the source where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.anatomy import CHIN, FOREHEAD, face_height
from thcli.engines.mesh.head.crown import Crown
from thcli.engines.mesh.head.outline import Outline, outward_normals
from thcli.engines.mesh.sampling import remap, to_samples

# Face heights from the middle of the face beyond which nothing moves: of small motions, and for
# each face height of motion beyond NEAR_MOTION.
REACH, FAR_REACH, NEAR_MOTION = 2.2, 3.0, 0.1
EDGE = 0.05  # face heights of rest within the reach
FADING_FROM = 1.45  # face heights from which all motion ends towards the reach
MAX_HAIR_MOTION = 0.35  # face heights of motion up to which hair may part from its surroundings
FALLOFF_STRETCH = 1.2  # by which the falloff grows, as a multiple of the motion
LOW_FALLOFF = 8.0  # least length where the lower edge is near, as a multiple of the head's rise
RISE_SHARE = 0.25  # of the motion that is a rise, from which the lower edge limits all of it


@dataclass(frozen=True, slots=True)
class Falloff:
    """Falloff of the head's motion below the middle of the face, in face heights.

    below: start and end of the falloff beneath the face.  side: how much earlier it comes away from
    the midline, per face height.
    """

    below: tuple[float, float]
    side: float


BODY = Falloff((0.32, 1.09), 0.7)
HAIR = Falloff((1.0, 1.5), 0.2)
RADIUS_WITH_MATTE = (1.4, 2.1)  # face heights between which the motion ends above and beside
RADIUS_WITHOUT_MATTE = (0.95, 2.0)  # the same when the background moves along with the person
BESIDE = (0.03, 0.05, 0.07)  # face heights beyond the outline at which background lies beside it


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The source outside of its mesh.

    outline: from `find_outline`.  lower_edge: y of the image's last row.
    matte: whether the person moves over a plate.  hair, cloth, neck: (h, w) float32 masks in 0..1,
    what hangs from the head, what stays and the whole neck, hair_step source pixels per sample;
    None when not known.  crown: of a head that the picture's upper edge cuts off.  continued:
    pixels over the left and the right side up to which the person may be shown as continued there.
    ends_above: see `picture_limits.keep_inside`.  bare: (36,) in 0..1, how far background lies
    beside points of the outline; None when not known.
    """

    outline: Outline
    lower_edge: float
    matte: bool
    hair: Array32 | None = None
    hair_step: int = 1
    cloth: Array32 | None = None
    neck: Array32 | None = None
    crown: Crown | None = None
    continued: tuple[float, float] = (0.0, 0.0)
    ends_above: float = 0.0
    bare: Array | None = None


def bare_beside(person: Image, outline: Outline, face_size: float) -> Array:
    """Return how far background lies beside an outline's points, (36,) in 0..1.

    Args:
        person: (H, W, 4) uint8 with its alpha.
        outline: of the face.
        face_size: height of the face in pixels.
    """
    away = face_size * outward_normals(outline.points)
    places = np.stack([outline.points + reach * away for reach in BESIDE]).astype(np.float32)
    alpha = remap(np.ascontiguousarray(person[..., 3]), places).astype(np.float64)
    bare = 1 - alpha.mean(0) / 255
    return np.asarray((np.roll(bare, 1) + 2 * bare + np.roll(bare, -1)) / 4)


def motion_reach(source: Array, target: Array) -> float:
    """Return the face heights from the middle of a target mesh beyond which nothing moves.

    Args:
        source, target: (468, 3) meshes in pixels of the source image.
    """
    motion = float(np.hypot(*(target - source)[:, :2].T).max()) / face_height(target)
    return REACH + FAR_REACH * min(max(motion - NEAR_MOTION, 0.0), 1.0)


def fade_to_reach(source: Array, target: Array, points: Array32) -> Array32:
    """Return the weights (N,) in 0..1 by which motion ends at points (2, N) towards its reach.

    source, target: (468, 3) meshes in pixels of the source image.
    """
    end = motion_reach(source, target) - EDGE
    middle = middle_of_face(target)
    left = (end - np.hypot(*(points - middle[:, None])) / face_height(target)) / (end - FADING_FROM)
    return np.asarray(np.clip(left, 0, 1))


def middle_of_face(mesh: Array) -> Array32:
    """Return the pixels (2,) between forehead and chin of a mesh (468, 3)."""
    return np.asarray((mesh[FOREHEAD, :2] + mesh[CHIN, :2]) / 2, np.float32)


def _falloff_range(
    below: tuple[float, float], motion: float, room: float, limited: float
) -> tuple[float, float]:
    """Stretch a falloff for a motion, so that it never fades fast enough to fold.

    Args:
        below: start and end of the falloff.
        motion: length of the motion in face heights.
        room: face heights down to the lowest end where it is limited.
        limited: 0..1, how far it is.
    """
    start, end = below
    end += FALLOFF_STRETCH * motion
    end += limited * min(room - end, 0.0)
    return start, max(end, start + 1.6 * motion + 0.05)


def follow_weight(
    surroundings: Surroundings,
    target: Array,
    motion: float,
    rise: tuple[float, float],
    p: Array32,
    displacement: Array32,
) -> Array32:
    """Weight the head's motion at points.

    The larger the motion, the longer the falloff, but for small motions no further than the image's
    lower edge when the head rises.

    Args:
        surroundings: of the source.
        target: (468, 3) target mesh.
        motion: largest motion of the outline in face heights.
        rise: mean and largest rise of the outline in face heights, negative downwards.
        p: (2, N) target pixels.
        displacement: (2, N) of the head, to source pixels.

    Returns:
        (N,) float32 in 0..1.
    """
    face_size = face_height(target)
    middle = middle_of_face(target)
    up = (target[FOREHEAD, :2] - target[CHIN, :2]) / face_size
    axes = (np.array([[-up[1], up[0]], up]) / face_size).astype(np.float32)
    radius = RADIUS_WITH_MATTE if surroundings.matte else RADIUS_WITHOUT_MATTE
    edge = (surroundings.lower_edge - float(middle[1])) / face_size
    room = max(edge, BODY.below[0] + LOW_FALLOFF * max(rise[1], 0.0))
    limited = float(smoothstep(0, RISE_SHARE, rise[0] / max(motion, 1e-6)))
    # the hair's own border is only so wide
    hair_weight = min(1.0, MAX_HAIR_MOTION / max(motion, 1e-6))
    body_below = _falloff_range(BODY.below, motion, room, limited)
    hair_below = _falloff_range(HAIR.below, motion, room, limited)
    across, above = axes @ (p - middle[:, None])
    across = np.abs(across)
    ring = 1 - smoothstep(*radius, np.hypot(across, 0.9 * np.maximum(above, 0)))
    body = 1 - smoothstep(*body_below, BODY.side * across - above)
    step = surroundings.hair_step
    if surroundings.cloth is not None:
        body = body * (1 - _sample(surroundings.cloth, p, step))
    if surroundings.hair is not None:
        hair = _sample(surroundings.hair, p + displacement, step)
        falloff = 1 - smoothstep(*hair_below, HAIR.side * across - above)
        body = body + hair_weight * hair * (falloff - body)
    return np.asarray(ring * body, np.float32)


def _sample(mask: Array32, positions: Array32, step: int) -> Array32:
    """Sample a mask (h, w) at source pixels (2, N); step: pixels per sample."""
    samples = to_samples(positions.T[None], step)
    return np.asarray(remap(mask, np.ascontiguousarray(samples))[0])
