"""Persons who are small in a picture, as the segmentation network sees them in crops of their own.

The network reduces what it is given to 256 x 256 pixels and knows portraits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.sampling import resize

# Crop around a person: half its side, and how far its middle lies below that of the face, in
# heights of the face; share of the half side over which it fades
HALF, BELOW, FADE = 2.2, 0.6, 0.3
FARTHER = 2.0  # times by which the picture's longer side exceeds that of a crop that is worth it

See = Callable[[Image], Array32]


def see_closely(image: Image, see: See, meshes: Sequence[Array], most: int) -> Array32:
    """Return the probability of each person (N, rows, columns) as a crop around the face shows it.

    Where that ends, those of other persons go on, and then that of the whole picture.

    Args:
        image: (H, W, 3) uint8.
        see: gives the probability (h, w) of a person in 0..1 in a picture.
        meshes: (468, 3) pixels of their faces.
        most: samples of the picture's longer side.
    """
    height, width = image.shape[:2]
    scale = min(1.0, most / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    whole = resize(see(image), size, shrink=scale < 1)
    close = [_View.of(image, see, mesh, size) for mesh in meshes]
    total, weights = np.zeros_like(whole), np.zeros_like(whole)
    for one in filter(None, close):
        total[one.region] += one.weight * one.seen
        weights[one.region] += one.weight
    mean = total / np.maximum(weights, np.float32(1e-6))
    together = whole + weights.clip(0, 1) * (mean - whole)
    out = np.asarray(np.repeat(together[None], len(meshes), 0), np.float32)
    for own, mine in zip(out, close, strict=True):
        if mine is not None:
            own[mine.region] += mine.weight * (mine.seen - own[mine.region])
    return out


@dataclass(frozen=True, slots=True)
class _View:
    """A person who is seen closely.

    region: of the samples.  seen: (h, w) probability there.  weight: (h, w) of it, 0 at its rim.
    """

    region: Region
    seen: Array32
    weight: Array32

    @staticmethod
    def of(image: Image, see: See, mesh: Array, size: tuple[int, int]) -> _View | None:
        """See a person of (columns, rows) samples; None where the picture is hardly larger."""
        height = anatomy.face_height(mesh)
        middle = mesh[[anatomy.FOREHEAD, anatomy.CHIN], :2].mean(0)
        middle[1] += BELOW * height
        half = HALF * height
        sides, samples = np.array(image.shape[1::-1]), np.array(size)
        if sides.max() < FARTHER * 2 * half:
            return None
        low = np.clip(np.floor(middle - half), 0, sides - 1).astype(int)
        high = np.clip(np.ceil(middle + half), low + 1, sides).astype(int)
        crop = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
        scale = samples / sides
        first = np.floor(low * scale).astype(int)
        stop = np.minimum(np.ceil(high * scale).astype(int), samples)
        seen = resize(see(crop), (int(stop[0] - first[0]), int(stop[1] - first[1])))
        x, y = (np.arange(first[axis], stop[axis]) / scale[axis] - middle[axis] for axis in (0, 1))
        away = np.hypot(x[None], y[:, None]) / half
        weight = np.asarray(1 - smoothstep(1 - FADE, 1.0, away), np.float32)
        return _View((slice(first[1], stop[1]), slice(first[0], stop[0])), seen, weight)
