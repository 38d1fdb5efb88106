"""Ctrl-C and SIGKILL at known moments: exit 130 without debris, and a job that continues."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.faults.commands import FRAMES, VERBS
from tests.faults.inject import (
    Fault,
    Setting,
    at_step,
    before_call,
    execute,
    interrupt,
    start,
    unbroken_resumable,
    wait,
)
from tests.faults.kills import packets
from thcli.core.temp_folders import remove_stale_folders
from thcli.media.atomic_file import AtomicFile
from thcli.media.writing.journal import Journal
from thcli.media.writing.mux import Muxer
from thcli.media.writing.target import OutputTarget
from thcli.media.writing.write import Writer

STAGES: dict[str, Callable[[str], Fault]] = {
    "first frame": lambda name: at_step("", 1, interrupt),
    "last frame": lambda name: at_step("", FRAMES, interrupt),
    "first result": lambda name: before_call(*_writes(name), interrupt, 1),
    "last result": lambda name: before_call(*_writes(name), interrupt, FRAMES - 1),
    "flush": lambda name: before_call(os, "fsync", interrupt),
    "rename": lambda name: before_call(Path, "replace", interrupt),
}


def _writes(name: str) -> tuple[Any, str]:
    """Return the function that writes a result; of one file, the last check before its rename."""
    return (Writer, "write") if VERBS[name].resumable else (AtomicFile, "_check")


@pytest.mark.usefixtures("regions_once")
@pytest.mark.parametrize(
    ("name", "moment"),
    [
        (name, moment)
        for name, verb in VERBS.items()
        for moment in STAGES
        if verb.resumable or moment != "last result"  # the others write one
    ],
)
def test_ctrl_c_leaves_nothing(name: str, moment: str, room: Path, tmp_path: Path) -> None:
    verb = VERBS[name]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / verb.output).write_bytes(b"old")
    outcome = execute(verb.argv(room, "", "--overwrite"), tmp_path, STAGES[moment](name))
    outcome.require_failure(130, verb.output)
    assert outcome.sentences == ["thcli: interrupted."]
    assert (tmp_path / "out" / verb.output).read_bytes() == b"old"


RESUMABLE: dict[str, tuple[Fault, bool]] = {
    "second frame": (before_call(Writer, "write", interrupt, 1), False),
    "last frame": (before_call(Writer, "write", interrupt, FRAMES - 1), True),
    "second segment": (before_call(Writer, "write", interrupt, 4), True),
    "result": (before_call(Journal, "record_result", interrupt), True),
    "commit": (before_call(OutputTarget, "commit", interrupt), True),
}


@pytest.mark.usefixtures("regions_once")
@pytest.mark.parametrize("moment", RESUMABLE)
@pytest.mark.parametrize("name", ["reenact", "compare", "crop"])
def test_ctrl_c_of_a_resumable_job_keeps_its_segments(
    name: str, moment: str, room: Path, tmp_path: Path
) -> None:
    fault, kept = RESUMABLE[moment]
    verb = VERBS[name]
    argv, unbroken = verb.argv(room, "", "--resume"), unbroken_resumable(name, room)
    journal = f".{verb.output}.thcli-resume"
    execute(argv, tmp_path, fault).require_failure(130, *([journal] if kept else []))
    execute(argv, tmp_path).require_clean(*verb.outputs)
    assert packets(tmp_path / "out" / verb.output) == unbroken


@pytest.mark.usefixtures("regions_once")
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("moment", ["segment 1", "segment 2", "muxing", "named"])
@pytest.mark.parametrize("name", ["reenact", "compare", "crop"])
def test_a_killed_job_continues(name: str, moment: str, room: Path, tmp_path: Path) -> None:
    verb = VERBS[name]
    fault = {
        "segment 1": before_call(Journal, "add", _kill, 1),
        "segment 2": before_call(Journal, "add", _kill, 2),
        "muxing": before_call(Muxer, "finish", _kill),
        "named": before_call(Journal, "remove", _kill),
    }[moment]
    argv, unbroken = verb.argv(room, "", "--resume"), unbroken_resumable(name, room)
    broken = wait(start(argv, tmp_path, fault), tmp_path)
    assert broken.code == -signal.SIGKILL and f".{verb.output}.thcli-resume" in broken.beside
    after = execute(argv, tmp_path)
    assert after.code == (7 if moment == "named" else 0), after.said
    assert (moment == "named") == ("exists already" in after.said)
    made = tmp_path / "out" / verb.output
    left = [n for n in after.beside if n not in (*verb.outputs, "")]
    assert left == [] and after.temporary == () and packets(made) == unbroken


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("name", ["reenact", "compare", "encode"])
def test_ctrl_c_at_any_call(name: str, room: Path, tmp_path: Path) -> None:
    """Interrupts before calls that are drawn at random; what is left goes with the next job.

    In children: an interrupt between a lock and its release keeps the lock until the process ends.
    """
    verb, chance = VERBS[name], random.Random(7)
    total = _Calls(None)
    execute(verb.argv(room), tmp_path, total).require_clean(*verb.outputs)
    codes = []
    for trial in range(8):
        folder = tmp_path / f"{trial}"
        folder.mkdir()
        fault = _Calls(chance.randrange(total.count))
        outcome = wait(start(verb.argv(room), folder, fault), folder)
        assert outcome.code in (0, 130), outcome.said
        codes.append(outcome.code)
        assert "Traceback" not in outcome.said, outcome.said
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tempfile.tempdir", str(folder / "tmp"))
            remove_stale_folders()
        left = {path.name for part in ("out", "tmp") for path in (folder / part).iterdir()}
        assert left <= {*verb.outputs}, (outcome.said, left)
    assert 130 in codes  # 0 where a child makes fewer calls than were counted


class _Calls:
    """A fault that counts calls of Python functions in this thread. stop: call to interrupt.

    It begins where `run` handles interrupts; what comes before is the interpreter's to end.
    """

    def __init__(self, stop: int | None) -> None:
        self.count, self._stop, self._begun = 0, stop, False

    def __call__(self, setting: Setting) -> None:
        setting.undo.callback(sys.setprofile, sys.getprofile())
        sys.setprofile(self._profile)

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        self._begun = self._begun or frame.f_code.co_name == "_terminable"
        if event != "call" or not self._begun:
            return
        if self.count == self._stop:
            sys.setprofile(None)
            interrupt()
        self.count += 1
