"""What a face looks like, in small numbers that are averaged over its clip: its colours, its light, how sharp it is, how wide its head."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.editors.drawn.light import fitted
from thcli.editors.drawn.sharpness import blur_of
from thcli.faces.parsing.classes import BROWS, HAIR, SKIN, together
from thcli.motion.canonical import decompose

# What glasses rest on and a head's pose is told by: the bridge, the nose, corners of the eyes, brows, temples, cheeks, forehead.
ANCHORS = np.array(
    [
        168,
        6,
        197,
        195,
        5,
        8,
        9,
        151,
        10,
        33,
        133,
        263,
        362,
        70,
        300,
        105,
        334,
        107,
        336,
        127,
        356,
        234,
        454,
        162,
        389,
        116,
        345,
        122,
        351,
        193,
        417,
        50,
        280,
    ],
    np.intp,
)
_WORK = 128  # pixels across which colours are gathered
_SURE = 0.75  # of a region's pixels: less sure ones are mixed with what is beside them


@dataclass(frozen=True, slots=True)
class Look:
    """One face's numbers, or their mean over a clip.

    skin, hair, brow: (3,) RGB 0..255, medians of the skin and hair, and the darker half of the brows.  hair_share: of the crop.
    light: (4,) log brightness of skin as a constant and a slope along the surface's direction (picture axes; see `light.fitted`).
    blur: pixels of a Gaussian as wide as the picture's own softness.  anchors: (len(ANCHORS), 3), canonical (see `motion.canonical`).
    """

    skin: Array
    hair: Array
    brow: Array
    hair_share: Array
    light: Array
    blur: Array
    anchors: Array

    def row(self) -> Array32:
        """All of it as (L,) float32."""
        return np.concatenate(
            [np.ravel(getattr(self, field.name)) for field in fields(self)]
        ).astype(np.float32)

    @staticmethod
    def of_row(row: Array32) -> Look:
        """The inverse of `row`."""
        parts = np.split(np.asarray(row, np.float64), np.cumsum([3, 3, 3, 1, 4, 1]))
        skin, hair, brow, share, light, blur, anchors = parts
        return Look(skin, hair, brow, share, light, blur, anchors.reshape(-1, 3))


ROW = 15 + 3 * len(ANCHORS)


def measure(crop: Image, mesh: Array, regions: Array32) -> Look:
    """The look of one crop, (S, S, 3). mesh: (468, 3) in its pixels.  regions: (19, S', S')."""
    small = (
        cv2.resize(crop, (_WORK, _WORK), interpolation=cv2.INTER_AREA)
        .reshape(-1, 3)
        .astype(np.float64)
    )

    def share(group: frozenset[int]) -> Array32:
        plane = cv2.resize(together(regions, group), (_WORK, _WORK), interpolation=cv2.INTER_AREA)
        return np.asarray(plane, np.float32).ravel()

    skin_share, hair_share, brow_share = share(SKIN), share(HAIR), share(BROWS)
    skin = _median(small, skin_share, np.array([170.0, 130.0, 110.0]))
    brow = _median(small, brow_share, 0.45 * skin, darker=True)
    hair = _median(small, hair_share, brow)
    posed = decompose(mesh)
    return Look(
        skin,
        hair,
        brow,
        np.array([hair_share.mean()]),
        fitted(crop, mesh, regions),
        np.array([blur_of(crop, mesh)]),
        posed.shape[ANCHORS],
    )


def _median(pixels: Array, share: Array32, otherwise: Array, *, darker: bool = False) -> Array:
    """Of the pixels that surely belong to a region, (3,); of their darker half where asked for; `otherwise` where there are too few."""
    chosen = pixels[share > _SURE]
    if len(chosen) < 6:
        chosen = pixels[share > _SURE / 2]
    if len(chosen) < 6:
        return otherwise
    if darker:
        grey = chosen.mean(1)
        chosen = chosen[grey <= np.median(grey)]
    return np.asarray(np.median(chosen, axis=0))
