"""Fixtures shared by all test folders."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from thcli.engines.shared.memory import MMAP_MAX, TRIM_THRESHOLD
from thcli.evaluate.benchmarks.memory import peak_rss, rss

REPO = Path(__file__).resolve().parents[1]
MOST_LEFT = 200 << 20  # bytes that a test may leave in the heap

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Restore Ctrl-C, which a shell's background processes and their children ignore.

    A worker of pytest-xdist gets one thread and a temporary folder of its own.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        torch.set_num_threads(1)
        os.environ["OMP_NUM_THREADS"] = "1"
        folder = tempfile.TemporaryDirectory(prefix="pytest-worker-")
        config.add_cleanup(folder.cleanup)
        os.environ["TMPDIR"] = tempfile.tempdir = folder.name


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
    """Return the memory of a finished module, or of a test that left much, to the system.

    A command with --threads leaves torch with as many: a worker has one.
    """
    if hasattr(item.config, "workerinput"):
        torch.set_num_threads(1)
    is_last = nextitem is None or nextitem.path != item.path
    if is_last or rss() > Heap.settled + MOST_LEFT:
        Heap.settle()


class Peaks:
    """Peak memory of the processes that ran tests. lines: by process."""

    lines: list[str] = []

    @staticmethod
    def here(name: str) -> str:
        """Return a line on this process and the largest of its children, in MB."""
        line = f"{name} {peak_rss() / 1e6:.0f}"
        if sys.platform == "win32":
            return line
        import resource  # not on Windows

        unit = 1 if sys.platform == "darwin" else 1024
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
        return f"{line} (a child {most / 1e6:.0f})"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the peak memory of a worker to the process that prints it."""
    if hasattr(session.config, "workeroutput"):
        name = os.environ["PYTEST_XDIST_WORKER"]
        session.config.workeroutput["peak"] = Peaks.here(name)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Receive the peak memory of a worker of pytest-xdist; a crashed one has none."""
    Peaks.lines.append(getattr(node, "workeroutput", {}).get("peak", f"{node.gateway.id} ?"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the peak memory by process; each stays below 1.5 GB."""
    terminalreporter.write_line(
        f"peak memory, MB: {', '.join([Peaks.here('pytest'), *Peaks.lines])}"
    )


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real clips beside the checkout; without it skip, in CI fail."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{folder} is missing in CI")
        pytest.skip("needs ../shared (real clips that may not be in the repository)")
    return folder
