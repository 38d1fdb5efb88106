"""Sampling of the source through a warp map, in blocks, over the background plate if any."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from thcli.core import imaging
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.background import blocks
from thcli.engines.mesh.background.blocks import Block
from thcli.engines.mesh.background.edges import sample_block, sample_mirrored
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.background.windows import iterate_blocks_in, pixels_of, upsample_block
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import mix, remap, shift, to_levels
from thcli.engines.mesh.warp import Cut, WarpMap

MOVED = (blocks.MOVED_PERSON, blocks.MOVED_MIXED)
# Motion of a person, of the picture's longer side, over which it loses what is brighter than its
# alpha: light and things of the background beside it
LEFT_BEHIND = 0.01
OPAQUE = {blocks.PLATE: 0, blocks.PERSON: 255}  # alpha of blocks that are not sampled for it


def render(
    image: Image, layers: MatteLayers | None, warp_map: WarpMap, alpha: Image | None = None
) -> Image:
    """Render the source image through a warp map.

    Args:
        image: (H, W, 3) uint8 source image.
        layers: person and plate of the source, or None to warp the whole image.
        warp_map: map of the frame.
        alpha: (H, W) uint8 of the person in the source, changed to that in the frame; None where
            it is not needed.

    Returns:
        (H, W, 3) uint8. Pixels that do not move are copied from the source.
    """
    grid, positions = warp_map.grid, source_positions(warp_map)
    coverage = None if layers is None else layers.coverage
    is_moved, change = any(warp_map.move), warp_map.displacement
    if is_moved:
        change = shift(change, warp_map.move)
    moving = list(blocks.iterate_blocks(change, positions, grid, coverage, moved=is_moved))
    out = image.copy() if layers is None or not is_moved else layers.plate.copy()
    if layers is None:
        _render_whole(out, image, positions, grid, moving)
    else:
        _render_layers(out, alpha, layers, positions, warp_map, moving)
    for cut in (warp_map.cut, warp_map.overlap):
        if cut is not None:
            _render_cut(out, alpha, image, cut)
    return out


def _render_layers(
    out: Image,
    alpha: Image | None,
    layers: MatteLayers,
    positions: Array32,
    warp_map: WarpMap,
    moving: Sequence[Block],
) -> None:
    """Render the moving blocks of a person over its plate into `out`, and `alpha` if any."""
    grid, beyond = warp_map.grid, warp_map.beyond
    alone, moved = moved_share(warp_map.move, out), moved_shares(warp_map, out)
    beyond_sides = layers.person, positions
    if layers.wide is not None and any(block.kind == blocks.LEAVES for block in moving):
        beyond_sides = layers.wide.person, shift(positions, (layers.wide.left, 0))
    for block in moving:
        region = pixels_of(grid.part(block.rows, block.columns), (out.shape[1], out.shape[0]))
        if region is None:
            continue
        if alpha is not None and block.kind in OPAQUE:
            alpha[region] = OPAQUE[block.kind]
        if block.kind == blocks.PLATE:
            if not any(warp_map.move):
                out[region] = layers.plate[region]
            continue
        if block.kind in MOVED and _copy_person(
            out, layers, block.kind, region, warp_map.move, alone
        ):
            continue
        pixels, at = beyond_sides if block.kind == blocks.LEAVES else (layers.person, positions)
        person = sample_block(pixels, upsample_block(at, block, grid, region), block.kind)
        ends = beyond is not None and _end_above(person, beyond, block, grid, region)
        if alpha is not None and (ends or block.kind not in OPAQUE):
            alpha[region] = person[..., 3]
        if block.kind == blocks.PERSON and not ends:
            out[region] = cv2.cvtColor(person, cv2.COLOR_RGBA2RGB)
        else:
            left_out = to_levels(upsample_block(moved, block, grid, region))
            out[region] = lay_over(person, layers.plate[region], left_out)


def _copy_person(
    out: Image,
    layers: MatteLayers,
    kind: int,
    region: Region,
    move: tuple[int, int],
    alone: float,
) -> bool:
    """Copy the person of a block that is still but for a move by whole pixels over the plate.

    Args:
        out: (H, W, 3) uint8 frame, which shows the plate there; changed in place.
        layers: of the source.
        kind: of the block.
        region: of the frame.
        move: (x, y) pixels from the source to the frame.
        alone: see `lay_over`.

    Returns:
        False where the block shows what lies below the picture, which is sampled.
    """
    rows, columns = (
        slice(part.start - by, part.stop - by) for part, by in zip(region, move[::-1], strict=True)
    )
    if rows.stop > len(layers.person):
        return False
    person = layers.person[rows, columns]
    if kind == blocks.MOVED_PERSON:
        cv2.cvtColor(person, cv2.COLOR_RGBA2RGB, out[region])
    else:
        out[region] = lay_over(person, out[region], alone)
    return True


def _end_above(
    person: Image, beyond: Array32, block: Block, grid: SampleGrid, region: Region
) -> bool:
    """End the person (h, w, 4) of a block where it lies beyond the top of its head, in place.

    Args:
        person: pixels of the region.
        beyond: (rows, columns) of the grid, see `WarpMap`.
        block: of the grid.
        grid: of the map.
        region: of the block.

    Returns:
        Whether any of it does.
    """
    rows = np.flatnonzero(beyond[block.rows, block.columns].any(1))
    top, first = block.rows.start, region[0].start
    stop = min(top + int(rows[-1]) + 2, block.rows.stop) if len(rows) else top
    height = min(grid.y0 + stop * grid.step, region[0].stop) - first
    if height <= 0:
        return False
    upper = slice(first, first + height), region[1]
    ending = Block(slice(top, stop), block.columns, block.kind)
    share = upsample_block(beyond, ending, grid, upper)
    within = cv2.convertScaleAbs(share, alpha=-255, beta=255)
    shown = person[:height]
    cv2.multiply(shown, cv2.merge([within] * 4), shown, 1 / 255)
    return True


def moved_share(shift: Sequence[float] | Array, image: Image) -> float:
    """Return how far a person has moved from where its picture (H, W, C) has it, 0..1.

    shift: (2,) pixels.
    """
    return float(smoothstep(0.0, _reach(image), float(np.hypot(shift[0], shift[1]))))


def moved_shares(warp_map: WarpMap, image: Image) -> Array32:
    """Return how far the person has moved at the samples of a frame's map, as `moved_share` does.

    Returns (rows, columns) float32 in 0..1. image: (H, W, C) the frame.
    """
    length = cv2.magnitude(*cv2.split(warp_map.displacement))
    return np.asarray(smoothstep(0.0, _reach(image), np.asarray(length, np.float32)), np.float32)


def _reach(image: Image) -> float:
    return float(LEFT_BEHIND * max(image.shape[:2]))


def moved_pixels(warp_map: WarpMap, image: Image) -> Image:
    """Return `moved_shares` of the pixels of a frame (H, W, C), (H, W) uint8; 0 beside the map."""
    grid, size = warp_map.grid, (image.shape[1], image.shape[0])
    out = np.zeros(image.shape[:2], np.uint8)
    whole = Block(slice(0, grid.rows), slice(0, grid.columns), blocks.MIXED)
    region = pixels_of(grid, size)
    if region is not None:
        levels = upsample_block(moved_shares(warp_map, image), whole, grid, region)
        out[region] = to_levels(levels)
    return out


def lay_over(person: Image, plate: Image, alone: float | Image = 0.0) -> Image:
    """Return a person (h, w, 4) uint8 premultiplied over its plate (h, w, 3).

    alone: share by which what is brighter than its alpha is left out, light of the background
        beside the person: 0..1, or (h, w) uint8.
    """
    colour, alpha = imaging.split_alpha(person)
    if cv2.minMaxLoc(alpha)[0] == 255:
        return colour
    clear = 255 - alpha
    if np.any(alone):
        if isinstance(alone, np.ndarray):
            light = cv2.multiply(clear, 255 - alone, scale=1 / 255)
        else:
            light = cv2.convertScaleAbs(clear, alpha=1 - alone)
        cv2.min(colour, cv2.cvtColor(cv2.add(alpha, light), cv2.COLOR_GRAY2RGB), colour)
    return imaging.lay_over(colour, alpha, plate)


def _render_whole(
    out: Image, image: Image, positions: Array32, grid: SampleGrid, moving: Sequence[Block]
) -> None:
    """Render the moving blocks of an image without layers into `out`.

    Four channels are sampled three times as fast as three.
    """
    size = image.shape[1], image.shape[0]
    regions = [(block, pixels_of(grid.part(block.rows, block.columns), size)) for block in moving]
    shown = [(block, region) for block, region in regions if region is not None]
    if not shown:
        return
    box, offset = _box_of_positions(image, positions)
    padded = np.asarray(cv2.cvtColor(image[box], cv2.COLOR_RGB2RGBA), np.uint8)
    shifted = positions - offset
    for block, region in shown:
        coordinates = upsample_block(shifted, block, grid, region)
        out[region] = cv2.cvtColor(sample_mirrored(padded, coordinates), cv2.COLOR_RGBA2RGB)


def _box_of_positions(image: Image, positions: Array32) -> tuple[Region, Array32]:
    """Return the region of an image that positions (..., 2) are sampled from, and its corner.

    The whole image where they leave it.
    """
    least, most = _extremes(positions)
    low, high = np.floor(least).astype(int) - 1, np.ceil(most).astype(int) + 2
    if (low < 0).any() or (high > (image.shape[1], image.shape[0])).any():
        return (slice(0, image.shape[0]), slice(0, image.shape[1])), np.zeros(2, np.float32)
    return (slice(low[1], high[1]), slice(low[0], high[0])), low.astype(np.float32)


def _extremes(positions: Array32) -> tuple[Array32, Array32]:
    """Return the least and the largest x and y of positions (h, w, 2), ten times as NumPy does."""
    low, high = (
        np.asarray(cv2.reduce(cv2.reduce(positions, 0, kind), 1, kind)[0, 0], np.float32)
        for kind in (cv2.REDUCE_MIN, cv2.REDUCE_MAX)
    )
    return low, high


def _render_cut(out: Image, alpha: Image | None, image: Image, cut: Cut) -> None:
    """Render a part of the face that is merged by colours, in place."""
    size, grid = (out.shape[1], out.shape[0]), cut.grid
    for region, block in iterate_blocks_in(cut.opacity, grid, size):
        texture = sample_part(image, upsample_block(cut.positions, block, grid, region))
        opaque = to_levels(upsample_block(cut.opacity, block, grid, region))
        is_whole = cv2.minMaxLoc(opaque)[0] == 255
        out[region] = texture if is_whole else mix(out[region], texture, opaque)
        if alpha is not None:
            below = alpha[region]
            cv2.add(below, cv2.multiply(255 - below, opaque, scale=1 / 255), below)


def sample_part(image: Image, positions: Array32) -> Image:
    """Sample a picture (H, W, 3) at pixels (h, w, 2) of a small part of it.

    Four channels are sampled faster than three, even after conversion.
    """
    low, high = _extremes(positions)
    sides = np.array(image.shape[1::-1])
    first = np.clip(low.astype(int) - 1, 0, sides - 1)
    last = np.clip(high.astype(int) + 2, first + 1, sides)
    padded = cv2.cvtColor(image[first[1] : last[1], first[0] : last[0]], cv2.COLOR_RGB2RGBA)
    texture = remap(np.asarray(padded, np.uint8), shift(positions, -first))
    return np.asarray(cv2.cvtColor(texture, cv2.COLOR_RGBA2RGB), np.uint8)


def source_positions(warp_map: WarpMap) -> Array32:
    """Compute the source position of each sample, (rows, columns, 2) float32 pixels."""
    positions = warp_map.grid.pixel_positions()
    positions += warp_map.displacement
    return positions
