"""A stage clock: who spends the time. Thread-safe, cheap enough to be always on (about a microsecond per use).

clock = StageClock()
with clock("track", frames=8):
    ...
for frame in clock.over("decode", frames):  # times only the waiting for the next frame
    ...
clock.stages()["track"].cpu
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class StageTime:
    """What a stage has used so far, summed over all threads, without the stages nested in it.

    wall: seconds between entering and leaving.  cpu: seconds of CPU of the *calling* threads alone; what a library does in threads
    of its own (codecs, OpenCV) shows only in the process's time.  calls: times entered.  frames: as told by the caller.
    """

    wall: float = 0.0
    cpu: float = 0.0
    calls: int = 0
    frames: int = 0


class StageClock:
    """Accumulates wall and thread CPU time by stage name. A nested stage's time belongs to it alone, so the shares add up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[str, StageTime] = {}
        self._nested = (
            threading.local()
        )  # per thread: [wall, cpu] used by inner stages of each open stage

    @contextmanager
    def __call__(self, stage: str, frames: int = 0) -> Iterator[None]:
        """Times the block as `stage`; frames: how many it handles. A block that raises is counted as well."""
        open_stages: list[list[float]] = self._nested.__dict__.setdefault("stack", [])
        inner = [0.0, 0.0]
        open_stages.append(inner)
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
            open_stages.pop()
            if open_stages:
                open_stages[-1][0] += wall
                open_stages[-1][1] += cpu
            with self._lock:
                old = self._times.get(stage, StageTime())
                self._times[stage] = StageTime(
                    old.wall + wall - inner[0],
                    old.cpu + cpu - inner[1],
                    old.calls + 1,
                    old.frames + frames,
                )

    def over(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """The same items; the time that the iterable takes for each is `stage`'s, and each item counts as one frame."""
        iterator = iter(items)
        while True:
            try:
                with self(stage, frames=1):
                    item = next(iterator)
            except StopIteration:
                self._uncount(stage)
                return
            yield item

    def _uncount(self, stage: str) -> None:
        """Takes back the frame that the exhausted iterable did not give."""
        with self._lock:
            old = self._times[stage]
            self._times[stage] = StageTime(old.wall, old.cpu, old.calls, old.frames - 1)

    def stages(self) -> dict[str, StageTime]:
        """A snapshot, in the order in which the stages were first left."""
        with self._lock:
            return dict(self._times)
