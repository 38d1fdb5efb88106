"""Resumed jobs: interrupted at any frame, they give the result of an uninterrupted job."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
import time
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy as np
import pytest

import tests.media.clips as clips
from tests.faults.corruptions import CORRUPTIONS
from thcli import media
from thcli.core.errors import OutputError
from thcli.core.events import Event, Warned
from thcli.core.options import OutputOptions, ReadOptions
from thcli.media.writing import codecs
from thcli.media.writing.journal import Journal

COUNT = 130  # two segments of 48 frames, and a part of one


def packets(path: Path) -> list[tuple[Any, ...]]:
    """Return all packets of a file in order."""
    with av.open(str(path)) as container:
        return [
            (p.stream.index, p.pts, p.dts, p.duration, p.is_keyframe, bytes(p))
            for p in container.demux()
            if p.size
        ]


def run(
    drive: Path,
    out: Path,
    stop_at: int | None = None,
    fingerprint: str = "a",
    events: list[Event] | None = None,
    **more: Any,
) -> int:
    """Run a job and return the number of frames that were already done.

    stop_at: index of a frame before which the job is interrupted.
    """
    span = more.pop("span", ReadOptions())
    options = OutputOptions(resume=True, **more)
    listen = events.append if events is not None else (lambda event: None)
    with (
        media.read(drive, span) as frames,
        media.write(
            out,
            frames.info.size,
            frames.info,
            options,
            media.WritePlan(drive=frames.info, span=span, fingerprint=fingerprint),
            on=listen,
        ) as writer,
    ):
        for frame in itertools.islice(frames, writer.done, None):
            if frame.index == stop_at:
                raise KeyboardInterrupt
            writer.write(frame.pixels, frame.pts, frame.duration)
        assert writer.written == frame.index + 1
        return writer.done


def count_frames(folder: Path) -> int:
    """Return the input frames that a journal says are done."""
    last = (folder / "journal").read_text().splitlines()[-1]
    return int(json.loads(last.partition(" ")[2])["done"])


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drive") / "drive.mp4"
    # below about 200 pixels x264's AVX-512 code reads uninitialised memory, and runs differ
    clips.write_clip(
        path,
        clips.ClipSpec(
            count=COUNT, vfr=True, audio=["mono"], subtitles=["mov_text"], size=(256, 256)
        ),
    )
    return path


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("out.mp4", {}),
        ("out.mkv", {"codec": "vp9"}),
        ("out.mov", {"codec": "prores"}),
        ("out.mp4", {"fps": 12.5}),
        ("out.mp4", {"span": ReadOptions(start=0.2)}),
        ("out.mp4", {"codec": "hevc"}),
    ],
    ids=str,
)
def test_interrupted_and_resumed_is_the_same_as_whole(
    tmp_path: Path, drive: Path, name: str, more: dict[str, Any]
) -> None:
    whole, parts = tmp_path / "whole" / name, tmp_path / "parts" / name
    whole.parent.mkdir()
    parts.parent.mkdir()
    assert run(drive, whole, **more) == 0
    done = []
    for stop in (60, 120, 121):
        with pytest.raises(KeyboardInterrupt):
            run(drive, parts, stop_at=stop, **more)
        (folder,) = parts.parent.iterdir()
        done.append(count_frames(folder))
    found = run(drive, parts, **more)
    assert found == done[-1] >= 48
    assert packets(parts) == packets(whole)
    assert [item.name for item in parts.parent.iterdir()] == [name]


def test_a_resumable_video_keeps_frames_times_and_companions(tmp_path: Path, drive: Path) -> None:
    run(drive, tmp_path / "out.mp4")
    before = list(media.read(drive))
    after = list(media.read(tmp_path / "out.mp4"))
    assert [f.pts * f.time_base for f in before] == [f.pts * f.time_base for f in after]
    assert (
        max(
            np.abs(a.pixels[::8, ::8].astype(int) - b.pixels[::8, ::8]).mean()
            for a, b in zip(before, after, strict=True)
        )
        < 6
    )
    assert clips.packet_times(tmp_path / "out.mp4", "audio") == clips.packet_times(drive, "audio")
    info = media.probe(tmp_path / "out.mp4")
    assert [stream.kind for stream in info.streams] == ["audio", "subtitle"]


def test_another_job_restarts_and_says_so(tmp_path: Path, drive: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(drive, tmp_path / "out.mp4", stop_at=100)
    events: list[Event] = []
    assert run(drive, tmp_path / "out.mp4", fingerprint="b", events=events) == 0
    assert [type(event) for event in events] == [Warned] and "other inputs or options" in str(
        events[0]
    )
    with pytest.raises(KeyboardInterrupt):
        run(drive, tmp_path / "out.mp4", stop_at=100, overwrite=True)
    assert run(drive, tmp_path / "out.mp4", overwrite=True, crf=30.0) == 0


def test_other_encoder_settings_restart(
    tmp_path: Path, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal holds what --preset means for these frames, not its name alone."""
    for preset, large in (("fast", codecs.LARGE), ("auto", 0)):
        with pytest.raises(KeyboardInterrupt):
            run(drive, tmp_path / "out.mp4", stop_at=100, overwrite=True)
        with monkeypatch.context() as patch:
            patch.setattr(codecs, "LARGE", large)
            assert run(drive, tmp_path / "out.mp4", overwrite=True, preset=preset) == 0


def test_less_than_a_segment_is_discarded(tmp_path: Path, drive: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(drive, tmp_path / "out.mp4", stop_at=20)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a segment of every 8 frames."""
    monkeypatch.setattr("thcli.media.writing.segments.SEGMENT_FRAMES", 8)


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a driver, its whole result, and the journal of a job at frame 38."""
    folder = tmp_path_factory.mktemp("broken")
    clips.write_clip(folder / "drive.mkv", clips.ClipSpec(count=40, size=(256, 256)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thcli.media.writing.segments.SEGMENT_FRAMES", 8)
        run(folder / "drive.mkv", folder / "whole.mp4")
        with pytest.raises(KeyboardInterrupt):
            run(folder / "drive.mkv", folder / "out.mp4", stop_at=38)
    return folder


@pytest.mark.usefixtures("short_segments")
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_is_damaged_is_rendered_again(tmp_path: Path, broken_off: Path, name: str) -> None:
    out, folder = tmp_path / "out.mp4", tmp_path / ".out.mp4.thcli-resume"
    for seed in range(2):
        shutil.copytree(broken_off / folder.name, folder)
        CORRUPTIONS[name](folder, Random(seed))
        events: list[Event] = []
        done = run(broken_off / "drive.mkv", out, events=events)
        # the beginning of a line is taken for one that was being written
        told = len(events) == 1 and isinstance(events[0], Warned)
        assert done in (0, 8, 16, 24, 32)
        assert told or done == 32 or name == "journal cut", events
        assert not events or "inputs or options" not in str(events[0])
        assert packets(out) == packets(broken_off / "whole.mp4")
        out.unlink()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("short_segments")
def test_an_undamaged_copy_continues_where_it_stopped(tmp_path: Path, broken_off: Path) -> None:
    """The damage of the test above is what makes it render again."""
    name = ".out.mp4.thcli-resume"
    shutil.copytree(broken_off / name, tmp_path / name)
    assert run(broken_off / "drive.mkv", tmp_path / "out.mp4") == 32


def test_a_kill_before_the_first_segment_is_no_other_job(tmp_path: Path, drive: Path) -> None:
    journal = Journal.open(tmp_path / "out.mp4", ("some job",), lambda event: None)
    journal.start()
    journal.begin(Fraction(0), Fraction(0))
    (journal.folder / "000000.packets").write_bytes(b"half a segment")
    journal._lock.release()
    events: list[Event] = []
    assert run(drive, tmp_path / "out.mp4", events=events) == 0
    assert events == [] and media.probe(tmp_path / "out.mp4").frames == COUNT


@pytest.mark.usefixtures("short_segments")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot lock folders")
def test_a_second_run_of_the_same_output_is_refused(tmp_path: Path, drive: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(drive, tmp_path / "out.mp4", stop_at=20)
    holder = Journal.open(tmp_path / "out.mp4", (), lambda event: None)
    holder.start()
    before = {path: path.read_bytes() for path in holder.folder.iterdir()}
    with pytest.raises(OutputError, match="is being written by another process"):
        run(drive, tmp_path / "out.mp4")
    assert before == {path: path.read_bytes() for path in holder.folder.iterdir()}
    holder.release()
    run(drive, tmp_path / "out.mp4")
    assert clips.names_in(tmp_path) == {"out.mp4"}


@pytest.mark.usefixtures("short_segments")
def test_a_segment_that_changes_during_the_run_is_an_error(tmp_path: Path, drive: Path) -> None:
    out, segment = tmp_path / "out.mp4", tmp_path / ".out.mp4.thcli-resume" / "000000.packets"

    def damage(event: Event) -> None:
        raise AssertionError(event)

    with media.read(drive) as frames:
        options = OutputOptions(resume=True)
        plan = media.WritePlan(drive=frames.info, fingerprint="a")
        writer = media.write(out, frames.info.size, frames.info, options, plan, on=damage)
        with pytest.raises(OutputError, match="was changed or removed"), writer:
            for frame in frames:
                writer.write(frame.pixels, frame.pts, frame.duration)
            while not segment.with_name("000001.packets").exists():
                time.sleep(0.01)
            segment.write_bytes(b"")
    run(drive, out)
    assert media.probe(out).frames == COUNT and clips.names_in(tmp_path) == {"out.mp4"}


def test_a_kill_after_the_output_leaves_a_journal_that_is_removed(
    tmp_path: Path, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, folder = tmp_path / "out.mp4", tmp_path / ".out.mp4.thcli-resume"
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "remove", Journal.release)
        run(drive, out)
    assert out.exists() and folder.exists()
    other = tmp_path / ".else.mp4.thcli-resume"
    shutil.copytree(folder, other)
    (tmp_path / "else.mp4").write_bytes(b"another file")
    for name in ("out.mp4", "else.mp4"):
        with pytest.raises(OutputError, match="exists already"):
            run(drive, tmp_path / name)
    assert not folder.exists() and other.exists()
    assert media.probe(out).frames == COUNT


def test_overwrite_continues_and_replaces_at_the_end(tmp_path: Path, drive: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"the old one")
    for stop in (60, 120):
        with pytest.raises(KeyboardInterrupt):
            run(drive, out, stop_at=stop, overwrite=True)
        assert out.read_bytes() == b"the old one"
    assert run(drive, out, overwrite=True) == 96
    assert media.probe(out).frames == COUNT
    with pytest.raises(OutputError, match="exists already"):
        run(drive, out)
    assert clips.names_in(tmp_path) == {"out.mp4"}


def test_the_final_muxing_can_be_repeated(
    tmp_path: Path, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thcli.media.writing.mux import Muxer

    with monkeypatch.context() as patch:
        patch.setattr(
            Muxer,
            "finish",
            lambda self: (_ for _ in ()).throw(OSError(28, "No space left on device")),
        )
        with pytest.raises(Exception, match="The disk is full"):
            run(drive, tmp_path / "out.mp4")
    with (
        media.read(drive) as frames,
        media.write(
            tmp_path / "out.mp4",
            frames.info.size,
            frames.info,
            OutputOptions(resume=True),
            media.WritePlan(drive=frames.info, fingerprint="a"),
        ) as writer,
    ):
        assert writer.done == COUNT
    assert media.probe(tmp_path / "out.mp4").frames == COUNT
    assert media.probe(tmp_path / "out.mp4").duration is not None


@pytest.mark.parametrize("name", ["out.gif", "out.png", "-"])
def test_what_cannot_be_resumed_says_so(
    tmp_path: Path, name: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    events: list[Event] = []
    target = name if name == "-" else tmp_path / name
    with media.write(
        target,
        (64, 64),
        plan=media.WritePlan(time_base=Fraction(1, 25)),
        options=OutputOptions(resume=True),
        on=events.append,
    ) as writer:
        writer.write(np.zeros((64, 64, 3), np.uint8), 0)
    assert "--resume does not apply" in str(events[0])
