"""Lashes of an eye that is shut in the source, which its upper lid carries along as it opens.

They hang over the skin of the lower lid. Left there, they were a black rim below an open eye.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.opening import COLUMNS
from thcli.engines.mesh.sampling import remap

WAY = np.arange(0.0, 0.2, 0.01)  # widths of an eye below its lid in which lashes may hang
BESIDE = np.array([-0.03, 0.0, 0.03])  # widths aside over which light is averaged
BARE = 0.14  # from that way on, skin is seen
DARK, BEGIN = 0.8, 0.05  # light of lashes over that of the skin; way up to which they begin
MARGIN = 0.015  # widths below them
MOST = 0.12  # widths of them at most: between lids that are not quite shut the eye itself is dark
OPENS = (0.03, 0.12)  # gap over width, beyond the source's, over which the lid takes them along


@dataclass(frozen=True, slots=True)
class HangingLashes:
    """Lashes below the lids of a shut eye.

    below: (7, 2) pixels from the points of the lower lid to their ends.  hanging: (7, 2) the same
    from the upper lid, where it is opposite, as far as it takes them along.  reach: (97,) that in
    widths, at COLUMNS.  gap: between the lids, over their width.
    """

    below: Array
    hanging: Array
    reach: Array
    gap: float

    def carried(self, target: Array, ring: npt.NDArray[np.int32]) -> float:
        """Return how far the upper lid of a target mesh (468, 3) has them, 0..1.

        ring: points of the eye.
        """
        return float(smoothstep(*OPENS, opening.fit_opening(target, ring).gap - self.gap))


def measure(image: Image, mesh: Array, ring: npt.NDArray[np.int32]) -> HangingLashes:
    """Find the lashes of a shut eye: what is darker than the skin from the lid on.

    Args:
        image: (H, W, 3) uint8 source.
        mesh: (468, 3) pixels.
        ring: points of the eye.
    """
    shut, lids = opening.fit_opening(mesh, ring), mesh[ring[1:8], :2]
    across, down = shut.axes
    places = lids[:, None, None] + WAY[:, None, None] * down + BESIDE[:, None] * across
    flat = places.reshape(1, -1, 2).astype(np.float32)
    light = remap(image, flat)[0].mean(-1, dtype=np.float64)
    light = light.reshape(len(lids), len(WAY), len(BESIDE)).mean(-1)
    dark = light < DARK * np.median(light[:, WAY > BARE])
    first = WAY <= BEGIN
    begins = dark[:, first].any(-1)
    ends = np.argmin(np.pad(dark | first, ((0, 0), (0, 1))), -1)  # the first that is none
    depth = begins * (WAY[np.minimum(ends, len(WAY) - 1)] + MARGIN)
    padded = np.pad(depth, 1)
    below = ((padded[:-2] + 2 * depth + padded[2:]) / 4)[:, None] * down
    along, low = shut.to_local(lids + below).T
    edge = np.interp(COLUMNS, [0.0, *np.maximum.accumulate(along), 1.0], [0.0, *low, 0.0])
    hanging = lids + below - mesh[ring[:8:-1], :2]
    length = np.linalg.norm(hanging, axis=-1, keepdims=True) / shut.width
    hanging *= np.minimum(MOST / np.maximum(length, 1e-6), 1)
    return HangingLashes(below, hanging, np.clip(edge - shut.upper, 0, MOST), shut.gap)


def carry(texture: Array, eyes: Sequence[HangingLashes | None], target: Array) -> Array:
    """Return the texture positions of a mesh whose upper lids carry their lashes.

    The lower lid begins below them, and the upper one as far down as it takes them along, so that
    they lie above an open eye and no longer below it.

    Args:
        texture: (468, 2) pixels of the source.
        eyes: lashes of both; None for open ones.
        target: (468, 3) mesh.
    """
    out = texture
    for ring, lashes in zip(EYES, eyes, strict=True):
        if lashes is None:
            continue
        out = out.copy() if out is texture else out
        share = lashes.carried(target, ring)
        out[ring[1:8]] += share * lashes.below
        out[ring[:8:-1]] += share * lashes.hanging
    return out
