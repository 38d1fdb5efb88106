"""Limits of audio processing: no torch without HuBERT, bounded memory, valid option ranges."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.audio.sounds import RATE, noise, save
from thcli.audio.mel import log_mel_blocks
from thcli.audio.read import read_blocks
from thcli.core.errors import UsageError
from thcli.core.options import AudioOptions, VoiceOptions
from thcli.core.types import Array32


def test_features_import_no_slow_module() -> None:
    modules = "thcli.audio.features, thcli.audio.speech, thcli.audio.voice_activity"
    probe = f"import sys, {modules}; print({{'torch', 'scipy.signal'}} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "set()\n"), result.stderr


def peak_memory(path: Path) -> int:
    """Return the peak of bytes in use while a file is decoded and its log-mel is computed."""
    tracemalloc.start()
    rows = sum(len(part) for part in log_mel_blocks(read_blocks(path, seconds=2.0)))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows > 500
    return most


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    second = noise(1.0)
    short, long = (save(tmp_path / f"{n}.wav", np.tile(second, n)) for n in (8, 80))
    peak_memory(short)
    assert peak_memory(long) < 1.2 * peak_memory(short) < 8 << 20


def test_decoding_stops_at_the_requested_end(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", noise(3.0))
    parts: Iterator[Array32] = read_blocks(path, seconds=0.5, end=1.2)
    assert [len(part) for part in parts] == [RATE // 2, RATE // 2, RATE // 5]


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": -1.0},
        {"start": 2.0, "end": 1.0},
        {"loudness": -80.0},
        {"loudness": 0.0},
        {"start": float("nan")},
    ],
)
def test_audio_options(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"--audio|--loudness"):
        AudioOptions(**wrong)  # type: ignore[arg-type]  # names and values of different fields


def test_voice_options() -> None:
    assert VoiceOptions().blinks_per_minute(15) == 15
    assert (
        VoiceOptions(blink="none").blinks_per_minute(15) == 0
        and VoiceOptions(blink="22.5").blinks_per_minute(15) == 22.5
    )
    assert VoiceOptions().pose_file is None is VoiceOptions(pose="still").pose_file
    assert VoiceOptions(pose="nod.motion.safetensors").pose_file == Path("nod.motion.safetensors")
    for wrong, name in (
        ({"blink": "often"}, "--blink"),
        ({"blink": "-1"}, "--blink"),
        ({"blink": "nan"}, "--blink"),
        ({"mouth": 4.0}, "--mouth"),
        ({"temperature": -0.1}, "--temperature"),
    ):
        with pytest.raises(UsageError, match=name):
            VoiceOptions(**wrong)
