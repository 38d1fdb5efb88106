"""OpenBLAS computes with one thread while a job runs."""

from __future__ import annotations

from threadpoolctl import ThreadpoolController

from thcli.core.blas import one_blas_thread


def threads() -> set[int]:
    found = ThreadpoolController().select(internal_api="openblas").info()
    return {library["num_threads"] for library in found}


def test_overlapping_blocks_have_one_thread() -> None:
    with ThreadpoolController().select(internal_api="openblas").limit(limits=3):
        before = threads()
        first, second = one_blas_thread(), one_blas_thread()
        with first:
            assert threads() == {1}
            second.__enter__()
        assert threads() == {1}
        second.__exit__(None, None, None)
        assert threads() == before != {1}
