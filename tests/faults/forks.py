"""Forked children, and a process from which they are forked."""

from __future__ import annotations

import faulthandler
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest
import torch

PATIENCE = 90.0  # seconds for one command on a busy machine


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
        faulthandler.dump_traceback_later(patience, exit=True, file=_stacks(room).open("w"))
    return process


def join(process: int, room: Path) -> int:
    """Wait for a child and return its exit code, or minus its signal."""
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    stacks = stacks_of(process, room)
    if stacks:
        pytest.fail(f"process {process} hung:\n{stacks}", pytrace=False)
    return code


def stacks_of(process: int, room: Path) -> str:
    """Return the stacks of a child that hung, "" for one that did not."""
    return _stacks(room, process).read_text()


def _stacks(room: Path, process: int | None = None) -> Path:
    return room / f"stacks-{process or os.getpid()}"
