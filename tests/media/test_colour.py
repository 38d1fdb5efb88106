"""Colour conversion: correct after decoding, unchanged after a round trip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.media.clips as clips
from thcli import media
from thcli.core.events import Event, Warned
from thcli.core.options import OutputOptions
from thcli.media.colour import FromRGB, ToRGB, complete_tags, rgb_from_yuv, yuv_from_rgb
from thcli.media.info import Colour

SWATCHES = [
    (0, 0, 0),
    (255, 255, 255),
    (128, 128, 128),
    (200, 30, 40),
    (30, 180, 60),
    (40, 50, 220),
    (230, 190, 160),
    (90, 60, 40),
    (250, 240, 20),
]
MATRICES = {"601": 6, "709": 1, "2020": 9}


def draw_swatches() -> clips.Image:
    """Draw nine swatches of 32x32 pixels, three in a row."""
    return np.kron(np.array(SWATCHES, np.uint8).reshape(3, 3, 3), np.ones((32, 32, 1), np.uint8))


def swatch_colours(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the mean colour of each swatch, (9, 3), 0..255."""
    values = pixels.astype(np.float64) / (257 if pixels.dtype == np.uint16 else 1)
    return np.array(
        [
            values[y + 8 : y + 24, x + 8 : x + 24].mean((0, 1))
            for y in (0, 32, 64)
            for x in (0, 32, 64)
        ]
    )


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("span", [1, 2], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES.keys())
def test_colours_are_right_after_reading_and_after_the_round_trip(
    tmp_path: Path, matrix: int, span: int, pix_fmt: str
) -> None:
    tags = (matrix, span, 9 if matrix == 9 else 1, 14 if matrix == 9 else 1)
    clips.write_clip(
        tmp_path / "in.mp4",
        clips.ClipSpec(
            "libx264",
            pix_fmt,
            count=2,
            size=(96, 96),
            tags=tags,
            frames=[draw_swatches()] * 2,
            options={"crf": "4"},
        ),
    )
    with media.read(tmp_path / "in.mp4") as frames:
        info = frames.info
        first = list(frames)
    assert (
        info.colour.matrix,
        info.colour.range,
        info.colour.primaries,
        info.colour.transfer,
    ) == tags
    assert np.abs(swatch_colours(first[0].pixels) - SWATCHES).max() < 2.5

    with media.write(tmp_path / "out.mp4", info.size, info, OutputOptions(crf=4)) as writer:
        for frame in first:
            writer.write(frame.pixels, frame.pts)
    with media.read(tmp_path / "out.mp4") as frames:
        assert frames.info.colour == info.colour
        assert frames.info.bit_depth == (10 if "10" in pix_fmt else 8)
        assert np.abs(swatch_colours(next(iter(frames)).pixels) - SWATCHES).max() < 3


@pytest.mark.parametrize(
    ("size", "matrix"), [((96, 96), 6), ((96, 720), 1)], ids=["sd is 601", "hd is 709"]
)
def test_untagged_video_is_read_as_players_do(
    tmp_path: Path, size: tuple[int, int], matrix: int
) -> None:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:] = (200, 30, 40)
    # the pixels are converted with the right matrix, but the stream is untagged
    path = tmp_path / "in.mkv"
    clips.write_clip(
        path, clips.ClipSpec("libx264", count=1, size=size, frames=[pixels], tags=(matrix, 1, 2, 2))
    )
    assert complete_tags(Colour(), "yuv420p", size[1]).matrix == matrix
    untagged = ToRGB(Colour())(clips.reference_yuv(pixels, "yuv420p", (matrix, 1, 2, 2)))
    assert np.abs(untagged.astype(int) - pixels).max() <= 2


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([1, 4, 6, 7, 9]),
    st.sampled_from([1, 2]),
    st.sampled_from([8, 10, 12]),
    st.integers(0, 2**32 - 1),
)
def test_the_two_matrices_are_inverse(matrix: int, span: int, depth: int, seed: int) -> None:
    rgb = np.random.default_rng(seed).uniform(0, 255, (20, 3))
    from_rgb, to_rgb = (
        yuv_from_rgb(matrix, span, 255, depth),
        rgb_from_yuv(matrix, span, 255, depth),
    )
    yuv = rgb @ from_rgb[:, :3].T + from_rgb[:, 3]
    np.testing.assert_allclose(yuv @ to_rgb[:, :3].T + to_rgb[:, 3], rgb, atol=1e-9)
    grey = np.array([128.0, 128.0, 128.0]) @ from_rgb[:, :3].T + from_rgb[:, 3]
    np.testing.assert_allclose(grey[1:], 2 ** (depth - 1))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuv420p10le", "yuv422p10le"]),
    st.integers(0, 2**32 - 1),
)
def test_a_second_yuv_round_trip_changes_nothing(
    width: int, height: int, pix_fmt: str, seed: int
) -> None:
    """There is no drift over generations: replicated chroma averages to its sample."""
    colour = Colour(1, 2 if "j" in pix_fmt else 1, 1, 1)
    from_rgb, to_rgb = FromRGB(pix_fmt, colour), ToRGB(colour)
    depth = np.uint16 if "10" in pix_fmt else np.uint8
    # low contrast stays inside the RGB cube, where no value is clipped
    noise = np.random.default_rng(seed).integers(96, 160, (height, width, 3)).astype(depth) * (
        257 if depth is np.uint16 else 1
    )
    once = to_rgb(from_rgb(noise))
    twice = to_rgb(from_rgb(once))
    assert once.shape == (height, width, 3) and once.dtype == depth
    unit = 64 if depth is np.uint16 else 1
    assert np.abs(once.astype(int) - twice.astype(int)).max() <= 2 * unit


def test_alpha_is_composited_over_the_background(tmp_path: Path) -> None:
    import av

    frame = av.VideoFrame.from_ndarray(np.full((16, 16, 4), (255, 0, 0, 128), np.uint8), "rgba")
    mixed = ToRGB(Colour(), (0, 0, 255))(frame)
    assert np.abs(mixed[8, 8].astype(int) - (128, 0, 127)).max() <= 1


def test_hdr_is_kept_and_reported(tmp_path: Path) -> None:
    events: list[Event] = []
    clips.write_clip(
        tmp_path / "in.mp4", clips.ClipSpec("libx265", "yuv420p10le", count=6, tags=(9, 1, 9, 16))
    )
    with media.read(tmp_path / "in.mp4", on=events.append) as frames:
        info = frames.info
        with media.write(tmp_path / "out.mp4", info.size, info, on=events.append) as writer:
            for frame in frames:
                writer.write(frame.pixels, frame.pts)
    out = media.probe(tmp_path / "out.mp4")
    assert (out.colour, out.bit_depth, out.codec) == (info.colour, 10, "hevc")
    assert out.colour.is_hdr
    assert [event.message for event in events if isinstance(event, Warned)] == [
        "in.mp4 is HDR (bt2020nc pq limited): its values are kept (--hdr tonemap converts them)."
    ]

    events.clear()
    with media.write(
        tmp_path / "shallow.webm", info.size, info, OutputOptions(codec="vp9"), on=events.append
    ) as writer:
        writer.write(np.zeros((info.size[1], info.size[0], 3), np.uint16), 0)
    assert [type(event) for event in events] == [Warned] and "HDR needs 10 bits" in str(events[0])
