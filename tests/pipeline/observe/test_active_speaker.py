"""The face that speaks: the track whose mouth moves with the sound."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from thcli.audio.speech import Recording
from thcli.core.errors import NoFaceError, UsageError
from thcli.core.options import RunOptions
from thcli.core.types import Array, Array32, Face, Frame
from thcli.faces.tracking.select import SURE_MARGIN, TrackStatistics
from thcli.media.info import MediaInfo, StreamInfo
from thcli.motion.canonical import neutral
from thcli.pipeline.observe.active_speaker import score_speech
from thcli.pipeline.observe.inputs import require_sound
from thcli.pipeline.observe.track_log import TrackLog
from thcli.voices.a2m.sync import WEIGHTS, MouthMatcher
from thcli.voices.a2m.voice import load_network

RATE, SECONDS, FPS = 16000, 6, 25
RUN = RunOptions(threads=1)


def write_sound(path: Path, *, silent: bool = False) -> None:
    """Write syllables of a buzzing voice with two moving resonances, or silence."""
    rng = np.random.default_rng(0)
    t = np.arange(RATE * SECONDS) / RATE
    beats = np.sort(rng.uniform(0.2, SECONDS - 0.3, 3 * SECONDS))
    loud = np.exp(-0.5 * ((t[:, None] - beats) / 0.06) ** 2).max(1)
    first = np.interp(t, beats, rng.uniform(300, 900, len(beats)))
    second = np.interp(t, beats, rng.uniform(900, 2300, len(beats)))
    voice = np.zeros(len(t))
    for number in range(1, 30):
        hertz = 120.0 * number
        gain = sum(np.exp(-0.5 * ((hertz - peak) / 120) ** 2) for peak in (first, second))
        voice += gain * np.sin(2 * np.pi * hertz * t)
    sound = np.zeros(len(t)) if silent else 0.2 * loud * voice
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        out.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())


def mouths_of(path: Path) -> Array:
    """Return the shapes (T, 468, 3) that the sound moves a mouth to, one per frame of video."""
    rows: Array32 = MouthMatcher(RUN).sound_rows(Recording(path))[:: 50 // FPS]
    basis = load_network(WEIGHTS, RUN).basis.numpy()
    moved = np.tensordot(rows[:, : len(basis)].astype(np.float64), basis, 1)
    return np.asarray(neutral() + moved)


def face(track: int, shape: Array) -> Face:
    mesh = (shape * 60 + [200 * track + 100, 100, 0]).astype(np.float32)
    box = np.array([200 * track, 0, 200 * track + 150, 200], np.float32)
    return Face(box, 1.0, None, mesh, np.zeros((2, 5, 2), np.float32), 25.0, track)


def scores(path: Path, *tracks: Array) -> dict[int, float]:
    """Return the scores of faces with these shapes, (T, 468, 3) each, NaN where not seen."""
    with TrackLog() as log:
        for index in range(len(tracks[0])):
            image = np.zeros((200, 600, 3), np.uint8)
            frame = Frame(image, index, Fraction(1, FPS), index, 1)
            seen = [(n, shapes[index]) for n, shapes in enumerate(tracks)]
            log.add(frame, [face(n, shape) for n, shape in seen if np.isfinite(shape).all()])
        return score_speech(range(len(tracks)), log, MediaInfo(path, "video"), RUN)


def test_the_mouth_that_follows_the_sound_has_the_highest_score(tmp_path: Path) -> None:
    write_sound(tmp_path / "voice.wav")
    own = mouths_of(tmp_path / "voice.wav")
    late = np.concatenate([own[:2], own[:-2]])  # 80 ms
    still = np.repeat(own[:1], len(own), 0)
    half = np.where(np.arange(len(own))[:, None, None] < len(own) // 2, own, np.nan)
    found = scores(tmp_path / "voice.wav", own[::-1], late, still, half)
    assert found[1] > found[0] + SURE_MARGIN and found[1] > found[2] + SURE_MARGIN
    assert found[2] == pytest.approx(0, abs=0.01)
    assert 0.3 * found[1] < found[3] < 0.75 * found[1]  # of a face that is seen half of the time


def test_silence_has_no_speaker(tmp_path: Path) -> None:
    write_sound(tmp_path / "silent.wav", silent=True)
    with pytest.raises(NoFaceError, match="Nobody speaks"):
        scores(tmp_path / "silent.wav", np.repeat(neutral()[None], 30, 0))


def test_an_input_without_sound_is_refused() -> None:
    sound = (StreamInfo(1, "audio", "aac"),)
    require_sound(MediaInfo(Path("a.mp4"), "video", streams=sound), "speaking")
    require_sound(MediaInfo(Path("a.jpg"), "image"), "largest")
    with pytest.raises(UsageError, match=r"a\.mp4 has no sound"):
        require_sound(MediaInfo(Path("a.mp4"), "video"), "speaking")
    with pytest.raises(UsageError, match=r"a\.jpg is not a video"):
        require_sound(MediaInfo(Path("a.jpg"), "image"), "speaking")


def test_the_best_score_is_chosen_and_doubt_is_told() -> None:
    statistics, said = TrackStatistics(), list[str]()
    statistics.add([face(n, neutral()) for n in range(3)])
    with pytest.raises(UsageError, match="in a video with sound"):
        statistics.choose("speaking", said.append)
    statistics.speech = {0: 0.05, 1: 0.31, 2: 0.1}
    assert statistics.choose("speaking", said.append) == [1] and not said
    statistics.speech = {0: 0.05, 1: 0.11, 2: 0.12}
    assert statistics.choose("speaking", said.append, where="a.mp4") == [2]
    assert "Two faces in a.mp4 move about equally" in said[0]
