"""`thcli edit` of 10-bit and anamorphic videos, whole and resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.editing.fakes import (
    MIDDLE,
    Clip,
    GreenPainter,
    interrupt_paint,
    read_frames,
    run_edit,
)
from tests.pipeline.sources.squeezed import squeeze
from thcli import media
from thcli.core.options import OutputOptions

pytestmark = pytest.mark.usefixtures("fakes")


def _deepen(path: Path, clip: Path) -> Path:
    """Write a clip as H.265 of 10 bits, with a ramp in the two bits that 8 bits do not hold."""
    with media.read(clip) as frames:
        like = replace(frames.info, bit_depth=10)
        with media.write(path, like.size, like, OutputOptions(codec="h265", crf=4)) as writer:
            for frame in frames:
                deep = frame.pixels.astype(np.uint16) * 256
                deep += np.arange(deep.shape[1], dtype=np.uint16)[:, None] % 4 * 64
                writer.write(deep, frame.pts, frame.duration)
    return path


@pytest.mark.parametrize(("suffix", "codec", "depth"), [(".mkv", "ffv1", 16), (".mp4", "h265", 10)])
def test_ten_bits_are_kept(clip: Clip, tmp_path: Path, suffix: str, codec: str, depth: int) -> None:
    source, out = _deepen(tmp_path / "deep.mp4", clip("plain6.mp4", 6)), tmp_path / f"a{suffix}"
    assert media.probe(source).bit_depth == 10
    quality = () if codec == "ffv1" else ("--crf", "4")
    assert run_edit(source, out, "--codec", codec, *quality) == 0
    assert media.probe(out).bit_depth == depth
    for made, own in zip(read_frames(out), read_frames(source), strict=True):
        assert made.pixels.dtype == own.pixels.dtype == np.uint16
        lost = (own.pixels.astype(int) - made.pixels) / 257  # levels of 8 bits
        assert abs(lost[MIDDLE, MIDDLE, 1].mean() - 30) < 2
        assert np.abs(lost[:6]).max() <= (0 if codec == "ffv1" else 4)
        assert len(np.unique(made.pixels[:6])) > 256  # finer than 8 bits


def test_a_resumed_edit_of_an_anamorphic_video_equals_a_whole_one(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thcli.media.writing.segments.SEGMENT_FRAMES", 4)
    source = squeeze(tmp_path / "s.mp4", clip("twelve.mp4", 12))
    lossless = ("--codec", "h264", "--crf", "0", "--batch-size", "1")
    assert run_edit(source, tmp_path / "one.mp4", "--resume", *lossless) == 0
    with monkeypatch.context() as patch:
        interrupt_paint(patch, after=10)
        assert run_edit(source, tmp_path / "out.mp4", "--resume", *lossless) == 130
    GreenPainter.seen.clear()
    assert run_edit(source, tmp_path / "out.mp4", "--resume", *lossless) == 0
    assert 0 < len(GreenPainter.seen) < 12  # written frames are not rendered again
    info = media.probe(tmp_path / "out.mp4")
    assert info.sar == 2 and info.size == (96, 192)
    whole, resumed = read_frames(tmp_path / "one.mp4"), read_frames(tmp_path / "out.mp4")
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(whole, resumed, strict=True))
