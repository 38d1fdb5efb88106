"""Training of FADM as published: losses, a tiny set by heart, ablations, resume and export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from thcli.core.options import FadmPublishedTrainOptions, TrainOptions
from thcli.refiners.fadm.network import OFFICIAL, Diffusion, shape_of
from thcli.train.core.run import create_task, train
from thcli.train.core.task import step_generator
from thcli.train.fadm.published import PublishedFadmTask
from thcli.weights.tensors import load_tensors

TINY = TrainOptions(
    smoke=True, steps=2, batch=2, size=64, samples=0, device="cpu", threads=1, narrow=16, ema=0
)


def made_task(**own: Any) -> PublishedFadmTask:
    torch.manual_seed(0)
    task = create_task("fadm-published", TINY, FadmPublishedTrainOptions(**own))
    assert isinstance(task, PublishedFadmTask)
    return task


def made_batch() -> dict[str, torch.Tensor]:
    rows = torch.rand(3, 2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return dict(zip(("coarse", "truth", "source"), rows, strict=True))


def noise_loss(task: PublishedFadmTask, batch: dict[str, torch.Tensor]) -> float:
    """Return the loss of the noise alone, without its graph."""
    terms = task.losses("denoise", batch, step_generator(0, 0, 2), {})
    return float(terms["noise"].detach())


def test_the_settings_are_the_papers() -> None:
    task = made_task()
    settings = task.hyperparameters
    assert (settings.lr, settings.batch, settings.epochs, settings.repeats) == (2e-4, 5, 100, 75)
    optimiser = task.optimiser(task.phases[0], task.networks["diffusion"].parameters(), 2e-4)
    assert optimiser.defaults["betas"] == (0.5, 0.9) and len(task.schedule) == OFFICIAL.steps == 100


def test_two_pairs_are_learned_by_heart() -> None:
    task, batch = made_task(), made_batch()
    optimiser = task.optimiser(task.phases[0], task.networks["diffusion"].parameters(), 5e-3)
    values = []
    for step in range(14):
        terms = task.losses("denoise", batch, step_generator(0, step % 2, 2), {})
        assert set(terms) == {"noise", "colours"}
        loss = sum(terms.values(), torch.zeros(()))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        values.append(float(terms["noise"].detach()))
    assert sum(values[-3:]) < 0.8 * sum(values[:3])


def test_without_colour_alignment_the_true_colours_are_not_read() -> None:
    task, batch = made_task(colour_alignment=False), made_batch()
    conditions = [
        task.encode(dict(batch, truth=truth), None)
        for truth in (batch["truth"], 1 - batch["truth"])
    ]
    assert torch.equal(conditions[0].colour, conditions[1].colour)
    assert set(task.losses("denoise", batch, step_generator(0, 0, 2), {})) == {"noise"}


def test_without_motion_weights_attributes_do_not_count() -> None:
    create_task(  # without --smoke the weights of DECA would be needed
        "fadm-published",
        replace(TINY, smoke=False),
        FadmPublishedTrainOptions(motion_weights=False),
    )
    task, batch = made_task(motion_weights=False), made_batch()
    network = task.networks["diffusion"]
    assert isinstance(network, Diffusion) and network.shape.attributes == 0
    first, second = (
        noise_loss(task, dict(batch, source=source))
        for source in (batch["source"], 1 - batch["source"])
    )
    assert first == second
    other = made_task()
    first, second = (
        noise_loss(other, dict(batch, source=source))
        for source in (batch["source"], 1 - batch["source"])
    )
    assert first != second


@pytest.mark.slow
def test_a_smoke_run_resumes_and_exports_the_published_layout(tmp_path: Path) -> None:
    own = FadmPublishedTrainOptions(sources=1, drivers=2)
    train("fadm-published", None, tmp_path / "run", replace(TINY, steps=1), own)
    options = replace(TINY, steps=2, resume=True)
    report = train("fadm-published", None, tmp_path / "run", options, own)
    assert report["steps"] == 2 and set(report["losses"]) == {"noise", "colours"}
    tensors = load_tensors(Path(report["output"]), prefix="diffusion.")
    shape = shape_of(tensors, "x")
    assert (shape.attributes, shape.steps, shape.sees_images) == (56, 100, False)
    assert shape.multipliers == OFFICIAL.multipliers and shape.attention == OFFICIAL.attention
