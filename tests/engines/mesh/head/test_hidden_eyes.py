"""Eyes of a turned head that its nose hides in part."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array
from thcli.engines.mesh import anatomy, raster, warp
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head import hidden_eyes
from thcli.engines.mesh.raster import SampleGrid

SIDE = 512


def behind_nose(target: Array, ring: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Return where skin that is no lid of an eye covers it, (SIDE, SIDE) bool."""
    away = anatomy.doubled_areas(target) * anatomy.FRONTAL_SIGNS <= 0
    depth = target[anatomy.TRIANGLES, 2].mean(1) + 1e4 * away
    depth[: anatomy.HOLE_TRIANGLE_COUNT] = np.inf
    order = np.argsort(-depth, kind="stable")
    ids = raster.rasterize(target, anatomy.TRIANGLES, order, SampleGrid(0, 0, 1, SIDE, SIDE))
    nose = ~away & ~np.isin(anatomy.TRIANGLES, ring).any(1)
    nose[: anatomy.HOLE_TRIANGLE_COUNT] = False
    shown = np.append(nose, False)[ids]
    return np.asarray(shown & faces.polygon_mask(target[ring, :2], SIDE, SIDE, grow=2))


@pytest.mark.parametrize("angle", [-55.0, 55.0])
def test_the_nose_covers_the_far_eye(angle: float, monkeypatch: pytest.MonkeyPatch) -> None:
    source = faces.make_source(SIDE, SIDE, share=0.8)
    target = faces.make_target(source, turn=(0, angle, 0))
    hidden = [behind_nose(target.points, ring) for ring in anatomy.EYES]
    far = max(hidden, key=np.count_nonzero)
    inner = cv2.erode(far.astype(np.uint8), np.ones((3, 3))) > 0
    assert inner.sum() > 20

    def unlike_skin() -> float:
        out = render_frame(source, target, None)[inner].astype(int)
        return float((np.abs(out - faces.SKIN).max(-1) > 60).mean())

    assert unlike_skin() < 0.25
    monkeypatch.setattr(hidden_eyes, "find", lambda *_: [])
    assert unlike_skin() > 0.5


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (12.0, 20.0, 0.0), (-15.0, -10.0, 8.0)])
def test_eyes_that_the_nose_leaves_free_keep_all_of_their_pixels(
    turn: tuple[float, float, float],
) -> None:
    source = faces.make_source(SIDE, SIDE)
    target = faces.make_target(source, turn=turn, lids=1.1).points
    texture = warp.TexturePositions(source.mesh[:, :2], source.mesh[:, :2])
    found = warp.build_map(
        source.mesh, source.surroundings, target, texture, source.size, source.step
    )
    assert found is not None
    assert hidden_eyes.find(source.image.copy(), target, found) == []
