"""The default voice: windows and blocks change nothing, silence closes the mouth, options do what they say, lips close."""

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

from thcli.core.errors import MediaError, WeightsError
from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.types import Array, Array32, Motion, Stamps
from thcli.motion import canonical, sliders
from thcli.motion.file import MotionWriter
from thcli.voices.a2m import mouth, voice
from thcli.voices.a2m.features import COLUMNS, inputs, silence
from thcli.voices.a2m.networks import LATENT, REACH, STRIDE, Flow, Speaker

RATE = 16000


@dataclass(frozen=True)
class Sound:
    """A Speech of samples in memory; block: how long its blocks are."""

    samples: Array32
    block: int = 16000
    rate: int = RATE

    @property
    def length(self) -> int:
        return len(self.samples)

    def blocks(self, seconds: float = 10.0) -> Iterator[Array32]:
        for start in range(0, len(self.samples), self.block):
            yield self.samples[start : start + self.block]


def buzz(seconds: float, spoken: tuple[float, float]) -> Array32:
    """Syllables of a voice between two times, a room's noise around them."""
    time = np.arange(round(seconds * RATE)) / RATE
    tone = np.asarray(sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 20)))
    syllables = np.clip(np.sin(2 * np.pi * 4 * time), 0, None)
    here = (time > spoken[0]) & (time < spoken[1])
    draw = np.random.default_rng(0)
    return np.asarray(
        0.1 * tone * syllables * here + 3e-4 * draw.normal(size=len(time)), np.float32
    )


def network(seed: int = 0) -> Speaker:
    """A narrow one with random weights and a basis that opens the jaw."""
    torch.manual_seed(seed)
    net = Speaker(16, 4)
    net.basis[0] = torch.from_numpy(0.1 * sliders.shapes().jaw)
    net.basis[1] = torch.from_numpy(0.5 * sliders.shapes().wide)
    net.unit.fill_(0.04)
    net.gain.fill_(1.2)
    for coupling in net.flow.couplings:
        torch.nn.init.normal_(coupling.post.weight, std=0.1)  # type: ignore[arg-type, union-attr]
    return net


def frames(seconds: float, rate: int = 25) -> tuple[Stamps, Fraction]:
    return np.arange(round(seconds * rate), dtype=np.int64), Fraction(1, rate)


def say(
    sound: Sound,
    stamps: tuple[Stamps, Fraction],
    options: VoiceOptions | None = None,
    seed: int = 3,
) -> list[Motion]:
    speaker = voice.A2M([network(), network(1)], RunOptions(seed=seed, device="cpu"))
    return list(speaker.speak(sound, *stamps, options or VoiceOptions()))


def joined(parts: list[Motion], name: str) -> Array:
    return np.concatenate([np.asarray(part.arrays[name], np.float64) for part in parts])


def openings(parts: list[Motion]) -> Array:
    return canonical.mouth_opening(canonical.neutral() + joined(parts, "expression"))


def test_blocks_of_sound_change_nothing() -> None:
    samples, stamps = buzz(13.0, (1.0, 12.0)), frames(13.0)
    whole, parts = (say(Sound(samples, block), stamps) for block in (10**6, 7919))
    for name in ("expression", "pose", "gaze"):
        assert np.array_equal(joined(whole, name), joined(parts, name))


def test_a_row_depends_on_its_time_alone() -> None:
    """Half of the time stamps give half of the rows, to the bit: windows, rate and length change nothing."""
    samples = buzz(13.0, (1.0, 12.0))
    stamps, base = frames(13.0)
    every, second = say(Sound(samples), (stamps, base)), say(Sound(samples), (stamps[::2], base))
    assert len(every) > 1
    for name in ("expression", "pose", "gaze"):
        assert np.array_equal(joined(every, name)[::2], joined(second, name))


def test_nothing_reaches_further_than_the_network_is_given() -> None:
    net = network().eval()
    draw = torch.Generator().manual_seed(0)
    rows = 2 * REACH + 8
    x = torch.randn(1, 2 * rows, COLUMNS, generator=draw)
    noise = torch.randn(1, LATENT, rows // STRIDE, generator=draw)
    moved, loud = x.clone(), noise.clone()
    moved[:, 0], moved[:, -1] = 5, 5
    loud[..., 0], loud[..., -1] = 5, 5
    with torch.inference_mode():
        here, there = net(x, noise), net(moved, loud)
    assert torch.equal(here[:, REACH:-REACH], there[:, REACH:-REACH])
    assert not torch.equal(here, there)


def test_silence_closes_the_mouth() -> None:
    parts = say(Sound(buzz(6.0, (2.0, 4.0))), frames(6.0))
    found, seconds = openings(parts), np.arange(150) / 25
    assert found[(seconds > 2.2) & (seconds < 3.9)].mean() > 0.01
    assert found[(seconds < 1.4) | (seconds > 4.6)].max() < 1e-3
    assert np.abs(np.diff(found[seconds < 2.0])).max() < 0.1


@pytest.mark.parametrize(
    "samples", [np.zeros(32000), np.random.default_rng(0).normal(0, 0.05, 32000), np.zeros(100)]
)
def test_no_speech_no_movement_of_the_mouth(samples: Array) -> None:
    parts = say(Sound(np.asarray(samples, np.float32)), frames(2.0))
    assert sum(len(part) for part in parts) == 50
    assert openings(parts).max() < 1e-3


def test_seed_temperature_and_mouth() -> None:
    sound, stamps = Sound(buzz(4.0, (0.5, 3.5))), frames(4.0)
    calm = [
        joined(
            say(sound, stamps, VoiceOptions(temperature=0.0, pose="still", blink="none"), seed),
            "expression",
        )
        for seed in (1, 2)
    ]
    assert np.array_equal(calm[0], calm[1])
    lively = [
        joined(
            say(sound, stamps, VoiceOptions(temperature=1.0, pose="still", blink="none"), seed),
            "expression",
        )
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(lively[0], lively[1]) and not np.array_equal(lively[0], lively[2])
    shut, small, usual = (
        openings(say(sound, stamps, VoiceOptions(mouth=m, temperature=0.0)))
        for m in (0.0, 0.5, 1.0)
    )
    assert shut.max() < 1e-6 < small.mean() < usual.mean()


def test_still_natural_and_recorded_heads(tmp_path: Path) -> None:
    sound, stamps = Sound(buzz(4.0, (0.5, 3.5))), frames(4.0)
    still = say(sound, stamps, VoiceOptions(pose="still"))
    assert np.ptp(joined(still, "pose"), axis=0).max() == 0
    assert np.array_equal(joined(still, "pose")[0], still[0].constants["rest"])
    natural = joined(say(sound, stamps, VoiceOptions()), "pose")
    assert np.allclose(natural[0], still[0].constants["rest"])
    assert 0.3 < np.degrees(np.ptp(natural[:, :3], axis=0)).max() < 20
    assert np.degrees(np.abs(np.diff(natural[:, :3], axis=0))).max() < 1.5
    path = tmp_path / "nod.motion.safetensors"
    nod = sliders.motion(
        sliders.Script(pitch=np.linspace(0, 10, 50)), np.arange(50), Fraction(1, 25)
    )
    with MotionWriter(path) as writer:
        writer.append(nod)
    pitch = np.degrees(joined(say(sound, stamps, VoiceOptions(pose=str(path))), "pose")[:, 0])
    assert np.allclose([pitch[0], pitch[49], pitch[98]], [0, 10, 0], atol=0.3)


def test_what_is_no_head_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lost.motion.safetensors"
    nobody = sliders.motion(sliders.Script(), np.arange(5), Fraction(1, 25))
    lost = Motion(
        nobody.kind,
        nobody.pts,
        nobody.time_base,
        np.zeros(5, bool),
        nobody.arrays,
        nobody.constants,
    )
    with MotionWriter(path) as writer:
        writer.append(lost)
    with pytest.raises(MediaError, match="shows a head"):
        say(Sound(buzz(1.0, (0.2, 0.8))), frames(1.0), VoiceOptions(pose=str(path)))


def test_blinks_a_minute() -> None:
    sound, stamps = Sound(np.zeros(RATE * 30, np.float32)), frames(30.0)

    def blinks(choice: str) -> int:
        parts = say(sound, stamps, VoiceOptions(blink=choice, pose="still"))
        shut = (
            canonical.eye_openings(canonical.neutral() + joined(parts, "expression")).mean(-1) < 0.1
        )
        return int((np.diff(shut.astype(int)) > 0).sum())

    assert blinks("none") == 0
    assert 4 <= blinks("auto") <= 12
    assert blinks("40") > 14


def test_other_weights_are_refused() -> None:
    with pytest.raises(WeightsError, match="a2m-s"):
        voice.filled({"out.weight": torch.zeros(5, 16, 1)}, "a2m-s")
    state = network().state_dict()
    again = voice.filled({key: value.half() for key, value in state.items()}, "a2m-s")
    assert again.basis.shape == (4, 468, 3) and not again.training


def test_flow_and_its_inverse() -> None:
    torch.manual_seed(1)
    flow = Flow(8)
    for coupling in flow.couplings:
        torch.nn.init.normal_(coupling.post.weight, std=0.5)  # type: ignore[arg-type, union-attr]
    z, condition = torch.randn(2, LATENT, 9), torch.randn(2, 8, 9)
    with torch.inference_mode():
        noise = flow(z, condition)
        assert not torch.allclose(noise, z, atol=0.1)
        assert torch.allclose(flow.reverse(noise, condition), z, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 0.2), st.lists(st.floats(-0.05, 0.2), min_size=9, max_size=9))
def test_gaps_have_the_opening_as_their_mean_and_never_cross(
    opening: float, there: list[float]
) -> None:
    gaps = mouth.gaps(np.array([there]), np.array([opening]))[0]
    assert gaps.min() >= 0
    assert gaps.mean() == pytest.approx(max(opening - mouth.LEAST, 0), abs=1e-9)


def test_lips_touch_whatever_the_shape_says() -> None:
    basis = np.stack([sliders.shapes().jaw, sliders.shapes().wide]).astype(np.float32)
    rows = np.array([[0.5, 0.3, 0.0], [0.5, 0.3, 1.0]], np.float32)
    shut, open_ = mouth.Shapes(basis, 0.05).faces(rows)
    assert np.abs(canonical.lip_gaps(shut)).max() < 1e-6
    assert canonical.lip_gaps(open_).mean() == pytest.approx(0.05 - mouth.LEAST, abs=1e-6)


def test_inputs_are_bounded_and_silence_is_their_floor() -> None:
    rows = np.zeros((3, 82), np.float32)
    rows[:, :80] = [[-40.0], [-14.0], [0.0]]
    rows[:, 80] = [0, 700, 160]
    made = inputs(rows)
    assert made[0, :80] == pytest.approx(silence(1)[0, :80], abs=1e-3)
    assert made[:, 80].tolist() == [0, 0, 1] and made[2, 81] == pytest.approx(0)
    assert made[2, 0] == pytest.approx(3, abs=0.01)
