"""`thcli speak` on a real face with fake voices: audio formats, frame rates, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from tests.faces.model3d.bfm.made_model import made_model
from tests.golden import fill
from tests.pipeline.command_line import to_argv
from tests.pipeline.face_clip import write_face_clip
from tests.pipeline.fake_voices import BarVoice
from tests.pipeline.job.interruption import interrupted_behind
from tests.voices import test_real3d
from thcli import media
from thcli.audio.read import read_sound
from thcli.cli.app import run
from thcli.core.types import Image
from thcli.engines.backends import ENGINES
from thcli.faces.model3d.bfm.convert import mesh_arrays
from thcli.media.writing.journal import Journal, Segment
from thcli.motion.file.reader import MotionFile
from thcli.voices.backends import VOICES
from thcli.voices.real3d import mesh_voice
from thcli.voices.real3d import voice as real3d
from thcli.voices.real3d.networks import AudioToMotion
from thcli.weights.backend import Backend
from thcli.weights.registry import registry
from thcli.weights.store import WeightsStore
from thcli.weights.tensors import load_tensors

pytestmark = pytest.mark.usefixtures("regions_once")
Wave = Callable[..., Path]
LOUD, END = 0.4, 1.0  # seconds at which a tone begins and ends


@pytest.fixture(autouse=True)
def voices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("jaw", "bar"):
        row = Backend(f"tests.pipeline.fake_voices:{name}", name, reads=VOICES.rows["a2m"].reads)
        monkeypatch.setitem(VOICES.rows, name, row)
    for licence in ("any", "free"):
        monkeypatch.setitem(VOICES.defaults, licence, "jaw")


@pytest.fixture
def wave(tmp_path: Path) -> Wave:
    """Return a function that writes a recording: silence, then a tone from `loud` seconds on."""

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


def read_images(path: Path) -> list[Image]:
    with media.read(path) as reader:
        return [np.asarray(frame.pixels, np.uint8) for frame in reader]


def mouth_difference(a: Image, b: Image) -> float:
    """Return the mean difference in the lower half of the face, in levels."""
    return float(np.abs(a[120:180, 90:170].astype(float) - b[120:180, 90:170].astype(float)).mean())


def test_the_mouth_follows_the_sound(
    portrait: Path, wave: Wave, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out.mkv"
    argv = to_argv("speak", portrait, wave(), "-o", out, "--codec ffv1 --json --smooth 0")
    assert run(argv) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["command"] == "speak" and report["voice"] == "jaw" and report["frames"] == 25
    images = read_images(out)
    still = [mouth_difference(images[0], image) for image in images]
    assert max(still[:9]) < 1 < 3 < min(still[12:])


def test_the_audio_is_kept_to_the_sample(portrait: Path, wave: Wave, tmp_path: Path) -> None:
    sound, out = wave(end=0.97), tmp_path / "out.mkv"
    assert run(["speak", str(portrait), str(sound), "-o", str(out), "--codec", "ffv1", "-q"]) == 0
    info = media.probe(out)
    assert len(info.audio) == 1 and info.size == (256, 256) and "speak" in info.metadata["COMMENT"]
    assert len(read_images(out)) == 25  # 24.25 frames, the last one begun
    there, here = read_sound(out).samples, read_sound(sound).samples
    assert len(there) == len(here) and np.abs(there - here).max() < 1e-3


@pytest.mark.parametrize(("fps", "count"), [("12.5", 13), ("30", 30), ("29.97", 30)])
def test_any_frame_rate(portrait: Path, wave: Wave, tmp_path: Path, fps: str, count: int) -> None:
    out = tmp_path / "out.mp4"
    assert run(["speak", str(portrait), str(wave()), "-o", str(out), "--fps", fps, "-q"]) == 0
    with media.read(out) as reader:
        times = [frame.pts * frame.time_base for frame in reader]
    rate = Fraction(30000, 1001) if fps == "29.97" else Fraction(fps)
    assert [round(t * rate) for t in times] == list(range(count))


def test_a_range_of_the_recording(portrait: Path, wave: Wave, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    argv = to_argv("speak", portrait, wave(), "-o", out, "--audio-start 0.4 --audio-end 0.8 -q")
    assert run([*argv, "--codec", "ffv1", "--smooth", "0"]) == 0
    assert len(read_images(out)) == 10
    samples = read_sound(out).samples
    assert abs(len(samples) - 6400) < 1700  # cut at packets
    assert np.abs(samples[1700:4000]).max() > 0.1


def test_crops_of_a_rendering_voice_are_pasted(portrait: Path, wave: Wave, tmp_path: Path) -> None:
    whole, alone = tmp_path / "whole.mkv", tmp_path / "crop.mkv"
    argv = ["speak", str(portrait), str(wave()), "--voice", "bar", "--codec", "ffv1", "-q", "-o"]
    assert run([*argv, str(whole)]) == 0
    assert run([*argv, str(alone), "--framing", "crop"]) == 0
    first, last = read_images(whole)[0], read_images(whole)[-1]
    assert first.shape == (256, 256, 3) and read_images(alone)[0].shape == (64, 64, 3)
    assert (first[:8] == last[:8]).all() and mouth_difference(first, last) > 20
    assert read_images(alone)[-1][32, 32].tolist() == [255, 0, 0]


def test_motion_only(portrait: Path, wave: Wave, tmp_path: Path, capsys: Any) -> None:
    motion = tmp_path / "speech.motion.safetensors"
    assert run(["speak", str(portrait), str(wave()), "-o", str(motion), "-q"]) == 0
    assert len(MotionFile(motion)) == 25
    assert run(["warp", str(portrait), str(motion), "-o", str(tmp_path / "speech.mp4"), "-q"]) == 0
    argv = to_argv(
        "speak", portrait, wave(), "-o", tmp_path / "x.motion.safetensors", "--voice bar"
    )
    assert run(argv) == 2
    assert "renders video" in capsys.readouterr().err


def test_several_recordings(portrait: Path, wave: Wave, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "lines"
    argv = to_argv("speak", portrait, wave("a.wav"), wave("b.wav", end=0.5), "-o", folder, "--json")
    assert run(argv) == 7
    folder.mkdir()
    assert run(argv) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [line["frames"] for line in report["lines"]] == [25, 13] and report["frames"] == 38
    assert sorted(path.name for path in folder.iterdir()) == ["portrait_a.mp4", "portrait_b.mp4"]


def test_the_audio_of_a_video_is_used(
    portrait: Path, clip: Callable[..., Path], tmp_path: Path
) -> None:
    spoken, out = clip("spoken.mp4", 30, tone=True), tmp_path / "out.mp4"
    assert run(["speak", str(portrait), str(spoken), "-o", str(out), "-q"]) == 0
    info = media.probe(out)
    assert info.size == (256, 256) and len(info.audio) == 1
    assert abs(len(read_images(out)) - 30) <= 2  # AAC comes in blocks of 1024 samples


def test_an_interrupted_job_is_resumed(
    portrait: Path, wave: Wave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thcli.media.writing.segments.SEGMENT_FRAMES", 8)
    sound, out, plain = wave(end=0.96), tmp_path / "out.mkv", tmp_path / "plain.mkv"
    argv = ["speak", str(portrait), str(sound), "--codec", "ffv1", "--voice", "bar", "-q", "-o"]
    assert run([*argv, str(plain)]) == 0
    with interrupted_behind(20, BarVoice, "render_frames"):
        assert run([*argv, str(out), "--resume"]) == 130
    assert not out.exists()
    assert run([*argv, str(out), "--resume"]) == 0
    assert [a.tobytes() for a in read_images(out)] == [b.tobytes() for b in read_images(plain)]


def test_a_job_that_is_driven_by_mesh_is_resumed(
    portrait: Path, wave: Wave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Backend("tests.pipeline.fake_voices:other_engine", "mesh by another name")
    monkeypatch.setitem(ENGINES.rows, "other", row)
    monkeypatch.setattr("thcli.media.writing.segments.SEGMENT_FRAMES", 4)
    sound, out, plain = wave(end=0.6), tmp_path / "out.mkv", tmp_path / "plain.mkv"
    argv = to_argv("speak", portrait, sound, "--engine other --codec ffv1 -q -o")
    assert run([*argv, str(plain)]) == 0
    original, counts = Journal.add, list[int]()

    def interrupted(journal: Journal, segment: Segment) -> None:
        original(journal, segment)
        if journal.done == 8:  # of 15 frames
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", interrupted)
        assert run([*argv, str(out), "--resume"]) == 130
    start = Journal.start

    def counted(journal: Journal) -> None:
        counts.append(journal.done)
        start(journal)

    monkeypatch.setattr(Journal, "start", counted)
    assert run([*argv, str(out), "--resume"]) == 0
    assert counts == [8]
    assert [a.tobytes() for a in read_images(out)] == [b.tobytes() for b in read_images(plain)]


@pytest.mark.parametrize("fps", ["25", "30"])
def test_dry_run(portrait: Path, wave: Wave, tmp_path: Path, capsys: Any, fps: str) -> None:
    sound = wave(end=2.0)
    assert run(["speak", str(portrait), str(sound), "--dry-run", "--json", "--fps", fps]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["would_make"], report["size"]) == (2 * int(fps), "256x256")
    assert report["estimate"] > 0
    assert [path.name for path in tmp_path.iterdir()] == [sound.name]


def test_a_dry_run_refuses_one_image_by_its_name(
    portrait: Path, wave: Wave, tmp_path: Path, capsys: Any
) -> None:
    clip = tmp_path / "clip.mp4"
    write_face_clip(clip, 10)
    for face in (portrait, clip):
        out = tmp_path / "x.png"
        assert run(["speak", str(face), str(wave()), "-o", str(out), "--dry-run"]) == 2
        assert f"{out} holds one image" in capsys.readouterr().err


def test_silence_is_reported_and_keeps_the_mouth_closed(
    portrait: Path, wave: Wave, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out.mkv"
    argv = ["speak", str(portrait), str(wave(loud=9.0)), "-o", str(out), "--codec", "ffv1"]
    assert run(argv) == 0
    assert "is silent" in capsys.readouterr().err
    images = read_images(out)
    assert max(mouth_difference(images[0], image) for image in images) < 1


@pytest.mark.parametrize(
    ("rate", "channels", "name"),
    [(8000, 1, "a.wav"), (48000, 2, "b.wav"), (44100, 2, "c.mp3"), (44100, 1, "d.m4a")],
)
def test_audio_formats(
    portrait: Path, wave: Wave, tmp_path: Path, rate: int, channels: int, name: str
) -> None:
    out = tmp_path / "out.mp4"
    argv = to_argv("speak", portrait, wave(name, rate=rate, channels=channels), "-o", out, "-q")
    assert run(argv) == 0
    assert 25 <= len(read_images(out)) <= 28


def test_errors(
    portrait: Path, wave: Wave, clip: Callable[..., Path], tmp_path: Path, capsys: Any
) -> None:
    wall, broken, empty = tmp_path / "wall.png", tmp_path / "broken.wav", tmp_path / "empty.wav"
    from thcli.evaluate.reports.contact_sheet import save_image

    save_image(wall, np.full((200, 200, 3), 90, np.uint8))
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


def test_a_voice_of_expressions_drives_the_mesh_engine(
    portrait: Path, wave: Wave, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Voice real3d with random weights and a made face model; without it the exit code is 5."""
    network = fill.network(AudioToMotion(), fill.state(AudioToMotion().state_dict(), 0))
    monkeypatch.setattr(real3d, "load", lambda run: test_real3d.voice(network))
    argv = to_argv("speak", portrait, wave(), "--voice real3d --codec ffv1 --json -o")
    empty = WeightsStore(tmp_path / "cache", registry())
    monkeypatch.setattr(mesh_voice, "load_tensors", partial(load_tensors, store=empty))
    assert run([*argv, str(tmp_path / "none.mkv")]) == 5
    assert "thcli weights import bfm FOLDER" in capsys.readouterr().err
    # the motion alone needs no face model
    motion = tmp_path / "a.motion.safetensors"
    assert run(["speak", str(portrait), str(wave()), "--voice", "real3d", "-o", str(motion)]) == 0
    assert MotionFile(motion).kind == "real3d"
    capsys.readouterr()
    table = {key.removeprefix("mesh."): value for key, value in mesh_arrays(made_model()).items()}
    monkeypatch.setattr(mesh_voice, "load_tensors", lambda *names, **options: table)
    out = tmp_path / "out.mkv"
    assert run([*argv, str(out)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["voice"] == "real3d" and report["frames"] == 25
    images = read_images(out)
    assert max(mouth_difference(images[0], image) for image in images) > 1
