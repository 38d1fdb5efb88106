"""--share, previews, and hardware encoders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import tests.media.clips as clips
from thcli import media
from thcli.core.errors import DeviceError, UsageError
from thcli.core.events import Event, Warned
from thcli.core.options import OutputOptions
from thcli.media.info import Colour, MediaInfo
from thcli.media.writing.codecs import plan_encoder
from thcli.media.writing.finishing import output_size
from thcli.media.writing.hardware import HARDWARE

SHARE = OutputOptions(share=True)


def write(path: Path, size: tuple[int, int], options: OutputOptions, **plan: Any) -> list[Event]:
    """Write three deep grey frames, full range; return the events."""
    events: list[Event] = []
    like = MediaInfo(path, "video", size=size, bit_depth=10, colour=Colour(1, 2, 1, 1))
    with media.write(path, size, like, options, media.WritePlan(**plan), on=events.append) as out:
        for index in range(3):
            out.write(np.full((size[1], size[0], 3), 20000 * index, np.uint16), index)
    return events


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((3840, 2160), (1920, 1080)),
        ((3024, 4032), (1080, 1440)),
        ((2160, 3840), (1080, 1920)),
        ((1081, 1921), (1080, 1920)),
        ((1280, 720), (1280, 720)),
        ((641, 479), (640, 480)),
        ((4000, 100), (1920, 48)),
    ],
)
def test_a_shared_video_has_at_most_1080_lines(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    width, height = output_size(size, SHARE)
    assert width % 2 == height % 2 == 0 and max(width, height) <= 1920
    assert min(width, height) <= 1080
    assert (width, height) == expected


def test_a_shared_video_plays_everywhere(tmp_path: Path) -> None:
    clips.write_audio(tmp_path / "a.flac", 0.2, codec="flac")
    path = tmp_path / "out.mp4"
    sound = media.probe(tmp_path / "a.flac")
    write(path, (2400, 1350), SHARE, drive=sound)
    info = media.probe(path)
    assert (info.size, info.codec, info.pix_fmt, info.bit_depth) == (
        (1920, 1080),
        "h264",
        "yuv420p",
        8,
    )
    assert info.colour == Colour(1, 1, 1, 1)
    assert [stream.codec for stream in info.audio] == ["aac"]
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # faststart
    last = list(media.read(path))[-1].pixels
    assert abs(float(last.mean()) - 40000 / 257) < 2


def test_a_small_video_keeps_its_size_and_pixels(tmp_path: Path) -> None:
    for name, options in (("a.mp4", SHARE), ("b.mp4", OutputOptions(codec="h264", crf=21))):
        write(tmp_path / name, (64, 48), options)
    shared, plain = (media.probe(tmp_path / name) for name in ("a.mp4", "b.mp4"))
    assert shared.size == plain.size == (64, 48)


@pytest.mark.parametrize("name", ["out.mkv", "out.webm", "out.gif", "out.png"])
def test_other_containers_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--share"):
        write(tmp_path / name, (64, 48), SHARE)
    assert not list(tmp_path.iterdir())


def test_hdr_needs_tone_mapping(tmp_path: Path) -> None:
    like = MediaInfo(
        tmp_path / "x", "video", size=(64, 48), bit_depth=10, colour=Colour(9, 1, 9, 16)
    )
    events: list[Event] = []
    with media.write(tmp_path / "a.mp4", (64, 48), like, SHARE, on=events.append) as out:
        out.write(np.zeros((48, 64, 3), np.uint16), 0)
    (event,) = events
    assert isinstance(event, Warned) and "--hdr tonemap" in event.message


def test_sharing_chooses_the_codec() -> None:
    with pytest.raises(UsageError, match="--codec must be auto or h264 with --share"):
        OutputOptions(share=True, codec="hevc")


def test_a_limit_of_the_longer_side(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", (640, 360), OutputOptions(longest=120))
    assert media.probe(tmp_path / "a.mp4").size == (120, 68)
    assert output_size((100, 51), OutputOptions(longest=120)) == (100, 52)


def test_a_picture_that_is_too_large_for_players_is_hinted_at(tmp_path: Path) -> None:
    size = (4032, 3024)
    events: list[Event] = []
    like = MediaInfo(tmp_path / "x", "video", size=size, colour=Colour(1, 1, 1, 1))
    quick = OutputOptions(preset="ultrafast")
    with media.write(tmp_path / "out.mov", size, like, quick, on=events.append) as out:
        out.write(np.zeros((size[1], size[0], 3), np.uint8), 0)
    (event,) = events
    assert isinstance(event, Warned) and "12 megapixels" in event.message
    assert "--share" in event.message
    events.clear()
    shared = replace(quick, share=True)
    with media.write(tmp_path / "shared.mov", size, like, shared, on=events.append) as out:
        out.write(np.zeros((size[1], size[0], 3), np.uint8), 0)
    assert not events and media.probe(tmp_path / "shared.mov").size == (1440, 1080)


@pytest.mark.parametrize("encoder", HARDWARE)
def test_a_hardware_encoder_without_its_device_is_a_device_error(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thcli.media.writing.hardware._failure", lambda *given: "no device")
    with pytest.raises(DeviceError, match=f"{encoder} cannot be used: .* It needs") as caught:
        plan_encoder("mp4", OutputOptions(codec=encoder), (640, 480), deep=False)
    assert caught.value.exit_code == 6 and "--codec h264" in caught.value.hint


@pytest.mark.parametrize(
    ("encoder", "crf", "preset", "expected"),
    [
        ("h264_qsv", 25.0, "slow", {"global_quality": "25", "preset": "slow"}),
        ("hevc_amf", 30.0, "fast", {"qp_i": "30", "qp_p": "30", "quality": "balanced"}),
        ("h264_nvenc", None, "veryfast", {"cq": "19", "preset": "p2"}),
    ],
)
def test_quality_and_speed_of_hardware_encoders(
    encoder: str,
    crf: float | None,
    preset: str,
    expected: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if encoder not in av.codecs_available:
        pytest.skip(f"this build of PyAV has no {encoder}")
    monkeypatch.setattr("thcli.media.writing.hardware._failure", lambda *given: "")
    options = OutputOptions(codec=encoder, crf=crf, preset=preset)
    plan = plan_encoder("mp4", options, (640, 480), deep=False)
    assert expected.items() <= plan.options.items()
    assert plan.tag == ("hvc1" if encoder.startswith("hevc") else "")
    if encoder != "h264_nvenc":
        with pytest.raises(UsageError, match="only even sizes"):
            plan_encoder("mp4", options, (641, 480), deep=False)


FAST = {
    "preset": "superfast",
    "mbtree": "1",
    "rc-lookahead": "5",
    "bf": "0",
    "weightp": "0",
}
VERYFAST = {"preset": "veryfast"}


@pytest.mark.parametrize(
    ("codec", "preset", "size", "deep", "expected"),
    [
        ("auto", "auto", (2560, 1440), False, VERYFAST),
        ("auto", "auto", (2562, 1440), False, FAST),
        ("h264", "auto", (3840, 2160), False, FAST),
        ("auto", "veryfast", (3840, 2160), False, VERYFAST),
        ("auto", "slow", (3840, 2160), False, {"preset": "slow"}),
        ("auto", "auto", (3840, 2160), True, VERYFAST),  # libx265
        ("libx264rgb", "auto", (3840, 2160), False, VERYFAST),
        ("h264_nvenc", "auto", (640, 480), False, {"preset": "p2"}),
        ("h264_nvenc", "auto", (3840, 2160), False, {"preset": "p2"}),
        ("prores", "auto", (3840, 2160), False, {}),
    ],
)
def test_libx264_is_faster_with_large_frames_unless_a_preset_is_given(
    codec: str,
    preset: str,
    size: tuple[int, int],
    deep: bool,
    expected: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if codec == "h264_nvenc" and codec not in av.codecs_available:
        pytest.skip("this build of PyAV has no h264_nvenc")
    monkeypatch.setattr("thcli.media.writing.hardware._failure", lambda *given: "")
    options = OutputOptions(codec=codec, preset=preset)
    found = plan_encoder("mov" if codec == "prores" else "mp4", options, size, deep).options
    of_speed = {name: found[name] for name in FAST if name in found}
    assert of_speed == expected
