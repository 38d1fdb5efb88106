"""Head, hair, hat and neck of a person to be mirrored, without what is held beside them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.geometry import transform_points
from thcli.core.imaging import largest_channel, smoothstep
from thcli.core.types import Array, Array32, Crop, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.sampling import box_mean, masked_mean, odd_size, polygon_mask, to_levels
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing.classes import ACCESSORIES, HAIR, HEAD, NECK, SKIN, class_number
from thcli.faces.parsing.crops import Regions

Bools = npt.NDArray[np.bool_]
HAIR_CLASSES = HAIR | {class_number("hat")}
CLOTH = {class_number("cloth")}
KEPT = HEAD | NECK | ACCESSORIES | HAIR_CLASSES
# Probability of being any of these from which a pixel is kept: none, all. Half transparent, dark
# ground beside the head would be a grey cloud over a light one
KEPT_RANGE = (0.4, 0.7)
REACH = 0.03  # face heights around them that are kept too: strands of hair
SOFTNESS = 0.03  # face heights, of the edge
SURE_SKIN = 0.9  # probability from which a pixel of the face gives its colour to the skin's
UNSURE = 0.2  # probability below which a pixel is no skin, and no hair
SKIN_COLOURS = (2, 50, 98)  # percentiles of these, in Lab: skin lies between the outer ones
APART = (6.0, 12.0)  # levels beyond them: skin, something else
EDGE = 0.15  # face heights within the outline in which that is looked for
NEAR = 0.02  # face heights around it that count as such, too
LIKELY = 0.5  # probability below which what the matte holds is neither head nor cloth
OPAQUE = 127  # alpha above which something is the person's for the matte
CLOSE = 0.06  # face heights of a thing's least width, and from it in which its rim lies
SKIN_REACH = 0.12  # face heights over which the skin is averaged that covers it
# Face heights above the middle of the face: the body, which is not shown, and all of the head; and
# down to where things that are neither are left out, whole, before it fades
BELOW, CLEARED = (-0.7, -0.3), (-1.0, -0.7)


def keep_head(person: Image, mesh: Array, regions: Regions) -> None:
    """Make what is neither head nor neck transparent, in place, down to the shoulders.

    A hand or a thing beside the face is the person's as well for the matte. Mirrored, it would be
    there twice.

    Args:
        person: (H, W, 4) uint8 premultiplied.
        mesh: (468, 3) of the face, in its pixels.
        regions: of the face, down to the shoulders. Outside of their crop, what they say at its
            border goes on.
    """
    height, width = person.shape[:2]
    crop_from_frame = regions.placement.crop_from_frame
    face_size = anatomy.face_height(mesh)
    scale = float(np.hypot(*crop_from_frame[:2, 0]))  # pixels of the crop per pixel
    face = _face_polygon(mesh, regions.placement)
    colour = _find_skin_colour(person, face, mesh, regions)
    strange = None if colour is None else _find_strange_skin(mesh, regions, colour)
    if strange is not None:
        _cover_with_skin(person, mesh, regions, strange)
    reach = odd_size(2 * REACH * face_size * scale)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    sure = np.asarray(smoothstep(*KEPT_RANGE, regions.mask(KEPT)), np.float32)
    if colour is not None:  # parsers miss skin of profiles, within the face, too
        sure = np.maximum(sure, face * (1 - smoothstep(*APART, colour.distance)))
    grown = np.asarray(cv2.dilate(sure, disc), np.float32)
    if strange is not None:
        grown *= 1 - np.asarray(cv2.dilate(strange, disc), np.float32) * ~face
    kept = box_mean(grown, odd_size(2 * SOFTNESS * face_size * scale))
    points = transform_points(crop_from_frame, mesh[:, :2])
    columns, rows = (np.arange(side, dtype=np.float32) for side in regions.placement.size)
    upper = smoothstep(*CLEARED, height_above_middle(points, columns, rows))
    shown = cv2.warpAffine(
        to_levels(np.maximum(kept, 1 - upper)),
        crop_from_frame[:2],
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    cv2.multiply(person, cv2.merge([shown] * 4), person, 1 / 255)


def _find_strange_skin(mesh: Array, regions: Regions, colour: _SkinColour) -> Array32 | None:
    """Find what the parser takes for skin at the face's edge and has none of its colours.

    Such is the rim of a thing held before the cheek, a medal, a cup, a telephone, near the thing
    itself, which is none of the head for the parser. What is darker than the skin is left:
    skin in the shade has other colours, too.

    Args:
        mesh, regions: as in `keep_head`.
        colour: of the regions' crop.

    Returns:
        (h, w) float32 in 0..1 in pixels of the regions' crop; None where there is nothing such.
    """
    crop, skin = regions.placement, regions.mask(SKIN)
    size = _face_size(mesh, crop)
    close, near = (odd_size(2 * share * size) for share in (CLOSE, NEAR))
    inner = colour.inner
    apart = np.where(colour.is_dark, 0, colour.distance)  # skin in the shade
    hair = cv2.dilate(regions.mask(HAIR_CLASSES), np.ones((near, near))) > UNSURE
    strange = np.where(inner | hair | (skin < UNSURE), 0, smoothstep(*APART, apart))
    held = colour.is_opaque & (regions.mask(KEPT | CLOTH) < LIKELY)
    broad = cv2.morphologyEx(held.astype(np.uint8), cv2.MORPH_OPEN, np.ones((close, close)))
    beside = cv2.dilate(broad, np.ones((close, close))) > 0
    _, labels = cv2.connectedComponents((strange > 0).astype(np.uint8))
    strange[~np.isin(labels, np.unique(labels[beside & (labels > 0)]))] = 0
    if strange.max() <= 0:
        return None
    grown = np.asarray(cv2.dilate(strange, np.ones((near, near))), np.float32)
    return box_mean(grown, 3)


@dataclass(frozen=True, slots=True)
class _SkinColour:
    """Colours of a crop against those of its skin.

    distance: (h, w) float32 levels of Lab beyond them, 0 for what may be skin.
    is_dark, is_opaque, inner: (h, w), what is less bright than half of the skin, what is the
    person's for the matte, and the face but for its edge.
    """

    distance: Array32
    is_dark: Bools
    is_opaque: Bools
    inner: Bools


def _find_skin_colour(
    person: Image, face: Bools, mesh: Array, regions: Regions
) -> _SkinColour | None:
    """Compare colours with the skin's in the crop of `regions`; None where none is sure.

    Args:
        person, mesh, regions: as in `keep_head`.
        face: (h, w) of the crop, inside the outline of the face.
    """
    edge = odd_size(2 * EDGE * _face_size(mesh, regions.placement))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (edge, edge))
    inner = np.asarray(cv2.erode(face.astype(np.uint8), disc) > 0)
    sure = inner & (regions.mask(SKIN) > SURE_SKIN)
    if not sure.any():
        return None
    around = _in_crop(person, regions.placement)
    colour = cv2.cvtColor(around[..., :3], cv2.COLOR_RGB2Lab).astype(np.float32)
    low, middle, high = np.percentile(colour[sure], SKIN_COLOURS, axis=0)
    distance = largest_channel(np.maximum(low - colour, colour - high)).astype(np.float32)
    return _SkinColour(distance, colour[..., 0] < middle[0], around[..., 3] > OPAQUE, inner)


def _cover_with_skin(person: Image, mesh: Array, regions: Regions, strange: Array32) -> None:
    """Show the skin around instead of what is strange (h, w) in a crop's pixels, in place."""
    crop = regions.placement
    around = _in_crop(person, crop)[..., :3].astype(np.float32)
    known = regions.mask(SKIN) * (1 - strange)
    reach = odd_size(2 * SKIN_REACH * _face_size(mesh, crop))
    skin = masked_mean(masked_mean(around, known, reach), known, reach)
    size, back = person.shape[1::-1], cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    to_frame = crop.crop_from_frame[:2]
    filled = cv2.warpAffine(skin, to_frame, size, flags=back, borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpAffine(strange, to_frame, size, flags=back)[..., None]
    shown = share[..., 0] > 0
    colour, opaque = person[shown][:, :3], person[shown][:, 3:] / np.float32(255)
    person[shown, :3] = np.rint(colour + share[shown] * (filled[shown] * opaque - colour))


def _in_crop(person: Image, crop: Crop) -> Image:
    return np.asarray(cv2.warpAffine(person, crop.crop_from_frame[:2], crop.size), np.uint8)


def _face_polygon(mesh: Array, crop: Crop) -> Bools:
    return polygon_mask(transform_points(crop.crop_from_frame, mesh[OVAL, :2]), crop.size)


def _face_size(mesh: Array, crop: Crop) -> float:
    """Return the face's height in pixels of a crop."""
    return anatomy.face_height(mesh) * float(np.hypot(*crop.crop_from_frame[:2, 0]))


def height_above_middle(mesh: Array, x: Array32, y: Array32) -> Array:
    """Return how far pixels lie above the middle of a face, in face heights, (rows, columns).

    Args:
        mesh: (468, 2+) of the face.
        x, y: (columns,) and (rows,) of the pixels.
    """
    middle = (mesh[anatomy.FOREHEAD, :2] + mesh[anatomy.CHIN, :2]) / 2
    up = (mesh[anatomy.FOREHEAD, :2] - mesh[anatomy.CHIN, :2]) / anatomy.face_height(mesh) ** 2
    return np.asarray((x - middle[0]) * up[0] + ((y - middle[1]) * up[1])[:, None])


def distance_to_the_right(mesh: Array, x: Array32, y: Array32) -> Array:
    """Return how far pixels lie to the image's right of a face's axis, as `height_above_middle`."""
    middle = (mesh[anatomy.FOREHEAD, :2] + mesh[anatomy.CHIN, :2]) / 2
    down = (mesh[anatomy.CHIN, :2] - mesh[anatomy.FOREHEAD, :2]) / anatomy.face_height(mesh) ** 2
    return np.asarray((x - middle[0]) * down[1] - ((y - middle[1]) * down[0])[:, None])
