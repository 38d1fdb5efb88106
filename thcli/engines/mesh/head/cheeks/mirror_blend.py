"""Blending of a mirror image of the source into a frame, in blocks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.types import Array32, Image
from thcli.engines.mesh import compose
from thcli.engines.mesh.background import blocks
from thcli.engines.mesh.background.blocks import Block
from thcli.engines.mesh.background.edges import sample_block
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.background.windows import iterate_blocks_in, pixels_of, upsample_block
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import mix, remap, to_levels
from thcli.engines.mesh.warp import Cut

LEAST_SHARE = 1 / 510  # of the mirror image that changes a pixel


@dataclass(frozen=True, slots=True)
class MirrorSamples:
    """A mirror image on a sample grid of a frame, (rows, columns, ...) float32.

    positions: (..., 2) pixels of the mirror image.  share: 0..1 of it in the frame.
    cut: on the same grid, None without any.
    """

    grid: SampleGrid
    positions: Array32
    share: Array32
    cut: Cut | None


def blend(out: Image, alpha: Image | None, mirrored: MatteLayers, samples: MirrorSamples) -> None:
    """Blend a mirror image over its plate into a frame, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        alpha: (H, W) uint8 of the frame's person, which is blended with the mirror image's; None
            where it is not needed.
        mirrored: person of the mirror image, plate of the frame.
        samples: where they show.
    """
    size = out.shape[1], out.shape[0]
    for block in blocks.iterate_blocks(
        samples.share[..., None], samples.positions, samples.grid, mirrored.coverage, LEAST_SHARE
    ):
        region = pixels_of(samples.grid.part(block.rows, block.columns), size)
        if region is None:
            continue
        share = to_levels(upsample_block(samples.share, block, samples.grid, region))
        shown, opaque = mirrored.plate[region], np.zeros_like(share)
        person = _sample(mirrored.person, samples, block, region, size)
        if person is not None:
            opaque = np.asarray(cv2.extractChannel(person, 3), np.uint8)
            shown = compose.lay_over(person, shown)
        is_whole = cv2.minMaxLoc(share)[0] == 255
        out[region] = shown if is_whole else mix(out[region], shown, share)
        if alpha is not None:
            alpha[region] = opaque if is_whole else mix(alpha[region], opaque, share)


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
    is_cut = cut is not None and bool((cut.opacity[around] > 0).any())
    if block.kind == blocks.PLATE and not is_cut:
        return None
    positions = upsample_block(samples.positions, block, samples.grid, region)
    shown = sample_block(person, positions, block.kind)
    if cut is not None and is_cut:
        for window, part in iterate_blocks_in(cut.opacity, cut.grid, size, block):
            face = remap(person, upsample_block(cut.positions, part, cut.grid, window))
            opacity = upsample_block(cut.opacity, part, cut.grid, window)
            here = _within(window, region)
            shown[here] = mix(shown[here], face, to_levels(opacity))
    return shown


def _within(region: Region, whole: Region) -> Region:
    """Return a part of a frame as rows and columns of a larger part that holds it."""
    rows, columns = (
        slice(part.start - first.start, part.stop - first.start)
        for part, first in zip(region, whole, strict=True)
    )
    return rows, columns
