"""Progress of a benchmark for a listener."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from thcli.core.events import Finished, Listener, Started, Step


@contextmanager
def step_progress(name: str, total: int, on: Listener) -> Iterator[Callable[[], None]]:
    """Report a benchmark's steps; yield the function to call after each.

    Args:
        name: of the benchmark.
        total: number of steps.
        on: receives the events.
    """
    done, begun = 0, time.perf_counter()

    def step() -> None:
        nonlocal done
        done += 1
        on(Step(name, done))

    on(Started(name, total, "steps"))
    yield step
    on(Finished(name, done, time.perf_counter() - begun))
