"""Blending of a mirror image of the source into a frame, in blocks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.types import Array32, Image
from thcli.engines.mesh import compose
from thcli.engines.mesh.background import blocks
from thcli.engines.mesh.background.blocks import Block
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import mix, pair, remap

LEAST_SHARE = 1 / 510  # of the mirror image that changes a pixel


@dataclass(frozen=True, slots=True)
class MirrorSamples:
    """A mirror image on a sample grid of a frame, (rows, columns, ...) float32.

    positions: (..., 2) pixels of the mirror image.  share: 0..1 of it in the frame.
    gains: (..., 3) of its colours.  cut: (..., 3) as in `warp.Cut`, None without any.
    """

    grid: SampleGrid
    positions: Array32
    share: Array32
    gains: Array32
    cut: Array32 | None


@dataclass(frozen=True, slots=True)
class ShownMirror:
    """Part of a frame that shows a mirror image: its alpha and share (h, w) uint8."""

    region: Region
    alpha: Image
    share: Image

    def cover(self, alpha: Image) -> None:
        """Blend the person's alpha (H, W) uint8 with that of the mirror image, in place."""
        alpha[self.region] = mix(alpha[self.region], self.alpha, self.share)


def blend(out: Image, mirrored: MatteLayers, samples: MirrorSamples) -> ShownMirror | None:
    """Blend a mirror image over its plate into a frame, in place; None where it lies outside.

    Args:
        out: (H, W, 3) uint8 frame.
        mirrored: person of the mirror image, plate of the frame.
        samples: where they show.
    """
    size = out.shape[1], out.shape[0]
    whole = compose.pixels_of(samples.grid, size)
    if whole is None:
        return None
    height, width = (part.stop - part.start for part in whole)
    alpha, shares = np.zeros((2, height, width), np.uint8)
    gains = np.dstack([samples.gains, np.ones_like(samples.share)])
    for block in blocks.iterate_blocks(
        samples.share[..., None], samples.positions, samples.grid, mirrored.coverage, LEAST_SHARE
    ):
        region = compose.pixels_of(samples.grid.part(block.rows, block.columns), size)
        if region is None:
            continue
        here = _within(region, whole)
        share = _levels(compose.upsample_block(samples.share, block, samples.grid, region))
        shares[here] = share
        shown = mirrored.plate[region]
        person = _sample(mirrored.person, samples, block, region, size)
        if person is not None:
            tint = compose.upsample_block(gains, block, samples.grid, region)
            tinted = cv2.multiply(person, tint, dtype=cv2.CV_8U)
            alpha[here] = opaque = cv2.extractChannel(person, 3)
            if cv2.minMaxLoc(opaque)[0] == 255:
                shown = np.asarray(cv2.cvtColor(tinted, cv2.COLOR_RGBA2RGB), np.uint8)
            else:
                # premultiplied colours are no brighter than their alpha
                dimmed = np.asarray(cv2.min(tinted, cv2.merge([opaque] * 4)), np.uint8)
                shown = compose.lay_over(dimmed, shown)
        is_whole = cv2.minMaxLoc(share)[0] == 255
        out[region] = shown if is_whole else mix(out[region], shown, share)
    return ShownMirror(whole, alpha, shares)


def _sample(
    person: Image, samples: MirrorSamples, block: Block, region: Region, size: tuple[int, int]
) -> Image | None:
    """Sample a mirror image's person for a block, (h, w, 4) uint8; None where none of it shows.

    size: (width, height) of the frame.
    """
    around = (
        slice(block.rows.start - 1, block.rows.stop + 1),
        slice(block.columns.start - 1, block.columns.stop + 1),
    )
    cut = samples.cut
    is_cut = cut is not None and bool((cut[around][..., 2] > 0).any())
    if block.kind == blocks.PLATE and not is_cut:
        return None
    positions = compose.upsample_block(samples.positions, block, samples.grid, region)
    shown = compose.sample_block(person, positions, block.kind)
    if cut is not None and is_cut:
        windows = compose.iterate_windows(cut, cut[..., 2], samples.grid, size, block)
        for window, values in windows:
            face = remap(person, pair(values))
            opacity = np.asarray(cv2.extractChannel(values, 2), np.float32)
            here = _within(window, region)
            shown[here] = mix(shown[here], face, _levels(opacity))
    return shown


def _within(region: Region, whole: Region) -> Region:
    """Return a part of a frame as rows and columns of a larger part that holds it."""
    rows, columns = (
        slice(part.start - first.start, part.stop - first.start)
        for part, first in zip(region, whole, strict=True)
    )
    return rows, columns


def _levels(share: Array32) -> Image:
    """Convert shares in 0..1 to uint8."""
    return np.asarray(cv2.convertScaleAbs(share, alpha=255), np.uint8)
