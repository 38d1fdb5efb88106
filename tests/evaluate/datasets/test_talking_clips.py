"""Tests of the choice of talking clips."""

from __future__ import annotations

from pathlib import Path

from thcli.evaluate.datasets.talking_clips import subsample_clips


def test_clips_per_speaker_are_limited() -> None:
    clips = [
        (Path(f"{speaker}{i}"), speaker)
        for speaker, count in (("a", 9), ("b", 2))
        for i in range(count)
    ]
    selected = subsample_clips(clips, 3)
    assert [path.name for path, _ in selected] == ["a0", "a4", "a8", "b0", "b1"]
