"""Sampling of the source through a warp map, in blocks, over the background plate if any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from thcli.core.types import Array32, Image
from thcli.engines.mesh.background import blocks
from thcli.engines.mesh.background.blocks import Block
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import REFLECT, mix, remap, resize
from thcli.engines.mesh.warp import WarpMap

OPAQUE = {blocks.PLATE: 0, blocks.PERSON: 255}  # alpha of blocks that are not sampled for it
STRIP = 128  # rows at a time: fits the cache, and bounds the memory at 4K


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
    out = image.copy()
    grid, positions = warp_map.grid, source_positions(warp_map)
    coverage = None if layers is None else layers.coverage
    moving = list(blocks.iterate_blocks(warp_map.displacement, positions, grid, coverage))
    if layers is None:
        _render_whole(out, image, positions, grid, moving)
    else:
        _render_layers(out, alpha, layers, positions, warp_map, moving)
    _render_cut(out, alpha, image, warp_map)
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
    for block in moving:
        region = pixels_of(grid.part(block.rows, block.columns), (out.shape[1], out.shape[0]))
        if region is None:
            continue
        if alpha is not None and block.kind in OPAQUE:
            alpha[region] = OPAQUE[block.kind]
        if block.kind == blocks.PLATE:
            out[region] = layers.plate[region]
            continue
        coordinates = upsample_block(positions, block, grid, region)
        person = sample_block(layers.person, coordinates, block.kind)
        ends = beyond is not None and _end_above(person, beyond, block, grid, region)
        if alpha is not None and (ends or block.kind not in OPAQUE):
            alpha[region] = person[..., 3]
        if block.kind == blocks.PERSON and not ends:
            out[region] = cv2.cvtColor(person, cv2.COLOR_RGBA2RGB)
        else:
            out[region] = lay_over(person, layers.plate[region])


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


def sample_block(person: Image, positions: Array32, kind: int) -> Image:
    """Sample a person's pixels at positions (h, w, 2) of a block of a kind."""
    sample = sample_person if kind == blocks.LEAVES else _sample_mirrored
    return sample(person, positions)


def lay_over(person: Image, plate: Image) -> Image:
    """Return a person (h, w, 4) uint8 premultiplied over its plate (h, w, 3)."""
    alpha = np.asarray(cv2.extractChannel(person, 3), np.uint8)
    colour = np.asarray(cv2.cvtColor(person, cv2.COLOR_RGBA2RGB), np.uint8)
    if cv2.minMaxLoc(alpha)[0] == 255:
        return colour
    behind = cv2.cvtColor(255 - alpha, cv2.COLOR_GRAY2RGB)
    cv2.multiply(plate, behind, behind, 1 / 255)
    return np.asarray(cv2.add(behind, colour), np.uint8)


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
        out[region] = cv2.cvtColor(_sample_mirrored(padded, coordinates), cv2.COLOR_RGBA2RGB)


def pixels_of(grid: SampleGrid, size: tuple[int, int]) -> Region | None:
    """Return the pixels of a grid within a picture of a size; None without any."""
    x0, x1 = max(grid.x0, 0), min(grid.x0 + grid.columns * grid.step, size[0])
    y0, y1 = max(grid.y0, 0), min(grid.y0 + grid.rows * grid.step, size[1])
    return (slice(y0, y1), slice(x0, x1)) if y1 > y0 and x1 > x0 else None


def upsample_block(samples: Array32, block: Block, grid: SampleGrid, region: Region) -> Array32:
    """Upsample a block of samples (rows, columns, C) to the pixels of its region."""
    low, high = max(block.columns.start - 1, 0), block.columns.stop + 1
    rows = upsample(samples[:, low:high], block.rows.start, block.rows.stop, grid.step)
    top = region[0].start - grid.y0 - block.rows.start * grid.step
    left = region[1].start - grid.x0 - low * grid.step
    height, width = (part.stop - part.start for part in region)
    return rows[top : top + height, left : left + width]


def _box_of_positions(image: Image, positions: Array32) -> tuple[Region, Array32]:
    """Return the region of an image that positions (..., 2) are sampled from, and its corner.

    The whole image where they leave it.
    """
    axes = cv2.split(positions)  # contiguous, which is ten times as fast
    low = np.floor([axis.min() for axis in axes]).astype(int) - 1
    high = np.ceil([axis.max() for axis in axes]).astype(int) + 2
    if (low < 0).any() or (high > (image.shape[1], image.shape[0])).any():
        return (slice(0, image.shape[0]), slice(0, image.shape[1])), np.zeros(2, np.float32)
    return (slice(low[1], high[1]), slice(low[0], high[0])), low.astype(np.float32)


def _render_cut(out: Image, alpha: Image | None, image: Image, warp_map: WarpMap) -> None:
    """Render the face along the outlines where it is merged by colours, in place."""
    cut = warp_map.cut
    if cut is None:
        return
    size = out.shape[1], out.shape[0]
    for region, values in iterate_windows(cut.samples, cut.samples[..., 2], cut.grid, size):
        x, y, opacity = (np.asarray(part, np.float32) for part in cv2.split(values))
        texture = _sample_part(image, x, y)
        opaque = np.asarray(cv2.convertScaleAbs(opacity, alpha=255), np.uint8)
        out[region] = mix(out[region], texture, opaque)
        if alpha is not None:
            np.maximum(alpha[region], opaque, out=alpha[region])


def _sample_part(image: Image, x: Array32, y: Array32) -> Image:
    """Sample a picture (H, W, 3) at pixels x, y (h, w) of a small part of it.

    Four channels are sampled faster than three, even after conversion.
    """
    box, positions = [], []
    for line, side in zip((x, y), image.shape[1::-1], strict=True):
        low, high = cv2.minMaxLoc(line)[:2]
        first = min(max(int(low) - 1, 0), side - 1)
        box.append(slice(first, max(min(int(high) + 2, side), first + 1)))
        positions.append(line - np.float32(first))
    padded = cv2.cvtColor(image[box[1], box[0]], cv2.COLOR_RGB2RGBA)
    texture = remap(np.asarray(padded, np.uint8), _positions(*positions))
    return np.asarray(cv2.cvtColor(texture, cv2.COLOR_RGBA2RGB), np.uint8)


def sample_person(
    person: Image, positions: Array32, interpolation: int = cv2.INTER_LINEAR
) -> Image:
    """Sample a person's pixels, and mirrored ones beyond the picture's edges.

    The person goes on only where the edge cuts it off. Beside and above, what is mirrored lies over
    the edge's repeated pixels and takes their alpha, so that the person keeps its width.

    Args:
        person: (H, W, 4) uint8, premultiplied colour and alpha.
        positions: (h, w, 2) float32 pixels.
        interpolation: OpenCV interpolation.
    """
    size = person.shape[1], person.shape[0]
    sampled = np.empty((*positions.shape[:2], 4), np.uint8)
    for first in range(0, len(positions), STRIP):
        part = positions[first : first + STRIP]
        x, y = np.asarray(cv2.split(part), np.float32)
        within = [cv2.inRange(line, 0, side - 1) for line, side in zip((x, y), size, strict=True)]
        left, top, width, height = cv2.boundingRect(cv2.bitwise_not(cv2.bitwise_and(*within)))
        shown = sampled[first : first + STRIP]
        if not width:
            shown[:] = _sample_mirrored(person, part, interpolation)
            continue
        # within the picture, which is sampled several times as fast as beyond its edges
        leaving = slice(top, top + height), slice(left, left + width)
        folded = part.copy()
        x, y = x[leaving], y[leaving]
        inside = (_fold(line, side) for line, side in zip((x, y), size, strict=True))
        folded[leaving] = _positions(*inside)
        shown[:] = _sample_mirrored(person, folded, interpolation)
        shown = shown[leaving]
        for beyond in _leaves(x, y, size):
            left, top, width, height = cv2.boundingRect(beyond)
            block = slice(top, top + height), slice(left, left + width)
            at_edge = _positions(
                *(line[block].clip(0, side - 1) for line, side in zip((x, y), size, strict=True))
            )
            here = remap(person, at_edge, interpolation=interpolation)
            over = _over_edge(shown[block], here).view(np.uint32)
            np.copyto(shown[block].view(np.uint32), over, where=beyond[block][..., None] > 0)
    return sampled


def _positions(x: Array32, y: Array32) -> Array32:
    return np.asarray(cv2.merge([x, y]), np.float32)


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
    if cv2.countNonZero(partly):
        soft = np.nonzero(partly)
        above, below = mirrored[soft], edge[soft]
        through = below * (255 - above[:, 3:]).astype(np.float32) / np.float32(255)
        over = np.minimum(above + np.rint(through), np.float32(255))
        share = below[:, 3:] / np.maximum(over[:, 3:], 1)
        out[soft] = np.minimum(over * share + np.float32(0.5), 255).astype(np.uint8)
        out[..., 3][soft] = below[:, 3]
    return out


def _sample_mirrored(
    person: Image, positions: Array32, interpolation: int = cv2.INTER_LINEAR
) -> Image:
    """Sample a person's pixels, mirrored beyond every edge."""
    return remap(person, positions, REFLECT, interpolation)


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


def source_positions(warp_map: WarpMap) -> Array32:
    """Compute the source position of each sample, (rows, columns, 2) float32 pixels."""
    x, y = warp_map.grid.pixel_axes()
    positions = warp_map.displacement.copy()
    positions[..., 0] += x
    positions[..., 1] += y[:, None]
    return positions


def upsample(samples: Array32, first: int, last: int, step: int) -> Array32:
    """Upsample the rows first..last to `step` times their density, bilinearly.

    The rows before and after them are used for interpolation.
    """
    low, high = max(first - 1, 0), min(last + 1, len(samples))
    part = samples[low:high]
    if step > 1:
        part = resize(part, (part.shape[1] * step, part.shape[0] * step))
    return np.asarray(part[(first - low) * step : (last - low) * step])


def iterate_windows(
    samples: Array32,
    share: Array32,
    grid: SampleGrid,
    size: tuple[int, int],
    within: Block | None = None,
) -> Iterator[tuple[Region, Array32]]:
    """Upsample the samples of a grid to the pixels of an image, in windows where they show.

    A large grid is divided, so that a window fits the cache.

    Args:
        samples: (rows, columns, C) float32.
        share: (rows, columns) of them in the image; where it is 0 around a window nothing shows.
        grid: their grid.
        size: (width, height) of the image.
        within: block of the grid that the windows lie in; None for the whole grid.

    Yields:
        A region of the image and its values (h, w, C).
    """
    is_large = grid.rows * grid.columns * grid.step**2 >= blocks.LEAST_AREA
    count = max(1, blocks.SIDE // grid.step) if is_large else max(grid.rows, grid.columns)
    width = 2 * count
    top, bottom, left, right = 0, grid.rows, 0, grid.columns
    if within is not None:
        top, bottom = within.rows.start, within.rows.stop
        left, right = within.columns.start, within.columns.stop
    low = max(top - 1, 0), max(left - 1, 0)  # with the samples around it
    part = share[low[0] : bottom + 1, low[1] : right + 1]
    near = cv2.dilate((part != 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    shown = near[top - low[0] : bottom - low[0], left - low[1] : right - low[1]]
    for row in range(top, bottom, count):
        for column in range(left, right, width):
            rows = slice(row, min(row + count, bottom))
            columns = slice(column, min(column + width, right))
            x, y, wide, high = cv2.boundingRect(
                shown[row - top : rows.stop - top, column - left : columns.stop - left]
            )
            if not wide:
                continue
            block = Block(
                slice(row + y, row + y + high),
                slice(column + x, column + x + wide),
                blocks.MIXED,
            )
            region = pixels_of(grid.part(block.rows, block.columns), size)
            if region is not None:
                yield region, upsample_block(samples, block, grid, region)
