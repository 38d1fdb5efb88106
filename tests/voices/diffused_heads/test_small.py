"""Voice dh-s: codes from a motion voice, and images that differ from the portrait at the face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions, VoiceOptions
from thcli.core.protocols import RenderingVoice, Speech
from thcli.core.types import Array32, Motion, Timestamps
from thcli.faces.landmarks import topology
from thcli.motion import sliders
from thcli.motion.canonical import neutral
from thcli.voices.backends import VOICES
from thcli.voices.diffused_heads import small
from thcli.voices.diffused_heads.articulation import (
    EYES,
    GAPS,
    SPREAD,
    TURN,
    encode_articulation,
    measure_face,
    mirror_codes,
)
from thcli.voices.diffused_heads.network import DiffusedHeads
from thcli.voices.diffused_heads.speech_codes import MAX_HEAD_ROTATION, predict_codes
from thcli.voices.diffused_heads.voice import CROP_SIZE, SmallVoice, apply_difference

TINY = replace(
    small.CONFIG,
    size=24,
    base_channels=32,
    channel_multipliers=(1, 2),
    attention_factors=(2,),
    head_channels=16,
)


class SilentSecond:
    """One second of silence."""

    rate, length = 16000, 16000

    def blocks(self, seconds: float = 10.0) -> Iterator[Array32]:
        yield np.zeros(16000, np.float32)


class OpeningMouth:
    """Voice that opens the mouth evenly in time and rotates the head by 40 degrees.

    Its windows have 7 rows.
    """

    motion_kind = "mesh"

    def speak(
        self, speech: Speech, pts: Timestamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]:
        for begin in range(0, len(pts), 7):
            part = pts[begin : begin + 7]
            yield sliders.motion_from_sliders(
                sliders.SliderCurves(jaw=part * float(time_base), yaw=40.0), part, time_base
            )


def codes_at(pts: list[int], base: Fraction) -> Array32:
    return np.stack(
        list(
            predict_codes(
                OpeningMouth(), SilentSecond(), np.array(pts, np.int64), base, 2, VoiceOptions()
            )
        )
    )


def test_codes_follow_the_motion_at_any_rate() -> None:
    """The gap grows with time; context rows are 40 ms apart at any rate and repeat at the ends."""
    slow, quick = (
        codes_at([0, 5, 10, 20], Fraction(1, 25)),
        codes_at([0, 10, 20, 40], Fraction(1, 50)),
    )
    assert slow.shape == (4, 5, 12)
    np.testing.assert_allclose(slow, quick, atol=1e-5)
    gap = slow[1:, :, 0]
    assert (np.diff(gap[1]) > 0).all() and (np.diff(gap[:, 2]) > 0).all()
    np.testing.assert_allclose(slow[0, :3, 0], slow[0, 2, 0])  # repeated before the beginning


def test_codes_are_linear_between_rows() -> None:
    fine = codes_at([10, 11, 12], Fraction(1, 50))[:, 2]
    np.testing.assert_allclose(fine[1], (fine[0] + fine[2]) / 2, atol=1e-5)


def test_head_rotation_is_limited() -> None:
    assert (
        0.5 * MAX_HEAD_ROTATION
        < float(np.abs(codes_at([5], Fraction(1, 25))[0, 2, TURN] * SPREAD[TURN]).max())
        <= MAX_HEAD_ROTATION
    )


def test_codes_of_the_identity_are_zero_except_for_the_gaps() -> None:
    """Gaps are absolute: 0 is closed for every face."""
    wide = (
        np.asarray(
            sliders.motion_from_sliders(
                sliders.SliderCurves(jaw=1.0, blink=1.0), [0], Fraction(1, 25)
            ).arrays["expression"][0]
        )
        + neutral()
    )
    rows, rest = measure_face(wide, np.zeros(3)), measure_face(neutral(), np.zeros(3))
    own = encode_articulation(rows, rows)
    assert own[GAPS].min() > 1 and np.abs(np.delete(own, (0, 1))).max() == 0
    assert (
        encode_articulation(rows, rest)[EYES] < -2 and abs(encode_articulation(rest, rest)[0]) < 0.2
    )


def test_mirrored_codes_are_those_of_the_mirrored_face() -> None:
    """A mirror image swaps left and right points and reverses yaw and roll."""
    shape = neutral() + np.random.default_rng(0).normal(0, 0.01, (468, 3))
    rotation = np.array([0.01, 0.02, -0.03])
    mirror_shape = shape[topology.PAIRS] * [-1, 1, 1]
    rest = measure_face(neutral(), np.zeros(3))
    codes = encode_articulation(measure_face(shape, rotation), rest)
    mirror = encode_articulation(measure_face(mirror_shape, rotation * [1, -1, -1]), rest)
    np.testing.assert_allclose(mirror, mirror_codes(codes), atol=1e-3)


@given(seed=st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_mirroring_twice_is_the_identity(seed: int) -> None:
    codes_ = np.random.default_rng(seed).normal(size=(3, 12)).astype(np.float32)
    np.testing.assert_array_equal(mirror_codes(mirror_codes(codes_)), codes_)


def small_voice(seed: int = 0) -> SmallVoice:
    torch.manual_seed(1)
    net = DiffusedHeads(TINY)
    torch.nn.init.normal_(net.state_dict()["out.2.weight"], 0.0, 0.02)
    return SmallVoice(net, OpeningMouth(), RunOptions(device="cpu", seed=seed), steps=4)


@pytest.mark.slow
def test_only_the_face_changes() -> None:
    portrait = (
        np.random.default_rng(0).integers(60, 200, (CROP_SIZE, CROP_SIZE, 3)).astype(np.uint8)
    )
    painter = small_voice()
    assert isinstance(painter, RenderingVoice) and painter.template == "close"

    def render(voice: SmallVoice) -> list[Array32]:
        pts = np.arange(3, dtype=np.int64)
        return [
            np.asarray(p)
            for p in voice.render_frames(
                portrait, SilentSecond(), pts, Fraction(1, 25), VoiceOptions()
            )
        ]

    first, again, other = render(painter), render(small_voice()), render(small_voice(seed=9))
    assert len(first) == 3 and all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    changed = np.abs(first[0].astype(int) - portrait).max(2)
    assert (
        changed[120:180, 100:156].max() > 0 and changed[:8].max() == 0 and changed[:, :8].max() == 0
    )


def test_a_difference_of_zero_keeps_every_pixel() -> None:
    portrait = np.random.default_rng(0).integers(0, 256, (CROP_SIZE, CROP_SIZE, 3)).astype(np.uint8)
    assert np.array_equal(apply_difference(portrait, np.zeros((24, 24, 3), np.float32)), portrait)


@pytest.mark.slow
def test_bundled_weights_load_and_are_for_research_only() -> None:
    found = VOICES.backend("dh-s").load(RunOptions(device="cpu", offline=True))
    assert isinstance(found, SmallVoice) and found.network.config == small.CONFIG
    with pytest.raises(WeightsError, match="--licence free"):
        VOICES.backend("dh-s").load(RunOptions(licence="free"))
