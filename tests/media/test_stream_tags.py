"""Titles and languages of streams, and what an output has not of its input."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import pytest
from av.stream import Disposition
from PIL import Image as Pillow

import tests.media.clips as clips
from thcli import media

_KINDS = (".mp4", ".mov", ".mkv")


def _remux(source: Path, target: Path, titles: list[tuple[str, str]], cover: bool = False) -> None:
    """Copy a clip with a (title, language) for each stream, and a cover picture on request."""
    with av.open(str(source)) as clip, av.open(str(target), "w") as out:
        copies: dict[int, Any] = {}
        for stream, (title, language) in zip(clip.streams, titles, strict=True):
            copy = cast(Any, out.add_stream_from_template(cast(Any, stream)))
            copy.metadata.update({"title": title, "language": language})
            copies[stream.index] = copy
        if cover:
            picture = cast(Any, out.add_stream("png"))
            picture.width, picture.height, picture.pix_fmt = 8, 8, "rgb24"
            picture.disposition = Disposition.attached_pic
            data = io.BytesIO()
            Pillow.new("RGB", (8, 8)).save(data, "PNG")
            out.start_encoding()
            packet: av.Packet[Any] = av.Packet(data.getvalue())
            packet.stream, packet.time_base = picture, Fraction(1, 90000)
            packet.pts = packet.dts = 0
            out.mux(packet)
        for read in clip.demux():
            if read.size:
                read.stream = copies[read.stream.index]
                out.mux(read)


def _titled_clip(folder: Path, suffix: str) -> Path:
    text = "subrip" if suffix == ".mkv" else "mov_text"
    spec = clips.ClipSpec(audio=["mono"], subtitles=[text, text])
    clips.write_clip(folder / f"plain{suffix}", spec)
    german = "ger" if suffix == ".mov" else "deu"
    titles = [("Camera", german), ("Original", german), ("English", "eng"), ("Deutsch", german)]
    _remux(folder / f"plain{suffix}", folder / f"in{suffix}", titles)
    return folder / f"in{suffix}"


def _titles(path: Path) -> list[tuple[str, str]]:
    with av.open(str(path)) as container:
        tags = [stream.metadata for stream in container.streams]
    return [(tag.get("title") or tag.get("name", ""), tag.get("language", "")) for tag in tags]


@pytest.mark.parametrize("suffix", _KINDS)
@pytest.mark.parametrize("out", _KINDS)
def test_every_stream_keeps_its_title_and_language(tmp_path: Path, suffix: str, out: str) -> None:
    clip = _titled_clip(tmp_path, suffix)
    assert clips.transcode(clip, tmp_path / f"out{out}") == []
    german = "ger" if ".mov" in (suffix, out) else "deu"
    assert _titles(tmp_path / f"out{out}") == [
        ("Camera", german),
        ("Original", german),
        ("English", "eng"),
        ("Deutsch", german),
    ]
    info = media.probe(tmp_path / f"out{out}")
    assert [stream.title for stream in info.streams] == ["Original", "English", "Deutsch"]


def test_transcoded_sound_keeps_its_title(tmp_path: Path) -> None:
    clip = _titled_clip(tmp_path, ".mp4")
    clips.transcode(clip, tmp_path / "out.webm")
    assert _titles(tmp_path / "out.webm")[:2] == [("Camera", "deu"), ("Original", "deu")]


def test_a_cover_picture_is_left_out_with_the_true_reason(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "plain.mp4")
    _remux(tmp_path / "plain.mp4", tmp_path / "in.mp4", [("", "")], cover=True)
    assert clips.transcode(tmp_path / "in.mp4", tmp_path / "out.mp4") == [
        "The cover picture #1 (png) of in.mp4 is left out: it belongs to the input, "
        "not to the output."
    ]


def test_a_second_video_is_left_out_with_the_true_reason(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "in.mkv"), "w") as out:
        streams = [cast(Any, out.add_stream("libx264", rate=25)) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height = clips.SIZE
        for stream in streams:
            pixels = clips.reference_yuv(clips.draw_patches(), "yuv420p", None)
            out.mux([*stream.encode(pixels), *stream.encode()])
    assert clips.transcode(tmp_path / "in.mkv", tmp_path / "out.mkv") == [
        "The second video stream #1 (h264) of in.mkv is left out: an output has one video stream."
    ]
