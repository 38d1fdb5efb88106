"""A helper: a process of a job that keeps objects and calls their methods.

Threads share one interpreter, so that two of them that call NumPy take longer than one after the
other. A helper has an interpreter of its own.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import thcli

MAIN = "thcli.pipeline.job.helper_main"
PIPE_BYTES = 1 << 20
_LOST = (OSError, EOFError, pickle.UnpicklingError)  # of a process that ended


class HelperError(Exception):
    """A helper did not do what it was asked."""


class HelperLostError(HelperError):
    """A helper has ended."""


class CallFailedError(HelperError):
    """The method that a helper called raised an exception; the helper goes on."""


class Helper:
    """A process that makes one call after the other. Threads that `call` wait for one another.

    One thread may also `ask` for calls while another one takes their answers: the process finds
    its next order as it has done one.
    """

    def __init__(self) -> None:
        """Start the process. Raises OSError."""
        self._kept: dict[int, Any] = {}  # that it has, by their id
        self._alone = threading.Lock()
        self._asked: deque[str] = deque()  # methods whose answers were not taken
        folder, others = str(Path(thcli.__file__).parents[1]), os.environ.get("PYTHONPATH")
        paths = os.pathsep.join(filter(None, [folder, others]))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", MAIN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends its helpers
        )
        orders, answers = self._process.stdin, self._process.stdout
        assert orders is not None
        assert answers is not None
        self._orders, self._answers = orders, answers
        for pipe in (orders, answers):
            _widen(pipe)

    def call(self, target: Any, method: str, *given: Any, kept: tuple[Any, ...] = ()) -> Any:
        """Call a method of an object there, and return the result.

        Args:
            target, method, given, kept: as of `ask`.

        Raises:
            HelperLostError: the process has ended.
            CallFailedError: the call raised an exception.
        """
        with self._alone:
            while self._asked:  # whose answers nobody wanted any more
                with suppress(CallFailedError):
                    self.take_answer()
            self.ask(target, method, *given, kept=kept)
            return self.take_answer()

    def ask(self, target: Any, method: str, *given: Any, kept: tuple[Any, ...] = ()) -> None:
        """Order a call, after those that were ordered before.

        Args:
            target: the object, pickled at its first call. What calls change in it, they change
                there.
            method: its name.
            given: arguments.
            kept: arguments before them that are pickled once, as the target is.

        Raises:
            HelperLostError: the process has ended.
            Exception: what cannot be pickled; the process is ended, as half of the order is there.
        """
        new = {id(one): one for one in (target, *kept) if id(one) not in self._kept}
        self._kept |= new
        self._asked.append(method)
        order = new, id(target), method, tuple(id(one) for one in kept), given
        try:
            pickle.dump(order, self._orders, pickle.HIGHEST_PROTOCOL)
            self._orders.flush()
        except _LOST as error:
            raise HelperLostError(str(error)) from error
        except BaseException:
            self.kill()
            raise

    def take_answer(self) -> Any:
        """Wait for the first call whose result was not taken, and return it; raises as `call`."""
        try:
            done, found = pickle.load(self._answers)
        except _LOST as error:
            raise HelperLostError(str(error)) from error
        method = self._asked.popleft()
        if not done:
            raise CallFailedError(method)
        return found

    def kill(self) -> None:
        """End the process, and whatever waits for it."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close the pipes of a killed process, for which nothing waits any more."""
        for pipe in (self._orders, self._answers):
            with suppress(BrokenPipeError):  # the rest of an order
                pipe.close()


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold a frame, so that who writes one need not wait for who reads it."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # beyond what the system grants, pipes stay as they are
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
