"""Switches of the papers' ablations: what is left out stays as it began, also in updates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from thcli.core.errors import UsageError
from thcli.core.events import silent
from thcli.core.options import (
    DiffusedHeadsTrainOptions,
    FaceVid2VidTrainOptions,
    FommTrainOptions,
    MonkeyNetTrainOptions,
    TrainOptions,
    X2FaceTrainOptions,
)
from thcli.engines.facevid2vid.estimator import KEYPOINTS
from thcli.engines.shared.networks import grid
from thcli.train.core.loop import Trainer
from thcli.train.core.run import create_task
from thcli.train.core.task import TrainingTask
from thcli.train.diffused_heads.published import PublishedDiffusedHeadsTask
from thcli.train.keypoint_models.facevid2vid import FaceVid2VidTask
from thcli.train.keypoint_models.fomm import FommTask
from thcli.train.keypoint_models.monkeynet import MonkeyNetTask
from thcli.train.keypoint_models.x2face import X2FaceTask

TINY = TrainOptions(
    size=128,
    narrow=16,
    steps=2,
    every=1,
    samples=0,
    perceptual="pyramid",
    device="cpu",
    threads=1,
)
MAPS, OCCLUSION = "kp_detector.jacobian.", "generator.dense_motion_network.occlusion."
FLOW = "generator.dense_motion_module.hourglass.decoder.conv."
EMBEDDING = "generator.dense_motion_module.group_blocks.0.conv.weight"
UNWRAPPING = "model.pix2pixUnwrapped.netG.model."
ENDS = ("weight", "bias")


class TwoFaces:
    """Two pairs of random frames as a data set, with random inputs of Diffused Heads."""

    fingerprint = "two faces"

    def __init__(self, size: int = 128) -> None:
        self.size = size

    def __len__(self) -> int:
        return 2

    def batch(self, step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(step)
        side = self.size
        sources, driving = torch.rand(2, 2, 3, side, side, generator=generator)
        return {
            "sources": sources[:, None],
            "driving": driving,
            "angles": torch.zeros(2, 3),
            "known": torch.ones(2),
            "identity": 2 * sources - 1,
            "target": 2 * driving - 1,
            "motion": 2 * torch.rand(2, 6, side, side, generator=generator) - 1,
            "heard": torch.rand(2, 5, 256, generator=generator),
            "lips": torch.tensor([[20.0, 30.0, 40.0, 40.0]]).expand(2, 4),
        }

    def sample_batch(self) -> dict[str, Tensor]:
        return {}

    def close(self) -> None:
        pass


def parameters(task: TrainingTask) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value.detach().clone()
        for name, network in task.networks.items()
        for key, value in network.named_parameters()
    }


def changes(task: TrainingTask, run: Path) -> tuple[dict[str, Tensor], set[str]]:
    """Return by how much two updates change each parameter, and the names of the losses."""
    (run / "checkpoints").mkdir(parents=True)
    before = parameters(task)
    done = Trainer(task, TwoFaces(task.options.size), run, 2, {}, silent)()
    after = parameters(task)
    return {key: after[key] - before[key] for key in before}, set(done.rows[-1]["losses"])


def test_the_first_order_model_without_local_maps_and_occlusion(tmp_path: Path) -> None:
    task = create_task("fomm", TINY, FommTrainOptions(jacobians=False, occlusion=False, scales=1))
    assert isinstance(task, FommTask) and len(task.perceptual_loss.reduce) == 1
    changed, losses = changes(task, tmp_path / "run")
    assert losses == {"perceptual", "equivariance"}
    fixed = {key for key, value in changed.items() if not value.any()}
    assert fixed == {place + end for place in (MAPS, OCCLUSION) for end in ("weight", "bias")}
    task.train(False)
    driving = TwoFaces().batch(0)["driving"]
    with torch.no_grad():
        points = task.detector(driving)
        field = task.generator.motion(task.generator.encode(driving, points), points)
    assert torch.allclose(points.jacobian, torch.eye(2).expand_as(points.jacobian), atol=1e-5)
    assert field.occlusion.min() > 0.9999


def test_the_first_order_model_without_the_loss_of_the_local_maps(tmp_path: Path) -> None:
    task = create_task("fomm", TINY, FommTrainOptions(jacobian_loss=False))
    assert isinstance(task, FommTask) and len(task.perceptual_loss.reduce) == 4
    changed, losses = changes(task, tmp_path / "run")
    assert losses == {"perceptual", "equivariance"}
    assert changed[f"{MAPS}weight"].any() and changed[f"{OCCLUSION}weight"].any()
    with pytest.raises(UsageError, match="no effect with --no-jacobians"):
        FommTrainOptions(jacobians=False, jacobian_loss=False)


@pytest.mark.parametrize("residual", [True, False])
def test_monkey_net_without_the_residual_flow(residual: bool, tmp_path: Path) -> None:
    task = create_task("monkeynet", TINY, MonkeyNetTrainOptions(residual=residual))
    changed, _ = changes(task, tmp_path / "run")
    for end in ENDS:
        change = changed[FLOW + end]
        assert change[:-2].any() and bool(change[-2:].any()) == residual


@pytest.mark.parametrize("residual", [True, False])
def test_monkey_net_without_masks_of_the_keypoints(residual: bool, tmp_path: Path) -> None:
    task = create_task("monkeynet", TINY, MonkeyNetTrainOptions(masks=False, residual=residual))
    assert isinstance(task, MonkeyNetTask)
    changed, _ = changes(task, tmp_path / "run")
    for end in ENDS:
        change = changed[FLOW + end]
        assert not change[:-2].any() and bool(change[-2:].any()) == residual
    task.train(False)
    batch = TwoFaces().batch(0)
    with torch.no_grad():
        source, driving = task.detector(batch["sources"][:, 0]), task.detector(batch["driving"])
        away = driving._replace(mean=driving.mean + 0.5)
        field = task.generator.motion(task.generator.encode(batch["driving"], source), away)
    still = grid.identity((32, 32), field.deformation.device, torch.float32)
    assert torch.allclose(field.deformation, still.expand_as(field.deformation)) != residual


def test_monkey_net_without_the_image_in_its_embedding(tmp_path: Path) -> None:
    task = create_task("monkeynet", TINY, MonkeyNetTrainOptions(embedded_image=False))
    assert isinstance(task, MonkeyNetTask)
    changed, _ = changes(task, tmp_path / "run")
    assert changed[EMBEDDING][:, 0].any() and not changed[EMBEDDING][:, 1:].any()
    task.train(False)
    batch = TwoFaces().batch(0)
    with torch.no_grad():
        points = task.detector(batch["driving"])
        source = task.detector(batch["sources"][:, 0])
        one, other = (
            task.generator.motion(task.generator.encode(image, source), points).deformation
            for image in (batch["sources"][:, 0], batch["driving"])
        )
    assert torch.equal(one, other)
    with pytest.raises(UsageError, match="no effect with --no-masks and --no-residual"):
        MonkeyNetTrainOptions(residual=False, masks=False, embedded_image=False)


def test_x2face_without_skip_connections(tmp_path: Path) -> None:
    options = replace(TINY, size=256)
    task = create_task("x2face", options, X2FaceTrainOptions(skips=False))
    assert isinstance(task, X2FaceTask)
    changed, _ = changes(task, tmp_path / "run")
    inner = changed[f"{UNWRAPPING}submodule.up.2.weight"]
    half = inner.shape[1] // 2
    assert inner[:, :half].any() and not inner[:, half:].any()
    task.train(False)
    level = task.model.pix2pixUnwrapped.level
    with torch.no_grad():
        inputs = level.encode(TwoFaces(256).batch(0)["driving"])
        others = [value + 1 for value in inputs[:-1]]
        assert torch.equal(level.decode(inputs), level.decode([*others, inputs[-1]]))
        found = level.decode([*inputs[:-1], inputs[-1] + 1])
    assert not torch.equal(level.decode(inputs), found)


def test_face_vid2vid_with_five_keypoints(tmp_path: Path) -> None:
    assert FaceVid2VidTrainOptions().keypoints == KEYPOINTS
    task = create_task("facevid2vid", TINY, FaceVid2VidTrainOptions(keypoints=5))
    assert isinstance(task, FaceVid2VidTask)
    changed, _ = changes(task, tmp_path / "run")
    for name, first in (
        ("kp_detector.kp.", 5),
        ("he_estimator.fc_exp.", 15),
        ("generator.dense_motion_network.mask.", 6),
    ):
        for end in ENDS:
            assert changed[name + end][:first].any() and not changed[name + end][first:].any()
    task.train(False)
    batch = TwoFaces().batch(0)
    generator = torch.Generator().manual_seed(5)
    source, driving, moved = torch.rand(3, 2, KEYPOINTS, 3, generator=generator) - 0.5
    moved[:, :5] = driving[:, :5]
    with torch.no_grad():
        encoded = task.generator.encode(batch["driving"], source)
        one, same = (task.generator.motion(encoded, points) for points in (driving, moved))
        other = task.generator.motion(encoded, driving.roll(1, 1))
        canonical, expression = task.detector(batch["driving"]), task.estimator(batch["driving"])
    assert torch.allclose(one.deformation, same.deformation, atol=1e-6)
    assert torch.allclose(one.occlusion, same.occlusion, atol=1e-6)
    assert not torch.allclose(one.deformation, other.deformation, atol=1e-4)
    assert canonical[:, 5:].abs().max() < 1e-5 and not expression.expression[:, 15:].any()
    with pytest.raises(UsageError, match="--keypoints"):
        FaceVid2VidTrainOptions(keypoints=16)


def test_diffused_heads_without_motion_frames(tmp_path: Path) -> None:
    options = replace(TINY, size=64, smoke=True)
    own = DiffusedHeadsTrainOptions(motion_frames=False)
    task = create_task("diffused-heads-published", options, own)
    assert isinstance(task, PublishedDiffusedHeadsTask)
    changed, _ = changes(task, tmp_path / "run")
    trained = changed["unet.input_blocks.0.0.weight"].abs().sum((0, 2, 3)) > 0
    assert trained.tolist() == [True] * 3 + [False] * 6 + [True] * 3
    task.train(False)
    batch = TwoFaces(64).batch(0)
    steps = torch.tensor([3, 700])
    with torch.no_grad():
        one = task.predict(batch["target"], steps, batch)
        other = task.predict(batch["target"], steps, batch | {"motion": -batch["motion"]})
        heard = task.predict(batch["target"], steps, batch | {"heard": -batch["heard"]})
    assert torch.equal(one, other) and not torch.equal(one, heard)
    with pytest.raises(UsageError, match="no effect with --no-motion-frames"):
        DiffusedHeadsTrainOptions(grey=True, motion_frames=False)
