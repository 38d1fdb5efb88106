"""Default voice: independence of windows and blocks, silence, options, lip closure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audio.sounds import vowel
from thcli.audio.voice_activity import detect_speech
from thcli.core.errors import MediaError, WeightsError
from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.types import Array, Array32, Motion, Timestamps
from thcli.motion import canonical, sliders
from thcli.motion.file.writer import MotionWriter
from thcli.voices.a2m import mouth, voice
from thcli.voices.a2m.features import (
    INPUT_COLUMNS,
    PHONE_COLUMNS,
    SOUND_COLUMNS,
    network_inputs,
    phone_inputs,
    silent_inputs,
)
from thcli.voices.a2m.networks import CLOSURES, MEMBERS, REACH, MouthNetwork, TemporalNetwork

RATE = 16000


@dataclass(frozen=True)
class Sound:
    """Samples in memory as a Speech, in blocks of `block` samples."""

    samples: Array32
    block: int = 16000
    rate: int = RATE

    @property
    def length(self) -> int:
        return len(self.samples)

    def blocks(self, seconds: float = 10.0) -> Iterator[Array32]:
        for start in range(0, len(self.samples), self.block):
            yield self.samples[start : start + self.block]


def syllables(seconds: float, interval: tuple[float, float]) -> Array32:
    """Return syllables of a voice between two times in seconds, over room noise."""
    time = np.arange(round(seconds * RATE)) / RATE
    tone = np.asarray(sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 20)))
    envelope = np.clip(np.sin(2 * np.pi * 4 * time), 0, None)
    speaking = (time > interval[0]) & (time < interval[1])
    generator = np.random.default_rng(0)
    return np.asarray(
        0.1 * tone * envelope * speaking + 3e-4 * generator.normal(size=len(time)), np.float32
    )


def network(seed: int = 0) -> MouthNetwork:
    """Return a narrow network with random weights and a basis that opens the jaw.

    Voiced sound opens the mouth; the logits of closures stay below their thresholds.
    """
    torch.manual_seed(seed)
    net = MouthNetwork(4, 4)
    net.basis[0] = torch.from_numpy(0.1 * sliders.load_slider_shapes().jaw)
    net.basis[1] = torch.from_numpy(0.5 * sliders.load_slider_shapes().wide)
    net.unit.fill_(0.04)
    net.gain.fill_(1.2)
    net.unexplained.fill_(0.7)
    with torch.no_grad():
        for member in net.networks:
            assert isinstance(member, TemporalNetwork) and member.out.bias is not None
            member.out.bias[-1 - CLOSURES] = 2
            member.out.bias[-CLOSURES:] = -8
    return net


def frames(seconds: float, rate: int = 25) -> tuple[Timestamps, Fraction]:
    return np.arange(round(seconds * rate), dtype=np.int64), Fraction(1, rate)


def speak(
    sound: Sound,
    stamps: tuple[Timestamps, Fraction],
    options: VoiceOptions | None = None,
    seed: int = 3,
) -> list[Motion]:
    speaker = voice.AudioToMotionVoice(network(), RunOptions(seed=seed, device="cpu"))
    return list(speaker.speak(sound, *stamps, options or VoiceOptions()))


def join(parts: list[Motion], name: str) -> Array:
    return np.concatenate([np.asarray(part.arrays[name], np.float64) for part in parts])


def openings(parts: list[Motion]) -> Array:
    return canonical.mouth_opening(canonical.neutral() + join(parts, "expression"))


def test_motion_does_not_depend_on_the_blocks() -> None:
    samples, stamps = syllables(13.0, (1.0, 12.0)), frames(13.0)
    whole, parts = (speak(Sound(samples, block), stamps) for block in (10**6, 7919))
    for name in ("expression", "pose", "gaze"):
        assert np.array_equal(join(whole, name), join(parts, name))


def test_a_row_depends_on_its_time_alone() -> None:
    """Half of the time stamps give half of the rows, bit for bit."""
    samples = syllables(13.0, (1.0, 12.0))
    stamps, base = frames(13.0)
    every, second = (
        speak(Sound(samples), (stamps, base)),
        speak(Sound(samples), (stamps[::2], base)),
    )
    assert len(every) > 1
    for name in ("expression", "pose", "gaze"):
        assert np.array_equal(join(every, name)[::2], join(second, name))


def test_rows_depend_on_inputs_within_reach() -> None:
    net = network().eval()
    x = torch.randn(1, 2 * (2 * REACH + 8), INPUT_COLUMNS, generator=torch.manual_seed(0))
    changed = x.clone()
    changed[:, 0], changed[:, -1] = 5, 5
    with torch.inference_mode():
        rows, changed_rows = net(x), net(changed)
    assert torch.equal(rows[:, REACH:-REACH], changed_rows[:, REACH:-REACH])
    assert not torch.equal(rows, changed_rows)


def test_each_predictor_hears_its_own_columns() -> None:
    net = network().eval()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 32, INPUT_COLUMNS, generator=generator)
    other = torch.randn(1, 32, INPUT_COLUMNS, generator=generator)
    other[..., :SOUND_COLUMNS] = x[..., :SOUND_COLUMNS]
    with torch.inference_mode():
        linear, *networks = (net.members(x) == net.members(other)).flatten(1).all(1).tolist()
    assert not linear
    assert networks == [member.hears.stop == SOUND_COLUMNS for member in MEMBERS]


def test_noise_differs_from_chunk_to_chunk_and_goes_on_smoothly() -> None:
    speaker = voice.AudioToMotionVoice(network(), RunOptions(seed=3, device="cpu"))
    first, second = speaker._noise(0), speaker._noise(1)
    assert first.shape == (voice.CHUNK_ROWS, 5)
    assert not np.allclose(first, second, atol=1e-3)
    joined = np.concatenate([first, second])
    assert np.abs(np.diff(joined, axis=0)).max() < 2.5 and joined.std() == pytest.approx(1, abs=0.1)


def test_amplitude_is_that_of_people_at_any_temperature() -> None:
    """The noise replaces what the gain gives up."""
    net = network()
    generator = torch.Generator().manual_seed(0)
    told = torch.randn(20_000, 5, generator=generator) * 0.3**0.5  # as much as the sound tells
    net.gain.fill_(0.3**-0.5)
    for temperature in (0.0, 0.4, 1.0):
        noise = torch.randn(20_000, 5, generator=generator)
        rows = net.with_amplitude(told, noise, temperature)
        assert torch.allclose(rows.std(0), torch.ones(5), atol=0.04)


def test_silence_closes_the_mouth() -> None:
    parts = speak(Sound(syllables(6.0, (2.0, 4.0))), frames(6.0))
    found, seconds = openings(parts), np.arange(150) / 25
    assert found[(seconds > 2.2) & (seconds < 3.9)].mean() > 0.01
    assert found[(seconds < 1.4) | (seconds > 4.6)].max() < 1e-3
    assert np.abs(np.diff(found[seconds < 2.0])).max() < 0.1


@pytest.mark.parametrize(
    "samples", [np.zeros(32000), np.random.default_rng(0).normal(0, 0.05, 32000), np.zeros(100)]
)
def test_the_mouth_is_still_without_speech(samples: Array) -> None:
    parts = speak(Sound(np.asarray(samples, np.float32)), frames(2.0))
    assert sum(len(part) for part in parts) == 50
    assert openings(parts).max() < 1e-3


def test_seed_temperature_and_mouth() -> None:
    sound, stamps = Sound(syllables(4.0, (0.5, 3.5))), frames(4.0)
    deterministic = [
        join(
            speak(sound, stamps, VoiceOptions(temperature=0.0, pose="still", blink="none"), seed),
            "expression",
        )
        for seed in (1, 2)
    ]
    assert np.array_equal(deterministic[0], deterministic[1])
    sampled = [
        join(
            speak(sound, stamps, VoiceOptions(temperature=1.0, pose="still", blink="none"), seed),
            "expression",
        )
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(sampled[0], sampled[1]) and not np.array_equal(sampled[0], sampled[2])
    shut, small, full = (
        openings(speak(sound, stamps, VoiceOptions(mouth=m, temperature=0.0)))
        for m in (0.0, 0.5, 1.0)
    )
    assert shut.max() < 1e-6 < small.mean() < full.mean()


def test_still_idle_and_recorded_heads(tmp_path: Path) -> None:
    sound, stamps = Sound(syllables(4.0, (0.5, 3.5))), frames(4.0)
    still = speak(sound, stamps, VoiceOptions(pose="still"))
    assert np.ptp(join(still, "pose"), axis=0).max() == 0
    assert np.array_equal(join(still, "pose")[0], still[0].constants["rest"])
    idle = join(speak(sound, stamps, VoiceOptions()), "pose")
    assert np.allclose(idle[0], still[0].constants["rest"])
    assert 0.3 < np.degrees(np.ptp(idle[:, :3], axis=0)).max() < 20
    assert np.degrees(np.abs(np.diff(idle[:, :3], axis=0))).max() < 3
    path = tmp_path / "nod.motion.safetensors"
    nod = sliders.motion_from_sliders(
        sliders.SliderCurves(pitch=np.linspace(0, 10, 50)), np.arange(50), Fraction(1, 25)
    )
    with MotionWriter(path) as writer:
        writer.append(nod)
    pitch = np.degrees(join(speak(sound, stamps, VoiceOptions(pose=str(path))), "pose")[:, 0])
    assert np.allclose([pitch[0], pitch[49], pitch[98]], [0, 10, 0], atol=0.3)


def test_a_pose_file_without_a_head_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "lost.motion.safetensors"
    motion = sliders.motion_from_sliders(sliders.SliderCurves(), np.arange(5), Fraction(1, 25))
    undetected = Motion(
        motion.kind,
        motion.pts,
        motion.time_base,
        np.zeros(5, bool),
        motion.arrays,
        motion.constants,
    )
    with MotionWriter(path) as writer:
        writer.append(undetected)
    with pytest.raises(MediaError, match="shows a head"):
        speak(Sound(syllables(1.0, (0.2, 0.8))), frames(1.0), VoiceOptions(pose=str(path)))


def test_blinks_per_minute() -> None:
    sound, stamps = Sound(np.zeros(RATE * 30, np.float32)), frames(30.0)

    def blinks(choice: str) -> int:
        parts = speak(sound, stamps, VoiceOptions(blink=choice, pose="still"))
        shut = (
            canonical.eye_openings(canonical.neutral() + join(parts, "expression")).mean(-1) < 0.1
        )
        return int((np.diff(shut.astype(int)) > 0).sum())

    assert blinks("none") == 0
    assert 4 <= blinks("auto") <= 12
    assert blinks("40") > 14


def test_other_weights_are_rejected() -> None:
    with pytest.raises(WeightsError, match=r"a2m-s .*does not fit"):
        voice.build_network({"networks.0.stem.weight": torch.zeros(16, 82, 3)}, "a2m-s")
    with pytest.raises(WeightsError, match="a2m-s has the layout of four predictors"):
        voice.build_network({"sound.stem.weight": torch.zeros(16, 82, 3)}, "a2m-s")
    state = network().state_dict()
    again = voice.build_network({key: value.half() for key, value in state.items()}, "a2m-s")
    assert again.basis.shape == (4, 468, 3) and not again.training


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 0.2), st.lists(st.floats(-0.05, 0.2), min_size=9, max_size=9))
def test_gaps_have_the_mean_opening_and_never_cross(
    opening: float, shape_gaps: list[float]
) -> None:
    gaps = mouth.distribute_opening(np.array([shape_gaps]), np.array([opening]))[0]
    assert gaps.min() >= 0
    assert gaps.mean() == pytest.approx(max(opening - mouth.MIN_OPENING, 0), abs=1e-9)


def test_lips_touch_for_any_shape() -> None:
    basis = np.stack([sliders.load_slider_shapes().jaw, sliders.load_slider_shapes().wide]).astype(
        np.float32
    )
    rows = np.array([[0.5, 0.3, 0.0], [0.5, 0.3, 1.0]], np.float32)
    shut, open_ = mouth.MouthShapes(basis, 0.05).faces(rows)
    assert np.abs(canonical.lip_gaps(shut)).max() < 1e-6
    assert canonical.lip_gaps(open_).mean() == pytest.approx(0.05 - mouth.MIN_OPENING, abs=1e-6)


def test_inputs_are_bounded_below_by_silence() -> None:
    rows = np.zeros((3, 82), np.float32)
    rows[:, :80] = [[-40.0], [-14.0], [0.0]]
    rows[:, 80] = [0, 700, 160]
    inputs = network_inputs(rows)
    assert inputs[0, :80] == pytest.approx(silent_inputs(1)[0, :80], abs=1e-3)
    phones = phone_inputs(np.array([[0.0, -4.0, -20.0]]))
    assert phones.tolist() == [[1, 0, -1]]
    assert silent_inputs(1).shape == (1, SOUND_COLUMNS + PHONE_COLUMNS)
    assert inputs[:, 80].tolist() == [0, 0, 1] and inputs[2, 81] == pytest.approx(0)
    assert inputs[2, 0] == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize("rest", [0.0, 1.0])
def test_a_held_vowel_keeps_the_mouth_open(rest: float) -> None:
    """Singing: 5 s of one vowel with vibrato, alone or between rests."""
    time = np.arange(5 * RATE) / RATE
    note = 0.3 * vowel(220 * (1 + 0.02 * np.sin(2 * np.pi * 5.5 * time)))
    sound = np.concatenate([np.zeros(round(rest * RATE)), note, np.zeros(round(rest * RATE))])
    sound = sound + 3e-4 * np.random.default_rng(0).normal(size=len(sound))
    phrases = detect_speech(Sound(np.asarray(sound, np.float32)))
    seconds = rest + np.arange(0.1, 4.9, 0.04)
    assert (voice.mouth_gate(phrases, seconds) == 1).all()
