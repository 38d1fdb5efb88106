"""The mesh face model: its coefficients and their invariances."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.errors import NoFaceError
from thcli.core.geometry import (
    angles_from_matrix,
    bounding_box,
    matrix_from_angles,
    matrix_from_rotvec,
)
from thcli.core.options import RunOptions
from thcli.core.types import Array, Coefficients, Face
from thcli.faces.landmarks import topology
from thcli.motion import canonical, model3d
from thcli.motion import sliders as synth
from thcli.motion.canonical import neutral
from thcli.motion.model3d import EXPRESSION_NAMES, IDENTITY_COUNT, SLIDER_NAMES, fit_coefficients

PERSON = np.random.default_rng(3).normal(0, 1, IDENTITY_COUNT)
amounts = st.floats(0, 0.8)


def slider_curves(sliders: dict[str, float]) -> synth.SliderCurves:
    return replace(synth.SliderCurves(), **sliders)  # type: ignore[arg-type]


def mesh_with_sliders(**sliders: float) -> Array:
    """Return the neutral face with sliders applied, (468, 3) canonical units."""
    motion = synth.motion_from_sliders(slider_curves(sliders), [0], Fraction(1, 25))
    return neutral() + np.asarray(motion.arrays["expression"][0], np.float64)


def other_person(**sliders: float) -> Array:
    """Return the same expression on another person's face."""
    return np.asarray(
        mesh_with_sliders(**sliders) + np.tensordot(PERSON, model3d.load_basis().identity, 1)
    )


def posed(
    shape: Array,
    angles: tuple[float, float, float] = (0, 0, 0),
    scale: float = 100.0,
    x: float = 0.0,
) -> Array:
    return np.asarray(scale * shape @ matrix_from_angles(angles).T + [x, 250.0, 0.0])


def slider(numbers: Coefficients, name: str, row: int = 0) -> float:
    return float(numbers.expression[row, EXPRESSION_NAMES.index(name)])


def test_a_neutral_face_has_zero_coefficients() -> None:
    numbers = fit_coefficients(posed(neutral(), x=300.0)[None])
    assert (len(numbers), numbers.identity.shape, numbers.expression.shape) == (
        1,
        (1, IDENTITY_COUNT),
        (1, len(EXPRESSION_NAMES)),
    )
    for values in (numbers.identity, numbers.expression, numbers.rotation):
        np.testing.assert_allclose(values, 0, atol=1e-5)
    assert numbers.scale[0] == pytest.approx(100)
    np.testing.assert_allclose(numbers.translation, [[300, 250]], atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(
    st.floats(-50, 50),
    st.floats(-60, 60),
    st.floats(-60, 60),
    st.floats(20, 900),
    st.floats(-400, 2000),
)
def test_pose_scale_and_position_change_nothing_else(
    pitch: float, yaw: float, roll: float, scale: float, x: float
) -> None:
    shape = other_person(jaw=0.5, smile=0.4, blink=0.3)
    still = fit_coefficients(posed(shape)[None])
    turned = fit_coefficients(posed(shape, (pitch, yaw, roll), scale, x)[None])
    np.testing.assert_allclose(turned.identity, still.identity, atol=2e-3)
    np.testing.assert_allclose(turned.expression, still.expression, atol=2e-3)
    relative = matrix_from_rotvec(turned.rotation[0]) @ matrix_from_rotvec(still.rotation[0]).T
    np.testing.assert_allclose(relative, matrix_from_angles((pitch, yaw, roll)), atol=1e-4)
    assert turned.scale[0] / still.scale[0] == pytest.approx(scale / 100, rel=1e-4)


@pytest.mark.parametrize(("angle", "name"), [(0, "pitch"), (1, "yaw"), (2, "roll")])
def test_angles_have_the_signs_of_the_sliders(angle: int, name: str) -> None:
    script = slider_curves({name: 12.0})
    motion = synth.motion_from_sliders(script, [0], Fraction(1, 25), (400, 400))
    mesh = canonical.unpack_pose(
        motion.arrays["pose"], neutral() + np.asarray(motion.arrays["expression"]), (400, 400)
    ).mesh()
    angles = angles_from_matrix(matrix_from_rotvec(fit_coefficients(mesh).rotation))[0]
    assert angles[angle] == pytest.approx(12, abs=1e-3)
    nose = mesh[0, 4, :2] - mesh[0, [33, 263], :2].mean(0)
    frontal = posed(neutral())
    before = frontal[4, :2] - frontal[[33, 263], :2].mean(0)
    if name == "yaw":
        assert nose[0] < before[0] - 1  # the nose moves to the left of the image
    eyes = mesh[0, 263, :2] - mesh[0, 33, :2]
    if name == "roll":
        assert eyes[1] > 1  # clockwise: the eye on the right moves down


@settings(max_examples=40, deadline=None)
@given(amounts, amounts, st.floats(-0.5, 0.5), amounts, st.floats(0, 1))
def test_a_slider_is_recovered(
    jaw: float, smile: float, wide: float, brow: float, blink: float
) -> None:
    numbers = fit_coefficients(
        posed(mesh_with_sliders(jaw=jaw, smile=smile, wide=wide, brow=brow, blink=blink))[None]
    )
    for name, value in (
        ("jaw", jaw),
        ("smile", smile),
        ("wide", wide),
        ("brow_left", brow),
        ("brow_right", brow),
    ):
        assert slider(numbers, name) == pytest.approx(value, abs=0.12)
    # a smile narrows the eyes: together with a blink they close at most
    assert slider(numbers, "blink_left") == pytest.approx(blink, abs=0.2)


def test_one_eye_alone() -> None:
    face = neutral().copy()
    columns = topology.LIDS[0]
    face[columns.upper] = face[columns.lower]
    numbers = fit_coefficients(posed(face)[None])
    assert slider(numbers, "blink_left") > 0.6
    assert abs(slider(numbers, "blink_right")) < 0.1


@pytest.mark.parametrize(
    "sliders", [{"jaw": 0.7}, {"smile": 0.9}, {"blink": 1.0}, {"brow": 0.8}, {"wide": -0.6}]
)
def test_the_identity_does_not_depend_on_the_expression(sliders: dict[str, float]) -> None:
    neutral_fit, moving_fit, other = (
        fit_coefficients(posed(s)[None])
        for s in (other_person(), other_person(**sliders), mesh_with_sliders())
    )
    drift = float(np.linalg.norm(moving_fit.identity - neutral_fit.identity))
    assert drift < 0.15 * float(np.linalg.norm(other.identity - neutral_fit.identity))


def test_the_shape_reproduces_the_mesh() -> None:
    shape = other_person(jaw=0.4, smile=0.5)
    numbers = fit_coefficients(posed(shape, (5, 10, 3))[None])
    again = model3d.reconstruct_shape(numbers)[0]
    # the same gauge: the person's rigid points decide pose and unit
    whole = canonical.decompose(posed(shape)).shape
    assert float(np.linalg.norm(again - whole, axis=1).mean()) < 0.01
    with pytest.raises(ValueError, match="deca"):
        model3d.reconstruct_shape(replace(numbers, model="deca"))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_noise_of_the_mesh_is_attenuated(seed: int) -> None:
    """Noise of 0.5 % of the eye distance changes sliders by at most 0.2 and angles by 1 degree."""
    noise = np.random.default_rng(seed).normal(0, 0.5, (468, 3))
    clean, noisy = (fit_coefficients((posed(other_person()) + n)[None]) for n in (0, noise))
    sliders = slice(0, len(SLIDER_NAMES))
    assert np.abs(noisy.expression - clean.expression)[:, sliders].max() < 0.2
    assert np.degrees(np.abs(noisy.rotation - clean.rotation)).max() < 1.0


def test_a_batch_is_its_faces_one_by_one() -> None:
    meshes = [posed(other_person(jaw=0.1 * i), (i, 3 * i, -i), 80 + i) for i in range(7)]
    faces = [Face(bounding_box(m), 1.0, mesh=m.astype(np.float32)) for m in meshes]
    model = model3d.load(RunOptions())
    blank = np.zeros((4, 4, 3), np.uint8)
    whole = model.fit([blank] * 7, faces)
    assert whole.native["gaze"].shape == (7, 2, 2)
    for i, face in enumerate(faces):
        one = model.fit([blank], [face])
        for name in ("identity", "expression", "rotation", "scale", "translation"):
            np.testing.assert_allclose(
                getattr(one, name)[0], getattr(whole, name)[i], rtol=1e-5, atol=1e-5
            )


def test_a_face_without_a_mesh_is_refused() -> None:
    face = Face(np.array([0, 0, 10, 10], np.float32), 1.0)
    with pytest.raises(NoFaceError, match="no mesh") as caught:
        model3d.load(RunOptions()).fit([np.zeros((4, 4, 3), np.uint8)], [face])
    assert "--landmarker facemesh" in caught.value.hint


@settings(max_examples=60, deadline=None)
@given(st.floats(-179, 179), st.floats(-89, 89), st.floats(-179, 179))
def test_angles_and_matrices_are_inverse(pitch: float, yaw: float, roll: float) -> None:
    rotation = matrix_from_angles((pitch, yaw, roll))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(angles_from_matrix(rotation), (pitch, yaw, roll), atol=1e-4)
