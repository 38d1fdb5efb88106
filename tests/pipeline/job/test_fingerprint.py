"""Fingerprints of jobs: every input counts, outputs and what changes nothing do not."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.pipeline.command_line import to_argv
from thcli.cli.app import run
from thcli.core.events import silent
from thcli.core.options import (
    EditOptions,
    FaceOptions,
    OutputOptions,
    PasteJobOptions,
    ReenactOptions,
    RefineJobOptions,
    RunOptions,
    SpeakOptions,
    VoiceOptions,
)
from thcli.engines.backends import ENGINES
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.faces.backends import DETECTORS
from thcli.media.writing.segments import SegmentSink
from thcli.pipeline.job.fingerprint import describe, identify
from thcli.pipeline.job.job import Job
from thcli.weights import WeightsStore

pytestmark = pytest.mark.usefixtures("regions_once")
FILE = "a.png"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, which has a file named FILE."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / FILE).write_bytes(b"first")
    return tmp_path


@pytest.mark.parametrize(
    "options",
    [
        ReenactOptions(background=FILE),
        ReenactOptions(source_face=FILE),
        ReenactOptions(faces=FaceOptions(select=FILE)),
        ReenactOptions(output=OutputOptions(audio=FILE)),
        SpeakOptions(speech=VoiceOptions(pose=FILE)),
        EditOptions(edit=Path(FILE)),
        RefineJobOptions(source=FILE),
        PasteJobOptions(crops=Path(FILE)),
    ],
    ids=str,
)
def test_the_content_of_every_input_counts(options: Any, folder: Path) -> None:
    before = describe(options)
    stat = (folder / FILE).stat()
    (folder / FILE).write_bytes(b"other")
    os.utime(folder / FILE, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert describe(options) != before
    (folder / FILE).write_bytes(b"first")
    assert describe(options) == before


def test_outputs_and_what_changes_nothing_do_not_count() -> None:
    plain = ReenactOptions()
    other = ReenactOptions(
        save_motion=Path(FILE),
        compare=Path(FILE),
        output=OutputOptions(overwrite=True, resume=True),
        run=RunOptions(offline=True),
        dry_run=True,
    )
    assert describe(plain) == describe(other)
    assert describe(plain) != describe(replace(plain, engine="fomm"))
    for output in (OutputOptions(preset="slow"), OutputOptions(preset="veryfast")):
        assert describe(plain) != describe(replace(plain, output=output))


def test_folders_count_with_their_images(folder: Path) -> None:
    (folder / "in").mkdir()
    save_image(folder / "in" / "1.png", np.zeros((4, 4, 3), np.uint8))
    before = identify(folder / "in")
    (folder / "in" / ".out.mp4.thcli-resume").mkdir()
    (folder / "in" / "out.mp4").write_bytes(b"")
    assert identify(folder / "in") == before
    save_image(folder / "in" / "2.png", np.zeros((4, 4, 3), np.uint8))
    assert identify(folder / "in") != before


def test_large_files_count_with_inode_and_time(folder: Path) -> None:
    large = folder / "large"
    large.write_bytes(bytes(2**20 + 1))
    before = identify(large)
    stat = large.stat()
    other = folder / "other"
    other.write_bytes(bytes(2**20 + 1))
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert identify(large) == before
    other.replace(large)
    assert identify(large) != before


def test_standard_input_counts_with_its_content(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fingerprint_of(data: bytes) -> str:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        with Job("edit", silent, EditOptions(text="x"), ["-"]) as job:
            job.seekable("-")
            return job.fingerprint()

    large = bytes(2**20 + 1)
    assert fingerprint_of(large) == fingerprint_of(large) != fingerprint_of(large + b"1")


def test_weights_count_as_soon_as_their_backend_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    with Job("reenact", silent, ReenactOptions(), [FILE]) as job:
        seen = [job.fingerprint()]
        DETECTORS.backend("blazeface").load(RunOptions())
        seen.append(job.fingerprint())
        ENGINES.backend("mesh").load(RunOptions(), ReenactOptions())  # loads its own later
        seen.append(job.fingerprint())
        hashes = '{"selfie": {"selfie'
        assert [hashes[1:] in text for text in seen] == [False, False, True]
        monkeypatch.setattr(WeightsStore, "expected", lambda self, entry: {entry.file: "0" * 64})
        seen.append(job.fingerprint())
    assert len(set(seen)) == 4


def test_the_version_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job("reenact", silent, ReenactOptions(), [FILE])
    before = job.fingerprint()
    monkeypatch.setattr("thcli.pipeline.job.fingerprint.__version__", "9.9")
    assert job.fingerprint() != before


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    """Return a function that runs a command line and interrupts it after two segments."""
    monkeypatch.setattr("thcli.media.writing.segments.SEGMENT_FRAMES", 8)

    def start(argv: list[str]) -> None:
        close = SegmentSink._close_segment

        def interrupted(sink: SegmentSink) -> None:
            close(sink)
            if len(sink._journal.segments) == 2:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(SegmentSink, "_close_segment", interrupted)
            assert run(argv) == 130
        assert len(list(Path.cwd().glob(".*.thcli-resume/*.packets"))) == 2

    return start


def test_a_background_that_changed_restarts_the_job(
    portrait: Path, clip: Any, interrupt: Callable[[list[str]], None], capsys: Any
) -> None:
    drive = clip("thirty.mp4", 30)
    argv = to_argv("reenact", portrait, drive, "--end 0.8 --resume --background back.png -o")
    for grey in (40, 200):
        save_image(Path("back.png"), np.full((64, 64, 3), grey, np.uint8))
        if grey == 40:
            interrupt([*argv, "out.mp4"])
            continue
        assert run([*argv, "out.mp4"]) == 0
        assert "other inputs or options" in capsys.readouterr().err
        assert run([*argv, "whole.mp4"]) == 0
    assert Path("out.mp4").read_bytes() == Path("whole.mp4").read_bytes()


def test_a_job_without_an_output_name_is_resumed(
    portrait: Path, clip: Any, interrupt: Callable[[list[str]], None], capsys: Any
) -> None:
    drive, face = Path("drive.mp4"), Path("face.png")
    drive.write_bytes(clip("thirty.mp4", 30).read_bytes())
    face.write_bytes(portrait.read_bytes())
    argv = to_argv("reenact face.png drive.mp4 --resume --save-motion m.motion.safetensors")
    interrupt(argv)
    assert not Path("m.motion.safetensors").exists(), "an output appears when it is complete"
    assert run([*argv, "--json"]) == 0
    told = capsys.readouterr()
    assert '"frames":30' in told.out and "restarts" not in told.err
    assert Path("face_drive.mp4").exists() and Path("m.motion.safetensors").exists()
    assert run(argv) == 7 and "exists already" in capsys.readouterr().err
    names = {"face_drive.mp4", "m.motion.safetensors", "face.png", "drive.mp4", FILE}
    assert {path.name for path in Path.cwd().iterdir()} == names
