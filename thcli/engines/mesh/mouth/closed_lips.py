"""Lips that close over a mouth which is open in the source, or part where it is shut.

The warp map is too coarse for it: between the lips it would show what is left of the open mouth, or
both rims of the mouth would keep the dark line between the shut lips. Here both lips are sampled
again, column by column up to their rims.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.background.windows import iterate_windows
from thcli.engines.mesh.eyes.reading import EDGE_WIDTH
from thcli.engines.mesh.mouth import lip_rims
from thcli.engines.mesh.opening import COLUMNS, Opening, Region
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import pair, remap
from thcli.engines.mesh.warp import TexturePositions
from thcli.faces.landmarks.topology import LIPS_OUTER

OPEN_RANGE = (0.02, 0.07)  # gap / width of the target between which the line fades out
CLOSE_RANGE = (0.35, 0.75)  # target gap / source gap between which the lips are sampled again
HEIGHT_RANGE = (0.45, 0.9)  # share of a lip's height, from its inner rim, in which that fades out
LEAST_HEIGHT = 0.02  # of a lip, widths
# Widths beside each corner over which lips that are sampled fade out, since landmarks of turned
# faces miss the far one; and up to which they have the texture that they have there: corners of a
# grin are shadows and teeth
CORNER_FADE, FROM_CORNER = 0.05, 0.09
LEAST_NARROWING = 0.02  # widths by which a turn moves points towards a corner, from which it counts
# of a lip beside its inner rim, where the picture mixes it with teeth: share of its height, pixels
MIXED_SHARE, MIXED_PIXELS, MOST_MIXED = 0.05, 0.5, 0.4
LIP_SAMPLES = 128  # of a mouth's width: lips of larger ones are measured on a coarser grid
LINE_DARKNESS = 0.5  # brightness of the line between closed lips over that of the lips
# Half of its width, in mouth widths and in pixels at least; its share of the colour
LINE_WIDTH, LEAST_LINE, LINE_SHARE = 0.008, 0.5, 0.85
CREASE, SHARP_CREASE = 0.04, 1.5  # widths and pixels of a blurred edge: the line stays as dark
# Dark line between shut lips: its brightness over that of the lips (median) and width of a mouth
# in pixels between which it is left out, share of the way to the lip's brightness at which it ends,
# and places on a lip's height where line and lip are sampled
DARK_RANGE, WIDTH_RANGE, LINE_END = (0.55, 0.75), (36.0, 60.0), 0.7
LINE_PLACES, LIP_PLACES = np.linspace(0.0, MOST_MIXED, 11), np.linspace(0.4, 0.8, 5)
_HALF = len(LIPS) // 2
_UPPER = np.r_[0, np.arange(len(LIPS) - 1, _HALF - 1, -1)]
_LOWER = np.arange(_HALF + 1)
_SIDES = (_UPPER, _LOWER)


@dataclass(frozen=True, slots=True)
class PartedLips:
    """Lips that are open in a source.

    rims: (2 lips, 2, 11, 2) pixels of the upper and the lower lip from left to right, its inner
    rim, where it is certainly lip, and its outer one.  mixed: (2, 11) share of the lip's height
    beside its inner rim where the picture mixes it with teeth.  colour: (3,) of the line between
    them.  gap: of the mouth in widths, see `opening.frontal_gap`.  blur: of the picture,
    deviation in pixels.
    """

    rims: Array
    mixed: Array
    colour: Array
    gap: float
    blur: float


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
    sides = [[clear[LIPS[one], :2], mesh[LIPS_OUTER[one], :2]] for one in _SIDES]
    rims = np.array(sides)
    height = np.linalg.norm(rims[:, 1] - rims[:, 0], axis=-1)
    mixed = np.clip(MIXED_PIXELS / np.maximum(height, 1e-6), MIXED_SHARE, MOST_MIXED)
    if colour is None:
        inner = clear[LIPS, :2] + 0.35 * (mesh[LIPS_OUTER, :2] - clear[LIPS, :2])
        colours = remap(image, inner[None].astype(np.float32))[0]
        lip = np.median(colours, 0)
        tint = np.sqrt(lip / max(float(lip.max()), 1.0))  # light within lips turns redder
        colour = np.asarray(haze + LINE_DARKNESS * (lip - haze) * tint, np.float64)
    return PartedLips(rims, mixed, colour, _frontal_gap(mesh), blur)


@dataclass(frozen=True, slots=True)
class ShutLips:
    """Lips that are shut in a source.

    rims: (2 lips, 2, 11, 2) pixels as in `PartedLips`.  line: (2, 11) share of the lip's height
    beside its inner rim that belongs to the dark line between the lips.  share: 0..1, how far it is
    left out when they part.
    """

    rims: Array
    line: Array
    share: float


def prepare_shut(image: Image, mesh: Array) -> ShutLips | None:
    """Measure the dark line between the shut lips of an image (H, W, 3) uint8.

    None where it is hardly darker than the lips, or the mouth is small.

    Args:
        image: the source.
        mesh: (468, 3) pixels.
    """
    rims = np.array([[mesh[ring[one], :2] for ring in (LIPS, LIPS_OUTER)] for one in _SIDES])
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
    return ShutLips(rims, np.minimum(line, MOST_MIXED), share) if share > 0 else None


def render_parting(out: Image, image: Image, lips: ShutLips, target: Array) -> None:
    """Leave the dark line of the source out of lips that part, in place; arguments as `render`."""
    mouth = opening.fit_opening(target, LIPS)
    shown = lips.share * float(smoothstep(*OPEN_RANGE, mouth.gap))
    region = _lip_region(out, mouth)
    if shown > 0 and region is not None:
        _render_lips(out, image, (lips.rims, lips.line), target, mouth, region, shown)


def _lip_region(out: Image, mouth: Opening) -> Region | None:
    """Return the part of an image that holds the lips; None when they lie outside of it."""
    return opening.bounding_region(mouth, (out.shape[1], out.shape[0]), 0.35)


def _render_lips(
    out: Image,
    image: Image,
    lips: tuple[Array, Array],
    target: Array,
    mouth: Opening,
    region: Region,
    shown: float,
) -> None:
    """Sample both lips again beside their inner rims, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        image: (H, W, 3) uint8 source.
        lips: rims (2, 2, 11, 2), and shares (2, 11) of their heights that are left out.
        target: (468, 3) target mesh.
        mouth: its opening.
        region: of the frame.
        shown: share of the sampled colours.
    """
    measured = [
        _measure_lip(mouth, target, (rims, mixed), ring)
        for rims, mixed, ring in zip(*lips, _SIDES, strict=True)
    ]
    step = max(1, round(mouth.width / LIP_SAMPLES))
    u, v = opening.local_coordinates(mouth, region, step)
    grid = SampleGrid(region[1].start, region[0].start, step, u.shape[1], u.shape[0])
    rims, pixels = mouth.rims(u), np.float32(mouth.width)
    inside = _fade_corners(lips[0], mouth, target, u)
    for side, lip in enumerate(measured):
        beyond = v - rims[1] if side else rims[0] - v
        highest = np.float32(HEIGHT_RANGE[1] * float(lip[:, 0].max()))
        shows = (beyond * pixels > -step) & (beyond < highest) & (inside > 0)
        left, top, width, height = cv2.boundingRect(shows.view(np.uint8))
        if not width:
            continue
        kept = (
            slice(max(top - 1, 0), min(top + height + 1, grid.rows)),
            slice(max(left - 1, 0), min(left + width + 1, grid.columns)),
        )
        away = np.ascontiguousarray(beyond[kept])
        high, positions = _sample_positions(lip, np.ascontiguousarray(u[kept]), away)
        cover = shown * inside[kept] * (1 - smoothstep(*HEIGHT_RANGE, away / high))
        samples = np.dstack([positions, cover, away * pixels]).astype(np.float32)
        share = shows[kept].astype(np.float32)
        size = out.shape[1], out.shape[0]
        for part, values in iterate_windows(samples, share, grid.part(*kept), size):
            mask = values[..., 2] * np.clip(1 + values[..., 3], 0, 1)
            opening.blend(out, part, mask, remap(image, pair(values)))


def made_share(lips: PartedLips, target: Array) -> float:
    """Return how far lips are sampled again for a target (468, 3), 0..1."""
    return 1 - float(smoothstep(*CLOSE_RANGE, _frontal_gap(target) / lips.gap))


def _frontal_gap(mesh: Array) -> float:
    return opening.frontal_gap(opening.fit_opening(mesh, LIPS), mesh, LIPS)


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
    for one, rim in zip(_SIDES, inner, strict=True):
        face[LIPS[one]] += share * (rim - source[LIPS[one], :2])
    holes[LIPS] = face[LIPS]
    holes[LIPS[_LOWER]] += share * (face[LIPS[_UPPER]] - face[LIPS[_LOWER]])
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
    mixed = closed * lips.mixed
    _render_lips(out, image, (lips.rims, mixed), target, mouth, region, shown)
    u, v = opening.local_coordinates(mouth, region)
    rims = mouth.rims(u)
    inside = _fade_corners(lips.rims, mouth, target, u)
    width = np.float32(max(LINE_WIDTH, LEAST_LINE / max(mouth.width, 1.0)))
    line = (rims[0] - width, rims[1] + width)
    edge = EDGE_WIDTH * lips.blur
    soft = max(1.5, 2 * LINE_WIDTH * mouth.width, edge)
    seam = opening.coverage(mouth, u, v, line, soft)
    crease = SHARP_CREASE + CREASE * mouth.width
    shown *= closed * crease / max(crease, edge)
    colour = np.full((*seam.shape, 3), lips.colour, np.float32)
    opening.blend(out, region, LINE_SHARE * shown * seam * inside, colour)


def _fade_corners(rims: Array, mouth: Opening, target: Array, u: Array32) -> Array32:
    """Return the share of the sampled lips at u, which fades out beside the corners, as u.

    A corner that a turn foreshortens fades over as much of the lip as in the source.

    Args:
        rims: (2, 2, 11, 2) of the source's lips, see `PartedLips`.
        mouth: opening of the target.
        target: (468, 3) target mesh.
        u: (h, w).
    """
    inner = rims[:, 0].mean(0)
    along = inner[-1] - inner[0]
    own = np.clip((inner - inner[0]) @ along / max(float(along @ along), 1e-6), 0, 1)
    points = mouth.to_local(target[LIPS[_UPPER], :2]) + mouth.to_local(target[LIPS[_LOWER], :2])
    places = np.maximum.accumulate(points[:, 0] / 2)
    from_corner, at = np.minimum(own, 1 - own), np.minimum(u, 1 - u)
    if (from_corner - np.minimum(places, 1 - places)).max() > LEAST_NARROWING:
        at = np.maximum(at, np.interp(u, places, from_corner, 0.0, 0.0))
    return np.asarray(smoothstep(0.0, CORNER_FADE, at), np.float32)


def _measure_lip(
    mouth: Opening, target: Array, lip: tuple[Array, Array], ring: npt.NDArray[np.intp]
) -> Array32:
    """Measure a lip of the target, and where the source shows it, at COLUMNS.

    Args:
        mouth: opening of the target.
        target: (468, 3) target mesh.
        lip: rims (2, 11, 2) and mixed share (11,) of it in the source, see `PartedLips`.
        ring: positions of the lip's points in the rings of lips.

    Returns:
        (97, 6) float32: height in widths, mixed share, pixels of the inner and of the outer rim.
    """
    rims, mixed = lip
    inner, outer = (mouth.to_local(target[points[ring], :2]) for points in (LIPS, LIPS_OUTER))
    places = np.maximum.accumulate(inner[:, 0])
    edge = np.interp(COLUMNS, np.maximum.accumulate(outer[:, 0]), outer[:, 1])
    high = np.maximum(np.abs(edge - np.interp(COLUMNS, places, inner[:, 1])), LEAST_HEIGHT)
    shown = np.clip(COLUMNS, FROM_CORNER, 1 - FROM_CORNER)
    own = [np.interp(shown, places, rims[k, :, axis]) for k in range(2) for axis in range(2)]
    return np.stack([high, np.interp(COLUMNS, places, mixed), *own], -1).astype(np.float32)


def _sample_positions(lip: Array32, u: Array32, beyond: Array32) -> tuple[Array32, Array32]:
    """Find where the source shows a lip.

    Args:
        lip: from `_measure_lip`.
        u, beyond: (h, w) each, u, and the distance from the lip's inner rim outwards in widths.

    Returns:
        Height of the lip in widths, (h, w), and positions (h, w, 2) in pixels.
    """
    at = np.clip((u + 0.25) * 64, 0, 95.999)
    low = at.astype(np.intp)
    part = (at - low).astype(np.float32)
    found = lip.take(low, 0) + part[..., None] * np.diff(lip, axis=0).take(low, 0)
    depth = np.maximum(beyond, 0)[..., None] / found[..., :1]
    depth += found[..., 1:2] * (1 - np.minimum(depth, 1))
    positions = found[..., 2:4] + depth * (found[..., 4:] - found[..., 2:4])
    return found[..., 0], np.asarray(positions, np.float32)
