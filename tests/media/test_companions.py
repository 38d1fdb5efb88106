"""Companion streams of an output: audio, subtitles, chapters, attachments, metadata."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import tests.media.clips as clips
from thcli import media
from thcli.core.errors import MediaError
from thcli.core.options import OutputOptions, ReadOptions


def test_metadata_is_copied_and_the_output_is_labelled_synthetic(tmp_path: Path) -> None:
    clips.write_clip(
        tmp_path / "in.mp4",
        clips.ClipSpec(
            metadata={"title": "A talk", "artist": "Nobody", "comment": "shot on Monday"}
        ),
    )
    info = media.probe(tmp_path / "in.mp4")
    made = media.Provenance("thcli reenact a.png b.mp4", "mesh")
    for suffix in (".mp4", ".mkv", ".mov", ".webm"):
        with media.write(
            tmp_path / f"out{suffix}", (64, 64), plan=media.WritePlan(drive=info, provenance=made)
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
def test_subtitles_are_converted_with_their_times(
    tmp_path: Path, text: str, suffix: str, out: str
) -> None:
    clips.write_clip(tmp_path / f"in{suffix}", clips.ClipSpec(subtitles=[text], audio=["mono"]))
    assert clips.transcode(tmp_path / f"in{suffix}", tmp_path / f"out{out}") == []
    info = media.probe(tmp_path / f"out{out}")
    assert [(stream.kind, stream.language) for stream in info.streams] == [
        ("audio", "eng"),
        ("subtitle", "eng"),
    ]
    found = clips.subtitle_packets(tmp_path / f"out{out}")
    assert [time for time, _ in found] == [Fraction(40, 1000), Fraction(200, 1000)]
    assert b"Hello" in found[0][1] and b"world" in found[1][1]


def test_audio_that_a_container_cannot_hold_is_transcoded(tmp_path: Path) -> None:
    times = clips.write_clip(
        tmp_path / "in.mp4", clips.ClipSpec(audio=["stereo", "mono"], count=12)
    )
    assert clips.transcode(tmp_path / "in.mp4", tmp_path / "out.webm") == []
    info = media.probe(tmp_path / "out.webm")
    assert [(stream.codec, stream.channels, stream.language) for stream in info.audio] == [
        ("opus", 2, "eng"),
        ("opus", 1, "deu"),
    ]
    ends = clips.packet_times(tmp_path / "out.webm", "audio")[-1]
    assert abs(ends - times[-1] - Fraction(1, 25)) < Fraction(6, 100)
    assert clips.packet_times(tmp_path / "out.webm") == times


def test_a_stream_that_is_left_out_is_reported(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mkv", clips.ClipSpec(subtitles=["subrip"]))
    events = clips.transcode(tmp_path / "in.mkv", tmp_path / "out.avi")
    assert events == [
        "The subtitle stream #1 (srt) of in.mkv is left out: an avi file cannot hold it."
    ]


def test_chapters_and_attachments_are_copied(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mkv", clips.ClipSpec(chapters=True))
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
    assert clips.transcode(tmp_path / "with.mkv", tmp_path / "out.mkv") == []
    with av.open(str(tmp_path / "out.mkv")) as container:
        titles = [chapter["metadata"]["title"] for chapter in container.chapters()]
        assert titles == ["one", "two"]
        (attached,) = container.streams.attachments
        assert (attached.name, attached.data) == ("font.ttf", b"not really a font")


def test_a_range_takes_the_audio_and_subtitles_of_that_range(tmp_path: Path) -> None:
    clips.write_clip(
        tmp_path / "in.mp4",
        clips.ClipSpec(audio=["mono"], subtitles=["mov_text"], count=50, options={"g": "10"}),
    )
    span = ReadOptions(start=0.16, end=1.2)
    clips.transcode(tmp_path / "in.mp4", tmp_path / "out.mp4", span)
    shown = clips.packet_times(tmp_path / "out.mp4")
    assert shown[0] == 0 and len(shown) == 26
    sound, whole = (
        clips.packet_times(tmp_path / "out.mp4", "audio"),
        clips.packet_times(tmp_path / "in.mp4", "audio"),
    )
    begin = Fraction(4, 25)
    assert sound == [time - begin for time in whole if begin <= time < Fraction(12, 10)]
    assert [time for time, _ in clips.subtitle_packets(tmp_path / "out.mp4")] == [
        Fraction(40, 1000)
    ]


@pytest.mark.parametrize(
    ("audio", "expected"), [("none", 0), ("source", 2), ("drive", 1), ("FILE", 1)]
)
def test_the_audio_option_selects_the_input(tmp_path: Path, audio: str, expected: int) -> None:
    clips.write_clip(tmp_path / "drive.mp4", clips.ClipSpec(audio=["mono"], count=25))
    clips.write_clip(tmp_path / "source.mkv", clips.ClipSpec(audio=["stereo", "mono"], count=60))
    clips.write_audio(tmp_path / "long.mp3", 3.0, "stereo", "libmp3lame")
    drive, source = media.probe(tmp_path / "drive.mp4"), media.probe(tmp_path / "source.mkv")
    chosen = str(tmp_path / "long.mp3") if audio == "FILE" else audio
    with media.write(
        tmp_path / "out.mp4",
        drive.size,
        drive,
        OutputOptions(audio=chosen),
        media.WritePlan(drive=drive, source=source),
    ) as writer:
        for frame in media.read(drive.path):
            writer.write(frame.pixels, frame.pts, frame.duration)
    info = media.probe(tmp_path / "out.mp4")
    assert len(info.audio) == expected
    for index in range(expected if audio != "drive" else 0):
        assert Fraction(9, 10) < clips.packet_times(tmp_path / "out.mp4", "audio", index)[-1] <= 1


def test_an_audio_file_without_audio_is_refused(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "mute.mp4")
    with pytest.raises(MediaError, match="has no audio"):
        media.write(
            tmp_path / "out.mp4", (64, 64), options=OutputOptions(audio=str(tmp_path / "mute.mp4"))
        )
    assert clips.names_in(tmp_path) == {"mute.mp4"}


def test_decreasing_audio_time_stamps_are_repaired(tmp_path: Path) -> None:
    clips.write_clip(
        tmp_path / "in.mkv", clips.ClipSpec(audio=["mono"], audio_codec="flac", count=20)
    )
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
    assert clips.transcode(tmp_path / "broken.mkv", tmp_path / "out.mp4") == []
    assert len(media.probe(tmp_path / "out.mp4").audio) == 1


def test_chapters_of_a_file_that_gives_its_sound_alone_are_not_taken(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4", clips.ClipSpec(chapters=True))
    clips.write_clip(tmp_path / "sound.mp4", clips.ClipSpec(chapters=True, audio=["mono"]))
    clips.transcode(tmp_path / "in.mp4", tmp_path / "out.mp4", audio=str(tmp_path / "sound.mp4"))
    with av.open(str(tmp_path / "out.mp4")) as container:
        titles = [chapter["metadata"]["title"] for chapter in container.chapters()]
    assert titles == ["one", "two"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_subtitle_ends_with_the_range(tmp_path: Path, suffix: str) -> None:
    clips.write_clip(tmp_path / "in.mkv", clips.ClipSpec(subtitles=["subrip"]))
    clips.transcode(tmp_path / "in.mkv", tmp_path / f"out{suffix}", ReadOptions(end=0.24))
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        ends = [
            ((packet.pts or 0) + (packet.duration or 0)) * packet.time_base
            for packet in container.demux(subtitles=0)
            if packet.size > 2
        ]
    assert ends == [Fraction(140, 1000), Fraction(240, 1000)]
