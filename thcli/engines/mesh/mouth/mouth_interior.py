"""Inside of the mouth without a driving frame: the source's own where it shows, else synthetic.

The synthetic inside has teeth, tongue and cavity. Lengths are millimetres of an average adult
head, fitted to the face's own axes. The upper teeth belong to the skull, the lower teeth and the
tongue to the jaw. All are lit by the tone of the skin around the mouth, teeth by the white of the
eyes too.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import CHIN, LIPS
from thcli.engines.mesh.eyes.reading import EyeReading
from thcli.engines.mesh.mouth import drawn_inside, mouth_corners, seen_teeth, side_light
from thcli.engines.mesh.mouth.colours import TEETH_BY_SKIN, darkest_level, redness, vividness
from thcli.engines.mesh.mouth.drawn_inside import (
    MORE_BARED,
    Anchors,
    DrawnShare,
    MouthInterior,
    millimetre_grid,
)
from thcli.engines.mesh.mouth.own_teeth import OwnTeeth
from thcli.engines.mesh.mouth.seen_mouths import SeenMouths
from thcli.engines.mesh.mouth.seen_teeth import SeenTeeth
from thcli.engines.mesh.mouth.teeth import along_arch, to_millimetres
from thcli.engines.mesh.opening import Opening, Region
from thcli.faces.landmarks.topology import MOUTH_CORNERS
from thcli.motion import canonical, smiles

# mm: between the outer eye corners 33 and 263, from the root to the base of the nose 168-2
EYE_DISTANCE, NOSE_LENGTH = 90.0, 50.0
NOSE_ROOT, NOSE_BASE, UPPER_LIP, LOWER_LIP = 168, 2, 13, 14
BEHIND_LIPS = 6.0  # mm from the lips back to the teeth
UPPER_EDGE = (19.0, 25.0)  # mm below the nose's base between which the upper teeth end
SHOWS_UPPER, SHOWS_LOWER = 2.8, 3.0  # mm of teeth beyond the closed lips
MAX_LOWER = 3.4  # mm of the lower teeth that the lip uncovers at most
PARTED, MOST_PARTED, BARED_SHARE = 2.0, 6.0, 0.5  # mm that lips part beyond the jaw; share bared
SHOWS_PARTED = 2.0  # mm more under lips that are parted in the source
# Brightness of enamel over the skin's and over the eyes' white
ENAMEL_OVER_SKIN, ENAMEL_OVER_WHITE, ENAMEL_OFFSET = 1.3, 0.9, 0.33
ENAMEL_RANGE = (1.3, 1.85)  # over the skin's brightness
# Level of teeth in photographs whose skin has the middle one (others by `colours.TEETH_BY_SKIN`);
# and what a skin in the shade may have of it: a share of the skin's level and one of the brightest
# between the lids
MIDDLE_LEVEL, MIDDLE_ENAMEL, SKIN_SHARE, BRIGHTEST_SHARE = 128.0, 185.0, 0.8, 0.8
ENAMEL_TINT = 0.4  # share of the skin's tint, as an exponent
MOST_ENAMEL = 240.0
EDGE_BLUR = 0.012  # deviation of the mouth's outline in widths
# |log(target gap / source gap)| between which the stretched source inside is replaced
# in general, and of one that shows its dark alone, which stretches well
SIMILAR_RANGE, SIMILAR_DARKS = np.array([0.05, 0.3]), np.array([0.3, 0.8])
# Gap / width of a source from which the dark below its upper lip tells that this hides the teeth
HIDING_GAPS = (0.1, 0.16)
OWN_RANGE = (0.03, 0.07)  # gap / width of a source between which its own inside is used
MOST_SHORTER = 4.0  # mm by which teeth whose edge is seen are shorter at most
ENAMEL_HEIGHT = (1.5, 5.0)  # mm of teeth that are seen, over which theirs takes its place
ENAMEL_OVER_SEEN = 1.08  # drawn teeth have shades of their own
MOST_SEEN = 10.5  # mm of the upper teeth below the lip, seen in a source: more are both rows
SEEN_TOOTH_HEIGHT = 13.0  # mm of teeth whose edge is where it is on average
# Width of a mouth over its width at rest at which its lips, drawn together, cover the upper teeth,
# and leave them; mm of covered teeth that show below the lip; least width at rest in mm
ROUNDED, COVERED_BARED, LEAST_REST = (0.78, 1.1), 1.0, 40.0
# The same at which lips that are drawn apart bare them, and mm that three of four such mouths bare
WIDENED, WIDE_BARED = (1.05, 1.3), 5.0
FREE_ASIDE = 5.0  # mm that a mouth opens beside its teeth; they go with it beyond

_HALF = np.array([0.5], np.float32)


def face_axes(mesh: Array) -> Array:
    """Compute the image vectors of one millimetre along a face's axes.

    Returns (3, 2) pixels: rows along the eyes, down the nose, and out of the face.
    """
    across = (mesh[263] - mesh[33]) / EYE_DISTANCE
    down = (mesh[NOSE_BASE] - mesh[NOSE_ROOT]) / NOSE_LENGTH
    out = -np.cross(across, down)
    out *= np.linalg.norm(across) / max(float(np.linalg.norm(out)), 1e-9)
    return np.stack([across[:2], down[:2], out[:2]])


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
    upper = to_millimetres(flat[UPPER_LIP] - flat[NOSE_BASE], axes)
    lower = to_millimetres(flat[LOWER_LIP] - flat[CHIN], axes)
    aside = mouth_corners.smirk_share(mesh) * _lips_aside(mesh)
    upper[0] -= aside[0]  # teeth do not follow lips aside
    lower[0] -= aside[1]
    lips = opening.fit_opening(mesh, LIPS)
    shows = SHOWS_UPPER + SHOWS_PARTED * float(smoothstep(*OWN_RANGE, lips.gap))
    upper[1] = np.clip(upper[1] + shows, *UPPER_EDGE)
    skin = max(float(tone.mean()), 1.0)
    enamel = _enamel_level(tone, seen_eyes) * (tone / skin) ** ENAMEL_TINT
    lower = lower - (0, SHOWS_LOWER)
    bite = to_millimetres(flat[NOSE_BASE] - flat[CHIN], axes)[1] + upper[1] - lower[1]
    gap = _gap_mm(lips, axes)
    rest = _width_mm(mesh, axes) * smiles.width_at_rest(canonical.decompose(mesh).shape)
    blur = 0.0 if seen_eyes is None else seen_eyes.blur
    interior = MouthInterior(upper, lower, lips, tone, enamel, blur, float(bite), gap, natural)
    return replace(interior, rest_width=max(rest, LEAST_REST))


def _enamel_level(tone: Array, seen_eyes: EyeReading | None) -> float:
    """Return the mean of the channels of teeth beside a skin tone (3,), 0..255."""
    skin = max(float(tone.mean()), 1.0)
    over_skin, beside_dark = ENAMEL_OVER_SKIN, 0.0
    if seen_eyes is not None:
        over_skin = ENAMEL_OFFSET + ENAMEL_OVER_WHITE * seen_eyes.white
        lit = SKIN_SHARE * skin + BRIGHTEST_SHARE * seen_eyes.brightest
        beside_dark = min(MIDDLE_ENAMEL * (skin / MIDDLE_LEVEL) ** TEETH_BY_SKIN, lit)
    over_skin = float(np.clip(over_skin, *ENAMEL_RANGE)) * vividness(tone) ** (1 - ENAMEL_TINT)
    return float(min(max(over_skin * skin, beside_dark), MOST_ENAMEL))


def measure(
    image: Image, mesh: Array, tone: Array, seen_eyes: EyeReading | None, natural: float
) -> MouthInterior:
    """Measure the source's mouth and the light on it.

    Args:
        image: (H, W, 3) uint8 source.
        mesh, tone, seen_eyes, natural: see `prepare`.
    """
    return replace(
        prepare(mesh, tone, seen_eyes, natural),
        darkest=darkest_level(image, mesh, tone),
        aside=side_light.measure(image, mesh),
    )


def with_seen_teeth(interior: MouthInterior, image: Image, mesh: Array) -> MouthInterior:
    """Return a mouth whose upper teeth have the reach and the enamel that its source shows.

    They reach as far down as they are seen, and no further where the dark of the mouth is seen
    below them, or below the lip that hides them.

    Args:
        interior: mouth of an average head.
        image: (H, W, 3) uint8 source.
        mesh: (468, 3) pixels.
    """
    seen = seen_teeth.find(image, interior.lips, interior.tone)
    axes, nose = face_axes(mesh), mesh[NOSE_BASE, :2]
    lip = to_millimetres(mesh[UPPER_LIP, :2] - nose, axes)[1]
    if seen is None:
        return _with_hidden_teeth(interior, image, float(lip))
    end = to_millimetres(seen.edge + BEHIND_LIPS * axes[2] - nose, axes)[1]
    end = min(end, lip + MOST_SEEN)
    added = float(end - interior.upper[1])
    added = max(added, -MOST_SHORTER if seen.ends else 0.0)
    upper = interior.upper + np.array([0, added])
    shown = nose + upper @ axes[:2] - BEHIND_LIPS * axes[2]
    own = OwnTeeth(interior.lips, shown, axes, seen.columns, interior.gap, interior.natural)
    return replace(
        interior,
        upper=upper,
        bite=interior.bite + added,
        tooth=SEEN_TOOTH_HEIGHT + added,
        enamel=_seen_enamel(interior, seen, float(np.hypot(*axes[1]))),
        free_bared=max(interior.free_bared, own.height),
        own=own,
    )


def _with_hidden_teeth(interior: MouthInterior, image: Image, lip: float) -> MouthInterior:
    """Return a mouth whose upper teeth end behind the lip where its source shows dark below that.

    Args:
        interior, image: as in `with_seen_teeth`.
        lip: mm from the nose's base down to the upper lip.
    """
    share = interior.shows * float(smoothstep(*HIDING_GAPS, interior.lips.gap))
    share *= seen_teeth.hidden_share(image, interior.lips, interior.tone)
    added = share * min(lip - float(interior.upper[1]), 0.0)
    upper = interior.upper + np.array([0, added])
    return replace(interior, upper=upper, bite=interior.bite + added, hides_teeth=share)


def _seen_enamel(interior: MouthInterior, seen: SeenTeeth, millimetre: float) -> Array:
    """Return the enamel of drawn teeth (3,) beside those of a source.

    Of narrow rows much is the lips' shade and tint.

    Args:
        interior: with the enamel of an average head.
        seen: the source's teeth.
        millimetre: pixels down the face.
    """
    light = min(ENAMEL_OVER_SEEN, MOST_ENAMEL / max(float(seen.enamel.max()), 1.0))
    enamel = light * seen.enamel
    if redness(enamel) > redness(interior.enamel):
        enamel = interior.enamel * (enamel.mean() / interior.enamel.mean())
    height = seen.height * interior.lips.gap * interior.lips.width / max(millimetre, 1e-6)
    share = float(smoothstep(*ENAMEL_HEIGHT, height))
    return np.asarray(interior.enamel + share * (enamel - interior.enamel))


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
) -> DrawnShare | None:
    """Render the inside of the mouth between the target's lips, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        image: (H, W, 3) uint8 source image.
        interior: the source's mouth.
        source, target: (468, 3) meshes in pixels of the source image.
        seen: the mouth as other frames of the clip show it; None draws what the source lacks.

    Returns:
        What is drawn; None where nothing is.
    """
    lips = opening.fit_opening(target, LIPS)
    own = float(smoothstep(*OWN_RANGE, interior.lips.gap))
    pairs = (lips, target), (interior.lips, source)
    gaps = [max(opening.frontal_gap(*pair, LIPS), seen_teeth.LEAST_GAP) for pair in pairs]
    low, high = SIMILAR_RANGE + interior.hides_teeth * (SIMILAR_DARKS - SIMILAR_RANGE)
    similar = 1 - float(smoothstep(float(low), float(high), abs(np.log(gaps[0] / gaps[1]))))
    shown = float(smoothstep(*drawn_inside.SHOWN_RANGE, lips.gap)) * (1 - own * similar)
    blur = interior.blur
    margin = 0.06 + 2 * blur / max(lips.width, 1.0)
    region = opening.bounding_region(lips, (out.shape[1], out.shape[0]), margin)
    if shown <= 0 or region is None:
        return None
    axes = face_axes(target)
    down = max(float(np.hypot(*axes[1])), 1e-6)  # pixels per mm
    upper = target[NOSE_BASE, :2] + interior.upper @ axes[:2] - BEHIND_LIPS * axes[2]
    lower = target[CHIN, :2] + interior.lower @ axes[:2] - BEHIND_LIPS * axes[2]
    # lips that part more than the jaw opens, both against the source, bare the upper teeth
    jaw = max(to_millimetres(lower - upper, axes)[1] + interior.bite, -interior.gap)
    parted = _gap_mm(lips, axes) - interior.gap - jaw
    bared = BARED_SHARE * float(np.clip(parted - PARTED, 0.0, MOST_PARTED))
    uncovered = to_millimetres(target[LOWER_LIP, :2] - BEHIND_LIPS * axes[2] - lower, axes)[1]
    lower = lower + max(uncovered - MAX_LOWER, 0.0) * axes[1]
    middle = opening.between_rims(lips, _HALF, _HALF)[0, 0]
    aside = to_millimetres(middle + BEHIND_LIPS * axes[2] - upper, axes)[0]
    followed = (aside - np.clip(aside, -FREE_ASIDE, FREE_ASIDE)) * axes[0]
    upper, lower = upper + followed, lower + followed
    known = 0.0 if seen is None else seen.share(lips.gap)
    own *= interior.shows
    teeth = interior.own if own > 0 and seen is None else None
    lip = target[UPPER_LIP, :2] - BEHIND_LIPS * axes[2]
    width = _width_mm(target, axes) / interior.rest_width
    rounded, widened = 1 - float(smoothstep(*ROUNDED, width)), float(smoothstep(*WIDENED, width))
    below = float(to_millimetres(upper - lip, axes)[1])
    covered, bared = rounded * max(below - COVERED_BARED, 0.0), (1 - rounded) * bared
    added = widened * max(WIDE_BARED - below - bared, 0.0)
    upper = upper + (added - covered) * axes[1]
    own_edge = _raise_with_lip(upper, lip, axes, interior.free_bared)
    if teeth is not None:
        bared *= 1 - own * teeth.share(to_millimetres(lip - own_edge, axes)[1])
    edge = upper + bared * axes[1]
    drawn = Anchors(_raise_with_lip(edge, lip, axes, interior.free_bared), lower, axes)
    uv = opening.local_coordinates(lips, region)
    rims = lips.rims(uv[0])
    mask = drawn_inside.inside_mask(lips, uv, rims)
    sigma = max(0.7, EDGE_BLUR * lips.width, blur)  # steep rims are soft too
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), np.float32)
    colour = np.zeros((*mask.shape, 3), np.float32)
    if known < 1:
        colour = drawn_inside.draw(mask, region, lips, drawn, interior)
    share = np.full_like(mask, shown * (1 - known))
    for kept, part in drawn_inside.iterate_shown(mask, region, blur):
        shade = np.ascontiguousarray(colour[kept])
        if seen is not None and known > 0:
            at, between = _parts(uv, kept), _parts(rims, kept)
            behind = None
            if seen.shows_cavity(lips.gap):
                behind = drawn_inside.draw_part(
                    part, at, between, lips, drawn, interior, teeth=False
                )
            clip_inside = seen.render(at, between, lips.gap, interior.tone, behind)
            shade += np.float32(known) * (clip_inside - shade)
        if teeth is not None:
            across, y = millimetre_grid(part, own_edge, axes)
            scale = np.float32(lips.width / down)
            to_rims = ((rims[0][kept] - uv[1][kept]) * scale, (rims[1][kept] - uv[1][kept]) * scale)
            texture, valid = teeth.sample(
                image, (along_arch(across, axes), y), to_rims, _gap_mm(lips, axes)
            )
            shade += (np.float32(own) * valid)[..., None] * (texture - shade)
            share[kept] *= 1 - np.float32(own) * valid
        opening.blend(out, part, shown * mask[kept], shade)
    return DrawnShare(lips, region, share)


def _width_mm(mesh: Array, axes: Array) -> float:
    """Return the width of a mouth in mm of its face's axes."""
    left, right = mesh[list(MOUTH_CORNERS), :2]
    return float(to_millimetres(right - left, axes)[0])


def _raise_with_lip(edge: Array, lip: Array, axes: Array, free: float) -> Array:
    """Return the edge of the upper teeth (2,) that shows no more of them than lips ever bare.

    Args:
        edge, lip: (2,) pixels of the teeth's edge and of the upper lip before it.
        axes: of the face.
        free: mm of them that show as they are.
    """
    beyond = max(float(to_millimetres(edge - lip, axes)[1]) - free, 0.0)
    kept = MORE_BARED * (1 - float(np.exp(-beyond / MORE_BARED)))
    return np.asarray(edge - (beyond - kept) * axes[1])


def _parts(values: tuple[Array32, Array32], kept: Region) -> tuple[Array32, Array32]:
    return np.ascontiguousarray(values[0][kept]), np.ascontiguousarray(values[1][kept])
