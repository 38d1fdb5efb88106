"""Children of a process that has left garbage with threads."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from tests.faults import forks
from tests.faults.forks import fork, join, watch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")


@pytest.fixture
def garbage() -> Iterator[None]:
    """Leave a scaler with threads in a cycle, as an interrupted job does."""
    image = np.zeros((64, 64, 3), np.uint8)
    gc.disable()
    try:
        scaler = VideoReformatter()
        scaler.reformat(av.VideoFrame.from_ndarray(image), 32, 32, threads=3)
        cycle: list[object] = [scaler]
        cycle.append(cycle)
        del scaler, cycle
        yield
    finally:
        gc.enable()
        gc.collect()


@pytest.mark.usefixtures("garbage")
def test_a_child_does_not_free_what_its_parent_left(tmp_path: Path) -> None:
    process = fork(tmp_path, 20.0)
    if process == 0:
        gc.collect()
        os._exit(3)
    assert join(process, tmp_path) == 3


def test_a_child_that_hangs_tells_its_stack(tmp_path: Path) -> None:
    process = fork(tmp_path)
    if process == 0:
        hang(tmp_path)
    with pytest.raises(pytest.fail.Exception, match="in hang"):
        join(process, tmp_path)


def hang(room: Path) -> None:
    watch(room, 0.05)  # from here on: the child of a busy machine comes here late
    time.sleep(60)
    os._exit(0)


def test_a_stopped_child_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "GRACE", 0.1)
    process = fork(tmp_path)
    if process == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    assert join(process, tmp_path, 0.1) == -signal.SIGKILL
