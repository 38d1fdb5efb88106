"""The person of a picture alone, for another background: colours without any of the old one.

What the segmentation network is unsure of is settled by the parser's view, edges follow the
picture's colours, and an edge's colour is freed of the background's share.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Crop, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.background.blocks import Coverage
from thcli.engines.mesh.background.matte import STRIP, MatteLayers
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.background.plate import push_pull
from thcli.engines.mesh.sampling import (
    box_mean,
    distance_to,
    nearest_to,
    odd_size,
    polygon_mask,
    resize,
)
from thcli.faces.compositing.guided_filter import guided_filter
from thcli.faces.crops.crop import corners
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing.crops import BACKGROUND, Regions

SIDE = 1280  # pixels, longest side of the picture in which edges are found
VOTE = 0.8  # of the parser where the network does not know, in probability
VOTE_EDGE = 0.15  # face heights from the parser's crop's sides over which its vote rises
CERTAIN = (0.35, 0.75)  # probabilities below which is background, above which is person
EDGE_RADIUS = 0.05  # face heights, window in which an edge is moved
EDGE_SMOOTHNESS = 1e-4  # variance of colour above which an edge is kept
EDGE_MARGIN = 0.1  # of alpha, that counts as none and as all
WIDE, NARROW = 0.2, 0.015  # face heights, windows of the colours beside an edge
SURE = 0.9  # alpha that belongs to a person
HAZE = (0.03, 0.12)  # face heights from it over which a lower alpha fades out
LEAST_PERSON = 0.5  # alpha of what holds a part of the matte to be a person
LEAST_STRANGER = 0.02  # of the picture, the smallest other person
BEHIND = 0.15  # face heights that those beside go on behind the person, who moves away from them
LITTLE = 1e-4


def cut_out(
    image: Image, persons: SeenPersons, mesh: Array, regions: Regions | None = None
) -> MatteLayers:
    """Cut the persons of a picture out.

    Args:
        image: (H, W, 3) uint8.
        persons: that it shows.
        mesh: (468, 3) pixels of the face whose person moves.
        regions: of that face, down to the shoulders, or None.

    Returns:
        The layers: its person over a black plate, and other persons behind it.
    """
    small, likely, scale = _shrink(image, persons.probability)
    size = small.shape[1], small.shape[0]
    face = anatomy.face_height(mesh) * scale
    if regions is not None:
        likely = _with_vote(likely, regions, scale, face)
    oval = polygon_mask(mesh[OVAL, :2] * scale, size)
    alpha = _find_edges(small, likely, face)
    core = cv2.erode(oval.astype(np.float32), np.ones((5, 5), np.uint8))
    alpha = np.maximum(alpha, box_mean(np.asarray(core, np.float32), 3))
    own, others = _divide(_without_haze(alpha, face), oval)
    colours = _foreground(small, alpha, face)
    theirs = colours
    if persons.own is not None:
        mine = resize(persons.own, size)
        beside = own * _continued(1 - mine, face)
        filled = push_pull(colours, (mine > 0) | (alpha < SURE))
        theirs = colours + mine[..., None] * (filled - colours)
        own, others = own * mine, beside if others is None else np.maximum(others, beside)
    person = _premultiply(image, colours - small, own)
    strangers = None if others is None else _premultiply(image, theirs - small, others)
    return MatteLayers(
        person, np.zeros_like(image), Coverage.of(person), cut=True, strangers=strangers
    )


def cut_out_all(image: Image, probability: Array32, face_height: float) -> Image:
    """Cut out whoever a picture shows.

    Args:
        image: (H, W, 3) uint8.
        probability: (h, w) of a person in 0..1, of any size over the whole picture.
        face_height: pixels.

    Returns:
        (H, W, 4) uint8, premultiplied.
    """
    small, likely, scale = _shrink(image, probability)
    face = face_height * scale
    alpha = _without_haze(_find_edges(small, likely, face), face)
    return _premultiply(image, _foreground(small, alpha, face) - small, alpha)


def _shrink(image: Image, probability: Array32) -> tuple[Array32, Array32, float]:
    """Return a picture (h, w, 3) in 0..1 in which edges are found, the probability, the scale."""
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    likely = resize(probability, size, shrink=probability.shape[0] > size[1])
    small = resize(image, size, shrink=scale < 1).astype(np.float32) / np.float32(255)
    return small, likely, scale


def _with_vote(likely: Array32, regions: Regions, scale: float, face: float) -> Array32:
    """Let the parser settle a probability (h, w) where it is neither low nor high.

    Args:
        likely: of the picture made smaller by `scale`.
        regions: in pixels of the picture.
        scale: samples a pixel.
        face: samples of the face's height.
    """
    size = likely.shape[1], likely.shape[0]
    samples = Crop(np.diag([scale, scale, 1.0]), size)
    seen = 1 - regions.mask_in(samples, {BACKGROUND})
    x, y = (side.astype(np.float32) for side in np.ogrid[: size[1], : size[0]][::-1])
    box = corners(regions.placement) * scale
    low, high = box.min(0), box.max(0)
    # a side that the picture's edge cuts off ends no vote
    inside = np.full(likely.shape, np.inf, np.float32)
    for line, first, last, end in zip((x, y), low, high, size, strict=True):
        if first > 0:
            inside = np.minimum(inside, line - np.float32(first))
        if last < end - 1:
            inside = np.minimum(inside, np.float32(last) - line)
    weight = smoothstep(0.0, VOTE_EDGE * face, inside.clip(0, face))
    doubt = 4 * likely * (1 - likely)
    settled = likely + VOTE * doubt * weight * (seen - np.float32(0.5))
    return np.asarray(settled.clip(0, 1), np.float32)


def _find_edges(small: Array32, likely: Array32, face: float) -> Array32:
    """Return alpha (h, w) whose edges are those of a picture (h, w, 3) in 0..1."""
    coarse = np.clip((likely - CERTAIN[0]) / (CERTAIN[1] - CERTAIN[0]), 0, 1).astype(np.float32)
    refined = guided_filter(small, coarse, max(2, round(EDGE_RADIUS * face)), EDGE_SMOOTHNESS)
    return np.asarray(np.clip((refined - EDGE_MARGIN) / (1 - 2 * EDGE_MARGIN), 0, 1), np.float32)


def _without_haze(alpha: Array32, face: float) -> Array32:
    """Fade out alpha (h, w) that is far from what is certain: a wall that resembles the person."""
    low, high = (end * face for end in HAZE)
    return np.asarray(alpha * (1 - smoothstep(low, high, distance_to(alpha >= SURE))), np.float32)


def _divide(alpha: Array32, oval: npt.NDArray[np.bool_]) -> tuple[Array32, Array32 | None]:
    """Divide alpha (h, w) into the person with the face `oval` and others, without fragments."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (alpha > LEAST_PERSON).astype(np.uint8)
    )
    own = np.isin(labels, np.unique(labels[oval & (labels > 0)]))
    large = stats[:, cv2.CC_STAT_AREA] >= LEAST_STRANGER * alpha.size
    large[0] = False
    other = np.isin(labels, np.flatnonzero(large)) & ~own
    seeds = own.astype(np.int32) + 2 * other.astype(np.int32)
    if count > 2:  # what is left belongs to the nearest part: its soft edge, or a fragment
        fragments = (labels > 0) & (seeds == 0)
        seeds = np.where(fragments, 3, seeds).ravel()[nearest_to(labels > 0)[1]]
    else:
        seeds[:] = 1
    mine = np.where(seeds == 1, alpha, np.float32(0))
    theirs = np.where(seeds == 2, alpha, np.float32(0))
    return mine, theirs if other.any() else None


def _continued(share: Array32, face: float) -> Array32:
    """Continue a share (h, w) of those beside a person behind the person."""
    reach = odd_size(2 * BEHIND * face)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    return np.asarray(cv2.dilate(share, disc), np.float32)


def _foreground(small: Array32, alpha: Array32, face: float) -> Array32:
    """Estimate the colours (h, w, 3) of a person without its background's share.

    Blurred twice, at a wide and a narrow window: Forte 2021, "Approximate fast foreground colour
    estimation", eq. 4-7.
    """
    share = alpha[..., None]
    person: Array32 = small
    background: Array32 = small
    for reach in (WIDE, NARROW):
        side = (odd_size(2 * reach * face),) * 2
        of_person = cv2.blur(alpha, side)[..., None]
        near = cv2.blur(person * share, side) / (of_person + np.float32(LITTLE))
        behind = cv2.blur(background * (1 - share), side)
        behind = behind / (1 - of_person + np.float32(LITTLE))
        rest = small - share * near - (1 - share) * behind
        person = np.asarray(np.clip(near + share * rest, 0, 1), np.float32)
        background = np.asarray(behind, np.float32)
    return np.asarray(np.where(share > 1 - LITTLE, small, person), np.float32)


def _premultiply(image: Image, shift: Array32, alpha: Array32) -> Image:
    """Return a picture (H, W, 3) as a person (H, W, 4) with premultiplied colours.

    Args:
        image: the picture.
        shift: (h, w, 3) by which its colours change, in 0..1.
        alpha: (h, w) in 0..1.
    """
    height, width = image.shape[:2]
    opaque = resize(np.asarray(cv2.convertScaleAbs(alpha, alpha=255), np.uint8), (width, height))
    levels = resize(np.asarray(np.rint(shift * 255), np.int16), (width, height))
    person = np.empty((height, width, 4), np.uint8)
    person[..., 3] = opaque
    for top in range(0, height, STRIP):
        rows = slice(top, top + STRIP)
        colour = (levels[rows] + image[rows]).clip(0, 255).astype(np.uint8)
        share = cv2.cvtColor(opaque[rows], cv2.COLOR_GRAY2RGB)
        person[rows, :, :3] = cv2.multiply(colour, share, scale=1 / 255)
    return person
