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
from thcli.faces.landmarks.topology import EYES
from thcli.faces.parsing.classes import (
    EARS,
    GLASSES,
    HAIR,
    ClassGroup,
    class_number,
    group_probability,
)
from thcli.faces.parsing.classes import EYES as EYE_REGIONS
from thcli.faces.parsing.polygon import polygon_coverage

BESIDE: ClassGroup = SEEN | EARS | HAIR | frozenset({class_number("ear_r")})
"""Regions on which a temple lies beside the face: no background (a hand), hat or cloth."""
_EYES, _LOWER = PARTS["eyes"], PARTS["lower"]
_WINDOWS = ((slice(_EYES.top, _EYES.top + _EYES.height), slice(0, COLUMNS)), _LOWER.window)
_COUNT = _EYES.height * COLUMNS + _LOWER.height * _LOWER.width
COUNT = 4 * _COUNT + 3
"""Values of `measure`."""
# Cosine at the outline to the camera: the side of a head is hidden up to the first, shown from the
# second on. It is about 0 in a frontal view; temples show a little beyond, to 10 or 15 degrees.
_TURNED, _SIDE = -0.25, -0.08
_WORN, _OPENED = 0.008, 0.001  # shares of the image: glasses that are worn, eyes that are open


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

    The last three are shares of the image: open eyes, what the parser sees of them, and glasses.

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
    worn = np.append(_eyes(mesh, planes, len(image)), group_probability(planes, GLASSES).mean())
    return np.concatenate([*(weighted[window].ravel() for window in _WINDOWS), worn])


def _eyes(mesh: Array, planes: Array32, side: int) -> Array32:
    """Return the shares of the image that open eyes have, and that are parsed as eyes in them."""
    size = planes.shape[-1]
    rings = ((mesh[ring, :2] + 0.5) * size / side - 0.5 for ring in EYES)
    opened = np.maximum(*(polygon_coverage(ring, (size, size)) for ring in rings))
    seen = opened * group_probability(planes, EYE_REGIONS)
    return np.array([opened.mean(), seen.mean()], np.float32)


def eyes_seen(appearance: Array32) -> float:
    """Return the share 0..1 of open eyes that is visible, 1 where no glasses are before them.

    Those behind dark or mirrored lenses are parsed as glasses.
    """
    opened, seen, glasses = appearance[-3:].tolist()
    return seen / opened if glasses > _WORN and opened > _OPENED else 1.0


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
