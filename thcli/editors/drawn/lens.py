"""Lenses: transmitted light, and reflections of a plain room."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.types import Array, Array32
from thcli.editors.drawn.light import light_direction
from thcli.editors.drawn.scene import Scene


@dataclass(frozen=True, slots=True)
class LensMaterial:
    """Optical properties of a lens.

    pass_top, pass_bottom: (3,) transmitted share of the light at its upper and lower edge.
    shine: strength of reflections, 0..1.
    """

    pass_top: tuple[float, float, float]
    pass_bottom: tuple[float, float, float]
    shine: float


CLEAR = LensMaterial((0.93, 0.945, 0.94), (0.95, 0.96, 0.955), 0.1)
TINTED = LensMaterial((0.08, 0.072, 0.066), (0.26, 0.225, 0.195), 0.26)


def render_lenses(
    scene: Scene, lenses: Array, glass: LensMaterial, box: tuple[int, int, int, int], blur: float
) -> tuple[Array32, Array32, Array32]:
    """Render the lenses.

    Args:
        scene: crop to draw on.
        lenses: (2, N, 3) outlines, pixels.
        glass: material.
        box: x0, y0, x1, y1 of the rendered part, pixels.
        blur: standard deviation of the edges, pixels.

    Returns:
        Transmission (h, w, 3) 0..1, reflection (h, w, 3) 0..255 and coverage (h, w) 0..1.
    """
    x0, y0, x1, y1 = box
    size = (x1 - x0, y1 - y0)
    cover = np.zeros((size[1], size[0]), np.uint8)
    for lens in lenses:
        corners = np.rint((lens[:, :2] - (x0, y0)) * 16).astype(np.int32)
        cv2.fillPoly(cover, [corners], 255, cv2.LINE_AA, 4)
    coverage = cv2.GaussianBlur(cover, (0, 0), blur).astype(np.float32) / np.float32(255)
    transmission = np.ones((size[1], size[0], 3), np.float32)
    reflection = np.zeros((size[1], size[0], 3), np.float32)
    for lens in lenses:
        low, high = lens[:, :2].min(0), lens[:, :2].max(0)
        xa, ya = np.maximum(np.floor(low - 2 - (x0, y0)).astype(int), 0)
        xb, yb = np.minimum(np.ceil(high + 3 - (x0, y0)).astype(int), size)
        if xb <= xa or yb <= ya:
            continue
        down = np.clip((np.arange(ya, yb) + y0 - low[1]) / max(float(high[1] - low[1]), 1.0), 0, 1)
        share = (down**1.3).astype(np.float32)[:, None, None]
        top, bottom = (np.array(v, np.float32) for v in (glass.pass_top, glass.pass_bottom))
        transmission[ya:yb, xa:xb] = top + share * (bottom - top)
        room = _reflection(scene, lens, (int(xa), int(ya), int(xb), int(yb)), (x0, y0))
        reflection[ya:yb, xa:xb] = np.float32(glass.shine) * room
    return transmission, reflection, coverage


def _reflection(
    scene: Scene, lens: Array, part: tuple[int, int, int, int], corner: tuple[int, int]
) -> Array32:
    """Return the reflection (h, w, 3) 0..255 of a plain room in a lens.

    The room has a bright upper half and a soft window on the light's side.
    """
    xa, ya, xb, yb = part
    _, rotation, _ = scene.pose
    middle, reach = lens.mean(0), float(np.ptp(lens[:, 0]) / 2)
    count = 24
    x = np.linspace(xa, xb, count) + corner[0] - middle[0]
    y = np.linspace(ya, yb, count) + corner[1] - middle[1]
    bulge = 0.5 / max(reach, 1.0)  # turn of the surface, radians per pixel
    flat = np.stack(np.broadcast_arrays(bulge * x[None, :], bulge * y[:, None], -1.0), -1)
    normal = flat @ _tilted(rotation).T
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    view = np.array([0.0, 0.0, 1.0])
    ray = view - 2 * (normal @ view)[..., None] * normal
    towards = light_direction(scene.appearance.light)
    window = np.array([np.sign(towards[0]) * 0.42 if abs(towards[0]) > 0.1 else -0.42, -0.04, -0.9])
    away = ray - window
    pane = np.exp(-((away[..., 0] / 0.16) ** 4)) * np.exp(-((away[..., 1] / 0.2) ** 4))
    room = 0.08 + 0.8 / (1 + np.exp((ray[..., 1] + 0.08) * 9))
    level = float(scene.appearance.skin.mean()) * 1.15
    plane = (level * (0.35 * room + 1.5 * pane)).astype(np.float32)
    full = cv2.resize(plane, (xb - xa, yb - ya), interpolation=cv2.INTER_CUBIC)
    tint = np.array([0.95, 0.99, 1.03], np.float32)
    return np.asarray(np.asarray(full, np.float32)[..., None] * tint)


def _tilted(rotation: Array) -> Array:
    """Return the axes of the lenses: the front is tilted, its lower side nearer to the cheeks."""
    c, s = np.cos(0.14), np.sin(0.14)
    return np.asarray(rotation @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]))
