"""The training loop: resume, averaged weights, learning rate, log, export and errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from thcli.core.device import autocast_dtype, convert_out_of_memory
from thcli.core.errors import DeviceError, OutputError, UsageError
from thcli.core.events import silent
from thcli.core.options import FommTrainOptions, MonkeyNetTrainOptions, TrainOptions
from thcli.train.core.checkpoints import Checkpoints
from thcli.train.core.loop import Trainer
from thcli.train.core.run import create_task, train
from thcli.train.core.run_log import read_log
from thcli.train.core.task import Hyperparameters, Phase, TrainingTask, step_generator

TINY = TrainOptions(
    steps=4,
    batch=2,
    size=128,
    narrow=16,
    save=2,
    every=1,
    samples=0,
    perceptual="pyramid",
    device="cpu",
)


class LineTask(TrainingTask):
    """Regression of y = 3 x - 1 from noisy batches; a second phase learns a constant."""

    name = "line"
    entry = "fomm-vox"
    exported = ("line",)
    perceptual = "none"

    def __init__(self, options: TrainOptions, milestones: tuple[float, ...]) -> None:
        super().__init__(options, None, silent)
        self.hyperparameters = Hyperparameters(10, 2, 4, 0.1, milestones)
        self.networks = {"line": nn.Linear(1, 1), "other": nn.Linear(1, 1)}
        self.phases = (Phase("first", ("line",)), Phase("second", ("other",)))

    def losses(
        self, phase: str, batch: Mapping[str, Tensor], noise: torch.Generator, cache: dict[str, Any]
    ) -> dict[str, Tensor]:
        if phase == "second":
            return {"other": (self.networks["other"](cache["made"]) - 2).square().mean()}
        made = self.networks["line"](batch["x"])
        cache["made"] = made.detach()
        jitter = 0.01 * torch.randn(batch["x"].shape, generator=noise)
        return {"line": (made - (3 * batch["x"] - 1) + jitter).square().mean()}

    def sample_images(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"made": self.networks["line"](batch["x"]).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)}


class DropoutTask(LineTask):
    """The same regression with a layer that draws random numbers."""

    def __init__(self, options: TrainOptions, milestones: tuple[float, ...]) -> None:
        super().__init__(options, milestones)
        self.networks["line"] = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.5), nn.Linear(8, 1))


class RandomPoints:
    """Batches of random numbers."""

    def __len__(self) -> int:
        return 8

    def batch(self, step: int) -> dict[str, Tensor]:
        return {"x": torch.rand(4, 1, generator=step_generator(9, step))}

    def sample_batch(self) -> dict[str, Tensor]:
        return {"x": torch.tensor([[0.4], [0.5]])}

    @property
    def fingerprint(self) -> str:
        return "points"

    def close(self) -> None:
        pass


def trainer(
    run: Path,
    milestones: tuple[float, ...] = (5,),
    task: type[LineTask] = LineTask,
    **changes: Any,
) -> Trainer:
    options = replace(
        TrainOptions(steps=40, every=10, save=7, samples=20, device="cpu", size=256), **changes
    )
    for name in ("checkpoints", "samples"):
        (run / name).mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Trainer(task(options, milestones), RandomPoints(), run, 4, {"model": "line"}, silent)


def losses_of(run: Path) -> list[dict[str, Any]]:
    return [
        {k: row[k] for k in ("step", "losses", "lr", "epoch")}
        for row in read_log(run / "log.jsonl")
    ]


def test_a_run_learns_and_writes_its_files(tmp_path: Path) -> None:
    done = trainer(tmp_path, milestones=(), steps=300, lr=0.05, save=100)()
    assert done.rows[-1]["losses"]["line"] < 0.01 < done.rows[0]["losses"]["line"]
    assert done.rows[-1]["losses"]["other"] < 0.1 * done.rows[0]["losses"]["other"]
    assert [p.name for p in Checkpoints(tmp_path).list()] == [
        f"step-{n:08d}.safetensors" for n in (200, 300)
    ]
    assert (tmp_path / "samples" / "step-00000300.png").is_file()
    assert (
        "line:" in (tmp_path / "summary.txt").read_text()
        and "updates: 300" in (tmp_path / "summary.txt").read_text()
    )
    with safe_open(done.exported, framework="pt") as file:
        assert set(file.keys()) == {"line.weight", "line.bias"}
        words = file.metadata()
    assert words["model"] == "line" and words["steps"] == "300" and words["perceptual"] == "none"


def test_resumed_parts_equal_an_uninterrupted_run(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole")()
    for steps in (13, 25, 40):  # not at lines of the log, nor at checkpoints' own pace
        parts = trainer(tmp_path / "parts", steps=steps, resume=steps > 13)()
    assert losses_of(tmp_path / "parts") == losses_of(tmp_path / "whole")
    a, b = load_file(whole.exported), load_file(parts.exported)
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_resuming_is_exact_with_dropout(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", task=DropoutTask, steps=20)()
    torch.manual_seed(99)  # another state of the global generator
    for steps in (13, 20):
        parts = trainer(tmp_path / "parts", task=DropoutTask, steps=steps, resume=steps > 13)()
    assert losses_of(tmp_path / "parts") == losses_of(tmp_path / "whole")
    a, b = load_file(whole.exported), load_file(parts.exported)
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_training_leaves_the_global_generator_unchanged(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    trainer(tmp_path, task=DropoutTask, steps=3)()
    assert torch.equal(torch.get_rng_state(), before)


def test_an_interrupted_run_resumes_from_its_last_checkpoint(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole")()
    broken = trainer(tmp_path / "dead")

    def die(step: int) -> dict[str, Tensor]:
        if step == 33:
            raise KeyboardInterrupt
        return RandomPoints().batch(step)

    broken.data.batch = die  # type: ignore[method-assign]  # a fake that fails
    with pytest.raises(KeyboardInterrupt):
        broken()
    with (tmp_path / "dead" / "log.jsonl").open("a") as log:
        log.write('{"step": 40, "lo')
    again = trainer(tmp_path / "dead", resume=True)()
    assert again.rows[-1]["step"] == 40 and losses_of(tmp_path / "dead") == losses_of(
        tmp_path / "whole"
    )
    a, b = load_file(whole.exported), load_file(again.exported)
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_the_learning_rate_falls_after_each_milestone(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    assert run.epoch_steps == 4 and trainer(tmp_path, steps=None).steps == 40
    assert trainer(tmp_path, steps=None, epochs=2.5).steps == 10
    assert [run.learning_rate(step) for step in (0, 19, 20, 39)] == pytest.approx(
        [0.1, 0.1, 0.01, 0.01]
    )


def test_the_averaged_weights_are_exported(tmp_path: Path) -> None:
    run = trainer(tmp_path, steps=30)
    done = run()
    own, mean = (
        run.task.networks["line"].state_dict()["weight"],
        load_file(done.exported)["line.weight"],
    )
    assert 0 < float(mean) < float(own) < 3.2
    with run.averaged_weights():
        assert torch.equal(run.task.networks["line"].state_dict()["weight"], mean)
    assert torch.equal(run.task.networks["line"].state_dict()["weight"], own)
    plain = trainer(tmp_path / "plain", steps=30, ema=0)
    assert torch.equal(load_file(plain().exported)["line.weight"], own)


def test_the_average_follows_its_recursion(tmp_path: Path) -> None:
    """Compare with the weights after each update, which runs without an average export."""

    def exported(steps: int, ema: float) -> torch.Tensor:
        run = trainer(tmp_path / f"{steps}-{ema}", steps=steps, ema=ema)
        return load_file(run().exported)["line.weight"]

    expected = trainer(tmp_path / "initial").task.networks["line"].state_dict()["weight"].clone()
    for step in range(4):
        decay = min(0.999, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * exported(step + 1, 0)
    torch.testing.assert_close(exported(4, 0.999), expected)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not finite") as caught:
        trainer(tmp_path, lr=1e30)()
    assert "--lr" in caught.value.hint


def test_runs_that_cannot_be_resumed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no checkpoint"):
        trainer(tmp_path, resume=True)()
    run = trainer(tmp_path, steps=7)
    run()
    run.checkpoints.load({"model": "line"})
    with pytest.raises(UsageError, match="started with model 'line', not 'curve'"):
        run.checkpoints.load({"model": "curve"})
    with pytest.raises(UsageError, match="another layout of its networks"):
        trainer(tmp_path, task=DropoutTask, steps=14, resume=True)()
    run.checkpoints.list()[-1].write_bytes(b"broken")
    with pytest.raises(UsageError, match="is broken"):
        run.checkpoints.load({"model": "line"})


def test_precision_by_device() -> None:
    assert (
        autocast_dtype("auto", torch.device("cpu"), training=True) is None
        and autocast_dtype("fp32", torch.device("cuda")) is None
    )
    assert autocast_dtype("bf16", torch.device("cpu")) is torch.bfloat16
    assert autocast_dtype("fp16", torch.device("cuda")) is torch.float16


def test_out_of_memory_is_a_device_error() -> None:
    enough = convert_out_of_memory(
        torch.device("cpu"), "for batches of 4", "Use a smaller --batch."
    )
    with (
        pytest.raises(DeviceError, match=r"cpu has not enough memory for batches of 4\.") as caught,
        enough,
    ):
        raise torch.OutOfMemoryError
    assert caught.value.hint == "Use a smaller --batch."


def test_resuming_a_network_is_exact(tmp_path: Path, clips: Path) -> None:
    own = FommTrainOptions(adversarial=True)
    train("fomm", clips, tmp_path / "whole", TINY, own)
    train("fomm", clips, tmp_path / "parts", replace(TINY, steps=2), own)
    train("fomm", clips, tmp_path / "parts", replace(TINY, resume=True), own)
    assert losses_of(tmp_path / "parts") == losses_of(tmp_path / "whole")
    with pytest.raises(UsageError, match="started with seed 0, not 1"):
        train("fomm", clips, tmp_path / "parts", replace(TINY, resume=True, seed=1), own)
    with pytest.raises(OutputError, match="in use"):
        train("fomm", clips, tmp_path / "parts", TINY, own)


def test_mixed_precision_gives_about_the_same_losses(tmp_path: Path, clips: Path) -> None:
    exact = train("fomm", clips, tmp_path / "exact", replace(TINY, steps=1), FommTrainOptions())[
        "losses"
    ]
    mixed = train(
        "fomm",
        clips,
        tmp_path / "mixed",
        replace(TINY, steps=1, precision="bf16"),
        FommTrainOptions(),
    )["losses"]
    assert mixed == pytest.approx(exact, rel=0.05)
    assert mixed != exact


def test_initial_weights_follow_from_the_seed() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    made = [
        create_task("fomm", replace(TINY, seed=seed), FommTrainOptions()).networks["generator"]
        for seed in (1, 1, 2)
    ]
    a, b, c = (next(network.parameters()) for network in made)
    assert (
        torch.equal(a, b) and not torch.equal(a, c) and torch.equal(torch.get_rng_state(), before)
    )


def test_options_of_a_run_are_written(tmp_path: Path, clips: Path) -> None:
    train("monkeynet", clips, tmp_path, replace(TINY, steps=1), MonkeyNetTrainOptions())
    assert json.loads((tmp_path / "options.json").read_text())["narrow"] == 16
