"""Counts, speeds, durations and sizes as the command line prints them."""

from __future__ import annotations

import pytest

from thcli.cli.console import Console
from thcli.cli.wording import count, duration, rate
from thcli.core.byte_sizes import size_text
from thcli.core.events import Finished, Started
from thcli.core.options import ShowOptions


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 frames"), (1, "1 frame"), (2, "2 frames"), (1500, "1500 frames")]
)
def test_a_count_agrees_with_its_noun(number: int, text: str) -> None:
    assert count(number, "frame") == text


def test_an_irregular_plural_is_given() -> None:
    assert [count(n, "entry", "entries") for n in (1, 2)] == ["1 entry", "2 entries"]


@pytest.mark.parametrize(
    ("frames", "seconds", "text"),
    [
        (755, 10.9, "69 frames/s"),
        (25, 10.0, "2.5 frames/s"),
        (1, 4.0, "0.25 frames/s"),
        (1, 60.0, "0.017 frames/s"),
        (0, 2.0, "0 frames/s"),
        (5, 0.0, "-"),
    ],
)
def test_a_slow_rate_is_not_rounded_to_nought(frames: int, seconds: float, text: str) -> None:
    assert rate(frames, seconds) == text


def test_the_speed_of_a_stage_has_its_unit(capsys: pytest.CaptureFixture[str]) -> None:
    with Console(ShowOptions()) as console:
        console(Started("speak", 2, "clips"))
        console(Finished("speak", 2, 4.0))
    assert capsys.readouterr().err == "speak: 2 in 4.0 s, 0.50 clips/s\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(75.4, "75 s"), (6.42, "6.4 s"), (0.048, "0.048 s"), (0.0, "0 s")]
)
def test_a_short_duration_keeps_its_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (4_700, "4.7 kB"),
        (11_500_000, "11.5 MB"),
        (2_300_000_000, "2.3 GB"),
    ],
)
def test_a_small_file_is_not_0_mb(size: int, text: str) -> None:
    assert size_text(size) == text
