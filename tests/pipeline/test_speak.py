"""`thcli speak` on a real face, with two voices that need no weights: what goes in, what comes out, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from tests.pipeline.fake_voices import Bar
from thcli import media
from thcli.audio.read import read
from thcli.cli.app import run
from thcli.core.types import Image
from thcli.motion.file import MotionFile
from thcli.voices.backends import VOICES
from thcli.weights.backend import Backend

Wave = Callable[..., Path]
LOUD, END = 0.4, 1.0  # seconds: silence until the one, a tone until the other


@pytest.fixture(autouse=True)
def voices(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {name: Backend(f"tests.pipeline.fake_voices:{name}", name) for name in ("jaw", "bar")}
    for name, row in rows.items():
        monkeypatch.setitem(VOICES.rows, name, row)
    for licence in ("any", "free"):
        monkeypatch.setitem(VOICES.defaults, licence, "jaw")


@pytest.fixture
def wave(tmp_path: Path) -> Wave:
    """wave(name, end, rate, channels, codec): silence, then a tone from LOUD seconds on."""

    def make(
        name: str = "tone.wav",
        end: float = END,
        rate: int = 16000,
        channels: int = 1,
        loud: float = LOUD,
    ) -> Path:
        time = np.arange(round(end * rate)) / rate
        samples = (np.sin(440 * 2 * np.pi * time) * 9000 * (time >= loud)).astype(np.int16)
        path = tmp_path / name
        with av.open(str(path), "w") as out:
            codec = {".wav": "pcm_s16le", ".m4a": "aac", ".mp3": "libmp3lame"}[path.suffix]
            layout = "mono" if channels == 1 else "stereo"
            stream = cast(av.AudioStream, out.add_stream(codec, rate=rate, layout=layout))
            frame = av.AudioFrame.from_ndarray(np.repeat(samples, channels)[None], "s16", layout)
            frame.sample_rate, frame.pts = rate, 0
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        return path

    return make


def frames(path: Path) -> list[Image]:
    with media.read(path) as reader:
        return [np.asarray(frame.pixels, np.uint8) for frame in reader]


def moved(a: Image, b: Image) -> float:
    """Mean difference in the lower half of the face."""
    return float(np.abs(a[120:180, 90:170].astype(float) - b[120:180, 90:170].astype(float)).mean())


def test_the_mouth_follows_the_sound(
    portrait: Path, wave: Wave, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out.mkv"
    argv = [
        "speak",
        str(portrait),
        str(wave()),
        "-o",
        str(out),
        "--codec",
        "ffv1",
        "--json",
        "--smooth",
        "0",
    ]
    assert run(argv) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["command"] == "speak" and report["voice"] == "jaw" and report["frames"] == 25
    pictures = frames(out)
    still = [moved(pictures[0], picture) for picture in pictures]
    assert max(still[:9]) < 1 < 3 < min(still[12:])


def test_the_sound_goes_along_and_lasts_as_long_as_the_picture(
    portrait: Path, wave: Wave, tmp_path: Path
) -> None:
    sound, out = wave(end=0.97), tmp_path / "out.mkv"
    assert run(["speak", str(portrait), str(sound), "-o", str(out), "--codec", "ffv1", "-q"]) == 0
    info = media.probe(out)
    assert len(info.audio) == 1 and info.size == (256, 256) and "speak" in info.metadata["COMMENT"]
    assert len(frames(out)) == 25  # 24.25 frames, the last one begun
    there, here = read(out).samples, read(sound).samples
    assert len(there) == len(here) and np.abs(there - here).max() < 1e-3


@pytest.mark.parametrize(("fps", "count"), [("12.5", 13), ("30", 30), ("29.97", 30)])
def test_any_frame_rate(portrait: Path, wave: Wave, tmp_path: Path, fps: str, count: int) -> None:
    out = tmp_path / "out.mp4"
    assert run(["speak", str(portrait), str(wave()), "-o", str(out), "--fps", fps, "-q"]) == 0
    with media.read(out) as reader:
        times = [frame.pts * frame.time_base for frame in reader]
    rate = Fraction(30000, 1001) if fps == "29.97" else Fraction(fps)
    assert [round(t * rate) for t in times] == list(range(count))


def test_a_part_of_the_sound(portrait: Path, wave: Wave, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    argv = [
        "speak",
        str(portrait),
        str(wave()),
        "-o",
        str(out),
        "--audio-start",
        "0.4",
        "--audio-end",
        "0.8",
        "-q",
    ]
    assert run([*argv, "--codec", "ffv1", "--smooth", "0"]) == 0
    assert len(frames(out)) == 10
    samples = read(out).samples
    assert (
        abs(len(samples) - 6400) < 1700 and np.abs(samples[1700:4000]).max() > 0.1
    )  # cut at packets


def test_pictures_of_a_voice_are_put_back(portrait: Path, wave: Wave, tmp_path: Path) -> None:
    whole, alone = tmp_path / "whole.mkv", tmp_path / "crop.mkv"
    argv = ["speak", str(portrait), str(wave()), "--voice", "bar", "--codec", "ffv1", "-q", "-o"]
    assert run([*argv, str(whole)]) == 0
    assert run([*argv, str(alone), "--framing", "crop"]) == 0
    first, last = frames(whole)[0], frames(whole)[-1]
    assert first.shape == (256, 256, 3) and frames(alone)[0].shape == (64, 64, 3)
    assert (first[:8] == last[:8]).all() and moved(first, last) > 20
    assert frames(alone)[-1][32, 32].tolist() == [255, 0, 0]


def test_the_motion_alone(portrait: Path, wave: Wave, tmp_path: Path, capsys: Any) -> None:
    kept = tmp_path / "said.motion.safetensors"
    assert run(["speak", str(portrait), str(wave()), "-o", str(kept), "-q"]) == 0
    assert len(MotionFile(kept)) == 25
    assert run(["warp", str(portrait), str(kept), "-o", str(tmp_path / "said.mp4"), "-q"]) == 0
    assert (
        run(
            [
                "speak",
                str(portrait),
                str(wave()),
                "-o",
                str(tmp_path / "x.motion.safetensors"),
                "--voice",
                "bar",
            ]
        )
        == 2
    )
    assert "makes pictures" in capsys.readouterr().err


def test_several_sounds(portrait: Path, wave: Wave, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "lines"
    argv = [
        "speak",
        str(portrait),
        str(wave("a.wav")),
        str(wave("b.wav", end=0.5)),
        "-o",
        str(folder),
        "--json",
    ]
    assert run(argv) == 7
    folder.mkdir()
    assert run(argv) == 0
    report = json.loads(capsys.readouterr().out)
    assert [line["frames"] for line in report["lines"]] == [25, 13] and report["frames"] == 38
    assert sorted(path.name for path in folder.iterdir()) == ["portrait_a.mp4", "portrait_b.mp4"]


def test_a_video_is_heard_too(portrait: Path, clip: Callable[..., Path], tmp_path: Path) -> None:
    spoken, out = clip("spoken.mp4", 30, tone=True), tmp_path / "out.mp4"
    assert run(["speak", str(portrait), str(spoken), "-o", str(out), "-q"]) == 0
    info = media.probe(out)
    assert info.size == (256, 256) and len(info.audio) == 1
    assert abs(len(frames(out)) - 30) <= 2  # AAC comes in blocks of 1024 samples


def test_an_interrupted_job_goes_on(
    portrait: Path, wave: Wave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, out, plain = wave(end=2.4), tmp_path / "out.mkv", tmp_path / "plain.mkv"
    argv = ["speak", str(portrait), str(sound), "--codec", "ffv1", "--voice", "bar", "-q", "-o"]
    assert run([*argv, str(plain)]) == 0
    honest = Bar.pictures

    def breaking(*given: Any) -> Iterator[Image]:
        yield from islice(honest(*given), 40)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bar, "pictures", breaking)
        assert run([*argv, str(out), "--resume"]) == 130
    assert not out.exists()
    assert run([*argv, str(out), "--resume"]) == 0
    assert [a.tobytes() for a in frames(out)] == [b.tobytes() for b in frames(plain)]


@pytest.mark.parametrize("fps", ["25", "30"])
def test_dry_run(portrait: Path, wave: Wave, tmp_path: Path, capsys: Any, fps: str) -> None:
    sound = wave(end=2.0)
    assert run(["speak", str(portrait), str(sound), "--dry-run", "--json", "--fps", fps]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (
        report["would_make"] == 2 * int(fps)
        and report["size"] == "256x256"
        and report["estimate"] > 0
    )
    assert [path.name for path in tmp_path.iterdir()] == [sound.name]


def test_silence_is_said_and_keeps_the_mouth_shut(
    portrait: Path, wave: Wave, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out.mkv"
    assert (
        run(["speak", str(portrait), str(wave(loud=9.0)), "-o", str(out), "--codec", "ffv1"]) == 0
    )
    assert "nothing to be heard" in capsys.readouterr().err
    pictures = frames(out)
    assert max(moved(pictures[0], picture) for picture in pictures) < 1


@pytest.mark.parametrize(
    ("rate", "channels", "name"),
    [(8000, 1, "a.wav"), (48000, 2, "b.wav"), (44100, 2, "c.mp3"), (44100, 1, "d.m4a")],
)
def test_any_sound(
    portrait: Path, wave: Wave, tmp_path: Path, rate: int, channels: int, name: str
) -> None:
    out = tmp_path / "out.mp4"
    assert (
        run(
            [
                "speak",
                str(portrait),
                str(wave(name, rate=rate, channels=channels)),
                "-o",
                str(out),
                "-q",
            ]
        )
        == 0
    )
    assert 25 <= len(frames(out)) <= 28


def test_refusals(
    portrait: Path, wave: Wave, clip: Callable[..., Path], tmp_path: Path, capsys: Any
) -> None:
    wall, broken, empty = tmp_path / "wall.png", tmp_path / "broken.wav", tmp_path / "empty.wav"
    from thcli.evaluate.reports.contact_sheet import save_picture

    save_picture(wall, np.full((200, 200, 3), 90, np.uint8))
    broken.write_bytes(b"RIFF nothing of the kind")
    empty.write_bytes(b"")
    silent_clip = clip("plain.mp4", 24)
    sound, out = str(wave()), str(tmp_path / "o.mp4")
    for argv, code, word in (
        ([str(wall), sound], 4, "No face"),
        ([str(portrait), str(broken)], 3, "broken.wav"),
        ([str(portrait), str(empty)], 3, "empty"),
        ([str(portrait), str(silent_clip)], 3, "sound"),
        ([str(portrait), str(tmp_path / "no.wav")], 3, "no.wav"),
        ([str(portrait), str(portrait)], 3, "sound"),
        ([str(tmp_path / "no.png"), sound], 3, "no.png"),
        ([str(portrait), sound, "--voice", "nobody"], 2, "nobody"),
        ([str(portrait), sound, "--mouth", "9"], 2, "--mouth"),
        ([str(portrait), sound, "--audio-start", "5"], 3, "lasts"),
        (["-", sound], 2, "standard input"),
    ):
        assert run(["speak", *argv, "-o", out]) == code, argv
        assert word in capsys.readouterr().err
    assert not Path(out).exists()
