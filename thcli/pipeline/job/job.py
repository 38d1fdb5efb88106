"""Job, the context of one run, and its Report."""

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
from thcli.core.device import recorded_devices
from thcli.core.events import Finished, Listener, Started, Step, Warned

Entered = TypeVar("Entered")


@dataclass(frozen=True, slots=True)
class Report:
    """Result of a finished job.

    frames: written, those of an interrupted earlier run included.
    faces: different faces seen.
    passed_through: frames without the face, passed through unchanged.
    failed: frames that could not be rendered and show the source unchanged.
    seconds: wall time, loading included.
    length: seconds of video made in this run.
    device: where networks computed, such as "cpu" or "cuda:0".
    stages: wall seconds by stage.
    details: facts of one command alone, such as "would_make" of a dry run.
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
        """Return the object of `--json`.

        fps: frames made per second of wall time.  realtime: seconds of video made per second of
        wall time.
        """
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
    """Count and length of the frames that a job writes.

    frames: written, those of an interrupted earlier run included.
    failed: frames of this run that show the source unchanged.
    """

    frames: int = 0
    failed: int = 0
    _first: Fraction | None = None
    _last: Fraction = Fraction(0)
    _longest: Fraction = Fraction(0)

    def add(self, pts: int, duration: int, time_base: Fraction, *, succeeded: bool = True) -> None:
        """Count one frame. pts, duration: in units of time_base."""
        now = pts * time_base
        if self._first is None:
            self._first = now
        else:
            self._longest = max(self._longest, now - self._last)
        self._last = now
        self._longest = max(self._longest, duration * time_base)
        self.frames += 1
        self.failed += not succeeded

    @property
    def length(self) -> Fraction:
        """Seconds of video made in this run; the last frame lasts as long as the longest."""
        return Fraction(0) if self._first is None else self._last - self._first + self._longest


class Job:
    """Context of one run: stage clock, listener, temporary folders, whatever else is entered.

    Leaving it closes all of that in reverse order.
    """

    def __init__(self, command: str, on: Listener) -> None:
        self.command = command
        self.clock = StageClock()
        self.on = on
        self._stack = ExitStack()
        self._devices: list[str] = []
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        self._devices = self.enter(recorded_devices())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    def enter(self, manager: AbstractContextManager[Entered]) -> Entered:
        """Enter a context manager, to be left with the job."""
        return self._stack.enter_context(manager)

    def temp_dir(self) -> Path:
        """Make a temporary folder, removed with the job."""
        return Path(self.enter(tempfile.TemporaryDirectory(prefix="thcli-")))

    def warn(self, message: str) -> None:
        """Send a warning to the listener."""
        self.on(Warned(message))

    @contextmanager
    def stage(self, name: str, total: int | None, done: int = 0) -> Iterator[Callable[[], None]]:
        """Report a stage to the listener; yield the function to call after each frame.

        Args:
            name: of the stage.
            total: number of frames, None when unknown.
            done: frames that an interrupted run has finished.
        """
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
        """Return the wall time since the job began."""
        return time.perf_counter() - self._started

    def report(self, output: str | Path | None, counter: FrameCounter, **facts: Any) -> Report:
        """Return the job's report.

        Args:
            output: path of the result, if any.
            counter: the frames written.
            facts: other fields of Report.
        """
        stages = {name: used.wall for name, used in self.clock.stages().items()}
        return Report(
            self.command,
            None if output is None else Path(output),
            frames=counter.frames,
            failed=counter.failed,
            seconds=self.seconds,
            length=counter.length,
            device="+".join(self._devices) or "cpu",
            stages=stages,
            **facts,
        )
