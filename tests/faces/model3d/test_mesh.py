"""The mesh face model: what its numbers mean, and what they do not see."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.errors import NoFaceError
from thcli.core.geometry import angles_from_matrix, box_of, matrix_from_angles, matrix_from_rotvec
from thcli.core.options import RunOptions
from thcli.core.types import Array, Coefficients, Face
from thcli.faces.landmarks import topology
from thcli.motion import canonical, model3d
from thcli.motion import sliders as synth
from thcli.motion.canonical import neutral
from thcli.motion.model3d import EXPRESSION, IDENTITY, SLIDERS, describe

PERSON = np.random.default_rng(3).normal(0, 1, IDENTITY)
amounts = st.floats(0, 0.8)


def script_of(sliders: dict[str, float]) -> synth.Script:
    return replace(synth.Script(), **sliders)  # type: ignore[arg-type]  # all of ours are numbers


def scripted(**sliders: float) -> Array:
    """(468, 3) canonical units: the neutral face with sliders moved."""
    motion = synth.motion(script_of(sliders), [0], Fraction(1, 25))
    return neutral() + np.asarray(motion.arrays["expression"][0], np.float64)


def somebody(**sliders: float) -> Array:
    """The same expression on another person's face."""
    return np.asarray(scripted(**sliders) + np.tensordot(PERSON, model3d.basis().identity, 1))


def posed(
    shape: Array,
    angles: tuple[float, float, float] = (0, 0, 0),
    scale: float = 100.0,
    x: float = 0.0,
) -> Array:
    return np.asarray(scale * shape @ matrix_from_angles(angles).T + [x, 250.0, 0.0])


def slider(numbers: Coefficients, name: str, row: int = 0) -> float:
    return float(numbers.expression[row, EXPRESSION.index(name)])


def test_a_neutral_face_is_all_noughts() -> None:
    numbers = describe(posed(neutral(), x=300.0)[None])
    assert (len(numbers), numbers.identity.shape, numbers.expression.shape) == (
        1,
        (1, IDENTITY),
        (1, len(EXPRESSION)),
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
def test_turning_growing_and_moving_change_nothing_else(
    pitch: float, yaw: float, roll: float, scale: float, x: float
) -> None:
    shape = somebody(jaw=0.5, smile=0.4, blink=0.3)
    still = describe(posed(shape)[None])
    turned = describe(posed(shape, (pitch, yaw, roll), scale, x)[None])
    np.testing.assert_allclose(turned.identity, still.identity, atol=2e-3)
    np.testing.assert_allclose(turned.expression, still.expression, atol=2e-3)
    relative = matrix_from_rotvec(turned.rotation[0]) @ matrix_from_rotvec(still.rotation[0]).T
    np.testing.assert_allclose(relative, matrix_from_angles((pitch, yaw, roll)), atol=1e-4)
    assert turned.scale[0] / still.scale[0] == pytest.approx(scale / 100, rel=1e-4)


@pytest.mark.parametrize(("angle", "name"), [(0, "pitch"), (1, "yaw"), (2, "roll")])
def test_angles_have_the_signs_of_the_sliders(angle: int, name: str) -> None:
    script = script_of({name: 12.0})
    motion = synth.motion(script, [0], Fraction(1, 25), (400, 400))
    mesh = canonical.unpack(
        motion.arrays["pose"], neutral() + np.asarray(motion.arrays["expression"]), (400, 400)
    ).mesh()
    angles = angles_from_matrix(matrix_from_rotvec(describe(mesh).rotation))[0]
    assert angles[angle] == pytest.approx(12, abs=1e-3)
    nose = mesh[0, 4, :2] - mesh[0, [33, 263], :2].mean(0)
    frontal = posed(neutral())
    before = frontal[4, :2] - frontal[[33, 263], :2].mean(0)
    if name == "yaw":
        assert nose[0] < before[0] - 1  # the nose goes to the picture's left
    eyes = mesh[0, 263, :2] - mesh[0, 33, :2]
    if name == "roll":
        assert eyes[1] > 1  # clockwise: the eye on the right goes down


@settings(max_examples=40, deadline=None)
@given(amounts, amounts, st.floats(-0.5, 0.5), amounts, st.floats(0, 1))
def test_a_slider_reads_back_as_it_was_set(
    jaw: float, smile: float, wide: float, brow: float, blink: float
) -> None:
    numbers = describe(
        posed(scripted(jaw=jaw, smile=smile, wide=wide, brow=brow, blink=blink))[None]
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
    numbers = describe(posed(face)[None])
    assert slider(numbers, "blink_left") > 0.6
    assert abs(slider(numbers, "blink_right")) < 0.1


@pytest.mark.parametrize(
    "sliders", [{"jaw": 0.7}, {"smile": 0.9}, {"blink": 1.0}, {"brow": 0.8}, {"wide": -0.6}]
)
def test_who_it_is_does_not_depend_on_the_expression(sliders: dict[str, float]) -> None:
    calm, moved, other = (
        describe(posed(s)[None]) for s in (somebody(), somebody(**sliders), scripted())
    )
    drift = float(np.linalg.norm(moved.identity - calm.identity))
    assert drift < 0.15 * float(np.linalg.norm(other.identity - calm.identity))


def test_shape_gives_the_mesh_back() -> None:
    shape = somebody(jaw=0.4, smile=0.5)
    numbers = describe(posed(shape, (5, 10, 3))[None])
    again = model3d.shape(numbers)[0]
    # the same gauge: the person's rigid points decide pose and unit
    whole = canonical.decompose(posed(shape)).shape
    assert float(np.linalg.norm(again - whole, axis=1).mean()) < 0.01
    with pytest.raises(ValueError, match="deca"):
        model3d.shape(replace(numbers, model="deca"))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_a_trembling_mesh_trembles_little(seed: int) -> None:
    """Noise of .5 % of the eye distance in every point moves no slider by more than .2, no angle by more than a degree."""
    noise = np.random.default_rng(seed).normal(0, 0.5, (468, 3))
    clean, noisy = (describe((posed(somebody()) + n)[None]) for n in (0, noise))
    sliders = slice(0, len(SLIDERS))
    assert np.abs(noisy.expression - clean.expression)[:, sliders].max() < 0.2
    assert np.degrees(np.abs(noisy.rotation - clean.rotation)).max() < 1.0


def test_a_batch_is_its_faces_one_by_one() -> None:
    meshes = [posed(somebody(jaw=0.1 * i), (i, 3 * i, -i), 80 + i) for i in range(7)]
    faces = [Face(box_of(m), 1.0, mesh=m.astype(np.float32)) for m in meshes]
    model = model3d.load(RunOptions())
    blank = np.zeros((4, 4, 3), np.uint8)
    whole = model.fit([blank] * 7, faces)
    assert whole.own["gaze"].shape == (7, 2, 2)
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
