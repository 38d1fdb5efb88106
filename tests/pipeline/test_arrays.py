"""Verbs on arrays: kinds of input, exact pixels, time stamps, errors."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thcli
from tests.pipeline.conftest import Clip
from tests.pipeline.face_clip import SIZE

pytestmark = pytest.mark.usefixtures("regions_once")
PLAIN = thcli.RunOptions(device="cpu", threads=1)


def noise(count: int, side: int = 16, dtype: type = np.uint8) -> list[Any]:
    random = np.random.default_rng(5)
    return [random.integers(0, np.iinfo(dtype).max, (side, side, 3), dtype) for _ in range(count)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_survive_a_lossless_video_exactly(tmp_path: Path, dtype: type) -> None:
    images = noise(4, dtype=dtype)
    options = thcli.OutputOptions(codec="ffv1")
    assert thcli.write_frames(tmp_path / "a.mkv", images, options, fps=30) == 4
    frames = list(thcli.read_frames(tmp_path / "a.mkv"))
    assert [frame.pts * frame.time_base for frame in frames] == pytest.approx(
        [Fraction(k, 30) for k in range(4)], abs=1e-3
    )
    for image, frame in zip(images, frames, strict=True):
        np.testing.assert_array_equal(image, frame.pixels)


def test_frames_keep_their_own_time_stamps(tmp_path: Path) -> None:
    stamps = (0, 40, 130, 150)
    frames = [
        thcli.Frame(image, pts, Fraction(1, 1000), index)
        for index, (pts, image) in enumerate(zip(stamps, noise(4), strict=True))
    ]
    thcli.write_frames(tmp_path / "a.mkv", frames, thcli.OutputOptions(codec="ffv1"))
    read = thcli.read_frames(tmp_path / "a.mkv")
    assert [round(frame.pts * frame.time_base * 1000) for frame in read] == list(stamps)


def test_an_empty_iterator_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(thcli.OutputError, match="no frame"):
        thcli.write_frames(tmp_path / "a.mkv", iter(()))
    assert not list(tmp_path.iterdir())


def test_reenact_on_arrays_gives_the_frames_of_the_files(
    portrait: Path, clip: Clip, tmp_path: Path
) -> None:
    drive = clip("arrays.mp4", 6)
    options = thcli.ReenactOptions(
        output=thcli.OutputOptions(codec="ffv1", audio="none"), run=PLAIN
    )
    thcli.reenact(portrait, drive, tmp_path / "out.mkv", options)
    expected = [frame.pixels for frame in thcli.read_frames(tmp_path / "out.mkv")]
    driving = (frame.pixels for frame in thcli.read_frames(drive))
    events: list[thcli.Event] = []
    made = list(
        thcli.iterate(
            thcli.reenact,
            thcli.read_image(portrait),
            driving,
            options=options,
            fps=25,
            on=events.append,
        )
    )
    assert len(made) == 6 and any(isinstance(event, thcli.Step) for event in events)
    assert [frame.pts * frame.time_base for frame in made] == pytest.approx(
        [k / 25 for k in range(6)], abs=1e-3
    )
    for image, frame in zip(expected, made, strict=True):
        np.testing.assert_array_equal(image, frame.pixels)


def test_stages_and_sounds_take_arrays_too(portrait: Path, clip: Clip) -> None:
    crops = thcli.iterate(
        thcli.crop,
        (frame for frame in thcli.read_frames(clip("arrays.mp4", 6))),
        options=thcli.CropOptions(template=thcli.TemplateOptions(size=64)),
    )
    assert [frame.pixels.shape for frame in crops] == [(64, 64, 3)] * 6
    tone = (0.2 * np.sin(np.arange(8000) / 5)).astype(np.float32)
    said = list(thcli.iterate(thcli.speak, thcli.read_image(portrait), (tone, 16000)))
    assert len(said) in (12, 13) and said[0].pixels.shape == (256, 256, 3)


def test_a_closed_iterator_leaves_no_files(
    portrait: Path, clip: Clip, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    frames: Iterator[thcli.Frame] = thcli.iterate(thcli.reenact, portrait, clip("arrays.mp4", 6))
    assert next(frames).size == (256, 256)
    assert list(tmp_path.iterdir())
    frames.close()  # type: ignore[attr-defined]  # a generator
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (np.zeros((4, 4), np.uint8), r"\(4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((2, 4, 4, 1), np.uint8), r"\(2, 4, 4, 1\)"),
        (7, "int"),
        ((np.zeros((2, 5), np.float32), 16000), r"\(2, 5\)"),
    ],
)
def test_other_inputs_are_refused_by_name(value: Any, named: str) -> None:
    with pytest.raises(thcli.UsageError, match=named):
        next(thcli.iterate(thcli.reenact, value, value))


def test_iterate_without_a_verb_says_so() -> None:
    with pytest.raises(thcli.UsageError, match="verb, not a str"):
        next(thcli.iterate("face.jpg", "drive.mp4"))


def test_a_video_is_one_array_or_a_list_of_images() -> None:
    def copy(path: str, output: Path, options: thcli.CropOptions, on: Any) -> None:
        thcli.write_frames(output, thcli.read_frames(path), options.output)

    images = noise(3)
    for video in (images, np.stack(images)):
        made = thcli.iterate(copy, video, options=thcli.CropOptions())
        np.testing.assert_array_equal([frame.pixels for frame in made], images)


def test_a_dry_run_has_no_frames(portrait: Path) -> None:
    options = thcli.ReenactOptions(dry_run=True)
    with pytest.raises(thcli.UsageError, match="no frames"):
        next(thcli.iterate(thcli.reenact, portrait, portrait, options=options))


@pytest.mark.parametrize("verb", ["reenact", "speak", "warp"])
def test_a_verb_honours_a_dry_run_by_itself(
    verb: str, portrait: Path, clip: Clip, tmp_path: Path
) -> None:
    drive, out = clip("toned.mp4", 30, tone=True), tmp_path / "out.mp4"
    options: Any = {
        "reenact": thcli.ReenactOptions,
        "speak": thcli.SpeakOptions,
        "warp": thcli.WarpOptions,
    }[verb](dry_run=True, run=PLAIN)
    if verb == "warp":
        drive = tmp_path / "m.motion.safetensors"
        thcli.encode(clip("toned.mp4", 30, tone=True), drive)
    report = getattr(thcli, verb)(portrait, drive, out, options)
    assert report.details["dry_run"] and report.details["would_make"] in (30, 31)
    assert report.command == verb and not out.exists()


def test_the_size_of_the_clip_is_that_of_its_frames(clip: Clip) -> None:
    assert next(thcli.read_frames(clip("arrays.mp4", 6))).size == (SIZE, SIZE)
