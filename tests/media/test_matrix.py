"""Round trips over codecs, bit depths, frame rates, orientations and audio tracks."""

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
from thcli.media.orientation import rotate_upright

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
# orientation in the file: degrees counter-clockwise, mirrored, flipped, as PyAV's stream sets them
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
AUDIO: list[tuple[str, ...]] = [(), ("mono",), ("stereo", "mono")]


def require_encoder(encoder: str) -> None:
    if encoder not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {encoder}")


def transcode(
    path: Path, out: Path, codec: str = "auto", **more: Any
) -> tuple[media.MediaInfo, list[Event]]:
    """Read a clip and write it with its companion streams; return the output and the events."""
    events: list[Event] = []
    with (
        media.read(path, on=events.append) as frames,
        media.write(
            out,
            frames.info.size,
            frames.info,
            OutputOptions(codec=codec, **more),
            media.WritePlan(drive=frames.info),
            on=events.append,
        ) as writer,
    ):
        for frame in frames:
            writer.write(frame.pixels, frame.pts, frame.duration)
    return media.probe(out), events


def to_levels(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Convert pixels of either depth to floats, 0..255."""
    return pixels.astype(np.float64) / (257 if pixels.dtype == np.uint16 else 1)


def patch_colours(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the mean colour in the middle of the first three patches, (3, 3)."""
    height, width = pixels.shape[:2]
    y, x = height // 2, width // 2
    middle = to_levels(pixels)
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
def test_frames_times_duration_and_colour_are_kept(
    tmp_path: Path, codec: str, pix_fmt: str, suffix: str, out_codec: str, vfr: bool
) -> None:
    require_encoder(codec)
    times = clips.write_clip(tmp_path / f"in{suffix}", clips.ClipSpec(codec, pix_fmt, vfr=vfr))
    before = list(media.read(tmp_path / f"in{suffix}"))
    info, events = transcode(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}", out_codec)
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
        assert np.abs(patch_colours(first.pixels) - clips.COLOURS).max() < 4
        assert np.abs(patch_colours(second.pixels) - patch_colours(first.pixels)).max() < 3
    assert events == []


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: f"{turn[0]}{'h' * turn[1]}{'v' * turn[2]}")
@pytest.mark.parametrize("audio", AUDIO, ids=["silent", "mono", "two"])
def test_orientation_and_audio(
    tmp_path: Path, turn: tuple[int, bool, bool], audio: tuple[str, ...]
) -> None:
    path = tmp_path / "in.mp4"
    times = clips.write_clip(path, clips.ClipSpec(rotation=turn, audio=audio))
    # libavutil/display.c: av_display_rotation_set turns counter-clockwise, av_display_matrix_flip
    # mirrors the result
    shown = np.rot90(clips.draw_patches(), turn[0] // 90)
    shown = shown[:, ::-1] if turn[1] else shown
    shown = shown[::-1] if turn[2] else shown
    info, _ = transcode(path, tmp_path / "out.mp4")
    frames = list(media.read(tmp_path / "out.mp4"))

    assert media.probe(path).size == (shown.shape[1], shown.shape[0]) == info.size
    assert info.orientation == 1
    assert (
        np.abs(patch_colours(frames[0].pixels) - patch_colours(np.ascontiguousarray(shown))).max()
        < 5
    )
    assert [frame.pts * frame.time_base for frame in frames] == times
    assert [stream.channels for stream in info.audio] == [
        1 if layout == "mono" else 2 for layout in audio
    ]
    assert [stream.language for stream in info.audio] == ["eng", "deu"][: len(audio)]
    for index in range(len(audio)):
        assert clips.packet_times(tmp_path / "out.mp4", "audio", index) == clips.packet_times(
            path, "audio", index
        )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientations_are_those_of_exif(tmp_path: Path, orientation: int) -> None:
    from PIL import Image, ImageOps

    rotated = clips.draw_patches()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(rotated).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(rotate_upright(rotated, orientation), expected)
    np.testing.assert_array_equal(media.read_image(tmp_path / "a.png"), expected)
    info = media.probe(tmp_path / "a.png")
    assert (info.size, info.orientation) == ((expected.shape[1], expected.shape[0]), orientation)


@pytest.mark.parametrize("size", [(65, 81), (66, 81), (65, 80), (16, 16), (1, 1)])
@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv"])
def test_odd_and_tiny_sizes_are_kept(tmp_path: Path, size: tuple[int, int], suffix: str) -> None:
    pixels = clips.draw_patches(size=size)
    with media.write(tmp_path / f"out{suffix}", size) as writer:
        for index in range(3):
            writer.write(pixels, index)
    frames = list(media.read(tmp_path / f"out{suffix}"))
    assert [frame.size for frame in frames] == [size] * 3
    if size[0] > 16:
        assert np.abs(patch_colours(frames[1].pixels) - clips.COLOURS).max() < 5
