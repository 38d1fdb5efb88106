"""Hair that vanishes from the far side of a head as its mirror image comes up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from thcli.core.geometry import matrix_from_rotvec
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy, compose, warp
from thcli.engines.mesh.head.cheeks.mirrored_head import (
    BELOW,
    distance_to_the_right,
    height_above_middle,
)
from thcli.engines.mesh.head.outline import sine_of_yaw
from thcli.engines.mesh.shown_positions import positions_on
from thcli.engines.mesh.surroundings import Surroundings
from thcli.engines.mesh.warp import WarpMap


@dataclass(frozen=True, slots=True)
class HairedHead:
    """A head of a picture: its mesh (468, 3), what is around it, and the mask of its hair.

    hair_at: mask in 0..1 at pixels (..., 2).
    """

    mesh: Array
    surroundings: Surroundings
    hair_at: Callable[[Array32], Array32]

    def turn(self, target: Array, size: tuple[int, int]) -> WarpMap | None:
        """Build the map of a target (468, 3); size: (width, height) of the picture."""
        shown = self.mesh[:, :2]
        texture, step = warp.TexturePositions(shown, shown), warp.map_step(self.mesh)
        return warp.build_map(self.mesh, self.surroundings, target, texture, size, step)


def measure(
    own: HairedHead, mirrored: HairedHead, shift: int, way: float, size: tuple[int, int]
) -> float:
    """Return how much hair a turned source shows on its far side where its mirror image has none.

    Args:
        own: head of the source.
        mirrored: of its mirror image.
        shift: pixels to the right from the mirror image to the source.
        way: share of the way from the source's pose to the mirror image's at which they are
            compared; a frontal view is half of it.
        size: (width, height) of both pictures.

    Returns:
        Squares of the face's height.
    """
    side = sine_of_yaw(own.mesh)
    back, centre = np.arcsin(side) - np.arcsin(side * (1 - 2 * way)), own.mesh.mean(0)
    target = (own.mesh - centre) @ matrix_from_rotvec(np.array([0, back, 0])).T + centre
    first, second = own.turn(target, size), mirrored.turn(target - (shift, 0, 0), size)
    if first is None or second is None:
        return 0.0
    grid = first.grid
    hair = own.hair_at(compose.source_positions(first))
    kept = mirrored.hair_at(positions_on(grid.move((-shift, 0)), second))
    x, y = grid.pixel_axes()
    is_far = distance_to_the_right(target, x, y) * side > 0
    head = smoothstep(*BELOW, height_above_middle(target, x, y))
    lost = float((np.maximum(hair - kept, 0) * head * is_far).sum())
    return lost * (grid.step / anatomy.face_height(own.mesh)) ** 2
