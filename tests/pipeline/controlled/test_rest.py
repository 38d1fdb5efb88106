"""Sliders and turns without a driver, on one, and on a source video."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.command_line import to_argv
from thcli import media
from thcli.cli.app import run
from thcli.core.options import (
    ExpressionOptions,
    OutputOptions,
    ReadOptions,
    ReenactOptions,
    ViewOptions,
)
from thcli.core.types import Array, Image
from thcli.motion.control.controls import Controls
from thcli.motion.file.reader import MotionFile
from thcli.pipeline.reenact import reenact
from thcli.pipeline.sources.rest_driver import write_rest_driver

pytestmark = pytest.mark.usefixtures("regions_once")
Clip = Callable[..., Path]
LOSSLESS = ReenactOptions(output=OutputOptions(codec="ffv1"))


def read_images(path: Path) -> list[Image]:
    with media.read(path) as frames:
        return [np.asarray(frame.pixels, np.uint8) for frame in frames]


def change(path: Path, portrait: Path) -> Array:
    """Return the mean difference of each pixel of an image from the portrait, (H, W)."""
    made = media.read_image(path).astype(int)
    return np.asarray(np.abs(made - media.read_image(portrait)).mean(-1))


def test_a_slider_moves_a_picture_without_a_driver(portrait: Path, tmp_path: Path) -> None:
    out = tmp_path / "smile.png"
    assert run(to_argv("reenact", portrait, "-o", out, "--smile 0.8 -q")) == 0
    moved = change(out, portrait)
    assert moved.shape == (256, 256)
    assert moved[110:160, 90:160].mean() > 2 and moved[:20].mean() < 0.5


@pytest.mark.parametrize("words", ["--expression happy", "--yaw -8"])
def test_a_picture_that_sliders_move_is_not_said_to_be_still(
    words: str, portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(to_argv("reenact", portrait, "-o", tmp_path / "out.png", words)) == 0
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize(("engine", "hint"), [("mesh", "--pose-file"), ("fomm", "x2face")])
def test_a_table_of_poses_is_no_driver(
    engine: str, hint: str, portrait: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(to_argv("reenact", portrait, "poses.csv --engine", engine)) == 2
    assert hint in capsys.readouterr().err


def test_a_face_at_rest_has_the_exact_rate_of_ntsc(portrait: Path, tmp_path: Path) -> None:
    options = ReenactOptions(output=OutputOptions(fps=29.97), read=ReadOptions(end=1.0))
    controls = Controls.read(ViewOptions(orbit=10.0), ExpressionOptions())
    rest = write_rest_driver(portrait, tmp_path / "o.mp4", options, controls, tmp_path)
    motion = MotionFile(rest.path)
    assert motion.time_base == Fraction(1001, 30000) and len(motion) == 30


def test_the_default_output_is_an_image_unless_something_moves(
    portrait: Path, tmp_path: Path
) -> None:
    source = tmp_path / "face.png"
    source.write_bytes(portrait.read_bytes())
    assert run(to_argv("reenact", source, "--expression happy -q")) == 0
    assert run(to_argv("reenact", source, "--orbit 15 --end 0.2 --fps 50 -q")) == 0
    assert media.probe(tmp_path / "face_posed.png").size == (256, 256)
    clip = media.probe(tmp_path / "face_posed.mp4")
    assert clip.frames == 11 and clip.rate == 50


def test_an_orbit_turns_to_both_sides_and_ends_where_it_began(
    portrait: Path, tmp_path: Path
) -> None:
    out = tmp_path / "orbit.mkv"
    options = replace(LOSSLESS, view=ViewOptions(orbit=20), read=ReadOptions(end=0.48))
    report = reenact(portrait, None, out, options)
    assert report.frames == 13
    made = [image.astype(int) for image in read_images(out)]
    assert np.abs(made[0] - made[-1]).mean() < 0.1
    assert min(np.abs(made[k] - made[0]).mean() for k in (3, 9)) > 3
    assert np.abs(made[3] - made[9]).mean() > 3


def test_keys_set_the_length_and_move_in_time(portrait: Path, tmp_path: Path) -> None:
    keys, out = tmp_path / "keys.txt", tmp_path / "out.mkv"
    keys.write_text("0 neutral smile=0\n0.4 smile=1 yaw=0\n", "utf-8")
    options = replace(LOSSLESS, expression=ExpressionOptions(keys=keys))
    assert reenact(portrait, None, out, options).frames == 11
    made = [image.astype(int) for image in read_images(out)]
    steps = [np.abs(image - made[0]).mean() for image in made]
    assert steps[1] < steps[5] < steps[10] and steps[10] > 0.5


def test_saved_motion_holds_the_sliders_and_drives_alike(
    portrait: Path, clip: Clip, tmp_path: Path
) -> None:
    drive, motion = clip("eight.mp4", 8), tmp_path / "kept.motion.safetensors"
    expression = ExpressionOptions(smile=0.7, gaze="15,0")
    options = replace(LOSSLESS, mouth="synthetic", expression=expression, view=ViewOptions(yaw=8))
    reenact(portrait, drive, tmp_path / "a.mkv", replace(options, save_motion=motion))
    kept = MotionFile(motion).window(0, 8).arrays
    smile, turn = (np.asarray(kept[name], np.float64) for name in ("slider_smile", "turn"))
    np.testing.assert_allclose(smile, 0.7, atol=1e-6)
    np.testing.assert_allclose(turn, [[0, 8, 0]] * 8)
    reenact(portrait, motion, tmp_path / "b.mkv", replace(LOSSLESS, mouth="synthetic"))
    for a, b in zip(read_images(tmp_path / "a.mkv"), read_images(tmp_path / "b.mkv"), strict=True):
        assert np.array_equal(a, b)
    reenact(portrait, drive, tmp_path / "c.mkv", replace(LOSSLESS, mouth="synthetic"))
    plain, turned = (read_images(tmp_path / f"{name}.mkv")[3].astype(int) for name in "ca")
    assert np.abs(plain - turned).mean() > 2


def test_a_source_video_keeps_its_frames_but_for_the_slider(clip: Clip, tmp_path: Path) -> None:
    source, out = clip("eight.mp4", 8), tmp_path / "out.mkv"
    options = replace(LOSSLESS, expression=ExpressionOptions(smile=0.8))
    report = reenact(source, None, out, options)
    assert report.frames == 8 and report.details["source"] == "video"
    for made, own in zip(read_images(out), read_images(source), strict=True):
        moved = np.abs(made.astype(int) - own).mean(-1)
        assert moved.max() > 20 and moved[:40].mean() < 1.5


LINES = {
    "reenact PORTRAIT -o OUT.png": "Nothing moves the face",
    "reenact PORTRAIT -o OUT.png --orbit 9": "OUT.png is one image, but --orbit",
    "reenact PORTRAIT -o OUT.mp4 --smile 1 --strength 0.5": "--strength has no effect without a",
    "reenact PORTRAIT -o OUT.mp4 --smile 1 --motion absolute": "--motion has no effect without a",
    "reenact PORTRAIT -o OUT.mp4 --engine fomm": "The engine fomm needs a driver",
    "reenact PORTRAIT -o OUT.mp4 --engine facevid2vid --yaw 9": "facevid2vid needs a driver",
    "reenact PORTRAIT CLIP -o OUT.mp4 --engine fomm --smile 1": "--smile has no effect with engine",
    "reenact PORTRAIT CLIP -o OUT.mp4 --gaze 99,0": "--gaze must be X,Y in degrees",
    "reenact PORTRAIT CLIP -o OUT.mp4 --expression bored": "no expression 'bored'",
    "speak CLIP CLIP -o OUT.mp4 --smile 1": "--smile has no effect on",
}


@pytest.mark.parametrize("line", LINES)
def test_what_cannot_be_done_is_refused(
    line: str, portrait: Path, clip: Clip, tmp_path: Path, capsys: Any
) -> None:
    words = {"PORTRAIT": portrait, "CLIP": clip("eight.mp4", 8), "OUT": tmp_path / "OUT"}
    text = line
    for word, path in words.items():
        text = text.replace(word, str(path))
    assert run(text.split()) == 2
    assert re.search(LINES[line], capsys.readouterr().err.replace("\n", " "))
    assert not list(tmp_path.glob("OUT*"))
