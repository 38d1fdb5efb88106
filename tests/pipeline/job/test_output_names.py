"""Output names that cannot hold the result."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.options import OutputOptions, ReadOptions
from thcli.media.info import MediaInfo
from thcli.pipeline.job.output_names import output_path
from thcli.pipeline.job.spans import least_frames

CLIP = MediaInfo(
    Path("in.mp4"), "video", frames=50, frames_exact=True, duration=Fraction(2), rate=Fraction(25)
)


def named(output: str, frames: int) -> str:
    return str(output_path(output, "in_edit", "in.mp4", CLIP, "edit", frames))


def test_one_image_for_several_frames_is_refused_before_any_work() -> None:
    with pytest.raises(UsageError, match="holds one image, and there is more than one frame"):
        named("x.png", 2)
    assert [named("x.png", frames) for frames in (0, 1)] == ["x.png", "x.png"]
    assert [named(name, 8) for name in ("x.mp4", "x/", "-")] == ["x.mp4", "x/", "-"]


def test_a_range_has_one_frame_or_several_by_its_time_stamps(tmp_path: Path) -> None:
    """Half of its share of the frames was taken for certain: 3 here, of a frame that is held."""
    path = tmp_path / "held.mp4"
    shades = [np.full((64, 64, 3), 8 * n, np.uint8) for n in range(24)]
    ticks = [*range(11), 61, *range(62, 74)]  # 25 a second, and two seconds of frame 10
    like = replace(CLIP, time_base=Fraction(1, 25), size=(64, 64))
    with media.write(path, (64, 64), like, OutputOptions()) as out:
        for shade, tick in zip(shades, ticks, strict=True):
            out.write(shade, tick, 1)
    info = media.probe(path, ReadOptions())
    assert (info.frames, info.frames_exact) == (24, True)
    ranges = {(0.4, 2.4): 1, (0.4, 2.5): 3, (0.3, 1.0): 3, (2.88, None): 2, (2.92, None): 1}
    for (start, end), count in ranges.items():
        span = ReadOptions(start=start, end=end)
        with media.read(path, span) as frames:
            assert len(list(frames)) == count
        assert least_frames(info, span) == (2 if count > 1 else 0), span
    for span in (ReadOptions(start=1.0, end=2.0), ReadOptions(start=9.0), ReadOptions(end=0.04)):
        assert least_frames(info, span) == 0
    assert least_frames(info, ReadOptions()) == 24
    assert least_frames(replace(info, frames_exact=False), ReadOptions()) == 0
    assert least_frames(replace(info, frames=None, frames_exact=False), ReadOptions(start=1.0)) == 0


def test_an_animation_may_hold_one_frame_over_a_range(tmp_path: Path) -> None:
    shades = [Pillow.new("L", (8, 8), 10 * n) for n in range(20)]
    file, times = tmp_path / "hold.gif", [5000, *[100] * 19]
    shades[0].save(file, save_all=True, append_images=shades[1:], duration=times)
    info = media.probe(file, ReadOptions())
    assert info.frames == least_frames(info, ReadOptions()) == 20
    assert least_frames(info, ReadOptions(end=2.0)) <= 1


def test_a_range_of_a_folder_has_its_images(tmp_path: Path) -> None:
    for n in range(10):
        Pillow.new("L", (8, 8), 10 * n).save(tmp_path / f"{n}.png")
    info = media.probe(tmp_path, ReadOptions())
    spans: list[tuple[float, float | None]] = [(0.1, None), (0.0, 0.2), (0.04, 0.05), (0.3, 0.33)]
    for start, end in [*spans, (0.05, 0.08), (0.2, 9.0), (9.0, None)]:
        span = ReadOptions(start=start, end=end)
        with media.read(tmp_path, span) as frames:
            assert least_frames(info, span) == len(list(frames)), span
