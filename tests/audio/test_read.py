"""Audio decoding: layouts, rates, containers, ranges, gaps, and the message of each bad input."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.audio.sounds import RATE, Timing, noise, save, tone
from thcli.audio.read import read_blocks, read_sound, start_time
from thcli.audio.speech import Recording
from thcli.core.errors import MediaError
from thcli.core.options import AudioOptions
from thcli.core.types import Array32


def correlation(a: Array32, b: Array32) -> float:
    """Return the correlation of two sounds at lag 0."""
    count = min(len(a), len(b))
    return float(np.corrcoef(a[:count], b[:count])[0, 1])


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.wav", "pcm_s16le", 16000),
        ("a.wav", "pcm_f32le", 48000),
        ("a.wav", "pcm_u8", 8000),
        ("a.flac", "flac", 44100),
        ("a.mp3", "libmp3lame", 44100),
        ("a.m4a", "aac", 44100),
        ("a.ogg", "libopus", 48000),
        ("a.mkv", "flac", 22050),
    ],
)
def test_containers_and_rates(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    """Length and timing are kept at 16 kHz: a click moves by 2 ms at most."""
    seconds = 2.0
    sound = tone(seconds, 440, rate) * np.linspace(0.2, 1, round(seconds * rate), dtype=np.float32)
    sound_read = read_sound(save(tmp_path / name, sound, rate, codec))
    assert sound_read.rate == RATE and sound_read.samples.dtype == np.float32
    assert (
        abs(len(sound_read.samples) - seconds * RATE) <= 0.06 * RATE
    )  # lossy codecs round up to their frame
    assert np.abs(sound_read.samples).max() <= 1
    expected = tone(seconds) * np.linspace(0.2, 1, round(seconds * RATE), dtype=np.float32)
    lags = range(-32, 33)
    best = max(
        lags,
        key=lambda lag: correlation(
            sound_read.samples[4000 + lag : 24000 + lag], expected[4000:24000]
        ),
    )
    assert abs(best) <= 2 or abs(abs(best) - 16000 / 440) <= 1
    assert correlation(sound_read.samples[4000 + best : 24000 + best], expected[4000:24000]) > 0.99


def test_a_click_keeps_its_position(tmp_path: Path) -> None:
    """Resampling from 8, 44.1 and 48 kHz shifts a click by 2 samples at most."""
    for rate in (8000, 44100, 48000):
        sound = np.zeros(rate, np.float32)
        sound[rate // 2] = 0.9
        got = read_sound(save(tmp_path / f"{rate}.wav", sound, rate)).samples
        assert abs(int(np.abs(got).argmax()) - RATE // 2) <= 2
        assert abs(len(got) - RATE) <= 2


def test_channels_are_mixed(tmp_path: Path) -> None:
    left, right = tone(1, 300), tone(1, 700)
    stereo = read_sound(save(tmp_path / "s.wav", np.stack([left, right]), layout="stereo")).samples
    np.testing.assert_allclose(stereo, (left + right) / 2, atol=1e-3)
    voice, rumble = tone(1, 500), tone(1, 40, loud=0.9)
    silence = np.zeros_like(voice)
    surround = read_sound(
        save(
            tmp_path / "5.wav",
            np.stack([silence, silence, voice, rumble, silence, silence]),
            layout="5.1",
        )
    ).samples
    assert correlation(surround, voice) > 0.999  # nothing of the subwoofer
    assert np.abs(surround).max() > 0.2 * np.abs(voice).max()


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8, 16])
def test_plain_wav_files(tmp_path: Path, channels: int) -> None:
    """Channels without names have equal weights (FFmpeg guesses names for one and two only)."""
    sounds = np.stack([tone(0.5, 200 + 30 * channel) for channel in range(channels)])
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((channels, 2, RATE, 0, "NONE", ""))
        file.writeframes((sounds.T * 32767).astype("<i2").tobytes())
    np.testing.assert_allclose(
        read_sound(tmp_path / "a.wav").samples, sounds.mean(axis=0), atol=2e-3
    )


def test_video_as_sound(tmp_path: Path) -> None:
    path = save(tmp_path / "v.mp4", tone(1.5), codec="aac", with_video=True)
    assert abs(read_sound(path).seconds - Fraction(3, 2)) < Fraction(7, 100)
    late = save(
        tmp_path / "late.mkv", tone(1.0), codec="flac", with_video=True, timing=Timing(delay=8000)
    )
    assert abs(start_time(late) - Fraction(1, 2)) < Fraction(1, 100)
    assert read_sound(late).start == start_time(late)


@pytest.mark.parametrize("seconds", [0.001, 0.3, 100.0])
def test_blocks_equal_the_whole(tmp_path: Path, seconds: float) -> None:
    path = save(tmp_path / "n.wav", noise(1.3))
    whole = read_sound(path).samples
    parts = list(read_blocks(path, seconds=seconds))
    assert {len(part) for part in parts[:-1]} <= {max(1, round(seconds * RATE))}
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_range(tmp_path: Path) -> None:
    path = save(tmp_path / "n.wav", noise(2.0))
    whole, part = read_sound(path), read_sound(path, start=0.5, end=1.25)
    np.testing.assert_array_equal(part.samples, whole.samples[8000:20000])
    assert part.start == Fraction(1, 2)
    assert len(read_sound(path, start=1.5, end=99).samples) == 8000
    with pytest.raises(MediaError, match=r"no sound from 3 s on: it lasts 2\.00 s"):
        read_sound(path, start=3.0)


def test_a_gap_in_the_time_stamps_is_silence(tmp_path: Path) -> None:
    """The sound after the gap is at its time stamps."""
    sound = tone(2.0)
    got = read_sound(
        save(tmp_path / "hole.mkv", sound, codec="pcm_s16le", timing=Timing(jump=(16384, 0.75)))
    ).samples
    assert abs(len(got) - 2.75 * RATE) <= 20
    assert np.abs(got[16384 + 200 : 16384 + 11800]).max() < 1e-3
    assert correlation(got[16384 + 12000 + 100 :], sound[16384 + 100 :]) > 0.99


@pytest.mark.parametrize(("second", "seconds"), [(8000, 1.5), (-RATE, 2.0), (40000, 3.5)])
def test_a_stream_joined_from_two_recordings(tmp_path: Path, second: int, seconds: float) -> None:
    """The second overlaps by 0.5 s, restarts, or leaves a gap of 1 s; no sound appears twice."""
    sounds = noise(1.0, seed=1), noise(1.0, seed=2)
    parts = [
        save(tmp_path / f"{late}.ts", sound, codec="mp2", timing=Timing(delay=late)).read_bytes()
        for late, sound in zip((RATE, RATE + second), sounds, strict=True)
    ]
    (tmp_path / "both.ts").write_bytes(parts[0] + parts[1])
    got = read_sound(tmp_path / "both.ts").samples
    assert abs(len(got) - seconds * RATE) < 0.08 * RATE
    whole = save(tmp_path / "second.ts", sounds[1], codec="mp2")
    assert correlation(got[-4000:], read_sound(whole).samples[-4000:]) > 0.9


def test_bad_inputs(tmp_path: Path) -> None:
    """Each raises a MediaError with its own message and exit code 3."""
    silent_video = tmp_path / "silent.mp4"
    with av.open(str(silent_video), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        out.mux(stream.encode(None))
    empty, text, still = tmp_path / "empty.wav", tmp_path / "text.wav", tmp_path / "still.png"
    empty.write_bytes(b"")
    text.write_text("these are words\n" * 20)
    Image.new("RGB", (8, 8)).save(still)
    zero = tmp_path / "zero.wav"
    with wave.open(str(zero), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
    broken = tmp_path / "broken.m4a"
    broken.write_bytes(save(tmp_path / "whole.m4a", tone(1.0), codec="aac").read_bytes()[:3000])
    messages = {
        silent_video: "video without sound",
        empty: "is empty",
        text: "a text file",
        still: "image or video without sound",
        zero: "0 seconds",
        broken: "is truncated",
        tmp_path: "is a folder",
        tmp_path / "none.wav": "does not exist",
    }
    for path, message in messages.items():
        with pytest.raises(MediaError, match=message) as caught:
            read_sound(path)
        assert caught.value.exit_code == 3


def test_samples_that_are_not_finite(tmp_path: Path) -> None:
    sound = tone(0.5)
    sound[100], sound[200], sound[300] = np.nan, np.inf, -7.0
    got = read_sound(save(tmp_path / "f.wav", sound, codec="pcm_f32le")).samples
    assert np.isfinite(got).all() and np.abs(got).max() <= 1


def test_recordings_have_one_loudness(tmp_path: Path) -> None:
    """A quiet recording gives nearly the same samples as a loud one."""
    sound = noise(3.0, 0.2)
    loud = Recording(save(tmp_path / "loud.flac", sound, codec="flac"))
    quiet = Recording(save(tmp_path / "quiet.flac", sound * 0.1, codec="flac"))
    assert loud.length == quiet.length == 3 * RATE
    a, b = (np.concatenate(list(recording.blocks(0.7))) for recording in (loud, quiet))
    assert np.abs(a - b).max() < 0.01 * np.abs(a).max()
    unlevelled = Recording(loud.path, AudioOptions(level=False, start=1.0))
    np.testing.assert_array_equal(
        np.concatenate(list(unlevelled.blocks())), read_sound(loud.path).samples[RATE:]
    )


def _wav(path: Path, rate: int, channels: int, frames: int) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(1)
        out.setframerate(rate)
        out.writeframes(bytes([128]) * (channels * frames))
    return path


@pytest.mark.parametrize(
    ("rate", "channels", "match"),
    [
        (1, 1, "1 samples per second; 1000 to 768000"),
        (2_000_000_000, 1, "2000000000 samples per second"),
        (8000, 200, "200 channels; up to 64"),
    ],
)
def test_absurd_formats(tmp_path: Path, rate: int, channels: int, match: str) -> None:
    with pytest.raises(MediaError, match=match):
        read_sound(_wav(tmp_path / "a.wav", rate, channels, 400))


def test_a_sound_of_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thcli.audio.read._LONGEST", 360)
    hours = _wav(tmp_path / "a.wav", 1000, 1, 400_000)
    with pytest.raises(MediaError, match=r"more than 0.1 hours of sound.*--end"):
        list(read_blocks(hours))
    assert len(read_sound(hours, end=2.0).samples) == 2 * RATE
