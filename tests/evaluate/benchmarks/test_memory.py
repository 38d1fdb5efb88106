"""Tests of memory measurements."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from thcli.core.errors import ThcliError
from thcli.evaluate.benchmarks import memory

MIB = 2**20


FRESH = """
import sys
import numpy as np
from thcli.evaluate.benchmarks import memory
MIB = 2**20
before = memory.rss()
block = np.ones(64 * MIB, np.uint8)
assert memory.rss() > before + 48 * MIB or sys.platform == "darwin"
del block
top = memory.peak_rss()
assert top >= before + 48 * MIB
assert top >= memory.rss()
if sys.platform == "linux":  # no other system can reset the peak
    assert memory.reset_peak()
    assert memory.peak_rss() <= top - 32 * MIB
"""


def test_a_large_array_raises_current_and_peak_memory() -> None:
    """It runs in its own process, because freed memory could hold the array."""
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_fallback_of_other_systems_counts_the_same_peak() -> None:
    pytest.importorskip("resource", reason="not on Windows")
    block = np.ones(16 * MIB, np.uint8)
    assert memory._from_rusage() >= memory.rss() * 0.9
    del block


def test_a_failing_command_raises() -> None:
    with pytest.raises(ThcliError, match="no-such-command ended with 2"):
        memory.memory_of_command(["no-such-command"])


def test_a_command_is_sampled_in_its_course() -> None:
    used = memory.memory_of_command(["list", "engines"])
    assert 8 * MIB < used.half <= used.end * 1.5 <= used.peak * 1.5


def test_the_half_and_the_end_are_medians() -> None:
    rising = list(range(100))
    assert memory.summary_of(rising, 0) == (99, 49, 94)
    assert memory.summary_of([5] * 60 + [9], 11) == (11, 5, 5)
    assert memory.summary_of([7], 3) == (7, 7, 7)
