"""The rasteriser of `raster` on a device of torch, with the same numbers.

It lists all (triangle, pixel) pairs of bounding boxes and keeps the nearest of each pixel by one
atomic maximum. It is meant for a GPU; on the CPU `raster` is several times faster.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from thcli.faces.model3d.bfm.camera import CENTRE, DISTANCE, FOCAL, SIDE
from thcli.faces.model3d.bfm.model import FaceModel3D
from thcli.faces.model3d.bfm.raster import BACKGROUND, HIDDEN_TRIANGLE, PNCC_SIZE

_PAIRS = 1 << 24  # pairs that are tested at once
_LOW_BITS = 32


class TensorRaster(NamedTuple):
    """Views of a mesh: colours (B, C, size, size), triangles (B, size, size) int64, -1 for none."""

    colours: Tensor
    triangles: Tensor


class _Scene(NamedTuple):
    """Projected triangles of all frames: corners (3, B * F), boxes (B * F,)."""

    column: Tensor
    row: Tensor
    inverse: Tensor
    left: Tensor
    top: Tensor
    width: Tensor
    pairs: Tensor


def rasterise_tensor(
    vertices: Tensor, triangles: Tensor, colours: Tensor, size: int = PNCC_SIZE
) -> TensorRaster:
    """Draw meshes as `raster.rasterise` does.

    Args:
        vertices: (B, N, 3) float32 posed, decimetres.
        triangles: (F, 3) int64.
        colours: (N, C) float32.
        size: side of the images in pixels.
    """
    frames, faces = len(vertices), len(triangles)
    scene = _project(vertices, triangles, size)
    best = torch.full((frames * size * size,), -1, dtype=torch.int64, device=vertices.device)
    first, ends = 0, scene.pairs.cumsum(0).cpu()
    while first < len(ends):  # large scenes in parts
        before = int(ends[first - 1]) if first else 0
        stop = int(torch.searchsorted(ends, before + _PAIRS, right=True))
        stop = max(first + 1, stop)
        _keep_nearest(scene, torch.arange(first, stop, device=best.device), (faces, size), best)
        first = stop
    pixel = (best >= 0).nonzero()[:, 0]
    triangle = (1 << _LOW_BITS) - 1 - (best[pixel] & (1 << _LOW_BITS) - 1)
    frame = pixel // (size * size)
    shares, _ = _weigh(scene, frame * faces + triangle, pixel % (size * size), size)
    corner_colours = colours[triangles[triangle]]  # (P, 3, C)
    values = shares[0][:, None] * corner_colours[:, 0]
    values = values + shares[1][:, None] * corner_colours[:, 1]
    values = values + shares[2][:, None] * corner_colours[:, 2]
    images = vertices.new_zeros(frames * size * size, colours.shape[1])
    images[pixel] = values
    visible = best.new_full(best.shape, BACKGROUND)
    visible[pixel] = triangle
    return TensorRaster(
        images.view(frames, size, size, -1).permute(0, 3, 1, 2).contiguous(),
        visible.view(frames, size, size),
    )


class TensorPnccRasteriser:
    """PNCC images of one identity on a device; as `raster.PnccRasteriser`.

    Args:
        model: the face model.
        identity: (80,).
        device: where the images are made.
        size: side of the images in pixels.
    """

    def __init__(
        self,
        model: FaceModel3D,
        identity: npt.ArrayLike,
        device: torch.device,
        size: int = PNCC_SIZE,
    ) -> None:
        neutral = model.vertices(identity, np.zeros(model.exp_base.shape[-1]))[0].ravel()
        self.size = size
        self._neutral = torch.from_numpy(neutral).to(device)
        self._exp_base = torch.from_numpy(model.exp_base).to(device).flatten(0, 1).T
        self._triangles = torch.from_numpy(model.open_triangles).to(device)
        self._colours = torch.from_numpy(2 * model.ncc - 1).to(device)

    def draw(self, expressions: Tensor) -> Tensor:
        """Draw expressions (B, 64): (B, 3, size, size) in -1..1, background -1."""
        rows = expressions.to(self._neutral)
        vertices = (self._neutral + rows @ self._exp_base).view(len(rows), -1, 3)
        raster = rasterise_tensor(vertices, self._triangles, self._colours, self.size)
        seen = raster.triangles > HIDDEN_TRIANGLE
        return raster.colours.where(seen[:, None], raster.colours.new_tensor(BACKGROUND))


def _project(vertices: Tensor, triangles: Tensor, size: int) -> _Scene:
    """Project vertices as `raster.project_pixels` does, and find the triangles' boxes."""
    depth = DISTANCE - vertices[..., 2]
    inverse = 1 / torch.where(depth > 0, depth, -1.0)
    scale, middle = size * FOCAL / SIDE, size * CENTRE / SIDE - 0.5
    column = middle + scale * vertices[..., 0] * inverse
    row = middle - scale * vertices[..., 1] * inverse
    corners = triangles.T  # (3, F)
    x, y, z = (values[:, corners].transpose(0, 1).flatten(1) for values in (column, row, inverse))
    left, right = (edge.long() for edge in _extent(x, size))
    top, bottom = (edge.long() for edge in _extent(y, size))
    width, height = (right - left + 1).clamp(min=0), (bottom - top + 1).clamp(min=0)
    pairs = torch.where(z.amin(0) > 0, width * height, 0)
    return _Scene(x, y, z, left, top, width, pairs)


def _extent(corner: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the first and the last pixel of triangles along one axis."""
    return (
        corner.amin(0).ceil().clamp(0, size),
        corner.amax(0).floor().clamp(-1, size - 1),
    )


def _keep_nearest(scene: _Scene, chosen: Tensor, shape: tuple[int, int], best: Tensor) -> None:
    """Merge triangles into `best`: (B * size * size,) inverse depth and triangle as one key.

    Args:
        scene: all triangles.
        chosen: (K,) triangles to merge.
        shape: triangles of a frame, side of the image.
        best: changed.
    """
    faces, size = shape
    pairs = scene.pairs[chosen]
    owner = chosen.repeat_interleave(pairs)
    within = torch.arange(len(owner), device=owner.device)
    within -= (pairs.cumsum(0) - pairs).repeat_interleave(pairs)
    width = scene.width[owner]
    pixel = (scene.top[owner] + within // width) * size + scene.left[owner] + within % width
    edges = _edge_functions(scene, owner, pixel, size)
    low, high = edges.amin(0), edges.amax(0)
    inside = ((low > 0) | (high < 0)).nonzero()[:, 0]
    owner, pixel = owner[inside], pixel[inside]
    nearness = _weigh(scene, owner, pixel, size)[1]
    # bits of positive floats are ordered as the floats are; of equals the lowest triangle wins
    low_half = (1 << _LOW_BITS) - 1 - owner % faces
    key = (nearness.view(torch.int32).long() << _LOW_BITS) | low_half
    best.scatter_reduce_(0, owner // faces * size * size + pixel, key, "amax")


def _edge_functions(scene: _Scene, owner: Tensor, pixel: Tensor, size: int) -> Tensor:
    """Return the three edge functions (3, n) of triangles at pixels; see `zbuffer`."""
    dx = scene.column[:, owner] - (pixel % size).float()
    dy = scene.row[:, owner] - (pixel // size).float()
    products = [dx[i] * dy[j] - dx[j] * dy[i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return torch.stack(products)


def _weigh(scene: _Scene, owner: Tensor, pixel: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return perspective-correct barycentric coordinates (3, n) and inverse depth (n,)."""
    edges = _edge_functions(scene, owner, pixel, size)
    area = edges[0] + edges[1] + edges[2]
    weights = edges * scene.inverse[:, owner]
    total = weights[0] + weights[1] + weights[2]
    return weights / total, total / area
