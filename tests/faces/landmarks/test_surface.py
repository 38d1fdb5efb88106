"""Normals of the mesh, and light that is told from its brightness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thcli.core.geometry import matrix_from_rotvec
from thcli.faces.landmarks import surface
from thcli.motion.canonical import neutral

MESH = 140 * neutral() + (256, 230, 0)
SLOPES = st.tuples(*[st.floats(-1, 1)] * 3)


def test_normals_point_into_the_face() -> None:
    normal = surface.inward_normals(MESH)
    assert np.linalg.norm(normal, axis=1) == pytest.approx(np.ones(468))
    assert normal[1, 2] > 0.8, "the nose points at the camera"
    assert normal[454, 0] < -0.8 < 0.8 < normal[234, 0], "the cheeks to their sides"


@given(SLOPES, SLOPES)
def test_normals_turn_with_the_head(angles: tuple[float, ...], shift: tuple[float, ...]) -> None:
    rotation = matrix_from_rotvec(np.array(angles))
    turned = surface.inward_normals(MESH @ rotation.T + 100 * np.array(shift))
    assert turned == pytest.approx(surface.inward_normals(MESH) @ rotation.T, abs=1e-9)


@given(SLOPES, st.floats(-3, 3))
def test_light_is_the_slope_of_the_brightness(slope: tuple[float, ...], level: float) -> None:
    normals = surface.inward_normals(MESH)
    weight = np.clip(normals[:, 2], 0, 1)
    levels = level + normals @ np.array(slope)
    fit = surface.fit_light(levels, normals, weight, 1e-9)
    assert fit == pytest.approx([level, *slope], abs=1e-4)


def test_a_ridge_holds_what_the_normals_do_not_tell() -> None:
    normals = np.tile([0.0, 0.0, 1.0], (50, 1))
    fit = surface.fit_light(np.full(50, 2.0), normals, np.ones(50), 0.01)
    assert fit == pytest.approx([2, 0, 0, 0], abs=1e-3)
    assert not surface.fit_light(np.full(50, 2.0), normals, np.zeros(50), 0.01).any()
