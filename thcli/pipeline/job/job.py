"""Job, the context of one run, and its Report."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from thcli import media
from thcli.core.batches import BatchRunner
from thcli.core.blas import one_blas_thread
from thcli.core.clock import StageClock
from thcli.core.device import is_out_of_memory, recorded_devices
from thcli.core.errors import DeviceMemoryError, ThcliError
from thcli.core.events import Finished, Listener, Started, Step, Warned
from thcli.core.glibc import share_arena
from thcli.core.options import ProvenanceOptions, ReadOptions, RunOptions
from thcli.core.temp_folders import remove_stale_folders, temporary_folder
from thcli.core.types import Frame
from thcli.media.destination import kept_inputs
from thcli.media.failures import is_write_failure, to_output_error
from thcli.pipeline.job.fingerprint import fingerprint, named_inputs
from thcli.pipeline.job.helper import Helper
from thcli.pipeline.job.pass_lengths import PassLengths
from thcli.weights.used import accepted_licences, expected_hashes, recorded_weights

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


@dataclass(frozen=True, slots=True)
class ItemResult:
    """Result of one item of several: its report, or the error that ended it.

    item: as the user named it.
    """

    item: str
    report: Report | None = None
    error: ThcliError | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        if self.report is not None:
            return {"item": self.item, **self.report.as_json()}
        return {"item": self.item, **(self.error.as_json() if self.error else {})}


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

    Leaving it closes all of that in reverse order. Entering it removes what killed jobs left; from
    then on, no output may replace an input.

    failed_frames: numbers of the frames of which a network computed no numbers; they pass through.
    helpers: processes that are free before pass 2.
    """

    def __init__(
        self,
        command: str,
        on: Listener,
        options: object = None,
        inputs: Sequence[str | Path] = (),
    ) -> None:
        """Begin a job.

        Args:
            command: name of the command.
            on: listener for progress and warnings.
            options: all options of the command, for the fingerprint, the inputs that they name and
                the device of readers.
            inputs: what the command reads apart from its options.
        """
        self.command = command
        self._options, self._inputs = options, inputs
        self._spooled: dict[str, Path] = {}
        self._weights: set[str] = set()
        self._batches: dict[str, BatchRunner] = {}
        self.failed_frames: set[int] = set()
        self.helpers: Sequence[Helper] = ()
        self._pass_lengths = PassLengths()
        self.clock = StageClock()
        self.on = on
        self._stack = ExitStack()
        self._devices: list[str] = []
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        share_arena()  # before the first thread
        remove_stale_folders()
        named = () if self._options is None else named_inputs(self._options)
        self.enter(kept_inputs(str(path) for path in (*self._inputs, *named)))
        self._devices = self.enter(recorded_devices())
        self._weights = self.enter(recorded_weights())
        self.enter(one_blas_thread())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        """Leave all contexts.

        Raises:
            OutputError: a temporary file did not fit.
            DeviceMemoryError: memory ran out where no smaller batch helps.
        """
        failure = error
        try:
            return self._stack.__exit__(kind, error, trace)
        except OSError as exc:
            failure = exc
            raise
        finally:
            if isinstance(failure, OSError) and is_write_failure(failure):
                where = failure.filename or tempfile.gettempdir()
                raise to_output_error(where, failure) from failure
            if is_out_of_memory(failure) and not isinstance(failure, ThcliError):
                raise DeviceMemoryError(
                    f"There is not enough memory for {self.command}.",
                    "Close other programs, use a smaller --batch-size, or --device cpu.",
                ) from failure

    def enter(self, manager: AbstractContextManager[Entered]) -> Entered:
        """Enter a context manager, to be left with the job."""
        return self._stack.enter_context(manager)

    def temp_dir(self) -> Path:
        """Make a temporary folder, removed with the job."""
        return self.enter(temporary_folder())

    def seekable(self, source: str | Path) -> Path:
        """Return an input as a path that can be read more than once: standard input is spooled.

        Raises OutputError when the temporary file cannot be written.
        """
        path = self.enter(media.seekable_path(source))
        self._spooled[str(source)] = path
        return path

    @property
    def device(self) -> str:
        """The --device value of the job's options; the CPU when they have none."""
        return getattr(self._options, "run", RunOptions(device="cpu")).device

    @contextmanager
    def frames(self, path: Path, span: ReadOptions) -> Iterator[Iterator[Frame]]:
        """Open the frames of an input that several passes may read, HDR tone-mapped.

        What is written goes through `Frame.to_signal`.

        Raises MediaError when a pass reads fewer or more of them than an earlier one.
        """
        device, on = self.device, self.on
        with media.read(path, span, device=device, on=on, tone_mapped=True) as reader:
            yield self._pass_lengths.check(path, span, reader)

    def fingerprint(self, *others: Path) -> str:
        """Return all that determines the result of the job, for --resume.

        The backends must be loaded: their weights and devices count.

        Args:
            others: files that are read and named neither by the inputs nor by the options.
        """
        inputs = [self._spooled.get(str(path), path) for path in (*self._inputs, *others)]
        used = {"weights": expected_hashes(self._weights), "devices": self._devices}
        return fingerprint(inputs, self._options, used)

    def provenance(self, engine: str = "") -> media.Provenance:
        """Return the origin of the job's output; the backends must be loaded.

        Args:
            engine: name of the backend that generates.
        """
        options = getattr(self._options, "provenance", ProvenanceOptions())
        licences = accepted_licences(self._weights)
        return media.Provenance(self.command, engine, options=options, licences=licences)

    def batches(self, stage: str) -> BatchRunner:
        """Return the batches of a stage, the same at each call; smaller ones give a warning."""

        def warn(limit: int) -> None:
            self.warn(
                f"There is not enough memory for larger batches to {stage}; "
                f"{limit} at once from here on."
            )

        return self._batches.setdefault(stage, BatchRunner(warn))

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
