"""Input channels of the patch networks: colours, and rasters of the rims, the irises and teeth.

Nothing in them comes from the pixels of a driving frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import CHIN, EYES, LIPS
from thcli.engines.mesh.mouth.drawn_inside import MouthInterior
from thcli.engines.mesh.mouth.mouth_interior import BEHIND_LIPS, NOSE_BASE, face_axes
from thcli.engines.mesh.opening import Opening
from thcli.engines.mesh.patches.frames import PatchFrame, eye_frame, mouth_frame
from thcli.faces.landmarks.topology import LIPS_OUTER

EYE_CHANNELS, MOUTH_CHANNELS = 12, 15
RIM_SCALE, RIM_LIMIT = 6.0, 1.5  # channel value of one width from a rim; largest value
MILLIMETRES = 15.0  # of the face for one channel value
EYE_WINDOW, MOUTH_WINDOW = (0.25, 0.5), (0.02, 0.12)  # widths beyond the rims where a matte ends
BRIGHTNESS, GAIN_RANGE = 140.0, (0.5, 3.0)  # skin brightness of the networks' colours


@dataclass(frozen=True, slots=True)
class EyeShape:
    """Geometry of an eye.

    mesh: (468, 2+) pixels.  side: 0 on the image's left, 1 on its right.  iris: (2,) u, v of the
    iris centre.  radius: of the iris in widths, 0 when unknown.
    """

    mesh: Array
    side: int
    iris: Array
    radius: float


def gain(tone: Array) -> float:
    """Compute the factor from colours to those of the networks. tone: (3,) skin, 0..255."""
    return float(np.clip(BRIGHTNESS / max(float(tone.mean()), 1.0), *GAIN_RANGE)) / 255


def eye_rasters(shape: EyeShape) -> tuple[Array32, Array32]:
    """Draw an eye's rims and iris in its patch.

    Returns:
        Channels (3, h, w): distances to the upper and the lower lid, iris; and the matte's
        window (h, w), 0..1.
    """
    frame = eye_frame(shape.mesh, shape.side)
    eye = opening.fit_opening(shape.mesh, EYES[shape.side])
    (above, below), (u, v) = _rim_distances(eye, frame)
    iris = np.zeros_like(above)
    if shape.radius > 0:
        distance = np.hypot(u - shape.iris[0], v - shape.iris[1]) / shape.radius
        iris = (1 - smoothstep(0.85, 1.15, distance)).astype(np.float32)
    window = _window(above, below, u, EYE_WINDOW)
    return np.stack([_clip(above), _clip(below), iris]), window


def mouth_rasters(mesh: Array) -> tuple[Array32, Array32]:
    """Draw the rims of the lips in the patch of the mouth.

    Returns:
        Channels (4, h, w): distances to the upper and lower rims of the inner and of the outer
        lips; and the matte's window (h, w), 0..1.
    """
    frame = mouth_frame(mesh)
    (above, below), _ = _rim_distances(opening.fit_opening(mesh, LIPS), frame)
    lips = opening.fit_opening(mesh, LIPS_OUTER)
    (over, under), (u, _) = _rim_distances(lips, frame)
    window = _window(over, under, u, MOUTH_WINDOW)
    return np.stack([_clip(d) for d in (above, below, over, under)]), window


def teeth_rasters(mesh: Array, interior: MouthInterior) -> Array32:
    """Draw the distances from the teeth's edges: the upper in x and y, the lower in y, (3, h, w).

    Args:
        mesh: (468, 3) target pixels.
        interior: of the source.
    """
    axes = face_axes(mesh)
    positions = mouth_frame(mesh).positions().astype(np.float64)
    plane = axes[:2]
    if abs(float(np.linalg.det(plane))) < 1e-6:
        plane = np.eye(2)
    inverse = np.linalg.inv(plane)
    upper = mesh[NOSE_BASE, :2] + interior.upper @ axes[:2] - BEHIND_LIPS * axes[2]
    lower = mesh[CHIN, :2] + interior.lower @ axes[:2] - BEHIND_LIPS * axes[2]
    of_upper, of_lower = (positions - upper) @ inverse, (positions - lower) @ inverse
    out = np.stack([of_upper[..., 0], of_upper[..., 1], of_lower[..., 1]]) / MILLIMETRES
    return np.asarray(np.clip(out, -2, 2), np.float32)


def colours(patch: Image, factor: float) -> Array32:
    """Convert a patch (h, w, 3) uint8 to channels (3, h, w) around 0; factor: see `gain`."""
    return np.asarray(patch.transpose(2, 0, 1) * np.float32(factor) - np.float32(0.5), np.float32)


def _rim_distances(
    shape: Opening, frame: PatchFrame
) -> tuple[tuple[Array32, Array32], tuple[Array32, Array32]]:
    """Compute how far pixels are below the upper rim and above the lower one, and their u, v.

    The distances are in widths of the patch.
    """
    local = shape.to_local(frame.positions()).astype(np.float32)
    u, v = local[..., 0], local[..., 1]
    upper, lower = shape.rims(u)
    scale = np.float32(shape.width / max(frame.unit, 1e-6))
    return ((v - upper) * scale, (lower - v) * scale), (u, v)


def _clip(distance: Array32) -> Array32:
    return np.asarray(np.clip(distance * np.float32(RIM_SCALE), -RIM_LIMIT, RIM_LIMIT))


def _window(above: Array32, below: Array32, u: Array32, limits: tuple[float, float]) -> Array32:
    """Compute where a matte may be: near the opening and away from the patch's border."""
    across = np.maximum(np.maximum(-above, -below), 0)
    along = np.maximum(np.maximum(-u, u - 1), 0)
    window = (1 - smoothstep(*limits, np.hypot(across, along))).astype(np.float32)
    height, width = window.shape
    x = np.minimum(np.arange(width), np.arange(width)[::-1])
    y = np.minimum(np.arange(height), np.arange(height)[::-1])[:, None]
    return np.asarray(window * np.clip(np.minimum(x, y) / 4, 0, 1), np.float32)
