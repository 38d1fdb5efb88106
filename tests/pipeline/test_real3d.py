"""`--engine real3d` through the command line, with narrow random networks.

Frames, audio, time stamps, batches, --resume, voices, pose files, exit codes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from scipy.io import wavfile

from tests.pipeline.command_line import to_argv
from tests.pipeline.conftest import Clip
from thcli import media
from thcli.cli.app import run
from thcli.core.types import Image
from thcli.engines.backends import ENGINES
from thcli.engines.real3d.engine import Real3dEngine
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.media.writing import segments
from thcli.voices.backends import VOICES
from thcli.weights.backend import Backend

LOSSLESS = "--codec ffv1 -q --device cpu"


@pytest.fixture(autouse=True)
def tiny_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Backend("tests.engines.real3d.tiny:load", "tiny", reads=ENGINES.rows["real3d"].reads)
    monkeypatch.setitem(ENGINES.rows, "real3d", engine)
    voice = Backend(
        "tests.engines.real3d.tiny:load_voice", "tiny", reads=VOICES.rows["real3d"].reads
    )
    monkeypatch.setitem(VOICES.rows, "real3d", voice)


def read(path: Path) -> list[tuple[int, Image]]:
    with media.read(path) as reader:
        return [
            (round(frame.seconds * 1000), np.asarray(frame.pixels, np.uint8)) for frame in reader
        ]


def assert_same(first: Path, second: Path) -> None:
    a, b = read(first), read(second)
    assert [time for time, _ in a] == [time for time, _ in b]
    for (_, one), (_, other) in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


def packets(path: Path) -> list[tuple[int | None, bytes]]:
    with av.open(str(path)) as box:
        return [(p.pts, bytes(p)) for p in box.demux(video=0) if p.size]


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    time = np.arange(round(0.16 * 16000)) / 16000
    wavfile.write(path, 16000, (9000 * np.sin(2 * np.pi * 220 * time)).astype(np.int16))
    return path


def test_a_clip_drives_a_photograph(
    portrait: Path, clip: Clip, tmp_path: Path, capsys: Any
) -> None:
    """One frame for each driving frame, with its time stamp and the audio; batches are equal."""
    drive = clip("uneven-gap.mp4", 5, pts=[0, 40, 100, 120, 180], without=range(2, 3), tone=True)
    one, four = tmp_path / "one.mkv", tmp_path / "four.mkv"
    command = to_argv("reenact", portrait, drive, "--engine real3d", LOSSLESS)
    assert run([*command, "-o", str(one), "--batch-size", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == 5 and report["passed_through"] == 1
    assert report["engine"] == "real3d"
    assert run([*command, "-o", str(four), "--batch-size", "4"]) == 0
    assert_same(one, four)
    frames = read(one)
    assert [time for time, _ in frames] == [0, 40, 100, 120, 180]
    assert all(image.shape == (256, 256, 3) for _, image in frames)
    assert any(not np.array_equal(frames[0][1], image) for _, image in frames[1:])
    assert len(media.probe(one).audio) == 1


def test_a_resumed_run_equals_a_whole_one(
    portrait: Path, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In segments of three frames, interrupted after the fifth; the same packets."""
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", 3)
    words = ("reenact", portrait, clip("eight.mp4", 8), "--engine real3d -q --batch-size 1")
    whole, out = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    assert run(to_argv(*words, "-o", whole, "--resume")) == 0
    original = Real3dEngine.render
    calls: list[int] = []

    def interrupted(*args: Any) -> list[Image]:
        calls.append(len(calls))
        if len(calls) == 6:
            raise KeyboardInterrupt
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Real3dEngine, "render", interrupted)
        assert run(to_argv(*words, "-o", out, "--resume")) == 130
        assert not out.exists() and list(tmp_path.glob(".out.mp4.thcli-resume/*.packets"))
        calls[:] = range(10)
        assert run(to_argv(*words, "-o", out, "--resume")) == 0
    assert len(calls) == 15, "three of the eight frames were kept"
    assert packets(out) == packets(whole)


@pytest.mark.parametrize("voice", ["real3d", "a2m"])
def test_a_voice_drives_it(
    voice: str, portrait: Path, speech: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out.mkv"
    command = to_argv("speak", portrait, speech, "--engine real3d", LOSSLESS, "-o", out)
    assert run([*command, "--voice", voice, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["engine"] == "real3d" and report["voice"] == voice and "by" not in report
    frames = read(out)
    assert [time for time, _ in frames] == [0, 40, 80, 120]
    assert len(media.probe(out).audio) == 1
    assert not np.array_equal(frames[0][1], frames[-1][1])


def test_motion_and_pose_files_drive_it(
    portrait: Path, clip: Clip, speech: Path, tmp_path: Path, capsys: Any
) -> None:
    """The voice's motion file, with head poses that `thcli fit` wrote."""
    motion, poses = tmp_path / "said.motion.safetensors", tmp_path / "poses.csv"
    assert run(to_argv("fit", clip("eight.mp4", 8), "-q -o", poses)) == 0
    assert run(to_argv("speak", portrait, speech, "--voice real3d -q -o", motion)) == 0
    still, moving = tmp_path / "still.mkv", tmp_path / "moving.mkv"
    command = to_argv("warp", portrait, motion, "--engine real3d", LOSSLESS)
    assert run([*command, "-o", str(still)]) == 0
    assert run([*command, "-o", str(moving), "--pose-file", str(poses)]) == 0
    assert len(read(still)) == len(read(moving)) == 4
    assert not np.array_equal(read(still)[3][1], read(moving)[3][1])
    capsys.readouterr()
    lost = to_argv("warp", portrait, motion, "--engine real3d --pose-file none.csv -q -o")
    assert run([*lost, str(tmp_path / "no.mkv")]) == 3
    assert "pose file" in capsys.readouterr().err
    assert not (tmp_path / "no.mkv").exists()


def test_of_two_faces_the_chosen_ones_move(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    head = photograph()[10:266, 95:351]
    image = tmp_path / "two.png"
    save_image(image, np.ascontiguousarray(np.concatenate([head, head], 1)))
    out, both = tmp_path / "one.mkv", tmp_path / "both.mkv"
    command = to_argv("reenact", image, clip("eight.mp4", 8), "--engine real3d --end 0.05 --json")
    assert run([*command, *to_argv(LOSSLESS, "-o", out)]) == 0
    assert "2 faces" in json.loads(capsys.readouterr().out)["warnings"][0]
    assert run([*command, *to_argv(LOSSLESS, "--source-face all -o", both)]) == 0
    still = np.asarray(media.read_image(image), np.int64)
    changed = [
        [
            np.abs(read(path)[0][1][60:180, x : x + 100] - still[60:180, x : x + 100]).mean() > 5
            for x in (80, 336)
        ]
        for path in (out, both)
    ]
    assert sorted(changed[0]) == [False, True] and changed[1] == [True, True]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--engine fomm --orbit 20", "--orbit has no effect with engine fomm"),
        ("--engine fomm --pose-file x.csv", "--pose-file has no effect with engine fomm"),
        ("--engine real3d --matte off", "--matte has no effect with engine real3d"),
        ("--engine real3d --region lips", "cannot move the lips alone"),
        ("--engine real3d --orbit 90", "--orbit must be within 0..60"),
        ("--engine real3d --head-threshold 2", "--head-threshold must be within 0..1"),
        ("--engine real3d --region expression --pose-file x.csv", "--pose-file has no effect"),
    ],
)
def test_what_it_does_not_do_is_refused(
    words: str, message: str, portrait: Path, clip: Clip, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out.mp4"
    assert run(to_argv("reenact", portrait, clip("eight.mp4", 8), words, "-o", out)) == 2
    assert message in " ".join(capsys.readouterr().err.split()) and not out.exists()


def test_the_crop_and_the_background(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    words = "--engine real3d --framing crop --background #00ff00 --orbit 20 --end 0.1"
    assert run(to_argv("reenact", portrait, clip("eight.mp4", 8), words, LOSSLESS, "-o", out)) == 0
    image = read(out)[0][1]
    assert image.shape[0] == image.shape[1]
    corner = image[5:15, 5:15].astype(float).mean((0, 1))
    assert corner[1] > corner[0] + 60 and corner[1] > corner[2] + 60
