"""Texture positions of the mesh's border where a turn brings it into view.

The source shows the skin beside the ears from the side, a few pixels wide, and the mesh's border
is no more exact than that: hair, ear and background lie on it. Where such skin turns towards the
camera it is stretched several times. It then takes its texture from further inside, unless much
hair lies there: skin would come out on the hair's other side.
"""

from __future__ import annotations

import numpy as np

from thcli.core.geometry import transform_points
from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.head.outline import fit_rigid_head
from thcli.engines.mesh.sampling import box_mean, odd_size, remap
from thcli.faces.landmarks.topology import FRONT_SIGNS, OVAL, POINTS, TRIANGLES
from thcli.faces.parsing.classes import HAIR
from thcli.faces.parsing.crops import Regions
from thcli.motion.canonical import neutral

PULL = 0.055  # face heights by which the outermost texture moves inwards
TEMPLE_SHARE = 0.15  # of it above the eyes, where brows and glasses reach the border
BORDER_WIDTH = 0.15  # face heights from the oval to skin that stays
STEEP_COSINE = (0.25, 0.6)  # of surface and view in the source: steep, flat
TURN = (0.16, 0.38)  # growth of that cosine: none, full
REGION_RADIUS = 0.03  # face heights around a point in which shares of regions are measured
# Share of hair before a side's border from which that keeps its own texture; its least weight
HAIR_RANGE, OUTER = (0.42, 0.55), 0.5

_CORNERS = TRIANGLES.T.ravel()
COUNT = np.maximum(np.bincount(_CORNERS, minlength=POINTS), 1)


def sum_at_points(values: Array) -> Array:
    """Sum values (852,) of triangles at their corners: (468,)."""
    return np.asarray(np.bincount(_CORNERS, np.tile(values, 3), POINTS), np.float64)


def normals(mesh: Array) -> Array:
    """Compute the (468, 3) unit normals of a mesh.

    z is the cosine to the view: 1 towards the camera, negative away from it.
    """
    a, b, c = (mesh[TRIANGLES[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a) * FRONT_SIGNS[:, None]
    total = np.stack([sum_at_points(normal[:, k]) for k in range(3)], 1)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9))


def turned_cosines(normal: Array, mesh: Array, target: Array) -> Array:
    """Compute the cosines (468,) of a source's normals to the view of a target.

    The head turns, not the face: a smile hides no cheek.
    """
    view = fit_rigid_head(mesh, target)[0][:, 2]
    return np.asarray(normal @ (view / max(float(np.linalg.norm(view)), 1e-9)))


def region_share(regions: Regions, classes: frozenset[int], positions: Array) -> Array:
    """Return the share of classes around source pixels (468, 2), (468,) 0..1."""
    points = transform_points(regions.placement.crop_from_frame, positions)
    reach = odd_size(2 * REGION_RADIUS * anatomy.face_height(points))
    found = remap(box_mean(regions.mask(classes), reach), points[None].astype(np.float32))[0]
    return np.asarray(found, np.float64)


def bare_border(regions: Regions, mesh: Array) -> Array:
    """Return how far the mesh's border (468,) takes its texture from inside, 0 before hair.

    Each side as a whole: where one part did and the next did not, hair would end in jags.

    Args:
        regions: of the face.
        mesh: (468, 3) pixels.
    """
    hair = region_share(regions, HAIR, mesh[:, :2])
    across = neutral()[:, 0]
    left, right = (
        1 - float(smoothstep(*HAIR_RANGE, hair[(BORDER > OUTER) & (side * across > 0)].mean()))
        for side in (-1, 1)
    )
    return np.where(across < 0, left, right)


def texture_positions(
    normal: Array, mesh: Array, target: Array, share: Array | float = 1.0
) -> Array:
    """Return the source pixels (468, 2) that the points of a target mesh show.

    Args:
        normal: (468, 3) `normals` of the source.
        mesh, target: (468, 3) source and target meshes.
        share: (468,) `bare_border` of the source, or 1.
    """
    growth = smoothstep(*TURN, turned_cosines(normal, mesh, target) - normal[:, 2])
    return pulled_positions(normal, mesh, growth * share)


def pulled_positions(normal: Array, mesh: Array, growth: Array | float) -> Array:
    """Return the source pixels (468, 2) of points that turned into view by a growth, 0..1."""
    pull = PULL * anatomy.face_height(mesh) * growth * BORDER
    pull = pull * (1 - smoothstep(*STEEP_COSINE, normal[:, 2]))
    sideways = normal[:, :2]  # of the inner side: towards the middle of the face
    length = np.maximum(np.linalg.norm(sideways, axis=1, keepdims=True), 1e-9)
    return np.asarray(mesh[:, :2] + pull[:, None] * sideways / length)


def _border_weights() -> Array:
    """Return weights (468,): 1 on the cheeks' border, falling to 0 at BORDER_WIDTH inside."""
    flat = neutral()[:, :2]
    border = 1 - smoothstep(0, BORDER_WIDTH, anatomy.neutral_distances(OVAL))
    eyes = flat[anatomy.LEFT_EYE, 1].mean()
    cheek = smoothstep(-0.05, 0.15, (flat[:, 1] - eyes) / anatomy.face_height(flat))
    return np.asarray(border * (TEMPLE_SHARE + (1 - TEMPLE_SHARE) * cheek))


BORDER = _border_weights()
