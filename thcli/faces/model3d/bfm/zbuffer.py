"""Exact Z-buffer of a triangle mesh on the CPU, without a compiled extension.

A pixel belongs to a triangle when its centre lies strictly inside the projected triangle, whatever
its winding. The nearest triangle wins; of equally near ones that of the lowest index. These are
the rules of PyTorch3D's rasteriser without blur (Ravi et al. 2020, arXiv 2007.08501).

Triangles of a face mesh cover one to three pixels. They are grouped by the size of their bounding
boxes, so that all triangles of a group are tested at all pixels of their boxes by a few array
operations. Some boxes are enlarged, because pixels beside a triangle cost less than more groups.
Larger triangles, and those of small groups, are expanded to a list of (triangle, pixel) pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

Index = npt.NDArray[np.intp]
_ENLARGED = np.array([0, 1, 2, 3, 5, 5])  # side in pixels of the box that a group tests
_LARGE = len(_ENLARGED)  # stands for all sides that are too long for a group
_MIXED = (_LARGE + 1) ** 2 - 1  # group of the triangles that are expanded to pairs
_FEW = 3000  # pixels below which a group is not worth its array operations
_MAX_PAIRS = 1 << 21  # pairs of large triangles that are tested at once


class Visible(NamedTuple):
    """Visible pixels of one frame.

    pixel: (P,) row * size + column; some pixels are listed more than once, with equal values.
    triangle: (P,) index of the nearest triangle.
    shares: (3, P) float32 perspective-correct barycentric coordinates.
    """

    pixel: Index
    triangle: Index
    shares: Array32


class _Hits(NamedTuple):
    """Pixels inside triangles: position of the triangle, pixel, edge functions (3, n)."""

    position: Index
    pixel: Index
    edges: Array32


@dataclass(frozen=True, slots=True)
class _Boxed:
    """Projected triangles with a pixel centre in their bounding box.

    Attributes:
        x, y: (3, n) corners in pixels.
        left, top: (n,) first column and row of the box.
        width, height: (n,) columns and rows of the box.
    """

    x: Array32
    y: Array32
    left: Array32
    top: Array32
    width: Array32
    height: Array32


def find_visible(points: Array32, corners: Index, size: int) -> Visible:
    """Find the nearest triangle of each pixel.

    Args:
        points: (3, N) column and row in pixels ((0, 0) is the centre of the first pixel) and
            inverse depth, of the vertices. Triangles with an inverse depth of 0 or less are left
            out: they reach behind the camera.
        corners: (3, F) vertices of the triangles.
        size: side of the image in pixels.
    """
    inverse = points[2].take(corners)
    x, left, width = _extent(points[0].take(corners), size)
    y, top, height = _extent(points[1].take(corners), size)
    if points[2].min(initial=1) <= 0:
        width[inverse.min(0) <= 0] = 0
    key = np.minimum(height, _LARGE) * (_LARGE + 1) + np.minimum(width, _LARGE)
    key, counts = _merge_groups(key.astype(np.uint8), size)
    order = np.argsort(key, kind="stable")  # a radix sort
    order = order[counts[0] :]
    boxed = _Boxed(*(a.take(order, axis=-1) for a in (x, y, left, top, width, height)))
    hits = [*_test_groups(boxed, counts, size), *_test_pairs(boxed, int(counts[_MIXED]), size)]
    if not hits:
        empty = np.zeros(0, np.intp)
        return Visible(empty, empty, np.zeros((3, 0), np.float32))
    position, pixel = (np.concatenate([hit[i] for hit in hits]) for i in range(2))
    edges = np.concatenate([hit.edges for hit in hits], axis=1)
    return _nearest(_Hits(position, pixel, edges), order, inverse, size)


def _extent(corner: Array32, size: int) -> tuple[Array32, Array32, Array32]:
    """Return corners (3, F) along one axis, first pixel and number of pixels of each triangle."""
    low = np.minimum(np.minimum(corner[0], corner[1]), corner[2])
    high = np.maximum(np.maximum(corner[0], corner[1]), corner[2])
    first = np.clip(np.ceil(low), 0, size)
    last = np.clip(np.floor(high), -1, size - 1)
    return corner, first, np.maximum(last - first + 1, 0)


def _merge_groups(key: npt.NDArray[np.uint8], size: int) -> tuple[npt.NDArray[np.uint8], Index]:
    """Return the group (F,) of each triangle, and the number of triangles of each group.

    A group is 0 for triangles without a pixel in their box, the height times (_LARGE + 1) plus the
    width of the box that is tested, or _MIXED for large boxes and small groups.

    Args:
        key: (F,) height * (_LARGE + 1) + width of each triangle's own box, at most _LARGE each.
        size: side of the image.
    """
    height, width = np.divmod(np.arange(_MIXED + 1), _LARGE + 1)
    large = (height == _LARGE) | (width == _LARGE) | (size < _ENLARGED[-1])
    height, width = (_ENLARGED.take(side, mode="clip") for side in (height, width))
    group = np.where(large, _MIXED, height * (_LARGE + 1) + width)
    counts = np.bincount(key, minlength=_MIXED + 1)
    together = np.bincount(group, counts)
    group[together[group] * height * width < _FEW] = _MIXED
    group[height * width == 0] = 0
    merged = np.bincount(group, counts, minlength=_MIXED + 1).astype(np.intp)
    return group.astype(np.uint8).take(key), merged


def _test_groups(boxed: _Boxed, counts: Index, size: int) -> Iterator[_Hits]:
    """Yield the pixels inside triangles whose boxes have one shape, group after group.

    Args:
        boxed: triangles, sorted by group.
        counts: triangles of each group; group 0 is left out.
        size: side of the image.
    """
    begin = 0
    for group in np.flatnonzero(counts[1:_MIXED]) + 1:
        chosen = slice(begin, begin + int(counts[group]))
        height, width = divmod(int(group), _LARGE + 1)
        left = np.minimum(boxed.left[chosen], size - width)  # an enlarged box lies in the image too
        top = np.minimum(boxed.top[chosen], size - height)
        shape = height, width
        found, edges = _test_boxes(boxed.x[:, chosen], boxed.y[:, chosen], left, top, shape)
        starts = (chosen.stop - begin) * np.arange(height * width + 1)
        listed = np.diff(np.searchsorted(found, starts))  # `found` lists cell after cell
        found -= np.repeat(starts[:-1], listed)
        pixel = (top * size + left).astype(np.intp).take(found)
        cells = np.arange(height)[:, None] * size + np.arange(width)
        pixel += np.repeat(cells.ravel(), listed)
        found += begin
        yield _Hits(found, pixel, edges)
        begin = chosen.stop


def _test_boxes(
    x: Array32, y: Array32, left: Array32, top: Array32, shape: tuple[int, int]
) -> tuple[Index, Array32]:
    """Test triangles at all pixels of boxes of one shape.

    Args:
        x, y: (3, T) corners in pixels.
        left, top: (T,) first column and row of the boxes.
        shape: height and width of the boxes.

    Returns:
        Indices (n,) into (height, width, T), flat, of the pixels inside, and their edge functions
            (3, n).
    """
    height, width = shape
    rows, columns = (np.arange(n, dtype=np.float32)[:, None] for n in shape)
    dx = (x[:, None] - (left + columns))[:, None]  # (3, 1, width, T)
    dy = (y[:, None] - (top + rows))[:, :, None]  # (3, height, 1, T)
    edges = np.empty((3, height, width, len(left)), np.float32)
    found = np.flatnonzero(_is_inside(_edge_functions(dx, dy, edges)))
    return found, edges.reshape(3, -1).take(found, axis=1)


def _test_pairs(boxed: _Boxed, count: int, size: int) -> Iterator[_Hits]:
    """Test the last `count` triangles as a list of (triangle, pixel) pairs, in parts."""
    width = boxed.width.astype(np.intp)
    pairs = width * boxed.height.astype(np.intp)
    begin = len(pairs) - count
    while begin < len(pairs):
        total = np.cumsum(pairs[begin:])
        end = begin + max(1, int(np.searchsorted(total, _MAX_PAIRS, side="right")))
        owner = np.repeat(np.arange(begin, end), pairs[begin:end])
        before = np.repeat(total[: end - begin] - pairs[begin:end], pairs[begin:end])
        within = np.arange(len(owner)) - before
        row, column = np.divmod(within, width.take(owner))
        row += boxed.top.astype(np.intp).take(owner)
        column += boxed.left.astype(np.intp).take(owner)
        dx = boxed.x.take(owner, axis=1) - column.astype(np.float32)
        dy = boxed.y.take(owner, axis=1) - row.astype(np.float32)
        edges = _edge_functions(dx, dy, np.empty_like(dx))
        found = np.flatnonzero(_is_inside(edges))
        pixel = (row * size + column).take(found)
        yield _Hits(owner.take(found), pixel, edges.take(found, axis=1))
        begin = end


def _edge_functions(dx: Array32, dy: Array32, out: Array32) -> Array32:
    """Return twice the signed areas between a pixel and the edge that faces each corner.

    Triangles that share an edge get opposite values of it, exactly, so that no pixel between them
    is lost or belongs to both.

    Args:
        dx, dy: (3, ...) corners minus pixel.
        out: (3, ...) broadcast shape, receives the values and is returned.
    """
    part = np.empty_like(out[0])
    for edge, first, second in zip(out, (1, 2, 0), (2, 0, 1), strict=True):
        np.multiply(dx[first], dy[second], out=edge)
        edge -= np.multiply(dx[second], dy[first], out=part)
    return out


def _is_inside(edges: Array32) -> npt.NDArray[np.bool_]:
    """Return True where all three edge functions have one sign and none is 0."""
    above, below = edges > 0, edges < 0
    inside: npt.NDArray[np.bool_] = above[0]
    inside &= above[1]
    inside &= above[2]
    negative = below[0]
    negative &= below[1]
    negative &= below[2]
    inside |= negative
    return inside


def _nearest(hits: _Hits, order: Index, inverse: Array32, size: int) -> Visible:
    """Keep the nearest triangle of each pixel, and list it in place of those behind it.

    Args:
        hits: pixels inside triangles; their edge functions are overwritten.
        order: triangle of each position.
        inverse: (3, F) inverse depth of the corners.
        size: side of the image.
    """
    triangle = order.take(hits.position)
    everyone = np.arange(len(triangle), dtype=np.int32)
    winner = np.empty(size * size, np.int32)
    winner[hits.pixel] = everyone
    shared = np.flatnonzero(winner.take(hits.pixel) != everyone)
    contenders, first = shared, winner.take(hits.pixel.take(shared))
    while len(contenders):
        pixels = hits.pixel.take(contenders)
        rivals = winner.take(pixels)
        here, there = (
            _weigh(hits.edges.take(which, axis=1), triangle.take(which), inverse)[1]
            for which in (contenders, rivals)
        )
        wins = here > there
        wins |= (here == there) & (triangle.take(contenders) < triangle.take(rivals))
        contenders = contenders[wins]
        winner[pixels[wins]] = contenders
    rivals = np.concatenate([shared, first])
    winners = winner.take(hits.pixel.take(rivals))
    triangle[rivals] = triangle.take(winners)
    hits.edges[:, rivals] = hits.edges.take(winners, axis=1)
    return Visible(hits.pixel, triangle, _weigh(hits.edges, triangle, inverse)[0])


def _weigh(edges: Array32, triangle: Index, inverse: Array32) -> tuple[Array32, Array32]:
    """Return perspective-correct barycentric coordinates and inverse depth of hits.

    Args:
        edges: (3, n) edge functions, overwritten by the coordinates.
        triangle: (n,) index.
        inverse: (3, F) inverse depth of the corners.

    Returns:
        (3, n) coordinates and (n,) inverse depth.
    """
    area = edges[0] + edges[1]
    area += edges[2]
    for share, depth in zip(edges, inverse, strict=True):
        share *= depth.take(triangle)
    total = edges[0] + edges[1]
    total += edges[2]
    edges /= total
    return edges, total / area
