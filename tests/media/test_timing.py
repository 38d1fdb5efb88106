"""Time stamps and frame rates of outputs."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.media.clips as clips
from thcli import media
from thcli.media.writing.timing import Timeline, exact_frame_rate


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=12),
    st.integers(0, 100000),
    st.sampled_from(
        [
            Fraction(1, 90000),
            Fraction(1, 12800),
            Fraction(1001, 30000),
            Fraction(1, 1000),
            Fraction(1, 1000000),
        ]
    ),
)
def test_time_stamps_are_exact(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[int], begin: int, time_base: Fraction
) -> None:
    folder = tmp_path_factory.mktemp("times")
    stamps = [begin + sum(gaps[:index]) for index in range(len(gaps))]
    for suffix in (".mp4", ".mov", ".nut"):
        with media.write(
            folder / f"out{suffix}",
            (16, 16),
            plan=media.WritePlan(time_base=time_base, rate=Fraction(25)),
        ) as writer:
            for pts in stamps:
                writer.write(np.zeros((16, 16, 3), np.uint8), pts)
        found = [frame.pts * frame.time_base for frame in media.read(folder / f"out{suffix}")]
        assert found == [pts * time_base for pts in stamps], suffix


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".ts", ".avi", ".flv"])
def test_coarse_containers_round_time_stamps(tmp_path: Path, suffix: str) -> None:
    stamps = [0, 3003, 6006, 12012, 15015, 24024]
    with media.write(
        tmp_path / f"out{suffix}",
        (64, 64),
        plan=media.WritePlan(time_base=Fraction(1, 90000), rate=Fraction(30000, 1001)),
    ) as writer:
        for pts in stamps:
            writer.write(np.zeros((64, 64, 3), np.uint8), pts, 3003)
    found = [frame.pts * frame.time_base for frame in media.read(tmp_path / f"out{suffix}")]
    off = [float(a - found[0] - Fraction(b, 90000)) for a, b in zip(found, stamps, strict=True)]
    assert max(map(abs, off)) < 0.0011


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=40),
    st.sampled_from([12.0, 23.976, 25.0, 30.0, 60.0]),
)
def test_resampling_shows_the_nearest_frame_at_every_tick(gaps: list[int], fps: float) -> None:
    stamps = [sum(gaps[:index]) for index in range(len(gaps))]
    rate, base = exact_frame_rate(fps), Fraction(1, 1000)
    timeline: Timeline[int] = Timeline(base, 1 / rate, rate, False)
    found = [
        item for index, pts in enumerate(stamps) for item in timeline.push(index, pts, gaps[index])
    ]
    found += list(timeline.end())
    assert [tick for _, tick, _ in found] == list(range(len(found)))
    for index, tick, _ in found:
        distance = [abs(pts * base - tick / rate) for pts in stamps]
        assert distance[index] == min(distance)
    assert abs(len(found) - (stamps[-1] + gaps[-1]) * base * rate) <= 1


def test_fps_gives_a_constant_rate_and_the_same_duration(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4", clips.ClipSpec(vfr=True, count=20))
    *_, last = media.read(tmp_path / "in.mp4")
    length = last.pts * last.time_base + (last.duration * last.time_base or Fraction(1, 25))
    for fps in (10.0, 29.97):
        clips.transcode(tmp_path / "in.mp4", tmp_path / "out.mp4", fps=fps, overwrite=True)
        info = media.probe(tmp_path / "out.mp4")
        found = clips.packet_times(tmp_path / "out.mp4")
        assert {b - a for a, b in itertools.pairwise(found)} == {1 / exact_frame_rate(fps)}
        assert info.duration is not None and abs(info.duration - length) <= 1 / exact_frame_rate(
            fps
        )
