"""Reading of videos, animations and standard input."""

from __future__ import annotations

import io
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import tests.media.clips as clips
from thcli import media
from thcli.core.errors import MediaError, UsageError
from thcli.core.events import Event, Warned
from thcli.core.options import OutputOptions, ReadOptions
from thcli.media.reading.video import TimestampRepair


def times(path: Path, **options: float) -> list[Fraction]:
    with media.read(path, ReadOptions(**options)) as frames:  # type: ignore[arg-type]
        return [frame.pts * frame.time_base for frame in frames]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
@pytest.mark.parametrize(
    ("start", "end"), [(0.0, 0.4), (0.2, None), (0.5, 0.9), (1.0, 1.04), (0.1, 0.3)]
)
def test_a_range_is_exact(tmp_path: Path, suffix: str, start: float, end: float | None) -> None:
    """The range begins between key frames, which are 10 frames apart."""
    path = tmp_path / f"in{suffix}"
    clips.write_clip(
        path,
        clips.ClipSpec(
            count=40,
            time_base=Fraction(1, 25),
            options={"g": "10", "bf": "0" if suffix == ".avi" else "2"},
        ),
    )
    everything = times(path)
    beginning = everything[0]
    low, high = Fraction(repr(start)), Fraction(repr(end)) if end else Fraction(1000)
    expected = [time for time in everything if low <= time - beginning < high]
    with media.read(path, ReadOptions(start=start, end=end)) as frames:
        found = list(frames)
    assert [frame.pts * frame.time_base for frame in found] == expected
    assert [frame.index for frame in found] == list(range(len(expected)))


def test_a_range_after_the_end_is_an_error(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4")
    with pytest.raises(UsageError, match="--start 5 is after the last frame"):
        times(tmp_path / "in.mp4", start=5)


def test_the_pixels_of_a_range_are_those_of_the_whole(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4", clips.ClipSpec(count=20, options={"g": "8"}))
    whole = [frame.pixels for frame in media.read(tmp_path / "in.mp4")]
    with media.read(tmp_path / "in.mp4", ReadOptions(start=0.44)) as frames:
        part = [frame.pixels for frame in frames]
    np.testing.assert_array_equal(part, whole[11:])


def test_leaving_early_stops_the_thread(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4", clips.ClipSpec(count=60))
    before = threading.active_count()
    with media.read(tmp_path / "in.mp4") as frames:
        next(iter(frames))
    assert threading.active_count() == before


def test_every_iteration_begins_at_the_beginning(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4")
    with media.read(tmp_path / "in.mp4") as frames:
        assert [f.pts for f in frames] == [f.pts for f in frames]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_damaged_packets_are_skipped_and_counted(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"in{suffix}"
    clips.write_clip(path, clips.ClipSpec(count=30, options={"g": "5"}))
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    for packet in packets[9:12]:
        assert packet in data
        data = data.replace(packet, b"\xff" * len(packet))
    path.write_bytes(data)
    events: list[Event] = []
    with media.read(path, on=events.append) as frames:
        found = [frame.pts * frame.time_base for frame in frames]
        assert frames.damaged > 0
    assert len(found) >= 24 and found[-1] == Fraction(29, 25)
    assert found == sorted(set(found))
    assert [type(event) for event in events] == [Warned] and "damaged" in str(events[0])


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_a_truncated_stream_yields_its_intact_frames(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"in{suffix}"
    clips.write_clip(path, clips.ClipSpec(count=40, options={"g": "5", "bf": "0"}))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert 5 <= len(times(path)) < 40


def test_raw_streams_get_time_stamps(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "in.h264"), "w") as out:
        stream = cast(Any, out.add_stream("libx264", rate=25, options={"bf": "0"}))
        stream.width, stream.height, stream.pix_fmt = clips.SIZE[0], clips.SIZE[1], "yuv420p"
        for index in range(6):
            frame = clips.reference_yuv(clips.draw_patches(index), "yuv420p", None)
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    assert times(tmp_path / "in.h264") == [Fraction(index, 25) for index in range(6)]


class DecodedFrame:
    """A decoded frame with its time stamps only."""

    def __init__(self, pts: int | None, dts: int | None = None) -> None:
        self.pts, self.dts = pts, dts


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.integers(-(10**6), 10**6)), min_size=1, max_size=40),
    st.sampled_from(
        [Fraction(1, 25), Fraction(1, 1000), Fraction(1001, 30000), Fraction(1, 90000)]
    ),
)
def test_time_stamps_increase_and_valid_ones_are_unchanged(
    stamps: list[int | None], time_base: Fraction
) -> None:
    clock = TimestampRepair(time_base, Fraction(25))
    found = [clock.stamp(DecodedFrame(pts)) for pts in stamps]  # type: ignore[arg-type]
    assert found == sorted(set(found))
    known = [pts for pts in stamps if pts is not None]
    if known == sorted(set(known)) and len(known) == len(stamps):
        assert found == known


def test_concatenated_files_keep_the_rate() -> None:
    clock = TimestampRepair(Fraction(1, 1000), Fraction(25))
    given, expected = (5000, 5040, 5080, 0, 40, 80), [5000, 5040, 5080, 5120, 5160, 5200]
    assert [clock.stamp(DecodedFrame(pts)) for pts in given] == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations_keep_their_times(tmp_path: Path, suffix: str) -> None:
    first, *rest = (Image.fromarray(clips.draw_patches(index)) for index in range(3))
    first.save(
        tmp_path / f"a{suffix}", save_all=True, append_images=rest, duration=[40, 120, 80], loop=0
    )
    info = media.probe(tmp_path / f"a{suffix}")
    assert (info.kind, info.frames, info.duration) == ("video", 3, Fraction(240, 1000))
    assert times(tmp_path / f"a{suffix}") == [Fraction(0), Fraction(40, 1000), Fraction(160, 1000)]


def test_standard_input_is_spooled_and_removed(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4")
    with media.seekable_path("-", io.BytesIO((tmp_path / "in.mp4").read_bytes())) as path:
        assert len(times(path)) == len(times(path)) == 8
    assert not path.parent.exists()
    with media.seekable_path(tmp_path / "in.mp4") as same:
        assert same == tmp_path / "in.mp4"


def test_audio_and_motion_files_are_probed_but_not_read(tmp_path: Path) -> None:
    clips.write_audio(tmp_path / "a.m4a", 0.2)
    info = media.probe(tmp_path / "a.m4a")
    assert (info.kind, info.codec, len(info.audio)) == ("audio", "aac", 1)
    (tmp_path / "a.motion.safetensors").write_bytes(b"x")
    assert media.probe(tmp_path / "a.motion.safetensors").kind == "motion"
    for name in ("a.m4a", "a.motion.safetensors"):
        with pytest.raises(MediaError, match=r"no video stream|without images"):
            media.read(tmp_path / name)


def test_the_sample_aspect_ratio_is_kept(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4", clips.ClipSpec(sar=Fraction(4, 3)))
    info = media.probe(tmp_path / "in.mp4")
    assert (info.size, info.sar) == (clips.SIZE, Fraction(4, 3))
    with (
        media.read(tmp_path / "in.mp4") as frames,
        media.write(tmp_path / "out.mp4", info.size, info) as writer,
    ):
        for frame in frames:
            writer.write(frame.pixels, frame.pts)
    assert media.probe(tmp_path / "out.mp4").sar == Fraction(4, 3)


@pytest.mark.parametrize(
    ("name", "codec", "warns"),
    [
        ("out.mp4", "ffv1", False),
        ("out.mkv", "h264", False),
        ("out.mkv", "ffv1", True),
        ("out.webm", "auto", True),
    ],
)
def test_a_file_that_loses_the_shape_of_pixels_is_warned_of(
    tmp_path: Path, name: str, codec: str, warns: bool
) -> None:
    clips.write_clip(tmp_path / "in.mp4", clips.ClipSpec(sar=Fraction(4, 3)))
    info, events = media.probe(tmp_path / "in.mp4"), list[Event]()
    options = OutputOptions(codec=codec)
    with media.write(tmp_path / name, info.size, info, options, on=events.append) as writer:
        writer.write(clips.draw_patches(), 0)
    said = any("squeezed" in event.message for event in events if isinstance(event, Warned))
    assert said == warns == (media.probe(tmp_path / name).sar == 1)


@pytest.mark.parametrize(
    ("sar", "turn", "shown"),
    [(2, None, (128, 80)), (Fraction(1, 2), None, (64, 160)), (2, (90, False, False), (80, 128))],
)
def test_square_pixels_are_read_as_they_are_shown(
    tmp_path: Path,
    sar: Fraction,
    turn: tuple[float, bool, bool] | None,
    shown: tuple[int, int],
) -> None:
    clips.write_clip(tmp_path / "in.mp4", clips.ClipSpec(sar=Fraction(sar), rotation=turn))
    events = list[Event]()
    read = ReadOptions(square_pixels=True)
    with media.read(tmp_path / "in.mp4", read, on=events.append) as reader:
        assert (reader.info.size, reader.info.sar) == (shown, Fraction(1))
        frames = list(reader)
    assert {frame.size for frame in frames} == {shown}
    assert len(frames) == 8 and not events
    upright = np.rot90(clips.draw_patches(), 1 if turn else 0)
    corner = frames[0].pixels[5, 5].astype(int)
    assert np.abs(corner - upright[5, 5]).max() < 8


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".nut"])
def test_time_stamps_far_from_zero_do_not_lengthen_a_clip(tmp_path: Path, suffix: str) -> None:
    """Matroska and NUT count their duration from time 0."""
    path, step = tmp_path / f"far{suffix}", 40
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25)
        stream.width, stream.height = clips.SIZE
        stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(10):
            image = av.VideoFrame.from_ndarray(clips.draw_patches(index), "rgb24")
            image.pts, image.time_base = 2**40 + index * step, Fraction(1, 1000)
            out.mux(stream.encode(image))
        out.mux(stream.encode())
    info = media.probe(path)
    assert info.frames in (9, 10)  # NUT has no duration of the last frame
    assert info.duration is not None and 0.3 < info.duration <= Fraction(2, 5)


def test_a_false_number_of_frames_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "claim.avi"
    clips.write_clip(path, clips.ClipSpec(codec="mpeg4"))
    data = bytearray(path.read_bytes())
    header = data.index(b"strh") + 8
    data[header + 32 : header + 36] = (2**30).to_bytes(4, "little")  # dwLength
    path.write_bytes(data)
    info = media.probe(path)
    assert (info.frames, info.frames_exact) == (None, False)
    assert len(list(media.read(path))) == 8
