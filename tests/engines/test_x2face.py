"""X2Face's other drivers: poses, sound, several pictures, and its frontal face."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.engines.narrow import FACE, NARROW, PLAIN, RUN, clip, image, trained
from thcli.core.errors import MediaError, UsageError, WeightsError
from thcli.core.options import MotionOptions, X2FaceOptions
from thcli.core.types import Array32, Motion
from thcli.engines.shared.networks.engine import CropSource
from thcli.engines.x2face.engine import X2FaceEngine, build_model, load_pose_map, pose_radians
from thcli.engines.x2face.networks import PoseMap, X2Face
from thcli.motion.file.buffer import MotionBuffer
from thcli.train.keypoint_models.x2face import PREFIX, write_archive
from thcli.weights import import_file

ABSOLUTE = replace(PLAIN, mode="absolute")
CODE = 128 // NARROW


def pose_map() -> PoseMap:
    poses: PoseMap = trained(PoseMap(CODE))
    return poses


def engine(pose_code: str = "") -> X2FaceEngine:
    model = trained(X2Face(width_divisor=NARROW))
    return X2FaceEngine(model, RUN, X2FaceOptions(pose_code), pose_map)


@pytest.fixture(scope="module")
def plain() -> X2FaceEngine:
    return engine()


@pytest.fixture(scope="module")
def source(plain: X2FaceEngine) -> CropSource:
    return plain.encode_source(image(1), FACE)


def motion(kind: str, name: str, rows: Array32) -> MotionBuffer:
    pts = np.arange(len(rows), dtype=np.int64)
    return MotionBuffer(
        Motion(kind, pts, Fraction(1, 25), np.ones(len(rows), np.bool_), {name: rows})
    )


def codes(
    made: X2FaceEngine, source: CropSource, driver: MotionBuffer, options: MotionOptions
) -> Array32:
    store = made.retarget(source, driver, options)
    return np.asarray(store.window(0, len(store)).arrays["code"], np.float32)


def apply(function: object, *arrays: Array32) -> Array32:
    with torch.inference_mode():
        out = function(*map(torch.from_numpy, arrays))  # type: ignore[operator]
    return np.asarray(out.numpy(), np.float32)


ANGLES = np.array([[0, 0, 0], [10, -20, 5]], np.float32)  # pitch, yaw, roll


def test_pose_radians_are_in_the_published_order() -> None:
    assert np.allclose(np.degrees(pose_radians(ANGLES))[1], [5, 10, -20])


def test_poses_drive_the_sources_own_code(plain: X2FaceEngine, source: CropSource) -> None:
    driver, own, poses = motion("pose", "angles", ANGLES), source.rows["code"], pose_map()
    expected = apply(poses.move, np.repeat(own, 2, 0), pose_radians(ANGLES))
    assert np.allclose(codes(plain, source, driver, ABSOLUTE), expected, atol=1e-5)
    relative = codes(plain, source, driver, PLAIN)
    assert np.allclose(relative[0], own[0], atol=1e-5), "the first pose is the rest"
    assert np.allclose(relative[1] - own[0], expected[1] - expected[0], atol=1e-4)
    still = codes(plain, source, driver, replace(ABSOLUTE, strength=0))
    assert np.allclose(still, own, atol=1e-5)


def test_the_pose_code_replaces_the_drivers_pose(source: CropSource) -> None:
    turned, poses = engine("-20,10,5"), pose_map()
    observed = turned.observe(clip(2), [FACE, FACE])
    found = codes(turned, source, MotionBuffer(observed), ABSOLUTE)
    wanted = np.repeat(pose_radians(ANGLES[1:]), 2, 0)
    driver = np.asarray(observed.arrays["code"], np.float32)
    assert np.allclose(found, apply(poses.move, driver, wanted), atol=1e-5)
    with pytest.raises(UsageError, match="--pose-code must be YAW,PITCH,ROLL"):
        X2FaceOptions("10,20")
    with pytest.raises(UsageError, match="--pose-code"):
        X2FaceOptions("nan,0,0")


def test_sound_keeps_the_sources_pose(plain: X2FaceEngine, source: CropSource) -> None:
    """Compare with n + Q(P(b)) - Q(P(n)), n = b + A(t) - A(0), b rectified."""
    change = np.random.default_rng(0).standard_normal((3, CODE)).astype(np.float32)
    poses, rectified = pose_map(), np.maximum(source.rows["code"], 0)
    moved = rectified + change
    pose = np.repeat(apply(poses.pose, rectified), 3, 0)
    found = codes(plain, source, motion("x2face_audio", "change", change), PLAIN)
    assert np.allclose(found, apply(poses.move, moved, pose), atol=1e-5)


def test_several_pictures_make_one_mosaic(plain: X2FaceEngine, source: CropSource) -> None:
    both = plain.encode_sources([image(1), image(2)], [FACE, FACE])
    with torch.inference_mode():
        pixels = plain.tensor([image(1), image(2)])
        expected = plain.model.mosaic(pixels)
    assert torch.allclose(both.encoded.mosaic, expected, atol=1e-5)
    assert np.array_equal(both.rows["code"], source.rows["code"]), "the first is at rest"
    frontal = plain.render_frontal(both)
    assert frontal.shape == (256, 256, 3) and frontal.dtype == np.uint8
    assert not np.array_equal(frontal, plain.render_frontal(source))


def test_codes_of_other_weights_are_refused(plain: X2FaceEngine, source: CropSource) -> None:
    wide = np.zeros((2, CODE + 1), np.float32)
    for kind, name in (("x2face", "code"), ("x2face_audio", "change")):
        with pytest.raises(MediaError, match=f"codes of {CODE + 1} numbers.*make {CODE}"):
            plain.retarget(source, motion(kind, name, wide), PLAIN)


def test_weights_of_any_width_load_and_untrained_maps_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save

    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "weights"))
    narrow = X2Face(width_divisor=16)
    state = {f"{PREFIX}{key}": value for key, value in narrow.state_dict().items()}
    bare = {key.removeprefix(PREFIX): value for key, value in state.items()}
    assert build_model(bare, "file").code_size == narrow.code_size == 8
    zeros = {key: torch.zeros_like(value) for key, value in PoseMap(8).state_dict().items()}
    import_file("x2face", write_archive(tmp_path / "a.zip", save(state), zeros), trust=True)
    with pytest.raises(WeightsError, match="no maps between codes and poses") as caught:
        load_pose_map(8, RUN)
    assert "train x2face-pose" in caught.value.hint
    known = trained(PoseMap(8)).state_dict()
    import_file("x2face", write_archive(tmp_path / "a.zip", save(state), known), trust=True)
    loaded = load_pose_map(8, RUN).state_dict()
    assert all(torch.equal(loaded[key], known[key]) for key in known)
