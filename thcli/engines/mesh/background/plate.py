"""Background plate: what a source would show without the person, filled once per source.

Coarse levels are filled by patches that are copied from the background (Wexler et al. 2007,
"Space-time completion of video", section 3: nearest patches and votes in turn, from coarse to
fine). The copies' offsets are then applied to the finer image, with the tone of a smooth fill.
Nothing is random, so that a source has one plate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array32
from thcli.engines.mesh.sampling import (
    box_mean,
    largest,
    masked_mean,
    nearest_to,
    odd_size,
    remap,
    resize,
)

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]
Fill = Callable[[Array32, Mask], Array32]

PATCH = 5  # samples, side of a patch
LEVELS = (56, 100)  # samples, geometric mean of the sides of the levels that are searched wholly
ROUNDS = (2, 1)  # of search and vote on these levels
FINE = 200  # samples of the level whose patches are only refined
NEARNESS = 0.02  # cost of a patch at the other end of the image, of 0..1 squared per sample
COHERENCE = 0.6  # of its own patch's cost, below which a sample takes its neighbour's offset
SURROUNDINGS = 0.4  # of the hole's longer side, around it, that patches are taken from
LEAST_KNOWN = 0.04  # share of whole patches below which the smooth fill is all there is
TONE = 0.06  # of the image's side, over which tone is that of the smooth fill
RIM_RANGE = (0.03, 0.1)  # of the image's side, depth in which colours beside the hole fade
# Levels, mean along RIM_MEAN of the side, by which copies differ that are of another thing
OTHER_TONE, RIM_MEAN = (3.0, 10.0), 0.03
BLOCK = 2048  # patches that are compared at a time
KEPT = 8  # sources whose offsets a process keeps, 2 MB each


def fill_plate(image: Array32, hole: Mask, smooth: Array32 | None = None) -> Array32:
    """Fill the hole of an image (h, w, 3) float32 0..255 with what surrounds it.

    smooth: the image, filled smoothly, which is all where too little of it is known; None fills it.
    """
    filled = push_pull(image, hole) if smooth is None else smooth.copy()
    if not hole.any():
        return filled
    rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
    margin = round(SURROUNDINGS * max(rows[-1] - rows[0], columns[-1] - columns[0])) + PATCH
    part = (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
    )
    filled[part] = _fill_with_patches(filled[part], hole[part])
    return filled


def _fill_with_patches(smooth: Array32, hole: Mask) -> Array32:
    """Fill the hole of an image, which is filled smoothly, with patches."""
    found = _find_offsets(smooth, hole)
    if found is None:
        return smooth
    offsets, coarse = found
    height, width = hole.shape
    full = cv2.resize(offsets, (width, height), interpolation=cv2.INTER_NEAREST)
    columns, rows = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    scale = np.array([width / offsets.shape[1], height / offsets.shape[0]], np.float32)
    positions = full * scale + np.stack([columns, rows], -1)
    inside = np.clip(positions, 0, np.array([width - 1, height - 1], np.float32))
    copied = remap(smooth, np.ascontiguousarray(inside))
    copied = np.where(hole[..., None], copied, smooth)
    seams = _seams(np.asarray(full, np.float32)) & hole
    copied[seams] = box_mean(copied, 3)[seams]
    radius = odd_size(TONE * float(np.sqrt(height * width)))
    wanted = np.where(hole[..., None], resize(coarse, (width, height)), smooth)
    tone = box_mean(box_mean(wanted - copied, radius), radius)
    filled = np.where(hole[..., None], np.clip(copied + tone, 0, 255), smooth)
    return _continue_rim(np.asarray(filled, np.float32), hole)


def _continue_rim(filled: Array32, hole: Mask) -> Array32:
    """Give the rim of a hole the colours beside it where the copies are of another thing.

    The rim of the plate is what small motion of a person uncovers: a curtain that is copied before
    a window would stand there as a line. The jump between known and copied colours, a mean along
    the rim, is added to the copies and fades with depth.

    Args:
        filled: (h, w, 3) 0..255, with copies.
        hole: (h, w).
    """
    side = float(np.sqrt(hole.size))
    inside = hole.astype(np.float32)
    beside = (cv2.dilate(inside, np.ones((3, 3), np.uint8)) > 0) & ~hole
    jump = filled - masked_mean(filled, inside, 3)
    mean = masked_mean(jump, beside.astype(np.float32), odd_size(RIM_MEAN * side))
    depth, nearest = nearest_to(~hole)
    offset = box_mean(mean.reshape(-1, 3)[nearest], odd_size(RIM_RANGE[0] * side))
    share = smoothstep(*OTHER_TONE, largest(offset)) * inside
    share *= 1 - smoothstep(*RIM_RANGE, depth / np.float32(side))
    out = np.clip(filled + share[..., None].astype(np.float32) * offset, 0, 255)
    return np.asarray(out, np.float32)


def _seams(offsets: Array32) -> Mask:
    """Find the samples where a neighbour has another offset."""
    out = np.zeros(offsets.shape[:2], bool)
    for axis in (0, 1):
        jumps = largest(np.diff(offsets, axis=axis)) > 0
        out |= np.insert(jumps, 0, False, axis) | np.insert(jumps, jumps.shape[axis], False, axis)
    return out


def _find_offsets(image: Array32, hole: Mask) -> tuple[Array32, Array32] | None:
    """Find where each sample of the hole is copied from.

    Args:
        image: (h, w, 3) float32 0..255, the hole filled smoothly.
        hole: (h, w).

    Returns:
        (h', w', 2) float32 offsets in samples of the finest level, 0 outside of the hole, and that
        level's image (h', w', 3) 0..255. None when too little of the background is seen.
    """
    rows, columns = hole.shape
    side = float(np.sqrt(hole.size))
    levels = []
    for n in (*LEVELS, FINE):
        size = max(PATCH + 1, round(n / side * columns)), max(PATCH + 1, round(n / side * rows))
        small = resize(image, size, shrink=size[0] <= columns) / np.float32(255)
        share = resize(hole.astype(np.float32), size, shrink=size[0] <= columns)
        levels.append((small, share > 0.02))
    return _search_levels(_Levels(tuple(levels)))


class _Levels:
    """Images (h, w, 3) float32 0..1 of one source and their holes (h, w), coarse to fine.

    Levels of equal content are equal.
    """

    def __init__(self, given: tuple[tuple[Array32, Mask], ...]) -> None:
        self.given = given
        digest = hashlib.blake2b()
        for array in (array for level in given for array in level):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array).data)
        self._digest = digest.digest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Levels) and other._digest == self._digest


@lru_cache(maxsize=KEPT)
def _search_levels(levels: _Levels) -> tuple[Array32, Array32] | None:
    """Find offsets as `_find_offsets` does; kept for jobs with the same source."""
    filled: Array32 | None = None
    offsets: Array32 | None = None
    for level, (image, missing) in enumerate(levels.given):
        small = image.copy()  # `vote` changes it
        if filled is not None:
            size = missing.shape[1], missing.shape[0]
            small = np.where(missing[..., None], resize(filled, size), small)
        search = _PatchSearch(small, missing)
        if search.known_share < LEAST_KNOWN or not len(search.missing):
            return None
        if offsets is None or level < len(LEVELS):
            if filled is None:
                search.peel()
            for _ in range(ROUNDS[level]):
                search.match_all()
                search.vote()
        else:
            search.match_near(offsets)
            search.match_near(search.offsets(), COHERENCE)
        filled, offsets = search.image, search.offsets()
    if filled is None or offsets is None:
        return None
    scaled = filled * np.float32(255)
    for kept in (offsets, scaled):
        kept.setflags(write=False)
    return offsets, scaled


class _PatchSearch:
    """Nearest known patches of the samples of a hole, on one level.

    image: (h, w, 3) float32 0..1, changed by `vote`.
    missing: indices of the samples in the hole.
    """

    def __init__(self, image: Array32, hole: Mask) -> None:
        self.image, self._hole = np.ascontiguousarray(image, np.float32), hole
        height, width = hole.shape
        reach = PATCH // 2
        touched = cv2.dilate(hole.astype(np.uint8), np.ones((PATCH, PATCH), np.uint8)) > 0
        inner = np.zeros_like(hole)
        inner[reach : height - reach, reach : width - reach] = True
        self.missing: Indices = np.flatnonzero(hole)
        self._is_known = (~touched & inner).ravel()
        self._known: Indices = np.flatnonzero(self._is_known)
        self.known_share = len(self._known) / hole.size
        depth = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3).ravel()
        self._trust = (0.8 ** depth[self.missing]).astype(np.float32)
        place = np.stack(np.divmod(np.arange(hole.size), width)[::-1], -1)
        weight = np.sqrt(NEARNESS * PATCH) / max(height, width)
        self._place = (place * weight).astype(np.float32)
        self._nearest = np.zeros(len(self.missing), np.intp)

    def _patches(self, samples: Indices) -> Array32:
        """Return the patches around samples, with their place, (N, 3 * PATCH**2 + 2)."""
        patches = _windows(self.image)[np.divmod(samples, self._hole.shape[1])]
        patches = patches.reshape(len(samples), -1)
        return np.concatenate([patches, self._place[samples]], 1)

    def peel(self) -> None:
        """Fill the hole from its rim inwards, each ring by what is known so far of its patches."""
        width = self._hole.shape[1]
        known = self._patches(self._known)
        squared = known**2
        left = self._hole.copy()
        slots = np.full(left.size, -1)
        slots[self.missing] = np.arange(len(self.missing))
        while left.any():
            ring = left & (cv2.erode(left.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
            if not ring.any():  # a hole up to every edge has no rim
                return
            samples = np.flatnonzero(ring)
            patches = self._patches(samples)
            known_yet = _windows(~left)[np.divmod(samples, width)].reshape(len(samples), -1)
            there = np.tile(known_yet, 3)
            seen = np.concatenate([there, np.ones((len(samples), 2), bool)], 1).astype(np.float32)
            cost = seen @ squared.T - 2 * (seen * patches) @ known.T
            nearest = self._known[np.argmin(cost, 1)]
            self._nearest[slots[samples]] = nearest
            self.image[ring] = self.image.reshape(-1, 3)[nearest]
            left &= ~ring

    def match_all(self) -> None:
        """Find the nearest patch of the whole background for every sample of the hole."""
        known, missing = self._patches(self._known), self._patches(self.missing)
        half = np.einsum("ij,ij->i", known, known) / 2
        for start in range(0, len(missing), BLOCK):
            block = missing[start : start + BLOCK]
            self._nearest[start : start + BLOCK] = self._known[np.argmin(half - block @ known.T, 1)]

    def match_near(self, offsets: Array32, share: float = 1.0) -> None:
        """Choose among the offsets around each sample, of a coarser level or of this one.

        Args:
            offsets: (h', w', 2) of a level, scaled to this one.
            share: by which the costs of the neighbours' offsets are multiplied.
        """
        height, width = self._hole.shape
        coarse_height, coarse_width = offsets.shape[:2]
        rows, columns = np.divmod(self.missing, width)
        scale = np.array([width / coarse_width, height / coarse_height])
        missing, all_patches = self._patches(self.missing), self._patches(np.arange(height * width))
        best = np.full(len(missing), np.inf, np.float32)
        for down in (0, -1, 1):
            for right in (0, -1, 1):
                row = np.clip(rows * coarse_height // height + down, 0, coarse_height - 1)
                column = np.clip(columns * coarse_width // width + right, 0, coarse_width - 1)
                shift = np.rint(offsets[row, column] * scale).astype(np.intp)
                there = np.clip(rows + shift[:, 1], 0, height - 1) * width
                there += np.clip(columns + shift[:, 0], 0, width - 1)
                cost = ((missing - all_patches[there]) ** 2).sum(1)
                cost[~self._is_known[there]] += np.float32(1e3)
                if down or right:
                    cost *= np.float32(share)
                better = cost < best
                best[better], self._nearest[better] = cost[better], there[better]

    def vote(self) -> None:
        """Replace the hole by the weighted mean of the patches that cover each sample."""
        height, width = self._hole.shape
        reach = PATCH // 2
        total = np.zeros((height + 2 * reach, width + 2 * reach, 4), np.float32)
        rows, columns = np.divmod(self.missing, width)
        from_rows, from_columns = np.divmod(self._nearest, width)
        for down in range(PATCH):
            for right in range(PATCH):
                colour = self.image[from_rows + down - reach, from_columns + right - reach]
                votes = np.concatenate([colour, np.ones_like(colour[:, :1])], 1)
                total[rows + down, columns + right] += votes * self._trust[:, None]
        inner = total[reach : reach + height, reach : reach + width]
        hole = self._hole
        self.image[hole] = inner[hole][:, :3] / np.maximum(inner[hole][:, 3:], 1e-9)

    def offsets(self) -> Array32:
        """Return where each sample is copied from, (h, w, 2) float32 x and y; 0 if known."""
        height, width = self._hole.shape
        out = np.zeros((height * width, 2), np.float32)
        there = np.stack(np.divmod(self._nearest, width)[::-1], -1)
        here = np.stack(np.divmod(self.missing, width)[::-1], -1)
        out[self.missing] = there - here
        return out.reshape(height, width, 2)


def _windows(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the (h, w, ..., PATCH, PATCH) patches around the samples of an array (h, w, ...)."""
    reach = PATCH // 2
    width = ((reach, reach), (reach, reach), *[(0, 0)] * (values.ndim - 2))
    padded = np.pad(values, width, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, (PATCH, PATCH), (0, 1))


def push_pull(image: Array32, hole: npt.NDArray[np.bool_]) -> Array32:
    """Fill the holes of an image (h, w, 3) from their surroundings, ever more smoothly inwards.

    Source: Gortler et al. 1996 (The Lumigraph), section 3.4.
    """
    weight = (~hole).astype(np.float32)
    levels = [(image * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 2:
        colour, known = levels[-1]
        half = ((known.shape[1] + 1) // 2, (known.shape[0] + 1) // 2)
        levels.append((resize(colour, half, shrink=True), resize(known, half, shrink=True)))
    colour, known = levels[-1]
    total = max(float(known.sum()), 1e-6)
    mean_colour = colour.sum((0, 1)) / total
    normalised = colour / np.maximum(known, 1e-6)[..., None]
    filled = np.where(known[..., None] > 1e-6, normalised, mean_colour).astype(np.float32)
    for colour, known in levels[-2::-1]:
        above = resize(filled, (known.shape[1], known.shape[0]))
        weight_known = np.clip(2 * known, 0, 1)[..., None]
        own = colour / np.maximum(known, 1e-6)[..., None]
        filled = own * weight_known + above * (1 - weight_known)
    return np.asarray(filled, np.float32)
