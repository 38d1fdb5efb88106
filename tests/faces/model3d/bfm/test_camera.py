"""Poses, cameras and landmarks of Real3D-Portrait: golden numbers, projections, smoothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.faces.model3d.bfm.made_model import made_model
from tests.golden import real3d_conventions
from tests.golden.cases import max_errors
from thcli.faces.model3d.bfm import camera

# Numbers of REAL3D_VIDEO.npz: stage -> index, and its values there.
_REFERENCE: dict[str, tuple[tuple[int, int | slice], tuple[float, ...]]] = {
    "conv/lm2d": ((0, 0), (0.4643323, 0.4987212)),
    "conv/lm3d": ((0, 0), (-0.07630134, 0.002735674, 9.69336)),
    "conv/idexp_lm3d": ((0, 0), (0.5154864, -1.405005, 0.7530749)),
    "conv/rotation": ((0, 0), (0.9737223, 0.2094486, -0.08942112)),
    "conv/cameras": ((0, slice(8, 12)), (0.1337814, 0.2083009, -0.9688722, 2.714582)),
    "conv/cameras_smooth": ((0, slice(0, 4)), (0.9767665, -0.1875795, 0.103639, -0.2042503)),
    "conv/kp_smooth": ((0, 0), (-0.05506136, -0.2177454)),
    "camera": ((0, slice(0, 4)), (0.9978915, -0.05568593, 0.03334078, -0.09660534)),
}
OTHER_EULER = np.array([[0.3, -0.2, 0.1], [-0.1, 0.4, 0.2]])
OTHER_TRANS = np.array([[0.1, -0.2, 0.5], [0.0, 0.3, -0.4]])


def test_stages_are_the_references(shared: Path) -> None:
    """Every stage is within 1e-5 of the reference, here and for inputs of another offset."""
    with np.load(shared / "golden" / "REAL3D_VIDEO.npz") as file:
        ours = {key: value.numpy() for key, value in real3d_conventions.stages(0).items()}
        errors = max_errors(ours, {key: file[key] for key in ours})
    assert len(errors) == 9 and max(errors.values()) <= 1e-5
    assert not np.allclose(real3d_conventions.stages(1)["conv/lm2d"], ours["conv/lm2d"])


@pytest.mark.parametrize("stage", _REFERENCE)
def test_some_numbers_of_the_reference(stage: str) -> None:
    index, wanted = _REFERENCE[stage]
    found = real3d_conventions.stages(0)[stage].numpy()[index]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_camera_sees_what_the_projection_shows() -> None:
    """A ray of the volume renderer through a landmark's pixel passes through the landmark.

    The renderer's head is the upright one, scaled by 0.27 and shifted.
    """
    model = made_model()
    points = model.landmarks68(np.zeros(80), np.zeros((2, 64))).astype(np.float64)
    seen = camera.project(points, OTHER_EULER, OTHER_TRANS)
    rows = camera.cameras_from_pose(OTHER_EULER, OTHER_TRANS).astype(np.float64)
    world_from_camera = rows[:, :16].reshape(-1, 4, 4)
    heads = 0.27 * points + [0, 0.006, 0.161]
    local = np.einsum(
        "bij,bki->bkj", world_from_camera[:, :3, :3], heads - world_from_camera[:, None, :3, 3]
    )
    pixels = 1015 / 224 * local[..., :2] / local[..., 2:] + 0.5
    assert (local[..., 2] > 0).all()
    np.testing.assert_allclose(pixels, seen, atol=1e-5)
    # the published focal length of the renderer is that of another image size
    np.testing.assert_allclose(rows[:, 16], 2985.29 / 700, rtol=1e-6)


def test_image_axes() -> None:
    """A point to the model's right and above its centre is right and above in the image."""
    point = np.array([[[0.5, 0.3, 0.0]]])
    x, y = camera.project(point, np.zeros((1, 3)), np.zeros((1, 3)))[0, 0]
    assert x == pytest.approx(0.5 + 1015 / 224 * 0.05) and y == pytest.approx(
        0.5 - 1015 / 224 * 0.03
    )
    nearer = camera.project(point, np.zeros((1, 3)), np.array([[0.0, 0.0, 1.0]]))
    assert nearer[0, 0, 0] > x


def test_smoothing_keeps_constants_and_averages_windows() -> None:
    euler, trans = np.repeat(OTHER_EULER[:1], 9, 0), np.repeat(OTHER_TRANS[:1], 9, 0)
    steady = camera.cameras_from_pose(euler, trans)
    np.testing.assert_allclose(camera.smooth_cameras(steady), steady, atol=1e-6)
    rng = np.random.default_rng(0)
    moving = camera.cameras_from_pose(
        euler + 0.1 * rng.standard_normal((9, 3)), trans + 0.1 * rng.standard_normal((9, 3))
    )
    smooth = camera.smooth_cameras(moving)
    for frame, window in ((0, slice(0, 4)), (4, slice(1, 8)), (8, slice(5, 9))):
        near = moving[window, :16].reshape(-1, 4, 4).astype(np.float64)
        np.testing.assert_allclose(smooth[frame, [3, 7, 11]], near[:, :3, 3].mean(0), atol=1e-6)
        mean = Rotation.from_matrix(near[:, :3, :3]).mean().as_matrix()
        np.testing.assert_allclose(smooth[frame, :16].reshape(4, 4)[:3, :3], mean, atol=1e-6)
    np.testing.assert_array_equal(smooth[:, 16:], moving[:, 16:])


def test_keypoints_are_mirrored_at_the_ends() -> None:
    values = np.arange(10, dtype=np.float64)[:, None, None] * np.ones((1, 2, 2))
    found = camera.smooth_keypoints(values)[:, 0, 0]
    np.testing.assert_allclose(found[3:7], values[3:7, 0, 0], rtol=1e-6)
    assert found[0] == pytest.approx(np.mean([2, 1, 0, 0, 1, 2, 3]), rel=1e-6)
    assert found[9] == pytest.approx(np.mean([6, 7, 8, 9, 9, 8, 7]), rel=1e-6)
    single = camera.smooth_keypoints(values[4:5])
    np.testing.assert_allclose(single, values[4:5])
    assert camera.keypoints_from_landmarks([[0.25, 1.7]]).tolist() == [[-0.5, 1.0]]


def test_depth_is_frozen_and_the_first_pose_is_the_sources() -> None:
    rng = np.random.default_rng(1)
    trans = rng.standard_normal((5, 3)).astype(np.float32)
    frozen = camera.freeze_depth(trans)
    assert (frozen[:, 2] == trans[0, 2]).all() and (frozen[:, :2] == trans[:, :2]).all()
    mapped = camera.map_to_initial_pose(trans, [1, 2, 3])
    np.testing.assert_allclose(mapped[0], [1, 2, 3], rtol=1e-6)
    np.testing.assert_allclose(np.diff(mapped, axis=0), np.diff(trans, axis=0), atol=1e-6)
