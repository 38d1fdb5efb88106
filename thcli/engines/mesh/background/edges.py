"""Samples of a person, who goes on beyond a picture's edges where they cut it off."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from thcli.core.types import Array32, Image
from thcli.engines.mesh.background import blocks
from thcli.engines.mesh.sampling import REFLECT, merge_positions, remap

STRIP = 128  # rows at a time: fits the cache, and bounds the memory at 4K


def sample_block(person: Image, positions: Array32, kind: int) -> Image:
    """Sample a person's pixels at positions (h, w, 2) of a block of a kind."""
    sample = sample_person if kind == blocks.LEAVES else sample_mirrored
    return sample(person, positions)


def sample_person(person: Image, positions: Array32) -> Image:
    """Sample a person's pixels, and mirrored ones beyond the picture's edges.

    The person goes on only where the edge cuts it off. Beside and above, what is mirrored lies over
    the edge's repeated pixels and takes their alpha, so that the person keeps its width.

    Args:
        person: (H, W, 4) uint8, premultiplied colour and alpha.
        positions: (h, w, 2) float32 pixels.
    """
    size = person.shape[1], person.shape[0]
    sampled = np.empty((*positions.shape[:2], 4), np.uint8)
    for first in range(0, len(positions), STRIP):
        part = positions[first : first + STRIP]
        within = cv2.inRange(part, (0.0, 0.0), (size[0] - 1.0, size[1] - 1.0))
        left, top, width, height = cv2.boundingRect(cv2.bitwise_not(within))
        shown = sampled[first : first + STRIP]
        if not width:
            shown[:] = sample_mirrored(person, part)
            continue
        # within the picture, which is sampled several times as fast as beyond its edges
        leaving = slice(top, top + height), slice(left, left + width)
        folded = part.copy()
        x, y = (np.asarray(line, np.float32) for line in cv2.split(part[leaving]))
        inside = (_fold(line, side) for line, side in zip((x, y), size, strict=True))
        folded[leaving] = merge_positions(*inside)
        shown[:] = sample_mirrored(person, folded)
        shown = shown[leaving]
        for beyond in _leaves(x, y, size):
            left, top, width, height = cv2.boundingRect(beyond)
            block = slice(top, top + height), slice(left, left + width)
            at_edge = merge_positions(
                *(line[block].clip(0, side - 1) for line, side in zip((x, y), size, strict=True))
            )
            here = remap(person, at_edge)
            cv2.copyTo(_over_edge(shown[block], here), beyond[block], shown[block])
    return sampled


def sample_mirrored(
    person: Image, positions: Array32, interpolation: int = cv2.INTER_LINEAR
) -> Image:
    """Sample a person's pixels, mirrored beyond every edge."""
    return remap(person, positions, REFLECT, interpolation)


def _fold(line: Array32, side: int) -> Array32:
    """Mirror positions along one axis into a picture at its first and last pixel."""
    inside = np.abs(line)
    return np.minimum(inside, np.float32(2 * side - 2) - inside, out=inside)


def _over_edge(mirrored: Image, edge: Image) -> Image:
    """Lay mirrored pixels (h, w, 4) over those of the edge, with the alpha of the edge."""
    alphas = [cv2.extractChannel(picture, 3) for picture in (mirrored, edge)]
    covers = np.asarray(
        cv2.threshold(cv2.bitwise_and(*alphas), 254, 255, cv2.THRESH_BINARY)[1], np.uint8
    )
    out = np.asarray(cv2.bitwise_and(mirrored, cv2.merge([covers] * 4)), np.uint8)
    partly = cv2.subtract(alphas[1], covers)
    left, top, width, height = cv2.boundingRect(partly)
    if width:
        soft = slice(top, top + height), slice(left, left + width)
        above, alpha = mirrored[soft], alphas[1][soft]
        behind = cv2.merge([cv2.bitwise_not(alphas[0][soft])] * 4)
        over = cv2.add(above, cv2.multiply(edge[soft], behind, scale=1 / 255))
        opaque = np.maximum(cv2.extractChannel(over, 3), 1)
        share = cv2.divide(alpha, opaque, dtype=cv2.CV_32F)
        cv2.multiply(over, cv2.merge([share] * 4), over, dtype=cv2.CV_8U)
        cv2.copyTo(cv2.insertChannel(alpha, over, 3), partly[soft], out[soft])
    return out


def _leaves(x: Array32, y: Array32, size: tuple[int, int]) -> Iterator[Image]:
    """Yield which positions (h, w) lie left of, right of or else above a picture of a size.

    Each (h, w) uint8, 0 or 1, and none without any.
    """
    beside = np.zeros(x.shape, np.uint8)
    least, most = cv2.minMaxLoc(x)[:2]
    if least < -blocks.SLACK:
        left = (x < -blocks.SLACK).view(np.uint8)
        beside |= left
        yield left
    if most > size[0] - 1 + blocks.SLACK:
        right = (x > size[0] - 1 + blocks.SLACK).view(np.uint8)
        beside |= right
        yield right
    if cv2.minMaxLoc(y)[0] < -blocks.SLACK:
        above = (y < -blocks.SLACK).view(np.uint8) & (1 - beside)
        if above.any():
            yield above
