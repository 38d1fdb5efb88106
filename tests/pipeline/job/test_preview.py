"""--preview: the first seconds, small."""

from __future__ import annotations

from pathlib import Path

import pytest

import thcli
from tests.pipeline.conftest import Clip
from thcli import media
from thcli.core.errors import UsageError
from thcli.core.options import (
    AudioOptions,
    EditOptions,
    FootageOptions,
    OutputOptions,
    ReadOptions,
    ReenactOptions,
    SpeakOptions,
)
from thcli.core.types import Image
from thcli.pipeline.job.preview import limit_preview


def test_ranges_are_cut_and_kept() -> None:
    assert limit_preview(EditOptions(preview=True)).read.end == 3
    late = EditOptions(preview=True, read=ReadOptions(start=10, end=11))
    assert limit_preview(late).read == late.read
    spoken = limit_preview(SpeakOptions(preview=True, sound=AudioOptions(start=2)))
    assert (spoken.sound.end, spoken.read.end, spoken.output.longest) == (5, None, 480)
    plain = ReenactOptions()
    assert limit_preview(plain) is plain
    once = limit_preview(ReenactOptions(preview=True))
    assert limit_preview(once) == once


def test_frames_beyond_the_speech_exclude_it() -> None:
    with pytest.raises(UsageError, match="--preview has no effect with --pad"):
        limit_preview(SpeakOptions(preview=True, footage=FootageOptions(pad=True)))


def test_a_preview_is_small_and_has_a_name_of_its_own(
    portrait: Path, clip: Clip, tmp_path: Path, empty_wall: Image
) -> None:
    drive = tmp_path / "drive.mp4"
    drive.write_bytes(clip("preview-4.mp4", 4).read_bytes())
    wide = tmp_path / "wide.png"
    picture = thcli.read_image(portrait).repeat(3, 0).repeat(3, 1)
    thcli.write_frames(wide, [picture])
    report = thcli.reenact(wide, drive, options=ReenactOptions(preview=True))
    assert report.output == tmp_path / "wide_drive_preview.mp4" and report.frames == 4
    assert media.probe(tmp_path / "wide_drive_preview.mp4").size == (480, 480)
    plan = thcli.reenact(
        wide, drive, options=ReenactOptions(dry_run=True, output=OutputOptions(share=True))
    )
    assert plan.output == tmp_path / "wide_drive.mp4"
    again = ReenactOptions(dry_run=True, preview=True, output=OutputOptions(overwrite=True))
    assert thcli.reenact(wide, drive, options=again).output == report.output
