"""A listener that shows progress bars with tqdm, for users of the Python API."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from thcli.core.events import Event, Listener, Started, Step, Warned


class TqdmListener:
    """One tqdm bar per stage on stderr; warnings are written above the bars.

    Use it as a context manager to close the bars of interrupted stages.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        """Create a listener. stream: where the bars are shown; None: stderr."""
        self._stream = stream or sys.stderr
        self._bars: dict[str, Any] = {}
        self._warnings: set[str] = set()

    def __enter__(self) -> TqdmListener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, event: Event) -> None:
        """Show an event; repeated warnings are shown once."""
        from tqdm import tqdm  # only here: thcli starts without it

        if isinstance(event, Warned):
            if event.message not in self._warnings:
                self._warnings.add(event.message)
                tqdm.write(f"warning: {event.message}", file=self._stream)
            return
        bar = self._bars.get(event.stage)
        if isinstance(event, Started):
            if bar is not None:
                bar.close()
            bar = self._bars[event.stage] = tqdm(
                desc=event.stage,
                total=event.total,
                unit=f" {event.unit}",
                file=self._stream,
                dynamic_ncols=True,
            )
            bar._time = time.monotonic  # tqdm reads the wall clock, which may be set back
            bar.start_t = bar.last_print_t = time.monotonic()
        elif bar is not None and isinstance(event, Step):
            bar.update(event.done - bar.n)
        elif bar is not None:
            del self._bars[event.stage]
            bar.total = event.done
            bar.update(event.done - bar.n)
            bar.close()

    def close(self) -> None:
        """Close the bars of stages that have not finished."""
        while self._bars:
            self._bars.popitem()[1].close()


def progress_bar() -> Listener:
    """Create a listener that shows tqdm bars on stderr, for the `on` argument of the API.

    >>> on = progress_bar()
    >>> on(Warned("shown above the bars, on stderr"))
    """
    return TqdmListener()
