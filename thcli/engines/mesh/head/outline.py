"""Head as a rigid body: its motion, its outline, and the surface that falls back behind it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from thcli.core.geometry import fit_similarity
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh.anatomy import CHIN, FOREHEAD, RIGID, RIGID_WEIGHTS, face_height
from thcli.faces.landmarks.topology import OVAL

# Steepness of the head's surface at the outline, pixels back per pixel outwards: beside, below and
# above the face. Above it is a dome, whose steepness grows by 2 * DOME with each face height.
SIDE_SLOPE, LOW_SLOPE, TOP_SLOPE, DOME = 2.5, 0.95, 0.3, 2.5
HEAD_DEPTH = 0.5  # face heights that it falls back at most, behind the middle of the face
BACK_DEPTH = 0.25  # face heights that are added as the back of the head comes into view
FULL_VIEW_COSINE = 0.7  # of the turn by which all of that is seen
# Entry of a view ray into the head: source pixels that it gets behind the surface per target pixel
# of depth. It is 0 for a ray that grazes the surface, less for a surface that faces away from the
# camera. From which to which entry the surface beside the face and the dome are hidden, and seen;
# the entry into the dome is at least LEAST_ENTRY at the outline where it is divided by.
SIDE_ENTRY, DOME_ENTRY, LEAST_ENTRY = (0.05, 0.35), (-0.25, 0.25), 0.1
# Face heights above the middle of the face: hair along the far edge of the head is gone at the
# temple. From the top it tapers to what TAPERED leaves.
TAPER, TAPERED, TEMPLE = (0.3, 1.1), 0.8, (0.1, 0.25)
FAR_EDGE = (-0.12, 0.02)  # face heights beyond the far end of the face: hair on it, hair beside it
MIDDLE = 0.3  # face heights to either side of the face's middle, where one side becomes the other
MIN_DEPTH_COSINE = 0.2  # least cosine between the views of source and target that depth divides by
HULL_TOLERANCE = 0.04  # face heights that an outline point may lie inside of the mesh's hull
LEFT_SIDE, RIGHT_SIDE = OVAL[27], OVAL[9]  # widest points of the oval, on the image's sides
LEFT_EAR, RIGHT_EAR = 28, 8  # of the outline: the points above them
_angles = 2 * np.pi * np.arange(len(OVAL)) / len(OVAL)  # the oval starts at the forehead
_FRONTAL_NORMALS = np.stack([np.sin(_angles), -np.cos(_angles)], 1)
_sides = np.sin(_angles) ** 2
# how fully outline points lose what has turned away: hair tapers from the forehead to the ear
BESIDE = np.where(
    np.cos(_angles) > 0,
    0.3 * smoothstep(0, 0.6, _sides) + 0.7 * smoothstep(0.85, 1, _sides),
    smoothstep(0.45, 0.75, _sides),
)
_UPPER = np.cos(_angles) > 0
_SLOPES = np.where(_UPPER, TOP_SLOPE, LOW_SLOPE) * (1 - _sides) + SIDE_SLOPE * _sides
_BENDS = np.where(_UPPER, DOME * (1 - _sides), 0)


@dataclass(frozen=True, slots=True)
class Outline:
    """Outline of a face in an image.

    points: (36, 2) pixels.  push: (36,) pixels from the hidden points of the mesh to them.
    """

    points: Array
    push: Array


@dataclass(frozen=True, slots=True)
class Beside:
    """Target pixels beside a face.

    points: (2, N).  distance: (N,) to the outline.  weights: (36, N) of the outline's points; they
    add up to 1.
    """

    points: Array32
    distance: Array32
    weights: Array32


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
    points = (np.asarray(mesh[RIGID], np.float64).tobytes() for mesh in (target, source))
    return _fit_rigid_points(*points)


@lru_cache(maxsize=16)
def _fit_rigid_points(target: bytes, source: bytes) -> tuple[Array32, Array32]:
    """Fit the rigid points (K, 3) of `fit_rigid_head`; the parts of a frame ask for the same."""
    x, y = (np.frombuffer(points).reshape(-1, 3) for points in (target, source))
    scale, rotation, shift = fit_similarity(x, y, RIGID_WEIGHTS)
    return (scale * rotation).astype(np.float32), shift.astype(np.float32)


def sine_of_yaw(mesh: Array) -> float:
    """Return the sine of a mesh's yaw: how much further away one side is, over the width."""
    oval = mesh[OVAL]
    across = (oval[1:18] - oval[:18:-1]).mean(0)
    return float(across[2] / max(float(np.linalg.norm(across)), 1e-9))


def depth_behind_outline(
    meshes: tuple[Array, Array],
    outlines: tuple[Outline, Outline],
    matrix: Array32,
    beside: Beside,
    turned: Array | None,
) -> Array32:
    """Intersect the view of each target pixel with the head's surface behind the outline.

    In the source the surface falls back from the outline, down to HEAD_DEPTH, beside and below the
    face as a slope, above it as a dome. The side that turns towards the camera grows flatter and
    the other one steeper.

    Args:
        meshes: (468, 3) of source and target.
        outlines: of source and target.
        matrix: (3, 3) source from target, of the rigid head.
        beside: the pixels.
        turned: (36,) from `turned_sides`, 0 for what is seen, 1 for what has turned away; None
            where the background moves with the head and nothing vanishes.

    Returns:
        (N,) float32 depth behind the target outline, target pixels.
    """
    source, target = meshes
    source_outline, outline = outlines
    out_target, out_source = outward_normals(outline.points), outward_normals(source_outline.points)
    across = np.einsum("ki,ij,kj->k", out_source, matrix[:2, :2], out_target)
    sideways = out_source @ matrix[:2, 2]  # source pixels outwards per pixel of target depth
    tilt = out_target @ matrix[2, :2]
    into = _into(matrix)
    cosine = float(matrix[2, 2] / max(np.linalg.norm(matrix[2]), 1e-6))
    seen = float(np.clip((1 - cosine) / (1 - FULL_VIEW_COSINE), 0, 1))
    depth = (HEAD_DEPTH + BACK_DEPTH * seen) * face_height(source)
    back = float(RIGID_WEIGHTS @ source[RIGID, 2]) + depth
    room = np.maximum(back - source[OVAL, 2], 0)
    push = np.maximum(outline.push - source_outline.push, 0)
    bends = _BENDS / face_height(source)
    rows = np.stack([push, across, sideways, tilt, room, _SLOPES, bends]).astype(np.float32)
    push, across, sideways, tilt, room, slope, bend = rows @ beside.weights
    # into * z + tilt * d = slope * s + bend * s^2 for the source's s = across * d + sideways * z
    d = beside.distance + push
    steepness = into - slope * sideways
    rise = slope * across - tilt
    fall = 4 * bend * sideways * d * (across * steepness + sideways * rise)
    root = np.sqrt(np.maximum(steepness**2 - fall, MIN_DEPTH_COSINE**2))
    first = np.maximum(steepness - 2 * bend * across * sideways * d, MIN_DEPTH_COSINE)
    surface = 2 * (bend * (across * d) ** 2 + rise * d) / (first + root)
    surface = np.maximum(surface, -tilt * d / into)
    behind = (room - tilt * d) / into
    nearest = np.minimum(surface, behind)  # on the surface, and on the plane behind the head
    if turned is None:
        return np.asarray(nearest, np.float32)
    # of the dome, (steepness^2 - fall) / steepness, as smooth where rays miss it as where they hit
    entry = steepness - np.where(steepness > 0, fall / np.maximum(steepness, LEAST_ENTRY), 0)
    above = _hidden_above(turned, target, beside, entry)
    lower, upper = np.stack([turned * BESIDE, _UPPER]).astype(np.float32) @ beside.weights
    hidden = lower + upper * (above - lower)
    return np.asarray(nearest + hidden * (behind - nearest), np.float32)


def _hidden_above(turned: Array, target: Array, beside: Beside, entry: Array32) -> Array32:
    """Return how far pixels above the eyes lie beyond the head's far edge, (N,) 0..1, 1 beyond it.

    Hair along the edge tapers with the height, not by the nearest point of the outline: from the
    upper corner of the face the pixels of neighbouring points part like a fan, and hair would end
    there in a step.

    Args:
        turned: (36,) of the outline's points, 0 for what is seen, 1 for what has turned away.
        target: (468, 3) target mesh.
        beside: the pixels.
        entry: (N,) of their view rays into the dome, see DOME_ENTRY.
    """
    face_size = face_height(target)
    up = (target[FOREHEAD, :2] - target[CHIN, :2]) / face_size**2
    middle = ((target[FOREHEAD, :2] + target[CHIN, :2]) / 2).astype(np.float32)
    axes = np.array([[-up[1], up[0]], up], np.float32)
    across, above = axes @ (beside.points - middle[:, None])
    oval = axes @ (target[OVAL, :2].astype(np.float32).T - middle[:, None])
    right = smoothstep(-MIDDLE, MIDDLE, across)
    side = turned[LEFT_EAR] + right * (turned[RIGHT_EAR] - turned[LEFT_EAR])
    ends = oval[0] * (oval[1] > TEMPLE[0])
    beyond = np.maximum(across - ends.max(), ends.min() - across)
    share = TAPERED * (1 - smoothstep(*TAPER, above))
    share += (1 - TAPERED) * (1 - smoothstep(*TEMPLE, above))
    seen = smoothstep(*DOME_ENTRY, entry) * (1 - share * smoothstep(*FAR_EDGE, beyond))
    return np.asarray(side * (1 - seen), np.float32)


def turned_sides(source_outline: Outline, target: Array, matrix: Array32) -> Array:
    """Return how far the surface behind outline points would be turned away beside the face.

    What lies on it is behind the face then, and the plane behind the head shows.

    Args:
        source_outline: of the source.
        target: (468, 3) target mesh.
        matrix: (3, 3) source from target, of the rigid head.

    Returns:
        (36,) 0..1: 0 for what is seen, 1 for what has turned away from the camera.
    """
    turned = _turned_away(_into(matrix), outward_normals(source_outline.points) @ matrix[:2, 2])
    # the ear that a turned source shows is seen until its head has turned past the front
    sine = sine_of_yaw(target)
    cosine = float(np.sqrt(max(1 - sine**2, 0.0)))
    least = _turned_away(cosine, sine * np.sign(np.sin(_angles)))
    return np.where(_UPPER, np.minimum(turned, least), turned)


def _turned_away(into: float, sideways: Array) -> Array:
    """Return 0 for a surface beside the face that is seen, 1 for one that has turned away, (36,).

    Args:
        into: source depth per pixel of target depth.
        sideways: (36,) source pixels outwards per pixel of target depth.
    """
    return np.asarray(1 - smoothstep(*SIDE_ENTRY, into - SIDE_SLOPE * sideways))


def _into(matrix: Array32) -> float:
    """Return the source depth per pixel of target depth."""
    return max(float(matrix[2, 2]), MIN_DEPTH_COSINE)


def outward_normals(outline: Array) -> Array:
    """Return the outward unit normals of an outline's points (36, 2)."""
    along = np.roll(outline, -1, 0) - np.roll(outline, 1, 0)
    normal = np.stack([along[:, 1], -along[:, 0]], 1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    return normal if ((outline - outline.mean(0)) * normal).sum() > 0 else -normal
