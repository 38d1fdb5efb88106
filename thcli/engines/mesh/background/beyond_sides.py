"""Person beyond the sides of a picture that cut it off.

A head that moves away from such a side brings into view what the picture does not show. Hair and
ears go on in the direction in which their outline meets the side, and end; a body goes on. Their
tone is that beside the edge, mirrored. Their detail is shown again as it is, so that strands keep
their direction; it is drawn out where there is less of it than needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.sampling import box_mean, masked_mean, odd_size, remap, resize

Mask = npt.NDArray[np.bool_]

MARGIN = 0.6  # face heights that are added at a side
HAIR_REACH, SKIN_REACH, BODY_REACH = 0.2, 0.07, 1.2  # face heights by which they go on
BODY_BELOW = (0.1, 0.3)  # face heights below the chin from which what is no hair is the body
EDGE = 3  # columns whose mean the edge is
CUT_ALPHA = 0.5  # of the edge, from which it cuts the person off
THIN = 1.0  # reach of a strand over its width
OUTLINE = 0.12  # face heights over which the direction of an outline is measured
SLOPES = (0.3, 4.0)  # least and greatest widening of an outline, pixels per row
SOFT = (0.03, 0.01)  # face heights inside and outside of an outline over which it fades
LEAST_ROOM = 0.04  # face heights beside the edge that are drawn out where all else is the face
USED_ROOM = 0.85  # of the room beside the edge
TONE = 0.06  # face heights over which colours are averaged as tone
SEAM = (0.0, 0.04)  # face heights from the side over which mirrored detail fades
EVEN = 0.1  # face heights of rows over which classes and room are averaged
OPAQUE = 0.25  # alpha from which a pixel's own colour is known


@dataclass(frozen=True, slots=True)
class WidePerson:
    """A person, continued beyond the sides of its picture.

    person: (H, left + W + right, 4) uint8, premultiplied colour and alpha.
    left, right: columns that were added; 0 where the person does not reach the side.
    serves: pixels over the left and the right side up to which it may be shown.
    """

    person: Image
    left: int
    right: int
    serves: tuple[float, float]


def continue_person(person: Image, mesh: Array, hair: Array32, cloth: Array32 | None) -> WidePerson:
    """Continue a person beyond the sides that cut it off.

    Args:
        person: (H, W, 4) uint8, premultiplied colour and alpha.
        mesh: (468, 3) pixels.
        hair, cloth: (h, w) masks in 0..1 over the whole picture; no cloth where it is not known.
    """
    margin = round(MARGIN * anatomy.face_height(mesh))
    wide = min(margin, person.shape[1])
    cloth = np.zeros_like(hair) if cloth is None else cloth
    columns = max(1, round(wide / (person.shape[1] / hair.shape[1])))
    added = []
    for way in (-1, 1):
        band = person[:, ::way][:, -wide:]
        masks = [mask[:, ::way][:, -columns:] for mask in (hair, cloth)]
        added.append(_continue_right(band, mesh, masks)[:, ::way])
    left, right = (part.shape[1] for part in added)
    whole = np.hstack([added[0], person, added[1]]) if left or right else person
    return WidePerson(whole, left, right, (margin * (left > 0), margin * (right > 0)))


def _continue_right(band: Image, mesh: Array, masks: list[Array32]) -> Image:
    """Return what goes on beyond the right side of a person, (H, m, 4), nothing where none does.

    Args:
        band: (H, n, 4) of the person beside that side, premultiplied.
        mesh: (468, 3) pixels; its rows are used alone.
        masks: (h, w) of hair and cloth in 0..1, over the band.
    """
    height, alpha = anatomy.face_height(mesh), np.asarray(band[..., 3])
    edge = alpha[:, -EDGE:].mean(1, dtype=np.float32) / 255
    if edge.max() < CUT_ALPHA:
        return band[:, :0]
    masks = [resize(mask, (band.shape[1], band.shape[0])) for mask in masks]
    hair, cloth = (mask[:, -EDGE:].mean(1) for mask in masks)
    rows = np.arange(len(band), dtype=np.float32)
    below = smoothstep(*BODY_BELOW, (rows - float(mesh[anatomy.CHIN, 1])) / height)
    body = np.maximum(cloth, below * (1 - hair))
    reach = SKIN_REACH + (HAIR_REACH - SKIN_REACH) * hair
    reach = height * _even(reach + (BODY_REACH - reach) * body, height)
    ends = _outline(alpha >= 255 * CUT_ALPHA, edge, (reach, body), height)
    needed = np.minimum(ends, MARGIN * height)
    last = round(float(needed.max()) + SOFT[1] * height) + 1
    beyond = np.arange(1, last + 1).astype(np.float32)
    kept = 1 - smoothstep(-SOFT[0] * height, SOFT[1] * height, beyond - ends[:, None])
    opaque = edge[:, None] * kept
    room = np.minimum(_room(masks, height), needed.max())
    share = _even(np.minimum(room / np.maximum(needed, 1), 1), height)
    shown = np.ascontiguousarray(band[:, -int(room.max()) - 2 :])
    away = np.asarray(beyond / height, np.float32)
    colour = _texture(shown, room, beyond * share[:, None], away)
    out = np.dstack([colour * opaque[..., None], opaque * 255]) + np.float32(0.5)
    return np.asarray(out, np.uint8)


def _texture(band: Image, room: Array32, way: Array32, beyond: Array32) -> Array32:
    """Return the colours (H, m, 3) of what goes on beyond the right side of a band (H, n, 4).

    Args:
        band: of a person, premultiplied.
        room: (H,) columns of it that may be shown again.
        way: (H, m) columns of it from the side, or from the start of what is shown again.
        beyond: (m,) face heights from the side.
    """
    opacity = band[..., 3].astype(np.float32) / 255
    known = (opacity >= OPAQUE).astype(np.float32)
    colour = np.minimum(band[..., :3] / np.maximum(opacity, np.float32(OPAQUE))[..., None], 255)
    size = odd_size(TONE / float(beyond[0]))
    tone = masked_mean(masked_mean(colour, known, size), known, size)
    colour = np.where(known[..., None] > 0, colour, tone)
    last, rows = band.shape[1] - 1, np.repeat(np.arange(len(band))[:, None], way.shape[1], 1)
    mirrored = np.dstack([last - way, rows]).astype(np.float32)
    again = np.dstack([last - room[:, None] + way, rows]).astype(np.float32)
    detail = remap(np.asarray(colour - tone, np.float32), again)
    other = remap(tone, mirrored) + detail
    beside = remap(np.asarray(colour, np.float32), mirrored)
    shown = beside + smoothstep(*SEAM, beyond)[:, None] * (other - beside)
    return np.asarray(np.clip(shown, 0, 255), np.float32)


def _outline(shown: Mask, edge: Array32, limits: tuple[Array32, Array32], height: float) -> Array32:
    """Return by how many pixels a person goes on in each row, (H,).

    Args:
        shown: (H, W), where the person is.
        edge: (H,) its alpha at the edge.
        limits: (H,) pixels by which it goes on at most, and share of the body, which no strand is.
        height: of the face.
    """
    ends, rows = np.zeros(len(edge), np.float32), np.arange(len(edge))
    cut = np.flatnonzero(edge >= CUT_ALPHA)
    for run in np.split(cut, np.flatnonzero(np.diff(cut) > 1) + 1):
        first, last = int(run[0]), int(run[-1])
        reach, body = (limit[run] for limit in limits)
        if len(run) < OUTLINE * height:
            strand = np.minimum(reach, THIN * len(run))
            reach = strand + body * (reach - strand)
        way = np.full(len(run), np.inf)
        if first > 0:
            way = (rows[run] - first + 1) * _slope(shown[:first][::-1], height)
        if last < len(edge) - 1:
            way = np.minimum(way, (last + 1 - rows[run]) * _slope(shown[last + 1 :], height))
        ends[run] = reach * (1 - np.exp(-way / reach))
    return ends


def _slope(shown: Mask, height: float) -> float:
    """Return how fast an outline widens up to the edge, pixels per row.

    Args:
        shown: (n, W) rows from that beside the cut away from it.
        height: of the face.
    """
    near = shown[: max(2, round(OUTLINE * height))]
    away = np.where(near.any(1), near[:, ::-1].argmax(1), near.shape[1])
    return float(np.clip(away.max() / len(near), *SLOPES))


def _room(masks: list[Array32], height: float) -> Array32:
    """Return the columns of hair or cloth (H, W) beside the right edge that may be shown, (H,)."""
    inside = np.maximum(*masks) > 0.5
    room = np.where(inside.all(1), inside.shape[1], (~inside[:, ::-1]).argmax(1))
    least = cv2.erode(
        np.maximum(room, LEAST_ROOM * height).astype(np.float32)[:, None],
        np.ones((odd_size(EVEN * height), 1), np.uint8),
    )
    return USED_ROOM * _even(np.asarray(least, np.float32)[:, 0], height)


def _even(values: Array32, height: float) -> Array32:
    """Average values (H,) over rows of a picture."""
    column = np.asarray(values, np.float32)[:, None]
    return box_mean(column, odd_size(EVEN * height))[:, 0]
