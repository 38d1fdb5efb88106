"""Skin of the cheek that a turn brings into view.

A frontal picture shows the side of the cheek a few pixels wide, mixed with hair, ear and shadow. As
it turns towards the camera, these pixels would be stretched to streaks. What is neither skin nor
hair gives way to the tone of the cheek that the source shows well, continued over the mesh. Skin
and hair stay, but without what is finer than the stretch, upright. Grain of the cheek lies over
both.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.geometry import matrix_from_rotvec, transform_points
from thcli.core.imaging import largest_channel, smoothstep
from thcli.core.types import Array, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.head import overlay, steep_texture
from thcli.engines.mesh.head.continuation import continue_smoothly
from thcli.engines.mesh.head.steep_texture import NO_HAIR, BorderHair, turned_cosines
from thcli.engines.mesh.sampling import (
    box_mean,
    merge_positions,
    mix,
    odd_size,
    pair,
    remap,
    to_levels,
)
from thcli.engines.mesh.warp import WarpMap
from thcli.faces.landmarks.surface import CORNER_COUNTS, sum_at_points
from thcli.faces.landmarks.topology import (
    EYES,
    LIPS_INNER,
    LIPS_OUTER,
    NOSE,
    OVAL,
    PAIRS,
    TRIANGLES,
)
from thcli.faces.parsing.classes import FACE, HAIR
from thcli.faces.parsing.crops import Regions
from thcli.motion.canonical import neutral

KNOWN_COSINE = 0.65  # of surface and view in the source, from which its tone is known
STEEP = (0.35, 0.7)  # cosines in the source: replaced, and kept
PLAIN_STEEP = (0.12, 0.38)  # the same where the source shows the tone that is expected
DEPARTS = (0.15, 0.4)  # of the logarithm of a colour from the expected tone: skin, something else
GROWTH = (0.06, 0.22)  # of that cosine: none, full
WIDTH = (0.24, 0.34)  # face heights from the oval: replaced, and kept
TEMPLE = (0.0, 0.15)  # face heights below the eyes: kept, and replaced
TONE_RADIUS = 0.025  # face heights over which the source's tone is read
GRAIN_RADIUS = 0.012  # face heights of what is finer than the tone
GRAIN_LIMIT = 2.0  # times the median size of the grain, above which it is a feature
MOST_GRAIN = 127.0  # levels to either side of none
STRETCH = (1.3, 2.2)  # cosine in the target over that in the source: stays, loses its streaks
STRETCHED = (0.12, 0.3)  # and growth of it from which that is done
LEAST_COSINE = 0.05  # that this ratio divides by
STREAK_HEIGHT = 0.025  # face heights over which upright detail is averaged where it is stretched
GRAIN_SCALE = 0.6  # source pixels of grain per pixel of a cheek that is seen from the side
SIDE_VIEW = np.radians(40.0)  # turn in which the cheek is spread out
BESIDE_LIPS = (0.03, 0.1)  # face heights from the lips: kept, and replaced
LIPS_RADIUS = 0.05  # face heights around the lips whose tone is not the skin's
GLASSES_RADIUS = 0.15  # face heights around eyes where glasses may be
LEAST = 0.02  # largest weight below which nothing is rendered
LENS = (0.35, 0.6)  # brightness below the eyes over that of the cheek: dark glasses, skin
LENS_DROP = 0.15  # face heights by which less is replaced below dark glasses
BELOW_EYES = np.array([117, 118, 119, 346, 347, 348])
STRETCH_RADIUS = 0.02  # face heights around a point in which skin and hair are looked for
STRETCHABLE = (0.4, 0.8)  # their share: made skin, stays
CHEEKS = 50, 280  # points of either cheek that the source shows


@dataclass(frozen=True, slots=True)
class GrownCheek:
    """Tone and grain for the sides of a source's face.

    normals: (468, 3) of the source.  steep, calmed: (468,) 0..1, how far a point may be replaced,
    and may lose its streaks.  tone: (468, 3) colour in 0..1.  grain: (h, w, 3) uint8, 128 is none.
    calm: (h, w, 3) uint8 source without fine upright detail.  corner: (2,) source pixels of these
    pictures' first pixel.  positions: (468, 2) pixels of the grain.
    """

    normals: Array
    steep: Array
    calmed: Array
    tone: Array
    grain: Image
    calm: Image
    corner: Array
    positions: Array


def prepare(
    image: Image,
    mesh: Array,
    normals: Array,
    worn: Array | None = None,
    regions: Regions | None = None,
) -> GrownCheek | None:
    """Read tone and grain of a source's cheeks; None where its face shows too little.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        normals: (468, 3) of the mesh.
        worn: (468,) how far a point is part of glasses, which stay; None without any.
        regions: of the face, whose skin and hair stay; None tells them by their colours.
    """
    cosine = normals[:, 2]
    inside = ((mesh[:, :2] >= 0) & (mesh[:, :2] <= (image.shape[1] - 1, image.shape[0] - 1))).all(1)
    known = (cosine > KNOWN_COSINE) & _PLAIN_SKIN & inside
    if not known.any():
        return None
    size = anatomy.face_height(mesh)
    reach = odd_size(2 * TONE_RADIUS * size)
    points = mesh[None, :, :2].astype(np.float32)
    colour = np.log(remap(box_mean(image, reach), points)[0].astype(np.float64) + 4)
    middle = np.median(colour[known], 0)
    tone = np.exp(continue_smoothly(colour - middle, known) + middle)
    # dark lenses are no skin: what is beside them stays, too
    lens = 1 - smoothstep(*LENS, float(np.median(np.exp(colour - np.log(tone))[BELOW_EYES])))
    below = smoothstep(TEMPLE[0] + LENS_DROP * lens, TEMPLE[1] + LENS_DROP * lens, _BELOW)
    departs = smoothstep(*DEPARTS, _spread(np.abs(colour - np.log(tone)).max(1)))
    low, high = (
        plain + departs * (other - plain) for plain, other in zip(PLAIN_STEEP, STEEP, strict=True)
    )
    steep = (1 - smoothstep(0, 1, (cosine - low) / (high - low))) * _SIDES * below
    calmed = _SIDES * below
    if worn is not None:
        steep, calmed = steep * (1 - worn), calmed * (1 - worn)
    if regions is not None:
        shown = steep_texture.shifted_positions(normals, mesh, steep_texture.PULL)
        steep = steep * (1 - _find_stretchable(regions, shown))
    if max(steep.max(), calmed.max()) < LEAST:
        return None
    corner = np.maximum(np.floor(mesh[:, :2].min(0)), 0).astype(int)
    end = np.maximum(np.ceil(mesh[:, :2].max(0)).astype(int) + 1, corner)
    face = image[corner[1] : end[1], corner[0] : end[0]]
    if min(face.shape[:2]) < 2:
        return None
    grain = _grain(face, size)
    positions = _spread_out(mesh) - corner
    upright = 1, odd_size(2 * STREAK_HEIGHT * size)
    calm = np.asarray(cv2.blur(cv2.blur(face, upright), upright), np.uint8)
    colour = np.clip((tone - 4) / 255, 0, 1)
    return GrownCheek(normals, steep, calmed, colour, grain, calm, corner, positions)


def _find_stretchable(regions: Regions, positions: Array) -> Array:
    """Return how far source pixels (468, 2) show skin or hair, which a turn may stretch."""
    points = transform_points(regions.placement.crop_from_frame, positions)
    size = anatomy.face_height(points)
    near = box_mean(regions.mask(FACE | HAIR), odd_size(2 * STRETCH_RADIUS * size))
    found = remap(near, points[None].astype(np.float32))[0]
    return np.asarray(smoothstep(*STRETCHABLE, found), np.float64)


def _spread(values: Array) -> Array:
    """Average values (468,) over the triangles around each point."""
    return sum_at_points(values[TRIANGLES].mean(1)) / CORNER_COUNTS


def _grain(face: Image, size: float) -> Image:
    """Return what is finer than the tone, 128 where there is nothing, features clipped.

    Where it is coarser than elsewhere over a stretch, as along folds, it is made finer.
    """
    near = odd_size(2 * GRAIN_RADIUS * size)
    fine = face.astype(np.int16) - box_mean(face, near)
    height = largest_channel(np.abs(fine)).astype(np.float32)
    usual = float(np.median(height)) + 0.5
    local = np.maximum(box_mean(box_mean(height, near), near), np.float32(0.5))
    fine = fine * np.minimum(1, (usual / local) ** 2)[..., None]
    limit = min(GRAIN_LIMIT * float(np.median(np.abs(fine))), MOST_GRAIN)
    return np.asarray(np.clip(fine, -limit, limit) + 128.5, np.uint8)


def _spread_out(mesh: Array) -> Array:
    """Return source pixels (468, 2) whose grain the points take.

    Either side is spread out as a turned head shows it, and mirrored at a point of the cheek, so
    that the grain comes from inside.
    """
    across = (mesh[OVAL[9]] - mesh[OVAL[27]])[:2]
    across /= max(float(np.linalg.norm(across)), 1e-9)
    out = mesh[:, :2].copy()
    for cheek in CHEEKS:
        outwards = 1.0 if (mesh[cheek] - mesh[PAIRS[cheek]])[:2] @ across > 0 else -1.0
        turned = (mesh - mesh.mean(0)) @ matrix_from_rotvec(
            np.array([0, -outwards * SIDE_VIEW, 0])
        ).T
        offset = GRAIN_SCALE * (turned - turned[cheek])[:, :2]
        mirrored = offset - 2 * (offset @ across)[:, None] * across
        own = (mesh - mesh[PAIRS])[:, :2] @ across * outwards > 0
        out[own] = mesh[cheek, :2] + mirrored[own]
    return out


def weights(
    cheek: GrownCheek, mesh: Array, target: Array, hair: BorderHair = NO_HAIR
) -> Array | None:
    """Return each point's shares (468, 2) of made and of calmed skin; None where none is shown.

    Args:
        cheek: of the source.
        mesh, target: (468, 3) source and target meshes.
        hair: at the border, over which nothing is made where it covers the cheek.
    """
    own, cosine = cheek.normals[:, 2], turned_cosines(cheek.normals, mesh, target)
    growth = cosine - own
    made = cheek.steep * smoothstep(*GROWTH, growth)
    ratio = np.maximum(cosine, LEAST_COSINE) / np.maximum(own, LEAST_COSINE)
    stretch = smoothstep(*STRETCHED, growth) * smoothstep(*STRETCH, ratio)
    calmed = cheek.calmed * stretch * (1 - made)
    if max(made.max(), calmed.max()) < LEAST:
        return None
    return np.stack([made, calmed], 1) * (1 - hair.covers(growth))[:, None]


def render(
    out: Image,
    cheek: GrownCheek,
    shares: Array,
    texture: Array,
    target: Array,
    warp_map: WarpMap,
) -> None:
    """Render the made and the calmed skin over a frame, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        cheek: of the source.
        shares: (468, 2) from `weights`.
        texture: (468, 2) source pixels that the points show.
        target: (468, 3) target mesh.
        warp_map: the frame's map.
    """
    size = out.shape[1], out.shape[0]
    weight = shares.sum(1)
    calmed = shares[:, 1:] / np.maximum(weight, LEAST)[:, None]
    offsets = texture - cheek.corner - target[:, :2]
    points = np.concatenate([cheek.tone, offsets, calmed], 1)
    for region, values in overlay.iterate_values(
        cheek.positions, weight, points, target, warp_map, size
    ):
        rows, columns = region
        grain = remap(cheek.grain, pair(values))
        _, _, share, *tone, x, y, calm = cv2.split(values)
        made = np.asarray(cv2.convertScaleAbs(cv2.merge(tone), alpha=255), np.uint8)
        if cv2.minMaxLoc(calm)[1] > 0:
            x += np.arange(columns.start, columns.stop, dtype=np.float32)
            y += np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
            places = merge_positions(np.asarray(x, np.float32), np.asarray(y, np.float32))
            share_of_calm = np.asarray(np.maximum(calm, 0), np.float32)
            made = mix(made, remap(cheek.calm, places), to_levels(share_of_calm))
        cv2.addWeighted(made, 1, grain, 1, -128, made)
        out[region] = mix(out[region], made, to_levels(np.asarray(share, np.float32)))


def _sides() -> Array:
    """Return weights (468,): 1 near the outline of the face, 0 inside and at the lips."""
    outline, lips = (
        anatomy.neutral_distances(ring) for ring in (OVAL, np.concatenate([LIPS_INNER, LIPS_OUTER]))
    )
    return np.asarray((1 - smoothstep(*WIDTH, outline)) * smoothstep(*BESIDE_LIPS, lips))


def _below_eyes() -> Array:
    """Return how far points lie below the eyes, (468,) face heights."""
    y = neutral()[:, 1]
    height = y[anatomy.CHIN] - y[anatomy.FOREHEAD]
    return np.asarray((y - y[anatomy.LEFT_EYE].mean()) / height)


def _plain_skin() -> npt.NDArray[np.bool_]:
    """Return the points (468,) of cheeks and chin, away from nose, lips and glasses."""
    plain = _below_eyes() > 0  # hair covers foreheads
    plain[NOSE] = False
    plain &= anatomy.neutral_distances(LIPS_OUTER) > LIPS_RADIUS
    return np.asarray(plain & (anatomy.neutral_distances(np.concatenate(EYES)) > GLASSES_RADIUS))


_SIDES = _sides()
_BELOW = _below_eyes()
_PLAIN_SKIN = _plain_skin()
