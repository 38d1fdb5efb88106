"""Tests of the memory benchmark: its commands, table and JSON, with a fake measurement."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from thcli import media
from thcli.cli.app import run
from thcli.core.errors import UsageError
from thcli.core.events import Event, Finished, Step
from thcli.core.options import MemoryOptions
from thcli.evaluate.benchmarks.growth import GROWTH_BAR, growth_table, measure_growth
from thcli.evaluate.benchmarks.memory import MemoryUse

MIB = 2**20


class FakeMeasure:
    """Measurement whose peak grows by `slope` bytes a frame; it checks the inputs."""

    def __init__(self, slope: int) -> None:
        self.slope = slope
        self.ran: list[tuple[str, int]] = []

    def __call__(self, argv: Sequence[str]) -> MemoryUse:
        verb, *inputs = argv[: argv.index("-o")]
        if verb == "paste":  # its crops were made by the command before
            inputs = inputs[1:]
        given = [
            media.probe(path) for path in inputs if not path.startswith("-") and "=" not in path
        ]
        longest = given[-1]
        seconds = longest.duration
        assert seconds is not None
        frames = round(seconds * 25)
        self.ran.append((verb, frames))
        peak = 100 * MIB + self.slope * frames
        return MemoryUse(peak, peak - MIB, peak)


def test_every_verb_runs_on_clips_of_both_lengths() -> None:
    measure, heard = FakeMeasure(0), list[Event]()
    options = MemoryOptions(memory_short=50, memory_frames=75, memory_others=60, memory_size=64)
    rows = measure_growth(options, measure, heard.append)
    assert [row.verb for row in rows] == ["reenact", "refine", "edit", "speak", "crop", "paste"]
    assert [row.frames for row in rows] == [(50, 75)] + [(50, 60)] * 5
    assert measure.ran[:4] == [("reenact", 50), ("reenact", 75), ("refine", 50), ("refine", 60)]
    assert measure.ran[-4:] == [("crop", 50), ("paste", 50), ("crop", 60), ("paste", 60)]
    assert all(row.flat and row.grown == 0 for row in rows)
    steps = [event.done for event in heard if isinstance(event, Step)]
    assert steps == list(range(1, 13)) and isinstance(heard[-1], Finished)


def test_growth_over_the_limit_is_told() -> None:
    options = MemoryOptions(memory_verbs="crop", memory_short=50, memory_others=100, memory_size=64)
    (row,) = measure_growth(options, FakeMeasure(GROWTH_BAR // 50 + 1))
    assert not row.flat and row.grown > GROWTH_BAR
    head, lines = growth_table([row])
    assert lines[0] == ["crop", "100", "200", "+50 MiB of 50 frames", "199", "200", "NO"]
    assert len(head) == len(lines[0])
    assert json.loads(json.dumps(row.as_json()))["flat"] is False


def test_options_are_checked() -> None:
    assert MemoryOptions(memory_verbs="edit, crop").chosen == ("edit", "crop")
    for wrong in ({"memory_verbs": "dance"}, {"memory_short": 49}, {"memory_size": 9}):
        with pytest.raises(UsageError, match="--memory-"):
            MemoryOptions(**wrong)


def test_a_failing_verb_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", "--memory", "--memory-verbs", "dance", "-q"]) == UsageError.exit_code
    assert "dance" in capsys.readouterr().err
