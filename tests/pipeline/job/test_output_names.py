"""Output names that cannot hold the result."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image as Pillow

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.options import ReadOptions
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


def test_a_range_surely_has_half_of_its_share_of_the_frames() -> None:
    ranges = {(0.0, None): 50, (1.0, None): 12, (0.0, 1.0): 12, (0.5, 0.54): 0, (3.0, None): 0}
    for (start, end), least in ranges.items():
        assert least_frames(CLIP, ReadOptions(start=start, end=end)) == least
    assert least_frames(replace(CLIP, frames_exact=False), ReadOptions()) == 0
    assert least_frames(replace(CLIP, frames=None), ReadOptions(start=1.0)) == 0


def test_an_animation_may_hold_one_frame_over_a_range(tmp_path: Path) -> None:
    shades = [Pillow.new("L", (8, 8), 10 * n) for n in range(20)]
    file, times = tmp_path / "hold.gif", [5000, *[100] * 19]
    shades[0].save(file, save_all=True, append_images=shades[1:], duration=times)
    info = media.probe(file, ReadOptions())
    assert info.frames == least_frames(info, ReadOptions()) == 20
    assert least_frames(info, ReadOptions(end=2.0)) <= 1
