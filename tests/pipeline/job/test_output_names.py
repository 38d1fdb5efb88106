"""Output names that cannot hold the result."""

from __future__ import annotations

from pathlib import Path

import pytest

from thcli.core.errors import UsageError
from thcli.core.options import ReadOptions
from thcli.media.info import MediaInfo
from thcli.pipeline.job.output_names import output_path


def named(output: str, read: ReadOptions | None, frames: int = 8, *, exact: bool = True) -> str:
    info = MediaInfo(Path("in.mp4"), "video", frames=frames, frames_exact=exact)
    return str(output_path(output, "in_edit", "in.mp4", info, "edit", read))


def test_one_image_for_a_video_is_refused_before_any_work() -> None:
    whole = ReadOptions()
    with pytest.raises(UsageError, match="holds one image, and there is more than one frame"):
        named("x.png", whole)
    assert named("x.png", whole, 1) == "x.png"
    for part in (ReadOptions(start=0.1), ReadOptions(end=0.04), None):
        assert named("x.png", part) == "x.png"
    assert named("x.png", whole, exact=False) == "x.png"
    assert [named(name, whole) for name in ("x.mp4", "x/", "-")] == ["x.mp4", "x/", "-"]
