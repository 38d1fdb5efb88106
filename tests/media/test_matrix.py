"""Every codec, depth, rate, orientation and sound that this build of FFmpeg has: read, written and read again."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import tests.media.clips as clips
from thcli import media
from thcli.core.events import Event
from thcli.core.options import OutputOptions
from thcli.media.orientation import upright

CODECS = [
    ("libx264", "yuv420p", ".mp4", "h264"),
    ("libx264", "yuv420p10le", ".mp4", "h264"),
    ("libx265", "yuv420p", ".mp4", "hevc"),
    ("libx265", "yuv420p10le", ".mkv", "hevc"),
    ("libvpx-vp9", "yuv420p", ".webm", "vp9"),
    ("libsvtav1", "yuv420p", ".mp4", "av1"),
    ("libsvtav1", "yuv420p10le", ".mp4", "av1"),
    ("mpeg4", "yuv420p", ".mp4", "mpeg4"),
    ("mjpeg", "yuvj420p", ".mov", "mjpeg"),
    ("prores_ks", "yuv422p10le", ".mov", "prores"),
    ("libx264rgb", "rgb24", ".mkv", "ffv1"),
]
# how the picture lies in the file, and the EXIF number of it: degrees counter-clockwise, mirrored, flipped (as PyAV's stream sets them)
TURNS = [
    (0, False, False),
    (90, False, False),
    (180, False, False),
    (270, False, False),
    (0, True, False),
    (0, False, True),
    (90, True, False),
    (270, True, False),
]
SOUND: list[tuple[str, ...]] = [(), ("mono",), ("stereo", "mono")]


def needs(encoder: str) -> None:
    if encoder not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {encoder}")


def copy(
    path: Path, out: Path, codec: str = "auto", **more: Any
) -> tuple[media.MediaInfo, list[Event]]:
    """Reads a clip and writes what was read, sound and all."""
    said: list[Event] = []
    with (
        media.read(path, on=said.append) as frames,
        media.write(
            out,
            frames.info.size,
            frames.info,
            OutputOptions(codec=codec, **more),
            drive=frames.info,
            on=said.append,
        ) as writer,
    ):
        for frame in frames:
            writer.write(frame.pixels, frame.pts, frame.duration)
    return media.probe(out), said


def levels(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Pixels of either depth as floats of 0..255."""
    return pixels.astype(np.float64) / (257 if pixels.dtype == np.uint16 else 1)


def patches(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The mean colour in the middle of the four patches."""
    height, width = pixels.shape[:2]
    y, x = height // 2, width // 2
    middle = levels(pixels)
    return np.array(
        [
            middle[y // 2 - 4 : y // 2 + 4, x // 2 - 4 : x // 2 + 4].mean((0, 1)),
            middle[y // 2 - 4 : y // 2 + 4, x + x // 2 - 4 : x + x // 2 + 4].mean((0, 1)),
            middle[y + y // 2 - 4 : y + y // 2 + 4, x // 2 - 4 : x // 2 + 4].mean((0, 1)),
        ]
    )


@pytest.mark.parametrize("vfr", [False, True], ids=["cfr", "vfr"])
@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix", "out_codec"), CODECS, ids=lambda value: str(value).lstrip(".")
)
def test_frames_times_duration_and_colour_survive(
    tmp_path: Path, codec: str, pix_fmt: str, suffix: str, out_codec: str, vfr: bool
) -> None:
    needs(codec)
    times = clips.make(tmp_path / f"in{suffix}", codec, pix_fmt, vfr=vfr)
    before = list(media.read(tmp_path / f"in{suffix}"))
    info, said = copy(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}", out_codec)
    after = list(media.read(tmp_path / f"out{suffix}"))

    assert [frame.pts * frame.time_base for frame in before] == times
    assert [frame.pts * frame.time_base for frame in after] == times
    assert [frame.index for frame in after] == list(range(len(times)))
    assert info.duration is not None and abs(
        info.duration - times[-1] - Fraction(1, 25)
    ) <= Fraction(1, 25)
    deep = "10" in pix_fmt
    assert {frame.pixels.dtype for frame in (*before, *after)} == {
        np.dtype(np.uint16 if deep else np.uint8)
    }
    for first, second in zip(before, after, strict=True):
        assert np.abs(patches(first.pixels) - clips.COLOURS).max() < 4
        assert np.abs(patches(second.pixels) - patches(first.pixels)).max() < 3
    assert said == []


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: f"{turn[0]}{'h' * turn[1]}{'v' * turn[2]}")
@pytest.mark.parametrize("sound", SOUND, ids=["silent", "mono", "two"])
def test_orientation_and_sound(
    tmp_path: Path, turn: tuple[int, bool, bool], sound: tuple[str, ...]
) -> None:
    path = tmp_path / "in.mp4"
    times = clips.make(path, rotation=turn, audio=sound)
    # libavutil/display.c: av_display_matrix_flip mirrors what av_display_rotation_set has turned (counter-clockwise)
    shown = np.rot90(clips.picture(), turn[0] // 90)
    shown = shown[:, ::-1] if turn[1] else shown
    shown = shown[::-1] if turn[2] else shown
    info, _ = copy(path, tmp_path / "out.mp4")
    frames = list(media.read(tmp_path / "out.mp4"))

    assert media.probe(path).size == (shown.shape[1], shown.shape[0]) == info.size
    assert info.orientation == 1
    assert np.abs(patches(frames[0].pixels) - patches(np.ascontiguousarray(shown))).max() < 5
    assert [frame.pts * frame.time_base for frame in frames] == times
    assert [stream.channels for stream in info.audio] == [
        1 if layout == "mono" else 2 for layout in sound
    ]
    assert [stream.language for stream in info.audio] == ["eng", "deu"][: len(sound)]
    for index in range(len(sound)):
        assert clips.decoded_times(tmp_path / "out.mp4", "audio", index) == clips.decoded_times(
            path, "audio", index
        )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientations_are_those_of_exif(tmp_path: Path, orientation: int) -> None:
    from PIL import Image, ImageOps

    lying = clips.picture()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(lying).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(upright(lying, orientation), expected)
    np.testing.assert_array_equal(media.read_image(tmp_path / "a.png"), expected)
    info = media.probe(tmp_path / "a.png")
    assert (info.size, info.orientation) == ((expected.shape[1], expected.shape[0]), orientation)


@pytest.mark.parametrize("size", [(65, 81), (66, 81), (65, 80), (16, 16), (1, 1)])
@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv"])
def test_odd_and_tiny_sizes_stay_as_they_are(
    tmp_path: Path, size: tuple[int, int], suffix: str
) -> None:
    pixels = clips.picture(size=size)
    with media.write(tmp_path / f"out{suffix}", size) as writer:
        for index in range(3):
            writer.write(pixels, index)
    frames = list(media.read(tmp_path / f"out{suffix}"))
    assert [frame.size for frame in frames] == [size] * 3
    if size[0] > 16:
        assert np.abs(patches(frames[1].pixels) - clips.COLOURS).max() < 5
