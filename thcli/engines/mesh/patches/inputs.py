"""Input channels of the network of eyes: colours, and rasters of the rims and the irises.

Nothing in them comes from the pixels of a driving frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.opening import Opening
from thcli.engines.mesh.patches.frames import PatchFrame, eye_frame

if TYPE_CHECKING:
    from torch import Tensor

Level = TypeVar("Level", Array32, "Tensor")

EYE_CHANNELS = 12
RIM_SCALE, RIM_LIMIT = 6.0, 1.5  # channel value of one width from a rim; largest value
EYE_WINDOW = (0.3, 0.55)  # widths beyond the rims where a matte ends
MOST_EYE_CHANGE = 0.5, 0.05  # most change of an eye by the network, see `most_change`
EYE_BLUR = 2.0  # patch pixels by which it is blurred: it shades lids, and lashes stay sharp
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
    low, high = GAIN_RANGE
    return min(max(BRIGHTNESS / max(float(tone.mean()), 1.0), low), high) / 255


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


def colours(patch: Image, factor: float) -> Array32:
    """Convert a patch (h, w, 3) uint8 to channels (3, h, w) around 0; factor: see `gain`."""
    return np.asarray(patch.transpose(2, 0, 1) * np.float32(factor) - np.float32(0.5), np.float32)


def most_change(level: Level, most: tuple[float, float]) -> Level:
    """Return how much a network changes pixels at most.

    Args:
        level: their mean channel around 0.
        most: over their brightness, and beyond that.
    """
    return most[0] * (level + 0.5) + most[1]


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
