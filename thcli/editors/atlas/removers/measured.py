"""Measured samples of the fine atlas: both parts, and beside the eyes, where temples go on."""

from __future__ import annotations

from functools import cache

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.editors.atlas import layout
from thcli.editors.atlas.removers.parts import (
    COLUMNS,
    FINE,
    PARTS,
    ROWS,
    SEEN,
    canonical_places,
    unroll_face,
)
from thcli.editors.atlas.sampling import sample_positions, unroll_plane
from thcli.faces.parsing.classes import EARS, HAIR, ClassGroup, class_number, group_probability

BESIDE: ClassGroup = SEEN | EARS | HAIR | frozenset({class_number("ear_r")})
"""Regions on which a temple lies beside the face: no background (a hand), hat or cloth."""
_EYES, _LOWER = PARTS["eyes"], PARTS["lower"]
_WINDOWS = ((slice(_EYES.top, _EYES.top + _EYES.height), slice(0, COLUMNS)), _LOWER.window)
_COUNT = _EYES.height * COLUMNS + _LOWER.height * _LOWER.width
COUNT = 4 * _COUNT
"""Values of `measure`."""
# Cosine at the outline to the camera: the side of a head is hidden up to the first, shown from the
# second on. It is about 0 in a frontal view; temples show a little beyond, to 10 or 15 degrees.
_TURNED, _SIDE = -0.25, -0.08


@cache
def beside() -> Array32:
    """Return (ROWS, COLUMNS) 0..1, beside the eyes' part."""
    out = np.zeros((ROWS, COLUMNS), np.float32)
    out[_WINDOWS[0]] = 1
    for part in PARTS.values():
        out[part.window] = 0
    return out * canonical_places().any(-1)


def side_weights(mesh: Array) -> Array:
    """Return (COUNT,) 0..1 of the extended mesh: 0 on the side of a head that is turned away."""
    return np.asarray(smoothstep(_TURNED, _SIDE, layout.facing_cosines(mesh)))


def measure(image: Image, mesh: Array, planes: Array32) -> Array32:
    """Return (COUNT,): texture times visibility, and visibility, of the measured samples.

    Args:
        image: (S, S, 3).
        mesh: (468, 3), pixels of the image.
        planes: (19, S', S') probabilities of the regions.
    """
    texture, weight = unroll_face(image, mesh, group_probability(planes, SEEN))
    at = sample_positions(layout.extend_mesh(mesh), FINE)
    head = unroll_plane(np.ascontiguousarray(group_probability(planes, BESIDE)), at, len(image))
    side = layout.rasterize(side_weights(mesh)[:, None], FINE)[..., 0]
    weight = np.maximum(weight, beside() * head * side)
    weighted = np.concatenate([texture * weight[..., None], weight[..., None]], -1)
    return np.concatenate([weighted[window].ravel() for window in _WINDOWS])


def unpack(appearance: Array32) -> tuple[Array32, Array32]:
    """Return the averaged texture (ROWS, COLUMNS, 3) and visibility (ROWS, COLUMNS)."""
    texture = np.zeros((ROWS, COLUMNS, 3), np.float32)
    weight = np.zeros((ROWS, COLUMNS), np.float32)
    start = 0
    for window in _WINDOWS:
        shape = weight[window].shape
        stop = start + 4 * shape[0] * shape[1]
        values = appearance[start:stop].reshape(*shape, 4)
        weight[window] = values[..., 3]
        texture[window] = values[..., :3] / np.maximum(values[..., 3:], 1e-3)
        start = stop
    return texture, weight
