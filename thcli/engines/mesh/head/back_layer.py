"""The back of a head behind the person of a frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.background import blocks
from thcli.engines.mesh.background.blocks import Block
from thcli.engines.mesh.background.edges import sample_block
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.background.windows import pixels_of, upsample_block
from thcli.engines.mesh.compose import source_positions
from thcli.engines.mesh.head.back_of_head import (
    FINE,
    FRINGE,
    HALF,
    SAMPLES,
    BackOfHead,
    HeadSide,
    Texture,
)
from thcli.engines.mesh.head.outline import fit_rigid_head, sine_of_yaw
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import (
    REFLECT,
    box_mean,
    merge_positions,
    mix,
    odd_size,
    remap,
    to_levels,
)
from thcli.engines.mesh.warp import WarpMap

TURN = (0.06, 0.2)  # sine of the turn by which a side comes nearer: not shown, shown
REACH = (-1.1, 1.3)  # face heights of what is shown below the middle of the axis
STILL = (0.35, 0.9)  # the same: it follows the head, it stays with the body
LEAST = 1 / 255  # share that shows
# Face heights from the axis from which the near side is shown; less for each below its middle: a
# neck stays beside the axis of a head that moves
BESIDE, BELOW = 0.15, 2.0
EDGE, LEAST_EDGE = 0.012, 1.5  # face heights over which the outline is soft, pixels at least
# Mean alpha around a pixel of a person's edge, in which the wall's light is: none of it shows, all;
# face heights around it, of an ear, and of the head above it, whose edge is darker than what is
# beside it; face heights above the ear over which one becomes the other
PERSON, AROUND, ABOVE_EAR = (0.6, 0.98), (0.012, 0.04), (0.02, 0.12)
NO_PERSON = (0.7, 0.95)  # probability of a background from which it is none of the person's
HAIRLINE = (0.14, 0.0)  # face heights above the ear's end over which hair ends in the neck


@dataclass(frozen=True, slots=True)
class _Pose:
    """Pose of a head's axis in a frame.

    axis: (2,) pixels of its middle.  along: (2, 2) unit vectors to the right and down along the
    face.  height: of the face in pixels, of a face that is not turned.
    """

    axis: Array
    along: Array
    height: float

    def measure(self, pixels: Array32) -> Array32:
        """Return face heights to the right and down from the axis of pixels (..., 2)."""
        matrix = (self.along / self.height).astype(np.float32)
        return np.asarray((pixels - self.axis.astype(np.float32)) @ matrix.T, np.float32)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A head in a frame: the pose of its axis, and the samples of the frame's map.

    positions: (rows, columns, 2) float32 source pixels of the samples.
    """

    pose: _Pose
    grid: SampleGrid
    positions: Array32


def render(
    frame: tuple[Image, Image | None],
    back: BackOfHead,
    layers: MatteLayers,
    meshes: tuple[Array, Array],
    warp_map: WarpMap,
) -> None:
    """Render what a turn shows of the back of a head behind the person of a frame, in place.

    Args:
        frame: (H, W, 3) uint8, and the alpha (H, W) uint8 of its person or None.
        back: of the source's head.
        layers: of the source.
        meshes: (468, 3) of source and target.
        warp_map: of the frame.
    """
    source, target = meshes
    turn = sine_of_yaw(target) - back.sine  # positive: the side on the image's left comes nearer
    shares = [float(smoothstep(*TURN, -each.side * turn)) for each in back.sides]
    if max(shares) <= 0:
        return
    matrix, shift = (np.asarray(v, np.float64) for v in fit_rigid_head(source, target))
    scale = max(float(abs(np.linalg.det(matrix))) ** (1 / 3), 1e-3)
    axis = np.asarray(np.linalg.solve(matrix, back.axis - shift)[:2], np.float64)
    pose = _Pose(axis, anatomy.face_axes(target), back.height / scale)
    positions = source_positions(warp_map)
    for side, share in zip(back.sides, shares, strict=True):
        if share > 0:
            _render_side(frame, back, side, share, layers, _Placed(pose, warp_map.grid, positions))


def _render_side(
    frame: tuple[Image, Image | None],
    back: BackOfHead,
    side: HeadSide,
    share: float,
    layers: MatteLayers,
    placed: _Placed,
) -> None:
    """Render one side of a back by a share."""
    out, alpha = frame
    pose, whole_grid = placed.pose, placed.grid
    found = _find_shown(back, side, layers, placed)
    if found is None:
        return
    block, samples = found
    grid = whole_grid.part(block.rows, block.columns)
    region = pixels_of(grid, (out.shape[1], out.shape[0]))
    if region is None:
        return
    whole = Block(slice(0, grid.rows), slice(0, grid.columns), blocks.MIXED)
    planes = cv2.split(upsample_block(samples, whole, grid, region))
    inside, below, wide, away = (np.asarray(plane, np.float32) for plane in planes)
    soft = max(EDGE, LEAST_EDGE / pose.height)
    shown = share * np.clip(inside / soft + 0.5, 0, 1)
    positions = upsample_block(placed.positions, block, whole_grid, region)
    person = sample_block(layers.person, np.ascontiguousarray(positions), blocks.MIXED)
    opaque = person[..., 3].astype(np.float32) / 255
    around = box_mean(opaque, odd_size(2 * AROUND[0] * pose.height))
    around += smoothstep(*ABOVE_EAR, side.ear[0] - below) * (wide - around)
    seen = smoothstep(*PERSON, around) * (1 - smoothstep(*NO_PERSON, away))
    made = _texture(side, inside, below)
    pixels = out[region].astype(np.float32)
    own = (pixels - (1 - opaque)[..., None] * layers.plate[region]).clip(0)
    own *= (seen / np.maximum(opaque, LEAST))[..., None]
    own += (1 - seen)[..., None] * made
    pixels += shown[..., None] * (own - pixels)
    out[region] = cv2.convertScaleAbs(pixels)
    if alpha is not None:
        solid = alpha[region].astype(np.float32)
        alpha[region] = cv2.convertScaleAbs(solid + shown * (255 - solid))


def _find_shown(
    back: BackOfHead, side: HeadSide, layers: MatteLayers, placed: _Placed
) -> tuple[Block, Array32] | None:
    """Find where a side of a back shows beside and through a person; None where it does not.

    Returns:
        The block of the frame's map, and its samples (rows, columns, 4) float32: face heights
        inside the outline and below the axis, mean alpha of the person around, and probability that
        the person's pixel is background.
    """
    pose, grid = placed.pose, placed.grid
    block = _find_block(side, pose, grid)
    if block is None:
        return None
    here = grid.part(block.rows, block.columns).pixel_positions()
    positions = placed.positions[block.rows, block.columns]
    own = _Pose(back.axis[:2], back.along, back.height).measure(positions)
    inside, below = _measure(pose.measure(here), own, side)
    person = sample_block(layers.person, np.ascontiguousarray(positions), blocks.MIXED)
    opaque = person[..., 3].astype(np.float32) / 255
    wide = box_mean(opaque, odd_size(2 * AROUND[1] * pose.height / grid.step))
    away = remap(back.background, own * np.float32(SAMPLES) + np.float32(HALF - 0.5))
    shows = (inside > -EDGE) & ((wide < PERSON[1]) | (away > NO_PERSON[0]))
    left, top, width, height = cv2.boundingRect(shows.astype(np.uint8))
    if not width:
        return None
    kept = slice(top, top + height), slice(left, left + width)
    samples = cv2.merge([values[kept] for values in (inside, below, wide, away)])
    first_row, first_column = block.rows.start + top, block.columns.start + left
    rows = slice(first_row, first_row + height)
    columns = slice(first_column, first_column + width)
    return Block(rows, columns, blocks.MIXED), np.asarray(samples, np.float32)


def _find_block(side: HeadSide, pose: _Pose, grid: SampleGrid) -> Block | None:
    """Return the block of a frame's map on which a side of a head may show; None off the map."""
    across = (0.0, float(side.edge.max()) + EDGE)
    ends = np.array([[side.side * u, v] for u in across for v in REACH])
    samples = grid.to_samples(pose.axis + pose.height * ends @ pose.along)
    low, high = np.floor(samples.min(0)).astype(int), np.ceil(samples.max(0)).astype(int) + 1
    rows = slice(max(low[1], 0), min(high[1], grid.rows))
    columns = slice(max(low[0], 0), min(high[0], grid.columns))
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return None
    return Block(rows, columns, blocks.MIXED)


def _measure(moved: Array32, own: Array32, side: HeadSide) -> tuple[Array32, Array32]:
    """Return face heights of samples (h, w) inside the outline, and below the axis.

    Above its middle nothing is inside at the axis and beyond it.

    Args:
        moved: (h, w, 2) face heights from the axis of the frame's head.
        own: the same from the source's, of what the frame shows there: the body leads a neck.
        side: of the head.
    """
    moved += smoothstep(*STILL, moved[..., 1:]) * (own - moved)
    across, below = side.side * moved[..., 0], moved[..., 1]
    row = (below + np.float32(HALF - 0.5) / SAMPLES) * SAMPLES
    edge = np.interp(row, np.arange(len(side.edge)), side.edge).astype(np.float32)
    beside = across - np.float32(BESIDE) + np.float32(BELOW) * np.maximum(below, 0)
    inside = np.minimum(edge - across, beside)
    return np.asarray(inside, np.float32), np.asarray(below, np.float32)


def _texture(side: HeadSide, inside: Array32, below: Array32) -> Image:
    """Return the colours (h, w, 3) uint8 of a back so far inside its outline, and below."""
    first, last = (side.ear[1] - reach for reach in HAIRLINE)
    hair, neck = (_sample(texture, inside, below) for texture in (side.hair, side.neck))
    return mix(hair, neck, to_levels(np.asarray(smoothstep(first, last, below), np.float32)))


def _sample(texture: Texture, inside: Array32, below: Array32) -> Image:
    """Sample a texture, mirrored beyond its sides."""
    density = np.float32(SAMPLES * FINE)
    columns = (inside - np.float32(FRINGE)) * density
    rows = (below - np.float32(texture.top)) * density
    return remap(texture.pixels, merge_positions(columns, rows), REFLECT)
