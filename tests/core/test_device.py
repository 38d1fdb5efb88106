"""Threads of torch beside its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch

from thcli.core.device import single_thread_workers


def test_only_the_workers_compute_with_one_thread() -> None:
    """Rendering goes on beside them, and a suspended consumer keeps its own threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    meeting = Barrier(2)

    def count() -> int:
        meeting.wait()  # both workers are asked
        return torch.get_num_threads()

    try:
        with single_thread_workers(2) as pool, ThreadPoolExecutor(1) as other:
            asked = [pool.submit(count) for _ in range(2)]
            assert [future.result() for future in asked] == [1, 1]
            assert other.submit(torch.get_num_threads).result() == 3
            assert torch.get_num_threads() == 3
            with single_thread_workers(1) as inner:
                assert inner.submit(torch.get_num_threads).result() == 1
            assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
