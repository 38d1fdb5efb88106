"""A disk that is full or fails: exit 7, one sentence, nothing left, an old output untouched."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from tests.faults.commands import VERBS, Verb, whole
from tests.faults.inject import (
    Fault,
    Setting,
    at_step,
    before_call,
    broken_file,
    execute,
    failing_call,
    no_room,
    python_writes,
    unbroken_resumable,
)
from tests.faults.kills import packets
from thcli.media.writing.write import Writer

pytestmark = pytest.mark.usefixtures("regions_once")
VIDEOS = [name for name, verb in VERBS.items() if verb.resumable]
SHARES = {"nothing": 0.0, "middle": 0.5, "trailer": 0.999}
NUMBERS = [errno.ENOSPC, errno.EIO]
IDS = ["full", "failing"]


def run_on_old(name: str, room: Path, folder: Path, fault: Fault) -> str:
    """Run a verb over an old output; check the failure and that the old output is kept."""
    verb = VERBS[name]
    out = folder / "out"
    out.mkdir()
    (out / verb.output).write_bytes(b"old")
    outcome = execute(verb.argv(room, "", "--overwrite"), folder, fault)
    outcome.require_failure(7, verb.output)
    assert (out / verb.output).read_bytes() == b"old"
    return outcome.said


@pytest.mark.parametrize("place", SHARES)
@pytest.mark.parametrize("name", VERBS)
def test_a_full_disk(name: str, place: str, room: Path, tmp_path: Path) -> None:
    size = int(whole(room, name).stat().st_size * SHARES[place])
    assert "disk is full" in run_on_old(name, room, tmp_path, no_room(size))


@pytest.mark.parametrize("number", NUMBERS, ids=IDS)
@pytest.mark.parametrize("after", [1, 4, None], ids=["header", "middle", "trailer"])
@pytest.mark.parametrize("name", ["reenact", "compare"])
def test_a_container_that_cannot_be_written(
    name: str, after: int | None, number: int, room: Path, tmp_path: Path
) -> None:
    said = run_on_old(name, room, tmp_path, broken_file(number, after))
    assert ("disk is full" in said) == (number == errno.ENOSPC)


@pytest.mark.parametrize(("call", "number"), [("fsync", errno.EIO), ("replace", errno.ENOSPC)])
@pytest.mark.parametrize("name", VERBS)
def test_the_last_step_fails(name: str, call: str, number: int, room: Path, tmp_path: Path) -> None:
    owner = os if call == "fsync" else Path
    # the first call may be of a note in the weights cache, whose failure is none of the job's
    run_on_old(name, room, tmp_path, failing_call(owner, call, number, onwards=True))


@pytest.mark.parametrize("name", ["encode", "detect", "crop"])
def test_a_file_of_python_fails(name: str, room: Path, tmp_path: Path) -> None:
    run_on_old(name, room, tmp_path, python_writes(r"\.partial", 100, errno.EIO))


@pytest.mark.parametrize("number", NUMBERS, ids=IDS)
@pytest.mark.parametrize(
    ("words", "output"),
    [
        ("encode clip.mp4", "made.motion.safetensors"),
        ("fit clip.mp4", "made.fit.safetensors"),
        ("speak face.png clip.mp4 --voice jaw", "made.motion.safetensors"),
        ("reenact face.png clip.mp4 --long-side 64 --save-motion made.safetensors", "made.mkv"),
    ],
)
def test_the_file_of_the_user_is_named(
    words: str, output: str, number: int, room: Path, tmp_path: Path
) -> None:
    argv = Verb(words).argv(room, output)
    outcome = execute(argv, tmp_path, python_writes(r"\.partial.*/(valid|whole)", 0, number))
    outcome.require_failure(7)
    assert ".partial" not in outcome.said and "made." in outcome.sentences[0]


@pytest.mark.parametrize("number", NUMBERS, ids=IDS)
@pytest.mark.parametrize("size", [0, 1000])
def test_images_of_a_folder_fail(size: int, number: int, room: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "made").mkdir(parents=True)
    (tmp_path / "out" / "made" / "notes.txt").write_text("mine")
    fault = python_writes(r"00001\.png$", size, number)
    outcome = execute(VERBS["compare"].argv(room, "made/"), tmp_path, fault)
    outcome.require_failure(7, "made")
    assert [path.name for path in (tmp_path / "out" / "made").iterdir()] == ["notes.txt"]


# Failures of a resumable job: (file in its folder, bytes until it fails), and complete segments.
JOURNAL = {
    "first segment": (r"000000\.packets", 500, False),
    "second segment": (r"000001\.packets", 500, True),
    "journal's header": (r"/journal\.new$", 10, False),
    "journal's first line": (r"/journal$", 10, False),
    "journal's second line": (r"/journal$", 600, True),
}


@pytest.mark.parametrize("number", NUMBERS, ids=IDS)
@pytest.mark.parametrize("place", JOURNAL)
def test_a_resumable_job_continues_after_its_disk_failed(
    place: str, number: int, room: Path, tmp_path: Path
) -> None:
    pattern, size, kept = JOURNAL[place]
    _interrupt_and_resume("compare", python_writes(pattern, size, number), kept, room, tmp_path)


@pytest.mark.parametrize("name", VIDEOS)
def test_a_resumable_job_is_muxed_again_after_a_full_disk(
    name: str, room: Path, tmp_path: Path
) -> None:
    _interrupt_and_resume(name, broken_file(errno.ENOSPC, None), True, room, tmp_path)


@pytest.mark.parametrize("at", range(6))
def test_a_resumable_job_whose_data_cannot_be_flushed(at: int, room: Path, tmp_path: Path) -> None:
    """The calls are of the journal's header, two for each segment, and the output."""
    fault = failing_call(os, "fsync", errno.EIO, at)
    _interrupt_and_resume("compare", fault, at > 2, room, tmp_path)


@pytest.mark.parametrize("at", [0, 1], ids=["journal", "output"])
def test_a_resumable_job_whose_rename_fails(at: int, room: Path, tmp_path: Path) -> None:
    """A new output is linked, or renamed where the file system has no links."""

    def fault(setting: Setting) -> None:
        failing_call(Path, "replace", errno.EIO, at)(setting)
        failing_call(os, "link", errno.EIO)(setting)

    _interrupt_and_resume("compare", fault, at > 0, room, tmp_path)


def _interrupt_and_resume(name: str, fault: Fault, kept: bool, room: Path, folder: Path) -> None:
    """Run a resumable job into a fault and then again. kept: segments are complete by then."""
    argv = VERBS[name].argv(room, "", "--resume")
    unbroken = unbroken_resumable(name, room)
    journal = f".{VERBS[name].output}.thcli-resume"
    execute(argv, folder, fault).require_failure(7, *([journal] if kept else []))
    execute(argv, folder).require_clean(*VERBS[name].outputs)
    made = packets(folder / "out" / VERBS[name].output)
    assert made and made == unbroken


@pytest.mark.parametrize(
    ("name", "resume"),
    [(name, resume) for name, verb in VERBS.items() for resume in {False, verb.resumable}],
)
def test_the_output_folder_is_removed_meanwhile(
    name: str, resume: bool, room: Path, tmp_path: Path
) -> None:
    out, gone = tmp_path / "out", tmp_path / "gone"

    def remove() -> None:
        out.rename(gone)  # at once: the encoder writes meanwhile
        shutil.rmtree(gone, ignore_errors=True)

    verb = VERBS[name]
    argv = verb.argv(room, str(out / verb.output), *(["--resume"] if resume else []))
    fault = before_call(Writer, "write", remove, 3) if verb.resumable else at_step("", 3, remove)
    execute(argv, tmp_path, fault).require_failure(7)
    assert not out.exists()
