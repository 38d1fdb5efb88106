"""Drawing of the inside of a mouth: its cavity, tongue and teeth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh import opening
from thcli.engines.mesh.mouth import cavity
from thcli.engines.mesh.mouth.colours import keep_colour
from thcli.engines.mesh.mouth.own_teeth import OwnTeeth
from thcli.engines.mesh.mouth.teeth import (
    LOWER_CURVE,
    LOWER_TEETH,
    LOWER_TOOTH_HEIGHT,
    UPPER_CURVE,
    UPPER_TEETH,
    UPPER_TOOTH_HEIGHT,
    Teeth,
    along_arch,
    light_between_lips,
)
from thcli.engines.mesh.opening import Opening, Region, Rims
from thcli.engines.mesh.sampling import resize, to_samples

# mm of the upper teeth below the lip that show as they are, or what the source shows of them, and
# how much more at most: a smile over a smile would bare more than teeth are long, up to 23 mm
FREE_BARED, MORE_BARED = 9.0, 4.0
SHOWN_RANGE = (0.01, 0.03)  # gap / width of lips between which what is inside fades in
LEAST_EDGE, EDGE = 1.5, 0.035  # pixels and widths of its soft edge, half of which is on the lips
LIP_SHADOW, LEAST_LIGHT = 4.0, 0.6  # mm below the upper lip; light on teeth right below it
LOWER_RANGE, LOWER_SHADE = (9.0, 15.0), 0.66  # mm of opening that shows lower teeth; their light
LOWER_SIDES, LOWER_LOSS = (7.0, 20.0), 0.8  # mm aside over which they go into the dark; how far
SIDE_LOSS = 0.5  # of the light on upper teeth at the sides, beyond the corners' shade
LEAST_SHARE = 1 / 512  # of the inside that changes a pixel
BLUR_REACH = 4.0  # deviations from which OpenCV's blur takes samples
# Pixels per mm above which the inside is drawn at half the size, where teeth have edges of .35 mm;
# and pixels of that size around what shows.
FINEST, HALF_MARGIN = 6.0, 7


@dataclass(frozen=True, slots=True)
class MouthInterior:
    """Geometry and tone of the source's mouth.

    upper: (2,) mm from the nose's base to the middle of the upper teeth's edge.  lower: (2,) mm
    from the chin to the middle of the lower teeth's edge.  lips: the source's own opening.  tone,
    enamel: (3,) colours of the skin around the mouth and of teeth.  blur: see `EyeReading`, pixels.
    bite: mm that the upper teeth reach below the edge of the lower ones.  gap: mm between the lips.
    natural: 0..1, whether the picture has colours, see `colours.natural_colour`.  shows: 0..1,
    whether it shows its own inside, or lips alone between the rims.  darkest: level of the face's
    darkest tone, 0..255; 0 for black.  aside: see `side_light.measure`.  tooth: mm from the upper
    teeth's edge to their gum.  free_bared: mm below the lip of those that show as they are, see
    `FREE_BARED`.  hides_teeth: 0..1, how far the upper lip hides the upper teeth of a source that
    is open.  own: those that the source shows; None where it shows none.  rest_width: mm of the
    mouth without its smile.
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
    darkest: float = 0.0
    aside: float = 0.0
    tooth: float = UPPER_TOOTH_HEIGHT
    free_bared: float = FREE_BARED
    hides_teeth: float = 0.0
    own: OwnTeeth | None = None
    rest_width: float = 50.0


@dataclass(frozen=True, slots=True)
class DrawnShare:
    """Share of each pixel that is drawn where lips part; the rest shows a mouth that was seen.

    lips: opening of the target.  region: rows and columns of the image.  share: (h, w) 0..1.
    """

    lips: Opening
    region: Region
    share: Array32


def inside_mask(lips: Opening, uv: tuple[Array32, Array32], rims: Rims) -> Array32:
    """Compute how much of each pixel (h, w) at u, v shows what is between the rims, 0..1."""
    return opening.coverage(lips, *uv, rims, max(LEAST_EDGE, EDGE * lips.width))


@dataclass(frozen=True, slots=True)
class Anchors:
    """Pixels of the upper and lower teeth's edge (2,) each, and the (3, 2) axes of a face."""

    upper: Array
    lower: Array
    axes: Array


def draw(
    mask: Array32, region: Region, lips: Opening, anchors: Anchors, interior: MouthInterior
) -> Array32:
    """Draw the inside of a mouth, (h, w, 3) float32 in 0..255.

    Args:
        mask: (h, w) of the region; where it is below LEAST_SHARE nothing shows.
        region: rows and columns of the image.
        lips: opening of the target.
        anchors: where the teeth are.
        interior: the source's mouth.
    """
    is_large = float(np.linalg.norm(anchors.axes[0])) > FINEST
    return (_draw_at_half_size if is_large else _draw)(mask, region, lips, anchors, interior)


def _draw(
    mask: Array32, region: Region, lips: Opening, anchors: Anchors, interior: MouthInterior
) -> Array32:
    """Draw the inside pixel by pixel; arguments as `draw`."""
    colour = np.zeros((*mask.shape, 3), np.float32)
    for kept, part in iterate_shown(mask, region, interior.blur):
        uv = opening.local_coordinates(lips, part)
        rims = lips.rims(uv[0])
        colour[kept] = draw_part(part, uv, rims, lips, anchors, interior, teeth=True)
    if interior.blur > 0:
        colour = np.asarray(cv2.GaussianBlur(colour, (0, 0), interior.blur), np.float32)
    return colour


def _draw_at_half_size(
    mask: Array32, region: Region, lips: Opening, anchors: Anchors, interior: MouthInterior
) -> Array32:
    """Draw the inside at half the size and enlarge it; arguments as `draw`."""
    rows, columns = (slice(part.start // 2, -(-part.stop // 2)) for part in region)
    size = columns.stop - columns.start, rows.stop - rows.start
    reach = np.ones((HALF_MARGIN, HALF_MARGIN), np.uint8)
    near = np.asarray(cv2.dilate(cv2.resize(mask, size), reach), np.float32)
    small_lips = replace(lips, corner=to_samples(lips.corner, 2), axes=lips.axes / 2)
    upper, lower = to_samples(anchors.upper, 2), to_samples(anchors.lower, 2)
    small = Anchors(upper, lower, anchors.axes / 2)
    halved = replace(interior, blur=interior.blur / 2)
    colour = resize(
        _draw(near, (rows, columns), small_lips, small, halved), (2 * size[0], 2 * size[1])
    )
    first = region[0].start - 2 * rows.start, region[1].start - 2 * columns.start
    height, width = mask.shape
    return colour[first[0] : first[0] + height, first[1] : first[1] + width]


def iterate_shown(mask: Array32, region: Region, blur: float) -> Iterator[tuple[Region, Region]]:
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


def draw_part(
    region: Region,
    uv: tuple[Array32, Array32],
    rims: Rims,
    lips: Opening,
    anchors: Anchors,
    interior: MouthInterior,
    *,
    teeth: bool,
) -> Array32:
    """Draw cavity and tongue, and the teeth if wanted, pixel by pixel, (h, w, 3) in 0..255.

    Args:
        region: rows and columns of the image.
        uv, rims: coordinates in the opening, and its rims there.
        lips, anchors, interior: see `draw`.
        teeth: draw them.
    """
    width_mm = lips.width / max(float(np.linalg.norm(anchors.axes[0])), 1e-6)
    jaw_x, _ = millimetre_grid(region, anchors.lower, anchors.axes)
    colour = cavity.render(jaw_x, uv[1], rims, lips.gap, width_mm, interior.tone)
    if teeth:
        _lay_teeth(colour, region, uv[1] - rims[0], lips, anchors, interior)
    colour *= cavity.light_from_corners(uv[0])
    colour = keep_colour(colour, interior.tone, interior.natural)
    return cavity.lift(colour, interior.tone, interior.darkest)


def _lay_teeth(
    colour: Array32,
    region: Region,
    below: Array32,
    lips: Opening,
    anchors: Anchors,
    interior: MouthInterior,
) -> None:
    """Lay both rows of teeth over the cavity, in place; below: the upper rim, (h, w) widths."""
    axes = anchors.axes
    pixels_per_mm = max(float(np.linalg.norm(axes[0])), 1e-6)
    width_mm = np.float32(lips.width / pixels_per_mm)
    across, y = millimetre_grid(region, anchors.upper, axes)
    jaw_across, jaw_y = millimetre_grid(region, anchors.lower, axes)
    x, jaw_x = along_arch(across, axes), along_arch(jaw_across, axes)
    under_lip = below * width_mm
    gap = np.float32(max(lips.gap, 0.0)) * width_mm

    soft = np.float32(max(0.35, 0.5 / pixels_per_mm))
    teeth = Teeth(interior.enamel.astype(np.float32), interior.tone.astype(np.float32), soft)
    beyond = -(jaw_y + LOWER_CURVE * jaw_x**2)
    tooth_colour, cover = teeth.render(jaw_x, beyond, LOWER_TEETH, LOWER_TOOTH_HEIGHT)
    aside = smoothstep(*LOWER_SIDES, np.abs(jaw_x)).astype(np.float32)
    cover *= np.float32(smoothstep(*LOWER_RANGE, gap)) * (1 - np.float32(LOWER_LOSS) * aside)
    colour += cover[..., None] * (tooth_colour * np.float32(LOWER_SHADE) - colour)

    beyond = y + UPPER_CURVE * x**2
    tooth_colour, cover = teeth.render(x, beyond, UPPER_TEETH, interior.tooth)
    lit = smoothstep(0, LIP_SHADOW, under_lip).astype(np.float32)
    shade = np.float32(LEAST_LIGHT) + np.float32(1 - LEAST_LIGHT) * lit
    shade *= (1 - np.float32(SIDE_LOSS) * smoothstep(10, 30, np.abs(x))).astype(np.float32)
    light = light_between_lips(float(gap), 1.0).astype(np.float32)
    colour += cover[..., None] * (tooth_colour * (shade[..., None] * light) - colour)


def millimetre_grid(region: Region, origin: Array, axes: Array) -> tuple[Array32, Array32]:
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
