"""Switches of the papers' ablations: what is left out stays as it began, also in updates."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from thcli.core.errors import UsageError
from thcli.core.events import silent
from thcli.core.options import FommTrainOptions, MonkeyNetTrainOptions, TrainOptions
from thcli.train.core.loop import Trainer
from thcli.train.core.run import create_task
from thcli.train.core.task import TrainingTask
from thcli.train.keypoint_models.fomm import FommTask

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


class TwoFaces:
    """Two pairs of random frames as a data set."""

    fingerprint = "two faces"

    def __len__(self) -> int:
        return 2

    def batch(self, step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(step)
        sources, driving = torch.rand(2, 2, 3, 128, 128, generator=generator)
        return {"sources": sources[:, None], "driving": driving}

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
    done = Trainer(task, TwoFaces(), run, 2, {}, silent)()
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
    for end in ("weight", "bias"):
        change = changed[FLOW + end]
        assert change[:-2].any() and bool(change[-2:].any()) == residual
