"""Light on a face, estimated from the brightness of the skin and its surface normals."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.faces.landmarks import surface
from thcli.faces.parsing.classes import SKIN, group_probability

_DARK = 8.0  # levels of 255 added before the logarithm
_RIDGE = 0.02  # regularisation, for faces of which one side is visible
_LINE = 256  # points per row of a map, because OpenCV limits the length of rows
_SOFT = 0.02  # blur before brightness is sampled, of the crop's side; wider than pores


def measure_light(crop: Image, mesh: Array, regions: Array32) -> Array:
    """Fit log brightness of skin = a + b . outward normal over visible points of skin: (4,).

    Args:
        crop: (S, S, 3).
        mesh: (468, 3), pixels of the crop.
        regions: (19, S', S') probabilities.
    """
    side = crop.shape[0]
    small = cv2.resize(crop, (side // 4, side // 4), interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(small.astype(np.float32).mean(-1), (0, 0), max(_SOFT * side / 4, 0.5))
    outward = -surface.inward_normals(mesh)
    skin = sample_plane(group_probability(regions, SKIN), mesh, side)
    weight = np.clip(-outward[:, 2] - 0.1, 0, 1) * skin**2
    value = np.log(sample_plane(grey, mesh, side) + _DARK)
    return surface.fit_light(value, outward, weight, _RIDGE)


def sample_plane(plane: Array32, points: Array, side: int) -> Array:
    """Return (N,) values of a plane at points.

    Args:
        plane: (S', S') of any resolution.
        points: (N, 2 or 3), pixels of a crop.
        side: of that crop, pixels.
    """
    ratio = plane.shape[0] / side
    at = ((points[:, :2] + 0.5) * ratio - 0.5).astype(np.float32)
    lines = np.zeros((1, 1, 2), np.float32)
    if len(at):
        lines = np.resize(at, (-(-len(at) // _LINE), _LINE, 2))
    found = cv2.remap(
        np.asarray(plane, np.float32),
        lines,
        None,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # type: ignore[call-overload]  # the stub does not know that the second map may be absent
    return np.asarray(found.ravel()[: len(at)], np.float64)


def light_direction(light: Array) -> Array:
    """Return the unit vector (3,) towards the light of `measure_light`.

    Without a visible slope it is above and in front of the face.
    """
    default = np.array([0.0, -0.5, -0.85])
    towards = light[1:] + 0.3 * default
    return np.asarray(towards / max(float(np.linalg.norm(towards)), 1e-9))
