"""Light of the hair on the far side of a turned head, over that of the near side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.head.cheeks.mirrored_head import (
    HAIR_CLASSES,
    distance_to_the_right,
    height_above_middle,
)
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import remap
from thcli.faces.parsing.classes import class_number
from thcli.faces.parsing.crops import Regions

SAMPLES = 48  # per face height
HEIGHTS = (-0.6, 0.4)  # face heights above the middle of the face between which hair is compared
SIDES = (0.1, 0.4)  # face heights from the axis of the face: hair of both sides, and of one
SURE = 0.8  # share of hair
AREA = (0.01, 0.04)  # squares of the face's height of it on one side: too little to tell, enough
MOST = np.log(2.0)  # of the light's logarithm
HUE = 0.5  # share of its hue: what shines through thin hair has another
BLACK = 8.0  # levels that are added: noise of black hair is no light
HATS = (0.1, 0.4)  # share of a hat in hair and hat: the light is the hair's, and neither's
HAT = frozenset({class_number("hat")})


def measure(image: Image, mesh: Array, hair_at: Callable[[Array32], Array32], side: float) -> Array:
    """Measure how much lighter the hair is on the far side of a source.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
        hair_at: mask of the hair in 0..1 at pixels (..., 2).
        side: sine of the source's yaw.

    Returns:
        (3,) logarithm of the colour's ratio; 0 where one side shows too little hair.
    """
    size = anatomy.face_height(mesh)
    step = max(1, round(size / SAMPLES))
    last = np.array(image.shape[1::-1], np.float64) - 1
    grid = SampleGrid.covering(np.zeros(2), last, step, 0)
    x, y = grid.pixel_axes()
    places = np.dstack(np.meshgrid(x, y))
    above = height_above_middle(mesh, x, y)
    hair = (hair_at(places) > SURE) & (above > HEIGHTS[0]) & (above < HEIGHTS[1])
    away = distance_to_the_right(mesh, x, y) * np.sign(side)
    colours = np.log(remap(image, places).astype(np.float64) + BLACK)
    parts = hair & (away > SIDES[1]), hair & (away < -SIDES[1])
    shares = [smoothstep(*AREA, part.sum() * (step / size) ** 2) for part in parts]
    if min(shares) <= 0:
        return np.zeros(3)
    far, near = (np.median(colours[part], 0) for part in parts)
    change = far - near
    light = change.mean() + HUE * (change - change.mean())
    return np.asarray(shares[0] * shares[1] * np.clip(light, -MOST, MOST))


def hair_share(regions: Regions) -> float:
    """Return 1 for a head with hair alone, 0 for one whose hat, of other cloth, tells nothing."""
    hat, both = (float(regions.mask(group).sum()) for group in (HAT, HAIR_CLASSES))
    return 1 - float(smoothstep(*HATS, hat / max(both, 1.0)))


def spread(light: Array, mesh: Array, side: float, grid: SampleGrid) -> Array32:
    """Return the light (3,) of the far side's hair at samples (rows, columns, 3).

    It begins beside the axis of the face, so that hair of the top keeps its own.

    Args:
        light: from `measure`.
        mesh: (468, 3) of the mirror image.
        side: sine of the source's yaw.
        grid: of the samples.
    """
    away = distance_to_the_right(mesh, *grid.pixel_axes()) * np.sign(side)
    return np.asarray(smoothstep(*SIDES, away)[..., None] * light, np.float32)
