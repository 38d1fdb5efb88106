"""From a picture to the atlas, and from the atlas to a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.editors.atlas import layout as plan
from thcli.engines.mesh import raster
from thcli.engines.mesh.sampling import look_up, mean, resized

STEP = 4  # pixels of a crop to a sample of the map


def places(points: Array) -> Array32:
    """Where each sample of the atlas lies in the picture of an extended mesh, (ROWS, COLUMNS, 2) pixels; far outside where it lies nowhere."""
    out = np.full((plan.ROWS, plan.COLUMNS, 2), -1e4, np.float32)
    known = plan.layout()
    flat = np.asarray(points[:, :2], np.float32)
    out[known.rows, known.columns] = np.einsum("nk,nkc->nc", known.shares, flat[known.corners])
    return out


def to_atlas(picture: npt.NDArray[Any], where: Array32) -> npt.NDArray[Any]:
    """A picture (H, W, ...) unrolled: (ROWS, COLUMNS, ...) of its type. where: of `places`; outside of the picture is 0."""
    # The stub does not know that the second map may be absent.
    unrolled = cv2.remap(  # type: ignore[call-overload]
        picture, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )
    return np.asarray(unrolled)


@dataclass(frozen=True, slots=True)
class Pinned:
    """Where the atlas lies in a crop, sampled every STEP pixels. grid: of the samples.

    places: (rows, columns, 2) float32 samples of the atlas.  shows: (rows, columns) 0..1, how much of its texture is turned to the camera.
    covered: (rows, columns) 0..1, where there is any.  ids: (rows, columns) the triangles seen.
    """

    grid: raster.Grid
    ids: npt.NDArray[np.int32]
    places: Array32
    shows: Array32
    covered: Array32

    def lift(self, atlas: Array32) -> Array32:
        """What an atlas (ROWS', COLUMNS', C) of any resolution shows at the samples, (rows, columns, C)."""
        scale = np.float32(atlas.shape[0] / plan.ROWS)
        at = (self.places + np.float32(0.5)) * scale - np.float32(0.5)
        return look_up(atlas, at)

    def carried(self, points: Array, values: Array) -> Array32:
        """Values (COUNT, C) of the extended mesh at `points` between them, at the samples: (rows, columns, C), 0 where there is no mesh."""
        return raster.sample(
            self.ids, raster.linear_maps(points, values, plan.TRIANGLES), self.grid
        )


def pin(mesh: Array, points: Array, size: int, step: int = STEP) -> Pinned:
    """mesh: (468, 3) pixels of a crop of size x size pixels.  points: `layout.extended` of it."""
    grid = raster.Grid(0, 0, step, size // step, size // step)
    ids = raster.paint(points, plan.TRIANGLES, plan.order(points), grid)
    values = np.concatenate([plan.layout().points, (plan.facing(mesh) * plan.FADES)[:, None]], 1)
    found = raster.sample(ids, raster.linear_maps(points, values, plan.TRIANGLES), grid)
    return Pinned(
        grid,
        ids,
        np.ascontiguousarray(found[..., :2]),
        np.clip(found[..., 2], 0, 1),
        (ids >= 0).astype(np.float32),
    )


def full(samples: Array32, step: int) -> Array32:
    """Samples at the density of the crop's pixels."""
    return resized(samples, (samples.shape[1] * step, samples.shape[0] * step))


__all__ = ["STEP", "Pinned", "full", "mean", "pin", "places", "to_atlas"]
