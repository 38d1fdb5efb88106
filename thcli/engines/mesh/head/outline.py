"""Head as a rigid body: its motion, its outline, and the surface that falls back behind it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.geometry import fit_similarity
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh.anatomy import CHIN, FOREHEAD, RIGID, RIGID_WEIGHTS, face_height
from thcli.faces.landmarks.topology import OVAL

HEAD_SLOPE = 0.95  # steepness of the head's surface behind the outline, above and below the face
SIDE_SLOPE = 2.5  # steepness beside the face
HEAD_DEPTH = 0.5  # face heights that it falls back at most, behind the middle of the face
BACK_DEPTH = 0.25  # face heights that are added as the back of the head comes into view
FULL_VIEW_COSINE = 0.7  # of the turn by which all of that is seen
VANISHING = (0.05, 0.35)  # steepness to the view: hidden behind the face, and seen
MIN_DEPTH_COSINE = 0.2  # least cosine between the views of source and target that depth divides by
HULL_TOLERANCE = 0.04  # face heights that an outline point may lie inside of the mesh's hull
LEFT_SIDE, RIGHT_SIDE = OVAL[27], OVAL[9]  # widest points of the oval, on the image's sides
_angles = 2 * np.pi * np.arange(len(OVAL)) / len(OVAL)  # the oval starts at the forehead
_FRONTAL_NORMALS = np.stack([np.sin(_angles), -np.cos(_angles)], 1)
_sides = np.sin(_angles) ** 2
# how fully outline points lose what has turned away: hair tapers from the forehead to the ear
_BESIDE = np.where(
    np.cos(_angles) > 0,
    0.3 * smoothstep(0, 0.6, _sides) + 0.7 * smoothstep(0.85, 1, _sides),
    smoothstep(0.45, 0.75, _sides),
)
_SLOPES = HEAD_SLOPE + (SIDE_SLOPE - HEAD_SLOPE) * np.sin(_angles) ** 2


@dataclass(frozen=True, slots=True)
class Outline:
    """Outline of a face in an image.

    points: (36, 2) pixels.  push: (36,) pixels from the hidden points of the mesh to them.
    """

    points: Array
    push: Array


def find_outline(mesh: Array) -> Outline:
    """Move oval points that are hidden behind the mesh's outline outwards to its convex hull.

    On a turned head the far side of the oval lies behind the cheek. Without this step the old
    outline would show beside the new one. A point moves along the face's own axes, so that the
    points keep their order however far the head turns.

    Args:
        mesh: (468, 3) pixels.
    """
    flat = mesh[:, :2]
    oval = flat[OVAL]
    start = cv2.convexHull(flat.astype(np.float32))[:, 0].astype(np.float64)
    along = np.roll(start, -1, 0) - start
    normal = np.stack([along[:, 1], -along[:, 0]], 1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    centre = flat.mean(0)  # not the mean of the hull's corners, whose number jumps
    if ((centre - start[0]) * normal[0]).sum() > 0:
        normal = -normal
    reach = ((start - centre) * normal).sum(-1)
    inside = np.maximum(reach - (oval - centre) @ normal.T, 0)
    axes = np.stack([(mesh[RIGHT_SIDE] - mesh[LEFT_SIDE])[:2], (mesh[CHIN] - mesh[FOREHEAD])[:2]])
    axes /= np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-9)
    outwards = _FRONTAL_NORMALS @ axes
    outwards /= np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-9)
    speed = outwards @ normal.T
    exit_length = np.where(speed > 1e-3, inside / np.maximum(speed, 1e-3), np.inf).min(1)
    hidden = smoothstep(0.25, 2.0, inside.min(1) / (HULL_TOLERANCE * face_height(mesh)))
    push = np.where(np.isfinite(exit_length), hidden * exit_length, 0.0)
    return Outline(oval + push[:, None] * outwards, push)


def fit_rigid_head(source: Array, target: Array) -> tuple[Array32, Array32]:
    """Fit the rigid motion of the head from target to source mesh, (468, 3) each.

    Returns matrix (3, 3) and shift (3,), float32: source = matrix @ target + shift.
    """
    scale, rotation, shift = fit_similarity(target[RIGID], source[RIGID], RIGID_WEIGHTS)
    return (scale * rotation).astype(np.float32), shift.astype(np.float32)


def depth_behind_outline(
    source: Array,
    source_outline: Outline,
    outline: Outline,
    matrix: Array32,
    weights: Array32,
    distance: Array32,
    vanished: Array,
) -> Array32:
    """Intersect the view of each target pixel with the head's surface behind the outline.

    In the source the surface falls back from the outline, down to HEAD_DEPTH. The
    side that turns towards the camera grows flatter and the other one steeper.

    Args:
        source: (468, 3) source mesh.
        source_outline, outline: of source and target.
        matrix: (3, 3) source from target, of the rigid head.
        weights: (36, N) of the outline points; they add up to 1.
        distance: (N,) to the target outline in pixels.
        vanished: (36,) from `vanished_sides`.

    Returns:
        (N,) float32 depth behind the target outline, target pixels.
    """
    out_target, out_source = _outward(outline.points), _outward(source_outline.points)
    across = np.einsum("ki,ij,kj->k", out_source, matrix[:2, :2], out_target)
    sideways = out_source @ matrix[:2, 2]  # source pixels outwards per pixel of target depth
    tilt = out_target @ matrix[2, :2]
    into = max(float(matrix[2, 2]), MIN_DEPTH_COSINE)
    cosine = float(matrix[2, 2] / max(np.linalg.norm(matrix[2]), 1e-6))
    seen = float(np.clip((1 - cosine) / (1 - FULL_VIEW_COSINE), 0, 1))
    depth = (HEAD_DEPTH + BACK_DEPTH * seen) * face_height(source)
    back = float(RIGID_WEIGHTS @ source[RIGID, 2]) + depth
    room = np.maximum(back - source[OVAL, 2], 0)
    # on the slope, and on the plane behind the head; the nearer one is seen
    steepness = into - _SLOPES * sideways
    slope = (_SLOPES * across - tilt) / np.maximum(steepness, MIN_DEPTH_COSINE)
    slope = np.maximum(slope, -tilt / into)
    push = np.maximum(outline.push - source_outline.push, 0)
    plane = room - tilt * push
    rows = [slope * push, slope, plane / into, -tilt / into, vanished]
    values = np.stack(rows).astype(np.float32) @ weights
    behind = values[2] + values[3] * distance
    nearest = np.minimum(values[0] + values[1] * distance, behind)
    return np.asarray(nearest + values[4] * (behind - nearest))


def vanished_sides(source_outline: Outline, matrix: Array32) -> Array:
    """Return how far the surface behind each outline point is turned away from the view.

    What lies on it is behind the face then. Beside the face the plane behind the head shows.

    Args:
        source_outline: of the source.
        matrix: (3, 3) source from target, of the rigid head.

    Returns:
        (36,) 0..1.
    """
    sideways = _outward(source_outline.points) @ matrix[:2, 2]
    into = max(float(matrix[2, 2]), MIN_DEPTH_COSINE)
    turned = 1 - smoothstep(*VANISHING, into - SIDE_SLOPE * sideways)
    return np.asarray(turned * _BESIDE)


def _outward(outline: Array) -> Array:
    """Return the outward unit normals of an outline's points (36, 2)."""
    along = np.roll(outline, -1, 0) - np.roll(outline, 1, 0)
    normal = np.stack([along[:, 1], -along[:, 0]], 1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    return normal if ((outline - outline.mean(0)) * normal).sum() > 0 else -normal
