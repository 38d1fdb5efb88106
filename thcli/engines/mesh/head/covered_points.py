"""Points of a face that other skin covers, and eyes behind a nose, hair or dark glasses."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from thcli.core.geometry import transform_points
from thcli.core.types import Array
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.sampling import remap
from thcli.faces.landmarks.surface import inward_normals
from thcli.faces.parsing.classes import EYES, GLASSES, HAIR
from thcli.faces.parsing.crops import Regions

BEHIND = 0.02  # face heights by which skin lies before a point that it covers
SMALLEST = 0.01  # square pixels: doubled area of a triangle that covers something
# Mean cosine to the view, and share of the points that skin covers, of an eye that is hidden
TURNED_AWAY, LEAST_COVERED = 0.4, 0.2
# Mean probabilities over an eye, most of an eye and least of hair, where hair covers it. Eight such
# eyes have at most .02 and at least .28; of 160 pictures no other eye has both.
MOST_EYE, LEAST_HAIR = 0.05, 0.25
# The same over both eyes, of eyes and of glasses that are dark: 17 of 21 have at most .1, and of 54
# others two, which are dark as well
MOST_EYES, LEAST_GLASSES = 0.12, 0.8
AROUND = (0.0, 0.5, 1.0, 1.4)  # shares of the way from the middle of an eye to its rims
Cover = Literal["none", "hair", "glasses"]
NO_COVERS: tuple[Cover, Cover] = ("none", "none")


def are_eyes_hidden(mesh: Array) -> list[bool]:
    """Return which of the `EYES` of a mesh (468, 3) its turn hides."""
    cosine = inward_normals(mesh)[:, 2]
    return [
        bool(cosine[ring].mean() < TURNED_AWAY and covered(mesh, ring).mean() > LEAST_COVERED)
        for ring in anatomy.EYES
    ]


def find_covers(regions: Regions, mesh: Array) -> tuple[Cover, Cover]:
    """Return what covers each of the `EYES`: hair, or dark glasses, which cover both.

    Args:
        regions: of the face.
        mesh: (468, 3) pixels.
    """
    rims = mesh[np.array(anatomy.EYES), :2]
    middles = rims.mean(1, keepdims=True)
    points = np.concatenate([middles + share * (rims - middles) for share in AROUND], 1)
    places = transform_points(regions.placement.crop_from_frame, points).astype(np.float32)
    eye, hair, glasses = (
        remap(regions.mask(group), places).mean(1) for group in (EYES, HAIR, GLASSES)
    )
    if eye.mean() < MOST_EYES and glasses.min() > LEAST_GLASSES:
        return "glasses", "glasses"
    behind = (eye < MOST_EYE) & (hair > LEAST_HAIR)
    return "hair" if behind[0] else "none", "hair" if behind[1] else "none"


def covered(mesh: Array, points: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Return which points (N,) of a mesh (468, 3) lie behind one of its triangles, (N,)."""
    first, second, third = (mesh[anatomy.TRIANGLES[:, corner]] for corner in range(3))
    along, beside, to = second - first, third - first, mesh[points, None] - first
    area = along[:, 0] * beside[:, 1] - along[:, 1] * beside[:, 0]
    area = np.where(np.abs(area) < SMALLEST, np.nan, area)  # a line covers nothing
    u = (to[..., 0] * beside[:, 1] - to[..., 1] * beside[:, 0]) / area
    v = (along[:, 0] * to[..., 1] - along[:, 1] * to[..., 0]) / area
    behind = to[..., 2] - u * along[:, 2] - v * beside[:, 2] > BEHIND * anatomy.face_height(mesh)
    found = ((u >= 0) & (v >= 0) & (u + v <= 1) & behind).any(1)
    return np.asarray(found, np.bool_)
