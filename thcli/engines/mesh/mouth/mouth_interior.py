"""Inside of the mouth without a driving frame: the source's own where it shows, else synthetic.

The synthetic inside has teeth, tongue and cavity. Lengths are millimetres of an average adult
head, fitted to the face's own axes. The upper teeth belong to the skull, the lower teeth and the
tongue to the jaw. All are lit by the tone of the skin around the mouth, teeth by the white of the
eyes too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import CHIN, LIPS
from thcli.engines.mesh.eye_reading import EyeReading
from thcli.engines.mesh.mouth import cavity, mouth_corners
from thcli.engines.mesh.mouth.colours import keep_colour
from thcli.engines.mesh.mouth.seen_mouths import SeenMouths
from thcli.engines.mesh.mouth.teeth import (
    LOWER_TEETH,
    LOWER_TOOTH_HEIGHT,
    UPPER_TEETH,
    UPPER_TOOTH_HEIGHT,
    Teeth,
)
from thcli.engines.mesh.opening import Opening, Region, Rims
from thcli.engines.mesh.sampling import remap
from thcli.motion import canonical

# mm: between the outer eye corners 33 and 263, from the root to the base of the nose 168-2
EYE_DISTANCE, NOSE_LENGTH = 90.0, 50.0
NOSE_ROOT, NOSE_BASE, UPPER_LIP, LOWER_LIP = 168, 2, 13, 14
BEHIND_LIPS = 6.0  # mm from the lips back to the teeth
UPPER_EDGE = (19.0, 25.0)  # mm below the nose's base between which the upper teeth end
SHOWS_UPPER, SHOWS_LOWER = 2.8, 3.0  # mm of teeth beyond the closed lips
MAX_LOWER = 3.4  # mm of the lower teeth that the lip uncovers at most
PARTED, MOST_PARTED, BARED_SHARE = 2.0, 6.0, 0.5  # mm that lips part beyond the jaw; share bared
SHOWS_PARTED = 2.0  # mm more under lips that are parted in the source
# Colours over that of skin, and brightness of enamel over the skin's and over the eyes' white
ENAMEL_OVER_SKIN, ENAMEL_OVER_WHITE, ENAMEL_OFFSET = 1.07, 0.9, 0.3
ENAMEL_RANGE = (1.18, 1.8)  # over the skin's brightness
ENAMEL_TINT = 0.6  # share of the skin's tint, as an exponent
MOST_ENAMEL = 232.0
LIP_SHADOW, LEAST_LIGHT = 4.0, 0.6  # mm below the upper lip; light on teeth right below it
NARROW_RANGE, NARROW_LIGHT = (3.0, 9.0), 0.8  # mm of opening; light on teeth in a narrow mouth
EDGE_BLUR = 0.012  # deviation of the mouth's outline in widths
LOWER_RANGE, LOWER_SHADE = (9.0, 15.0), 0.66  # mm of opening that shows lower teeth; their light
OPEN_RANGE = (0.015, 0.06)  # gap / width between which the inside fades in
# |log(target gap / source gap)| between which the stretched source inside is replaced
SIMILAR_RANGE = (0.05, 0.3)
LEAST_SHARE = 1 / 512  # of the inside that changes a pixel
BLUR_REACH = 4.0  # deviations from which OpenCV's blur takes samples
OWN_RANGE = (0.03, 0.07)  # gap / width of a source between which its own inside is used


@dataclass(frozen=True, slots=True)
class MouthInterior:
    """Geometry and tone of the source's mouth.

    upper: (2,) mm from the nose's base to the middle of the upper teeth's edge.  lower: (2,) mm
    from the chin to the middle of the lower teeth's edge.  lips: the source's own opening.  tone,
    enamel: (3,) colours of the skin around the mouth and of teeth.  blur: see `EyeReading`, pixels.
    bite: mm that the upper teeth reach below the edge of the lower ones.  gap: mm between the lips.
    natural: 0..1, whether the picture has colours, see `colours.natural_colour`.  shows: 0..1,
    whether it shows its own inside, or lips alone between the rims.
    """

    upper: Array
    lower: Array
    lips: Opening
    tone: Array
    enamel: Array
    blur: float
    bite: float
    gap: float
    natural: float
    shows: float = 1.0


@dataclass(frozen=True, slots=True)
class _Anchors:
    """Pixels of the upper and lower teeth's edge (2,) each, and the (3, 2) axes of a face."""

    upper: Array
    lower: Array
    axes: Array


def face_axes(mesh: Array) -> Array:
    """Compute the image vectors of one millimetre along a face's axes.

    Returns (3, 2) pixels: rows along the eyes, down the nose, and out of the face.
    """
    across = (mesh[263] - mesh[33]) / EYE_DISTANCE
    down = (mesh[NOSE_BASE] - mesh[NOSE_ROOT]) / NOSE_LENGTH
    out = -np.cross(across, down)
    out *= np.linalg.norm(across) / max(float(np.linalg.norm(out)), 1e-9)
    return np.stack([across[:2], down[:2], out[:2]])


def _to_millimetres(offset: Array, axes: Array) -> Array:
    """Convert an image offset (2,) in pixels to mm along the first two axes; 0 when degenerate."""
    plane = axes[:2]
    area = plane[0, 0] * plane[1, 1] - plane[0, 1] * plane[1, 0]
    if abs(area) < 1e-9:
        return np.zeros(2)
    return np.asarray(np.linalg.solve(plane.T, offset))


def prepare(
    mesh: Array, tone: Array, seen_eyes: EyeReading | None = None, natural: float = 1.0
) -> MouthInterior:
    """Measure the source's mouth.

    Args:
        mesh: (468, 3) pixels.
        tone: (3,) skin colour.
        seen_eyes: tell the light on teeth and the sharpness of the picture; None: the skin alone.
        natural: 0..1, see `colours.natural_colour`.
    """
    axes, flat = face_axes(mesh), mesh[:, :2]
    upper = _to_millimetres(flat[UPPER_LIP] - flat[NOSE_BASE], axes)
    lower = _to_millimetres(flat[LOWER_LIP] - flat[CHIN], axes)
    aside = mouth_corners.smirk_share(mesh) * _lips_aside(mesh)
    upper[0] -= aside[0]  # teeth do not follow lips aside
    lower[0] -= aside[1]
    lips = opening.fit_opening(mesh, LIPS)
    shows = SHOWS_UPPER + SHOWS_PARTED * float(smoothstep(*OWN_RANGE, lips.gap))
    upper[1] = np.clip(upper[1] + shows, *UPPER_EDGE)
    skin = max(float(tone.mean()), 1.0)
    light, blur = ENAMEL_OVER_SKIN, 0.0
    if seen_eyes is not None:
        light, blur = ENAMEL_OFFSET + ENAMEL_OVER_WHITE * seen_eyes.white, seen_eyes.blur
    light = min(float(np.clip(light, *ENAMEL_RANGE)) * skin, MOST_ENAMEL)
    enamel = light * (tone / skin) ** ENAMEL_TINT
    lower = lower - (0, SHOWS_LOWER)
    bite = _to_millimetres(flat[NOSE_BASE] - flat[CHIN], axes)[1] + upper[1] - lower[1]
    gap = _gap_mm(lips, axes)
    return MouthInterior(upper, lower, lips, tone, enamel, blur, float(bite), gap, natural)


def _lips_aside(mesh: Array) -> Array:
    """Return mm that the face itself, without its turn, has the lips beside nose and chin, (2,)."""
    shape = canonical.decompose(mesh).shape
    aside = shape[[UPPER_LIP, LOWER_LIP], 0] - shape[[NOSE_BASE, CHIN], 0]
    return np.asarray(aside * EYE_DISTANCE / max(float(shape[263, 0] - shape[33, 0]), 1e-6))


def _gap_mm(lips: Opening, axes: Array) -> float:
    """Return the mean height of the lips' opening in mm."""
    return lips.gap * lips.width / max(float(np.hypot(*axes[0])), 1e-6)


def render(
    out: Image,
    image: Image,
    interior: MouthInterior,
    source: Array,
    target: Array,
    seen: SeenMouths | None = None,
) -> None:
    """Render the inside of the mouth between the target's lips, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        image: (H, W, 3) uint8 source image.
        interior: the source's mouth.
        source, target: (468, 3) meshes in pixels of the source image.
        seen: the mouth as other frames of the clip show it; None draws what the source lacks.
    """
    lips = opening.fit_opening(target, LIPS)
    own = float(smoothstep(*OWN_RANGE, interior.lips.gap))
    gap_change = abs(np.log(max(lips.gap, 1e-3) / max(interior.lips.gap, 1e-3)))
    similar = 1 - float(smoothstep(*SIMILAR_RANGE, gap_change))
    shown = float(smoothstep(*OPEN_RANGE, lips.gap)) * (1 - own * similar)
    blur = interior.blur
    margin = 0.06 + 2 * blur / max(lips.width, 1.0)
    region = opening.bounding_region(lips, (out.shape[1], out.shape[0]), margin)
    if shown <= 0 or region is None:
        return
    axes = face_axes(target)
    upper = target[NOSE_BASE, :2] + interior.upper @ axes[:2] - BEHIND_LIPS * axes[2]
    lower = target[CHIN, :2] + interior.lower @ axes[:2] - BEHIND_LIPS * axes[2]
    # lips that part more than the jaw opens, both against the source, bare the upper teeth
    jaw = max(_to_millimetres(lower - upper, axes)[1] + interior.bite, -interior.gap)
    parted = _gap_mm(lips, axes) - interior.gap - jaw
    bared = BARED_SHARE * float(np.clip(parted - PARTED, 0.0, MOST_PARTED)) * axes[1]
    uncovered = _to_millimetres(target[LOWER_LIP, :2] - BEHIND_LIPS * axes[2] - lower, axes)[1]
    lower = lower + max(uncovered - MAX_LOWER, 0.0) * axes[1]
    anchors = _Anchors(upper, lower, axes)
    drawn = _Anchors(upper + bared, lower, axes)
    known = 0.0 if seen is None else seen.share(lips.gap)
    own *= interior.shows
    uv = opening.local_coordinates(lips, region)
    rims = lips.rims(uv[0])
    inner = (rims[0] + 0.01, rims[1] - 0.01)
    mask = opening.coverage(lips, *uv, inner, max(1.5, 0.035 * lips.width))
    sigma = max(0.7, EDGE_BLUR * lips.width, blur)  # steep rims are soft too
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), np.float32)
    colour = np.zeros((*mask.shape, 3), np.float32)
    strips = list(_iterate_shown(mask, region, blur))
    if known < 1:
        for kept, part in strips:
            at, between = _parts(uv, kept), _parts(rims, kept)
            colour[kept] = _render_synthetic(part, at, between, lips, drawn, interior)
        if blur > 0:
            colour = np.asarray(cv2.GaussianBlur(colour, (0, 0), blur), np.float32)
    for kept, part in strips:
        shade = np.ascontiguousarray(colour[kept])
        if seen is not None and known > 0:
            at, between = _parts(uv, kept), _parts(rims, kept)
            behind = None
            if seen.shows_cavity(lips.gap):
                behind = _cavity(part, at, between, lips, drawn, interior)
                behind *= cavity.light_from_corners(at[0])
                behind = keep_colour(behind, interior.tone, interior.natural)
            clip_inside = seen.render(at, between, lips.gap, interior.tone, behind)
            shade += np.float32(known) * (clip_inside - shade)
        if own > 0 and seen is None:
            texture, valid = _source_inside(image, interior, source, part, anchors)
            shade += (np.float32(own) * valid)[..., None] * (texture - shade)
        opening.blend(out, part, shown * mask[kept], shade)


def _iterate_shown(mask: Array32, region: Region, blur: float) -> Iterator[tuple[Region, Region]]:
    """Yield the parts of a region that are drawn, in strips, within it and within the image.

    Args:
        mask: (h, w) of the region; nothing shows where it is below LEAST_SHARE.
        region: rows and columns of the image.
        blur: deviation in pixels of what is drawn.
    """
    reach = 2 * int(np.ceil(BLUR_REACH * blur)) + 1
    near = cv2.dilate((mask >= LEAST_SHARE).view(np.uint8), np.ones((reach, reach), np.uint8))
    left = region[1].start
    for rows, strip in opening.iterate_strips(region):
        columns = np.flatnonzero(near[rows].any(0))
        if len(columns):
            first, last = int(columns[0]), int(columns[-1]) + 1
            yield (rows, slice(first, last)), (strip[0], slice(left + first, left + last))


def _parts(values: tuple[Array32, Array32], kept: Region) -> tuple[Array32, Array32]:
    return np.ascontiguousarray(values[0][kept]), np.ascontiguousarray(values[1][kept])


def _render_synthetic(
    region: Region,
    uv: tuple[Array32, Array32],
    rims: Rims,
    lips: Opening,
    anchors: _Anchors,
    interior: MouthInterior,
) -> Array32:
    """Render cavity, tongue and teeth over a region: (h, w, 3) float32 in 0..255."""
    axes = anchors.axes
    u, v = uv
    pixels_per_mm = max(float(np.linalg.norm(axes[0])), 1e-6)
    width_mm = np.float32(lips.width / pixels_per_mm)
    x, y = _millimetre_grid(region, anchors.upper, axes)
    jaw_x, jaw_y = _millimetre_grid(region, anchors.lower, axes)
    under_lip = (v - rims[0]) * width_mm
    gap = np.float32(max(lips.gap, 0.0)) * width_mm

    colour = _cavity(region, uv, rims, lips, anchors, interior)

    soft = np.float32(max(0.35, 0.5 / pixels_per_mm))
    teeth = Teeth(interior.enamel.astype(np.float32), interior.tone.astype(np.float32), soft)
    beyond = -(jaw_y + np.float32(0.012) * jaw_x**2)
    tooth_colour, cover = teeth.render(jaw_x, beyond, LOWER_TEETH, LOWER_TOOTH_HEIGHT)
    cover *= np.float32(smoothstep(*LOWER_RANGE, gap))
    shade = np.float32(LOWER_SHADE) * (1 - np.float32(0.8) * smoothstep(7, 20, np.abs(jaw_x)))
    colour += cover[..., None] * (tooth_colour * shade.astype(np.float32)[..., None] - colour)

    beyond = y + np.float32(0.010) * x**2
    tooth_colour, cover = teeth.render(x, beyond, UPPER_TEETH, UPPER_TOOTH_HEIGHT)
    lit = smoothstep(0, LIP_SHADOW, under_lip).astype(np.float32)
    shade = np.float32(LEAST_LIGHT) + np.float32(1 - LEAST_LIGHT) * lit
    shade *= (1 - np.float32(0.72) * smoothstep(8, 26, np.abs(x))).astype(np.float32)
    shade *= np.float32(NARROW_LIGHT + (1 - NARROW_LIGHT) * float(smoothstep(*NARROW_RANGE, gap)))
    colour += cover[..., None] * (tooth_colour * shade[..., None] - colour)
    colour *= cavity.light_from_corners(u)
    return keep_colour(np.asarray(colour, np.float32), interior.tone, interior.natural)


def _cavity(
    region: Region,
    uv: tuple[Array32, Array32],
    rims: Rims,
    lips: Opening,
    anchors: _Anchors,
    interior: MouthInterior,
) -> Array32:
    """Render cavity and tongue over a region: (h, w, 3) float32 in 0..255."""
    width_mm = lips.width / max(float(np.linalg.norm(anchors.axes[0])), 1e-6)
    jaw_x, _ = _millimetre_grid(region, anchors.lower, anchors.axes)
    return cavity.render(jaw_x, uv[1], rims, lips.gap, width_mm, interior.tone)


def _millimetre_grid(region: Region, origin: Array, axes: Array) -> tuple[Array32, Array32]:
    """Compute mm right of and below an image point (2,) for every pixel of a region."""
    rows, columns = region
    plane = axes[:2]
    area = plane[0, 0] * plane[1, 1] - plane[0, 1] * plane[1, 0]
    area = area if abs(area) > 1e-6 else 1e-6
    x = (np.arange(columns.start, columns.stop) - origin[0]).astype(np.float32)[None]
    y = (np.arange(rows.start, rows.stop) - origin[1]).astype(np.float32)[:, None]
    a, b = np.float32(plane[1, 1] / area), np.float32(-plane[1, 0] / area)
    c, d = np.float32(-plane[0, 1] / area), np.float32(plane[0, 0] / area)
    return a * x + b * y, c * x + d * y


def _source_inside(
    image: Image, interior: MouthInterior, source: Array, region: Region, anchors: _Anchors
) -> tuple[Image, Array32]:
    """Sample the inside of the source's own open mouth, which moves with the skull.

    Returns:
        Texture (h, w, 3) uint8 and a mask (h, w) in 0..1 of the pixels that the source shows.
    """
    x, y = _millimetre_grid(region, anchors.upper, anchors.axes)
    own_axes = face_axes(source)
    start = source[NOSE_BASE, :2] + interior.upper @ own_axes[:2] - BEHIND_LIPS * own_axes[2]
    (a, b), (c, d) = own_axes[:2].astype(np.float32)
    source_x, source_y = np.float32(start[0]) + a * x + c * y, np.float32(start[1]) + b * x + d * y
    positions = np.stack([source_x, source_y], -1)
    lips = interior.lips
    scale = (lips.axes.T / (lips.axes[0] @ lips.axes[0])).astype(np.float32)
    local = (positions - lips.corner.astype(np.float32)) @ scale
    u, v = local[..., 0], local[..., 1]
    rims = lips.rims(u)
    inner = (rims[0] + 0.02, rims[1] - 0.03)
    valid = opening.coverage(lips, u, v, inner, max(2.0, 0.08 * lips.width))
    return remap(image, positions), valid
