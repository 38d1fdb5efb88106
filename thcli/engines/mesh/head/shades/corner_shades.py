"""Shade in the corners of a source's mouth, evened out as the mouth opens or purses.

Lips that are shut, and a grin, end in a dark spot, most of which lies on what landmarks call skin.
It stayed beside a mouth that opens or purses: specks, smears and lines like whiskers. What the
corners look like without it is measured once.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.imaging import smoothstep, three_channels
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import compose, opening
from thcli.engines.mesh.anatomy import LIPS, mouth_width
from thcli.engines.mesh.background.windows import iterate_windows
from thcli.engines.mesh.opening import Opening
from thcli.engines.mesh.sampling import pair, remap, shift
from thcli.engines.mesh.shown_positions import positions_on
from thcli.engines.mesh.warp import WarpMap
from thcli.faces.landmarks.topology import LIPS_OUTER

LEAST_WIDTH, MOST_SAMPLES = 24.0, 512  # pixels of a mouth; samples of its width
ALONG, ACROSS = (-0.35, 1.35), (-0.45, 0.45)  # widths that are measured, from the left corner on
# Widths around a corner that are evened: outwards, inwards and across, and the share of them up to
# which they are as a whole
REACH_OUT, REACH_IN, REACH_ACROSS, WHOLE = 0.26, 0.2, 0.2, 0.55
# Widths across, up to which something dark is a line or a spot: in large mouths; pixels in smaller
# ones, where it is as soft as the picture, and widths at most
LINE_HEIGHT, LINE_PIXELS, HIGHEST_LINE = 0.07, 7.0, 0.12
GRAIN, SPOT = 0.012, 0.06  # widths: of the skin's own detail; of a highlight in the dark
# Log brightness that is added between which the dark's own detail goes, and what is left of it
EVENED, DETAIL = (0.05, 0.2), 0.05
BLACK = 6.0  # added to 8-bit colours, so that dark noise has no large logarithm
# Lips are filled with their own colour: that at these shares of their width from each corner, a
# quantile of it; and widths from their ends over which they begin
LIP_PLACES, LIP_QUANTILE, LIP_ENDS, LIP_EDGE = (0.1, 0.4), 0.6, (0.0, 0.06), 0.02
# What a target's mouth is opened by, over the distance of the outer corners of the eyes, and
# narrowed to, over the source's width, between which the shade goes
OPENS, PURSES = (0.06, 0.22), (0.75, 0.92)
LEAST = 0.004  # opacity that can be seen


@dataclass(frozen=True, slots=True)
class CornerShades:
    """Corners of a source's mouth without their shade.

    evened: (h, w, 4) float32, premultiplied colour in 0..255 and opacity in 0..1, which is 0 at the
    edges.  corner: (2,) x, y of its first pixel in the source.  gap, width: of the source's mouth
    in space, over the distance of the outer corners of its eyes.
    """

    evened: Array32
    corner: Array32
    gap: float
    width: float

    def even(self, image: Image) -> Image:
        """Return the source's picture (H, W, 3) with its corners evened."""
        height, width = self.evened.shape[:2]
        x, y = self.corner.astype(int).tolist()
        left, top = max(x, 0), max(y, 0)
        out = image.copy()
        part = out[top : max(y + height, 0), left : max(x + width, 0)]
        if part.size:
            _lay(part, self.evened[top - y :, left - x :][: part.shape[0], : part.shape[1]])
        return out


@dataclass(frozen=True, slots=True)
class ShownCorners:
    """A source's picture (H, W, 3) uint8 with the share, 0..1, by which its corners are evened."""

    image: Image
    shades: CornerShades | None
    share: float

    def sample(self, positions: Array32) -> Image:
        """Sample the picture at pixels (h, w, 2) of a small part of it."""
        texture = compose.sample_part(self.image, positions)
        if self.shades is not None and self.share > 0:
            at = shift(positions, -self.shades.corner)
            _lay(texture, remap(self.shades.evened, at) * np.float32(self.share))
        return texture


def prepare(image: Image, mesh: Array) -> CornerShades | None:
    """Measure the corners of a mouth.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.

    Returns:
        None where the mouth is too small.
    """
    mouth = opening.fit_opening(mesh, LIPS)
    if mouth.width < LEAST_WIDTH:
        return None
    unit = min(mouth.width, MOST_SAMPLES)
    axes = (np.arange(*ends, 1 / unit, dtype=np.float32) for ends in (ALONG, ACROSS))
    u, v = (np.asarray(part, np.float32) for part in np.meshgrid(*axes))
    seen = remap(image, opening.to_pixels(mouth, u, v)).astype(np.float32) + np.float32(BLACK)
    soft = _blur(seen, GRAIN * unit)
    height = np.clip(LINE_PIXELS, LINE_HEIGHT * unit, HIGHEST_LINE * unit)
    line = np.ones((round(float(height)) | 1, 1), np.uint8)
    filled = _blur(np.asarray(cv2.morphologyEx(soft, cv2.MORPH_CLOSE, line)), 2 * GRAIN * unit)
    filled = _keep_lips(filled, soft, mouth, mesh, (u, v), unit)
    added = np.log(np.maximum(filled / soft, 1)).mean(-1)
    spot = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (round(SPOT * unit) | 1,) * 2)
    dark = np.asarray(cv2.dilate(smoothstep(*EVENED, added).astype(np.float32), spot), np.float32)
    dark = _blur(dark, GRAIN * unit)[..., None]
    calm = _blur(np.asarray(cv2.morphologyEx(filled, cv2.MORPH_OPEN, spot)), GRAIN * unit)
    detail = np.log(seen / soft)
    detail += dark * (np.clip(detail, -DETAIL, DETAIL) - detail)
    colour = (soft + dark * (calm - soft)) * np.exp(detail) - np.float32(BLACK)
    opacity = _beside_corners(mouth, u, v)[..., None]
    evened = np.concatenate([np.clip(colour, 0, 255) * opacity, opacity], -1)
    return CornerShades(*_in_source(np.asarray(evened, np.float32), mouth, unit), *_measure(mesh))


def _blur(values: Array32, deviation: float) -> Array32:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), deviation), np.float32)


def _keep_lips(
    filled: Array32,
    soft: Array32,
    mouth: Opening,
    mesh: Array,
    at: tuple[Array32, Array32],
    unit: float,
) -> Array32:
    """Return a filled picture whose lips are no lighter than lips are beside the corner.

    Args:
        filled, soft: (h, w, 3) without what is dark, and with it.
        mouth: of the source.
        mesh: (468, 3) pixels.
        at: u, v (h, w) of the samples.
        unit: samples of the mouth's width.
    """
    u, v = at
    ring = mouth.to_local(mesh[LIPS_OUTER, :2])
    lips = np.zeros(u.shape, np.float32)
    pixels = (ring - (ALONG[0], ACROSS[0])) * unit
    cv2.fillPoly(lips, [np.rint(pixels).astype(np.int32)], 1.0)
    upper, lower = mouth.rims(u)
    from_corner, is_upper = np.minimum(u, 1 - u), v < (upper + lower) / 2
    are_lips = (lips > 0) & ((v < upper) | (v > lower))
    are_lips &= (from_corner > LIP_PLACES[0]) & (from_corner < LIP_PLACES[1])
    limit = filled.copy()
    for side in (u < 0.5, u >= 0.5):
        for lip in (is_upper, ~is_upper):
            colours = soft[side & lip & are_lips]
            if len(colours):
                limit[side & lip] = np.quantile(colours, LIP_QUANTILE, 0)
    from_ends = np.minimum(u - ring[:, 0].min(), ring[:, 0].max() - u)
    lips *= smoothstep(*LIP_ENDS, from_ends).astype(np.float32)
    inside = _blur(lips, LIP_EDGE * unit)[..., None]
    return np.asarray(np.minimum(filled, filled + inside * (limit - filled)), np.float32)


def _beside_corners(mouth: Opening, u: Array32, v: Array32) -> Array32:
    """Return the opacity of what is evened at u, v (h, w)."""
    middle = (mouth.upper + mouth.lower) / 2
    ends = middle[opening.BETWEEN_CORNERS][[0, -1]]
    opacity = np.zeros(u.shape, np.float32)
    for outwards, height in zip((-u, u - 1), ends, strict=True):
        along = np.where(outwards > 0, outwards / REACH_OUT, outwards / REACH_IN)
        distance = np.hypot(along, (v - height) / REACH_ACROSS)
        opacity = np.maximum(opacity, 1 - smoothstep(WHOLE, 1.0, distance))
    return np.asarray(opacity, np.float32)


def _in_source(evened: Array32, mouth: Opening, unit: float) -> tuple[Array32, Array32]:
    """Bring samples of a mouth into the pixels of the source; return the first one's x, y, too."""
    ends = np.array([[u, v] for u in ALONG for v in ACROSS])
    corners = mouth.corner + ends @ mouth.axes
    low, high = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int) + 1
    u, v = opening.local_coordinates(mouth, (slice(low[1], high[1]), slice(low[0], high[0])))
    at = np.asarray(cv2.merge([(u - ALONG[0]) * unit, (v - ACROSS[0]) * unit]), np.float32)
    return remap(evened, at, cv2.BORDER_CONSTANT), low.astype(np.float32)


def _measure(mesh: Array) -> tuple[float, float]:
    """Return the gap and the width of a mouth (468, 3), see `CornerShades`."""
    mouth, width = opening.fit_opening(mesh, LIPS), mouth_width(mesh)
    return opening.frontal_gap(mouth, mesh, LIPS) * width, width


def share(shades: CornerShades, target: Array) -> float:
    """Return how far the corners of a target (468, 3) have lost their shade, 0..1."""
    gap, width = _measure(target)
    opened = float(smoothstep(*OPENS, gap - shades.gap))
    return max(opened, 1 - float(smoothstep(*PURSES, width / max(shades.width, 1e-6))))


def render(out: Image, shown: ShownCorners, warp_map: WarpMap) -> None:
    """Even the corners of the mouth of a frame (H, W, 3) uint8, in place."""
    if shown.shades is None or shown.share <= 0:
        return
    evened, face = shown.shades.evened, warp_map.face
    at = np.asarray(positions_on(face, warp_map) - shown.shades.corner, np.float32)
    weight = np.float32(shown.share) * warp_map.mesh_weight
    opacity = remap(np.asarray(cv2.extractChannel(evened, 3), np.float32), at)
    changes = (opacity * weight > LEAST).astype(np.float32)
    size, layers = (out.shape[1], out.shape[0]), np.asarray(cv2.merge([at, weight]), np.float32)
    for region, pixels in iterate_windows(layers, changes, face, size):
        _lay(out[region], remap(evened, pair(pixels)) * pixels[..., 2:])


def _lay(texture: Image, evened: Array32) -> None:
    """Lay premultiplied colours (h, w, 4) over a texture (h, w, 3), in place."""
    *colour, opacity = cv2.split(evened)
    clear = np.asarray(1 - opacity, np.float32)
    kept = cv2.multiply(texture, three_channels(clear), dtype=cv2.CV_32F)
    texture[:] = cv2.add(kept, cv2.merge(colour), dtype=cv2.CV_8U)
