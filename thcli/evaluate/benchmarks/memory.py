"""Memory of a process: current, peak, and growth with the length of a job."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from thcli.core.errors import ThcliError

_STATUS = Path("/proc/self/status")
_PROBE = """
import json, sys
from thcli.cli.app import run
from thcli.evaluate.benchmarks.memory import peak_rss
code = run(sys.argv[1:])
print(json.dumps({"code": code, "peak": peak_rss()}))
"""


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


def peak_of_command(argv: Sequence[str]) -> int:
    """Return the peak bytes of `thcli ARGV` in its own process. Raises ThcliError when it fails."""
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
    return int(probe["peak"])


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
