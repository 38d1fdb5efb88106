"""`thcli reenact`: frames, time stamps, audio; independence of batches, threads and storage."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.command_line import to_argv
from thcli import media
from thcli.cli.app import run
from thcli.core.events import Event, Warned
from thcli.core.options import Mouth, OutputOptions, ReadOptions, ReenactOptions, RunOptions
from thcli.engines.mesh.mouth import mouth_choice
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.media.info import Colour
from thcli.pipeline.reenact import reenact

pytestmark = pytest.mark.usefixtures("regions_once")
Clip = Callable[..., Path]
LOSSLESS = ReenactOptions(output=OutputOptions(codec="ffv1"))


def read_images(path: Path) -> list[np.ndarray[Any, Any]]:
    with media.read(path) as frames:
        return [frame.pixels for frame in frames]


def time_stamps(path: Path) -> list[float]:
    with media.read(path) as frames:
        return [frame.seconds for frame in frames]


def test_one_frame_out_for_each_in(portrait: Path, clip: Clip, tmp_path: Path, capsys: Any) -> None:
    times = [0, 40, 90, 130, 200, 240, 300, 340, 380, 460]
    drive, out = clip("vfr.mp4", 10, pts=times, tone=True), tmp_path / "out.mp4"
    assert run(["reenact", str(portrait), str(drive), "-o", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["faces"], report["passed_through"], report["failed"]) == (
        10,
        1,
        0,
        0,
    )
    assert report["output"] == str(out) and report["engine"] == "mesh" and report["warnings"] == []
    assert time_stamps(out) == pytest.approx([t / 1000 for t in times])
    info = media.probe(out)
    assert info.size == (256, 256)
    assert len(info.audio) == 1
    assert "synthetic" in info.metadata["comment"]
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_the_face_moves_and_the_border_does_not(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    reenact(portrait, clip("plain.mp4", 24), out, replace(LOSSLESS, camera="still"))
    made, still = read_images(out), media.read_image(portrait)
    moved = np.abs(made[5].astype(int) - still).mean(-1)  # the clip shows the portrait's pose later
    assert moved[60:180, 60:180].mean() > 3
    assert moved[-12:, :].mean() < 1.5


def test_the_picture_follows_the_camera(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    """The clip is one photograph that moves as a whole."""
    out = tmp_path / "out.mkv"
    reenact(portrait, clip("plain.mp4", 24), out, LOSSLESS)
    made, still = read_images(out), media.read_image(portrait)
    assert np.abs(made[-1].astype(int) - still)[-12:].mean() > 10


@pytest.mark.parametrize(
    ("face", "moved"), [("0", (True, False)), ("1", (False, True)), ("all", (True, True))]
)
def test_source_face_selects_the_face_that_moves(
    clip: Clip, tmp_path: Path, face: str, moved: tuple[bool, bool]
) -> None:
    one, source, out = photograph()[10:266, 95:351], tmp_path / "two.png", tmp_path / "out.mkv"
    save_image(source, np.concatenate([one, one], 1))
    options = replace(LOSSLESS, source_face=face, read=ReadOptions(end=0.4))
    assert reenact(source, clip("plain.mp4", 24), out, options).frames == 10
    change = np.abs(read_images(out)[-1].astype(int) - media.read_image(source)).mean(-1)
    centres = change[110:150, 95:145], change[110:150, 351:401]
    assert tuple(bool(centre.mean() > 2) for centre in centres) == moved


def test_batch_size_and_threads_do_not_change_the_pixels(
    portrait: Path, clip: Clip, tmp_path: Path
) -> None:
    drive, options = clip("plain.mp4", 24), replace(LOSSLESS, read=ReadOptions(end=0.5))
    reenact(portrait, drive, tmp_path / "usual.mkv", options)
    usual = read_images(tmp_path / "usual.mkv")
    runs = (RunOptions(batch_size=1), RunOptions(batch_size=5, threads=1), RunOptions(threads=3))
    for number, other in enumerate(runs):
        out = tmp_path / f"{number}.mkv"
        reenact(portrait, drive, out, replace(options, run=other))
        for a, b in zip(usual, read_images(out), strict=True):
            assert np.array_equal(a, b), other


def test_a_driver_that_lends_no_mouth_is_decoded_once(
    portrait: Path, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mouth_choice, "suits_driver_mouth", lambda *args, **flags: False)
    drive = clip("vfr.mp4", 6, pts=[0, 40, 90, 130, 200, 240])
    choices: tuple[tuple[Mouth, bool], ...] = (
        ("driver", True),
        ("auto", False),
        ("synthetic", False),
    )
    for mouth, is_read in choices:
        out = tmp_path / f"{mouth}.mkv"
        report = reenact(portrait, drive, out, replace(LOSSLESS, mouth=mouth))
        assert ("decode again" in report.stages) == is_read
        assert time_stamps(out) == pytest.approx([0, 0.04, 0.09, 0.13, 0.2, 0.24])
    drawn, synthetic = (read_images(tmp_path / f"{name}.mkv") for name in ("auto", "synthetic"))
    assert np.array_equal(drawn, synthetic)


def test_motion_is_held_while_the_face_is_away(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    drive, out = clip("leaves.mp4", 30, without=range(10, 20)), tmp_path / "out.mkv"
    report = reenact(portrait, drive, out, LOSSLESS)
    assert (report.frames, report.passed_through, report.failed) == (30, 10, 0)
    made = [p.astype(np.int16) for p in read_images(out)]
    steps = [float(np.abs(b - a).mean()) for a, b in pairwise(made)]
    whole = tmp_path / "whole.mkv"
    reenact(portrait, clip("thirty.mp4", 30), whole, LOSSLESS)
    reference = [p.astype(np.int16) for p in read_images(whole)]
    largest = max(float(np.abs(b - a).mean()) for a, b in pairwise(reference))
    assert max(steps) < 2.5 * largest + 0.5


def test_a_motion_file_gives_the_result_of_its_video(
    portrait: Path, clip: Clip, tmp_path: Path
) -> None:
    drive, motion = clip("plain.mp4", 24), tmp_path / "kept.motion.safetensors"
    options = replace(LOSSLESS, mouth="synthetic")
    reenact(portrait, drive, tmp_path / "a.mkv", replace(options, save_motion=motion))
    reenact(portrait, motion, tmp_path / "b.mkv", options)
    for a, b in zip(read_images(tmp_path / "a.mkv"), read_images(tmp_path / "b.mkv"), strict=True):
        assert np.array_equal(a, b)


def test_an_image_drives_an_image(portrait: Path, clip: Clip, tmp_path: Path, capsys: Any) -> None:
    """Its expression is taken, so that nothing is to be warned of."""
    pose, out = tmp_path / "pose.png", tmp_path / "out.png"
    save_image(pose, read_images(clip("plain.mp4", 24))[20].astype(np.uint8))
    assert run(["reenact", str(portrait), str(pose), "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []
    assert media.probe(out).size == (256, 256)


@pytest.mark.parametrize("colour", [Colour(9, 1, 9, 16), Colour(9, 1, 9, 14)], ids=["pq", "bt2020"])
def test_a_driver_of_a_picture_is_read_as_ordinary_video(
    colour: Colour, portrait: Path, clip: Clip, tmp_path: Path
) -> None:
    """Its frames are no output: nothing of it is kept, and no warning says so."""
    plain, drive = clip("plain.mp4", 4), tmp_path / "drive.mp4"
    with media.read(plain) as frames:
        like = replace(frames.info, colour=colour, bit_depth=10, codec="hevc")
        with media.write(drive, like.size, like) as writer:
            for frame in frames:
                writer.write(frame.pixels, frame.pts)
    assert media.probe(drive).colour == colour
    events = list[Event]()
    for hdr in ("keep", "tonemap"):
        folder = tmp_path / hdr
        folder.mkdir()
        read = ReadOptions(hdr=hdr)
        options = replace(LOSSLESS, read=read, mouth="driver", compare=folder / "row.mkv")
        reenact(portrait, drive, folder / "out.mkv", options, events.append)
    assert not [event for event in events if isinstance(event, Warned)]
    for name in ("out.mkv", "row.mkv"):
        made, wanted = tmp_path / "keep" / name, tmp_path / "tonemap" / name
        assert media.probe(made).colour == media.probe(wanted).colour
        assert media.probe(made).colour.primaries == 1
        assert np.array_equal(read_images(made), read_images(wanted))


def test_strength_0_gives_a_still_video(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    argv = to_argv(
        "reenact", portrait, clip("plain.mp4", 24), "-o", out, "--strength 0 --codec ffv1 -q"
    )
    assert run(argv) == 0
    made = read_images(out)
    assert all(np.array_equal(made[0], p) for p in made)
    assert np.abs(made[0].astype(int) - media.read_image(portrait)).mean() < 1.0


def test_the_default_output_is_beside_the_driver(
    portrait: Path, clip: Clip, tmp_path: Path
) -> None:
    drive = tmp_path / "drive.mp4"
    drive.write_bytes(clip("six.mp4", 6).read_bytes())
    assert run(["reenact", str(portrait), str(drive), "-q"]) == 0
    assert (tmp_path / "portrait_drive.mp4").is_file()
    assert run(["reenact", str(portrait), str(drive), "-q"]) == 7


def test_dry_run_writes_nothing(portrait: Path, clip: Clip, tmp_path: Path, capsys: Any) -> None:
    argv = to_argv(
        "reenact", portrait, clip("sixty.mp4", 60), "-o", tmp_path / "x.mp4", "--dry-run --json"
    )
    others = [
        "--compare",
        str(tmp_path / "c.mp4"),
        "--save-motion",
        str(tmp_path / "m.motion.safetensors"),
    ]
    assert run([*argv, *others]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["dry_run"] and report["would_make"] == 60 and report["estimate"] > 0
    assert report["frames"] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "wrong", "code"),
    [("x.webm", ["--codec", "h264"], 2), ("x.mp4", ["--audio", "no.wav"], 3)],
)
def test_a_dry_run_checks_the_output(
    portrait: Path, clip: Clip, tmp_path: Path, name: str, wrong: list[str], code: int
) -> None:
    argv = to_argv("reenact", portrait, clip("sixty.mp4", 60), "-o", tmp_path / name, *wrong)
    assert run([*argv, "--dry-run"]) == code == run(argv)
    assert list(tmp_path.iterdir()) == []


def test_background_and_crop(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    argv = to_argv(
        "reenact",
        portrait,
        clip("six.mp4", 6),
        "-o",
        out,
        "--background #00ff00 --framing crop --codec ffv1 -q",
    )
    assert run(argv) == 0
    first = read_images(out)[0]
    assert first.shape[0] == first.shape[1]
    assert first[2, 2].tolist() == pytest.approx([0, 255, 0], abs=6)


def test_a_comparison_is_written(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    argv = to_argv(
        "reenact",
        portrait,
        clip("six.mp4", 6),
        "-o",
        tmp_path / "o.mp4",
        "--compare",
        tmp_path / "c.mp4",
        "-q",
    )
    assert run(argv) == 0
    assert len(read_images(tmp_path / "c.mp4")) == 6
    assert media.probe(tmp_path / "c.mp4").size == (3 * 192, 192)  # source, driver, result
