"""tools/simulate_cluster.py against sums by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tools.simulate_cluster import Assumptions, main, simulate

SMALL = Assumptions(hours=10, workers=10, start=0, days_between_losses=0, decode=0)


def test_work_without_losses_is_the_sum_of_the_frames() -> None:
    found = simulate(SMALL)
    hours = 10 * 25 * (0.05 + 0.014)
    assert abs(found.busy - hours) < 1e-6 and abs(found.wall - hours / 10) < 1e-6
    assert found.losses == 0 and found.repeated == 0 and found.bottleneck == "workers"


def test_bottlenecks() -> None:
    assert simulate(replace(SMALL, storage=1)).bottleneck == "storage"
    long = replace(SMALL, clip=18000, seconds_a_frame=3.8)
    assert simulate(long).bottleneck == "the longest clip: --split"
    assert simulate(replace(long, split=60)).wall < simulate(long).wall / 4


def test_losses_repeat_at_most_a_segment_each() -> None:
    often = replace(SMALL, days_between_losses=0.05, seconds_a_frame=3.8)
    found = simulate(often)
    assert found.losses > 20
    assert found.repeated * found.busy * 3600 <= found.losses * 48 * 3.8 + 1e-6


def test_assumptions_are_printed(capsys: Any) -> None:
    assert main(["--hours", "1", "--workers", "2"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("assumed: hours 1, clip 60") and "limited by workers" in said
