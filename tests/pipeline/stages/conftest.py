"""Fixtures of the stage commands."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.stages.made_videos import FRAMES, SIDE, CommandResult, Thcli, save
from thcli import media
from thcli.cli.app import run
from thcli.core.types import Frame, Image
from thcli.evaluate.datasets.sample_clip import RATE, astronaut_clip, portrait


@pytest.fixture
def thcli(capsys: pytest.CaptureFixture[str]) -> Thcli:
    """Return a function that runs a command in this process."""

    def call(*words: object) -> CommandResult:
        capsys.readouterr()
        code = run([str(word) for word in words])
        out, err = capsys.readouterr()
        return CommandResult(code, out, err)

    return call


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stages")


@pytest.fixture(scope="session")
def clip(room: Path) -> Path:
    """Encode FRAMES frames of SIDE x SIDE pixels with a tone."""
    tone = room / "tone.wav"
    with wave.open(str(tone), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        times = np.arange(16000 * FRAMES // RATE) / 16000
        sound.writeframes((8000 * np.sin(2 * math.pi * 440 * times)).astype("<i2").tobytes())
    return save(room / "clip.mp4", astronaut_clip(FRAMES, SIDE), tone)


@pytest.fixture(scope="session")
def pair(room: Path) -> Path:
    """Encode two faces side by side, 6 frames."""
    wide = [
        Frame(
            np.asarray(np.hstack([f.pixels, f.pixels[:, ::-1]]), np.uint8),
            f.pts,
            f.time_base,
            f.index,
            1,
        )
        for f in astronaut_clip(6, SIDE)
    ]
    return save(room / "pair.mp4", wide)


@pytest.fixture(scope="session")
def gap(room: Path) -> Path:
    """Encode a face in frames 0-4 and 9-12, grey in between."""
    grey = np.full((SIDE, SIDE, 3), 90, np.uint8)
    return save(room / "gap.mp4", replace_middle(grey))


@pytest.fixture(scope="session")
def scenes(room: Path) -> Path:
    """Encode a face in frames 0-4 and 9-12, stripes in between: three scenes."""
    across = np.arange(SIDE)[None, :, None] // 24 * np.array([71, 113, 29])
    stripes = np.broadcast_to(across % 256, (SIDE, SIDE, 3)).astype(np.uint8)
    return save(room / "scenes.mp4", replace_middle(stripes))


def replace_middle(other: Image) -> list[Frame]:
    """Return 13 frames of the astronaut, frames 5 to 8 replaced."""
    frames = astronaut_clip(13, SIDE)
    return [Frame(other, f.pts, f.time_base, f.index, 1) if 5 <= f.index < 9 else f for f in frames]


@pytest.fixture(scope="session")
def photo(room: Path) -> Path:
    return _save(room / "photo.png", portrait(SIDE))


@pytest.fixture(scope="session")
def blank(room: Path) -> Path:
    return _save(room / "blank.png", np.full((SIDE, SIDE, 3), 127, np.uint8))


def _save(path: Path, pixels: Image) -> Path:
    with media.write(path, (SIDE, SIDE)) as out:
        out.write(pixels, 0)
    return path
