"""Threads of NumPy's linear algebra."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController


class _Limit:
    """The limit of this process, and how many blocks want it."""

    def __init__(self) -> None:
        self._alone, self._blocks = threading.Lock(), 0
        self._held: Any = None

    def begin(self) -> None:
        with self._alone:
            self._blocks += 1
            if self._blocks == 1:
                found = ThreadpoolController().select(internal_api="openblas")
                self._held = found.limit(limits=1)

    def end(self) -> None:
        with self._alone:
            self._blocks -= 1
            if not self._blocks:
                self._held.restore_original_limits()


_limit = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let OpenBLAS compute with one thread within the block, in the whole process.

    How it divides a sum depends on the number of cores. Its threads wait for the next sum at full
    speed, which takes the cores from what renders. Blocks may overlap: the last one that ends gives
    the threads back.
    """
    _limit.begin()
    try:
        yield
    finally:
        _limit.end()
