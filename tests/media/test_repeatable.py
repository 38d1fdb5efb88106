"""The same frames give the same file."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

import thcli
from thcli.core.options import OutputOptions
from thcli.evaluate.datasets.sample_clip import astronaut_clip

WRITE = """
import sys
import thcli
from thcli.evaluate.datasets.sample_clip import astronaut_clip

thcli.write_frames(sys.argv[1], astronaut_clip(10, 144))
"""


def digest(path: Path) -> str:
    with av.open(str(path)) as file:
        return hashlib.sha256(b"".join(bytes(p) for p in file.demux(video=0))).hexdigest()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc fills memory")
def test_packets_are_the_same_whatever_the_memory_held(tmp_path: Path) -> None:
    found = set()
    for fill in ("0", "85", "200"):
        out = tmp_path / f"{fill}.mp4"
        held = {"MALLOC_PERTURB_": fill, "MALLOC_MMAP_MAX_": "0"}
        subprocess.run(
            [sys.executable, "-c", WRITE, str(out)], env={**os.environ, **held}, check=True
        )
        found.add(digest(out))
    assert len(found) == 1


@pytest.mark.parametrize("name", ["clip.mkv", "clip.webm", "clip.mp4", "clip.mov"])
def test_files_are_the_same_byte_by_byte(tmp_path: Path, name: str) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        thcli.write_frames(tmp_path / folder / name, astronaut_clip(4, 64))
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "codec", "side", "clears"),
    [
        ("out.mp4", "x264", 144, True),
        ("out.mp4", "x264", 256, False),  # rows without padding
        ("out.avi", "x264", 144, False),  # no B-frames
        ("out.mkv", "ffv1", 256, True),  # any other encoder
    ],
)
def test_memory_is_cleared_where_packets_may_depend_on_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, codec: str, side: int, clears: bool
) -> None:
    """It zeroes the memory of all threads, which takes their time."""
    found = []

    @contextmanager
    def clear() -> Iterator[None]:
        found.append(True)
        yield

    monkeypatch.setattr("thcli.media.writing.encoder.clear_memory", clear)
    options = OutputOptions(codec=codec)
    thcli.write_frames(tmp_path / name, astronaut_clip(2, side), options=options)
    assert bool(found) == clears
