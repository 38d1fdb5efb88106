"""Rendering of the eyeballs as a layer of their own at full resolution.

The lids cover an eyeball and never squash it.
"""

from __future__ import annotations

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.eyes.texture import EyeTexture, turn_ratio
from thcli.engines.mesh.eyes.uncovered import move_iris, shift_iris, uncover
from thcli.engines.mesh.sampling import remap

OPEN_GAP = 0.22  # gap / width of a typical open eye
VISIBLE_RATIO = (0.06, 0.3)  # target gap / source gap between which the eyeball fades in
# Foreshortening over that in the source of an eye that this hides: not in view, and all of it
COMES_INTO_VIEW = (1.03, 1.15)
SHOWS_SHUT = 1.1  # gap over that of the source's shut eye, up to which it shows that alone
# Depth of the lower lid that is rendered below the line, in widths and in samples of the map, at
# least; of it the wet rim that lashes hide
LID_DEPTH, LID_SAMPLES, WET_RIM = 0.08, 2.5, 0.05
LASH_SHADE = 0.8  # brightness of the lash line once the lids meet
LINE_REACH = 0.015  # widths from the rims to the edges of the lash line
RIM_BLUR = 1.5  # width of the lids' soft rims over the deviation of the eye's blur
LASH_WIDTH = 0.025  # widths: deviation of blur up to which the lash line stays as dark


def visibilities(eyes: tuple[EyeTexture, ...], target: Array) -> list[float]:
    """Compute how much of each eyeball shows in a target mesh, 0 (closed) to 1.

    An eye that is shut in the source shows its own lids until it opens further than they are apart.
    """
    out = []
    for ring, eye in zip(EYES, eyes, strict=True):
        source_gap = eye.opening.gap if eye.is_own else OPEN_GAP
        target_gap = opening.fit_opening(target, ring).gap * turn_ratio(eye, ring, target)
        shut, open_from = VISIBLE_RATIO[0] * source_gap, VISIBLE_RATIO[1] * source_gap
        beyond = max(SHOWS_SHUT * eye.shut - shut, 0.0)
        shown = float(smoothstep(shut + beyond, open_from + beyond, target_gap))
        if eye.hidden:
            turned = opening.foreshortening(target, ring) / eye.hidden
            shown *= float(smoothstep(*COMES_INTO_VIEW, turned))
        out.append(shown)
    return out


def strip_sources(mesh: Array, eyes: tuple[EyeTexture, ...], visible: list[float]) -> Array:
    """Compute the source positions of the triangles under the eyeballs.

    As an open eye closes, its lower rim takes the lash line of the upper one.

    Args:
        mesh: (468, 3) source mesh.
        eyes: texture of each eye.
        visible: visibility of each eyeball.

    Returns:
        (468, 2) source pixels.
    """
    out = mesh[:, :2].copy()
    for ring, eye, shown in zip(EYES, eyes, visible, strict=True):
        if not eye.is_own:
            continue
        lower, upper = ring[1:8], ring[:8:-1]
        out[lower] += (1 - shown) * (out[upper] - out[lower])
    return out


def render_eyes(
    out: Image, eyes: tuple[EyeTexture, ...], visible: list[float], target: Array, gaze: Array
) -> None:
    """Render both eyeballs into a frame, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        eyes: texture of each eye.
        visible: visibility of each eyeball.
        target: (468, 3) target mesh.
        gaze: (2, 2) shift of each iris in eye widths, along and across.
    """
    for ring, eye, shown, shift in zip(EYES, eyes, visible, gaze, strict=True):
        if shown <= 0:
            continue
        eye_opening = opening.fit_opening(target, ring)
        soft = max(1.2, 0.03 * eye_opening.width, RIM_BLUR * eye.blur * eye_opening.width)
        margin = min(0.06, 0.75 * soft / max(eye_opening.width, 1e-3))
        region = opening.bounding_region(eye_opening, (out.shape[1], out.shape[0]), margin)
        if region is None:
            continue
        u, v = opening.local_coordinates(eye_opening, region)
        own_rims = eye_opening.rims(u)
        mask = opening.coverage(eye_opening, u, v, own_rims, soft)
        ratio = np.float32(turn_ratio(eye, ring, target))
        v = v * ratio
        upper, lower = (rim * ratio for rim in own_rims)
        rims = upper, lower
        if eye.sees_iris:
            ball = uncover(eye, (u, v), rims, mask, shift, eye_opening.width)
        else:
            own_upper, own_lower = eye.opening.rims(u)
            top, bottom = np.clip(upper, own_upper, own_lower), np.clip(lower, own_upper, own_lower)
            source_v = opening.map_between_rims(v, rims, (top, bottom))
            along, across = shift_iris(u, source_v, eye, move_iris(eye, shift))
            across = np.clip(across, *eye.opening.rims(along))
            ball = remap(eye.image, opening.to_pixels(eye.opening, along, across))
        opening.blend(out, region, shown * mask, ball)


def render_lash_lines(
    out: Image, eyes: tuple[EyeTexture, ...], visible: list[float], target: Array, step: int
) -> None:
    """Render the lash line between (nearly) closed lids and the lower lid below it, in place.

    The line takes the colours of the upper rim, whose lashes hide the wet rim of the lower lid. The
    warp map is too coarse to show them: between its samples above and below the line lies the
    eyeball.
    step: source pixels per sample of the warp map.
    """
    for ring, eye, shown in zip(EYES, eyes, visible, strict=True):
        if shown >= 1 or eye.lashes is None:
            continue
        eye_opening = opening.fit_opening(target, ring)
        region = opening.bounding_region(eye_opening, (out.shape[1], out.shape[0]), 0.1)
        if region is None:
            continue
        u, v = opening.local_coordinates(eye_opening, region)
        upper, lower = eye_opening.rims(u)
        own_lower = eye.opening.rims(u)[1]
        share = (1 - shown) * LASH_WIDTH / max(LASH_WIDTH, eye.blur)
        depth = np.float32(max(LID_DEPTH, LID_SAMPLES * step / max(eye_opening.width, 1.0)))
        below = np.clip((v - lower) / depth, 0, 1)
        lid_v = own_lower + depth * below + np.float32(WET_RIM) * (1 - below)
        lid = remap(eye.image, opening.to_pixels(eye.opening, u, lid_v))
        mask = opening.coverage(eye_opening, u, v, (upper, lower + depth), 1.5)
        opening.blend(out, region, np.float32(share) * mask * (1 - smoothstep(0.5, 1, below)), lid)
        rim = np.stack(opening.interpolate(u, *eye.lashes.T), -1)
        reach = np.float32(0.6 * step / max(eye_opening.width, 1.0) + LINE_REACH)
        line = (upper - reach, lower + reach)
        soft = max(1.5, 1.2 * step, RIM_BLUR * eye.blur * eye_opening.width)
        mask = opening.coverage(eye_opening, u, v, line, soft)
        opening.blend(out, region, np.float32(share) * mask, rim * np.float32(LASH_SHADE))
