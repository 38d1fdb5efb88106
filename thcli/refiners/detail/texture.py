"""Source texture of the transfer, placed over coarse crops by the mesh engine's warp."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import optical_flow, pixel_positions, smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy, raster, warp
from thcli.engines.mesh.head.outline import find_outline
from thcli.engines.mesh.sampling import box_mean, remap, resize
from thcli.engines.mesh.surroundings import Surroundings
from thcli.refiners.detail.steadiness import ReducedCrop
from thcli.refiners.shared import bands

FLOW_SIDE = 256  # pixels of the crops between which the residual flow is estimated
_FLOW_BLUR = 1.6  # pixels of them: source and coarse crop are equally blurred then
_FLOW_SMOOTHING = 3.0  # pixels of them
_CENTRE = np.array([0.5, 0.5, 0.0])  # of a pixel, from its corner
_MAX_FLOW = 0.04  # of the side; more is no correction of the mesh's warp
_TURNED = (0.2, 0.5)  # area in the source over the area in the coarse crop
_HOLE_BORDER = 0.01  # of the side, soft border of the holes of eyes and mouth


@dataclass(frozen=True, slots=True)
class Texture:
    """A crop of the source that shows as much as the coarse crops.

    image: (M, M, 3) uint8.
    mesh: (468, 3) float64, pixels of `image`.
    weight: (M, M) float32 in 0..1, 0 where the source has no pixels.
    reduced: (FLOW_SIDE, FLOW_SIDE, 3) uint8 of `image`.
    reduced_mesh: (468, 3) pixels of it.
    luma: (M, M) float32 of `image`, levels of 255.
    """

    image: Image
    mesh: Array
    weight: Array32
    reduced: Image = field(init=False)
    reduced_mesh: Array = field(init=False)
    luma: Array32 = field(init=False)

    def __post_init__(self) -> None:
        reduced = resize(self.image, (FLOW_SIDE, FLOW_SIDE), shrink=True)
        object.__setattr__(self, "reduced", reduced)
        object.__setattr__(self, "reduced_mesh", _reduced_mesh(self.mesh, len(self.image)))
        object.__setattr__(self, "luma", bands.to_grey(self.image))


@dataclass(frozen=True, slots=True)
class PlacedTexture:
    """Placement of a texture over a coarse crop.

    visibility: (FLOW_SIDE, FLOW_SIDE) float32 in 0..1, 0 where the source does not show the
        surface.
    reduced: crop and positions in FLOW_SIDE pixels.
    """

    visibility: Array32
    reduced: ReducedCrop


def place_texture(
    texture: Texture, coarse: Image, mesh: Array, frame_from_crop: Array
) -> PlacedTexture:
    """Place a texture over a coarse crop.

    The mesh engine's warp comes first, optical flow corrects the rest.

    Args:
        texture: of the source.
        coarse: (N, N, 3) uint8 crop.
        mesh: (468, 3) pixels of the crop.
        frame_from_crop: (3, 3) pixels.
    """
    side = coarse.shape[0]
    source, target = texture.reduced_mesh, _reduced_mesh(mesh, side)
    surroundings = Surroundings(find_outline(source), float(FLOW_SIDE - 1), matte=False)
    points = warp.TexturePositions(source[:, :2], source[:, :2])
    size = (FLOW_SIDE, FLOW_SIDE)
    found = warp.build_map(source, surroundings, target, points, size, warp.map_step(target))
    positions, visibility = pixel_positions(FLOW_SIDE).copy(), np.ones(size, np.float32)
    if found is None:
        visibility[:] = 0
    else:
        _combine(positions, found.displacement, found.grid, np.add)
        shares = _visible_shares(source, target)
        seen = np.where(found.ids >= 0, shares[found.ids], 1).astype(np.float32)
        _combine(visibility, box_mean(seen, 5), found.face, np.multiply)
        visibility *= _outside_of_mouth(target, FLOW_SIDE)
    step = texture.image.shape[0] / FLOW_SIDE
    half = np.float32(0.5)
    positions = (positions + half) * np.float32(step) - half
    own = resize(coarse, size, shrink=True)
    blurred = _blur(own)
    placed = _blur(_place_reduced(texture, positions))
    flow = _residual_flow(blurred, placed) * np.float32(FLOW_SIDE)
    moved = remap(positions, pixel_positions(FLOW_SIDE) + flow)
    scale = side / FLOW_SIDE
    crop_from_reduced = np.array(
        [[scale, 0, scale / 2 - 0.5], [0, scale, scale / 2 - 0.5], [0, 0, 1]]
    )
    frame_from_reduced = frame_from_crop @ crop_from_reduced
    shown = _place_reduced(texture, moved)
    reduced = ReducedCrop(own, shown, blurred, moved, frame_from_reduced, step)
    return PlacedTexture(visibility, reduced)


def enlarge_positions(positions: Array32, texture: Texture, side: int) -> Array32:
    """Interpolate positions of a reduced crop for a crop of `side` pixels, (side, side, 2).

    Args:
        positions: (n, n, 2) float32, pixels of the texture.
        texture: of the source.
        side: pixels.
    """
    displacement = positions - _unmoved(len(positions), texture)
    return np.asarray(resize(displacement, (side, side)) + _unmoved(side, texture), np.float32)


def _unmoved(side: int, texture: Texture) -> Array32:
    """Return the positions (side, side, 2) in a texture that fills the crop."""
    half, step = np.float32(0.5), np.float32(texture.image.shape[0] / side)
    return np.asarray((pixel_positions(side) + half) * step - half, np.float32)


def _reduced_mesh(mesh: Array, side: int) -> Array:
    """Return a mesh of a crop of `side` pixels in pixels of its reduced crop."""
    return np.asarray((mesh + _CENTRE) * (FLOW_SIDE / side) - _CENTRE)


def _place_reduced(texture: Texture, positions: Array32) -> Image:
    """Sample the reduced texture at reduced positions, (FLOW_SIDE, FLOW_SIDE, 3) uint8."""
    half, ratio = np.float32(0.5), np.float32(texture.image.shape[0] / FLOW_SIDE)
    return remap(texture.reduced, (positions + half) / ratio - half)


def _blur(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), _FLOW_BLUR), np.uint8)


def _residual_flow(own: Image, placed: Image) -> Array32:
    """Estimate the flow between blurred images, shares of the side; it is smooth and limited."""
    flow = optical_flow(own, placed) / np.float32(FLOW_SIDE)
    flow = np.asarray(cv2.GaussianBlur(flow, (0, 0), _FLOW_SMOOTHING), np.float32)
    length = np.maximum(np.hypot(flow[..., 0], flow[..., 1]), np.float32(1e-9))
    flow *= np.minimum(1, np.float32(_MAX_FLOW) / length)[..., None]
    return flow


def _visible_shares(source: Array, target: Array) -> Array32:
    """Return 0..1 for each triangle: 0 where the source shows it from the side, or not at all."""
    before = anatomy.doubled_areas(source) * anatomy.FRONTAL_SIGNS
    after = anatomy.doubled_areas(target) * anatomy.FRONTAL_SIGNS
    share = smoothstep(*_TURNED, before / np.maximum(after, 1e-3)) * (after > 0)
    share[: anatomy.HOLE_TRIANGLE_COUNT] = 1  # lids and lips open and close
    return np.asarray(share, np.float32)


def _outside_of_mouth(mesh: Array, side: int) -> npt.NDArray[np.float32]:
    """Return (N, N) 0..1: 0 between the lips, whose inside is another one in each frame."""
    out = np.ones((side, side), np.float32)
    lips, reach = mesh[anatomy.LIPS, :2], round(8 * _HOLE_BORDER * side)
    low = np.clip(np.floor(lips.min(0)) - reach, 0, side).astype(int)
    high = np.clip(np.ceil(lips.max(0)) + reach, low, side).astype(int)
    mask = np.zeros((high - low)[::-1], np.uint8)
    if mask.size:
        corners = np.rint((lips - low) * 16).astype(np.int32)
        cv2.fillPoly(mask, [corners], (255,), cv2.LINE_8, 4)
        blurred = cv2.GaussianBlur(mask, (0, 0), _HOLE_BORDER * side)
        part = np.minimum(2 * blurred.astype(np.float32) / 255, 1)
        out[low[1] : high[1], low[0] : high[0]] -= part
    return out


def _combine(out: Array32, samples: Array32, grid: raster.SampleGrid, operation: np.ufunc) -> None:
    """Upsample the samples of a grid and combine them with the pixels that they cover, in place."""
    side, step = out.shape[0], grid.step
    x0, y0 = max(grid.x0, 0), max(grid.y0, 0)
    x1, y1 = min(grid.x0 + grid.columns * step, side), min(grid.y0 + grid.rows * step, side)
    if x1 <= x0 or y1 <= y0:
        return
    size = (grid.columns * step, grid.rows * step)
    large = cv2.resize(samples, size, interpolation=cv2.INTER_LINEAR)
    part = large[y0 - grid.y0 : y1 - grid.y0, x0 - grid.x0 : x1 - grid.x0]
    view = out[y0:y1, x0:x1]
    operation(view, part, out=view)
