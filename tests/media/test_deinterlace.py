"""Interlaced video: one progressive frame for each, with its time stamp."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from thcli import media
from thcli.core.options import ReadOptions
from thcli.core.types import Frame, Image


def moving_edge(field: int) -> Image:
    """Return a picture (64, 96, 3) whose left part grows by 3 pixels a field."""
    image = np.full((64, 96, 3), 60, np.uint8)
    image[:, : 10 + 3 * field] = (200, 150, 120)
    return image


@pytest.fixture(scope="module")
def interlaced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of 10 interlaced frames, each of two moments."""
    path = tmp_path_factory.mktemp("interlaced") / "clip.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "mpeg2video", rate=25, options={"flags": "+ildct+ilme", "b": "8000000"}
        )
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for i in range(10):
            image = moving_edge(2 * i)
            image[1::2] = moving_edge(2 * i + 1)[1::2]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


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
    for frame, combed in zip(frames, decoded, strict=True):
        assert combing(frame.pixels) < 0.5 * combing(combed.to_ndarray(format="rgb24"))
    left = [int((frame.pixels[32, :, 0] > 130).sum()) for frame in frames]
    assert all(4 <= after - before <= 8 for before, after in pairwise(left))
    assert np.abs(frames[5].pixels[32, 5].astype(int) - (200, 150, 120)).max() < 12


def test_a_range_has_the_frames_of_the_whole(interlaced: Path) -> None:
    whole = {frame.pts: frame.pixels for frame in read(interlaced)}
    part = read(interlaced, ReadOptions(start=0.12, end=0.32))
    assert len(part) == 5
    for frame in part[1:]:
        assert np.array_equal(frame.pixels, whole[frame.pts])
