"""Glasses: found by the face's regions, and rigid."""

from __future__ import annotations

import numpy as np

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Crop
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.head import glasses
from thcli.faces.landmarks.topology import BROWS, EYES
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions

MESH = faces.centred_mesh(256, 256)


def _regions(worn: float) -> Regions:
    """Draw glasses from the brows to the middle of the cheeks, with a probability."""
    planes = np.zeros((len(CLASSES), 256, 256), np.float32)
    top = MESH[np.concatenate(BROWS), 1].min()
    bottom = MESH[np.concatenate(EYES), 1].max() + 0.1 * anatomy.face_height(MESH)
    planes[class_number("eye_g"), int(top) : int(bottom)] = worn
    return Regions(Crop(np.eye(3), (256, 256)), planes)


def test_brows_do_not_bend_a_frame() -> None:
    weight = glasses.find(_regions(1.0), MESH)
    assert weight is not None
    size, brows = anatomy.face_height(MESH), np.concatenate(BROWS)
    moved = MESH + np.array([0.2 * size, 0, 0])
    target = moved.copy()
    target[brows, 1] -= 0.08 * size
    lids = np.concatenate(EYES)
    target[lids, 1] += 0.01 * size
    held = glasses.hold(weight, MESH, target)
    inside = weight[brows] > 0.9
    assert inside.sum() > len(brows) / 2
    assert np.abs(held - moved)[brows[inside]].max() < 0.02 * size
    assert np.array_equal(held[lids], target[lids])


def test_without_glasses_nothing_is_held() -> None:
    assert glasses.find(_regions(0.2), MESH) is None
