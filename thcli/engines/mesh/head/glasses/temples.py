"""Temples of glasses: straight bars from the hinges to the ears."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.head.glasses.places import BRIDGE, Head, Span, lens_point
from thcli.engines.mesh.head.glasses.taken_off import Wearer
from thcli.engines.mesh.sampling import box_mean, odd_size, remap, to_samples
from thcli.engines.mesh.warp import WarpMap
from thcli.motion.canonical import neutral

EARS = {-1: 127, 1: 356}  # points before the ears, by side of the image
EAR_DEPTH = 0.08  # face heights of a temple's end behind that point
BAR_LENGTH = 40  # pixels of a made bar
BAR_CORNERS = np.array([(0, 4), (BAR_LENGTH, 4), (0, 7)], np.float32)  # as of `hide`
STEPS = 32  # samples along a temple
IS_HAIR, IS_EAR, SURE = 0.5, 0.5, 0.8  # probabilities
# Face heights that hair reaches beyond what the parser sees, since a turn draws them out over
# much of a temple; and over which it is averaged
GROWN, SMOOTH = 0.025, 0.03
LIKE_HAIR = (0.3, 0.7)  # of the way from the skin's colour to the hair's: skin, hair
MEAN = np.full(3, 1 / 3)  # of samples along a temple
# Around the point before the ear and the hinge's row, face heights outwards and down, and the areas
# in squared face heights from which an ear and hair are seen there
ACROSS, DOWN, LEAST_EAR, LEAST_HAIR = (-0.04, 0.2), (-0.03, 0.13), 0.003, 0.001
BESIDE_LENS = 0.3  # of a temple's length, beyond which it has no part of the lens
FADE = 0.1  # of a temple's length, over which it vanishes in hair


@dataclass(frozen=True, slots=True)
class Temple:
    """A temple: its hinge, end and a point 0.1 face heights below the hinge, (3, 3) pixels.

    points: as far as the source shows it.  whole: to the ear.  outwards: (3,) direction in which it
    shows.  stub, full: face heights outwards that these take in the source.
    """

    points: Array
    whole: Array
    outwards: Array
    stub: float
    full: float


def find(head: Head, side: int, span: Span) -> Temple:
    """Find a temple; side: -1 or 1, of the image."""
    unit = head.scale * head.size
    hinge = head.place(np.array(lens_point(side, *span.hinge)))
    below = hinge + 0.1 * unit * head.rotation[:, 1]
    mean = (neutral()[EARS[side]] - neutral()[BRIDGE]) / head.size
    ear = head.place(np.array((mean[0], (mean[1] + span.hinge[1]) / 2, mean[2] + EAR_DEPTH)))
    outwards = side * head.rotation[:, 0]
    flat = outwards[:2] / np.linalg.norm(outwards[:2])
    end = head.place(np.array(lens_point(side, *span.end)))
    stub, full = (float((point - hinge)[:2] @ flat) / unit for point in (end, ear))
    way = float(np.clip(stub / full, 0.15, 1)) if full > 0 else 1.0
    end[2] = hinge[2] + way * (ear[2] - hinge[2])
    points, whole = np.stack([hinge, end, below]), np.stack([hinge, ear, below])
    return Temple(points, whole, outwards, stub, full)


@dataclass(frozen=True, slots=True)
class Hair:
    """Hair of a source that hides temples.

    seen: (h, w, 2) 0..1 in a crop: hair, and the same with what is close to it.  corner: (2,) pixel
    of the source that is the crop's first.  colour, skin: (3,) 0..255.
    """

    seen: Array32
    corner: npt.NDArray[np.integer]
    colour: Array
    skin: Array


def find_hair(
    temple: Temple, side: int, wearer: Wearer, corner: npt.NDArray[np.integer], tone: Array
) -> Hair | None:
    """Find the hair that hides a temple.

    None without any, or where an ear is seen: hair before it is short, and below the temple.

    Args:
        temple: of a source.
        side: -1 or 1, of the image.
        wearer: crop of the source.
        corner: (2,) pixel of the source that is the crop's first.
        tone: (3,) colour of the skin, 0..255.
    """
    size = wearer.size
    across = np.sort(wearer.mesh[EARS[side], 0] + side * size * np.array(ACROSS))
    down = temple.whole[0, 1] - corner[1] + size * np.array(DOWN)
    columns, rows = (slice(*np.rint(ends).astype(int).clip(0)) for ends in (across, down))
    if (wearer.ear[rows, columns] > IS_EAR).sum() > LEAST_EAR * size**2:
        return None
    found = wearer.image[rows, columns][wearer.hair[rows, columns] > SURE]
    if len(found) < LEAST_HAIR * size**2:
        return None
    grown = cv2.dilate(wearer.hair, np.ones((odd_size(2 * GROWN * size),) * 2, np.uint8))
    seen = box_mean(np.dstack([wearer.hair, grown]), odd_size(SMOOTH * size))
    return Hair(seen, corner, np.median(found, 0), np.asarray(tone, np.float64))


def free_share(hair: Hair, out: Image, warp_map: WarpMap, hinge: Array, end: Array) -> float:
    """Return the share of a temple's way, from hinge to end, up to hair in a frame; inf for none.

    Args:
        hair: of the source.
        out: (H, W, 3) uint8 frame, which may show made skin instead of hair.
        warp_map: of the frame.
        hinge, end: (2,) pixels of the frame.
    """
    grid = warp_map.grid
    points = hinge + np.linspace(0, 1, STEPS)[:, None] * (end - hinge)
    at = to_samples(points - (grid.x0, grid.y0), grid.step)
    shown = points + remap(warp_map.displacement, at[None].astype(np.float32))[0]
    sure, near = remap(hair.seen, (shown - hair.corner)[None].astype(np.float32))[0].T
    colour = remap(out, points[None].astype(np.float32))[0].astype(np.float64)
    from_skin = hair.colour - hair.skin
    like = (colour - hair.skin) @ from_skin / max(float(from_skin @ from_skin), 1.0)
    covered = np.convolve(np.maximum(sure, near * smoothstep(*LIKE_HAIR, like)), MEAN, "same")
    first = int(np.argmax(covered > IS_HAIR))
    if covered[first] <= IS_HAIR:
        return np.inf
    if first == 0:
        return 0.0
    before, there = float(covered[first - 1]), float(covered[first])
    return (first - (there - IS_HAIR) / (there - before)) / (STEPS - 1)


def hide(texture: Image, corners: Array32, share: float) -> Image:
    """Return a temple's texture (h, w, 4) that vanishes at a share of its length.

    corners: (3, 2) pixels of its hinge, its end and a point below the hinge.
    """
    shown = 1 - smoothstep(share - FADE, share, _along(texture, corners))
    return np.asarray(texture * shown[..., None] + 0.5, np.uint8)


def colour_of(texture: Image, corners: Array32) -> Array32:
    """Return the median colour (3,) of a temple's texture (h, w, 4) beside the lens.

    corners: as of `hide`.
    """
    alpha = texture[..., 3] * (_along(texture, corners) > BESIDE_LENS)
    found = texture[alpha >= max(0.9 * float(alpha.max()), 1)].astype(np.float32)
    if not len(found):
        return np.zeros(3, np.float32)
    return np.asarray(np.median(found[:, :3] * 255 / found[:, 3:], 0), np.float32)


def _along(texture: Image, corners: Array32) -> Array:
    """Return the share of a temple's length at the pixels of its texture, (h, w)."""
    along = (corners[1] - corners[0]).astype(np.float64)
    along /= along @ along
    y, x = np.mgrid[: texture.shape[0], : texture.shape[1]]
    return np.asarray((x - corners[0, 0]) * along[0] + (y - corners[0, 1]) * along[1])


def bar(colour: Array32) -> Image:
    """Return a bar in the colour of a frame."""
    profile = np.array([0, 0.5, 1, 1, 1, 1, 0.5, 0, 0])[:, None]
    along = np.ones(BAR_LENGTH + 1)
    along[-6:] = np.linspace(1, 0, 6)
    alpha = (profile * along)[..., None]
    shade = np.array([1, 1, 1.1, 1.05, 1, 0.95, 0.9, 0.9, 0.9])[:, None, None]
    bar = np.concatenate([np.clip(colour * shade, 0, 255) * alpha, 255 * alpha], -1)
    return np.asarray(bar + 0.5, np.uint8)
