"""The line of a shut mouth in a drawn face, beside which the landmarks of its lips may lie.

Drawn mouths are often a line without lips. A mouth that opened beside it would leave it as a second
one.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Face, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.mouth.lip_rims import PARTED_GAP
from thcli.engines.mesh.opening import Opening
from thcli.engines.mesh.sampling import cautious_mean, remap
from thcli.faces.landmarks.topology import LIPS_OUTER

ALONG = np.linspace(0.05, 0.95, 31, dtype=np.float32)  # u of the line that are compared
REACH, STEP = 0.4, 0.01  # widths to both sides that are sampled, and their distance
WIDTH = 0.05  # from the line to the skin beside it
# Shifts, slopes and bends of lines that are compared, in widths
SHIFTS, SLOPES, BENDS = (
    np.linspace(-most, most, count) for most, count in ((0.2, 21), (0.12, 9), (0.12, 9))
)
LEAST_DARK = 0.08  # share of the skin's brightness by which a line is darker
CLEARER = 3.0  # times the landmarks' line
FADE = (0.25, 0.6)  # widths from the lips over which the skin's shift fades


def refine(image: Image, face: Face) -> Face:
    """Move the landmarks of a drawn face's shut lips onto the line of its mouth.

    Args:
        image: (H, W, 3) uint8.
        face: with its mesh in pixels of the image.

    Returns:
        The face itself where its mouth is open, or no other line is much clearer than its own.
    """
    if face.mesh is None:
        return face
    mesh = np.asarray(face.mesh, np.float64)
    lips = opening.fit_opening(mesh, LIPS)
    if lips.gap > PARTED_GAP:
        return face
    ridge = _dark_ridge(image, lips)
    lines = np.array(list(itertools.product(SHIFTS, SLOPES, BENDS)))
    found = _along(ridge, _offsets(lines, ALONG))
    best = int(found.argmax())
    own = float(_along(ridge, np.zeros((1, len(ALONG))))[0])
    if found[best] < max(LEAST_DARK, CLEARER * own):
        return face
    local = lips.to_local(mesh[:, :2])
    shift = _offsets(lines[best : best + 1], local[:, 0].clip(0, 1))[0]
    outline = local[LIPS_OUTER].astype(np.float32)
    away = [-cv2.pointPolygonTest(outline, (float(u), float(v)), True) for u, v in local]
    shift *= 1 - smoothstep(*FADE, np.array(away))
    moved = mesh.copy()
    moved[:, :2] += shift[:, None] * lips.axes[1]
    return replace(face, mesh=moved.astype(np.float32))


def _dark_ridge(image: Image, lips: Opening) -> Array32:
    """Return how much darker than both of its sides a picture is, over that of these.

    (rows, columns): at v of REACH around the lips' line, at u of ALONG.
    """
    beside = round(WIDTH / STEP)
    count = round(REACH / STEP) + beside
    u, offset = np.meshgrid(ALONG, STEP * np.arange(-count, count + 1, dtype=np.float32))
    upper, lower = lips.rims(u)
    v = (upper + lower) / np.float32(2) + offset
    light = remap(image, opening.to_pixels(lips, u, v.astype(np.float32))).astype(np.float32)
    light = np.asarray(cv2.GaussianBlur(light.mean(-1), (3, 5), 0), np.float32)
    skin = np.minimum(light[: -2 * beside], light[2 * beside :])
    return np.asarray((skin - light[beside:-beside]) / np.maximum(skin, 1), np.float32)


def _offsets(lines: Array, u: Array32 | Array) -> Array:
    """Return v of lines (N, 3), shift, slope and bend, from the lips' own at u, (N, len(u))."""
    middle = np.asarray(u, np.float64) - 0.5
    return np.asarray(lines @ np.stack([np.ones_like(middle), 2 * middle, 4 * middle**2]))


def _along(ridge: Array32, offsets: Array) -> Array:
    """Return the darkness (N,) of lines at offsets (N, columns), as a `cautious_mean`."""
    rows = np.round((offsets + REACH) / STEP).astype(int).clip(0, len(ridge) - 1)
    return cautious_mean(ridge[rows, np.arange(ridge.shape[1])])
