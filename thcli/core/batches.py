"""Batches of a network: halved where memory does not suffice, bisected where a frame fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import cv2
import numpy as np

from thcli.core.device import is_out_of_memory
from thcli.core.errors import DeviceMemoryError, NotFiniteError
from thcli.core.types import AnyArray

R = TypeVar("R")
T = TypeVar("T")

_RAISED = (MemoryError, RuntimeError, cv2.error)  # what may be a lack of memory
# What a frame may raise whose numbers are degenerate; a RuntimeError is torch's LinAlgError.
_NUMERICAL = (cv2.error, np.linalg.LinAlgError, FloatingPointError, RuntimeError)
_SMALLER = "Use a smaller --long-side where the engine has one, or --device cpu."


class BatchRunner:
    """Runs a function over the items of a job, as many at once as memory allows.

    When a batch runs out of memory, the cache of the device is emptied and the batch is halved;
    later batches are no larger. Calls must not depend on how the items are divided.

    limit: most items at once, None as long as every batch has had enough memory.
    """

    def __init__(self, on_smaller: Callable[[int], None] | None = None) -> None:
        """Begin without a limit. on_smaller: called with each new limit."""
        self.limit: int | None = None
        self._on_smaller = on_smaller

    def run(self, count: int, compute: Callable[[slice], R]) -> list[R]:
        """Compute all items, in order, in as few calls as memory allows.

        Args:
            count: number of items.
            compute: takes the slice of the items of one call.

        Returns:
            The results of the calls.

        Raises:
            DeviceMemoryError: memory does not suffice for one item.
        """
        results: list[R] = []
        start = 0
        while start < count:
            stop = min(start + (self.limit or count), count)
            try:
                results.append(compute(slice(start, stop)))
                start = stop
                continue
            except _RAISED as error:
                if not is_out_of_memory(error):
                    raise
                if stop - start == 1:
                    raise _for_one_item(error) from error
            # Only here, without the traceback, is the memory of the failed call free.
            self._reduce((stop - start) // 2)
        return results

    def run_each(self, count: int, compute: Callable[[slice], Sequence[T]]) -> list[T | None]:
        """Compute one result per item; an item that fails numerically does not affect the others.

        Args:
            count: number of items.
            compute: takes the slice of the items of one call and returns one result for each.

        Returns:
            One result per item, None where the computation failed.

        Raises:
            DeviceMemoryError: memory does not suffice for one item.
        """
        found = self.run(count, lambda part: _bisect(part, compute))
        return [item for items in found for item in items]

    def _reduce(self, limit: int) -> None:
        self.limit = limit
        empty_cache()
        if self._on_smaller is not None:
            self._on_smaller(limit)


def _bisect(part: slice, compute: Callable[[slice], Sequence[T]]) -> list[T | None]:
    """Return a result for each item of a part, None for those that fail numerically.

    A function of its own: one that calls itself out of a closure is a cycle, which keeps the batch
    until the garbage collector comes.
    """
    try:
        return list(compute(part))
    except _NUMERICAL as error:
        if not is_numerical(error):
            raise
    if part.stop - part.start == 1:
        return [None]
    middle = (part.start + part.stop) // 2
    return [
        *_bisect(slice(part.start, middle), compute),
        *_bisect(slice(middle, part.stop), compute),
    ]


def is_numerical(error: BaseException) -> bool:
    """Return True for an error of degenerate numbers: a singular matrix, NaN, an empty region."""
    if is_out_of_memory(error):
        return False
    if isinstance(error, cv2.error | np.linalg.LinAlgError | FloatingPointError):
        return True
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.linalg.LinAlgError)


def require_finite(*arrays: AnyArray) -> None:
    """Raise NotFiniteError for NaN or infinity in an array of numbers."""
    if not all(np.isfinite(array).all() for array in arrays if array.dtype.kind == "f"):
        raise NotFiniteError


def empty_cache() -> None:
    """Return the unused memory of torch's devices to them, when torch is in use."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _for_one_item(error: BaseException) -> DeviceMemoryError:
    """Return the error of a batch that cannot be halved."""
    if isinstance(error, DeviceMemoryError):
        return DeviceMemoryError(error.message, _SMALLER)
    return DeviceMemoryError("There is not enough memory for a single frame.", _SMALLER)
