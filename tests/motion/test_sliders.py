"""Sliders, bundled data, and observation of tracked faces."""

from __future__ import annotations

from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from tests.motion import synthetic_motion as synthetic
from thcli.core.options import MotionOptions
from thcli.core.types import Array
from thcli.faces.landmarks import topology
from thcli.motion import canonical, sliders
from thcli.motion.file.reader import MotionFile
from thcli.motion.observe import observe, rebuild_driver_meshes
from thcli.motion.retarget import retarget

DATA = Path(str(files("thcli.motion").joinpath("data")))


def slider_shape(**values: float) -> Array:
    curves = sliders.SliderCurves(**values)  # type: ignore[arg-type]
    motion = sliders.motion_from_sliders(curves, [0], Fraction(1, 25))
    return canonical.neutral() + np.asarray(motion.arrays["expression"][0], np.float64)


def test_each_slider_moves_its_part() -> None:
    still = slider_shape()
    assert np.abs(still - canonical.neutral()).max() < 2e-3
    assert canonical.mouth_opening(slider_shape(jaw=1)) == pytest.approx(0.4, abs=0.05)
    left, right = topology.MOUTH_CORNERS
    smiling = slider_shape(smile=1)
    assert (smiling - still)[[left, right], 1].max() < -0.03  # the corners rise
    assert canonical.mouth_opening(smiling) < 0.03
    wide = slider_shape(wide=1)
    assert (wide[right] - wide[left])[0] - (still[right] - still[left])[0] == pytest.approx(
        0.1, abs=0.02
    )
    assert canonical.eye_openings(slider_shape(blink=1)).max() < 0.01
    assert np.all(
        canonical.eye_openings(slider_shape(blink=0.5)) < 0.6 * canonical.eye_openings(still)
    )
    assert (slider_shape(brow=1) - still)[[105, 334], 1].max() < -0.05
    assert (
        np.abs(
            slider_shape(jaw=1, smile=0.5)[topology.PAIRS] * [-1, 1, 1]
            - slider_shape(jaw=1, smile=0.5)
        ).max()
        < 1e-5
    )


@pytest.mark.parametrize(("slider", "axis"), [("pitch", 0), ("yaw", 1), ("roll", 2)])
def test_rotation_sliders_rotate_about_their_axis(slider: str, axis: int) -> None:
    curves = sliders.SliderCurves(**{slider: 10.0})  # type: ignore[arg-type]
    motion = sliders.motion_from_sliders(curves, [0], Fraction(1, 25), synthetic.SIZE)
    pose = np.asarray(motion.arrays["pose"][0], np.float64)
    assert np.degrees(pose[axis]) == pytest.approx(10) and np.degrees(
        np.abs(pose[:3])
    ).sum() == pytest.approx(10)
    mesh = rebuild_driver_meshes(motion)[0]
    nose, eyes = mesh[4], (mesh[33] + mesh[263]) / 2
    if slider == "yaw":
        assert nose[0] < eyes[0]
    elif slider == "roll":
        assert mesh[263, 1] > mesh[33, 1]
    else:
        flat = rebuild_driver_meshes(
            sliders.motion_from_sliders(
                sliders.SliderCurves(), [0], Fraction(1, 25), synthetic.SIZE
            )
        )[0]
        assert nose[1] - eyes[1] > flat[4, 1] - (flat[33, 1] + flat[263, 1]) / 2


def test_a_slider_of_another_length_is_rejected() -> None:
    with pytest.raises(ValueError):
        sliders.motion_from_sliders(sliders.SliderCurves(yaw=np.zeros(3)), [0, 1], Fraction(1, 25))


def test_keyframe_curves_pass_through_their_points() -> None:
    at = np.array([-1.0, 0, 0.5, 1, 2, 9])
    assert np.allclose(sliders.keyframe_curve(at, (0, 1), (1, 3), (2, -1)), [1, 1, 2, 3, -1, -1])


@pytest.mark.parametrize("name", ["face.safetensors", "demo.motion.safetensors"])
def test_bundled_data_are_small_and_name_their_origin(name: str) -> None:
    assert (DATA / name).stat().st_size <= 1_000_000
    with safe_open(DATA / name, "numpy") as table:
        metadata = table.metadata()
    assert metadata["licence"] == "CC-BY-4.0"
    assert "London" in metadata["attribution"] and "GRID" in metadata["attribution"]


def test_the_demo_moves_like_a_person() -> None:
    demo = MotionFile(DATA / "demo.motion.safetensors")
    motion = demo.window(0, len(demo))
    assert 6 <= len(demo) / 25 <= 8 and motion.valid.all()
    shapes = canonical.neutral() + np.asarray(motion.arrays["expression"], np.float64)
    eyes, mouth = canonical.eye_openings(shapes).mean(-1), canonical.mouth_opening(shapes)
    angles = np.degrees(np.ptp(np.asarray(motion.arrays["pose"], np.float64)[:, :3], axis=0))
    blinks = np.count_nonzero(np.diff((eyes < 0.4 * np.median(eyes)).astype(int)) == 1)
    assert (
        4 <= blinks <= 6
        and mouth.max() > 0.15
        and mouth.min() < 0.01
        and np.all(angles > [8, 18, 4])
    )
    whole = retarget(synthetic.source(), demo, MotionOptions()).window(0, len(demo))
    points = np.asarray(whole.arrays["points"], np.float64)
    iod = np.linalg.norm(points[0, 33] - points[0, 263])
    still = [i for i in range(468) if i not in set(topology.EYES[0]) | set(topology.EYES[1])]
    steps = np.abs(np.diff(points[:, still, :2], axis=0)).max((1, 2)) / iod
    assert steps.max() < 0.12
    assert np.abs(points[0] - points[-1])[:, :2].max() < 0.06 * iod  # it can be looped


def test_observed_faces_are_rebuilt_to_a_hundredth_of_a_pixel() -> None:
    meshes = synthetic.meshes(synthetic.driver(6)).astype(np.float32)
    faces = [synthetic.face(mesh) for mesh in meshes]
    motion = observe(synthetic.frames(6), [*faces[:2], None, *faces[3:]])
    assert motion.kind == "mesh" and motion.valid.tolist() == [True, True, False, True, True, True]
    valid = motion.valid
    assert np.abs(rebuild_driver_meshes(motion)[valid] - meshes[valid]).max() < 1e-2
    gazes = np.asarray(motion.arrays["gaze"], np.float64)
    assert np.allclose(gazes[valid], sliders.load_slider_shapes().gaze, atol=1e-4)
    assert motion.arrays["track"].tolist() == [0, 0, -1, 0, 0, 0]


def test_motion_does_not_depend_on_the_frame_size() -> None:
    mesh = synthetic.meshes(synthetic.driver(1))
    small = canonical.pack_pose(canonical.decompose(mesh), (640, 480))
    large = canonical.pack_pose(
        canonical.decompose(2 * mesh + np.array([0.5, 0.5, 0])), (1280, 960)
    )
    assert np.allclose(small, large, atol=1e-12)


def test_observation_does_not_depend_on_the_windows() -> None:
    faces = [synthetic.face(mesh) for mesh in synthetic.meshes(synthetic.driver(5))]
    whole = observe(synthetic.frames(5), faces)
    for i in range(5):
        one = observe(synthetic.frames(5)[i : i + 1], faces[i : i + 1])
        assert all(np.allclose(one.arrays[k][0], whole.arrays[k][i], atol=1e-7) for k in one.arrays)
    with pytest.raises(ValueError):
        observe(synthetic.frames(2), faces[:1])
    with pytest.raises(ValueError):
        observe([], [])
    with pytest.raises(ValueError):
        observe(synthetic.frames(2), faces[:2], [True])
    assert observe(synthetic.frames(2), faces[:2], [False, True]).arrays["cut"].tolist() == [
        False,
        True,
    ]
