"""What a job reports at its end, and the frame around every job: clock, listener, temporary room."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from thcli.core.clock import StageClock
from thcli.core.events import Finished, Listener, Started, Step, Warned

Entered = TypeVar("Entered")


@dataclass(frozen=True, slots=True)
class Report:
    """A finished job.

    faces: different faces seen.  passed_through: frames whose face was not seen.  failed: frames that could not be made and show the
    source unchanged.  seconds: wall time, loading included.  length: seconds of video made.  stages: wall seconds by stage.
    """

    command: str
    output: Path | None
    frames: int = 0
    faces: int = 0
    passed_through: int = 0
    failed: int = 0
    seconds: float = 0.0
    length: Fraction = Fraction(0)
    engine: str = ""
    device: str = "cpu"
    stages: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The object of `--json` (design.md section 5). fps: frames made a second of wall time; realtime: video seconds a wall second."""
        seconds = max(self.seconds, 1e-9)
        return {
            "command": self.command,
            "output": None if self.output is None else str(self.output),
            "frames": self.frames,
            "faces": self.faces,
            "passed_through": self.passed_through,
            "failed": self.failed,
            "fps": round(self.frames / seconds, 2),
            "seconds": round(self.seconds, 3),
            "realtime": round(float(self.length) / seconds, 3),
            "engine": self.engine,
            "device": self.device,
            "stages": {name: round(value, 3) for name, value in self.stages.items()},
            **self.details,
        }


@dataclass(slots=True)
class FrameCounter:
    """Counts frames as they are written. frames: those included that an earlier run had finished."""

    frames: int = 0
    failed: int = 0
    _first: Fraction | None = None
    _last: Fraction = Fraction(0)
    _longest: Fraction = Fraction(0)

    def add(self, pts: int, duration: int, time_base: Fraction, *, made: bool = True) -> None:
        """One more frame."""
        now = pts * time_base
        if self._first is None:
            self._first = now
        else:
            self._longest = max(self._longest, now - self._last)
        self._last = now
        self._longest = max(self._longest, duration * time_base)
        self.frames += 1
        self.failed += not made

    @property
    def length(self) -> Fraction:
        """Seconds of video made in this run, the last frame shown as long as the longest."""
        return Fraction(0) if self._first is None else self._last - self._first + self._longest


class Job:
    """One run of a pipeline: its clock, its listener, its temporary folder and whatever else is entered into it.

    A context manager; what was entered is left in reverse order, whatever happens.
    """

    def __init__(self, command: str, on: Listener) -> None:
        self.command = command
        self.clock = StageClock()
        self.on = on
        self._stack = ExitStack()
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    def enter(self, manager: AbstractContextManager[Entered]) -> Entered:
        """Enters a context manager that is left with the job."""
        return self._stack.enter_context(manager)

    def temp_dir(self) -> Path:
        """A temporary folder that goes with the job."""
        return Path(self.enter(tempfile.TemporaryDirectory(prefix="thcli-")))

    def warn(self, message: str) -> None:
        self.on(Warned(message))

    @contextmanager
    def stage(self, name: str, total: int | None, done: int = 0) -> Iterator[Callable[[], None]]:
        """A stage of the work, shown to the caller; yields the function to call after each frame. done: finished before (resume)."""
        count, begun = done, time.perf_counter()

        def step() -> None:
            nonlocal count
            count += 1
            self.on(Step(name, count))

        self.on(Started(name, total))
        yield step
        self.on(Finished(name, count, time.perf_counter() - begun))

    @property
    def seconds(self) -> float:
        """Wall time since the job began."""
        return time.perf_counter() - self._started

    def report(self, output: str | Path | None, counter: FrameCounter, **facts: Any) -> Report:
        """What the job did; facts: fields of the Report that only the pipeline knows."""
        stages = {name: used.wall for name, used in self.clock.stages().items()}
        return Report(
            self.command,
            None if output is None else Path(output),
            frames=counter.frames,
            failed=counter.failed,
            seconds=self.seconds,
            length=counter.length,
            stages=stages,
            **facts,
        )
