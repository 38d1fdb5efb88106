"""Bad inputs: one message, an exit code, no output."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.pipeline.command_line import to_argv
from thcli.cli.app import run
from thcli.core.types import Image
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.evaluate.reports.contact_sheet import save_image

Clip = Callable[..., Path]
Maker = Callable[[Path, Path, Image], Path]


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file and return its path."""
    path.write_bytes(content)
    return path


def write_image(path: Path, image: Image) -> Path:
    """Write an image and return its path."""
    save_image(path, image)
    return path


def write_audio(path: Path) -> Path:
    """Write a file with audio and without video."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 16000), np.int16), format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts = 16000, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def folder_without_images(path: Path) -> Path:
    """Make a folder with a text file."""
    path.mkdir()
    (path / "readme.txt").write_text("no images here")
    return path


DRIVERS: dict[str, tuple[int, Maker]] = {
    "text named mp4": (
        3,
        lambda p, c, w: write_bytes(p / "a.mp4", b"this is a text, not a video\n" * 40),
    ),
    "truncated": (
        3,
        lambda p, c, w: write_bytes(p / "a.mp4", c.read_bytes()[: c.stat().st_size // 3]),
    ),
    "only sound": (3, lambda p, c, w: write_audio(p / "a.m4a")),
    "empty": (3, lambda p, c, w: write_bytes(p / "a.mp4", b"")),
    "missing": (3, lambda p, c, w: p / "nowhere.mp4"),
    "folder without images": (3, lambda p, c, w: folder_without_images(p / "frames")),
    "no face": (4, lambda p, c, w: write_image(p / "wall.png", w)),
    "broken motion": (3, lambda p, c, w: write_bytes(p / "a.motion.safetensors", b"\x10" * 64)),
}
SOURCES: dict[str, tuple[int, Maker]] = {
    "no face": (4, lambda p, c, w: write_image(p / "wall.png", w)),
    "one pixel": (4, lambda p, c, w: write_image(p / "one.png", np.zeros((1, 1, 3), np.uint8))),
    "missing": (3, lambda p, c, w: p / "nowhere.png"),
    "empty": (3, lambda p, c, w: write_bytes(p / "a.png", b"")),
    "text": (3, lambda p, c, w: write_bytes(p / "a.jpg", b"hello")),
    "stdin": (2, lambda p, c, w: Path("-")),
}


def fails(argv: list[str], code: int, capsys: Any, room: Path) -> str:
    """Run a command that must fail and return its message."""
    room.mkdir()
    assert run([*argv, "-o", str(room / "out.mp4")]) == code
    out, err = capsys.readouterr()
    assert out == ""
    messages = [line for line in err.splitlines() if line.startswith("thcli: ")]
    assert len(messages) == 1 and "Traceback" not in err
    assert list(room.iterdir()) == []
    return str(messages[0])


@pytest.mark.parametrize("case", DRIVERS)
def test_bad_driver(
    case: str, portrait: Path, clip: Clip, empty_wall: Image, tmp_path: Path, capsys: Any
) -> None:
    code, make = DRIVERS[case]
    drive = make(tmp_path, clip("plain.mp4", 24), empty_wall)
    assert drive.name in fails(
        ["reenact", str(portrait), str(drive)], code, capsys, tmp_path / "room"
    )


@pytest.mark.parametrize("case", SOURCES)
def test_bad_source(case: str, clip: Clip, empty_wall: Image, tmp_path: Path, capsys: Any) -> None:
    code, make = SOURCES[case]
    drive = clip("plain.mp4", 24)
    fails(
        ["reenact", str(make(tmp_path, drive, empty_wall)), str(drive)],
        code,
        capsys,
        tmp_path / "room",
    )


def test_several_source_faces_are_reported(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    face = photograph()[10:266, 95:351]
    two = write_image(tmp_path / "two.png", np.concatenate([face, face], 1))
    argv = ["reenact", str(two), str(clip("plain.mp4", 24)), "-o", str(tmp_path / "a.mp4")]
    assert run(argv) == 0
    assert "shows 2 faces" in capsys.readouterr().err
    assert run([*argv[:-1], str(tmp_path / "b.mp4"), "--source-face", "5"]) == 4
    assert run([*argv[:-1], str(tmp_path / "c.mp4"), "--source-face", "all", "--json"]) == 0


def test_a_source_of_7200_pixels_works(clip: Clip, tmp_path: Path) -> None:
    import cv2

    huge = np.asarray(
        cv2.resize(photograph(), (7200, 7200), interpolation=cv2.INTER_NEAREST), np.uint8
    )
    source = tmp_path / "huge.jpg"
    save_image(source, huge)
    out = tmp_path / "out.mp4"
    argv = to_argv(
        "reenact", source, clip("plain.mp4", 24), "-o", out, "--end 0.1 --long-side 512 -q"
    )
    assert run(argv) == 0 and out.is_file()


def test_output_exists(portrait: Path, clip: Clip, tmp_path: Path, capsys: Any) -> None:
    out = write_bytes(tmp_path / "out.mp4", b"precious")
    assert run(["reenact", str(portrait), str(clip("plain.mp4", 24)), "-o", str(out)]) == 7
    assert "--overwrite" in capsys.readouterr().err and out.read_bytes() == b"precious"


def test_an_unwritable_output_is_reported(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    argv = [
        "reenact",
        str(portrait),
        str(clip("plain.mp4", 24)),
        "-o",
        str(tmp_path / "no" / "out.mp4"),
    ]
    assert run(argv) == 7


def test_unknown_options(portrait: Path, clip: Clip, tmp_path: Path, capsys: Any) -> None:
    base = ["reenact", str(portrait), str(clip("plain.mp4", 24)), "-o", str(tmp_path / "x.mp4")]
    for more in (
        ["--engine", "nope"],
        ["--strength", "9"],
        ["--nope"],
        ["--codec", "nope"],
        ["--face", "nobody.png"],
    ):
        assert run([*base, *more]) == 2, more
        assert capsys.readouterr().err.count("thcli: ") == 1


def test_offline_without_weights(
    portrait: Path, clip: Clip, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "none"))
    argv = ["reenact", str(portrait), str(clip("plain.mp4", 24)), "--offline"]
    assert "thcli weights pull" in fails(argv, 5, capsys, tmp_path / "room")


def test_an_interrupted_run_writes_nothing(portrait: Path, clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    argv = [
        sys.executable,
        "-m",
        "thcli",
        "reenact",
        str(portrait),
        str(clip("long.mp4", 160)),
        "-o",
        str(out),
    ]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:  # the line at the end of pass 1
            if line.startswith("track"):
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_loaded_for_an_unknown_background_or_a_sound_as_face(
    tmp_path: Path, portrait: Path, capsys: Any
) -> None:
    sound, out = write_audio(tmp_path / "s.m4a"), tmp_path / "o.mp4"
    for colour in ("#zzz", "z" * 300):  # the second is too long for the name of a file
        words = ["--background", colour, "--progress", "json"]
        assert run(to_argv("reenact", portrait, portrait, "-o", out, *words)) == 2
        assert "neither a colour" in (said := capsys.readouterr().err) and '"track"' not in said
    for command in (["speak", sound, portrait], ["reenact", sound, portrait]):
        assert run(to_argv(*command, "-o", out)) == 2
        assert "shows no face" in capsys.readouterr().err
