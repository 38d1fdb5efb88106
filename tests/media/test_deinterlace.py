"""Interlaced video: one progressive frame for each, with its time stamp."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.filter import Graph
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from thcli import media
from thcli.core.errors import MediaError
from thcli.core.options import ReadOptions
from thcli.core.types import Frame, Image
from thcli.media.reading import deinterlace
from thcli.media.reading.deinterlace import deinterlaced


def moving_edge(field: int) -> Image:
    """Return a picture (64, 96, 3) whose left part grows by 3 pixels a field."""
    image = np.full((64, 96, 3), 60, np.uint8)
    image[:, : 10 + 3 * field] = (200, 150, 120)
    return image


def combed(number: int) -> Image:
    """Return an interlaced picture of two moments."""
    image = moving_edge(2 * number)
    image[1::2] = moving_edge(2 * number + 1)[1::2]
    return image


def write(path: Path, codec: str, options: dict[str, str]) -> Path:
    """Write a file of 10 interlaced frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"flags": "+ildct+ilme", **options})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(combed(i), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def interlaced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("interlaced") / "clip.ts", "mpeg2video", {"b": "8000000"})


def read(path: Path, options: ReadOptions | None = None) -> list[Frame]:
    with media.read(path, options or ReadOptions()) as frames:
        return list(frames)


def combing(image: npt.NDArray[Any]) -> float:
    """Return the mean difference of neighbouring rows."""
    return float(np.abs(np.diff(image.astype(int), axis=0)).mean())


def test_each_frame_becomes_progressive(interlaced: Path) -> None:
    with av.open(str(interlaced)) as container:
        decoded = list(container.decode(video=0))
    frames = read(interlaced)
    assert [frame.pts for frame in frames] == [frame.pts for frame in decoded]
    for frame, source in zip(frames, decoded, strict=True):
        assert combing(frame.pixels) < 0.5 * combing(source.to_ndarray(format="rgb24"))
    left = [int((frame.pixels[32, :, 0] > 130).sum()) for frame in frames]
    assert all(4 <= after - before <= 8 for before, after in pairwise(left))
    assert np.abs(frames[5].pixels[32, 5].astype(int) - (200, 150, 120)).max() < 12


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("clip.ts", "mpeg2video", {"b": "8000000"}),
        ("clip.mkv", "mpeg2video", {"b": "8000000", "g": "1"}),  # a key frame at each --start
        ("clip.mkv", "ffv1", {}),
    ],
)
def test_a_range_has_the_frames_of_the_whole(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    path = write(tmp_path / name, codec, options)
    whole = {frame.pts: frame.pixels for frame in read(path)}
    part = read(path, ReadOptions(start=0.12, end=0.32))
    assert len(part) == 5
    for frame in part:
        assert np.array_equal(frame.pixels, whole[frame.pts])


def test_durations_stay(tmp_path: Path) -> None:
    frames = read(write(tmp_path / "clip.mkv", "ffv1", {}))
    assert [frame.duration * frame.time_base for frame in frames] == [Fraction(1, 25)] * 10


def as_interlaced(frame: av.VideoFrame, number: int) -> av.VideoFrame:
    """Return a frame of full range that says that it has two fields."""
    frame.color_range, frame.colorspace = ColorRange.JPEG, Colorspace.ITU709
    frame.pts, frame.time_base = number, Fraction(1, 25)
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    graph.link_nodes(source, graph.add("setfield", "tff"), graph.add("buffersink")).configure()
    graph.vpush(frame)
    marked = graph.vpull()
    assert isinstance(marked, av.VideoFrame) and marked.interlaced_frame
    return marked


def test_a_format_that_the_filter_lacks_keeps_its_range() -> None:
    lumas = [np.where(combed(i)[..., 0] > 100, 255, 0).astype(np.uint8) for i in range(4)]
    chroma = np.full((32, 96), 128, np.uint8)
    frames = [
        as_interlaced(av.VideoFrame.from_ndarray(np.concatenate([luma, chroma]), "nv12"), i)
        for i, luma in enumerate(lumas)
    ]
    result = list(deinterlaced(iter(frames), Path("clip"), Fraction(1, 25), 1))
    assert [frame.pts for frame in result] == [0, 1, 2, 3]
    for frame, luma in zip(result, lumas, strict=True):
        assert (frame.color_range, frame.colorspace) == (ColorRange.JPEG, Colorspace.ITU709)
        assert np.array_equal(frame.to_ndarray()[:64:2], luma[::2])  # the first field stays
        assert combing(frame.to_ndarray()[:64]) < 0.8 * combing(luma)


@pytest.mark.parametrize("size", [(2, 64), (96, 2)])
def test_frames_too_small_for_the_filter_pass(size: tuple[int, int]) -> None:
    frame = as_interlaced(av.VideoFrame(*size, "yuv420p"), 0)
    assert list(deinterlaced(iter([frame]), Path("clip"), Fraction(1, 25), 1)) == [frame]


def test_what_the_filter_refuses_names_the_file(
    interlaced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deinterlace, "LEAST_SIDES", (1, 1))
    frame = as_interlaced(av.VideoFrame(2, 64, "yuv420p"), 0)
    with pytest.raises(MediaError, match=r"clip\.ts"):
        list(deinterlaced(iter([frame]), interlaced, Fraction(1, 25), 1))
