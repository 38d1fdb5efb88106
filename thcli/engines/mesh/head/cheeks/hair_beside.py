"""Width of the hair beside a face."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy

REACH = 1.5  # face heights beside the face in which hair is measured
SAMPLES = (24, 48)  # along the face, and across it
RIGHT, LEFT = np.arange(19), np.arange(18, 37) % 36  # of an outline, from the forehead to the chin


def measure(
    hair_at: Callable[[Array32], Array32],
    outline: Array,
    mesh: Array,
    picture_width: int,
    side: float,
) -> float:
    """Return how wide hair is beside a face, in the mean from its middle down to the chin.

    It is measured as far as the narrower side has room in the picture.

    Args:
        hair_at: mask of the hair in 0..1 at pixels (..., 2).
        outline: (36, 2) pixels of the face.
        mesh: (468, 3) pixels.
        picture_width: in pixels.
        side: of the face, above 0 for the image's right.

    Returns:
        Face heights.
    """
    face_size = anatomy.face_height(mesh)
    chin = mesh[anatomy.CHIN, :2]
    middle = (mesh[anatomy.FOREHEAD, :2] + chin) / 2
    axes = anatomy.face_axes(mesh)
    local = (outline - middle) @ axes.T
    room = min(outline[:, 0].min(), picture_width - 1 - outline[:, 0].max())
    reach = float(np.clip(room, 0, REACH * face_size))
    heights = np.linspace(0, (chin - middle) @ axes[1], SAMPLES[0])
    edge = side_edges(local, heights)[int(side > 0)]
    across = edge[:, None] + np.sign(side) * np.linspace(0, reach, SAMPLES[1])
    places = np.dstack(np.broadcast_arrays(across, heights[:, None])) @ axes + middle
    return float(hair_at(places.astype(np.float32)).mean()) * reach / face_size


def side_edges(outline: Array, heights: Array) -> Array:
    """Return where an outline (36, 2) ends on its left and right at heights (N,), (2, N)."""
    edges = []
    for half in (LEFT, RIGHT):
        side = outline[half]
        side = side[np.argsort(side[:, 1])]
        edges.append(np.interp(heights, side[:, 1], side[:, 0]))
    return np.stack(edges)
