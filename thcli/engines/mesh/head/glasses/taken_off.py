"""Taking glasses off a picture: what is frame or dark lens, and the face below them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import largest_channel, smoothstep
from thcli.core.types import Array, Array32, Crop, Image
from thcli.engines.mesh.anatomy import face_height
from thcli.engines.mesh.sampling import box_mean, mix, odd_size, polygon_mask, resize
from thcli.faces.landmarks.topology import EYES, OVAL
from thcli.faces.parsing.classes import GLASSES, HAIR, HEAD, class_number
from thcli.faces.parsing.crops import Regions

IS_GLASSES, IS_SKIN = 0.5, 0.5  # probabilities
FRAME_WIDTH = 0.045  # face heights inside of their outline that may be frame
OUTSIDE = 0.02  # the same outside of what the parser sees
EYE_MARGIN = 0.025  # face heights around the eyes that are no frame of their own
LASH_MARGIN = 0.004  # face heights around the eyes that are never frame
DIFFERS = (12.0, 45.0)  # levels between a picture and its filled copy: skin, frame
OPAQUE = (0.55, 0.7)  # share of the lenses' pixels that look like no skin: clear, dark lenses
# logarithm of a colour over the skin's: mean below which, and range over which it is no skin's
DARKER, TINTED = -0.5, 0.4
# Levels between a frame's and the skin's colours: glasses with clear lenses are told from the face
# from the first on, and beyond what the parser sees from the second on
LEAST_DISTINCT, DISTINCT = 50, 70
SOLID = 0.9  # opacity of what is glasses, whatever its colour
EDGE = 0.012  # face heights beside it that its soft edges take
SMOOTH = 0.02  # face heights over which a fill is averaged
LEAST_PIXELS = 8  # of a frame
GROWN = 0.03  # face heights beside what the parser sees in which its colour is frame, too
LIKE_FRAME = (15.0, 45.0)  # levels between a pixel and the frame's colour: frame, not
COVERING = HAIR | {class_number("hat")}
EARS = frozenset({class_number("l_ear"), class_number("r_ear")})
BAR = (0.014, 0.035)  # face heights, thickness of a temple that the source hides


@dataclass(frozen=True, slots=True)
class Wearer:
    """Crop of a face with glasses.

    image: (h, w, 3) uint8.  mesh: (468, 3) pixels of it.  size: of the face in pixels.
    worn, hair, ear: (h, w) probabilities of glasses, of hair or a hat, and of an ear.
    oval, eyes, lashes, skin: (h, w) within the face's oval, eyes with their lids, eyes with their
    lashes, head without hair.
    """

    image: Image
    mesh: Array
    size: float
    worn: Array32
    hair: Array32
    ear: Array32
    oval: npt.NDArray[np.bool_]
    eyes: npt.NDArray[np.bool_]
    lashes: npt.NDArray[np.bool_]
    skin: npt.NDArray[np.bool_]


def crop_wearer(
    image: Image, mesh: Array, regions: Regions, corner: npt.NDArray[np.integer]
) -> Wearer:
    """Describe a crop of a face with glasses.

    Args:
        image: (h, w, 3) uint8 crop.
        mesh: (468, 3) pixels of the whole picture.
        regions: of the face.
        corner: (2,) pixel of the whole picture that is the crop's first.
    """
    size = face_height(mesh)
    crop = Crop(np.array([[1, 0, -corner[0]], [0, 1, -corner[1]], [0, 0, 1.0]]), image.shape[1::-1])
    points = mesh - (*corner, 0)
    worn = regions.mask_in(crop, GLASSES)
    oval = polygon_mask(points[OVAL, :2], crop.size)
    eyes, lashes = (
        _around_eyes(points[:, :2], crop.size, margin * size)
        for margin in (EYE_MARGIN, LASH_MARGIN)
    )
    skin = regions.mask_in(crop, HEAD - HAIR) + worn > IS_SKIN
    hair, ear = regions.mask_in(crop, COVERING), regions.mask_in(crop, EARS)
    return Wearer(image, points, size, worn, hair, ear, oval, eyes, lashes, skin)


def _around_eyes(points: Array, size: tuple[int, int], margin: float) -> npt.NDArray[np.bool_]:
    eyes = [polygon_mask(points[ring], size) for ring in EYES]
    reach = max(1, round(margin))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate((eyes[0] | eyes[1]).astype(np.uint8), disc) > 0)


@dataclass(frozen=True, slots=True)
class Frame:
    """Frame of glasses: its colour (3,) float32 0..255 and its thickness in face heights."""

    colour: Array32
    thickness: float


@dataclass(frozen=True, slots=True)
class Separated:
    """Crop of a face without its glasses, and they.

    bare: (h, w, 3) uint8.  glasses: (h, w, 4) uint8 premultiplied; over `bare` they give the crop.
    frame: None where none is told from the skin.  opaque: 0..1, of the lenses.
    """

    bare: Image
    glasses: Image
    frame: Frame | None
    opaque: float


def separate(wearer: Wearer, within: npt.NDArray[np.bool_], tone: Array) -> Separated | None:
    """Separate a face and its glasses; None where nothing of them stands out from the skin.

    Args:
        wearer: the crop.
        within: (h, w) between the hinges.
        tone: (3,) colour of the skin, 0..255.
    """
    part, size = wearer.image, wearer.size
    worn = (wearer.worn > IS_GLASSES).astype(np.uint8)
    interior = (_depth(worn) > FRAME_WIDTH * size) & within
    opaque = _find_opaque(part, interior & ~wearer.eyes, tone)
    clear = interior | wearer.eyes if opaque < 0.5 else np.zeros_like(interior)
    hole = _hole(worn, wearer) & ~clear
    bare = _bare(wearer, hole)
    alpha = _differs(part, bare) * worn
    frame = _find_frame(part, bare, (alpha > 0.9) & ~clear, size)
    distinct = 0.0 if frame is None else float(np.abs(frame.colour - tone).max())
    if opaque < 0.5 and distinct < LEAST_DISTINCT:
        return None
    if frame is not None:
        # what has the frame's colour beside what the parser sees is frame, hair is not
        like = 1 - smoothstep(*LIKE_FRAME, largest_channel(np.abs(part - frame.colour)))
        if distinct > DISTINCT:
            near = _widen(worn, GROWN * size) & wearer.skin & wearer.oval & ~clear
            worn |= (near & (like > 0.5)).astype(np.uint8)
            clear &= wearer.eyes | (like < 0.5)  # a bridge may lie deep inside
            clear &= ~_rim_on_lids(wearer, like > 0.5)
            # beside what the parser sees, the outline of the head is none
            solid = (like > 0.5) | (_differs(part, bare) * worn > SOLID)
            hole = _hole(worn, wearer) & ((worn > 0) | _widen(solid.astype(np.uint8), EDGE * size))
        hole &= ~clear
        bare = _bare(wearer, hole)
    alpha = box_mean(hole.astype(np.float32), 3) * _differs(part, bare)
    if frame is not None:  # a rim before a brow is told by its own colour
        alpha = np.maximum(alpha, box_mean(np.asarray(like * worn * ~clear, np.float32), 3))
    alpha = np.maximum(alpha, opaque * box_mean(worn.astype(np.float32), 3))
    alpha = np.maximum(alpha, _least_alpha(part, bare))
    alpha = np.asarray(alpha, np.float32)[..., None]
    colour = part - (1 - alpha) * bare.astype(np.float32)
    texture = np.dstack([np.clip(colour, 0, 255 * alpha), 255 * alpha])
    return Separated(bare, np.asarray(texture + 0.5, np.uint8), frame, opaque)


def _find_frame(
    part: Image, bare: Image, opaque: npt.NDArray[np.bool_], size: float
) -> Frame | None:
    """Return the frame along the outline of what is opaque in a picture; None without any."""
    depth = _depth(opaque.astype(np.uint8)) / size
    rim = opaque & (depth < BAR[1] / 2)
    if rim.sum() < LEAST_PIXELS:
        return None
    # of a strip the mean depth is a quarter of its width; its edges are mixed with skin
    thickness = float(np.clip(4 * depth[rim].mean(), *BAR))
    away = largest_channel(np.abs(part.astype(np.float32) - bare))[rim]
    core = part[rim][away >= np.median(away)]
    return Frame(np.median(core, 0).astype(np.float32), thickness)


def _rim_on_lids(wearer: Wearer, like: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return what goes on from a frame over the lids in its colour, with its soft edge, (h, w).

    like: (h, w) what has its colour.
    """
    near = like & wearer.eyes & ~wearer.lashes
    found = like & ~wearer.eyes & (wearer.worn > IS_GLASSES)
    for _ in range(max(1, round((EYE_MARGIN - LASH_MARGIN) * wearer.size))):
        found |= _widen(found.astype(np.uint8), 1) & near
    return _widen(found.astype(np.uint8), EDGE * wearer.size) & wearer.eyes & ~wearer.lashes


def _depth(worn: Image) -> Array32:
    """Return how deep pixels lie inside of a mask (h, w) 0 or 1, pixels."""
    framed = cv2.copyMakeBorder(worn, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    return np.asarray(cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1], np.float32)


def _hole(worn: Image, wearer: Wearer) -> npt.NDArray[np.bool_]:
    """Return what glasses hide, with their soft edges on the skin."""
    return np.asarray((worn > 0) | (_widen(worn, OUTSIDE * wearer.size) & wearer.skin))


def _widen(worn: Image, reach: float) -> npt.NDArray[np.bool_]:
    side = 2 * max(1, round(reach)) + 1
    return np.asarray(cv2.dilate(worn, np.ones((side, side), np.uint8)) > 0)


def _differs(part: Image, bare: Image) -> Array32:
    difference = largest_channel(np.abs(part.astype(np.float32) - bare))
    return np.asarray(smoothstep(*DIFFERS, box_mean(difference, 3)), np.float32)


def _find_opaque(part: Image, lenses: npt.NDArray[np.bool_], tone: Array) -> float:
    """Return 1 for dark or coloured lenses, 0 for clear ones, of a picture's lenses (h, w)."""
    if not lenses.any():
        return 0.0
    colour = np.log((part[lenses] + 8.0) / (np.asarray(tone) + 8.0))
    skin = (colour.mean(-1) > DARKER) & (np.ptp(colour, -1) < TINTED)
    return float(smoothstep(*OPAQUE, 1 - skin.mean()))


def _bare(wearer: Wearer, hole: npt.NDArray[np.bool_]) -> Image:
    """Fill a hole of a face with what the head shows beside it, beyond its oval with anything."""
    part, size = wearer.image, wearer.size
    anything = _fill(part, hole, ~hole, size)
    if not (~hole & wearer.skin).any():
        return anything
    inside = np.asarray(255 * box_mean(wearer.oval.astype(np.float32), 5), np.uint8)
    return mix(anything, _fill(part, hole, ~hole & wearer.skin, size), inside)


def _least_alpha(part: Image, bare: Image) -> Array32:
    """Return the least opacity (h, w) with which something over a bare face gives a picture."""
    behind = bare.astype(np.float32)
    change = part - behind
    room = np.where(change < 0, behind, 255 - behind)
    return np.asarray(largest_channel(np.abs(change) / np.maximum(room, 1)), np.float32)


def _fill(
    part: Image, hole: npt.NDArray[np.bool_], trusted: npt.NDArray[np.bool_], size: float
) -> Image:
    """Fill a hole (h, w) of a picture smoothly from trusted pixels beside it."""
    known = trusted.astype(np.float32)
    levels = [(part.astype(np.float32) * known[..., None], known)]
    while min(levels[-1][1].shape) > 2 and levels[-1][1].min() < 1e-3:
        colour, weight = levels[-1]
        half = max(1, weight.shape[1] // 2), max(1, weight.shape[0] // 2)
        levels.append((resize(colour, half, shrink=True), resize(weight, half, shrink=True)))
    colour, weight = levels.pop()
    out = colour / np.maximum(weight, 1e-3)[..., None]
    while levels:
        colour, weight = levels.pop()
        out = resize(out, (weight.shape[1], weight.shape[0]))
        share = np.minimum(weight * 4, 1)[..., None]
        out = out + share * (colour / np.maximum(weight, 1e-3)[..., None] - out)
    smooth = box_mean(out, odd_size(SMOOTH * size))
    out = np.where(hole[..., None], smooth, part)
    return np.asarray(np.clip(out + 0.5, 0, 255), np.uint8) if hole.any() else part
