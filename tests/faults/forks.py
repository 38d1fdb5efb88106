"""A process from which children are forked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import torch


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
