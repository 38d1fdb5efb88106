"""The device that maps HDR frames: that of --device in every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.pipeline.command_line import to_argv
from thcli import media
from thcli.cli.app import run
from thcli.core.errors import MediaError
from thcli.core.events import silent
from thcli.core.options import CompareOptions, RunOptions, TrackOptions
from thcli.pipeline.job.job import Job

Clip = Callable[..., Path]


@pytest.mark.parametrize(
    "command", ["align", "crop", "detect", "encode --engine mesh", "fit", "parse", "track"]
)
def test_frames_are_read_with_the_given_device(
    command: str, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were mapped on the device of "auto" where a job had no options."""
    devices = []

    def refuse(*args: object, device: str, **given: Any) -> NoReturn:
        devices.append(device)
        raise MediaError("read")

    monkeypatch.setattr(media, "read", refuse)
    name, *words = command.split()
    output = tmp_path / ("a.jsonl" if name in ("detect", "fit", "track") else "a")
    assert run(to_argv(name, clip("c1.mp4", 1), "-q --device cpu", *words, "-o", output)) == 3
    assert devices == ["cpu"]


def test_a_job_without_computation_reads_on_the_cpu() -> None:
    options = TrackOptions(run=RunOptions(device="cuda:1"))
    assert Job("track", silent, options).device == "cuda:1"
    assert Job("compare", silent, CompareOptions()).device == Job("x", silent).device == "cpu"
