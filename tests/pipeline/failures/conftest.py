"""The faulty backends as rows of their stages, and commands run on a small clip."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.pipeline.command_line import to_argv
from tests.pipeline.failures.faulty import FAULTS, Faults
from thcli import media
from thcli.cli.app import run
from thcli.core.types import Image
from thcli.pipeline.backends import STAGES
from thcli.weights.backend import Backend

FRAMES = 10
ROWS = (
    ("engine", "faulty-mesh", "mesh", "mesh"),
    ("engine", "faulty-network", "network", "fomm"),
    ("refiner", "faulty", "refiner", "fadm-s"),
    ("parser", "faulty", "parser", "parse-s"),
    ("painter", "faulty", "painter", "drawn"),
    ("model3d", "faulty", "model", "mesh"),
    ("voice", "faulty", "voice", "a2m"),
    ("voice", "faulty-bar", "bar", "dh-s"),
)


@pytest.fixture(autouse=True)
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """Return the faults of the backends, none at first."""
    for stage, name, factory, like in ROWS:
        reads = STAGES[stage].rows[like].reads
        row = Backend(f"tests.pipeline.failures.faulty:{factory}", "a fake", reads=reads)
        monkeypatch.setitem(STAGES[stage].rows, name, row)
    FAULTS.__init__()  # type: ignore[misc]  # the backends hold this object
    return FAULTS


@dataclass(frozen=True)
class Ran:
    """A finished command. report: --json; error: last line of stderr."""

    code: int
    report: dict[str, Any]
    error: str


Run = Callable[..., Ran]


@pytest.fixture
def thcli(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command with --json."""

    def ran(*words: object) -> Ran:
        code = run(to_argv(*words, "--json"))
        streams = capsys.readouterr()
        return Ran(code, json.loads(streams.out or "{}"), streams.err)

    return ran


@pytest.fixture
def video(clip: Callable[..., Path]) -> Path:
    """Return the clip of FRAMES frames."""
    return clip("failures.mp4", FRAMES)


def write_noise(path: Path, seconds: float) -> Path:
    """Write a recording of noise and return its path."""
    count = round(16000 * seconds)
    samples = np.random.default_rng(0).integers(-9000, 9000, count).astype(np.int16)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
        frame.sample_rate = 16000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def read_images(path: Path) -> list[Image]:
    with media.read(path) as frames:
        return [np.asarray(frame.pixels, np.uint8) for frame in frames]


def differing(a: Path | list[Image], b: Path | list[Image]) -> list[int]:
    """Return the numbers of the frames in which two videos differ."""
    left, right = (read_images(x) if isinstance(x, Path) else x for x in (a, b))
    return [i for i, (x, y) in enumerate(zip(left, right, strict=True)) if not np.array_equal(x, y)]
