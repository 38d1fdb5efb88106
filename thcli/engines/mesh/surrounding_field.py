"""Displacement field of the image outside of the mesh.

The head moves as a rigid body whose surface falls back behind the outline of the face, so that a
turning head shows the right parallax between face, ears and hair. At the outline of the face the
field meets the mesh exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh.anatomy import RIGID, RIGID_WEIGHTS, face_height
from thcli.engines.mesh.field_folds import unfold_field, widen_weight
from thcli.engines.mesh.head import steep_texture
from thcli.engines.mesh.head.neck import NeckMotion, find_motion, hidden_by_jaw
from thcli.engines.mesh.head.outline import (
    BESIDE,
    HEAD_DEPTH,
    Beside,
    depth_behind_outline,
    find_outline,
    fit_rigid_head,
    turned_sides,
)
from thcli.engines.mesh.head.shoulders import Shoulders
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import polygon_mask, remap
from thcli.engines.mesh.surroundings import (
    Surroundings,
    fade_to_reach,
    follow_weight,
    middle_of_face,
)
from thcli.faces.landmarks.topology import CHIN as JAW
from thcli.faces.landmarks.topology import OVAL

Bools = npt.NDArray[np.bool_]

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
UNFOLDED_MOTION = (0.03, 0.06)  # face heights of motion from which folds are smoothed
STILL_HEAD = 0.004  # face heights of motion up to which the head counts as being at rest
HIDDEN_RANGE = (0.03, 0.12)  # face heights of push from which an outline point is behind the face
# how far outline points are the chin's, and the jaw's; the oval starts at the forehead
_DOWNWARDS = -np.cos(2 * np.pi * np.arange(len(OVAL)) / len(OVAL))
_CHIN, _JAW = smoothstep(0.6, 0.9, _DOWNWARDS), smoothstep(0.3, 0.7, _DOWNWARDS)
_UPPER_OVAL = np.flatnonzero(~np.isin(OVAL, JAW))


@dataclass(frozen=True, slots=True)
class _Around:
    """Pixels around the outline of a target.

    nearest: (N,) pixels to the outline, 0 inside.  weights: (36, N) of the outline's points, and
    their sums, (N,).
    """

    nearest: Array32
    weights: Array32
    total: Array32

    @staticmethod
    def of(points: Array32, outline: Array32, inside: Bools, blend: float) -> _Around:
        """Weigh the outline's points (2, 36) around pixels (2, N).

        inside: (N,) of the outline.  blend: pixels over which its points are averaged.
        """
        distance = (points[0] - outline[0, :, None]) ** 2
        distance += (points[1] - outline[1, :, None]) ** 2
        np.sqrt(distance, out=distance)
        nearest = distance.min(0)
        weights = (nearest - distance) * np.float32(1 / blend)
        np.exp(weights, out=weights)
        nearest[inside] = 0
        return _Around(nearest, weights, weights.sum(0))

    def average(self, values: Array32) -> Array32:
        """Return values (..., 36) of the outline's points at the pixels, (..., N)."""
        return np.asarray(values @ self.weights / self.total)


@dataclass(frozen=True, slots=True)
class _RigidHead:
    """Displacement of the head as a rigid body, with half of the similarity that it leaves.

    linear: (2, 3), shift: (2,), of points in space.  similarity: (2, 3), of pixels.
    """

    linear: Array32
    shift: Array32
    similarity: Array32

    @staticmethod
    def fit(
        matrix: Array32, shift: Array32, oval: Array32, depth: Array32, flow: Array, still: float
    ) -> _RigidHead:
        """Fit the similarity to a rigid head.

        Args:
            matrix, shift: (3, 3), (3,) from `fit_rigid_head`.
            oval, depth: (2, 36) pixels of the outline, and (36,) theirs in space.
            flow: (2, 36) displacement of the outline.
            still: pixels of motion up to which the head counts as being at rest.
        """
        # the identity is subtracted: a displacement, not a position
        linear = matrix[:2, :2] - np.eye(2, dtype=np.float32)
        head = _RigidHead(np.c_[linear, matrix[:2, 2]], shift[:2], np.zeros((2, 3), np.float32))
        rigid = head.in_space(oval, depth)
        # of a head at rest the outline moves with the jaw alone, which says nothing of depth
        moves = smoothstep(0, still, float(np.hypot(*rigid).max()))
        similarity = _fit_residual_similarity(oval, flow - rigid) * np.float32(moves)
        return replace(head, similarity=similarity)

    def in_space(self, points: Array32, depth: Array32) -> Array32:
        """Displace pixels (2, N) at a depth (N,) without the similarity."""
        linear = self.linear[:, :2] @ points + self.linear[:, 2:] * depth
        return np.asarray(linear + self.shift[:, None])

    def displace(self, points: Array32, depth: Array32) -> Array32:
        """Displace pixels (2, N) at a depth (N,)."""
        rigid = self.in_space(points, depth)
        rigid += self.similarity[:, :2] @ points + self.similarity[:, 2:]
        return rigid


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
    shown = grid.to_samples(found.points)
    if shoulders is not None:  # from here on all is seen as if they were still
        carried = shoulders.displacement(points, surroundings.lower_edge)
        target = shoulders.still(target)
        points = points + carried
        found = find_outline(target)
    outline, source_oval = found.points, surroundings.outline.points
    oval, oval_z = outline.astype(np.float32).T, target[OVAL, 2].astype(np.float32)
    face_size = face_height(target)
    inside = polygon_mask(shown, (grid.columns, grid.rows))
    around = _Around.of(points, oval, inside.ravel(), OUTLINE_BLEND * face_size)

    # the head as a rigid body whose surface falls back behind the outline
    matrix, shift = fit_rigid_head(source, target)
    turned = None
    if surroundings.matte:
        turned = turned_sides(surroundings.outline, target, matrix)
    beside = Beside(points.astype(np.float32), around.nearest, around.weights / around.total)
    z = around.average(oval_z)
    z += depth_behind_outline(
        (source, target), (surroundings.outline, found), matrix, beside, turned
    )
    flow = (source_oval - outline).T
    head = _RigidHead.fit(matrix, shift, oval, oval_z, flow, STILL_HEAD * face_size)
    rigid, rigid_oval = head.displace(points, z), head.displace(oval, oval_z)
    parting: NeckMotion | None = None
    if surroundings.neck is not None:
        hair_step, meshes = surroundings.hair_step, (source, target)
        parting = find_motion(surroundings.neck, hair_step, meshes, matrix, (points + rigid, z))
        rigid += parting.shift

    # what hangs from the head, and the body, follow it by a weight
    back = np.float32(RIGID_WEIGHTS @ target[RIGID, 2] + HEAD_DEPTH * face_size)
    furthest = head.in_space(oval, np.full(len(OVAL), back))
    motion = float(np.hypot(*furthest).max()) / face_size
    rise = float(rigid_oval[1].mean()) / face_size, float(rigid_oval[1].max()) / face_size
    size = grid.rows, grid.columns
    weight = follow_weight(surroundings, target, motion, rise, points, rigid).reshape(size)
    weight = widen_weight(weight, np.hypot(*rigid).reshape(size) / grid.step)
    weight = np.minimum(weight, fade_to_reach(source, target, points).reshape(size))
    field = weight.ravel() * rigid

    # at the outline the field meets the mesh; what that lacks fades away from it
    middle, hidden = middle_of_face(target), found.push - surroundings.outline.push
    moved = texture[OVAL] - source[OVAL, :2]
    moved = steep_texture.moved_beside(moved, source, matrix, surroundings.bare)
    moved += MERGED * face_height(source) * _outwards(moved, source_oval)
    own = (source_oval + moved - outline).T.astype(np.float32)
    raised: Array32 | None = None
    if surroundings.neck is None:
        away = _away(outline, middle)
        raised = _jaw_raise(own - rigid_oval, away, face_size)
        own += BELOW_JAW * face_size * raised * away.T
    residual = own - remap(weight, shown[None].astype(np.float32))[0] * rigid_oval
    seen = 1 - smoothstep(*HIDDEN_RANGE, np.maximum(hidden, 0) / face_size)
    residual *= seen.astype(np.float32)
    if turned is not None:
        residual *= (1 - turned * BESIDE).astype(np.float32)
    field += _fade(around, residual, raised, face_size)
    if parting is not None and (parting.raised > 0 or parting.parted.any()):
        jaw, below = source_oval.T.astype(np.float32), around.average(_CHIN.astype(np.float32))
        worn = surroundings.cloth
        cloth = None if worn is None else (worn, surroundings.hair_step)
        field += hidden_by_jaw(source, jaw, points + field, parting, below, cloth)
    if carried is not None:
        field += carried
    out = np.ascontiguousarray(field.T).reshape(*size, 2)
    if motion < UNFOLDED_MOTION[0] or min(size) < 2:
        return out
    return unfold_field(out, inside, grid.step, float(smoothstep(*UNFOLDED_MOTION, motion)))


def _fade(around: _Around, residual: Array32, raised: Array32 | None, face_size: float) -> Array32:
    """Return the flow (2, N) that fades away from the outline.

    Args:
        around: the pixels.
        residual: (2, 36) flow at the outline.
        raised: (36,) in 0..1, how far points are those of a raised jaw; None of a known neck.
        face_size: height of the face in pixels.
    """
    flow = around.average(residual)
    size = np.hypot(flow[0], flow[1])
    length = np.float32(FADE_LENGTH * face_size) + np.float32(FADE_PER_PIXEL) * size
    share = 1 - smoothstep(0, 1, around.nearest / length)
    if raised is not None:
        short = np.maximum(np.float32(RAISED_FADE) * size, np.float32(1e-3))
        share += around.average(raised) * (np.clip(1 - around.nearest / short, 0, 1) - share)
    return np.asarray(share * flow)


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


def _outwards(moved: Array, oval: Array) -> Array:
    """Return the directions (36, 2) in which texture has moved outwards, 0 where it has not.

    Less than a pixel is a share of a direction.

    Args:
        moved: (36, 2) source pixels by which it has.
        oval: (36, 2) source pixels of the points.
    """
    outwards = steep_texture.along_radius(moved, oval) > 0
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
