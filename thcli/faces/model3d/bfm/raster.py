"""Rasteriser of face models: coloured views, and PNCC images for Real3D-Portrait.

The camera is that of `camera`: at z = 10 decimetres, y up, a field of view of 2 atan(112 / 1015).
A PNCC (projected normalised coordinate code; Zhu et al. 2016, arXiv 1511.07212) colours each vertex
with its normalised coordinates in the mean shape.

Visibility, perspective-correct interpolation and pixel centres are those of PyTorch3D's rasteriser
as the published program uses it: no anti-aliasing, no culling.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32
from thcli.faces.model3d.bfm import zbuffer
from thcli.faces.model3d.bfm.camera import CENTRE, DISTANCE, FOCAL, SIDE
from thcli.faces.model3d.bfm.model import FaceModel3D, Indices

PNCC_SIZE = 512
BACKGROUND = -1
HIDDEN_TRIANGLE = 0
"""The published mask takes triangle 0 of a PNCC for the background, so it is never shown."""


@dataclass(frozen=True, slots=True)
class Raster:
    """Views of a mesh.

    colours: (B, C, size, size) float32, 0 in the background.
    triangles: (B, size, size) int32 index of the visible triangle, -1 in the background.
    """

    colours: Array32
    triangles: npt.NDArray[np.int32]


def rasterise(
    vertices: Array32, triangles: Indices, colours: Array32, size: int = PNCC_SIZE, threads: int = 1
) -> Raster:
    """Draw meshes of one topology.

    Args:
        vertices: (B, N, 3) posed vertices in the model's axes, decimetres.
        triangles: (F, 3) vertices of the triangles.
        colours: (N, C) colours of the vertices, or any other values.
        size: side of the images in pixels.
        threads: frames drawn at once.
    """
    painter = Painter(triangles, colours, size)
    shape = (len(vertices), size, size)
    raster = Raster(
        np.zeros((len(vertices), colours.shape[1], size, size), np.float32),
        np.full(shape, BACKGROUND, np.int32),
    )

    def draw(i: int) -> None:
        painter.draw(vertices[i], raster.colours[i], raster.triangles[i])

    _for_each(draw, len(vertices), threads)
    return raster


class Painter:
    """Topology and colours of a mesh, prepared for many frames.

    triangles, colours, size: as in `rasterise`.
    first_shown: number of the first triangle that is drawn; those before hide what is behind them.
    """

    def __init__(
        self, triangles: Indices, colours: Array32, size: int, first_shown: int = 0
    ) -> None:
        self.size = size
        self._first_shown = first_shown
        self._corners = np.ascontiguousarray(triangles, np.uint32)
        self._colours = np.ascontiguousarray(colours, np.float32)

    def draw(
        self,
        vertices: Array32,
        image: Array32,
        visible_triangles: npt.NDArray[np.int32] | None = None,
    ) -> None:
        """Draw one frame over an image.

        Args:
            vertices: (N, 3) posed, decimetres.
            image: (C, size, size), changed where the mesh is visible.
            visible_triangles: (size, size), receives their indices.
        """
        points = np.ascontiguousarray(project_pixels(vertices, self.size).T)
        nearest = np.full((self.size, self.size), -np.inf, np.float32)
        if visible_triangles is None:
            visible_triangles = np.empty(nearest.shape, np.int32)
        zbuffer.draw(
            points,
            self._corners,
            self._colours,
            self._first_shown,
            image,
            nearest,
            visible_triangles,
        )


class PnccRasteriser:
    """PNCC images of one identity.

    Args:
        model: the face model.
        identity: (80,).
        size: side of the images in pixels.
        threads: frames drawn at once.
    """

    def __init__(
        self, model: FaceModel3D, identity: npt.ArrayLike, size: int = PNCC_SIZE, threads: int = 1
    ) -> None:
        self.size, self._threads = size, threads
        self._neutral = model.vertices(identity, np.zeros(model.exp_base.shape[-1]))[0].ravel()
        by_vertex = model.exp_base.reshape(-1, model.exp_base.shape[-1])
        self._exp_base = np.ascontiguousarray(by_vertex.T)  # halves the time of few expressions
        colours = 2 * model.ncc - 1
        self._painter = Painter(model.open_triangles, colours, size, HIDDEN_TRIANGLE + 1)

    def draw(self, expressions: npt.ArrayLike) -> Array32:
        """Draw expressions (B, 64): (B, 3, size, size) in -1..1, background -1."""
        rows = np.asarray(expressions, np.float32)
        images = np.full((len(rows), 3, self.size, self.size), BACKGROUND, np.float32)
        moved = rows @ self._exp_base
        moved += self._neutral
        vertices = moved.reshape(len(rows), -1, 3)
        _for_each(lambda i: self._painter.draw(vertices[i], images[i]), len(rows), self._threads)
        return images


def rasterise_pncc(
    model: FaceModel3D,
    identity: npt.ArrayLike,
    expressions: npt.ArrayLike,
    size: int = PNCC_SIZE,
    threads: int = 1,
) -> Array32:
    """Draw PNCC images of a head without rotation and translation, as Real3D-Portrait reads them.

    The eyes are open: their closing triangles are left out. The first triangle is never shown, as
    in the published program.

    Args:
        model: the face model.
        identity: (80,).
        expressions: (B, 64).
        size: side of the images in pixels.
        threads: frames drawn at once.

    Returns:
        (B, 3, size, size) float32 in -1..1, background -1.
    """
    return PnccRasteriser(model, identity, size, threads).draw(expressions)


def project_pixels(vertices: Array32, size: int) -> Array32:
    """Project posed vertices (N, 3): (3, N) column, row and inverse depth, float32.

    Column and row are pixels whose centres are whole numbers. Vertices behind the camera have an
    inverse depth of 0 or less.
    """
    points = np.asarray(vertices, np.float32)
    depth = np.float32(DISTANCE) - points[:, 2]
    inverse = 1 / np.where(depth > 0, depth, np.float32(-1))
    scale, middle = np.float32(size * FOCAL / SIDE), np.float32(size * CENTRE / SIDE - 0.5)
    column = middle + scale * points[:, 0] * inverse
    row = middle - scale * points[:, 1] * inverse
    return np.stack([column, row, inverse])


def _for_each(draw: Callable[[int], None], count: int, threads: int) -> None:
    workers = min(threads, count)
    if workers <= 1:
        for i in range(count):
            draw(i)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(draw, range(count)))
