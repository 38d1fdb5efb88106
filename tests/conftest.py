"""Fixtures shared by all test folders."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from thcli.engines.shared.memory import MMAP_MAX, TRIM_THRESHOLD
from thcli.evaluate.benchmarks.memory import peak_rss, rss

REPO = Path(__file__).resolve().parents[1]
MOST_LEFT = 200 << 20  # bytes that a test may leave in the heap

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


def pytest_configure() -> None:
    """Restore Ctrl-C, which a shell's background processes and their children ignore."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Heap:
    """The heap of the process. settled: resident bytes after the last `settle`."""

    settled = 0

    @classmethod
    def settle(cls) -> None:
        """Return freed memory to the system.

        The first network on the CPU keeps freed blocks (`engines.shared.memory`): the usual
        settings of the C library are restored.
        """
        gc.collect()
        if platform.libc_ver()[0] == "glibc":
            library = ctypes.CDLL(None)
            library.mallopt(MMAP_MAX, 65536)
            library.mallopt(TRIM_THRESHOLD, 128 << 10)
            library.malloc_trim(0)
        cls.settled = rss()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Return the memory of a finished module, or of a test that left much, to the system."""
    is_last = nextitem is None or nextitem.path != item.path
    if is_last or rss() > Heap.settled + MOST_LEFT:
        Heap.settle()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the peak memory of the run; the whole suite stays below 1.5 GB."""
    terminalreporter.write_line(f"peak memory {peak_rss() / 1e6:.0f} MB")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real clips beside the checkout; without it skip, in CI fail."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{folder} is missing in CI")
        pytest.skip("needs ../shared (real clips that may not be in the repository)")
    return folder
