"""Fixtures shared by all test folders."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import settings

from thcli.core import interrupts
from thcli.engines.shared.memory import MMAP_MAX, TRIM_THRESHOLD
from thcli.evaluate.benchmarks.memory import peak_rss, rss

REPO = Path(__file__).resolve().parents[1]
MMAP_THRESHOLD = -3  # mallopt(3)
MOST_LEFT = 200 << 20  # bytes that a test may leave in the heap
MOST_LEFT_BY_MODULE = 16 << 20  # which is not worth the time of returning it, 0.1 s
# Tests that fork or need most memory, in this order: they come first, while a worker has few
# threads and holds little else.
FIRST = (
    "tests/golden/",
    "tests/pipeline/test_bad_input.py",
    "tests/faults/",
    "tests/engines/test_checkpoints.py",
    "tests/pipeline/unread/test_declared.py",
    "tests/faces/adapters/test_torch_adapters.py",
    "tests/faces/parsing/test_facexlib.py",
    "tests/editors/dva/",
    "tests/voices/test_real3d.py",
    "tests/refiners/fadm/test_loading.py",
    "tests/faces/model3d/test_networks.py",
    "tests/engines/test_contract.py",
    "tests/engines/liveportrait/",
    "tests/train/test_a2m_published.py",
    "tests/train/",
    "tests/cli/test_layouts.py",
)
# oneDNN keeps the last 1024 convolutions of a process by default, 50 kB each.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of FIRST first; the others keep their order."""

    def place(item: pytest.Item) -> int:
        found = (n for n, start in enumerate(FIRST) if item.nodeid.startswith(start))
        return next(found, len(FIRST))

    items.sort(key=place)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave modules and test items out of the garbage collector's rounds.

    They live to the end. A round takes a tenth of the time then, and forked children do not copy
    their pages.
    """
    gc.collect()
    gc.freeze()


def empty_caches(module: ModuleType) -> None:
    """Empty the caches of a module whose tests have run; faces and clips of up to 20 MB each."""
    for value in vars(module).values():
        if hasattr(value, "cache_clear") and value.__module__ == module.__name__:
            value.cache_clear()


class Heap:
    """The heap of the process. settled: resident bytes after the last `settle`."""

    settled = 0

    @classmethod
    def settle(cls) -> None:
        """Return freed memory to the system.

        The first network on the CPU keeps freed blocks (`engines.shared.memory`). By the C
        library's first settings, every array above 128 KiB would get pages of its own, and page
        faults; with limits of 32 MiB, which it arrives at by itself, a worker grew to 2.2 GB.
        """
        if platform.libc_ver()[0] == "glibc":
            library = ctypes.CDLL(None)
            library.mallopt(MMAP_MAX, 65536)
            library.mallopt(MMAP_THRESHOLD, 2 << 20)
            library.mallopt(TRIM_THRESHOLD, 8 << 20)
            library.malloc_trim(0)
        cls.settled = rss()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Return the memory of a finished module, or of a test that left much, to the system.

    Cycles of a module are collected before the next one begins: a warning of theirs is its own.
    A command with --threads leaves torch with as many: a worker has one.
    """
    if hasattr(item.config, "workerinput"):
        torch.set_num_threads(1)
    Peaks.note(item.nodeid)
    is_last = nextitem is None or nextitem.path != item.path
    if is_last and isinstance(item, pytest.Function):
        empty_caches(item.module)
    most = MOST_LEFT_BY_MODULE if is_last else MOST_LEFT
    if is_last or rss() > Heap.settled + most:
        gc.collect()
    if rss() > Heap.settled + most:
        Heap.settle()


class Peaks:
    """Peak memory of the processes that ran tests, and the tests that reached it.

    lines: by process. own, child: bytes and test, of this process and of its largest child.
    """

    lines: list[str] = []
    own = child = (0, "")

    @classmethod
    def note(cls, test: str) -> None:
        """Note a test that raised a peak."""
        cls.own = max(cls.own, (peak_rss(), test), key=lambda peak: peak[0])
        if sys.platform != "win32":
            import resource  # not on Windows

            unit = 1 if sys.platform == "darwin" else 1024
            most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
            cls.child = max(cls.child, (most, test), key=lambda peak: peak[0])

    @classmethod
    def here(cls, name: str) -> str:
        """Return a line on this process and the largest of its children, in MB."""
        cls.note("its end")
        own, child = (f"{peak / 1e6:.0f} ({test})" for peak, test in (cls.own, cls.child))
        return f"{name} {own}, a child {child}"


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
    for line in (Peaks.here("pytest"), *Peaks.lines):
        terminalreporter.write_line(f"peak memory, MB: {line}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real clips beside the checkout; without it skip, in CI fail."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{folder} is missing in CI")
        pytest.skip("needs ../shared (real clips that may not be in the repository)")
    return folder


@pytest.fixture(scope="module")
def found_regions() -> dict[bytes, Any]:
    """Return what the tests of a module that use `regions_once` have found."""
    return {}


@pytest.fixture
def regions_once(monkeypatch: pytest.MonkeyPatch, found_regions: dict[bytes, Any]) -> None:
    """Find the regions of a picture once for a module, see `find_once`."""
    from tests.engines.mesh.regions_once import find_once

    find_once(monkeypatch, found_regions)


@pytest.fixture
def interrupt_handler() -> Iterator[None]:
    """Handle Ctrl-C as the program does, which waits for functions that are not to be broken."""
    if sys.platform == "win32":
        pytest.skip("needs POSIX signals")
    before = signal.signal(signal.SIGINT, interrupts.interrupt)
    yield
    signal.signal(signal.SIGINT, before)
