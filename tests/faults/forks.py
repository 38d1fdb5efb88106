"""Forked children, and a process from which they are forked."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest
import torch

PATIENCE = 90.0  # seconds for one command on a busy machine
GRACE = 30.0  # seconds more for the child to write its stacks
_POLL = 0.005  # seconds


@contextmanager
def without_threads() -> Iterator[None]:
    """Let OpenCV and torch have no threads in the block: a forked child would wait for them."""
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)  # ends those that there are; 0 does not
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])


def fork(room: Path, patience: float = PATIENCE) -> int:
    """Fork; return the child's process, and in the child 0.

    The child leaves alone what its parent left. A collection there would free the containers of
    interrupted jobs, whose scalers and encoders wait for threads that no fork copies (FFmpeg's
    `avpriv_slicethread_free`, for ever). A child that takes longer than `patience` ends by itself,
    and `join` fails with its stacks.

    Args:
        room: folder for the stacks.
        patience: seconds.
    """
    process = os.fork()
    if process == 0:
        gc.freeze()
        watch(room, patience)
    return process


def watch(room: Path, patience: float) -> None:
    """End the calling process in `patience` seconds with its stacks, in place of an earlier end."""
    faulthandler.dump_traceback_later(patience, exit=True, file=_stacks(room).open("w"))


def wait(process: int, patience: float = PATIENCE) -> int:
    """Wait for a child and return its status.

    One that cannot end itself (stopped, or waiting in the kernel) is killed GRACE seconds after its
    patience.
    """
    end = time.monotonic() + patience + GRACE
    while time.monotonic() < end:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return status
        time.sleep(_POLL)
    os.kill(process, signal.SIGKILL)
    return os.waitpid(process, 0)[1]


def join(process: int, room: Path, patience: float = PATIENCE) -> int:
    """Wait for a child (see `wait`) and return its exit code, or minus its signal."""
    code = os.waitstatus_to_exitcode(wait(process, patience))
    stacks = stacks_of(process, room)
    if stacks:
        pytest.fail(f"process {process} hung:\n{stacks}", pytrace=False)
    return code


def stacks_of(process: int, room: Path) -> str:
    """Return the stacks of a child that hung, "" for one that did not."""
    path = _stacks(room, process)
    return path.read_text() if path.exists() else ""  # a child may be killed before it makes one


def _stacks(room: Path, process: int | None = None) -> Path:
    return room / f"stacks-{process or os.getpid()}"
