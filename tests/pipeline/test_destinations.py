"""Output names that are links, pipes or too long; batches; terminal escapes."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tests.pipeline.command_line import to_argv
from thcli import media
from thcli.cli.app import run
from thcli.core.errors import OutputError
from thcli.core.events import silent
from thcli.media.atomic_file import AtomicFile
from thcli.media.destination import hidden_sibling
from thcli.pipeline.job.job import Job
from thcli.voices.backends import VOICES
from thcli.weights.backend import Backend

Clip = Callable[..., Path]


@pytest.fixture
def small(tmp_path: Path, clip: Clip) -> Path:
    path = tmp_path / "small.mp4"
    shutil.copyfile(clip("ten.mp4", 10), path)
    return path


def compare(video: Path, output: object, *more: object) -> int:
    return run(to_argv("compare", video, video, "-o", output, *more))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_is_written_through(dangling: bool, small: Path, tmp_path: Path) -> None:
    target, link = tmp_path / "real" / "target.mp4", tmp_path / "link.mp4"
    target.parent.mkdir()
    link.symlink_to(target)
    if not dangling:
        target.write_bytes(b"old")
        assert compare(small, link) == 7 and target.read_bytes() == b"old"
    assert compare(small, link, "--overwrite") == 0
    assert link.is_symlink() and media.probe(target).frames == 10
    assert names(target.parent) == {"target.mp4"}


def test_pipes_and_devices_are_refused(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert compare(small, tmp_path / "pipe.mp4", "--overwrite") == 7
    assert "is a pipe or a device" in capsys.readouterr().err
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    assert compare(small, tmp_path / "loop.mp4", "--overwrite") == 7
    with pytest.raises(OutputError, match="is a pipe or a device"):
        AtomicFile(tmp_path / "pipe.mp4", True)


@pytest.mark.parametrize("place", [".", "..", "/"])
def test_a_place_without_a_name_is_refused(
    place: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for overwrite in ((), ("--overwrite",)):
        assert compare(small, place, *overwrite) == 7
    assert run(to_argv("encode", small, "-o", place)) in (2, 7)
    assert names(tmp_path) == {"small.mp4"}


@pytest.mark.parametrize("stem", ["a" * 240, "é" * 122, "-dash", "two\nlines", "end. "])
def test_odd_names_are_written(stem: str, small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / f"{stem}.mp4"
    out.parent.mkdir()
    assert compare(small, out, "--resume") == 0
    assert media.probe(out).frames == 10
    assert names(out.parent) == {out.name} | {
        n for n in names(out.parent) if n.endswith(".thcli-resume")
    }


def test_a_name_that_no_file_can_have(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(small, tmp_path / f"{'a' * 260}.mp4") == 7
    assert "is too long" in capsys.readouterr().err


def test_hidden_names_are_short_and_differ() -> None:
    first, second = (hidden_sibling(Path("a" * 250 + end), ".partial") for end in "bc")
    assert first != second
    assert all(len(os.fsencode(path.name)) == 255 for path in (first, second))


def test_control_characters_of_a_name_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = tmp_path / "\x1b[31mred\x07\u202e.mp4"
    assert run(["detect", str(name)]) == 3
    said = capsys.readouterr().err
    assert "\\x1b[31mred\\x07\\u202e.mp4" in said
    assert not {"\x1b", "\x07", "\u202e"} & set(said)


def test_a_name_that_is_not_unicode(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff.mp4")
    shutil.copyfile(small, odd)
    made = odd.replace("odd", "made")
    assert run(["compare", odd, odd, "-o", made, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["output"] == made
    assert run(["detect", odd, "-o", made]) == 7
    assert run(["detect", odd, "-o", odd, "--overwrite"]) == 2


def test_a_full_disk_of_temporary_files_is_an_output_error() -> None:
    class Full:
        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match="The disk is full"), Job("test", silent) as job:
        job.enter(Full())
    with pytest.raises(OutputError, match="The disk is full"), Job("test", silent) as job:
        job.enter(Full())
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return two recordings whose names differ in their ending alone, and one without sound."""
    row = Backend("tests.pipeline.fake_voices:jaw", "jaw", reads=VOICES.rows["a2m"].reads)
    monkeypatch.setitem(VOICES.rows, "jaw", row)
    paths = [tmp_path / "in" / name for name in ("a.wav", "a.flac", "broken.wav")]
    paths[0].parent.mkdir()
    for path in paths[:2]:
        with av.open(str(path), "w") as file:
            stream = file.add_stream("flac" if path.suffix == ".flac" else "pcm_s16le", rate=16000)
            wave = (np.sin(np.arange(4000) * 0.2) * 9000).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(wave, "s16", "mono")
            frame.sample_rate, frame.pts = 16000, 0
            for part in (frame, None):
                file.mux(stream.encode(part))
    paths[2].write_bytes(b"no sound")
    return paths


def test_recordings_of_one_name_get_videos_of_their_own(
    sounds: list[Path], portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lines").mkdir()
    order = [sounds[2], *sounds[:2]]
    argv = to_argv("speak", portrait, *order, "-o", tmp_path / "lines", "--voice jaw", "--json")
    assert run(argv) == 3  # of the recording that failed; the others are made
    result = json.loads(capsys.readouterr().out)
    assert names(tmp_path / "lines") == {"portrait_a_wav.mp4", "portrait_a_flac.mp4"}
    assert result["failed_items"] == 1
    assert [row.get("error") for row in result["lines"]] == ["MediaError", None, None]


def test_a_recording_given_twice_is_refused(sounds: list[Path], portrait: Path) -> None:
    assert run(to_argv("speak", portrait, sounds[0], sounds[0], "--voice jaw")) == 2
