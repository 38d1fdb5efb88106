"""Faults, and the commands that meet them: in this process, or in a forked child.

A fault is a function that changes a `Setting`, which is restored after the command. Bytes are
counted by the kernel (`no_room`) or by Python's files (`python_writes`); `broken_file` replaces the
descriptor of an open container, so that FFmpeg's own writes fail.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import pty
import re
import resource
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.commands import VERBS
from tests.faults.forks import fork, join
from tests.faults.kills import packets
from thcli.cli.app import run
from thcli.cli.console import Console
from thcli.core.events import Event, Step
from thcli.media.writing import segments
from thcli.media.writing.mux import Muxer

SEGMENT = 2  # frames in a segment of a resumable job


@dataclass(frozen=True)
class Setting:
    """Changes made by a fault, to be undone. patch: of attributes; undo: of everything else."""

    patch: pytest.MonkeyPatch
    undo: ExitStack


Fault = Callable[[Setting], None]


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


@contextmanager
def prepared(room: Path, faults: Sequence[Fault]) -> Iterator[io.StringIO]:
    """Run the block in `room/out`, with `room/tmp` as TMPDIR and the faults; yield its stderr."""
    for name in ("out", "tmp"):
        (room / name).mkdir(exist_ok=True)
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, ExitStack() as undo:
        patch.setenv("TMPDIR", str(room / "tmp"))
        patch.setattr(tempfile, "tempdir", str(room / "tmp"))
        patch.setattr(segments, "SEGMENT_FRAMES", SEGMENT)
        patch.setattr(threading, "excepthook", lambda given: _show_thread(given, said))
        patch.chdir(room / "out")
        undo.enter_context(redirect_stdout(io.StringIO()))
        undo.enter_context(redirect_stderr(said))
        for fault in faults:
            fault(Setting(patch, undo))
        yield said


def execute(argv: list[str], room: Path, *faults: Fault) -> Outcome:
    """Run a command in this process."""
    before = signal.getsignal(signal.SIGINT)
    with prepared(room, faults) as said:
        try:
            code = run(argv)
        except Exception:  # noqa: BLE001  # a finding, which the test reads
            code = 1
            traceback.print_exc(file=said)
    assert signal.getsignal(signal.SIGINT) == before
    return Outcome(code, said.getvalue(), *_left(room))


def start(argv: list[str], room: Path, *faults: Fault) -> int:
    """Start a command in a forked child and return its process."""
    process = fork(room)
    if process == 0:
        code = 1
        try:
            with prepared(room, faults) as said:
                try:
                    code = run(argv)
                finally:
                    (room / "said").write_text(said.getvalue())
        finally:
            os._exit(code)
    return process


def wait(process: int, room: Path) -> Outcome:
    """Wait for a child."""
    code = join(process, room)
    note = room / "said"
    said = note.read_text() if note.exists() else ""
    return Outcome(code, said, *_left(room))


def _left(room: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names beside the output and in TMPDIR."""
    out, tmp = (
        tuple(sorted(p.name for p in folder.iterdir())) if folder.is_dir() else ()
        for folder in (room / "out", room / "tmp")
    )
    return out, tmp


def unbroken_resumable(name: str, room: Path) -> list[tuple[Any, ...]]:
    """Return the packets of an undisturbed resumable run, which is made once in a room."""
    folder = room / "resumable" / name
    result = folder / "out" / VERBS[name].output
    if not result.exists():
        folder.mkdir(parents=True)
        execute(VERBS[name].argv(room, "", "--resume"), folder).require_clean(*VERBS[name].outputs)
    return packets(result)


def _show_thread(given: threading.ExceptHookArgs, said: io.StringIO) -> None:
    """Print an exception that ends a thread."""
    traceback.print_exception(given.exc_type, given.exc_value, given.exc_traceback, file=said)


def no_room(size: int) -> Fault:
    """Return a disk on which no file grows beyond `size` bytes."""

    def install(setting: Setting) -> None:
        usual = resource.getrlimit(resource.RLIMIT_FSIZE)
        setting.undo.callback(resource.setrlimit, resource.RLIMIT_FSIZE, usual)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))

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
                raise OSError(number, os.strerror(number))  # the system names no file
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

    def install(setting: Setting) -> None:
        setting.patch.setattr(io, "open", opened)
        setting.patch.setattr(builtins, "open", opened)

    return install


def broken_file(number: int, after: int | None) -> Fault:
    """Return a container whose file fails after some packets, or (None) at its end.

    number: ENOSPC, or EIO.
    """

    def install(setting: Setting) -> None:
        count = 0
        real_mux, real_finish = Muxer.mux, Muxer.finish

        def mux(self: Muxer, packets: list[Any]) -> None:
            nonlocal count
            if count == after:
                _break_descriptor(number, setting)
            count += 1
            real_mux(self, packets)

        def finish(self: Muxer) -> None:
            if after is None:
                _break_descriptor(number, setting)
            real_finish(self)

        setting.patch.setattr(Muxer, "mux", mux)
        setting.patch.setattr(Muxer, "finish", finish)

    return install


def _break_descriptor(number: int, setting: Setting) -> None:
    """Replace the descriptors of the unfinished container by one whose writes fail."""
    if number == errno.ENOSPC:
        bad = os.open("/dev/full", os.O_RDWR)
    else:
        other, bad = pty.openpty()
        os.close(other)  # a terminal that was hung up fails with EIO
    setting.undo.callback(os.close, bad)
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


def failing_call(
    owner: Any, name: str, number: int, at: int = 0, *, onwards: bool = False
) -> Fault:
    """Return the failure of the call `at` (counted from 0) of a function of a module or class.

    onwards: all later calls fail too.
    """

    def install(setting: Setting) -> None:
        real, count = getattr(owner, name), 0

        def call(*given: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == at + 1 or (onwards and count > at):
                raise OSError(number, os.strerror(number))
            return real(*given, **named)

        setting.patch.setattr(owner, name, call)

    return install


def before_call(owner: Any, name: str, action: Callable[[], None], at: int = 0) -> Fault:
    """Return an action before the call `at` of a function of a module or class."""

    def install(setting: Setting) -> None:
        real, count = getattr(owner, name), 0

        def call(*given: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == at + 1:
                action()
            return real(*given, **named)

        setting.patch.setattr(owner, name, call)

    return install


def at_step(stage: str, done: int, action: Callable[[], None]) -> Fault:
    """Return an action after a frame of a stage, "" for the first stage with so many frames."""

    def install(setting: Setting) -> None:
        real, acted = Console.__call__, False

        def call(self: Console, event: Event) -> None:
            nonlocal acted
            real(self, event)
            is_it = isinstance(event, Step) and event.stage.startswith(stage) and not acted
            if is_it and event.done >= done:  # type: ignore[union-attr]
                acted = True
                action()

        setting.patch.setattr(Console, "__call__", call)

    return install


def interrupt() -> None:
    """Press Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)
