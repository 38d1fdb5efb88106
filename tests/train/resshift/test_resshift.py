"""Training of resshift-s: rendered crops, walks of its own, losses and a smoke run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from thcli.cli.app import run
from thcli.core.options import ResshiftTrainOptions, TrainOptions
from thcli.refiners.resshift.network import SCALE, STEPS
from thcli.refiners.resshift.refiner import SIDE
from thcli.train.core.run import create_task
from thcli.train.core.task import step_generator
from thcli.train.resshift.data import PATCH, DetailedCrops
from thcli.train.resshift.train import ResshiftTask

OPTIONS = TrainOptions(size=SIDE, device="cpu", threads=1, narrow=4)
OWN = ResshiftTrainOptions(sources=1, drivers=3)


@pytest.fixture(scope="module")
def crops(talking: Path) -> DetailedCrops:
    return DetailedCrops(talking, OPTIONS, OWN, 2)


@pytest.fixture(scope="module")
def task() -> ResshiftTask:
    made = create_task("resshift", OPTIONS, OWN)
    assert isinstance(made, ResshiftTask)
    return made


def test_crops_are_rendered_once(crops: DetailedCrops, talking: Path) -> None:
    stored = talking / f".resshift-{SIDE}" / "truth.npy"
    before = stored.stat().st_mtime_ns
    again = DetailedCrops(talking, OPTIONS, OWN, 2)
    assert stored.stat().st_mtime_ns == before and len(again) == len(crops) == 6


def test_clips_that_are_left_out_give_no_black_crops(talking: Path, tmp_path: Path) -> None:
    shutil.copy(talking / "one.mp4", tmp_path)
    (tmp_path / "two.mp4").write_bytes(b"no video")
    made = [DetailedCrops(tmp_path, OPTIONS, OWN, 2) for _ in range(2)]  # rendered, then read
    assert [len(one) for one in made] == [3, 3]
    assert all(crop.any() for crop in made[1].crops.truth)
    assert made[0].fingerprint == made[1].fingerprint


def test_batches_follow_from_seed_and_step(crops: DetailedCrops) -> None:
    one, same, other = crops.batch(3), crops.batch(3), crops.batch(4)
    sides = {name: tuple(value.shape) for name, value in one.items()}
    images = {name: (2, 3, PATCH, PATCH) for name in ("truth", "detailed", "coarse", "source")}
    assert sides == images | {"visibility": (2, 1, PATCH, PATCH)}
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["truth"], other["truth"])


def test_the_views_show_one_crop(crops: DetailedCrops) -> None:
    """All are of one place."""
    shown = crops.sample_batch()
    errors = {
        name: float((shown[name] - shown["truth"]).abs().mean())
        for name in ("detailed", "coarse", "source")
    }
    assert max(errors.values()) < 0.1


def test_walks_start_at_the_last_step_and_are_no_longer_than_wanted(task: ResshiftTask) -> None:
    drawn = [task.draw_steps(step_generator(0, step)) for step in range(60)]
    assert all(steps[0] == STEPS - 1 and steps == sorted(steps, reverse=True) for steps in drawn)
    assert {len(steps) for steps in drawn} == {1, 2, 3, 4}


@pytest.mark.parametrize("step", range(4))
def test_all_parameters_learn_after_a_walk_in_half_precision(
    task: ResshiftTask, crops: DetailedCrops, step: int
) -> None:
    """Weights cast without gradients for the walk are not used again."""
    batch = crops.batch(step)
    torch.manual_seed(0)
    torch.nn.init.normal_(task.network.leave.weight, std=0.1)
    task.network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        terms = task.losses("residual", batch, step_generator(0, step), {})
    total = torch.stack([term.float() for term in terms.values()]).sum()
    total.backward()  # type: ignore[no-untyped-call]  # torch's own
    assert all(p.grad is not None for p in task.network.parameters())
    assert float(task.network.enter.weight.grad.abs().sum()) > 0  # type: ignore[union-attr]


def test_a_perfect_prediction_has_almost_no_loss(
    task: ResshiftTask, crops: DetailedCrops, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = crops.batch(0)
    clean = (batch["truth"] - batch["detailed"]) * SCALE
    monkeypatch.setattr(task, "network", lambda x, step, conditions: clean)
    for step in range(6):
        terms = task.losses("residual", batch, step_generator(1, step), {})
        assert float(sum(terms.values())) < 0.05


def test_command(talking: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "run"
    common = ["--json", "--threads", "1", "--device", "cpu", "--batch", "2", "--samples", "0"]
    few = ["--sources", "1", "--drivers", "3", "--steps", "2"]
    assert run(["train", "resshift", str(talking), "-o", str(made), *common, *few]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["steps"] == 2 and Path(report["output"]).name == "resshift-s.safetensors"
    assert (
        "weights import resshift-s" in report["use"]
        and np.isfinite(list(report["losses"].values())).all()
    )
