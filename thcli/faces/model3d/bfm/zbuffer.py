"""Exact Z-buffer of a triangle mesh on the CPU, translated to machine code by Numba.

A pixel belongs to a triangle when its centre lies strictly inside the projected triangle, whatever
its winding. The nearest triangle wins; of equally near ones that of the lowest index. These are
the rules of PyTorch3D's rasteriser without blur (Ravi et al. 2020, arXiv 2007.08501).

The translation happens in the first call of a process and takes a second. It keeps the order and
the rounding of NumPy's float32 operations, and other threads run meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

Corners = npt.NDArray[np.uint32]  # unsigned: Numba looks for negative indices otherwise


def _draw(
    points: Array32,
    corners: Corners,
    colours: Array32,
    first_shown: int,
    image: Array32,
    nearest: Array32,
    triangles: npt.NDArray[np.int32],
) -> None:
    """Draw the visible parts of triangles over an image.

    Args:
        points: (N, 3) column and row in pixels ((0, 0) is the centre of the first pixel) and
            inverse depth, of the vertices. Triangles with an inverse depth of 0 or less are left
            out: they reach behind the camera.
        corners: (F, 3) vertices of the triangles.
        colours: (N, C) colours of the vertices; pixels get perspective-correct mixtures of them.
        first_shown: 0, or 1 when triangle 0 hides what is behind it and is not drawn.
        image: (C, size, size), changed where a triangle is visible.
        nearest: (size, size) inverse depth of what is visible, at first -infinity.
        triangles: (size, size) index of what is visible.
    """
    first, last = np.float32(0), np.float32(len(nearest) - 1)
    for f in range(len(corners)):
        a, b, c = corners[f, 0], corners[f, 1], corners[f, 2]
        xa, xb, xc = points[a, 0], points[b, 0], points[c, 0]
        ya, yb, yc = points[a, 1], points[b, 1], points[c, 1]
        za, zb, zc = points[a, 2], points[b, 2], points[c, 2]
        left, right = np.ceil(max(min(xa, xb, xc), first)), min(max(xa, xb, xc), last)
        top, bottom = np.ceil(max(min(ya, yb, yc), first)), min(max(ya, yb, yc), last)
        if not (left <= right and top <= bottom and min(za, zb, zc) > 0):
            continue
        y = top
        while y <= bottom:
            da, db, dc = ya - y, yb - y, yc - y
            x = left
            while x <= right:
                ea, eb, ec = xa - x, xb - x, xc - x
                # Twice the signed areas between the pixel and the edge that faces each corner.
                # Triangles that share an edge get opposite values of it, exactly, so that no pixel
                # between them is lost or belongs to both.
                p, q, r = eb * dc - ec * db, ec * da - ea * dc, ea * db - eb * da
                if min(p, q, r) > 0 or max(p, q, r) < 0:
                    area = p + q + r
                    p, q, r = p * za, q * zb, r * zc
                    total = p + q + r
                    depth = total / area
                    row, column = np.uint32(y), np.uint32(x)
                    if depth > nearest[row, column]:
                        nearest[row, column] = depth
                        triangles[row, column] = f
                        if f >= first_shown:
                            p, q, r = p / total, q / total, r / total
                            for k in range(len(image)):
                                colour = p * colours[a, k] + q * colours[b, k] + r * colours[c, k]
                                image[k, row, column] = colour
                x += np.float32(1)
            y += np.float32(1)


draw: Callable[[Array32, Corners, Array32, int, Array32, Array32, npt.NDArray[np.int32]], None] = (
    numba.njit(nogil=True, error_model="numpy")(_draw)
)
