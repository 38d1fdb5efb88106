"""Writing: what goes along with the picture, every kind of target, time stamps, and that nothing half-done is ever left."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import tests.media.clips as clips
from thcli import media
from thcli.core.errors import MediaError, OutputError, UsageError
from thcli.core.events import Event, Warned
from thcli.core.options import OutputOptions, ReadOptions
from thcli.media.writing.timing import Timeline, exact_rate

WHOLE = ReadOptions()


def copy(path: Path, out: Path | str, span: ReadOptions = WHOLE, **options: Any) -> list[str]:
    """Reads and writes; returns the warnings."""
    said: list[Event] = []
    with media.read(path, span, on=said.append) as frames:
        chosen = OutputOptions(**options)
        writer = media.write(
            out, frames.info.size, frames.info, chosen, drive=frames.info, span=span, on=said.append
        )
        with writer:
            for frame in frames:
                writer.write(frame.pixels, frame.pts, frame.duration)
    return [event.message for event in said if isinstance(event, Warned)]


def left(folder: Path) -> set[str]:
    """Names in a folder, hidden ones too."""
    return {item.name for item in folder.iterdir()}


def texts(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        return [
            (p.pts * p.time_base, bytes(p))
            for p in container.demux(stream)
            if p.pts is not None and len(bytes(p)) > 2
        ]


# --- what goes along --------------------------------------------------------------------------------------------------


def test_metadata_goes_along_and_the_output_says_that_it_is_made(tmp_path: Path) -> None:
    clips.make(
        tmp_path / "in.mp4",
        metadata={"title": "A talk", "artist": "Nobody", "comment": "shot on Monday"},
    )
    info = media.probe(tmp_path / "in.mp4")
    made = media.Provenance("thcli reenact a.png b.mp4", "mesh")
    for suffix in (".mp4", ".mkv", ".mov", ".webm"):
        with media.write(
            tmp_path / f"out{suffix}", (64, 64), drive=info, provenance=made
        ) as writer:
            writer.write(np.zeros((64, 64, 3), np.uint8), 0)
        found = {k.lower(): v for k, v in media.probe(tmp_path / f"out{suffix}").metadata.items()}
        assert (found["title"], found["artist"]) == ("A talk", "Nobody"), suffix
        assert found["comment"].startswith("AI-generated (synthetic) video, made with thcli"), (
            suffix
        )
        assert "(engine mesh): thcli reenact a.png b.mp4 | shot on Monday" in found["comment"], (
            suffix
        )
        assert suffix == ".mp4" or found["thcli"].startswith("AI-generated"), suffix


@pytest.mark.parametrize(
    ("text", "suffix", "out"),
    [
        ("mov_text", ".mp4", ".mp4"),
        ("mov_text", ".mp4", ".mkv"),
        ("subrip", ".mkv", ".mp4"),
        ("ass", ".mkv", ".mp4"),
        ("ass", ".mkv", ".mkv"),
        ("subrip", ".mkv", ".webm"),
        ("subrip", ".mkv", ".mov"),
    ],
)
def test_subtitles_go_along(tmp_path: Path, text: str, suffix: str, out: str) -> None:
    clips.make(tmp_path / f"in{suffix}", subtitles=[text], audio=["mono"])
    assert copy(tmp_path / f"in{suffix}", tmp_path / f"out{out}") == []
    info = media.probe(tmp_path / f"out{out}")
    assert [(stream.kind, stream.language) for stream in info.streams] == [
        ("audio", "eng"),
        ("subtitle", "eng"),
    ]
    found = texts(tmp_path / f"out{out}")
    assert [time for time, _ in found] == [Fraction(40, 1000), Fraction(200, 1000)]
    assert b"Hello" in found[0][1] and b"world" in found[1][1]


def test_sound_that_a_container_cannot_hold_is_encoded_anew(tmp_path: Path) -> None:
    times = clips.make(tmp_path / "in.mp4", audio=["stereo", "mono"], count=12)
    assert copy(tmp_path / "in.mp4", tmp_path / "out.webm") == []
    info = media.probe(tmp_path / "out.webm")
    assert [(stream.codec, stream.channels, stream.language) for stream in info.audio] == [
        ("opus", 2, "eng"),
        ("opus", 1, "deu"),
    ]
    ends = clips.decoded_times(tmp_path / "out.webm", "audio")[-1]
    assert abs(ends - times[-1] - Fraction(1, 25)) < Fraction(6, 100)
    assert clips.decoded_times(tmp_path / "out.webm") == times


def test_what_cannot_go_along_is_named(tmp_path: Path) -> None:
    clips.make(tmp_path / "in.mkv", subtitles=["subrip"])
    said = copy(tmp_path / "in.mkv", tmp_path / "out.avi")
    assert said == [
        "The subtitle stream #1 (srt) of in.mkv is left out: a avi file cannot hold it."
    ]


def test_chapters_and_attachments_go_along(tmp_path: Path) -> None:
    clips.make(tmp_path / "in.mkv", chapters=True)
    with (
        av.open(str(tmp_path / "in.mkv")) as source,
        av.open(str(tmp_path / "with.mkv"), "w") as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        out.add_attachment("font.ttf", "application/x-truetype-font", b"not really a font")
        out.set_chapters(source.chapters())
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    assert copy(tmp_path / "with.mkv", tmp_path / "out.mkv") == []
    with av.open(str(tmp_path / "out.mkv")) as container:
        titles = [chapter["metadata"]["title"] for chapter in container.chapters()]
        assert titles == ["one", "two"]
        (attached,) = container.streams.attachments
        assert (attached.name, attached.data) == ("font.ttf", b"not really a font")


def test_a_range_takes_the_sound_and_the_text_of_that_range(tmp_path: Path) -> None:
    clips.make(
        tmp_path / "in.mp4", audio=["mono"], subtitles=["mov_text"], count=50, options={"g": "10"}
    )
    span = ReadOptions(start=0.16, end=1.2)
    copy(tmp_path / "in.mp4", tmp_path / "out.mp4", span)
    shown = clips.decoded_times(tmp_path / "out.mp4")
    assert shown[0] == 0 and len(shown) == 26
    sound, whole = (
        clips.decoded_times(tmp_path / "out.mp4", "audio"),
        clips.decoded_times(tmp_path / "in.mp4", "audio"),
    )
    begin = Fraction(4, 25)
    assert sound == [time - begin for time in whole if begin <= time < Fraction(12, 10)]
    assert [time for time, _ in texts(tmp_path / "out.mp4")] == [Fraction(40, 1000)]


@pytest.mark.parametrize(
    ("audio", "expected"), [("none", 0), ("source", 2), ("drive", 1), ("FILE", 1)]
)
def test_whose_sound(tmp_path: Path, audio: str, expected: int) -> None:
    clips.make(tmp_path / "drive.mp4", audio=["mono"], count=25)
    clips.make(tmp_path / "source.mkv", audio=["stereo", "mono"], count=60)
    clips.tone(tmp_path / "long.mp3", 3.0, "stereo", "libmp3lame")
    drive, source = media.probe(tmp_path / "drive.mp4"), media.probe(tmp_path / "source.mkv")
    chosen = str(tmp_path / "long.mp3") if audio == "FILE" else audio
    with media.write(
        tmp_path / "out.mp4",
        drive.size,
        drive,
        OutputOptions(audio=chosen),
        drive=drive,
        source=source,
    ) as writer:
        for frame in media.read(drive.path):
            writer.write(frame.pixels, frame.pts, frame.duration)
    info = media.probe(tmp_path / "out.mp4")
    assert len(info.audio) == expected
    for index in range(expected if audio != "drive" else 0):
        assert Fraction(9, 10) < clips.decoded_times(tmp_path / "out.mp4", "audio", index)[-1] <= 1


def test_a_sound_file_without_sound_is_refused(tmp_path: Path) -> None:
    clips.make(tmp_path / "mute.mp4")
    with pytest.raises(MediaError, match="has no sound"):
        media.write(
            tmp_path / "out.mp4", (64, 64), options=OutputOptions(audio=str(tmp_path / "mute.mp4"))
        )
    assert left(tmp_path) == {"mute.mp4"}


# --- time -------------------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=12),
    st.integers(0, 100000),
    st.sampled_from(
        [
            Fraction(1, 90000),
            Fraction(1, 12800),
            Fraction(1001, 30000),
            Fraction(1, 1000),
            Fraction(1, 1000000),
        ]
    ),
)
def test_any_time_stamps_come_out_as_they_went_in(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[int], begin: int, time_base: Fraction
) -> None:
    folder = tmp_path_factory.mktemp("times")
    stamps = [begin + sum(gaps[:index]) for index in range(len(gaps))]
    for suffix in (".mp4", ".mov", ".nut"):
        with media.write(
            folder / f"out{suffix}", (16, 16), time_base=time_base, rate=Fraction(25)
        ) as writer:
            for pts in stamps:
                writer.write(np.zeros((16, 16, 3), np.uint8), pts)
        found = [frame.pts * frame.time_base for frame in media.read(folder / f"out{suffix}")]
        assert found == [pts * time_base for pts in stamps], suffix


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".ts", ".avi", ".flv"])
def test_coarse_containers_keep_time_as_well_as_they_can(tmp_path: Path, suffix: str) -> None:
    stamps = [0, 3003, 6006, 12012, 15015, 24024]
    with media.write(
        tmp_path / f"out{suffix}",
        (64, 64),
        time_base=Fraction(1, 90000),
        rate=Fraction(30000, 1001),
    ) as writer:
        for pts in stamps:
            writer.write(np.zeros((64, 64, 3), np.uint8), pts, 3003)
    found = [frame.pts * frame.time_base for frame in media.read(tmp_path / f"out{suffix}")]
    off = [float(a - found[0] - Fraction(b, 90000)) for a, b in zip(found, stamps, strict=True)]
    assert max(map(abs, off)) < 0.0011


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=40),
    st.sampled_from([12.0, 23.976, 25.0, 30.0, 60.0]),
)
def test_resampling_shows_the_nearest_frame_at_every_tick(gaps: list[int], fps: float) -> None:
    stamps = [sum(gaps[:index]) for index in range(len(gaps))]
    rate, base = exact_rate(fps), Fraction(1, 1000)
    timeline: Timeline[int] = Timeline(base, 1 / rate, rate, False)
    found = [
        item for index, pts in enumerate(stamps) for item in timeline.push(index, pts, gaps[index])
    ]
    found += list(timeline.end())
    assert [tick for _, tick, _ in found] == list(range(len(found)))
    for index, tick, _ in found:
        distance = [abs(pts * base - tick / rate) for pts in stamps]
        assert distance[index] == min(distance)
    assert abs(len(found) - (stamps[-1] + gaps[-1]) * base * rate) <= 1


def test_fps_makes_a_constant_rate_of_the_same_length(tmp_path: Path) -> None:
    clips.make(tmp_path / "in.mp4", vfr=True, count=20)
    *_, last = media.read(tmp_path / "in.mp4")
    length = (last.pts + last.duration) * last.time_base
    for fps in (10.0, 29.97):
        copy(tmp_path / "in.mp4", tmp_path / "out.mp4", fps=fps, overwrite=True)
        info = media.probe(tmp_path / "out.mp4")
        found = clips.decoded_times(tmp_path / "out.mp4")
        assert {b - a for a, b in itertools.pairwise(found)} == {1 / exact_rate(fps)}
        assert info.duration is not None and abs(info.duration - length) <= 1 / exact_rate(fps)


# --- where to ---------------------------------------------------------------------------------------------------------


def test_one_image_and_only_one(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg", ".tiff", ".bmp", ".avif"):
        with media.write(
            tmp_path / f"a{suffix}", clips.SIZE, provenance=media.Provenance("cmd")
        ) as writer:
            writer.write(clips.picture(), 0)
        assert (
            np.abs(media.read_image(tmp_path / f"a{suffix}").astype(int) - clips.picture()).mean()
            < 4
        )
    with Image.open(tmp_path / "a.png") as png:
        assert str(png.info["Comment"]).startswith("AI-generated")
    with Image.open(tmp_path / "a.jpg") as jpg:
        assert jpg.getexif()[0x010E].startswith("AI-generated")
    with (
        pytest.raises(UsageError, match="holds one picture"),
        media.write(tmp_path / "b.png", clips.SIZE) as writer,
    ):
        for index in range(50):
            writer.write(clips.picture(), index)
    assert not (tmp_path / "b.png").exists()


def test_a_folder_of_pngs(tmp_path: Path) -> None:
    clips.make(tmp_path / "in.mp4")
    copy(tmp_path / "in.mp4", f"{tmp_path}/out/")
    assert left(tmp_path / "out") == {f"{index:06d}.png" for index in range(8)}
    for a, b in zip(media.read(tmp_path / "in.mp4"), media.read(tmp_path / "out"), strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
    with pytest.raises(OutputError, match="exists already"):
        copy(tmp_path / "in.mp4", tmp_path / "out")
    (tmp_path / "out" / "keep.txt").write_text("mine")
    (tmp_path / "out" / "000099.png").write_bytes(b"old")
    copy(tmp_path / "in.mp4", tmp_path / "out", overwrite=True)
    assert left(tmp_path / "out") == {"keep.txt", *(f"{index:06d}.png" for index in range(8))}
    assert left(tmp_path) == {"in.mp4", "out"}


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations(tmp_path: Path, suffix: str) -> None:
    times = clips.make(tmp_path / "in.mp4", vfr=True, count=6)
    copy(tmp_path / "in.mp4", tmp_path / f"out{suffix}")
    found = list(media.read(tmp_path / f"out{suffix}"))
    assert [frame.pts * frame.time_base for frame in found] == times
    assert np.abs(found[2].pixels[8, 8].astype(int) - clips.COLOURS[0]).max() < 20


def test_standard_output_is_a_video_that_can_be_piped(tmp_path: Path) -> None:
    times = clips.make(tmp_path / "in.mp4", audio=["mono"], vfr=True)
    script = """
        import sys
        from thcli import media
        from thcli.core.options import OutputOptions
        with media.read(sys.argv[1]) as frames, media.write("-", frames.info.size, frames.info, OutputOptions(), drive=frames.info) as out:
            for frame in frames:
                out.write(frame.pixels, frame.pts, frame.duration)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "in.mp4")]
    data = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    (tmp_path / "piped.mp4").write_bytes(data)
    found = [frame.pts * frame.time_base for frame in media.read(tmp_path / "piped.mp4")]
    assert [time - found[0] for time in found] == times
    assert len(media.probe(tmp_path / "piped.mp4").audio) == 1


# --- all or nothing ---------------------------------------------------------------------------------------------------


class Boom(Exception):
    """Something goes wrong in the caller."""


@pytest.mark.parametrize("error", [Boom, KeyboardInterrupt])
@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.gif", "out.png", "out/"])
def test_nothing_is_left_when_the_caller_fails(
    tmp_path: Path, name: str, error: type[BaseException]
) -> None:
    before = threading.active_count()
    with pytest.raises(error), media.write(f"{tmp_path}/{name}", clips.SIZE) as writer:
        writer.write(clips.picture(), 0)
        raise error
    assert left(tmp_path) == set()
    assert threading.active_count() == before


@pytest.mark.parametrize("resume", [False, True])
def test_control_c_in_the_middle_leaves_nothing(tmp_path: Path, resume: bool) -> None:
    script = """
        import sys, time
        import numpy as np
        from thcli import media
        from thcli.core.options import OutputOptions
        try:
            with media.write(sys.argv[1], (64, 64), options=OutputOptions(resume=sys.argv[2] == "True")) as writer:
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
    assert left(tmp_path) == ({".out.mp4.thcli-resume"} if resume else set())


def test_sound_that_steps_back_in_time_does_not_end_the_job(tmp_path: Path) -> None:
    clips.make(tmp_path / "in.mkv", audio=["mono"], audio_codec="flac", count=20)
    with (
        av.open(str(tmp_path / "in.mkv")) as source,
        av.open(str(tmp_path / "broken.mkv"), "w") as out,
    ):
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.pts = (
                    (packet.pts or 0) // 200 * 200 if packet.stream.type == "audio" else packet.pts
                )
                packet.dts = packet.pts if packet.stream.type == "audio" else packet.dts
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    assert copy(tmp_path / "broken.mkv", tmp_path / "out.mp4") == []
    assert len(media.probe(tmp_path / "out.mp4").audio) == 1


@pytest.mark.parametrize("name", ["out.mp4", "frames/"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_writer_that_is_never_entered_leaves_nothing(
    tmp_path: Path, name: str, resume: bool
) -> None:
    before = threading.active_count()
    media.write(f"{tmp_path}/{name}", clips.SIZE, options=OutputOptions(resume=resume))
    assert left(tmp_path) == set()
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
        writer.write(clips.picture(), 0)
        raise Boom
    assert (tmp_path / "out.mp4").read_bytes() == b"precious"
    with media.write(
        tmp_path / "out.mp4", clips.SIZE, options=OutputOptions(overwrite=True)
    ) as writer:
        writer.write(clips.picture(), 0)
    assert media.probe(tmp_path / "out.mp4").frames == 1


@pytest.mark.parametrize(
    ("target", "options", "error", "words"),
    [
        ("out.xyz", {}, UsageError, "ending"),
        ("no/such/out.mp4", {}, OutputError, "is not a folder that exists"),
        ("out.mp4", {"codec": "nonsense"}, UsageError, "no video encoder named 'nonsense'"),
        ("out.webm", {"codec": "h264"}, UsageError, "webm file cannot hold h264"),
        ("out.mp4", {"crf": 60.0}, UsageError, "--crf must be within 0..51 for libx264"),
        ("out.mp4", {"preset": "warp"}, UsageError, "--preset must be one of"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(
    tmp_path: Path, target: str, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        media.write(tmp_path / target, clips.SIZE, options=OutputOptions(**options))
    assert left(tmp_path) == set()


@pytest.mark.skipif(os.geteuid() == 0, reason="the root user may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="no permission"):
        media.write(tmp_path / "locked" / "out.mp4", clips.SIZE)


def test_no_frame_is_no_output(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="would be empty"),
        media.write(tmp_path / "out.mp4", clips.SIZE),
    ):
        pass
    assert left(tmp_path) == set()


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.gif", "out.png", "frames/"])
def test_a_full_disk_is_exit_7_and_leaves_nothing(tmp_path: Path, name: str) -> None:
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
    assert left(tmp_path) == set()


def test_too_little_room_is_found_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2**20))
    with pytest.raises(OutputError, match="nearly full"):
        media.write(tmp_path / "out.mp4", clips.SIZE)


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


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_animations_say_what_made_them(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with media.write(path, (64, 48), provenance=media.Provenance("reenact", "mesh")) as writer:
        for i in range(3):
            writer.write(np.full((48, 64, 3), 60 * i, np.uint8), i)
    assert b"AI-generated (synthetic) video" in path.read_bytes()
    with Image.open(path) as picture:
        assert picture.n_frames == 3  # type: ignore[attr-defined]  # of animations
        said = picture.info.get("comment", b"") or picture.info.get("xmp", b"")
    assert b"thcli" in said
    with media.read(path) as frames:
        assert len(list(frames)) == 3
