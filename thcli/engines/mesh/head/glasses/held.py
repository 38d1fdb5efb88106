"""Glasses: a rigid piece on the head, which brows, lids and cheeks do not bend."""

from __future__ import annotations

import numpy as np

from thcli.core.geometry import transform_points
from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.head.outline import fit_rigid_head
from thcli.engines.mesh.sampling import box_mean, odd_size, remap
from thcli.faces.landmarks.topology import EYES
from thcli.faces.parsing.classes import GLASSES
from thcli.faces.parsing.crops import Regions

FRAME_RADIUS = 0.04  # face heights around a lens that are its frame
FRAME = (0.15, 0.5)  # probability of glasses near a point: skin, glasses
WORN = (0.35, 0.6)  # mean probability around the eyes: none are worn, some are
AROUND_EYES = 0.12  # face heights from the eyes that lenses cover
LIDS = (0.035, 0.06)  # face heights from the eyes: moves with the lids, rigid


def find(regions: Regions, mesh: Array, *, are_dark: bool = False) -> Array | None:
    """Return how far each point of a mesh (468,) is glasses, 0..1; None where none are worn.

    Args:
        regions: of the face.
        mesh: (468, 3) pixels of the image.
        are_dark: no lid moves behind them.
    """
    points = transform_points(regions.placement.crop_from_frame, mesh[:, :2])
    size = anatomy.face_height(points)
    near = box_mean(regions.mask(GLASSES), odd_size(2 * FRAME_RADIUS * size))
    found = remap(near, points[None].astype(np.float32))[0]
    worn = smoothstep(*WORN, float(found[_LENSES].mean()))
    if worn <= 0:
        return None
    return np.asarray(worn * smoothstep(*FRAME, found) * (1.0 if are_dark else _FREE_OF_LIDS))


def hold(weight: Array, source: Array, target: Array) -> Array:
    """Return a target mesh (468, 3) whose glasses move with the head alone.

    Args:
        weight: (468,) from `find`.
        source, target: (468, 3) meshes.
    """
    matrix, shift = fit_rigid_head(source, target)
    rigid = (source - shift) @ np.linalg.inv(matrix).T
    return np.asarray(target + weight[:, None] * (rigid - target))


_FROM_EYES = anatomy.neutral_distances(np.concatenate(EYES))
_FREE_OF_LIDS = smoothstep(*LIDS, _FROM_EYES)
_LENSES = _FROM_EYES < AROUND_EYES
