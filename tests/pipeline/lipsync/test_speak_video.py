"""`thcli speak` on a video: lips, untouched pixels, time stamps, length, sound; a fake voice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.pipeline.command_line import to_argv
from tests.pipeline.face_clip import write_face_clip
from thcli import media
from thcli.audio.read import read_sound
from thcli.cli.app import run
from thcli.core.types import Array, Array32, Frame
from thcli.media.writing.journal import Journal, Segment
from thcli.pipeline.observe import tracking
from thcli.pipeline.observe.track_log import TrackLog
from thcli.voices.backends import VOICES
from thcli.weights.backend import Backend

pytestmark = pytest.mark.usefixtures("regions_once")
Clip = Callable[..., Path]
PLAIN = "--codec ffv1 --json --smooth 0 --threads 1"


@pytest.fixture(autouse=True)
def voices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a voice that opens the mouth where the sound is loud."""
    for name in ("jaw", "bar"):
        row = Backend(f"tests.pipeline.fake_voices:{name}", name, reads=VOICES.rows["a2m"].reads)
        monkeypatch.setitem(VOICES.rows, name, row)
    for licence in ("any", "free"):
        monkeypatch.setitem(VOICES.defaults, licence, "jaw")


def wave(path: Path, seconds: float, loud: float = 0.0, pitch: float = 440) -> Path:
    """Write a WAV: silence, then a tone from `loud` seconds on."""
    time = np.arange(round(seconds * 16000)) / 16000
    samples = (np.sin(pitch * 2 * np.pi * time) * 9000 * (time >= loud)).astype(np.int16)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
        frame.sample_rate, frame.pts = 16000, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def read_frames(path: Path) -> list[Frame]:
    with media.read(path) as frames:
        return list(frames)


def differences(made: list[Frame], own: list[Frame]) -> Array:
    """Return the mean difference of each frame, in levels."""
    return np.array(
        [np.abs(a.pixels.astype(float) - b.pixels).mean() for a, b in zip(made, own, strict=False)]
    )


def speak(*words: object, capsys: Any) -> dict[str, Any]:
    """Run `thcli speak` and return its report."""
    assert run(to_argv("speak", *words, PLAIN)) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_the_lips_follow_the_sound_and_the_rest_stays(
    clip: Clip, tmp_path: Path, capsys: Any
) -> None:
    source, out = clip("plain.mp4", 24), tmp_path / "out.mkv"
    sound = wave(tmp_path / "tone.wav", 2.0, loud=0.5)
    report = speak(source, sound, "-o", out, capsys=capsys)
    made, own = read_frames(out), read_frames(source)
    assert (report["source"], report["ends_with"], report["voice"]) == ("video", "video", "jaw")
    assert "ends" in report["warnings"][0] and "--loop" in report["warnings"][0]
    assert len(made) == report["frames"] == len(own) == 24
    change = differences(made, own)
    assert change[14:].min() > 1.4 * change[:11].max()  # he smiles: closing lips move too
    for a, b in zip(made, own, strict=True):  # eyes and what is above
        changed = np.flatnonzero((a.pixels != b.pixels).any((1, 2)))
        assert changed[0] > 60, changed[0]


def test_uneven_time_stamps_are_kept(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    uneven = [0, 40, 130, 160, 250, 280, 400, 410, 500, 590]
    source, out = clip("uneven.mp4", 10, pts=uneven), tmp_path / "out.mkv"
    report = speak(source, wave(tmp_path / "a.wav", 0.45), "-o", out, capsys=capsys)
    made = read_frames(out)
    assert report["ends_with"] == "speech"
    assert [round(f.pts * f.time_base * 1000) for f in made] == uneven[:8]


def test_frames_without_the_face_pass_through(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    source, out = clip("away.mp4", 30, without=range(10, 20)), tmp_path / "out.mkv"
    report = speak(source, wave(tmp_path / "a.wav", 1.2), "-o", out, capsys=capsys)
    same = differences(read_frames(out), read_frames(source)) == 0
    assert report["passed_through"] == 10 and same[10:20].all() and not same[:6].any()


def test_from_places_the_speech_and_keeps_the_rest(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    """Frames and sound outside of the speech are those of the video."""
    source, out = clip("tone.mp4", 24, tone=True), tmp_path / "out.mkv"
    sound = wave(tmp_path / "a.wav", 0.4, pitch=2000)
    report = speak(source, sound, "-o", out, "--from 0.24", capsys=capsys)
    change = differences(read_frames(out), read_frames(source))
    assert report["frames"] == 24 and report["ends_with"] == "video"
    assert (change[:6] == 0).all() and (change[16:] == 0).all() and (change[8:14] > 0.05).all()
    made, own = read_sound(out), read_sound(source)
    for begin, end, spoken in ((0.05, 0.2, False), (0.3, 0.6, True), (0.7, 0.85, False)):
        a, b = (s.samples[round(begin * 16000) : round(end * 16000)] for s in (made, own))
        assert peak_frequency(a) == pytest.approx(2000 if spoken else peak_frequency(b), abs=40)


def peak_frequency(samples: Array | Array32) -> float:
    """Return the strongest frequency in Hz of samples at 16 kHz."""
    return float(np.abs(np.fft.rfft(samples)).argmax() * 16000 / len(samples))


def test_pad_keeps_the_rest_of_the_video(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    source, out = clip("plain.mp4", 24), tmp_path / "out.mkv"
    report = speak(source, wave(tmp_path / "a.wav", 0.4), "-o", out, "--pad", capsys=capsys)
    change = differences(read_frames(out), read_frames(source))
    assert report["frames"] == 24 and (change[10:] == 0).all() and (change[1:7] > 0.05).all()
    assert media.probe(out).audio


@pytest.mark.parametrize(
    ("loop", "order"),
    [("pingpong", [0, 1, 2, 3, 2, 1, 0, 1, 2]), ("repeat", [0, 1, 2, 3] * 2 + [0])],
)
def test_loop_continues_the_video(
    clip: Clip, tmp_path: Path, capsys: Any, loop: str, order: list[int]
) -> None:
    source, out = clip("four.mp4", 4), tmp_path / "out.mkv"
    sound = wave(tmp_path / "a.wav", 0.36)
    report = speak(
        source, sound, "-o", out, f"--loop {loop} --expression-strength 0", capsys=capsys
    )
    made, own = read_frames(out), read_frames(source)
    assert report["frames"] == 9 and report["warnings"] == []
    shown = [int(differences([a] * len(own), own).argmin()) for a in made]
    assert shown == order
    assert [round(f.pts * f.time_base * 25) for f in made] == list(range(9))
    assert all(np.array_equal(a.pixels, own[i].pixels) for a, i in zip(made, order, strict=True))


@pytest.mark.parametrize("words", ["", "--from 0.1 --batch-size 2", "--loop pingpong"])
def test_a_resumed_job_gives_the_same_frames(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, words: str
) -> None:
    monkeypatch.setattr("thcli.media.writing.segments.SEGMENT_FRAMES", 4)
    source, sound = clip("twelve.mp4", 12), wave(tmp_path / "a.wav", 0.4)
    whole, out = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    speak(source, sound, "-o", whole, words, "--resume", capsys=capsys)
    add = Journal.add

    def stop(self: Journal, segment: Segment, *rest: Any) -> None:
        add(self, segment, *rest)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", stop)
        run(to_argv("speak", source, sound, "-o", out, words, "--resume", PLAIN))
    capsys.readouterr()
    speak(source, sound, "-o", out, words, "--resume", capsys=capsys)
    assert packets(out) == packets(whole)


def packets(path: Path) -> list[tuple[int | None, bytes]]:
    with av.open(str(path)) as made:
        return [(packet.pts, bytes(packet)) for packet in made.demux() if packet.size]


def test_the_audio_is_the_speech(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    source, sound = clip("tone.mp4", 24, tone=True), wave(tmp_path / "a.wav", 0.8, pitch=2000)
    for audio, pitch in (("drive", 2000), ("source", 16000 * 0.1 / (2 * np.pi))):
        out = tmp_path / f"{audio}.mkv"
        speak(source, sound, "-o", out, f"--audio {audio}", capsys=capsys)
        assert peak_frequency(read_sound(out).samples[1600:9600]) == pytest.approx(pitch, abs=20)


def test_still_takes_one_frame(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out.mkv"
    report = speak(
        clip("plain.mp4", 24), wave(tmp_path / "a.wav", 2.0), "-o", out, "--still", capsys=capsys
    )
    assert report["frames"] == 50 and "source" not in report


def test_a_dry_run_counts_the_frames(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    source, sound, out = clip("six.mp4", 6), wave(tmp_path / "a.wav", 0.6), tmp_path / "o.mkv"
    for words, frames in (("", 6), ("--loop pingpong", 15), ("--pad", 6)):
        report = speak(source, sound, "-o", out, words, "--dry-run", capsys=capsys)
        assert report["would_make"] == frames and report["source"] == "video"
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--voice bar", "--still"),
        ("--from 5", "--from 5 is after the last frame"),
        ("--from 0.1 --pad", "--pad must be"),
        ("--pad --loop repeat", "--loop must be"),
        ("--still --pad", "--pad has no effect"),
        ("--region all --matte off", "--matte has no effect"),
        ("--framing crop", "--framing has no effect"),
        ("--blink none", "--blink has no effect"),
        ("--gaze camera", "--gaze has no effect"),
        ("--emotion happy", "--emotion has no effect"),
        ("--face 7", "7"),
    ],
)
def test_what_does_not_fit_a_video_is_refused(
    clip: Clip, tmp_path: Path, capsys: Any, words: str, message: str
) -> None:
    sound = wave(tmp_path / "a.wav", 0.4)
    code = run(to_argv("speak", clip("plain.mp4", 24), sound, "-o", tmp_path / "o.mkv", words))
    error = capsys.readouterr().err
    assert code in (2, 4)
    assert message in error and "Traceback" not in error


def test_footage_options_need_a_video(portrait: Path, tmp_path: Path, capsys: Any) -> None:
    sound = wave(tmp_path / "a.wav", 0.4)
    for words in ("--pad", "--from 1", "--loop repeat", "--still"):
        assert run(to_argv("speak", portrait, sound, "-o", tmp_path / "o.mkv", words)) == 2
        assert words.split()[0] in capsys.readouterr().err


def test_a_speech_longer_than_its_place_ends_with_the_video(
    clip: Clip, tmp_path: Path, capsys: Any
) -> None:
    source, out = clip("plain.mp4", 24), tmp_path / "out.mkv"
    sound = wave(tmp_path / "a.wav", 2.0)
    report = speak(source, sound, "-o", out, "--from 0.5", capsys=capsys)
    assert report["frames"] == 24 and "before the speech" in report["warnings"][0]
    duration = media.probe(out).duration
    assert duration is not None and duration < Fraction(11, 10)


def test_reenact_changes_the_lips_of_a_video(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    source, drive, out = clip("plain.mp4", 24), clip("turned.mp4", 12), tmp_path / "out.mkv"
    assert run(to_argv("reenact", source, drive, "-o", out, "--region lips", PLAIN)) == 0
    report = json.loads(capsys.readouterr().out)
    made, own = read_frames(out), read_frames(source)
    assert (report["source"], report["frames"], report["failed"]) == ("video", 12, 0)
    assert [f.pts * f.time_base for f in made] == [f.pts * f.time_base for f in own[:12]]
    for a, b in zip(made, own, strict=False):
        assert np.array_equal(a.pixels[:50], b.pixels[:50])


@pytest.mark.parametrize("words", ["--matte off", "--mouth synthetic", "--camera still"])
def test_reenact_refuses_what_a_video_has_of_its_own(
    clip: Clip, tmp_path: Path, capsys: Any, words: str
) -> None:
    source, out = clip("plain.mp4", 24), tmp_path / "out.mkv"
    assert run(to_argv("reenact", source, source, "-o", out, words)) == 2
    assert f"{words.split()[0]} has no effect on a source video" in capsys.readouterr().err


def test_the_face_that_speaks_is_sought_in_the_whole_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_face_clip(tmp_path / "talk.mp4", 8, tone=True)
    compared: list[int] = []

    def score(tracks: Iterable[int], log: TrackLog, *_: object) -> dict[int, float]:
        compared.append(log.frames)
        return dict.fromkeys(tracks, 0.3)

    monkeypatch.setattr(tracking, "score_speech", score)
    out = tmp_path / "out.mkv"
    sound = wave(tmp_path / "short.wav", 0.12)
    argv = to_argv("speak", tmp_path / "talk.mp4", sound, "--face speaking", "-o", out, PLAIN)
    assert run(argv) == 0
    assert compared == [8] and len(read_frames(out)) == 3
