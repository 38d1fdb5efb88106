"""Rendering of the eyeballs as a layer of their own at full resolution.

The lids cover an eyeball and never squash it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.head import eyeball
from thcli.engines.mesh.mouth import colours
from thcli.engines.mesh.opening import Opening, Rims
from thcli.engines.mesh.sampling import remap
from thcli.motion import canonical
from thcli.motion.openings import SHUT_EYE_RANGE, judge_alike

CLOSED_GAP = 0.12  # gap / width of a source eye below which its eyeball cannot be used
OPEN_GAP = 0.22  # gap / width of a typical open eye
LENT_GAP = 0.05  # gap / width of a driver's eye from which a slit of it can be shown
PAINTED_BLUR = 0.5  # pixels of blur, at least, of an eye that is painted
VISIBLE_RATIO = (0.06, 0.3)  # target gap / source gap between which the eyeball fades in
SHOWS_SHUT = 1.1  # gap over that of the source's shut eye, up to which it shows that alone
LASH_SHADE = 0.8  # brightness of the lash line once the lids meet
LASH_OFFSET = 0.015  # widths above the rim at which the lash line's colour is sampled
RIM_BLUR = 1.5  # width of the lids' soft rims over the deviation of the eye's blur
LASH_WIDTH = 0.025  # widths: deviation of blur up to which the lash line stays as dark
# What lids uncover. Widths of lashes and their shadow inside the upper and the lower rim of the
# source, and at most this share of its gap; widths beyond the rims that count as seen
LASH_DEPTHS, LASH_SHARE, RIM_SLACK = (0.13, 0.04), 0.35, np.float32(0.03)
CORNERS = (0.05, 0.2)  # widths from a corner of an eye from which it is uncovered
ROUND_IRIS = (0.25, 0.75)  # place of an iris along an eye that shows the ball on both of its sides
# Widths along an eye by which an iris moves, from which the white behind it is made; distance from
# its middle in radii over which that begins
LEAVES, BESIDE_IRIS = (0.05, 0.15), (0.95, 1.1)
# An eye's foreshortening over the source's: limits, and its |log| from which it is followed
TURN_RATIOS, TURN_RANGE = (0.4, 1.6), (0.1, 0.3)
MAX_GAZE = (0.3, 0.2)  # largest distance of an iris from the middle, in widths along and across


@dataclass(frozen=True, slots=True)
class EyeTexture:
    """The image of an eyeball and its geometry.

    image: image that holds the eye.  opening: the eye's rims in `image`.  iris: (2,) u, v of
    the iris centre.  radius: of the iris, in widths; 0 when its gaze is right already.  is_own:
    whether the eye is the source's own.  blur: deviation in widths, 0 in pictures that are sharp.
    sees_iris: whether the iris was seen away from the corners, so that what lids hid can be made.
    seen: its foreshortening, see `opening.foreshortening`.  shut: gap of the source's shut eye in
    whose place it stands, 0 for its own.
    """

    image: Image
    opening: Opening
    iris: Array
    radius: float
    is_own: bool = True
    blur: float = 0.0
    sees_iris: bool = False
    seen: float = 1.0
    shut: float = 0.0


def is_round(iris_u: float) -> bool:
    """Return whether an iris there along an eye is away from its corners; see `_uncover`."""
    return bool(ROUND_IRIS[0] < iris_u < ROUND_IRIS[1])


def turn_ratio(eye: EyeTexture, ring: npt.NDArray[np.int32], target: Array) -> float:
    """Return how far a turn of the head narrows an eye of a target mesh (468, 3), 1 for no turn.

    Lengths across it, in its own widths, grow by as much: they are multiplied by that.
    """
    ratio = float(np.clip(opening.foreshortening(target, ring) / max(eye.seen, 1e-3), *TURN_RATIOS))
    return 1 + float(smoothstep(*TURN_RANGE, abs(np.log(ratio)))) * (ratio - 1)


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
        out.append(float(smoothstep(shut + beyond, open_from + beyond, target_gap)))
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
        mask = opening.coverage(eye_opening, u, v, eye_opening.rims(u), soft)
        ratio = np.float32(turn_ratio(eye, ring, target))
        v = v * ratio
        upper, lower = (rim * ratio for rim in eye_opening.rims(u))
        rims = upper, lower
        if eye.sees_iris:
            ball = _uncover(eye, (u, v), rims, mask, shift)
        else:
            own_upper, own_lower = eye.opening.rims(u)
            top, bottom = np.clip(upper, own_upper, own_lower), np.clip(lower, own_upper, own_lower)
            source_v = opening.map_between_rims(v, rims, (top, bottom))
            along, across = _shift_iris(u, source_v, eye, _move(eye, shift))
            across = np.clip(across, *eye.opening.rims(along))
            ball = remap(eye.image, opening.to_pixels(eye.opening, along, across))
        opening.blend(out, region, shown * mask, ball)


def render_lash_lines(
    out: Image, eyes: tuple[EyeTexture, ...], visible: list[float], target: Array, step: int
) -> None:
    """Render the lash line between (nearly) closed lids, in place.

    The line takes the colours of the upper rim. The warp map is too coarse to show it.
    step: source pixels per sample of the warp map.
    """
    for ring, eye, shown in zip(EYES, eyes, visible, strict=True):
        if shown >= 1 or not eye.is_own:
            continue
        eye_opening = opening.fit_opening(target, ring)
        region = opening.bounding_region(eye_opening, (out.shape[1], out.shape[0]), 0.1)
        if region is None:
            continue
        u, v = opening.local_coordinates(eye_opening, region)
        upper, lower = eye_opening.rims(u)
        rim_v = eye.opening.rims(u)[0] - np.float32(LASH_OFFSET)
        rim = remap(eye.image, opening.to_pixels(eye.opening, u, rim_v))
        reach = np.float32(0.6 * step / max(eye_opening.width, 1.0) + LASH_OFFSET)
        line = (upper - reach, lower + reach)
        soft = max(1.5, 1.2 * step, RIM_BLUR * eye.blur * eye_opening.width)
        mask = opening.coverage(eye_opening, u, v, line, soft)
        share = (1 - shown) * LASH_WIDTH / max(LASH_WIDTH, eye.blur)
        opening.blend(out, region, np.float32(share) * mask, rim * np.float32(LASH_SHADE))


def _move(eye: EyeTexture, shift: Array) -> Array:
    """Return the way (2,) of an iris in widths: `shift`, as far as it stays in the eye."""
    middle = np.array([0.5, eye.iris[1]])
    low, high = np.minimum(middle - MAX_GAZE, eye.iris), np.maximum(middle + MAX_GAZE, eye.iris)
    return np.asarray(np.clip(eye.iris + shift, low, high) - eye.iris)


def _shift_iris(u: Array32, v: Array32, eye: EyeTexture, moved: Array) -> tuple[Array32, Array32]:
    """Map u, v to the source when the iris moves: the iris shifts whole, its rim stretches."""
    length = float(np.hypot(*moved))
    if length < 1e-4 or eye.radius == 0:
        return u, v
    distance = _distance(u, v, eye, moved)
    outer_radius = 2.2 * eye.radius + 1.2 * length
    share = (1 - smoothstep(eye.radius, outer_radius, distance)).astype(np.float32)
    return u - np.float32(moved[0]) * share, v - np.float32(moved[1]) * share


def _distance(u: Array32, v: Array32, eye: EyeTexture, moved: Array) -> Array32:
    """Return the distance of u, v from the middle of a moved iris."""
    x, y = (eye.iris + moved).astype(np.float32)
    return np.asarray(np.hypot(u - x, v - y), np.float32)


def _left_behind(u: Array32, v: Array32, eye: EyeTexture, moved: Array) -> Array32:
    """Return 0..1 for the eyeball that an iris leaves as it moves along the eye.

    The source has too little beside its iris: the corner of the eye would be drawn out.
    """
    far = float(smoothstep(*LEAVES, abs(moved[0])))
    if far == 0 or eye.radius == 0:
        return np.zeros_like(u)
    behind = (u - np.float32(eye.iris[0] + moved[0])) * np.float32(-np.sign(moved[0]))
    outside = smoothstep(*BESIDE_IRIS, _distance(u, v, eye, moved) / eye.radius)
    share = far * outside * smoothstep(0, eye.radius, behind)
    return np.asarray(share, np.float32)


def _uncover(
    eye: EyeTexture, local: tuple[Array32, Array32], rims: Rims, mask: Array32, shift: Array
) -> Image | Array32:
    """Sample an eyeball, also where the lids of the source hide it: (h, w, 3).

    An eyeball keeps its shape when lids open further or its iris moves. What they uncover has the
    colours at the same distance from the middle of the iris, beside which the source shows them.

    Args:
        eye: with an iris that was seen.
        local: u and v of the target's opening, (h, w).
        rims: of the target at u.
        mask: (h, w) how much of a pixel shows the eyeball.
        shift: (2,) of the iris in widths.
    """
    u, v = local
    way = _move(eye, shift)
    along, across = _shift_iris(u, v, eye, way)
    ball = remap(eye.image, opening.to_pixels(eye.opening, along, across))
    left = _left_behind(u, v, eye, way)
    # what an iris leaves is sought where the eyeball, which moves as a whole, has it
    along = along + left * (u - np.float32(way[0]) - along)
    across = across + left * (v - np.float32(way[1]) - across)
    own, moved = eye.opening.rims(along), across - v
    thickest = LASH_SHARE * np.maximum(own[1] - own[0], 0)
    margins, hidden = [], np.zeros(u.shape, np.bool_)
    for sign, rim, own_rim, depth in zip((1, -1), rims, own, LASH_DEPTHS, strict=True):
        uncovered = np.maximum(sign * (own_rim - rim - moved), 0)
        margin = np.minimum(np.minimum(2 * uncovered, depth), thickest) - RIM_SLACK
        hidden |= sign * (across - own_rim) < margin
        lashes = left * np.minimum(np.float32(depth), thickest)
        margins.append(np.maximum(margin, lashes))
    made_share = np.maximum(hidden, left)
    index = np.flatnonzero((made_share > 0) & (mask > 0))
    if not len(index):
        return ball
    place, inside = (along.take(index), across.take(index)), [m.take(index) for m in margins]
    made = eyeball.sample_beside(
        eye.image,
        eye.opening,
        eye.iris,
        eye.radius,
        place,
        (inside[0], inside[1]),
        left.take(index),
    )
    near = u.take(index)
    weight = smoothstep(*CORNERS, np.minimum(near, 1 - near)).astype(np.float32)
    weight *= made_share.take(index)
    out = ball.astype(np.float32).reshape(-1, 3)
    out[index] += weight[:, None] * (made - out[index])
    return out.reshape(ball.shape)


def extract_eyes(
    image: Image,
    mesh: Array,
    iris: npt.NDArray[np.floating] | None,
    tone: Array,
    blur: float = 0.0,
) -> tuple[EyeTexture, ...]:
    """Extract both eyes of a source image.

    A closed eye takes the mirror image of the other one. When both are closed, a synthetic eye
    is painted, as blurred as the source.

    Args:
        image: (H, W, 3) uint8 source image.
        mesh: (468, 3) pixels.
        iris: (2, 5, 2) pixels, centre first, or None.
        tone: (3,) skin colour, 0..255.
        blur: of the source, deviation in widths of an eye.
    """
    eyes = []
    for side, ring in enumerate(EYES):
        eye_opening = opening.fit_opening(mesh, ring)
        centre, radius = np.array([0.5, 0.0]), 0.2
        if iris is not None:
            rim = eye_opening.to_local(iris[side])
            distances = np.linalg.norm(rim[1:] - rim[0], axis=1)
            centre, radius = rim[0], float(np.clip(distances.mean(), 0.1, 0.3))
        seen = iris is not None and is_round(centre[0])
        share = opening.foreshortening(mesh, ring)
        eyes.append(
            EyeTexture(image, eye_opening, centre, radius, True, blur, sees_iris=seen, seen=share)
        )
    alike = judge_alike(canonical.eye_openings(canonical.decompose(mesh).shape))
    is_open = [
        eye.opening.gap >= CLOSED_GAP and opens > SHUT_EYE_RANGE[1]
        for eye, opens in zip(eyes, alike, strict=True)
    ]
    if all(is_open):
        return tuple(eyes)
    if any(is_open):
        substitute = mirror_eye(eyes[is_open.index(True)])
    else:  # large, it would be jagged in a small face
        pixel = PAINTED_BLUR / max(min(eye.opening.width for eye in eyes), 1.0)
        substitute = paint_eye(tone, max(blur, pixel))
    return tuple(
        eye if usable else replace(substitute, shut=eye.opening.gap)
        for eye, usable in zip(eyes, is_open, strict=True)
    )


def mirror_eye(eye: EyeTexture) -> EyeTexture:
    """Mirror an eye horizontally, as a substitute for the other one."""
    own, last = eye.opening, eye.image.shape[1] - 1
    (a, b), (c, d) = own.axes
    right = own.corner + own.axes[0]
    mirrored = Opening(
        np.array([last - right[0], right[1]]),
        np.array([[a, -b], [-c, d]]),
        own.upper[::-1].copy(),
        own.lower[::-1].copy(),
    )
    return replace(
        eye,
        image=np.ascontiguousarray(eye.image[:, ::-1]),
        opening=mirrored,
        iris=np.array([1 - eye.iris[0], eye.iris[1]]),
        is_own=False,
    )


def paint_eye(tone: Array, blur: float = 0.0) -> EyeTexture:
    """Paint a synthetic eye: sclera, brown iris, pupil, highlight and the upper lid's shadow.

    Args:
        tone: (3,) skin colour, 0..255, which sets the brightness.
        blur: deviation in widths of an eye.
    """
    wide, tall, margin, radius = 192, 96, 32, 0.21
    u = (np.arange(wide) - margin) / (wide - 2 * margin)
    v = (np.arange(tall)[:, None] - tall / 2) / (wide - 2 * margin)
    light = float(tone.mean())
    warm = tone / max(light, 1.0)
    white = light * 1.02 * warm**0.35 * np.array([1.0, 0.99, 0.97])
    # the eyeball turns away towards the corners
    shading = 1 - 0.35 * np.clip(np.abs(u - 0.5) * 2, 0, 1.2) ** 3
    colour = white * shading[None, :, None] * np.ones((tall, 1, 1))
    distance = np.hypot(u - 0.5, v) / radius
    gradient = 0.75 + 0.5 * np.clip(v / radius, -1, 1)[..., None] * 0.5
    brown = light * np.array([0.42, 0.29, 0.20]) * gradient
    rim = 1 - 0.45 * smoothstep(0.75, 1.0, distance)
    soft = 0.09
    iris_mask = (1 - smoothstep(1 - soft, 1 + soft, distance))[..., None]
    colour += iris_mask * (brown * rim[..., None] - colour)
    pupil_mask = (1 - smoothstep(0.42 - soft, 0.42 + soft, distance))[..., None]
    colour += pupil_mask * (light * 0.06 - colour)
    highlight = np.hypot(u - 0.5 + 0.3 * radius, v + 0.35 * radius) / radius
    colour += 0.85 * (1 - smoothstep(0.08, 0.26, highlight))[..., None] * (light * 1.25 - colour)
    x = np.clip(opening.COLUMNS, 0, 1)
    bow = (4 * x * (1 - x)) ** 0.8
    upper, lower = -0.17 * bow, 0.10 * bow
    below = v - np.interp(u, opening.COLUMNS, upper)
    colour *= (0.55 + 0.45 * smoothstep(0.0, 0.12, below))[..., None]
    axes = np.array([[wide - 2 * margin, 0.0], [0.0, wide - 2 * margin]])
    painted = Opening(np.array([margin, tall / 2]), axes, upper, lower)
    if blur > 0:
        colour = cv2.GaussianBlur(colour, (0, 0), blur * axes[0, 0])
    pixels = np.clip(colour + 0.5, 0, 255).astype(np.uint8)
    return EyeTexture(pixels, painted, np.array([0.5, 0.0]), radius, False, blur, sees_iris=True)


def _blur(image: Image, deviation: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), np.uint8)


def substitute_from_driver(
    eyes: tuple[EyeTexture, ...], frame: Image, driver: Array, tone: Array
) -> tuple[EyeTexture, ...]:
    """Replace the eyes by the driver's open ones where none is the source's own.

    A mirrored one stays: it has the colour of the other. They are as blurred as the source.

    Args:
        eyes: texture of each eye.
        frame: (H, W, 3) uint8 driving frame.
        driver: (468, 3) the driver's mesh in pixels of the frame.
        tone: (3,) skin colour of the source, 0..255.
    """
    if any(eye.is_own for eye in eyes):
        return eyes
    gain = colours.tone_gain(tone, colours.skin_tone(frame, driver))
    out = []
    for ring, eye in zip(EYES, eyes, strict=True):
        eye_opening = opening.fit_opening(driver, ring)
        region = opening.bounding_region(eye_opening, (frame.shape[1], frame.shape[0]), 0.3)
        if region is None or eye_opening.gap < LENT_GAP:
            out.append(eye)
            continue
        rows, columns = region
        tinted = np.minimum(frame[region] * gain, 255).astype(np.uint8)
        if eye.blur > 0:
            tinted = _blur(tinted, eye.blur * eye_opening.width)
        shifted = replace(eye_opening, corner=eye_opening.corner - (columns.start, rows.start))
        share = opening.foreshortening(driver, ring)
        middle = np.array([0.5, 0.0])
        out.append(EyeTexture(tinted, shifted, middle, 0.0, False, eye.blur, seen=share))
    return tuple(out)
