"""Edges of a turned nose, which hides a part of itself and of the cheek behind it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Image
from thcli.engines.mesh import anatomy, warp
from thcli.engines.mesh.background.moved_map import move_map
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head import overlaps
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.warp import WarpMap
from thcli.motion import canonical

SIDE = 512
BLUE = (20, 40, 250)


def side_of_nose(mesh: Array, turned: Array) -> Image:
    """Draw the face of a mesh with the part of its nose in blue that a turned one hides."""
    out = faces.render_face(mesh, SIDE, SIDE)
    hidden = anatomy.turned_away(turned) & overlaps._of_nose()[:-1]
    far = np.sign(turned[:, 0].mean() - turned[4, 0])
    for triangle in anatomy.TRIANGLES[hidden]:
        if far * canonical.neutral()[triangle, 0].mean() < 0:
            cv2.fillConvexPoly(out, np.rint(mesh[triangle, :2]).astype(np.int32), BLUE)
    return out


def build(source: MeshSource, target: Array) -> WarpMap:
    texture = warp.TexturePositions(source.mesh[:, :2], source.mesh[:, :2])
    found = warp.build_map(
        source.mesh, source.surroundings, target, texture, source.size, source.step
    )
    assert found is not None
    return found


@pytest.mark.parametrize("angle", [-40.0, -30.0, 30.0, 40.0])
def test_what_a_nose_hides_draws_no_line_along_it(
    angle: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = faces.make_source(SIDE, SIDE, share=0.8)
    target = faces.make_target(plain, turn=(0, angle, 0))
    image = side_of_nose(plain.mesh, target.points)
    assert (image == BLUE).all(-1).sum() > 1000
    source = prepare(image, faces.make_face(plain.mesh, faces.iris_points(plain.mesh)), None)

    def seen() -> float:
        out = render_frame(source, target, None).astype(float)
        return float(np.maximum(out[..., 2] - out[..., 0] - 60, 0).sum())

    hidden = seen()
    monkeypatch.setattr(overlaps, "separate", lambda *_: None)
    assert hidden < 0.25 * seen()


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (12.0, 12.0, 0.0), (0.0, -8.0, 8.0)])
def test_a_nose_that_hides_nothing_lies_on_its_face(turn: tuple[float, float, float]) -> None:
    source = faces.make_source(SIDE, SIDE)
    assert build(source, faces.make_target(source, turn=turn).points).overlap is None


def test_a_nose_moves_with_its_person() -> None:
    source = faces.make_source(SIDE, SIDE)
    found = build(source, faces.make_target(source, turn=(0, 38, 0)).points)
    moved = move_map(found, (30, -20), source.size).overlap
    assert found.overlap is not None and moved is not None
    assert (moved.grid.x0 - found.overlap.grid.x0, moved.grid.y0 - found.overlap.grid.y0) == (
        30,
        -20,
    )
    assert np.array_equal(moved.positions, found.overlap.positions)
