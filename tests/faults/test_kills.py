"""A short run of the trials of --resume: kills and damage of a real command."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

from tests.faults.kills import Trial, run_trials


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork, SIGKILL, locks of folders")
def test_killed_and_damaged_jobs_give_the_packets_of_an_unbroken_run(tmp_path: Path) -> None:
    trial = run_trials("reenact", tmp_path, kills=3, corruptions=1, frames=32, length=8, seed=5)
    assert sum(trial.kills.values()) >= 3 and trial.failures == []


def test_a_kill_before_the_first_segment_damages_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    monkeypatch.setattr(Trial, "kill_once", lambda *_: True)
    monkeypatch.setattr(Trial, "check", lambda self, output, what: checked.append(what))
    trial = Trial([], tmp_path, 8, Random(0))
    trial.run_corruption("segment emptied")
    assert checked == ["before its first segment"] and not trial.corruptions
