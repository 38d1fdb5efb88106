"""Memory as the system counts it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from thcli.core.errors import ThcliError
from thcli.evaluate import memory

MIB = 2**20


def test_a_large_array_shows_and_the_peak_remembers_it() -> None:
    before = memory.rss()
    block = np.ones(64 * MIB, np.uint8)
    assert memory.rss() > before + 48 * MIB or sys.platform == "darwin"
    size = block.size
    del block
    assert memory.peak_rss() >= before + 0.75 * size
    assert memory.peak_rss() >= memory.rss()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can reset the peak")
def test_the_peak_can_begin_anew() -> None:
    block = np.ones(64 * MIB, np.uint8)
    del block
    before = memory.peak_rss()
    assert memory.reset_peak()
    assert memory.peak_rss() <= before - 32 * MIB


def test_the_fallback_of_other_systems_counts_the_same_peak() -> None:
    pytest.importorskip("resource", reason="not on Windows")
    block = np.ones(16 * MIB, np.uint8)
    assert memory._from_rusage() >= memory.rss() * 0.9
    del block


def test_a_command_that_fails_is_told() -> None:
    with pytest.raises(ThcliError, match="no-such-command ended with 2"):
        memory.peak_of_command(["no-such-command"])
