"""Output targets, and the guarantee that an incomplete output is never left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tests.media.clips as clips
from thcli import media
from thcli.core.errors import OutputError, UsageError
from thcli.core.events import Warned
from thcli.core.options import OutputOptions, ReadOptions


def test_an_image_file_holds_one_frame(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg", ".tiff", ".bmp", ".avif"):
        with media.write(
            tmp_path / f"a{suffix}",
            clips.SIZE,
            plan=media.WritePlan(provenance=media.Provenance("cmd")),
        ) as writer:
            writer.write(clips.draw_patches(), 0)
        assert (
            np.abs(
                media.read_image(tmp_path / f"a{suffix}").astype(int) - clips.draw_patches()
            ).mean()
            < 4
        )
    with Image.open(tmp_path / "a.png") as png:
        assert str(png.info["Comment"]).startswith("AI-generated")
    with Image.open(tmp_path / "a.jpg") as jpg:
        assert jpg.getexif()[0x010E].startswith("AI-generated")
    with (
        pytest.raises(UsageError, match="holds one image"),
        media.write(tmp_path / "b.png", clips.SIZE) as writer,
    ):
        for index in range(50):
            writer.write(clips.draw_patches(), index)
    assert not (tmp_path / "b.png").exists()


def test_a_name_without_a_suffix_says_that_it_becomes_a_folder(tmp_path: Path) -> None:
    for name, words in (("out", "has no file extension"), ("pictures/", "")):
        seen: list[object] = []
        with media.write(f"{tmp_path}/{name}", clips.SIZE, on=seen.append) as writer:
            writer.write(clips.draw_patches(), 0)
        assert [words in event.message for event in seen if isinstance(event, Warned)] == (
            [True] if words else []
        )


def test_a_folder_of_pngs(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4")
    clips.transcode(tmp_path / "in.mp4", f"{tmp_path}/out/")
    assert clips.names_in(tmp_path / "out") == {f"{index:06d}.png" for index in range(8)}
    for a, b in zip(media.read(tmp_path / "in.mp4"), media.read(tmp_path / "out"), strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
    with pytest.raises(OutputError, match="exists already"):
        clips.transcode(tmp_path / "in.mp4", tmp_path / "out")
    (tmp_path / "out" / "keep.txt").write_text("mine")
    (tmp_path / "out" / "000099.png").write_bytes(b"old")
    clips.transcode(tmp_path / "in.mp4", tmp_path / "out", overwrite=True)
    assert clips.names_in(tmp_path / "out") == {
        "keep.txt",
        *(f"{index:06d}.png" for index in range(8)),
    }
    assert clips.names_in(tmp_path) == {"in.mp4", "out"}


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations_keep_their_times(tmp_path: Path, suffix: str) -> None:
    times = clips.write_clip(tmp_path / "in.mp4", clips.ClipSpec(vfr=True, count=6))
    clips.transcode(tmp_path / "in.mp4", tmp_path / f"out{suffix}")
    found = list(media.read(tmp_path / f"out{suffix}"))
    assert [frame.pts * frame.time_base for frame in found] == times
    assert np.abs(found[2].pixels[8, 8].astype(int) - clips.COLOURS[0]).max() < 20


def test_standard_output_is_a_video_that_can_be_piped(tmp_path: Path) -> None:
    times = clips.write_clip(tmp_path / "in.mp4", clips.ClipSpec(audio=["mono"], vfr=True))
    script = """
        import sys
        from thcli import media
        from thcli.core.options import OutputOptions
        with media.read(sys.argv[1]) as frames:
            info = frames.info
            plan = media.WritePlan(drive=info)
            with media.write("-", info.size, info, OutputOptions(), plan) as out:
                for frame in frames:
                    out.write(frame.pixels, frame.pts, frame.duration)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "in.mp4")]
    data = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    (tmp_path / "piped.mp4").write_bytes(data)
    found = [frame.pts * frame.time_base for frame in media.read(tmp_path / "piped.mp4")]
    assert [time - found[0] for time in found] == times
    assert len(media.probe(tmp_path / "piped.mp4").audio) == 1


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_animations_carry_the_provenance(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with media.write(
        path, (64, 48), plan=media.WritePlan(provenance=media.Provenance("reenact", "mesh"))
    ) as writer:
        for i in range(3):
            writer.write(np.full((48, 64, 3), 60 * i, np.uint8), i)
    assert b"AI-generated (synthetic) video" in path.read_bytes()
    with Image.open(path) as picture:
        assert picture.n_frames == 3  # type: ignore[attr-defined]  # of animations
        events = picture.info.get("comment", b"") or picture.info.get("xmp", b"")
    assert b"thcli" in events
    with media.read(path) as frames:
        assert len(list(frames)) == 3


class Boom(Exception):
    """A failure of the caller."""


@pytest.mark.parametrize("error", [Boom, KeyboardInterrupt])
@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.gif", "out.png", "out/"])
def test_an_exception_in_the_caller_leaves_no_file(
    tmp_path: Path, name: str, error: type[BaseException]
) -> None:
    before = threading.active_count()
    with pytest.raises(error), media.write(f"{tmp_path}/{name}", clips.SIZE) as writer:
        writer.write(clips.draw_patches(), 0)
        raise error
    assert clips.names_in(tmp_path) == set()
    assert threading.active_count() == before


@pytest.mark.parametrize("resume", [False, True])
def test_control_c_leaves_no_file_but_a_journal(tmp_path: Path, resume: bool) -> None:
    script = """
        import sys, time
        import numpy as np
        from thcli import media
        from thcli.core.options import OutputOptions
        options = OutputOptions(resume=sys.argv[2] == "True")
        try:
            with media.write(sys.argv[1], (64, 64), options=options) as writer:
                for index in range(100000):
                    writer.write(np.full((64, 64, 3), index % 256, np.uint8), index)
                    if index == 200:
                        print("begun", flush=True)
                    time.sleep(0.001)
        except KeyboardInterrupt:
            sys.exit(130)
    """
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(script),
        str(tmp_path / "out.mp4"),
        str(resume),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None and job.stdout.readline() == "begun\n"
        job.send_signal(signal.SIGINT)
        assert job.wait(timeout=30) == 130
    assert clips.names_in(tmp_path) == ({".out.mp4.thcli-resume"} if resume else set())


@pytest.mark.parametrize("name", ["out.mp4", "frames/"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_writer_that_is_never_entered_leaves_no_file(
    tmp_path: Path, name: str, resume: bool
) -> None:
    before = threading.active_count()
    media.write(f"{tmp_path}/{name}", clips.SIZE, options=OutputOptions(resume=resume))
    assert clips.names_in(tmp_path) == set()
    assert threading.active_count() == before


def test_an_existing_output_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already") as caught:
        media.write(tmp_path / "out.mp4", clips.SIZE)
    assert "--overwrite" in caught.value.hint
    with (
        pytest.raises(Boom),
        media.write(
            tmp_path / "out.mp4", clips.SIZE, options=OutputOptions(overwrite=True)
        ) as writer,
    ):
        writer.write(clips.draw_patches(), 0)
        raise Boom
    assert (tmp_path / "out.mp4").read_bytes() == b"precious"
    with media.write(
        tmp_path / "out.mp4", clips.SIZE, options=OutputOptions(overwrite=True)
    ) as writer:
        writer.write(clips.draw_patches(), 0)
    assert media.probe(tmp_path / "out.mp4").frames == 1


@pytest.mark.parametrize(
    ("target", "options", "error", "words"),
    [
        ("out.xyz", {}, UsageError, "file extension"),
        ("no/such/out.mp4", {}, OutputError, "no/such does not exist"),
        (f"{__file__}/out.mp4", {}, OutputError, "py is a file, not a folder"),
        ("out.mp4", {"codec": "nonsense"}, UsageError, "no video encoder named 'nonsense'"),
        ("out.webm", {"codec": "h264"}, UsageError, "webm file cannot hold h264"),
        ("out.mp4", {"crf": 60.0}, UsageError, "--crf must be within 0..51 for libx264"),
        ("out.mp4", {"preset": "warp"}, UsageError, "--preset must be one of"),
    ],
)
def test_invalid_targets_and_options_fail_early(
    tmp_path: Path, target: str, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        media.write(tmp_path / target, clips.SIZE, options=OutputOptions(**options))
    assert clips.names_in(tmp_path) == set()


@pytest.mark.skipif(os.geteuid() == 0, reason="the root user may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="no permission"):
        media.write(tmp_path / "locked" / "out.mp4", clips.SIZE)


def test_an_output_without_frames_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="would be empty"),
        media.write(tmp_path / "out.mp4", clips.SIZE),
    ):
        pass
    assert clips.names_in(tmp_path) == set()


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.gif", "out.png", "frames/"])
def test_a_full_disk_is_exit_code_7_and_leaves_no_file(tmp_path: Path, name: str) -> None:
    """The kernel refuses to let a file grow beyond 60 kB, as a full disk would."""
    script = """
        import resource, sys
        import numpy as np
        from thcli import media
        from thcli.core.errors import OutputError
        resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))
        noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
        try:
            with media.write(sys.argv[1], (320, 240)) as writer:
                for index in range(60 if not sys.argv[1].endswith(".png") else 1):
                    writer.write(np.roll(noise, index, 0), index)
        except OutputError as exc:
            print(exc.exit_code, exc)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), f"{tmp_path}/{name}"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60, text=True)
    assert done.stdout.startswith("7 The disk is full:"), done.stdout + done.stderr
    assert clips.names_in(tmp_path) == set()


def test_a_nearly_full_disk_fails_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2**20))
    with pytest.raises(OutputError, match="nearly full"):
        media.write(tmp_path / "out.mp4", clips.SIZE)


def test_the_disk_is_checked_for_the_range_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2**25))
    long = media.WritePlan(frames=10**7)
    with pytest.raises(OutputError, match="nearly full"):
        media.write(tmp_path / "out.mp4", clips.SIZE, plan=long)
    part = replace(long, span=ReadOptions(start=3.0, end=4.0))
    with media.write(tmp_path / "out.mp4", clips.SIZE, plan=part) as out:
        out.write(clips.draw_patches(), 0)


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    script = """
        import resource, sys
        import numpy as np
        from thcli import media
        from thcli.core.options import OutputOptions
        def job(count, name):
            picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
            with media.write(name, (96, 96), options=OutputOptions(overwrite=True)) as writer:
                for index in range(count):
                    writer.write(np.roll(picture, index, 0), index)
            with media.read(name) as frames:
                assert sum(1 for _ in frames) == count
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        short = job(200, sys.argv[1])
        print(job(3000, sys.argv[1]) - short)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "out.mp4")]
    grown = float(
        subprocess.run(command, capture_output=True, check=True, timeout=120, text=True).stdout
    )
    assert grown < 20  # MiB
