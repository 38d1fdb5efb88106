"""Learning rates, item order and random numbers shared by the training tasks."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thcli.train.core.epoch_order import EpochOrder
from thcli.train.core.task import (
    LAYER_STREAM,
    cosine_with_warmup,
    step_generator,
    warmup_then_cosine,
)


def test_the_warmup_of_the_cosine_is_complete_after_its_updates() -> None:
    rates = [cosine_with_warmup(2.0, step, 1000, 50, 0.1) for step in range(1001)]
    cosines = [0.1 + 0.9 * (1 + math.cos(math.pi * step / 1000)) / 2 for step in range(1001)]
    assert rates[0] == pytest.approx(2 / 50 * cosines[0])
    assert rates[48] == pytest.approx(2 * 49 / 50 * cosines[48])
    assert rates[49:] == pytest.approx([2 * cosine for cosine in cosines[49:]])
    assert rates[-1] == pytest.approx(0.2)


def test_the_rate_rises_linearly_before_the_cosine() -> None:
    rates = [warmup_then_cosine(2.0, step, 100, 0.1, 0.01) for step in range(101)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(2) and rates[55] == pytest.approx(2 * 0.505)
    assert rates[-1] == pytest.approx(0.02)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))


@given(seed=st.integers(0, 2**31), count=st.integers(1, 30), epoch=st.integers(0, 5))
def test_every_epoch_visits_every_item_once(seed: int, count: int, epoch: int) -> None:
    order = EpochOrder(seed, count)
    items = [order(epoch * count + index) for index in range(count)]
    assert sorted(items) == list(range(count))


def test_epochs_have_different_orders_that_follow_from_the_seed() -> None:
    order, again, other = EpochOrder(1, 20), EpochOrder(1, 20), EpochOrder(2, 20)
    first, second = ([order(epoch * 20 + i) for i in range(20)] for epoch in range(2))
    assert first != second and first != [other(i) for i in range(20)]
    assert [again(20 + i) for i in range(20)] == second, "without visiting the first epoch"


def test_generators_follow_from_seed_step_and_stream() -> None:
    def number(*key: int) -> float:
        return float(torch.rand(1, generator=step_generator(*key)))

    assert number(1, 2) == number(1, 2)
    assert len({number(1, 2), number(1, 3), number(2, 2), number(1, 2, LAYER_STREAM)}) == 4
