"""Batches: halved where memory runs out, bisected where one item fails, equal results."""

from __future__ import annotations

import errno
import gc
import weakref
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from thcli.core import batches
from thcli.core.batches import BatchRunner, is_numerical, require_finite
from thcli.core.device import convert_out_of_memory, is_out_of_memory
from thcli.core.errors import DeviceError, DeviceMemoryError, NotFiniteError

CPU = torch.device("cpu")
OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    MemoryError("Unable to allocate 8 GiB"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    DeviceMemoryError("cuda:0 has not enough memory."),
]


class Hungry:
    """A function over numbers that has room for `room` of them and records its calls."""

    def __init__(self, room: int, error: type[Exception] = torch.OutOfMemoryError) -> None:
        self.room, self.error, self.calls = room, error, list[int]()

    def __call__(self, part: slice) -> list[int]:
        self.calls.append(part.stop - part.start)
        if self.calls[-1] > self.room:
            raise self.error("CUDA out of memory")
        return [10 * i for i in range(part.start, part.stop)]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: str(error)[:30])
def test_what_counts_as_out_of_memory(error: Exception) -> None:
    assert is_out_of_memory(error) and not is_numerical(error)


def test_other_errors_are_not_taken_for_it() -> None:
    for error in (RuntimeError("shapes differ"), OSError(errno.ENOSPC, "full"), ValueError(), None):
        assert not is_out_of_memory(error)
    full = cv2.error("OpenCV(4) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate")
    assert is_out_of_memory(full) and not is_numerical(full)
    assert is_numerical(cv2.error("degenerate")) and not is_numerical(RuntimeError("a bug"))


def test_opencv_itself_reports_used_up_memory() -> None:
    with pytest.raises(cv2.error, match="Insufficient memory") as caught:
        cv2.resize(np.zeros((2, 2, 3), np.float32), (1 << 30, 1 << 30))
    assert is_out_of_memory(caught.value)
    with pytest.raises(cv2.error) as caught:
        cv2.resize(np.zeros((0, 2), np.uint8), (2, 2))
    assert not is_out_of_memory(caught.value) and is_numerical(caught.value)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_a_batch_is_halved_and_the_size_is_kept(error: type[Exception]) -> None:
    reports: list[int] = []
    runner, compute = BatchRunner(reports.append), Hungry(3, error)
    first = runner.run_each(8, compute)
    assert compute.calls == [8, 4, 2, 2, 2, 2]
    assert runner.run_each(5, compute) == first[:5] == [0, 10, 20, 30, 40]
    assert compute.calls[6:] == [2, 2, 1] and reports == [4, 2] and runner.limit == 2


def test_nothing_changes_while_memory_suffices() -> None:
    runner, compute = BatchRunner(), Hungry(8)
    assert runner.run(8, compute) == [[10 * i for i in range(8)]] and compute.calls == [8]
    assert runner.limit is None and runner.run(0, compute) == []


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_one_item_too_many_is_a_device_error(error: type[Exception]) -> None:
    with pytest.raises(DeviceMemoryError, match="single frame") as caught:
        BatchRunner().run(4, Hungry(0, error))
    assert caught.value.exit_code == DeviceError.exit_code == 6
    assert "--device cpu" in caught.value.hint and "--long-side" in caught.value.hint


def test_the_device_stays_in_the_message() -> None:
    def compute(part: slice) -> list[int]:
        with convert_out_of_memory(CPU, "to render"):
            raise torch.OutOfMemoryError

    with pytest.raises(DeviceMemoryError, match=r"^cpu has not enough memory to render\. Use a"):
        BatchRunner().run(2, compute)


def test_the_memory_of_a_failed_batch_is_free_before_the_next(monkeypatch: Any) -> None:
    """The traceback of the failed call would keep its tensors."""
    kept: list[weakref.ref[torch.Tensor]] = []
    alive: list[bool] = []
    monkeypatch.setattr(
        batches, "empty_cache", lambda: alive.append(any(ref() is not None for ref in kept))
    )

    def compute(part: slice) -> list[int]:
        tensor = torch.zeros(part.stop - part.start)
        kept.append(weakref.ref(tensor))
        if len(tensor) > 1:
            with convert_out_of_memory(CPU):
                raise torch.OutOfMemoryError
        return [int(tensor.sum())]

    assert BatchRunner().run(2, compute) == [[0], [0]]
    assert alive == [False]


def test_the_cache_of_a_device_in_use_is_emptied(monkeypatch: Any) -> None:
    calls: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("cuda"))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: calls.append("mps"))
    BatchRunner().run(2, Hungry(1))
    assert calls == ["cuda", "mps"]


@pytest.mark.parametrize(
    "error",
    [
        FloatingPointError,
        np.linalg.LinAlgError,
        torch.linalg.LinAlgError,  # type: ignore[attr-defined]  # torch's stub omits it
        cv2.error,
    ],
)
def test_one_item_that_fails_leaves_the_others(error: type[Exception]) -> None:
    def compute(part: slice) -> list[int]:
        if part.start <= 5 < part.stop:
            raise error("degenerate")
        return list(range(part.start, part.stop))

    runner = BatchRunner()
    assert runner.run_each(8, compute) == [0, 1, 2, 3, 4, None, 6, 7]
    assert runner.limit is None


def test_memory_and_numbers_together() -> None:
    hungry = Hungry(3)

    def compute(part: slice) -> list[int]:
        found = hungry(part)
        require_finite(np.array([np.nan if i == 40 else i for i in found]))
        return found

    assert BatchRunner().run_each(7, compute) == [0, 10, 20, 30, None, 50, 60]


def test_a_bug_is_raised() -> None:
    def compute(part: slice) -> list[int]:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        BatchRunner().run_each(4, compute)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(value: float) -> None:
    require_finite(np.ones(3, np.float32), np.arange(3), np.array([True]))
    with pytest.raises(NotFiniteError, match="not finite") as caught:
        require_finite(np.zeros(2), np.array([0, value], np.float32))
    assert caught.value.exit_code == 6 and isinstance(caught.value, FloatingPointError)


def test_a_batch_is_freed_without_the_garbage_collector() -> None:
    class Item:
        """Thing that a call holds."""

    item = Item()
    alive = weakref.ref(item)

    def compute(part: slice, held: Item = item) -> list[Item]:
        return [held] * (part.stop - part.start)

    collects = gc.isenabled()
    gc.disable()
    try:
        assert BatchRunner().run_each(3, compute) == [item] * 3
        del item, compute
        assert alive() is None
    finally:
        if collects:
            gc.enable()
