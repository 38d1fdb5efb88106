"""Wall and CPU time per pipeline stage. Thread-safe; one use costs about a microsecond.

clock = StageClock()
with clock("track", frames=8):
    ...
for frame in clock.time_each("decode", frames):  # measures only the wait for the next frame
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
    """Time used by a stage so far, summed over all threads, without the stages nested in it.

    wall: seconds between entering and leaving.
    cpu: CPU seconds of the calling threads alone. Threads that a library starts by itself (codecs,
        OpenCV) are not included.
    calls: number of times that the stage was entered.
    frames: number of frames, as reported by the caller.
    """

    wall: float = 0.0
    cpu: float = 0.0
    calls: int = 0
    frames: int = 0


class StageClock:
    """Accumulator of wall and thread CPU time by stage name.

    The time of a nested stage counts for that stage alone, so the shares add up.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[str, StageTime] = {}
        # per thread: [wall, cpu] seconds used by the inner stages of each open stage
        self._nested = threading.local()
        self._part: str | None = None

    @contextmanager
    def __call__(self, stage: str, frames: int = 0) -> Iterator[None]:
        """Measure the block as `stage`. A block that raises is counted as well.

        Args:
            stage: name to count the time for.
            frames: number of frames that the block processes.
        """
        stage = self._part or stage
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

    @contextmanager
    def counted_as(self, part: str) -> Iterator[None]:
        """Count all stages of the block for one name. part: the name."""
        self._part = part
        try:
            yield
        finally:
            self._part = None

    def time_each(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yield `items` and measure the wait for each as `stage`; each item counts as one frame."""
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
        """Subtract the frame that the exhausted iterable did not deliver."""
        stage = self._part or stage
        with self._lock:
            old = self._times[stage]
            self._times[stage] = StageTime(old.wall, old.cpu, old.calls, old.frames - 1)

    def stages(self) -> dict[str, StageTime]:
        """Return a snapshot by stage name, in the order in which the stages were first left."""
        with self._lock:
            return dict(self._times)
