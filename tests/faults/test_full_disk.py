"""A full disk: commands that write several files or folders name the right one and leave none."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.faults.inject import execute, no_room, python_writes
from thcli.core.errors import OutputError
from thcli.evaluate.reports.html.page import Page, ReportFolder

FULL = "The disk is full: {} does not fit. Free some space, or use another disk."


@pytest.mark.parametrize(
    ("words", "output"),
    [("fit", "made.csv"), ("fit", "made.jsonl"), ("transmit", "made.thc"), ("track", "made.jsonl")],
)
def test_the_file_that_does_not_fit_is_named(
    words: str, output: str, room: Path, tmp_path: Path
) -> None:
    fault = python_writes(r"\.made.*\.partial", 0, errno.ENOSPC)
    outcome = execute([words, str(room / "clip.mp4"), "-o", output], tmp_path, fault)
    outcome.require_failure(7)
    assert FULL.format(output) in outcome.said


@pytest.mark.parametrize("name", [r"options\.json$", r"video-.*\.json", r"index\.csv"])
def test_prepare_leaves_no_folder(name: str, room: Path, tmp_path: Path) -> None:
    argv = [
        "prepare",
        str(room / "clip.mp4"),
        "-o",
        "faces",
        "--min-frames",
        "2",
        "--min-face",
        "16",
    ]
    outcome = execute(argv, tmp_path, python_writes(name, 0, errno.ENOSPC))
    assert outcome.code == 7 and "disk is full" in outcome.said and "faces" in outcome.said
    # a finished video is kept for --resume
    assert outcome.beside == (("faces",) if name == r"index\.csv" else ())


def test_batch_names_its_report_and_leaves_no_folder(room: Path, tmp_path: Path) -> None:
    pattern = str(room / "clip.mp4")
    argv = ["batch", pattern, "--", "detect", "{}", "-o", "new/deep/{stem}.jsonl"]
    outcome = execute(argv, tmp_path, python_writes(r"batch\.report", 0, errno.ENOSPC))
    outcome.require_failure(7)
    assert FULL.format("batch.report.jsonl") in outcome.said


def test_demo_leaves_no_file_and_no_folder(tmp_path: Path) -> None:
    outcome = execute(["demo", "-o", "new/deep"], tmp_path, no_room(500_000))
    outcome.require_failure(7)
    assert FULL.format("new/deep/sheet.png") in outcome.said  # the last of four files


def test_a_full_temporary_folder_is_named(tmp_path: Path) -> None:
    fault = python_writes(r"/tmp/thcli-.*guarded$", 0, errno.ENOSPC)
    outcome = execute(["demo", "-o", "new"], tmp_path, fault)
    outcome.require_failure(7)
    full = f"The disk is full: no temporary file fits into {tmp_path / 'tmp'}."
    assert f"{full} Free some space, or set TMPDIR." in outcome.said


def test_a_report_that_does_not_fit_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with (
        pytest.raises(OutputError, match=f"{tmp_path / 'report'}/ does not fit"),
        ReportFolder(tmp_path / "report", overwrite=False) as folder,
    ):
        folder.finish(Page("A page", "thcli eval", []), {})
    assert list(tmp_path.iterdir()) == []
