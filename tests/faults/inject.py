"""Faults, and the forked child in which a command meets them.

A fault is a function that a child calls before the command, so that its patches and limits end
with the child. Bytes are counted by the kernel (`no_room`) or by Python's files (`python_writes`);
`broken_file` replaces the descriptor of an open container, so that FFmpeg's own writes fail.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import pty
import re
import resource
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from thcli.cli.app import run
from thcli.cli.console import Console
from thcli.core.events import Event, Step
from thcli.media.reading import video
from thcli.media.writing import segments
from thcli.media.writing.mux import Muxer

Fault = Callable[[], None]
PATIENCE = 90.0  # seconds for one command
SEGMENT = 3  # frames in a segment of a resumable job


@dataclass(frozen=True)
class Outcome:
    """Result of a command in a child.

    said: its stderr. beside: names in the output's folder. temporary: names in TMPDIR.
    """

    code: int
    said: str
    beside: tuple[str, ...]
    temporary: tuple[str, ...]

    @property
    def sentences(self) -> list[str]:
        return [line for line in self.said.splitlines() if line.startswith("thcli: ")]

    def require_failure(self, code: int, *kept: str) -> None:
        """Assert one sentence, an exit code, and nothing left but `kept`."""
        assert self.code == code, (self.code, self.said)
        assert len(self.sentences) == 1, self.said
        self.require_clean(*kept)

    def require_clean(self, *kept: str) -> None:
        """Assert that nothing is left but `kept`, and that no exception was shown."""
        assert "Traceback" not in self.said and "Exception ignored" not in self.said, self.said
        assert self.beside == tuple(sorted(kept)), (self.beside, self.said)
        assert self.temporary == (), self.said


@dataclass(frozen=True)
class Child:
    """A running command. room: holds its folders `out` and `tmp`."""

    process: int
    stderr: int
    room: Path

    def wait(self) -> Outcome:
        """Wait for the end of the command; kill it when it takes too long."""
        said, ends = b"", time.monotonic() + PATIENCE
        while select.select([self.stderr], [], [], max(0.0, ends - time.monotonic()))[0]:
            part = os.read(self.stderr, 1 << 16)
            if not part:
                break
            said += part
        else:
            os.kill(self.process, signal.SIGKILL)
        os.close(self.stderr)
        _, status = os.waitpid(self.process, 0)
        beside, temporary = (
            tuple(sorted(p.name for p in folder.iterdir())) if folder.is_dir() else ()
            for folder in (self.room / "out", self.room / "tmp")
        )
        return Outcome(
            os.waitstatus_to_exitcode(status), said.decode("utf-8", "replace"), beside, temporary
        )


def start(argv: list[str], room: Path, *faults: Fault) -> Child:
    """Start a command in a forked child, in `room/out` and with `room/tmp` as TMPDIR."""
    for name in ("out", "tmp"):
        (room / name).mkdir(exist_ok=True)
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(read)
        _become(argv, room, write, faults)
    os.close(write)
    return Child(process, read, room)


def execute(argv: list[str], room: Path, *faults: Fault) -> Outcome:
    """Run a command in a forked child."""
    return start(argv, room, *faults).wait()


def _become(argv: list[str], room: Path, stderr: int, faults: tuple[Fault, ...]) -> None:
    """Run the command as the child and end the process."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(stderr, 2)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
        threading.excepthook = _show_thread
        os.environ["TMPDIR"] = tempfile.tempdir = str(room / "tmp")
        os.chdir(room / "out")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        warnings.resetwarnings()
        segments._LENGTH = SEGMENT
        for fault in faults:
            fault()
        code = run(argv)
    except BaseException:  # noqa: BLE001  # a finding, which the parent reads
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _show_thread(given: threading.ExceptHookArgs) -> None:
    """Print an exception of a thread, which pytest would collect in the parent alone."""
    traceback.print_exception(given.exc_type, given.exc_value, given.exc_traceback)


def no_room(size: int) -> Fault:
    """Return a disk on which no file grows beyond `size` bytes."""

    def install() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return install


def python_writes(name: str, size: int, number: int) -> Fault:
    """Return failing writes after `size` bytes to files whose path matches `name` in a search.

    number: errno of the failure. Files that FFmpeg writes are not reached.
    """
    real = io.open

    class Failing(io.FileIO):
        room = size

        def write(self, data: Any) -> int:
            if len(memoryview(data).cast("B")) > Failing.room:
                raise OSError(number, os.strerror(number), str(self.name))
            written = super().write(data)
            Failing.room -= written
            return written

    def opened(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        text = os.fsdecode(file) if isinstance(file, str | bytes | os.PathLike) else ""
        if not set(mode) & set("wax+") or not text or re.search(name, text) is None:
            return real(file, mode, *rest, **named)
        raw = Failing(file, mode.replace("b", "").replace("t", ""), opener=named.get("opener"))
        buffered = io.BufferedWriter(raw) if "+" not in mode else io.BufferedRandom(raw)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, named.get("encoding") or "utf-8")

    def install() -> None:
        io.open = builtins.open = opened  # type: ignore[assignment]

    return install


def broken_file(number: int, after: int | None) -> Fault:
    """Return a container whose file fails after some packets, or (None) at its end.

    number: ENOSPC, or EIO.
    """

    def install() -> None:
        count = 0
        real_mux, real_finish = Muxer.mux, Muxer.finish

        def mux(self: Muxer, packets: list[Any]) -> None:
            nonlocal count
            if count == after:
                _break_descriptor(number)
            count += 1
            real_mux(self, packets)

        def finish(self: Muxer) -> None:
            if after is None:
                _break_descriptor(number)
            real_finish(self)

        Muxer.mux, Muxer.finish = mux, finish  # type: ignore[method-assign]

    return install


def _break_descriptor(number: int) -> None:
    """Replace the descriptors of the unfinished container by one whose writes fail."""
    if number == errno.ENOSPC:
        bad = os.open("/dev/full", os.O_RDWR)
    else:
        other, bad = pty.openpty()
        os.close(other)  # a terminal that was hung up fails with EIO
    broken = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = entry.readlink()
        except FileNotFoundError:
            continue
        if target.suffix == ".partial" or target.name.startswith("whole."):
            os.dup2(bad, int(entry.name))
            broken += 1
    if not broken:
        raise AssertionError("the container is not open")


def failing_call(owner: Any, name: str, number: int, at: int = 0) -> Fault:
    """Return the failure of the call `at` (counted from 0) of a function of a module or class."""

    def install() -> None:
        real, count = getattr(owner, name), 0

        def call(*given: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == at + 1:
                raise OSError(number, os.strerror(number))
            return real(*given, **named)

        setattr(owner, name, call)

    return install


def before_call(owner: Any, name: str, action: Callable[[], None], at: int = 0) -> Fault:
    """Return an action before the call `at` of a function of a module or class."""

    def install() -> None:
        real, count = getattr(owner, name), 0

        def call(*given: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == at + 1:
                action()
            return real(*given, **named)

        setattr(owner, name, call)

    return install


def at_step(stage: str, done: int, action: Callable[[], None]) -> Fault:
    """Return an action after a frame of a stage, "" for the first stage with so many frames."""

    def install() -> None:
        real, acted = Console.__call__, False

        def call(self: Console, event: Event) -> None:
            nonlocal acted
            real(self, event)
            is_it = isinstance(event, Step) and event.stage.startswith(stage) and not acted
            if is_it and event.done >= done:  # type: ignore[union-attr]
                acted = True
                action()

        Console.__call__ = call  # type: ignore[method-assign]

    return install


def interrupt() -> None:
    """Press Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


@dataclass(frozen=True)
class BadDecoder:
    """A decoder that fails.

    first, last: packets that fail, counted from 0 in each pass over the file; None: to the end.
    opening: pass that fails, counted from 0 over all; None: all passes.
    demux: the failure is one of reading the packet.
    """

    first: int
    last: int | None = None
    opening: int | None = None
    demux: bool = False

    def __call__(self) -> None:
        real, opened = video.open_input, 0

        @contextmanager
        def open_input(*given: Any, **named: Any) -> Iterator[Any]:
            nonlocal opened
            opened += 1
            with real(*given, **named) as container:
                is_bad = self.opening in (None, opened - 1)
                yield _BadContainer(container, self) if is_bad else container

        video.open_input = open_input

    def fails_at(self, number: int) -> bool:
        return number >= self.first and (self.last is None or number <= self.last)


class _BadContainer:
    """A container of a BadDecoder."""

    def __init__(self, container: Any, plan: BadDecoder) -> None:
        self._container, self._plan, self._count = container, plan, 0
        self._packets: Iterator[Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def demux(self, stream: Any) -> Iterator[Any]:
        if self._packets is None:
            self._packets = self._container.demux(stream)
        for packet in self._packets:
            number, self._count = self._count, self._count + 1
            fails = packet.size > 0 and self._plan.fails_at(number)
            if fails and self._plan.demux:
                raise av.error.OSError(errno.EIO, "Input/output error")
            yield _BadPacket() if fails else packet


class _BadPacket:
    """A packet that cannot be decoded."""

    def decode(self) -> list[Any]:
        raise av.error.InvalidDataError(errno.EINVAL, "Invalid data found when processing input")
