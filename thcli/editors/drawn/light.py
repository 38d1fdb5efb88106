"""The light on a face, read from how its skin's brightness goes with the direction of its surface."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.faces.landmarks.topology import FRONT_SIGNS, TRIANGLES
from thcli.faces.parsing.classes import SKIN, together

_DARK = 8.0  # levels added before the logarithm
_CALM = 0.02  # ridge of the fit: slopes of a face that shows one side alone stay small
_LINE = 256  # points looked up in a row: OpenCV's maps may not be long
_SOFT = 0.02  # of the crop's side: blur before brightness is read, wider than pores


def normals(mesh: Array) -> Array:
    """(468, 3) unit vectors out of the face, in picture axes (x right, y down, z away from the camera): about (0, 0, -1) in front."""
    a, b, c = (mesh[TRIANGLES[:, i]] for i in range(3))
    out = np.cross(b - a, c - a) * -FRONT_SIGNS[:, None].astype(np.float64)
    total = np.zeros_like(mesh)
    for corner in range(3):
        np.add.at(total, TRIANGLES[:, corner], out)
    total *= -np.sign(total[:, 2].sum()) if total[:, 2].sum() != 0 else 1.0
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9))


def fitted(crop: Image, mesh: Array, regions: Array32) -> Array:
    """(4,) log brightness of skin = a + b . normal, least squares over the mesh's points that show skin."""
    side = crop.shape[0]
    half = cv2.resize(crop, (side // 4, side // 4), interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(half.astype(np.float32).mean(-1), (0, 0), max(_SOFT * side / 4, 0.5))
    n = normals(mesh)
    weight = np.clip(-n[:, 2] - 0.1, 0, 1) * looked_up(together(regions, SKIN), mesh, side) ** 2
    value = np.log(looked_up(grey, mesh, side) + _DARK)
    rows = np.concatenate([np.ones((len(n), 1)), n], 1)
    left = (rows * weight[:, None]).T @ rows + _CALM * max(weight.sum(), 1.0) * np.diag(
        [0.0, 1, 1, 1]
    )
    left[0, 0] += 1e-6
    return np.asarray(np.linalg.solve(left, (rows * weight[:, None]).T @ value))


def looked_up(plane: Array32, points: Array, side: int) -> Array:
    """(N,) a plane's values at points given in pixels of a crop of `side`; the plane may be of another size."""
    ratio = plane.shape[0] / side
    at = ((points[:, :2] + 0.5) * ratio - 0.5).astype(np.float32)
    lines = (
        np.resize(at, (-(-len(at) // _LINE), _LINE, 2))
        if len(at)
        else np.zeros((1, 1, 2), np.float32)
    )
    found = cv2.remap(
        np.asarray(plane, np.float32),
        lines,
        None,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # type: ignore[call-overload]  # the stub does not know that the second map may be absent
    return np.asarray(found.ravel()[: len(at)], np.float64)


def direction(light: Array) -> Array:
    """(3,) unit vector towards the light, of `fitted`'s numbers; straight from above and before where there is none to see."""
    usual = np.array([0.0, -0.5, -0.85])
    towards = light[1:] + 0.3 * usual
    return np.asarray(towards / max(float(np.linalg.norm(towards)), 1e-9))
