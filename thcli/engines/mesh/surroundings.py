"""Displacement field of the image outside of the mesh.

Hair and ears follow the head in depth, the neck bends, the shoulders stay. The head moves as a
rigid body whose surface falls back behind the outline of the face, so that a turning head shows
the right parallax between face, ears and hair. Axes of the face decide how much follows it, and
the hair mask of the source where there is one. At the outline of the face the field meets the
mesh exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh.anatomy import CHIN, FOREHEAD, RIGID, RIGID_WEIGHTS, face_height
from thcli.engines.mesh.field_folds import unfold_field, widen_weight
from thcli.engines.mesh.head.crown import Crown
from thcli.engines.mesh.head.neck import NeckMotion, find_motion, hidden_by_jaw
from thcli.engines.mesh.head.outline import (
    BESIDE,
    HEAD_DEPTH,
    Beside,
    Outline,
    depth_behind_outline,
    find_outline,
    fit_rigid_head,
    turned_sides,
)
from thcli.engines.mesh.head.shoulders import Shoulders
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import polygon_mask, remap, to_samples
from thcli.faces.landmarks.topology import CHIN as JAW
from thcli.faces.landmarks.topology import OVAL

# Face heights from the middle of the face beyond which nothing moves: of small motions, and for
# each face height of motion beyond NEAR_MOTION.
REACH, FAR_REACH, NEAR_MOTION = 2.2, 3.0, 0.1
EDGE = 0.05  # face heights of rest within the reach
FADING_FROM = 1.45  # face heights from which all motion ends towards the reach
OUTLINE_BLEND = 0.05  # face heights over which neighbouring outline points are averaged
# An outline point's residual flow fades over FADE_LENGTH face heights, plus FADE_PER_PIXEL pixels
# for each pixel of flow, so that nothing folds.
FADE_LENGTH, FADE_PER_PIXEL = 0.1, 1.8
# Source face heights that a picture is further out beside a point whose texture lies outwards: the
# mesh is merged with it that far inside, where the skin would show again
MERGED = 0.035
# Raised jaws over a neck that is not known: face heights between which they are; length of the
# fade, over the flow, of what lies below them; face heights below the source's jaw where that
# begins: the edge and the shadow of the jaw itself would be drawn out to a beard
RAISED_RANGE, RAISED_FADE, BELOW_JAW = (0.04, 0.1), 1.3, 0.07
MAX_HAIR_MOTION = 0.35  # face heights of motion up to which hair may part from its surroundings
FALLOFF_STRETCH = 1.2  # by which the falloff grows, as a multiple of the motion
LOW_FALLOFF = 8.0  # least length where the lower edge is near, as a multiple of the head's rise
RISE_SHARE = 0.25  # of the motion that is a rise, from which the lower edge limits all of it
UNFOLDED_MOTION = (0.03, 0.06)  # face heights of motion from which folds are smoothed
STILL_HEAD = 0.004  # face heights of motion up to which the head counts as being at rest
HIDDEN_RANGE = (0.03, 0.12)  # face heights of push from which an outline point is behind the face
# how far outline points are the chin's, and the jaw's; the oval starts at the forehead
_DOWNWARDS = -np.cos(2 * np.pi * np.arange(len(OVAL)) / len(OVAL))
_CHIN, _JAW = smoothstep(0.6, 0.9, _DOWNWARDS), smoothstep(0.3, 0.7, _DOWNWARDS)
_UPPER_OVAL = np.flatnonzero(~np.isin(OVAL, JAW))


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


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The source outside of its mesh.

    outline: from `find_outline`.  lower_edge: y of the image's last row.
    matte: whether the person moves over a plate.  hair, cloth, neck: (h, w) float32 masks in 0..1,
    what hangs from the head, what stays and the whole neck, hair_step source pixels per sample;
    None when not known.  crown: of a head that the picture's upper edge cuts off.  continued:
    pixels over the left and the right side up to which the person may be shown as continued there.
    ends_above: see `picture_limits.keep_inside`.
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


def motion_reach(source: Array, target: Array) -> float:
    """Return the face heights from the middle of a target mesh beyond which nothing moves.

    Args:
        source, target: (468, 3) meshes in pixels of the source image.
    """
    motion = float(np.hypot(*(target - source)[:, :2].T).max()) / face_height(target)
    return REACH + FAR_REACH * min(max(motion - NEAR_MOTION, 0.0), 1.0)


def _fit_residual_similarity(oval: Array32, residual: Array) -> Array32:
    """Fit half of the similarity in the residual flow of the upper outline.

    It corrects the tracked depth, which is not exact.

    Args:
        oval: (2, 36) pixels.
        residual: (2, 36) flow that the rigid head leaves.

    Returns:
        (2, 3) affine matrix of a displacement.
    """
    points, values = oval[:, _UPPER_OVAL], residual[:, _UPPER_OVAL]
    middle, shift = points.mean(1, keepdims=True), values.mean(1, keepdims=True)
    (x, y), (dx, dy) = points - middle, values - shift
    size = max(float((x * x + y * y).sum()), 1e-6)
    growth, turn = float((x * dx + y * dy).sum()) / size, float((x * dy - y * dx).sum()) / size
    linear = np.array([[growth, -turn], [turn, growth]])
    return np.asarray(0.5 * np.concatenate([linear, shift - linear @ middle], 1), np.float32)


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


def surrounding_displacement(
    source: Array,
    surroundings: Surroundings,
    target: Array,
    texture: Array,
    grid: SampleGrid,
    shoulders: Shoulders | None = None,
) -> Array32:
    """Compute the displacement of the image outside of the mesh.

    Args:
        source, target: (468, 3) meshes in pixels of the source image.
        surroundings: of the source.
        texture: (468, 2) source pixels that the mesh's points show.
        grid: samples to compute.
        shoulders: their motion, which the target has followed; None for still ones.

    Returns:
        (rows, columns, 2) float32 pixels, from target to source.
    """
    x, y = grid.pixel_axes()
    points = np.stack([np.tile(x, grid.rows), np.repeat(y, grid.columns)])
    found, carried = find_outline(target), None
    shown = found.points
    if shoulders is not None:  # from here on all is seen as if they were still
        carried = shoulders.displacement(points, surroundings.lower_edge)
        target = shoulders.still(target)
        points = points + carried
        found = find_outline(target)
    outline, source_oval = found.points, surroundings.outline.points
    oval, oval_z = outline.astype(np.float32).T, target[OVAL, 2].astype(np.float32)
    face_size = face_height(target)

    newly = np.maximum(found.push - surroundings.outline.push, 0) / face_size
    hidden = smoothstep(*HIDDEN_RANGE, newly)
    # distance to the outline, and the weight of each outline point: (36, N)
    distance = (points[0] - oval[0, :, None]) ** 2
    distance += (points[1] - oval[1, :, None]) ** 2
    np.sqrt(distance, out=distance)
    nearest = distance.min(0)
    weights = np.exp((nearest - distance) * np.float32(1 / (OUTLINE_BLEND * face_size)))
    total = weights.sum(0)
    inside = polygon_mask(grid.to_samples(shown), (grid.columns, grid.rows))
    nearest[inside.ravel()] = 0

    # the head as a rigid body whose surface falls back behind the outline
    matrix, shift = fit_rigid_head(source, target)
    back = np.float32(RIGID_WEIGHTS @ target[RIGID, 2] + HEAD_DEPTH * face_size)
    z = oval_z @ weights / total
    turned = None
    if surroundings.matte:
        turned = turned_sides(surroundings.outline, target, matrix)
    beside = Beside(points.astype(np.float32), nearest, weights / total)
    z += depth_behind_outline(
        (source, target), (surroundings.outline, found), matrix, beside, turned
    )
    # the identity is subtracted: a displacement, not a position
    linear = matrix[:2, :2] - np.eye(2, dtype=np.float32)

    def displace(p: Array32, depth: Array32) -> Array32:
        return np.asarray(linear @ p + matrix[:2, 2:] * depth + shift[:2, None])

    rigid, rigid_oval = displace(points, z), displace(oval, oval_z)
    similarity = _fit_residual_similarity(oval, (source_oval - outline).T - rigid_oval)
    # of a head at rest the outline moves with the jaw alone, which says nothing of depth
    moves = smoothstep(0, STILL_HEAD * face_size, float(np.hypot(*rigid_oval).max()))
    similarity *= np.float32(moves)
    rigid += similarity[:, :2] @ points + similarity[:, 2:]
    rigid_oval += similarity[:, :2] @ oval + similarity[:, 2:]

    parting: NeckMotion | None = None
    if surroundings.neck is not None:
        hair_step, meshes = surroundings.hair_step, (source, target)
        parting = find_motion(surroundings.neck, hair_step, meshes, matrix, (points + rigid, z))
        rigid += parting.shift
    motion = float(np.hypot(*displace(oval, np.full(len(OVAL), back))).max()) / face_size
    rise = float(rigid_oval[1].mean()) / face_size, float(rigid_oval[1].max()) / face_size
    weight = _follow_weight(surroundings, target, motion, rise, points, rigid)
    size = grid.rows, grid.columns
    weight = widen_weight(weight.reshape(size), np.hypot(*rigid).reshape(size) / grid.step)
    middle = ((target[FOREHEAD, :2] + target[CHIN, :2]) / 2).astype(np.float32)
    end = motion_reach(source, target) - EDGE
    left = (end - np.hypot(*(points - middle[:, None])) / face_size) / (end - FADING_FROM)
    weight = np.minimum(weight, np.clip(left, 0, 1).reshape(size))
    field = weight.ravel() * rigid
    oval_samples = grid.to_samples(shown)[None].astype(np.float32)
    oval_weight = remap(weight, oval_samples)[0]
    moved = texture[OVAL] - source[OVAL, :2]
    moved += MERGED * face_height(source) * _outwards(moved, source_oval)
    own = (source_oval + moved - outline).T.astype(np.float32)
    raised: Array32 | None = None
    if surroundings.neck is None:
        away = _away(outline, middle)
        raised = _jaw_raise(own - rigid_oval, away, face_size)
        own += BELOW_JAW * face_size * raised * away.T
    residual = own - oval_weight * rigid_oval
    residual *= (1 - hidden).astype(np.float32)
    if turned is not None:
        residual *= (1 - turned * BESIDE).astype(np.float32)
    residual_flow = residual @ weights / total
    flow_length = np.hypot(residual_flow[0], residual_flow[1])
    length = np.float32(FADE_LENGTH * face_size) + np.float32(FADE_PER_PIXEL) * flow_length
    share = 1 - smoothstep(0, 1, nearest / length)
    if raised is not None:
        short = np.maximum(np.float32(RAISED_FADE) * flow_length, np.float32(1e-3))
        share += raised @ weights / total * (np.clip(1 - nearest / short, 0, 1) - share)
    field += share * residual_flow
    if parting is not None and (parting.raised > 0 or parting.parted.any()):
        jaw, below = source_oval.T.astype(np.float32), _CHIN.astype(np.float32) @ weights / total
        worn = surroundings.cloth
        cloth = None if worn is None else (worn, surroundings.hair_step)
        field += hidden_by_jaw(source, jaw, points + field, parting, below, cloth)
    if carried is not None:
        field += carried
    flow = np.ascontiguousarray(field.T).reshape(grid.rows, grid.columns, 2)
    if motion < UNFOLDED_MOTION[0] or min(flow.shape[:2]) < 2:
        return flow
    return unfold_field(flow, inside, grid.step, float(smoothstep(*UNFOLDED_MOTION, motion)))


def _outwards(moved: Array, oval: Array) -> Array:
    """Return the directions (36, 2) in which texture has moved outwards, 0 where it has not.

    Less than a pixel is a share of a direction.

    Args:
        moved: (36, 2) source pixels by which it has.
        oval: (36, 2) source pixels of the points.
    """
    outwards = ((oval - oval.mean(0)) * moved).sum(1, keepdims=True) > 0
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.where(outwards, moved / np.maximum(length, 1.0), 0.0)


def _away(outline: Array, middle: Array32) -> Array32:
    """Return the directions (36, 2) in which points lie from the middle of their face."""
    away = outline - middle
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    return np.asarray(away, np.float32)


def _jaw_raise(own: Array32, away: Array32, face_size: float) -> Array32:
    """Return how far points of the outline are those of a jaw that rises a lot, (36,) in 0..1.

    Args:
        own: (2, 36) pixels from each point to where the source shows it, beside the head's motion.
        away: (36, 2) their directions from the middle of the face.
        face_size: its height in pixels.
    """
    raised = (own.T * away).sum(1) / face_size
    return np.asarray(_JAW * smoothstep(*RAISED_RANGE, raised), np.float32)


def _follow_weight(
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
    middle = ((target[FOREHEAD, :2] + target[CHIN, :2]) / 2).astype(np.float32)
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
