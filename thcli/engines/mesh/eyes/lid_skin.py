"""Skin between brow and lid that a raised brow or a shut eye draws apart.

The brow and the lashes keep their width: what is drawn out is a band of plain skin between them. By
the mesh alone, the hair and the shadow of a low brow would be drawn over the lid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy, opening
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.eyes.texture import EyeTexture
from thcli.engines.mesh.mouth.colours import tone_at
from thcli.engines.mesh.opening import BETWEEN_CORNERS, COLUMNS, Opening
from thcli.engines.mesh.sampling import REFLECT, remap, resize
from thcli.faces.landmarks import topology

BROWS = topology.BROWS[0][:4:-1], topology.BROWS[1][5:]  # lower edges, from the image's left
BELOW_LEFT = np.array([100, 101, 118, 119, 120], np.int32)  # skin below the eye
BELOW = BELOW_LEFT, topology.PAIRS[BELOW_LEFT]
LEAST_HEIGHT = 0.05  # widths of an eye from its brow to its lid
DRAWN_OUT = (1.1, 1.4)  # height of the skin over the source's from which it is drawn out in a band
BAND = 0.2  # height of the band over that of the skin
ACROSS = np.linspace(0.0, 1.0, 25)  # shares of the way from brow to lid at which light is measured
INNER = slice(3, -3)  # of those, where the band may lie
DARK_PART = 0.25  # of such a row: hair in a part of it would be drawn out, too
LIGHT_BLUR = 1.5  # of those shares over which light is averaged
ENDS = (-0.2, 0.1)  # widths beside an eye over which the skin ends
TURNED = (0.4, 0.6)  # foreshortening of an eye from which the nose may lie before the skin
EDGES = (0.15, 0.08)  # of its height, over which it ends at the brow and at the lid
# Light of skin that is drawn out over that below the eye, at least: a brow that hangs over a lid
# shades it, and a raised one does not. Ratios to it from which the own skin is lit; height of the
# skin over the source's, over which it comes into the light
LIT, SHADED, RAISED = 0.75, (0.8, 1.0), (1.1, 2.2)
MOST_LIGHT = 2.0  # of that light over the own one
LIFT_ENDS = (-0.15, 0.4)  # widths from the corners of an eye over which it begins
LIFT_EDGES = (0.0, 0.8)  # of how far the middle of the band is, over which it begins across it
LIGHT_ALONG = 6  # columns over which that light is averaged
STREAKS = 0.1  # widths over which what is drawn out is blurred: hairs would be streaks
COARSE = 2.5  # pixels of that blur in the picture that is blurred, at least
# Grain of skin that is drawn out, which the blur takes: side of the skin below the eye where it is
# measured and what is no grain, in widths of the eye; most of it over its usual size, since lines
# and spots are none
GRAIN_SIDE, GRAIN_BLUR, MOST_GRAIN = 0.6, 0.03, 2.5


@dataclass(frozen=True, slots=True)
class LidSkin:
    """Skin above an eye of a source.

    above: between the lower edge of the brow and the upper lid, in widths of the eye.  band: the
    lightest skin, which is neither hair nor lashes, share of the way from brow to lid.  lift: (97,
    3) what the band lacks to be in the light, levels.  grain: (h, w) of the skin below the eye,
    over its light.  height: of the face in pixels.
    """

    above: Opening
    band: float
    lift: Array32
    grain: Array32
    height: float

    @property
    def drawn(self) -> Array:
        """(97,) pixels from brow to lid."""
        return (self.above.lower - self.above.upper) * self.above.width


def extract(image: Image, mesh: Array, eyes: Sequence[EyeTexture]) -> tuple[LidSkin | None, ...]:
    """Find the skin above both eyes of a source; None above one that its turn hides.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        eyes: both of the source.
    """
    found: list[LidSkin | None] = []
    skin = tone_at(image, mesh, topology.CHEEKS)
    for ring, brow, below, eye in zip(EYES, BROWS, BELOW, eyes, strict=True):
        if eye.hidden:
            found.append(None)
            continue
        above = _fit_above(mesh, ring, brow)
        along = COLUMNS[BETWEEN_CORNERS].astype(np.float32)
        places = opening.between_rims(above, along, ACROSS.astype(np.float32))
        rows = remap(image, places).mean(-1, dtype=np.float32)
        dark = np.quantile(rows, DARK_PART, 1)
        smooth = cv2.GaussianBlur(dark, (0, 0), LIGHT_BLUR).ravel()[INNER]
        band = float(ACROSS[INNER][smooth.argmax()])
        light = tone_at(image, mesh, below).mean() / max(float(skin.mean()), 1.0)
        lift = _lift(image, above, band, LIT * min(float(light), 1.0) * skin)
        grain = _grain(image, mesh[below, :2].mean(0), above.width)
        found.append(LidSkin(above, band, lift, grain, anatomy.face_height(mesh)))
    return tuple(found)


def render(out: Image, image: Image, skins: tuple[LidSkin | None, ...], target: Array) -> None:
    """Render the skin above both eyes of a target where it is drawn out, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        image: (H, W, 3) uint8 source image.
        skins: of the source.
        target: (468, 3) target mesh.
    """
    for ring, brow, skin in zip(EYES, BROWS, skins, strict=True):
        if skin is None:
            continue
        above = _fit_above(target, ring, brow)
        scale = above.width * skin.height / anatomy.face_height(target)
        drawn = (above.lower - above.upper) * scale
        if (drawn / skin.drawn)[BETWEEN_CORNERS].max() <= DRAWN_OUT[0]:
            continue
        region = opening.bounding_region(above, (out.shape[1], out.shape[0]), -ENDS[0])
        if region is None:
            continue
        u, v = opening.local_coordinates(above, region)
        top, height, own, brow_v = opening.interpolate(
            u, above.upper, drawn, skin.drawn, skin.above.upper
        )
        below = (v - top) * np.float32(scale)
        extra, band = np.maximum(height - own, 0), np.float32(BAND) * own
        first = np.float32(skin.band) * own - band / 2
        passed = np.clip((below - first) / (extra + band), 0, 1)
        from_brow = (below - extra * passed) / np.float32(skin.above.width)
        sampled = remap(image, opening.to_pixels(skin.above, u, brow_v + from_brow))
        lift = np.stack(opening.interpolate(u, *skin.lift.T), -1)
        lift *= smoothstep(*RAISED, height / own)[..., None]
        places = np.stack([u * np.float32(skin.above.width), below], -1)
        grain = remap(skin.grain, places, REFLECT)
        colour = _draw_out(sampled, passed, lift, STREAKS * above.width, grain)
        part = below / np.maximum(height, 1)
        share = smoothstep(*DRAWN_OUT, height / own) * smoothstep(*ENDS, np.minimum(u, 1 - u))
        share *= smoothstep(-EDGES[0], 0, part) * (1 - smoothstep(1, 1 + EDGES[1], part))
        share *= smoothstep(*TURNED, opening.foreshortening(target, ring))
        opening.blend(out, region, np.asarray(share, np.float32), colour)


def _fit_above(mesh: Array, ring: npt.NDArray[np.int32], brow: npt.NDArray[np.int32]) -> Opening:
    """Measure the skin between a brow and the upper lid of the eye inside a ring of mesh points.

    It is as wide as the eye, and a little above the lid at least.
    """
    eye = opening.fit_opening(mesh, ring)
    points = eye.to_local(mesh[brow, :2])
    edge = np.interp(COLUMNS, np.maximum.accumulate(points[:, 0]), points[:, 1])
    return Opening(eye.corner, eye.axes, np.minimum(edge, eye.upper - LEAST_HEIGHT), eye.upper)


def _lift(image: Image, above: Opening, band: float, lit: Array) -> Array32:
    """Return what a band lacks to be in the light, (97, 3) levels.

    Args:
        image: (H, W, 3) uint8.
        above: skin above an eye.
        band: share of the way from brow to lid.
        lit: (3,) colour of skin in the light, 0..255.
    """
    rows = np.array([band - BAND / 2, band, band + BAND / 2], np.float32)
    places = opening.between_rims(above, COLUMNS.astype(np.float32), rows)
    colours = remap(image, places).mean(0, dtype=np.float32)[None]
    colours = cv2.blur(colours, (LIGHT_ALONG, 1), borderType=cv2.BORDER_REPLICATE)[0]
    own, most = colours.mean(-1), max(float(lit.mean()), 1.0)
    shaded = 1 - smoothstep(*SHADED, own / most)
    shaded *= smoothstep(*LIFT_ENDS, np.minimum(COLUMNS, 1 - COLUMNS))
    light = min(MOST_LIGHT * float(own[BETWEEN_CORNERS].mean()) / most, 1.0) * lit
    return np.asarray(shaded[:, None] * (light - colours), np.float32)


def _grain(image: Image, place: Array, width: float) -> Array32:
    """Return the grain (h, w) of the skin around a place (2,) over its light.

    width: of the eye in pixels.
    """
    half = max(GRAIN_SIDE * width / 2, 1.0)
    x, y = (place + 0.5 - half).astype(int)
    side = int(np.ceil(2 * half))
    part = image[max(y, 0) : max(y + side, 1), max(x, 0) : max(x + side, 1)]
    if not part.size:
        return np.zeros((1, 1), np.float32)
    light = part.mean(-1, dtype=np.float32)
    fine = light - cv2.GaussianBlur(light, (0, 0), max(GRAIN_BLUR * width, 1.0))
    most = MOST_GRAIN * float(np.median(np.abs(fine)))
    return np.asarray(np.clip(fine, -most, most) / max(float(light.mean()), 1.0), np.float32)


def _draw_out(
    colour: Image, passed: Array32, lift: Array32, deviation: float, grain: Array32
) -> Array32:
    """Return colours (h, w, 3) that are blurred and lit within the band.

    Args:
        colour: 0..255.
        passed: (h, w) share of the band that is above, 0..1.
        lift: (h, w, 3) levels that are added in its middle.
        deviation: of the blur in pixels.
        grain: (h, w) over the light.
    """
    soft = _blur(colour, max(deviation, 0.3)).astype(np.float32)
    soft *= 1 + grain[..., None]
    middle = (4 * passed * (1 - passed))[..., None]
    inside = np.minimum(2 * middle, 1)
    return np.asarray(
        colour + inside * (soft - colour) + smoothstep(*LIFT_EDGES, middle) * lift, np.float32
    )


def _blur(colour: Image, deviation: float) -> Image:
    """Return colours (h, w, 3) blurred by a deviation in pixels, wide ones in a smaller picture."""
    height, width = colour.shape[:2]
    step = max(int(deviation / COARSE), 1)
    small = resize(colour, (max(width // step, 1), max(height // step, 1)), shrink=True)
    soft = np.asarray(cv2.GaussianBlur(small, (0, 0), deviation / step), np.uint8)
    return resize(soft, (width, height))
