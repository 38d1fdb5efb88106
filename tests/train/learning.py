"""Checks that the trainings of networks with a discriminator have in common."""

from __future__ import annotations

from typing import Any

import torch

from thcli.train.core.task import TrainingTask, step_generator
from thcli.train.data.batches import Batch


def require_learning(task: TrainingTask, batch: Batch) -> None:
    """Check that every parameter of every network gets a finite gradient in its phase."""
    for network in task.networks.values():
        for name, parameter in network.named_parameters():
            if name.endswith("second.weight"):  # 0 at first
                torch.nn.init.normal_(parameter, std=0.05)
    cache: dict[str, Any] = {}
    for phase in task.phases:
        terms = task.losses(phase.name, batch, step_generator(0, 0), cache)
        total = torch.stack(list(terms.values())).sum()
        total.backward()  # type: ignore[no-untyped-call]  # torch's own
        for name in phase.networks:
            for parameter in task.networks[name].parameters():
                assert parameter.grad is not None and bool(parameter.grad.isfinite().all())
    frozen = [p for module in task.frozen_modules for p in module.parameters()]
    assert frozen and all(p.grad is None for p in frozen)
