"""Blocks of a warp map that are still, or show the background plate or the person alone.

Nothing is blended in them, and only those of the person are sampled. Where the whole person moves
by whole pixels, blocks that are still but for that are copied (MOVED_PERSON, MOVED_MIXED).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32, Image
from thcli.engines.mesh.raster import SampleGrid

STILL, PLATE, PERSON, MIXED, LEAVES, MOVED_PERSON, MOVED_MIXED = range(7)
SIDE = 128  # pixels of a block: fits the cache
LEAST_AREA = 1 << 20  # pixels of a map whose rows are worth dividing
CELL = 16  # pixels of a cell of the coverage
SLACK = 1 / 64  # pixels of motion that change no sample: half of OpenCV's step
_MOVED = np.array([STILL, STILL, MOVED_PERSON, MOVED_MIXED, LEAVES], np.uint8)
Kinds = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.intp]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Cells of CELL pixels in which a picture shows its person, or its background.

    person, background: (rows + 1, columns + 1) integral images of the cells that show some of it.
    size: (width, height) of the picture in pixels.
    """

    person: Counts
    background: Counts
    size: tuple[int, int]

    @staticmethod
    def of(person: Image) -> Coverage:
        """Summarize a person (H, W, 4) uint8: what is brighter than its plate has no alpha."""
        height, width = person.shape[:2]
        shown = np.ascontiguousarray(person).view(np.uint32)[..., 0] > 0
        return Coverage(_integral(shown), _integral(person[..., 3] < 255), (width, height))

    def kinds(self, low: Array32, high: Array32) -> Kinds:
        """Tell what boxes of the picture show.

        A box that leaves the picture below is mixed, since the person is mirrored there. Beside and
        above the person goes on only where the edge cuts it off.

        Args:
            low, high: (..., 2) corners of the boxes in pixels.
        """
        last = np.array(self.size, np.float32) - 1
        beyond = np.stack([low[..., 0], low[..., 1], last[0] - high[..., 0]], -1).min(-1) < -SLACK
        ends_above = high[..., 1] <= last[1] + SLACK
        first = (np.clip(low, 0, last) // CELL).astype(np.intp)
        # a position is sampled from the pixels around it
        stop = (np.clip(high + 1, 0, last) // CELL).astype(np.intp) + 1
        kinds = np.where(beyond, LEAVES, MIXED).astype(np.uint8)
        kinds[ends_above & ~beyond & (_sums(self.background, first, stop) == 0)] = PERSON
        kinds[ends_above & (_sums(self.person, first, stop) == 0)] = PLATE
        return kinds


def _integral(shown: npt.NDArray[np.bool_]) -> Counts:
    starts = (np.arange(0, side, CELL) for side in shown.shape)
    cells = shown
    for axis, start in enumerate(starts):
        cells = np.logical_or.reduceat(cells, start, axis)
    return np.pad(cells.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _sums(integral: Counts, first: Indices, stop: Indices) -> Counts:
    (x0, y0), (x1, y1) = np.moveaxis(first, -1, 0), np.moveaxis(stop, -1, 0)
    return np.asarray(
        integral[y1, x1] - integral[y0, x1] - integral[y1, x0] + integral[y0, x0], np.int64
    )


@dataclass(frozen=True, slots=True)
class Block:
    """Samples rows.start..rows.stop and columns.start..columns.stop of a map, of one kind."""

    rows: slice
    columns: slice
    kind: int


def iterate_blocks(
    change: Array32,
    positions: Array32,
    grid: SampleGrid,
    coverage: Coverage | None,
    least: float = SLACK,
    *,
    moved: bool = False,
) -> Iterator[Block]:
    """Yield the blocks of a map that change the picture, neighbours of a kind in a row joined.

    The outermost samples are left out.

    Args:
        change: (rows, columns, C) float32, displacement in pixels or share of what is blended in.
        positions: (rows, columns, 2) float32 pixels of the source.
        grid: of the map.
        coverage: of the source, None without layers.
        least: change of a block that shows.
        moved: yield still blocks of the person, too, which moves as a whole.
    """
    count = max(1, SIDE // grid.step)
    divided = grid.rows * grid.columns * grid.step**2 >= LEAST_AREA
    rows = np.arange(1, grid.rows - 1, count)
    columns = np.arange(1, grid.columns - 1, count if divided else grid.columns)
    if not len(rows) or not len(columns):
        return
    low, high = _extremes(change, rows, columns)
    moves = np.maximum(high, -low).max(-1) >= least
    kinds = np.where(moves, MIXED, STILL).astype(np.uint8)
    if coverage is not None:
        shown = coverage.kinds(*_extremes(positions, rows, columns))
        kinds[moves] = shown[moves]
        if moved:
            kinds[~moves] = _MOVED[shown[~moves]]
    for row, line in zip(rows, kinds, strict=True):
        changes = np.flatnonzero(np.diff(line)) + 1
        for first, last in zip((0, *changes), (*changes, len(line)), strict=True):
            if line[first] != STILL:
                stop = grid.columns - 1 if last == len(line) else int(columns[last])
                yield Block(
                    slice(int(row), min(int(row) + count, grid.rows - 1)),
                    slice(int(columns[first]), stop),
                    int(line[first]),
                )


def _extremes(values: Array32, rows: Indices, columns: Indices) -> tuple[Array32, Array32]:
    """Return the least and the largest values of blocks; arguments as `_reduce`."""
    low, high = (_reduce(values, rows, columns, u) for u in (np.minimum, np.maximum))
    return low, high


def _reduce(values: Array32, rows: Indices, columns: Indices, extreme: np.ufunc) -> Array32:
    """Reduce samples (r, c, C) to blocks, each with the samples around it.

    Args:
        values: the samples.
        rows, columns: first ones of the blocks.
        extreme: np.minimum or np.maximum.
    """
    count, width, channels = values.shape
    # long rows are several times as fast as pairs
    lines = values.reshape(count, -1)
    parts = [
        extreme.reduce(lines[first - 1 : stop + 1], 0)
        for first, stop in zip(rows, (*rows[1:], count - 1), strict=True)
    ]
    strips = np.stack(parts).reshape(len(rows), width, channels).swapaxes(1, 2).copy()
    parts = [
        extreme.reduce(strips[..., first - 1 : stop + 1], -1)
        for first, stop in zip(columns, (*columns[1:], width - 1), strict=True)
    ]
    return np.stack(parts, 1)
