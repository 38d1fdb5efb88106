"""Sides of a head that a turn brings into view: what they show, and how they are rendered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Image
from thcli.engines.mesh.head import steep_texture
from thcli.engines.mesh.head.cheeks import far_side, grown_cheek, mirrored_cheek
from thcli.engines.mesh.head.shades.corner_shades import ShownCorners
from thcli.engines.mesh.warp import WarpMap

if TYPE_CHECKING:
    from thcli.engines.mesh.prepared_source import MeshSource


MOVED = 0.2  # share of mirrored texture from which the texture below lies beside the face


@dataclass(frozen=True, slots=True)
class Sides:
    """Sides of a frame's head.

    texture: (468, 2) source pixels that the mesh's points show.  mirrored: (468,) their share of
    mirrored texture, or None.  back: 0..1, how much of it is that of the whole mirror image.
    """

    texture: Array
    mirrored: Array | None
    back: float = 0.0


def find(source: MeshSource, points: Array) -> Sides:
    """Find what the sides of a head show; points: (468, 3) target mesh."""
    normal, hair = source.normals, source.border_hair
    texture = steep_texture.texture_positions(normal, source.mesh, points, hair)
    cheek = source.hidden_cheek
    mirrored = None if cheek is None else mirrored_cheek.shown_weights(cheek, source.mesh, points)
    if cheek is None or mirrored is None:
        return Sides(texture, None)
    back = 0.0 if source.far_side is None else far_side.turned_back(source.far_side, points)
    texture = mirrored_cheek.move_beside(texture, cheek, source.mesh, mirrored)
    return Sides(texture, mirrored, back)


def render(
    out: Image,
    alpha: Image | None,
    source: MeshSource,
    sides: Sides,
    points: Array,
    warp_map: WarpMap,
    corners: ShownCorners,
) -> None:
    """Render mirrored and made texture over a frame, in place.

    Args:
        out: (H, W, 3) uint8 frame.
        alpha: (H, W) uint8 of its person, or None.
        source: prepared source.
        sides: from `find`.
        points: (468, 3) target mesh.
        warp_map: the frame's map.
        corners: of the frame's mouth.
    """
    frame, cheek, mirrored = (out, alpha), source.hidden_cheek, sides.mirrored
    if cheek is not None and mirrored is not None:
        if sides.back < 1:
            mirrored_cheek.render(frame, corners, cheek, mirrored, points, warp_map)
        if sides.back > 0 and source.far_side is not None and source.layers is not None:
            far, plate = source.far_side, source.layers.plate
            far_side.render(frame, far, plate, mirrored, sides.back, points, warp_map)
    if source.grown_cheek is not None:
        hair = source.border_hair
        shares = grown_cheek.weights(source.grown_cheek, source.mesh, points, hair)
        if shares is not None:
            if mirrored is not None:
                unmoved = 1 - smoothstep(0, MOVED, mirrored)
                shares = shares * np.stack([1 - mirrored, unmoved], 1)
            texture = sides.texture
            grown_cheek.render(out, source.grown_cheek, shares, texture, points, warp_map)
