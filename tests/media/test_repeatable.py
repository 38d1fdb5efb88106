"""Packets do not depend on what the memory held before."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import av
import pytest

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
