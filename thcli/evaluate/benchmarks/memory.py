"""Memory of a process: current, peak, and in the course of a command."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from thcli.core.errors import ThcliError
from thcli.core.glibc import share_arena

_STATUS = Path("/proc/self/status")
_PROBE = """
import json, sys
from thcli.cli.app import run
from thcli.evaluate.benchmarks.memory import sampled
with sampled() as use:
    code = run(sys.argv[1:])
print(json.dumps({"code": code, "use": use()}))
"""
_INTERVAL = 0.1  # seconds between samples


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Resident bytes of a command in its own process.

    peak: highest.
    half: median around the middle of its time.
    end: median of the last tenth of its time.
    """

    peak: int
    half: int
    end: int


def rss() -> int:
    """Return the resident bytes now (on macOS the peak)."""
    if _STATUS.exists():
        return _from_status("VmRSS")
    return _windows("WorkingSetSize") if sys.platform == "win32" else _from_rusage()


def peak_rss() -> int:
    """Return the peak resident bytes of the process, or since `reset_peak` where that works."""
    if _STATUS.exists():
        return _from_status("VmHWM")
    return _windows("PeakWorkingSetSize") if sys.platform == "win32" else _from_rusage()


def reset_peak() -> bool:
    """Reset the peak of `peak_rss`, on Linux only; return False where it failed."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


@contextmanager
def sampled() -> Iterator[Callable[[], tuple[int, int, int]]]:
    """Sample the process's memory in the block.

    Yields:
        A function that returns the values of MemoryUse when the block has ended.
    """
    samples, ended = array("q", [rss()]), threading.Event()

    def sample() -> None:
        while not ended.wait(_INTERVAL):
            samples.append(rss())

    share_arena()  # as a job does before its first thread
    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield lambda: summary_of(samples, peak_rss())
    finally:
        ended.set()
        thread.join()


def summary_of(samples: Sequence[int], peak: int) -> tuple[int, int, int]:
    """Return the values of MemoryUse for bytes sampled at equal intervals.

    Args:
        samples: one or more.
        peak: as the system counts it, which may lag behind the samples.
    """
    middle, tenth = len(samples) // 2, max(len(samples) // 10, 1)
    around, last = samples[max(middle - tenth, 0) : middle + tenth], samples[-tenth:]
    return max(peak, *samples), int(median(around)), int(median(last))


def memory_of_command(argv: Sequence[str]) -> MemoryUse:
    """Return the memory of `thcli ARGV` in its own process. Raises ThcliError when it fails."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *argv], capture_output=True, text=True, check=False
    )
    last = done.stdout.splitlines()[-1:] or [""]
    if done.returncode or not last[0].startswith('{"code"'):
        raise ThcliError(f"thcli {' '.join(argv)} failed: {done.stderr.strip()[-300:]}")
    probe = json.loads(last[0])
    if probe["code"]:
        raise ThcliError(
            f"thcli {' '.join(argv)} ended with {probe['code']}: {done.stderr.strip()[-300:]}"
        )
    return MemoryUse(*probe["use"])


def _from_status(key: str) -> int:
    for line in _STATUS.read_text("ascii", "replace").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    return 0


def _from_rusage() -> int:
    import resource  # not on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


class _Counters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS of psapi.h."""

    _fields_ = (
        ("cb", ctypes.c_uint32),
        ("PageFaultCount", ctypes.c_uint32),
        *(
            (name, ctypes.c_size_t)
            for name in (
                "PeakWorkingSetSize",
                "WorkingSetSize",
                "QuotaPeakPagedPoolUsage",
                "QuotaPagedPoolUsage",
                "QuotaPeakNonPagedPoolUsage",
                "QuotaNonPagedPoolUsage",
                "PagefileUsage",
                "PeakPagefileUsage",
            )
        ),
    )


def _windows(field: str) -> int:
    counters = _Counters(cb=ctypes.sizeof(_Counters))
    kernel = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]  # Windows only
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    process = ctypes.c_void_p(kernel.GetCurrentProcess())
    kernel.K32GetProcessMemoryInfo(process, ctypes.byref(counters), counters.cb)
    return int(getattr(counters, field))
