"""Reenactment of a source video: kept frames, synchronisation, audio; with a fake engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from thcli import media
from thcli.core.errors import NoFaceError, UsageError
from thcli.core.events import Warned
from thcli.core.options import (
    MeshOptions,
    MotionOptions,
    OutputOptions,
    ReadOptions,
    ReenactOptions,
    RunOptions,
    Template,
)
from thcli.core.protocols import MotionStore, VideoSourceEngine
from thcli.core.types import Face, Frame, Image, Motion
from thcli.engines.backends import ENGINES
from thcli.pipeline.reenact import reenact
from thcli.weights.backend import Backend

pytestmark = pytest.mark.usefixtures("regions_once")
Clip = Callable[..., Path]
SIDE = 96
PLAIN = ReenactOptions(engine="shade", output=OutputOptions(codec="ffv1"))


@dataclass(frozen=True)
class ShadedMotion:
    """The source's motion with the driver's shade at the same time."""

    own: MotionStore
    driving: MotionStore
    kind: str = "shade-followed"

    def __len__(self) -> int:
        return len(self.own)

    def window(self, start: int, stop: int) -> Motion:
        own, driving = self.own.window(start, stop), self.driving.window(0, len(self.driving))
        begin = self.own.window(0, 1).pts[0]
        seconds = (own.pts - begin) * float(own.time_base)
        times = (driving.pts - driving.pts[0]) * float(driving.time_base)
        shade = np.asarray(driving.arrays["shade"], np.float64)
        return replace(own, arrays={"shade": np.interp(seconds, times, shade)})


class ShadeEngine:
    """An engine that subtracts the driver's shade from the red of each source crop.

    The shade of a driving frame is twice its number. rendered_crops: input of the last job.
    """

    motion_kind = "shade"
    crop_size = SIDE
    template: Template = "square"
    parallel = False
    mask = None
    rendered_crops: list[Image] = []
    broken: int | None = None  # number of the frame that fails

    def encode_source(self, image: Image, face: Face) -> Any:
        raise AssertionError("a video is not encoded as an image")

    def observe(self, frames: Sequence[Frame], faces: Sequence[Face | None]) -> Motion:
        pts = np.array([f.pts for f in frames], np.int64)
        shade = np.array([2 * f.index for f in frames], np.float32)
        return Motion(
            "shade",
            pts,
            frames[0].time_base,
            np.array([f is not None for f in faces]),
            {"shade": shade},
        )

    def retarget(self, source: Any, motion: MotionStore, options: MotionOptions) -> MotionStore:
        raise AssertionError("a video is not retargeted")

    def reads_driver(self, source: Any, motion: MotionStore) -> bool:
        return False

    def render(self, source: Any, motion: Motion, frames: Sequence[Frame] | None) -> list[Image]:
        raise AssertionError("a video is rendered by crops")

    def transfer_motion(
        self, own: MotionStore, driving: MotionStore, options: MotionOptions
    ) -> MotionStore:
        return ShadedMotion(own, driving)

    def encode_video(self, own: MotionStore, frames: Iterable[Frame]) -> None:
        pass

    def render_frames(self, source: None, images: Sequence[Image], motion: Motion) -> list[Image]:
        crops = images
        assert len(crops) == len(motion) and all(crop.shape == (SIDE, SIDE, 3) for crop in crops)
        if self.broken is not None and self.broken * Fraction(1, 25) in [
            int(t) * motion.time_base for t in motion.pts
        ]:
            raise cv2.error("degenerate")
        ShadeEngine.rendered_crops += list(crops)
        shades = np.asarray(motion.arrays["shade"], np.float64)
        return [
            np.clip(c - np.array([s, 0, 0]).round(), 0, 255).astype(np.uint8)
            for c, s in zip(crops, shades, strict=True)
        ]


def load(run: RunOptions, options: ReenactOptions | None = None) -> ShadeEngine:
    ShadeEngine.rendered_crops = []
    return ShadeEngine()


@pytest.fixture(autouse=True)
def shade(monkeypatch: Any) -> None:
    monkeypatch.setitem(ENGINES.rows, "shade", Backend(f"{__name__}:load", "a fake"))


def read_frames(path: Path, read: ReadOptions | None = None) -> list[Frame]:
    with media.read(path, read or ReadOptions()) as frames:
        return list(frames)


def loss_of_red(made: Frame, own: Frame) -> float:
    """Return the mean loss of red in the middle of the face, in levels."""
    less = own.pixels[..., 0].astype(int) - made.pixels[..., 0]
    return float(less[80:110, 80:110].mean())


def seconds(frames: Sequence[Frame]) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in frames]


def test_the_fake_is_a_video_source_engine() -> None:
    assert isinstance(ShadeEngine(), VideoSourceEngine)


def test_frames_time_stamps_and_size_are_of_the_source(clip: Clip, tmp_path: Path) -> None:
    """Each frame of a source with uneven time stamps has the driver's motion of the same time."""
    uneven = [0, 40, 130, 160, 250, 280, 400, 410, 500, 590]
    source, drive = clip("uneven.mp4", 10, pts=uneven), clip("plain.mp4", 24)
    report = reenact(source, drive, tmp_path / "out.mkv", PLAIN)
    made, own = read_frames(tmp_path / "out.mkv"), read_frames(source)
    assert (report.frames, report.failed, report.passed_through, report.faces) == (10, 0, 0, 1)
    assert [round(s * 1000) for s in seconds(made)] == uneven
    assert made[0].size == own[0].size
    losses = [loss_of_red(a, b) for a, b in zip(made, own, strict=True)]
    np.testing.assert_allclose(losses, [2 * t / 40 for t in uneven], atol=1.1)
    assert all(np.array_equal(a.pixels[:4], b.pixels[:4]) for a, b in zip(made, own, strict=True))


@pytest.mark.parametrize(("source", "drive"), [(24, 10), (10, 24), (10, 10)])
def test_it_ends_with_the_shorter_clip(clip: Clip, tmp_path: Path, source: int, drive: int) -> None:
    out = tmp_path / "out.mkv"
    report = reenact(clip(f"s{source}.mp4", source), clip(f"d{drive}.mp4", drive), out, PLAIN)
    assert report.frames == len(read_frames(out)) == 10


def test_an_image_drives_the_whole_clip(clip: Clip, portrait: Path, tmp_path: Path) -> None:
    source = clip("s10.mp4", 10)
    seen: list[object] = []
    assert reenact(source, portrait, tmp_path / "out.mkv", PLAIN, seen.append).frames == 10
    warnings = [event.message for event in seen if isinstance(event, Warned)]
    assert any("give it first: thcli reenact" in message for message in warnings)
    part = replace(PLAIN, read=ReadOptions(start=0.12, end=0.24))
    assert reenact(source, portrait, tmp_path / "part.mkv", part).frames == 3
    own = read_frames(source)
    for made, there in (
        (read_frames(tmp_path / "out.mkv"), own),
        (read_frames(tmp_path / "part.mkv"), own[3:6]),
    ):
        assert max(abs(loss_of_red(a, b)) for a, b in zip(made, there, strict=True)) < 1


def test_frames_without_the_face_pass_through(clip: Clip, tmp_path: Path) -> None:
    source = clip("away.mp4", 30, without=range(10, 20))
    report = reenact(source, clip("d30.mp4", 30), tmp_path / "out.mkv", PLAIN)
    made, own = read_frames(tmp_path / "out.mkv"), read_frames(source)
    assert (report.frames, report.passed_through) == (30, 10) and len(
        ShadeEngine.rendered_crops
    ) == 20
    same = [np.array_equal(a.pixels, b.pixels) for a, b in zip(made, own, strict=True)]
    assert all(same[10:20]) and not any(same[1:10]) and not any(same[20:])


def test_batch_size_does_not_change_the_pixels(clip: Clip, tmp_path: Path) -> None:
    source, drive = clip("s10.mp4", 10), clip("plain.mp4", 24)
    outs = []
    for batch in (1, 4):
        out = tmp_path / f"{batch}.mkv"
        reenact(source, drive, out, replace(PLAIN, run=RunOptions(batch_size=batch)))
        outs.append(read_frames(out))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(*outs, strict=True))


def test_a_frame_that_fails_shows_the_source(clip: Clip, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(ShadeEngine, "broken", 5)
    source = clip("s10.mp4", 10)
    report = reenact(source, clip("plain.mp4", 24), tmp_path / "out.mkv", PLAIN)
    made, own = read_frames(tmp_path / "out.mkv"), read_frames(source)
    same = [np.array_equal(a.pixels, b.pixels) for a, b in zip(made, own, strict=True)]
    assert report.failed == 1 and [i for i in range(1, 10) if same[i]] == [5]


def test_framing_crop_outputs_the_crops(clip: Clip, tmp_path: Path) -> None:
    source = clip("away.mp4", 30, without=range(10, 20))
    out = tmp_path / "out.mkv"
    reenact(source, clip("plain.mp4", 24), out, replace(PLAIN, framing="crop"))
    assert [f.size for f in read_frames(out)] == [(SIDE, SIDE)] * 24


def test_source_time_takes_one_frame_as_the_source_image(clip: Clip, tmp_path: Path) -> None:
    """The fake engine raises when it encodes an image."""
    with pytest.raises(AssertionError, match="not encoded"):
        reenact(
            clip("s10.mp4", 10),
            clip("plain.mp4", 24),
            tmp_path / "o.mkv",
            replace(PLAIN, source_time=0.1),
        )


@pytest.mark.parametrize(
    ("drive", "audio", "sound"),
    [
        ("tone", "drive", True),
        ("plain", "drive", False),
        ("plain", "source", False),
        ("tone", "none", False),
    ],
)
def test_the_audio_is_of_the_driver(
    clip: Clip, tmp_path: Path, drive: str, audio: str, sound: bool
) -> None:
    source = clip("s10.mp4", 10)
    driver = clip("tone.mp4", 24, tone=True) if drive == "tone" else clip("plain.mp4", 24)
    out = tmp_path / "out.mp4"
    reenact(source, driver, out, replace(PLAIN, output=OutputOptions(audio=audio)))
    info = media.probe(out)
    assert bool(info.audio) == sound
    assert info.duration is not None and info.duration < Fraction(1, 2)


def test_a_range_of_the_driver_cuts_its_audio(clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    options = replace(PLAIN, output=OutputOptions(), read=ReadOptions(start=0.4, end=0.8))
    report = reenact(clip("plain.mp4", 24), clip("tone.mp4", 24, tone=True), out, options)
    assert report.frames == 10
    with av.open(str(out)) as made:
        times = [
            float(packet.pts * packet.time_base)
            for packet in made.demux(audio=0)
            if packet.pts is not None
        ]
    assert -0.1 < times[0] < 0.1 and 0.2 < times[-1] < 0.4


def test_a_driver_without_audio_leaves_the_audio_of_the_source(clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    reenact(
        clip("tone.mp4", 24, tone=True),
        clip("s10.mp4", 10),
        out,
        replace(PLAIN, output=OutputOptions()),
    )
    info = media.probe(out)
    assert info.audio and info.duration is not None and info.duration < Fraction(6, 10)


def test_unsupported_sources_and_options_are_rejected(clip: Clip, tmp_path: Path) -> None:
    source, drive, out = clip("s10.mp4", 10), clip("plain.mp4", 24), tmp_path / "out.mkv"
    with pytest.raises(UsageError, match="--long-side"):
        reenact(source, drive, out, replace(PLAIN, mesh=MeshOptions(long_side=128)))
    with pytest.raises(NoFaceError):
        reenact(clip("wall.mp4", 5, without=range(5)), drive, out, PLAIN)
    assert not out.exists()


@pytest.mark.parametrize(("drive", "frames"), [("d10.mp4", 10), ("long.mp4", 50), ("picture", 50)])
def test_a_dry_run_counts_the_sources_frames(
    clip: Clip, portrait: Path, drive: str, frames: int
) -> None:
    driver = portrait if drive == "picture" else clip(drive, 10 if drive == "d10.mp4" else 60)
    report = reenact(clip("s50.mp4", 50), driver, None, replace(PLAIN, dry_run=True))
    assert report.details["would_make"] == frames
    assert report.output is not None and report.output.suffix == ".mp4"
    assert not report.output.exists()
