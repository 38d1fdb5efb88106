"""Skin between brow and lid that a raised brow or a shut eye draws apart.

The brow and the lashes keep their width: what is drawn out is a band of plain skin between them. By
the mesh alone, the hair and the shadow of a low brow would be drawn over the lid. As the skin comes
out of the fold above the eye and of the brow's shade, it takes an even light between its own and
that of the cheeks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core import tones
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy, opening
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.eyes.hanging_lashes import HangingLashes
from thcli.engines.mesh.eyes.texture import EyeTexture
from thcli.engines.mesh.mouth.colours import face_box, tone_at
from thcli.engines.mesh.opening import BETWEEN_CORNERS, COLUMNS, Opening, Region
from thcli.engines.mesh.sampling import REFLECT, merge_positions, remap, resize
from thcli.faces.landmarks import topology

BROWS = topology.BROWS[0][:4:-1], topology.BROWS[1][5:]  # lower edges, from the image's left
BELOW_LEFT = np.array([100, 101, 118, 119, 120], np.int32)  # skin below the eye
BELOW = BELOW_LEFT, topology.PAIRS[BELOW_LEFT]
CHEEKS = np.split(topology.CHEEKS, 2)  # on the same sides
RIDGE = 6, 4  # of the nose, between the eyes and at its tip
# Face around each eye: from its brow down to the tip of the nose
AROUND = [
    np.concatenate([brow, eye, RIDGE]) for brow, eye in zip(topology.BROWS, EYES, strict=True)
]
LEAST_HEIGHT = 0.05  # widths of an eye from its brow to its lid
DRAWN_OUT = (1.1, 1.4)  # height of the skin over the source's from which it is drawn out in a band
BAND = 0.2  # height of the band over that of the skin
ACROSS = np.linspace(0.0, 1.0, 25)  # shares of the way from brow to lid at which light is measured
INNER = slice(3, -3)  # of those, where the band may lie
DARK_PART = 0.25  # of such a row: hair in a part of it would be drawn out, too
LIGHT_BLUR = 1.5  # of those shares over which light is averaged
ENDS = (-0.25, 0.05)  # widths beside an eye over which the skin ends
TURNED = (0.4, 0.6)  # foreshortening of an eye from which the nose may lie before the skin
EDGES = (0.15, 0.08)  # of its height, over which it ends at the brow and at the lid
# Light of skin that is drawn out, over that of the cheeks, as measured in 83 clips: a factor,
# exponents of the own light over that of the cheeks and of the height over the source's
LIGHT, OWN_LIGHT, GROWTH = 0.735, 0.46, 0.41
LEAST_LIGHT = 4.0  # levels from which light tells
OWN_HUE = 0.6  # share of the own hue, the rest is that of the cheeks
DARK = (0.3, 0.6)  # own light over that of the cheeks, over which it shows a hue
# Share of the colour that the face around an eye has at that light: darker skin has more colour
# than bright cheeks, most of all where a picture cuts their light off
SHADED = 0.6
EVEN = (1.1, 1.5)  # height over the source's, over which the skin takes that light
MOST_EVEN = 0.8  # share of that light
# Shares of the height over which it begins at the brow and ends at the lid; widths beside an eye
EVEN_EDGES, EVEN_ENDS = ((0.05, 0.45), (0.7, 1.0)), (-0.25, 0.25)
MIDDLE = (0.1875, 0.8125)  # u between which the own colour is measured; beyond, it goes on
ALONG_BLUR = 13.0  # COLUMNS over which it is averaged: hairs that cross the lid are none of it
SIDE = 9  # COLUMNS over which what is drawn out begins beside an eye
STREAKS = 0.1  # widths over which what is drawn out is blurred: hairs would be streaks
COARSE = 2.5  # pixels of that blur in the picture that is blurred, at least
# Grain of skin that is drawn out, which the blur takes: side of the skin below the eye where it is
# measured and what is no grain, in widths of the eye; most of it over its usual size, since lines
# and spots are none
GRAIN_SIDE, GRAIN_BLUR, MOST_GRAIN = 0.6, 0.03, 2.5
GRAIN_WIDTHS = (24.0, 40.0)  # pixels of an eye, from which such a part has grain and no shapes


@dataclass(frozen=True, slots=True)
class LidSkin:
    """Skin above an eye of a source.

    above: between the lower edge of the brow and the upper lid, in widths of the eye.  band: the
    lightest skin, which is neither hair nor lashes, share of the way from brow to lid.  tone:
    (97, 3) colours along the eye of the skin as it begins to be drawn out, None for its own.
    cheek: light of the one below the eye, 0..255, the most it gets.  grain: (h, w) of the skin
    below the eye, over its light.  height: of the face in pixels.  lashes: of an eye that is shut
    in the source, else None.
    """

    above: Opening
    band: float
    tone: Array32 | None
    cheek: float
    grain: Array32
    height: float
    lashes: HangingLashes | None

    @property
    def drawn(self) -> Array:
        """(97,) pixels from brow to lid."""
        return (self.above.lower - self.above.upper) * self.above.width

    def above_eye(self, target: Array, ring: npt.NDArray[np.int32]) -> LidSkin:
        """Return the skin above the eye of a target mesh (468, 3), with the lashes it carries."""
        if self.lashes is None:
            return self
        lower = self.above.lower + self.lashes.carried(target, ring) * self.lashes.reach
        return replace(self, above=replace(self.above, lower=lower))


def extract(
    image: Image,
    mesh: Array,
    eyes: Sequence[EyeTexture],
    *,
    bare: topology.Indices | None = None,
    are_drawn: bool = False,
) -> tuple[LidSkin | None, ...]:
    """Find the skin above both eyes of a source; None above one that is hidden.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        eyes: both of the source.
        bare: points of skin to take light and grain from, where the cheeks are covered; else None.
        are_drawn: of an animated film, where skin above eyes has no shade.
    """
    found: list[LidSkin | None] = []
    cheeks = [tone_at(image, mesh, points if bare is None else bare) for points in CHEEKS]
    sides = zip(EYES, BROWS, BELOW, AROUND, cheeks, eyes, strict=True)
    for ring, brow, below, around, cheek, eye in sides:
        if eye.hidden:
            found.append(None)
            continue
        lit = max(float(cheek.mean()), LEAST_LIGHT)
        above = _fit_above(mesh, ring, brow)
        along = COLUMNS[BETWEEN_CORNERS].astype(np.float32)
        places = opening.between_rims(above, along, ACROSS.astype(np.float32))
        rows = remap(image, places).mean(-1, dtype=np.float32)
        dark = np.quantile(rows, DARK_PART, 1)
        smooth = cv2.GaussianBlur(dark, (0, 0), LIGHT_BLUR).ravel()[INNER]
        band = float(ACROSS[INNER][smooth.argmax()])
        tone = None
        if not are_drawn:
            tone = _tones(image, above, band, cheek / lit, lit)
            slopes = tones.fit_tones(face_box(image, mesh[around])).slopes
            tone += SHADED * (tones.tone(tones.luma(tone), slopes) - tone)
        skin = below if bare is None else bare
        grain = _grain(image, mesh[skin, :2].mean(0), above.width)
        height = anatomy.face_height(mesh)
        found.append(LidSkin(above, band, tone, lit, grain, height, eye.hanging))
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
        skin = skin.above_eye(target, ring)
        above = _fit_above(target, ring, brow)
        scale = above.width * skin.height / anatomy.face_height(target)
        ratio = (above.lower - above.upper) * scale / skin.drawn
        if ratio[BETWEEN_CORNERS].max() <= DRAWN_OUT[0]:
            continue
        region = opening.bounding_region(above, (out.shape[1], out.shape[0]), -ENDS[0])
        if region is None:
            continue
        share, colour = _draw_out(image, skin, above, region, scale)
        share *= smoothstep(*TURNED, opening.foreshortening(target, ring))
        opening.blend(out, region, np.asarray(share, np.float32), colour)


def _draw_out(
    image: Image, skin: LidSkin, above: Opening, region: Region, scale: float
) -> tuple[Array32, Array32]:
    """Return how far the skin of a source shows in a region, (h, w) 0..1, and its colours.

    Args:
        image: (H, W, 3) uint8 source image.
        skin: of the source.
        above: skin above the target's eye.
        region: of the frame.
        scale: pixels of the source in a width of the target's eye.
    """
    u, v = opening.local_coordinates(above, region)
    drawn, own_drawn = (above.lower - above.upper) * scale, skin.drawn
    shown, evened = (_spread(smoothstep(*way, drawn / own_drawn)) for way in (DRAWN_OUT, EVEN))
    top, height, own, brow_v, share, even = opening.interpolate(
        u, above.upper, drawn, own_drawn, skin.above.upper, shown, evened
    )
    below = (v - top) * np.float32(scale)
    extra, band = np.maximum(height - own, 0), np.float32(BAND) * own
    first = np.float32(skin.band) * own - band / 2
    passed = np.clip((below - first) / (extra + band), 0, 1)
    from_brow = (below - extra * passed) / np.float32(skin.above.width)
    colour = remap(image, opening.to_pixels(skin.above, u, brow_v + from_brow))
    soft = _blur(colour, max(STREAKS * above.width, 0.3))
    made = np.minimum(8 * passed * (1 - passed), 1)
    colour = colour + made[..., None] * cv2.subtract(soft, colour, dtype=cv2.CV_32F)
    part, beside = below / np.maximum(height, 1), np.minimum(u, 1 - u)
    if skin.tone is not None:
        even *= smoothstep(*EVEN_EDGES[0], part) * (1 - smoothstep(*EVEN_EDGES[1], part))
        even *= MOST_EVEN * smoothstep(*EVEN_ENDS, beside)
        tone = np.stack(opening.interpolate(u, *skin.tone.T), -1)
        lighter = np.minimum((height / own) ** GROWTH, np.float32(skin.cheek) / tone.mean(-1))
        colour += even[..., None] * (lighter[..., None] * tone - colour)
        made = np.maximum(made, even)
    places = merge_positions(u * np.float32(skin.above.width), below)
    colour *= (1 + made * remap(skin.grain, places, REFLECT))[..., None]
    share *= smoothstep(*ENDS, beside)
    share *= smoothstep(-EDGES[0], 0, part) * (1 - smoothstep(1, 1 + EDGES[1], part))
    return share, np.asarray(colour, np.float32)


def _fit_above(mesh: Array, ring: npt.NDArray[np.int32], brow: npt.NDArray[np.int32]) -> Opening:
    """Measure the skin between a brow and the upper lid of the eye inside a ring of mesh points.

    It is as wide as the eye, and a little above the lid at least.
    """
    eye = opening.fit_opening(mesh, ring)
    points = eye.to_local(mesh[brow, :2])
    edge = np.interp(COLUMNS, np.maximum.accumulate(points[:, 0]), points[:, 1])
    return Opening(eye.corner, eye.axes, np.minimum(edge, eye.upper - LEAST_HEIGHT), eye.upper)


def _tones(image: Image, above: Opening, band: float, hue: Array, lit: float) -> Array32:
    """Return the colours (97, 3) along the skin above an eye as it begins to be drawn out.

    Args:
        image: (H, W, 3) uint8.
        above: skin above an eye.
        band: share of the way from brow to lid.
        hue: (3,) of the cheek, its colour over its light.
        lit: that light, 0..255.
    """
    rows = np.array([band - BAND / 2, band, band + BAND / 2], np.float32)
    along = np.clip(COLUMNS, *MIDDLE).astype(np.float32)
    row = remap(image, opening.between_rims(above, along, rows)).mean(0, dtype=np.float64)
    own = cv2.GaussianBlur(row, (1, 0), 1, None, ALONG_BLUR, cv2.BORDER_REPLICATE)
    light = np.maximum(own.mean(-1, keepdims=True), LEAST_LIGHT)
    hue = hue + OWN_HUE * smoothstep(*DARK, light / lit) * (own / light - hue)
    return np.asarray(LIGHT * lit * (light / lit) ** OWN_LIGHT * hue, np.float32)


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
    share = float(smoothstep(*GRAIN_WIDTHS, width)) / max(float(light.mean()), 1.0)
    return np.asarray(share * np.clip(fine, -most, most), np.float32)


def _spread(shares: Array) -> Array:
    """Return shares (97,) along an eye that begin further out, and slowly."""
    wide = cv2.dilate(shares, np.ones((1, SIDE)))
    return np.asarray(cv2.GaussianBlur(wide, (0, 0), SIDE / 2), np.float64).ravel()


def _blur(colour: Image, deviation: float) -> Image:
    """Return colours (h, w, 3) blurred by a deviation in pixels, wide ones in a smaller picture."""
    height, width = colour.shape[:2]
    step = max(int(deviation / COARSE), 1)
    small = resize(colour, (max(width // step, 1), max(height // step, 1)), shrink=True)
    soft = np.asarray(cv2.GaussianBlur(small, (0, 0), deviation / step), np.uint8)
    return resize(soft, (width, height))
