"""Ctrl-C that leaves no lock of Python's threads held, and no file that was made to try a folder.

`threading` takes and releases the locks of its conditions in functions of Python, within which an
exception of a signal keeps the lock: a thread that waits for it, and who joins that thread, wait
for ever. Our own short functions that end what they begin are `unbroken`.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from types import CodeType, FrameType, FunctionType
from typing import TypeVar

RETRY = 0.002  # seconds after which an interrupt is tried again
_CONDITION = threading.Condition
_UNBROKEN: set[CodeType] = {
    function.__code__
    for function in (
        _CONDITION.__enter__,
        _CONDITION.__exit__,
        _CONDITION.notify,
        _CONDITION.notify_all,
        threading.Semaphore.release,
    )
}
Function = TypeVar("Function")


def unbroken(function: Function) -> Function:
    """Decorate a short function within which the main thread is not interrupted."""
    assert isinstance(function, FunctionType)
    _UNBROKEN.add(function.__code__)
    return function


def interrupt(signum: int, frame: FrameType | None) -> None:
    """Handle a signal: interrupt the main thread, at once or when it has left such a function.

    Args:
        signum: the signal.
        frame: what the main thread runs.

    Raises:
        KeyboardInterrupt: it is in none.
    """
    while frame is not None and frame.f_code not in _UNBROKEN:
        frame = frame.f_back
    if frame is None:
        raise KeyboardInterrupt
    _thread.start_new_thread(_signal_again, (signum,))  # takes no lock itself


def _signal_again(signum: int) -> None:
    """Send the process a signal a moment later."""
    time.sleep(RETRY)
    if hasattr(signal, "pthread_kill"):  # wakes the main thread where it waits
        signal.pthread_kill(threading.main_thread().ident or 0, signum)
    else:
        os.kill(os.getpid(), signum)
