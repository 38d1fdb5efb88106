"""Lips that close over a mouth which is open in the source, or part where it is shut.

The warp map is too coarse for it: between the lips it would show what is left of the open mouth, or
both rims of the mouth would keep the dark line between the shut lips. Here both lips are sampled
again, column by column up to their rims.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS, mouth_width
from thcli.engines.mesh.eyes.reading import EDGE_WIDTH
from thcli.engines.mesh.mouth import lip_rims, lip_samples
from thcli.engines.mesh.mouth.lip_samples import LOWER, SIDES, UPPER, ShownLips
from thcli.engines.mesh.opening import Opening, Region
from thcli.engines.mesh.sampling import remap
from thcli.engines.mesh.warp import TexturePositions
from thcli.faces.landmarks.topology import LIPS_OUTER

OPEN_RANGE = (0.02, 0.07)  # gap / width of the target between which the line fades out
CLOSE_RANGE = (0.35, 0.75)  # target gap / source gap between which the lips are sampled again
LEAST_PART = 0.55  # of the lips' width that is shown where they are pursed
# of a lip beside its inner rim, where the picture mixes it with teeth: share of its height, pixels
MIXED_SHARE, MIXED_PIXELS, MOST_MIXED = 0.05, 0.5, 0.4
LINE_DARKNESS = 0.5  # brightness of the line between closed lips over that of the lips
# Half of its width, in mouth widths and in pixels at least; its share of the colour
LINE_WIDTH, LEAST_LINE, LINE_SHARE = 0.008, 0.5, 0.85
CREASE, SHARP_CREASE = 0.04, 1.5  # widths and pixels of a blurred edge: the line stays as dark
# Dark line between shut lips: its brightness over that of the lips (median) and width of a mouth
# in pixels between which it is left out, share of the way to the lip's brightness at which it ends,
# and places on a lip's height where line and lip are sampled
DARK_RANGE, WIDTH_RANGE, LINE_END = (0.75, 0.9), (36.0, 60.0), 0.95
LINE_PLACES, LIP_PLACES = np.linspace(0.0, MOST_MIXED, 11), np.linspace(0.4, 0.8, 5)


@dataclass(frozen=True, slots=True)
class PartedLips:
    """Lips that are open in a source.

    rims: (2 lips, 2, 11, 2) pixels of the upper and the lower lip from left to right, its inner
    rim, where it is certainly lip, and its outer one.  mixed: (2, 11) share of the lip's height
    beside its inner rim where the picture mixes it with teeth.  colour: (3,) of the line between
    them.  gap: of the mouth in widths, see `opening.frontal_gap`.  blur: of the picture,
    deviation in pixels.  width: see `anatomy.mouth_width`.
    """

    rims: Array
    mixed: Array
    colour: Array
    gap: float
    blur: float
    width: float


def prepare(
    image: Image,
    mesh: Array,
    colour: Array | None = None,
    blur: float = 0.0,
    haze: float = 0.0,
) -> PartedLips:
    """Measure the open lips of an image (H, W, 3) uint8.

    Args:
        image: the source.
        mesh: (468, 3) pixels.
        colour: (3,) of the line, if it is known.
        blur: of the image, deviation in pixels.
        haze: light that lies over all of the face, see `colours.haze_level`.
    """
    clear = lip_rims.exclude_teeth(image, mesh, 1.0)
    sides = [[clear[LIPS[one], :2], mesh[LIPS_OUTER[one], :2]] for one in SIDES]
    rims = np.array(sides)
    height = np.linalg.norm(rims[:, 1] - rims[:, 0], axis=-1)
    mixed = np.clip(MIXED_PIXELS / np.maximum(height, 1e-6), MIXED_SHARE, MOST_MIXED)
    if colour is None:
        inner = clear[LIPS, :2] + 0.35 * (mesh[LIPS_OUTER, :2] - clear[LIPS, :2])
        colours = remap(image, inner[None].astype(np.float32))[0]
        lip = np.median(colours, 0)
        tint = np.sqrt(lip / max(float(lip.max()), 1.0))  # light within lips turns redder
        colour = np.asarray(haze + LINE_DARKNESS * (lip - haze) * tint, np.float64)
    return PartedLips(rims, mixed, colour, _frontal_gap(mesh), blur, mouth_width(mesh))


@dataclass(frozen=True, slots=True)
class ShutLips:
    """Lips that are shut in a source.

    rims: (2 lips, 2, 11, 2) pixels as in `PartedLips`.  line: (2, 11) share of the lip's height
    beside its inner rim that belongs to the dark line between the lips.  share: 0..1, how far it is
    left out when they part.  width: see `anatomy.mouth_width`.
    """

    rims: Array
    line: Array
    share: float
    width: float


def prepare_shut(image: Image, mesh: Array) -> ShutLips | None:
    """Measure the dark line between the shut lips of an image (H, W, 3) uint8.

    None where it is hardly darker than the lips, or the mouth is small.

    Args:
        image: the source.
        mesh: (468, 3) pixels.
    """
    rims = np.array([[mesh[ring[one], :2] for ring in (LIPS, LIPS_OUTER)] for one in SIDES])
    places = np.concatenate([LINE_PLACES, LIP_PLACES])[:, None, None, None]
    points = rims[:, 0] + places * (rims[:, 1] - rims[:, 0])  # (places, lips, points, 2)
    rows = remap(image, points.reshape(1, -1, 2).astype(np.float32)).astype(np.float64)
    light = rows.mean(-1).reshape(points.shape[:-1])
    lip = np.maximum(np.median(light[len(LINE_PLACES) :], (0, 2)), 1.0)[:, None]
    light = np.minimum(light[: len(LINE_PLACES)], lip)
    dark = light[:3].min((0, 1))  # the landmarks of one lip may lie on the other
    share = 1 - float(smoothstep(*DARK_RANGE, np.median(dark / lip)))
    share *= float(smoothstep(*WIDTH_RANGE, np.linalg.norm(rims[0, 0, -1] - rims[0, 0, 0])))
    is_line = np.minimum.accumulate(light < dark + LINE_END * (lip - dark), 0)
    line = is_line.sum(0) * (LINE_PLACES[1] - LINE_PLACES[0])
    line[:, 1:-1] = (line[:, :-2] + 2 * line[:, 1:-1] + line[:, 2:]) / 4
    if share == 0:
        return None
    return ShutLips(rims, np.minimum(line, MOST_MIXED), share, mouth_width(mesh))


def render_parting(out: Image, image: Image, lips: ShutLips, target: Array) -> None:
    """Leave the dark line of the source out of lips that part, in place; arguments as `render`."""
    mouth = opening.fit_opening(target, LIPS)
    shown = lips.share * float(smoothstep(*OPEN_RANGE, mouth.gap))
    region = _lip_region(out, mouth)
    if shown > 0 and region is not None:
        shut = ShownLips(lips.rims, lips.line, _narrowed(lips.width, target))
        lip_samples.render(out, image, shut, target, mouth, region, shown)


def _lip_region(out: Image, mouth: Opening) -> Region | None:
    """Return the part of an image that holds the lips; None when they lie outside of it."""
    return opening.bounding_region(mouth, (out.shape[1], out.shape[0]), 0.35)


def made_share(lips: PartedLips, target: Array) -> float:
    """Return how far lips are sampled again for a target (468, 3), 0..1."""
    return 1 - float(smoothstep(*CLOSE_RANGE, _frontal_gap(target) / lips.gap))


def _frontal_gap(mesh: Array) -> float:
    return opening.frontal_gap(opening.fit_opening(mesh, LIPS), mesh, LIPS)


def _narrowed(width: float, target: Array) -> float:
    """Return the share of lips of a width that a narrower target (468, 3) shows."""
    return float(np.clip(mouth_width(target) / width, LEAST_PART, 1.0))


def hide_inside(
    texture: TexturePositions, lips: PartedLips, source: Array, target: Array
) -> TexturePositions:
    """Let the rims of lips that close show the lips alone, and what is between them the upper one.

    Where a turned head hides a corner of its mouth, `render` does not reach: no tooth shows there.

    Args:
        texture: of a frame's mesh.
        lips: of the source.
        source, target: (468, 3) meshes.
    """
    gap = opening.fit_opening(target, LIPS).gap
    share = made_share(lips, target) * (1 - float(smoothstep(*OPEN_RANGE, gap)))
    if share <= 0:
        return texture
    inner = lips.rims[:, 0] + lips.mixed[..., None] * (lips.rims[:, 1] - lips.rims[:, 0])
    face, holes = texture.face.copy(), texture.holes.copy()
    for one, rim in zip(SIDES, inner, strict=True):
        face[LIPS[one]] += share * (rim - source[LIPS[one], :2])
    holes[LIPS] = face[LIPS]
    holes[LIPS[LOWER]] += share * (face[LIPS[UPPER]] - face[LIPS[LOWER]])
    return TexturePositions(face, holes)


def render(out: Image, image: Image, lips: PartedLips, target: Array) -> None:
    """Close the lips as far as the target's are closed, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        image: (H, W, 3) uint8 source.
        lips: of the source.
        target: (468, 3) target mesh.
    """
    mouth = opening.fit_opening(target, LIPS)
    shown = made_share(lips, target)
    region = _lip_region(out, mouth)
    if shown <= 0 or region is None:
        return
    closed = 1 - float(smoothstep(*OPEN_RANGE, mouth.gap))
    sampled = ShownLips(lips.rims, closed * lips.mixed, _narrowed(lips.width, target))
    lip_samples.render(out, image, sampled, target, mouth, region, shown)
    u, v = opening.local_coordinates(mouth, region)
    rims = mouth.rims(u)
    inside = lip_samples.fade_corners(lips.rims, mouth, target, u)
    width = np.float32(max(LINE_WIDTH, LEAST_LINE / max(mouth.width, 1.0)))
    line = (rims[0] - width, rims[1] + width)
    edge = EDGE_WIDTH * lips.blur
    soft = max(1.5, 2 * LINE_WIDTH * mouth.width, edge)
    seam = opening.coverage(mouth, u, v, line, soft)
    crease = SHARP_CREASE + CREASE * mouth.width
    shown *= closed * crease / max(crease, edge)
    colour = np.full((*seam.shape, 3), lips.colour, np.float32)
    opening.blend(out, region, LINE_SHARE * shown * seam * inside, colour)
