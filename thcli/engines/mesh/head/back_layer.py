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
from thcli.engines.mesh.sampling import REFLECT, box_mean, odd_size, remap
from thcli.engines.mesh.warp import WarpMap

TURN = (0.06, 0.2)  # sine of the turn by which a side comes nearer: not shown, shown
REACH = (-1.1, 1.3)  # face heights of what is shown below the middle of the axis
STILL = (0.35, 0.9)  # the same: it follows the head, it stays with the body
LEAST = 1 / 255  # share that shows
BESIDE = 0.15  # face heights from the axis from which the near side is shown
EDGE, LEAST_EDGE = 0.012, 1.5  # face heights over which the outline is soft, pixels at least
# Mean alpha around a pixel of a person's edge, in which the wall's light is: none of it shows, all;
# face heights around it
PERSON, AROUND = (0.6, 0.98), 0.012
NO_PERSON = (0.7, 0.95)  # probability of a background from which it is none of the person's
HAIRLINE = (0.14, 0.0)  # face heights above the ear's end over which hair ends in the neck
# Light of hair and neck over that beside the ear, what is lost at the outline, and how far inside
HAIR_LIGHT, NECK_LIGHT = (0.95, 0.15, 0.1), (0.95, 0.2, 0.2)


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
    down = (target[anatomy.CHIN] - target[anatomy.FOREHEAD])[:2] / anatomy.face_height(target)
    axis = np.asarray(np.linalg.solve(matrix, back.axis - shift)[:2], np.float64)
    pose = _Pose(axis, np.array([[down[1], -down[0]], down]), back.height / scale)
    for side, share in zip(back.sides, shares, strict=True):
        if share > 0:
            _render_side(frame, back, side, share, layers, (pose, warp_map))


def _render_side(
    frame: tuple[Image, Image | None],
    back: BackOfHead,
    side: HeadSide,
    share: float,
    layers: MatteLayers,
    placed: tuple[_Pose, WarpMap],
) -> None:
    """Render one side of a back by a share; placed: pose and map of the frame."""
    out, alpha = frame
    pose, warp_map = placed
    size = out.shape[1], out.shape[0]
    block = _find_block(side, pose, warp_map)
    if block is None:
        return
    grid = warp_map.grid
    here = grid.part(block.rows, block.columns).pixel_positions()
    inside, below = _measure(here, back, side, pose)
    kept = cv2.boundingRect((inside > -EDGE).astype(np.uint8))
    left, top, width, height = kept
    if not width:
        return
    rows = slice(block.rows.start + top, block.rows.start + top + height)
    columns = slice(block.columns.start + left, block.columns.start + left + width)
    block = Block(rows, columns, blocks.MIXED)
    region = pixels_of(grid.part(rows, columns), size)
    if region is None:
        return
    y, x = np.mgrid[region]
    inside, below = _measure(np.stack([x, y], -1).astype(np.float32), back, side, pose)
    soft = max(EDGE, LEAST_EDGE / pose.height)
    shown = share * np.clip(inside / soft + 0.5, 0, 1)
    positions = np.ascontiguousarray(
        upsample_block(source_positions(warp_map), block, grid, region)
    )
    person = sample_block(layers.person, positions, blocks.MIXED)
    opaque = person[..., 3].astype(np.float32) / 255
    around = box_mean(opaque, odd_size(2 * AROUND * pose.height))
    seen = smoothstep(*PERSON, around) * (1 - smoothstep(*NO_PERSON, _background(back, positions)))
    made = _texture(side, inside, below)
    below_it = layers.plate[region].astype(np.float32)
    pixels = out[region].astype(np.float32)
    own = (pixels - (1 - opaque)[..., None] * below_it).clip(0)
    own *= (seen / np.maximum(opaque, LEAST))[..., None]
    changed = own + (1 - seen)[..., None] * made
    pixels += shown[..., None] * (changed - pixels)
    out[region] = cv2.convertScaleAbs(pixels)
    if alpha is not None:
        solid = alpha[region].astype(np.float32)
        alpha[region] = cv2.convertScaleAbs(solid + shown * (255 - solid))


def _find_block(side: HeadSide, pose: _Pose, warp_map: WarpMap) -> Block | None:
    """Return the block of a frame's map on which a side of a head may show; None off the map."""
    grid = warp_map.grid
    across = (0.0, float(side.edge.max()) + EDGE)
    ends = np.array([[side.side * u, v] for u in across for v in REACH])
    samples = grid.to_samples(pose.axis + pose.height * ends @ pose.along)
    low, high = np.floor(samples.min(0)).astype(int), np.ceil(samples.max(0)).astype(int) + 1
    rows = slice(max(low[1], 0), min(high[1], grid.rows))
    columns = slice(max(low[0], 0), min(high[0], grid.columns))
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return None
    return Block(rows, columns, blocks.MIXED)


def _measure(
    pixels: Array32, back: BackOfHead, side: HeadSide, pose: _Pose
) -> tuple[Array32, Array32]:
    """Return face heights of pixels (h, w, 2) of a frame inside the outline, and below the axis.

    At the axis and beyond it nothing is inside.
    """
    moved = pose.measure(pixels)
    own = _Pose(back.axis[:2], back.along, back.height).measure(pixels)
    moved += smoothstep(*STILL, moved[..., 1:]) * (own - moved)
    across, below = side.side * moved[..., 0], moved[..., 1]
    row = (below + np.float32(HALF - 0.5) / SAMPLES) * SAMPLES
    edge = np.interp(row, np.arange(len(side.edge)), side.edge).astype(np.float32)
    inside = np.minimum(edge - across, across - np.float32(BESIDE))
    return np.asarray(inside, np.float32), np.asarray(below, np.float32)


def _background(back: BackOfHead, positions: Array32) -> Array32:
    """Return the probability (h, w) that source pixels (h, w, 2) show the background."""
    own = _Pose(back.axis[:2], back.along, back.height).measure(positions)
    return remap(back.background, np.ascontiguousarray(own * SAMPLES + np.float32(HALF - 0.5)))


def _texture(side: HeadSide, inside: Array32, below: Array32) -> Array32:
    """Return the colours (h, w, 3) float32 of a back so far inside its outline, and below."""
    hair = _lit(_sample(side.hair, inside, below), inside, HAIR_LIGHT)
    neck = _lit(_sample(side.neck, inside, below), inside, NECK_LIGHT)
    first, last = (side.lobe - reach for reach in HAIRLINE)
    return np.asarray(hair + smoothstep(first, last, below)[..., None] * (neck - hair))


def _sample(texture: Texture, inside: Array32, below: Array32) -> Array32:
    """Sample a texture, mirrored beyond its sides."""
    density = np.float32(SAMPLES * FINE)
    places = cv2.merge(
        [(inside - np.float32(FRINGE)) * density, (below - np.float32(texture.top)) * density]
    )
    return remap(texture.pixels, np.asarray(places, np.float32), REFLECT)


def _lit(colours: Array32, inside: Array32, light: tuple[float, float, float]) -> Array32:
    """Shade colours (h, w, 3) towards the outline."""
    level, lost, reach = light
    shade = level - lost * (1 - smoothstep(0, reach, inside))
    return np.asarray(colours * shade[..., None], np.float32)
