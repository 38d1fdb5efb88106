"""Training of DVA as published: settings, losses, a tiny set by heart, ablation, resume, export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from thcli.core.options import DvaPublishedTrainOptions, TrainOptions
from thcli.editors.dva.editor import ENCODER, WEIGHTS
from thcli.editors.dva.encoder import Encoder
from thcli.editors.dva.network import OFFICIAL, NoiseEstimator
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.train.core.run import create_task, train
from thcli.train.core.task import step_generator
from thcli.train.dva.published import UPDATES, PublishedDvaTask
from thcli.weights.registry import registry
from thcli.weights.tensors import load_tensors

TINY = TrainOptions(
    smoke=True, steps=2, batch=1, size=64, samples=0, device="cpu", threads=1, narrow=16, ema=0
)


class Means(nn.Module):
    """Stand-in for a frozen encoder: the colours of a few squares, repeated to its length."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(self, images: Tensor) -> Tensor:
        rows = nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)
        return rows.repeat(1, self.length // rows.shape[1] + 1)[:, : self.length]


class LeftHalf(nn.Module):
    """Stand-in for the face mask."""

    def forward(self, images: Tensor) -> Tensor:
        mask = torch.zeros(len(images), 1, 256, 256)
        mask[..., :128] = 1
        return mask


class SmallEncoder(Encoder):
    """Encoder of DVA without its large networks."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        for name, part in (("idnet", Means(512)), ("lndnet", Means(102)), ("bgnet", LeftHalf())):
            self.add_module(name, part)
        self.linear = nn.Linear(614, 512)


@pytest.fixture(autouse=True)
def small_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thcli.train.dva.published.Encoder", SmallEncoder)


@pytest.fixture
def two_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a noise estimator of two levels."""
    small = replace(OFFICIAL, times=(1, 2), blocks=1, attention=(2,))
    monkeypatch.setattr("thcli.train.dva.published.OFFICIAL", small)


def made_task(**own: Any) -> PublishedDvaTask:
    torch.manual_seed(0)
    task = create_task("dva-published", TINY, DvaPublishedTrainOptions(**own))
    assert isinstance(task, PublishedDvaTask)
    return task


def made_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    small = torch.rand(2, 3, 4, 4, generator=generator) * 2 - 1
    return {"target": nn.functional.interpolate(small, (32, 32), mode="bilinear")}


def test_the_settings_are_the_papers() -> None:
    task = made_task()
    assert (task.hyperparameters.lr, task.hyperparameters.batch) == (1e-4, 16)
    assert len(task.table) == 1000
    task.options = replace(TINY, steps=None)
    assert task.count_updates(160, 16) == (10, UPDATES) and UPDATES == 1_000_000
    task.options = replace(TINY, steps=None, epochs=3)
    assert task.count_updates(160, 16) == (10, 30)


@pytest.mark.usefixtures("two_levels")
def test_two_faces_are_learned_by_heart() -> None:
    task, batch = made_task(), made_batch()
    task.train(False)  # without dropout
    parameters = [p for network in task.networks.values() for p in network.parameters()]
    optimiser = task.optimiser(task.phases[0], parameters, 2e-3)
    values = []
    for step in range(14):
        terms = task.losses("denoise", batch, step_generator(0, step % 2, 2), {})
        assert set(terms) == {"simple", "regular"}
        optimiser.zero_grad()
        torch.autograd.backward(terms["simple"] + terms["regular"])
        optimiser.step()
        values.append(float(terms["simple"].detach()))
    assert sum(values[-3:]) < 0.8 * sum(values[:3])


@pytest.mark.usefixtures("two_levels")
def test_regularisation_can_be_left_out() -> None:
    """The other loss stays the same one."""

    def losses(on: bool) -> dict[str, float]:  # whose graph of 300 MB is gone afterwards
        task = made_task(regularisation=on)
        terms = task.losses("denoise", made_batch(), step_generator(0, 0, 2), {})
        return {name: float(value.detach()) for name, value in terms.items()}

    with_it, without = losses(True), losses(False)
    assert set(with_it) == {"simple", "regular"} and set(without) == {"simple"}
    assert with_it["regular"] > 0 and with_it["simple"] == without["simple"]


def test_the_estimator_is_the_editors() -> None:
    """`--narrow` divides its widths alone; names and shapes are those that the editor loads."""
    task = made_task()
    assert task.estimator.shape == replace(OFFICIAL, size=64, width=32)
    exported = task.export_tensors({n: part.state_dict() for n, part in task.networks.items()})
    names = {key: key.removeprefix(registry()[WEIGHTS].key_prefix) for key in exported}
    own = {names[key]: value for key, value in exported.items() if ENCODER not in key}
    load_state(NoiseEstimator(task.estimator.shape), own, "trial")


@pytest.mark.slow
@pytest.mark.usefixtures("two_levels")
def test_a_run_resumes_and_exports_the_published_layout(tmp_path: Path) -> None:
    own = DvaPublishedTrainOptions(persons="0-9")
    whole = train("dva-published", None, tmp_path / "whole", TINY, own)
    train("dva-published", None, tmp_path / "run", replace(TINY, steps=1), own)
    report = train("dva-published", None, tmp_path / "run", replace(TINY, resume=True), own)
    assert report["steps"] == 2 and report["losses"] == whole["losses"]
    tensors = load_tensors(Path(report["output"]), prefix="state_dict.ema_model.")
    assert {"encoder.linear.weight", "time_embed.time_embed.0.weight"} <= set(tensors)
