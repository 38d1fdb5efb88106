"""Texture positions of the mesh's border where a turn brings it into view.

The source shows the skin beside the ears from the side, a few pixels wide, and the mesh's border
is no more exact than that: hair, ear and background lie on it. Where such skin turns towards the
camera it is stretched several times. It then takes its texture from further inside. Where hair
hangs beside the cheek, that covers it in a turn, too, and the border takes its texture from there:
skin would be as broad as the head beneath the hair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.geometry import transform_points
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.head.outline import fit_rigid_head
from thcli.engines.mesh.sampling import box_mean, odd_size, remap
from thcli.faces.landmarks.topology import OVAL, POINTS
from thcli.faces.parsing.classes import HAIR
from thcli.faces.parsing.crops import Regions
from thcli.motion.canonical import neutral

# Face heights by which the outermost texture moves inwards, and outwards where hair hangs beside it
PULL, PUSH = 0.055, 0.09
TEMPLE_SHARE = 0.15  # of it above the eyes, where brows and glasses reach the border
ASIDE = (0.08, 0.3)  # face heights beside the face's axis over which it begins, evenly along a jaw
BORDER_WIDTH = 0.15  # face heights from the oval to skin that stays
STEEP_COSINE = (0.25, 0.6)  # of surface and view in the source: steep, flat
TURN = (0.16, 0.38)  # growth of that cosine: none, full
COVERED = (0.26, 0.37)  # the same of the hair that hangs beside it: not yet, all of it
# Share of an inward move that what lies beside the outline goes along with, and what background
# adds: the neck that a jaw uncovers is not known. Sines of a raised chin: so far, and not at all
FOLLOWED, BARE = 0.35, 0.45
RAISED = float(np.sin(np.radians(4.0))), float(np.sin(np.radians(14.0)))
REGION_RADIUS = 0.03  # face heights around a point in which shares of regions are measured
# Share of hair on a side's border, none and before it, and BESIDE it by that many face heights: an
# ear, and hair that hangs there; least weight of the border's points that tell it
BEFORE_RANGE, BESIDE_RANGE, BESIDE, OUTER = (0.42, 0.55), (0.55, 0.72), 0.06, 0.5


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


@dataclass(frozen=True, slots=True)
class BorderHair:
    """Hair at the border of a mesh, each side as a whole: else it would end in jags.

    before: (468,) 0..1, how far hair lies before it.  beside: (468,) 0..1, how far it hangs beside.
    """

    before: Array
    beside: Array

    @staticmethod
    def find(normal: Array, mesh: Array, regions: Regions | None) -> BorderHair:
        """Find the hair of a source.

        Args:
            normal: (468, 3) `inward_normals` of the mesh.
            mesh: (468, 3) pixels.
            regions: of the face; None finds none.
        """
        if regions is None:
            return NO_HAIR
        away = BESIDE * anatomy.face_height(mesh) * outwards(normal)
        before, beside = (
            _by_sides(region_share(regions, HAIR, mesh[:, :2] + shift), limits)
            for shift, limits in ((0.0, BEFORE_RANGE), (away, BESIDE_RANGE))
        )
        return BorderHair(before, beside)

    def covers(self, growth: Array) -> Array:
        """Return how far hair that hangs beside a cheek covers it, (468,) 0..1.

        growth: (468,) by which the cosines of its points to the view have grown in a turn.
        """
        return np.asarray(self.beside * smoothstep(*COVERED, growth))


NO_HAIR = BorderHair(np.zeros(POINTS), np.zeros(POINTS))


def _by_sides(hair: Array, limits: tuple[float, float]) -> Array:
    """Return how far either side's border has hair, (468,) 0..1, by its share (468,)."""
    across = neutral()[:, 0]
    left, right = (
        float(smoothstep(*limits, hair[(BORDER > OUTER) & (side * across > 0)].mean()))
        for side in (-1, 1)
    )
    return np.where(across < 0, left, right)


def texture_positions(
    normal: Array, mesh: Array, target: Array, hair: BorderHair = NO_HAIR
) -> Array:
    """Return the source pixels (468, 2) that the points of a target mesh show.

    Args:
        normal: (468, 3) `inward_normals` of the source.
        mesh, target: (468, 3) source and target meshes.
        hair: of the source.
    """
    growth = turned_cosines(normal, mesh, target) - normal[:, 2]
    covered = hair.covers(growth)
    pulled = PULL * (1 - hair.before) * smoothstep(*TURN, growth)
    return shifted_positions(normal, mesh, pulled - covered * (pulled + PUSH))


def shifted_positions(normal: Array, mesh: Array, inwards: Array | float) -> Array:
    """Return the source pixels (468, 2) of points whose texture moves inwards by face heights.

    Only steep points of the border do.
    """
    shift = inwards * anatomy.face_height(mesh) * BORDER * _AT_JAW
    shift = shift * (1 - smoothstep(*STEEP_COSINE, normal[:, 2]))
    return np.asarray(mesh[:, :2] - shift[:, None] * outwards(normal))


def moved_beside(moved: Array, mesh: Array, matrix: Array32, bare: Array | None) -> Array:
    """Return the source pixels (36, 2) by which the texture beside the outline moves.

    If all of it went along with skin that comes from further inside, faces would be broad on the
    side that they turn to the camera, and their jaws, where the chin is raised.

    Args:
        moved: (36, 2) source pixels by which that of the outline's points does.
        mesh: (468, 3) of the source.
        matrix: (3, 3) source from target, of the rigid head.
        bare: (36,) in 0..1, how far background lies beside these points; None when not known.
    """
    view, up = matrix[:, 2], (mesh[anatomy.FOREHEAD] - mesh[anatomy.CHIN])[:2]
    size = max(float(np.linalg.norm(view)), 1e-9) * anatomy.face_height(mesh)
    raised = smoothstep(*RAISED, float(view[:2] @ up) / size)
    followed = (1 - raised) * (FOLLOWED + (0.0 if bare is None else BARE * bare[:, None]))
    return np.where(along_radius(moved, mesh[OVAL, :2]) < 0, followed * moved, moved)


def along_radius(moved: Array, oval: Array) -> Array:
    """Return a measure (36, 1) of how far texture moves away from the middle of a face.

    Args:
        moved: (36, 2) source pixels by which that of the outline's points does.
        oval: (36, 2) source pixels of the points.
    """
    return np.asarray(((oval - oval.mean(0)) * moved).sum(1, keepdims=True))


def outwards(normal: Array) -> Array:
    """Return the directions (468, 2) in the picture to the outer side of points with a normal."""
    sideways = normal[:, :2]  # towards the middle of the face
    length = np.maximum(np.linalg.norm(sideways, axis=1, keepdims=True), 1e-9)
    return np.asarray(-sideways / length)


def _border_weights() -> Array:
    """Return weights (468,): 1 on the cheeks' border, falling to 0 at BORDER_WIDTH inside."""
    flat = neutral()[:, :2]
    border = 1 - smoothstep(0, BORDER_WIDTH, anatomy.neutral_distances(OVAL))
    eyes = flat[anatomy.LEFT_EYE, 1].mean()
    cheek = smoothstep(-0.05, 0.15, (flat[:, 1] - eyes) / anatomy.face_height(flat))
    return np.asarray(border * (TEMPLE_SHARE + (1 - TEMPLE_SHARE) * cheek))


BORDER = _border_weights()
_AT_JAW = smoothstep(*ASIDE, np.abs(neutral()[:, 0]) / anatomy.face_height(neutral()[:, :2]))
