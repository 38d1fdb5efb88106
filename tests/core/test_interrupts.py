"""Ctrl-C within a lock's function: it comes when the function has ended, and no lock stays held."""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

import pytest

from thcli.core import interrupts


@pytest.mark.usefixtures("interrupt_handler")
@pytest.mark.parametrize("function", ["__enter__", "__exit__"])
def test_an_interrupt_leaves_no_lock_held(function: str) -> None:
    condition = threading.Condition(threading.Lock())
    code, profile = getattr(threading.Condition, function).__code__, sys.getprofile()

    def press(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code is code:
            sys.setprofile(profile)
            signal.raise_signal(signal.SIGINT)

    sys.setprofile(press)
    try:
        with pytest.raises(KeyboardInterrupt):
            with condition:
                pass
            time.sleep(5)
    finally:
        sys.setprofile(profile)
    assert condition.acquire(blocking=False)


@pytest.mark.usefixtures("interrupt_handler")
def test_elsewhere_an_interrupt_comes_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("interrupt_handler")
def test_an_interrupt_waits_for_the_end_of_an_unbroken_function() -> None:
    ended = []

    @interrupts.unbroken
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(10 * interrupts.RETRY)
        ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
        time.sleep(5)
    assert ended
