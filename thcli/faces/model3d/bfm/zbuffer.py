"""Exact Z-buffer of a triangle mesh on the CPU, without a compiled extension.

A pixel belongs to a triangle when its centre lies strictly inside the projected triangle, whatever
its winding. The nearest triangle wins; of equally near ones that of the lowest index. These are
the rules of PyTorch3D's rasteriser without blur (Ravi et al. 2020, arXiv 2007.08501).

Triangles of a face mesh cover one to three pixels. They are grouped by the size of their bounding
boxes, so that all triangles of a group are tested at all pixels of their boxes by a few array
operations. Larger triangles are expanded to a list of (triangle, pixel) pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

Index = npt.NDArray[np.intp]
_GROUPED = 6  # largest side in pixels of a bounding box that is tested as part of a group
_LARGE = _GROUPED + 1
_MAX_PAIRS = 1 << 21  # pairs of large triangles that are tested at once


class Visible(NamedTuple):
    """Visible pixels of one frame.

    pixel: (P,) row * size + column.
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

    def __getitem__(self, chosen: slice | Index) -> _Boxed:
        return _Boxed(
            self.x[:, chosen],
            self.y[:, chosen],
            self.left[chosen],
            self.top[chosen],
            self.width[chosen],
            self.height[chosen],
        )


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
    key = np.minimum(height, _LARGE) * (_LARGE + 1) + np.minimum(width, _LARGE)
    key[(width <= 0) | (height <= 0) | (inverse.min(0) <= 0)] = 0
    order = np.argsort(key.astype(np.uint8), kind="stable")  # a radix sort
    counts = np.bincount(key.astype(np.uint8), minlength=(_LARGE + 1) ** 2)
    order = order[counts[0] :]
    boxed = _Boxed(*(a.take(order, axis=-1) for a in (x, y, left, top, width, height)))
    hits = [hit for hit in _test(boxed, counts, size) if len(hit.position)]
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


def _test(boxed: _Boxed, counts: Index, size: int) -> Iterator[_Hits]:
    """Yield the pixels inside triangles, which are sorted by group.

    counts: triangles of each group, height * (_LARGE + 1) + width; group 0 is left out.
    """
    begin = 0
    for group in np.flatnonzero(counts[1:]) + 1:
        chosen = slice(begin, begin + int(counts[group]))
        begin = chosen.stop
        height, width = divmod(int(group), _LARGE + 1)
        if _LARGE in (height, width):
            yield from _test_large(boxed[chosen], chosen.start, size)
        else:
            yield _test_group(boxed[chosen], chosen.start, (height, width), size)


def _test_group(boxed: _Boxed, start: int, shape: tuple[int, int], size: int) -> _Hits:
    """Test triangles whose boxes have one shape at all pixels of their boxes.

    start: position of the first triangle.
    """
    count = len(boxed.left)
    rows, columns = (np.arange(n, dtype=np.float32)[:, None] for n in shape)
    dx = (boxed.x[:, None] - (boxed.left + columns))[:, None]  # (3, 1, width, n)
    dy = (boxed.y[:, None] - (boxed.top + rows))[:, :, None]  # (3, height, 1, n)
    edges = _edge_functions(dx, dy)
    found = np.flatnonzero(_is_inside(edges))
    ends = np.searchsorted(found, count * np.arange(shape[0] * shape[1] + 1))
    cell = np.repeat(np.arange(len(ends) - 1), np.diff(ends))  # `found` lists cell after cell
    position = found - cell * count
    pixel = (boxed.top.astype(np.intp) * size + boxed.left.astype(np.intp)).take(position)
    pixel += (np.arange(shape[0])[:, None] * size + np.arange(shape[1])).ravel().take(cell)
    values = np.empty((3, len(found)), np.float32)
    for edge, value in zip(edges, values, strict=True):
        edge.ravel().take(found, out=value, mode="clip")  # no index is out of range
    position += start
    return _Hits(position, pixel, values)


def _test_large(boxed: _Boxed, start: int, size: int) -> Iterator[_Hits]:
    """Test triangles of any shape as a list of (triangle, pixel) pairs, in parts."""
    width = boxed.width.astype(np.intp)
    pairs = width * boxed.height.astype(np.intp)
    begin = 0
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
        edges = _edge_functions(dx, dy)
        found = np.flatnonzero(_is_inside(edges))
        yield _Hits(
            owner.take(found) + start,
            (row * size + column).take(found),
            np.stack([edge.take(found) for edge in edges]),
        )
        begin = end


def _edge_functions(dx: Array32, dy: Array32) -> tuple[Array32, Array32, Array32]:
    """Return twice the signed areas between a pixel and the edge that faces each corner.

    dx, dy: (3, ...) corners minus pixel. Triangles that share an edge get opposite values of it,
    exactly, so that no pixel between them is lost or belongs to both.
    """
    first = dx[1] * dy[2]
    first -= dx[2] * dy[1]
    second = dx[2] * dy[0]
    second -= dx[0] * dy[2]
    third = dx[0] * dy[1]
    third -= dx[1] * dy[0]
    return first, second, third


def _is_inside(edges: tuple[Array32, Array32, Array32]) -> npt.NDArray[np.bool_]:
    """Return True where all three edge functions have one sign and none is 0."""
    low = np.minimum(edges[0], edges[1])
    np.minimum(low, edges[2], out=low)
    high = np.maximum(edges[0], edges[1])
    np.maximum(high, edges[2], out=high)
    inside = low > 0
    inside |= high < 0
    return inside


def _nearest(hits: _Hits, order: Index, inverse: Array32, size: int) -> Visible:
    """Keep the nearest triangle of each pixel.

    Args:
        hits: pixels inside triangles.
        order: triangle of each position.
        inverse: (3, F) inverse depth of the corners.
        size: side of the image.
    """
    triangle = order.take(hits.position)
    everyone = np.arange(len(triangle))
    winner = np.full(size * size, -1, np.intp)
    winner[hits.pixel] = everyone
    contenders = np.flatnonzero(winner.take(hits.pixel) != everyone)  # where pixels are shared
    while len(contenders):
        pixels = hits.pixel.take(contenders)
        rivals = winner.take(pixels)
        here, there = (_weigh(hits, triangle, inverse, which)[1] for which in (contenders, rivals))
        wins = here > there
        wins |= (here == there) & (triangle.take(contenders) < triangle.take(rivals))
        contenders = contenders[wins]
        winner[pixels[wins]] = contenders
    pixel = np.flatnonzero(winner >= 0)
    winner = winner.take(pixel)
    return Visible(pixel, triangle.take(winner), _weigh(hits, triangle, inverse, winner)[0])


def _weigh(hits: _Hits, triangle: Index, inverse: Array32, which: Index) -> tuple[Array32, Array32]:
    """Return perspective-correct barycentric coordinates (3, n) and inverse depth (n,) of hits."""
    shares = hits.edges.take(which, axis=1)
    area = shares[0] + shares[1]
    area += shares[2]
    chosen = triangle.take(which)
    for share, depth in zip(shares, inverse, strict=True):
        share *= depth.take(chosen)
    total = shares[0] + shares[1]
    total += shares[2]
    shares /= total
    return shares, total / area
