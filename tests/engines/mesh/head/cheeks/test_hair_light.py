"""Light of hair on the far side of a turned head, over that of the near side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Array32, Crop, Image
from thcli.engines.mesh.head.cheeks import hair_light
from thcli.engines.mesh.head.cheeks.hair_light import MOST
from thcli.engines.mesh.raster import SampleGrid
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions

SIDE = 240
NEAR = (120, 80, 40)


def turned_mesh(angle: float) -> Array:
    return faces.make_target(faces.make_source(SIDE, SIDE), turn=(0, angle, 0)).points


def measure(mesh: Array, far: float, is_hair: npt.NDArray[np.bool_] | None = None) -> Array:
    """Measure a face beside which all is hair, of another light on its far side.

    far: that light.  is_hair: (SIDE, SIDE) what else counts as hair.
    """
    side = 1.0 if mesh[454, 2] > mesh[234, 2] else -1.0
    image: Image = np.full((SIDE, SIDE, 3), NEAR, np.uint8)
    middle = int(mesh[OVAL, 0].mean())
    half = slice(middle, None) if side > 0 else slice(None, middle)
    image[:, half] = np.minimum(np.array(NEAR) * far, 255)
    beside = ~faces.polygon_mask(mesh[OVAL, :2], SIDE, SIDE)
    hair = beside if is_hair is None else beside & is_hair

    def hair_at(positions: Array32) -> Array32:
        x, y = (np.clip(positions[..., k].round().astype(int), 0, SIDE - 1) for k in (0, 1))
        return np.asarray(hair[y, x], np.float32)

    return hair_light.measure(image, mesh, hair_at, side)


@pytest.mark.parametrize("angle", [25.0, -25.0])
@pytest.mark.parametrize("far", [0.6, 1.0, 1.5])
def test_the_far_sides_light_is_told_on_either_side(angle: float, far: float) -> None:
    light = measure(turned_mesh(angle), far)
    assert np.abs(light - np.log(far)).max() < 0.12  # black is lifted


def test_light_is_limited_and_needs_hair_on_both_sides() -> None:
    mesh = turned_mesh(25.0)
    np.testing.assert_allclose(measure(mesh, 0.2), -MOST)
    columns = np.broadcast_to(np.arange(SIDE), (SIDE, SIDE))
    for one in (columns < mesh[OVAL, 0].mean(), columns > mesh[OVAL, 0].mean()):
        assert (measure(mesh, 0.5, one) == 0).all()


@pytest.mark.parametrize(("hat", "share"), [(0, 1.0), (10, 0.0)])
def test_a_hat_tells_nothing_of_the_light_of_hair(hat: int, share: float) -> None:
    planes: Array32 = np.zeros((len(CLASSES), 20, 20), np.float32)
    planes[class_number("hair"), hat:] = 1
    planes[class_number("hat"), :hat] = 1
    assert hair_light.hair_share(Regions(Crop(np.eye(3), (20, 20)), planes)) == share


def test_the_top_and_the_near_side_keep_their_light() -> None:
    mesh, grid = turned_mesh(25.0), SampleGrid(0, 0, 1, SIDE, SIDE)
    for side in (1.0, -1.0):
        lit = hair_light.spread(np.array([0.3, 0.2, 0.1]), mesh, side, grid)
        row = lit[int(mesh[4, 1])][:: int(side)]
        assert (row[: SIDE // 2 - 5] == 0).all()
        np.testing.assert_allclose(row[-1], (0.3, 0.2, 0.1), rtol=1e-6)
