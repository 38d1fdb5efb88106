"""Tests of crop stability on synthetic clips: known truth, lag, and a steady still head."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.faces.conftest import weights_file
from thcli.cli.app import run
from thcli.core.errors import NoFaceError, UsageError
from thcli.core.geometry import square_crop_matrix, transform_points
from thcli.core.options import FaceOptions, FindOptions, RunOptions, StabilityEvaluateOptions
from thcli.core.types import Crop
from thcli.evaluate.benchmarks.crop_stability import CropStability, evaluate_steady, lag_of
from thcli.evaluate.datasets.moving_clips import SCENES, AnimatedHead, displacement, render_clip
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.pipeline.observe.face_finder import FaceFinder


@pytest.fixture(scope="module")
def head() -> AnimatedHead:
    weights_file("facemesh-attention")
    face_finder = FaceFinder.load(FaceOptions(), RunOptions())
    return AnimatedHead.of(photograph(), face_finder.find(photograph())[0], 256)


def test_the_truth_is_where_the_face_is(head: AnimatedHead) -> None:
    """The mesh network, which is independent of the renderer, finds the true points."""
    face_finder = FaceFinder.load(FaceOptions(), RunOptions())
    for scene in SCENES:
        *_, (image, face) = render_clip(head, scene, 9, 0.0, 0)
        found = face_finder.find(image)[0]
        assert face.mesh is not None and found.mesh is not None
        off = np.linalg.norm(found.mesh[:, :2] - face.mesh[:, :2], axis=1)
        assert off.mean() < 0.04 * np.ptp(face.mesh[:, 1]), scene.name


def test_noise_belongs_to_seed_and_scene(head: AnimatedHead) -> None:
    still = SCENES[0]
    (one, _), (two, _) = render_clip(head, still, 2, 5.0, 1)
    ((again, _),) = render_clip(head, still, 1, 5.0, 1)
    np.testing.assert_array_equal(one, again)
    assert 4 < (one.astype(float) - two).std() / np.sqrt(2) < 6


def make_path(shift: float) -> list[Crop]:
    times = np.arange(100) - shift
    return [
        Crop(
            square_crop_matrix([100 + 30 * np.sin(t / 8), 90 + 5 * np.cos(t / 11)], 80, 0.0, 512),
            (512, 512),
        )
        for t in times
    ]


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0, -1.3])
def test_a_lag_is_found(shift: float) -> None:
    assert lag_of(make_path(shift), make_path(0.0)) == pytest.approx(shift, abs=0.06)


def test_displacement_is_in_the_crop_s_pixels() -> None:
    truth = Crop(square_crop_matrix([100, 90], 128, 0.3, 512), (512, 512))
    moved = Crop(
        square_crop_matrix(
            list(
                transform_points(np.asarray(np.linalg.inv(truth.crop_from_frame)), [258.5, 255.5])
            ),
            128,
            0.3,
            512,
        ),
        (512, 512),
    )
    np.testing.assert_allclose(displacement(moved.crop_from_frame, truth), [[-3, 0]] * 5, atol=1e-6)


def test_a_row_holds_when_jitter_and_lag_are_small() -> None:
    still, *_, turn = SCENES
    assert CropStability(still, 0.4, 0.1, 0.1, 0.1, None, 0).holds
    assert not CropStability(still, 0.4, 0.2, 0.1, 0.2, None, 0).holds
    assert CropStability(turn, 1.0, 0.8, 0.1, 3.0, 0.1, 0).holds
    assert not CropStability(turn, 1.0, 0.1, 0.1, 0.1, 0.5, 0).holds


def test_unusable_input_is_refused() -> None:
    with pytest.raises(UsageError, match="--frames"):
        StabilityEvaluateOptions(frames=10)
    with pytest.raises(NoFaceError, match=r"wall\.png"):
        grey = np.full((200, 200, 3), 128, np.uint8)
        evaluate_steady(grey, "wall.png", FindOptions(), StabilityEvaluateOptions(), RunOptions())


@pytest.mark.slow
def test_the_default_crop_is_steady_and_in_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "steady.json"
    # Clips of 480 instead of 720 pixels: the crops are small against their noise, errors larger.
    # 75 frames, the fewest, have the whole dash and jerk, which begin with the 50th.
    argv = ["eval", "steady", "--side", "480", "--frames", "75"]
    assert run([*argv, "-o", str(report), "--json", "-q"]) == 0
    rows = json.loads(report.read_text())["rows"]
    assert (
        json.loads(capsys.readouterr().out)["rows"].keys()
        == rows.keys()
        == {scene.name for scene in SCENES}
    )
    assert all(row["unseen"] == 0 for row in rows.values())
    # The limit is 0.15 px; over seeds and portraits: docs/figures.
    assert max(rows["still"]["jitter"], rows["talk"]["jitter"]) < 0.1
    assert all(abs(rows[name]["lag"]) < 0.15 for name in ("sway", "dash", "turn", "jerk"))
