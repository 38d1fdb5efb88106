"""dh-s: codes from a voice of motion, and pictures that differ from the portrait where the face moves."""

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
from thcli.core.protocols import PictureVoice, Speech
from thcli.core.types import Array32, Motion, Stamps
from thcli.motion import sliders
from thcli.motion.canonical import neutral
from thcli.voices.backends import VOICES
from thcli.voices.diffused_heads import small
from thcli.voices.diffused_heads.articulation import (
    EYES,
    GAPS,
    SPREAD,
    TURN,
    code,
    measured,
    mirrored,
)
from thcli.voices.diffused_heads.network import DiffusedHeads
from thcli.voices.diffused_heads.speech_codes import MOST_TURN, codes
from thcli.voices.diffused_heads.voice import CROP, Small, enlarged

TINY = replace(small.SHAPE, size=24, width=32, times=(1, 2), attention=(2,), head=16)


class Second:
    """A second of silence."""

    rate, length = 16000, 16000

    def blocks(self, seconds: float = 10.0) -> Iterator[Array32]:
        yield np.zeros(16000, np.float32)


class Opening:
    """Says nothing but opens the mouth, evenly in time, and turns the head far away; windows of a few rows."""

    motion_kind = "mesh"

    def speak(
        self, speech: Speech, pts: Stamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]:
        for begin in range(0, len(pts), 7):
            part = pts[begin : begin + 7]
            yield sliders.motion(
                sliders.Script(jaw=part * float(time_base), yaw=40.0), part, time_base
            )


def said(pts: list[int], base: Fraction) -> Array32:
    return np.stack(
        list(codes(Opening(), Second(), np.array(pts, np.int64), base, 2, VoiceOptions()))
    )


def test_codes_follow_the_motion_at_any_rate() -> None:
    """The gap grows with time; the neighbours lie 40 ms apart whatever the rate; the ends are held."""
    slow, quick = said([0, 5, 10, 20], Fraction(1, 25)), said([0, 10, 20, 40], Fraction(1, 50))
    assert slow.shape == (4, 5, 12)
    np.testing.assert_allclose(slow, quick, atol=1e-5)
    gap = slow[1:, :, 0]
    assert (np.diff(gap[1]) > 0).all() and (np.diff(gap[:, 2]) > 0).all()
    np.testing.assert_allclose(slow[0, :3, 0], slow[0, 2, 0])  # nothing before the beginning


def test_between_two_rows_codes_are_linear() -> None:
    fine = said([10, 11, 12], Fraction(1, 50))[:, 2]
    np.testing.assert_allclose(fine[1], (fine[0] + fine[2]) / 2, atol=1e-5)


def test_the_head_turns_a_little_only() -> None:
    assert (
        0.5 * MOST_TURN
        < float(np.abs(said([5], Fraction(1, 25))[0, 2, TURN] * SPREAD[TURN]).max())
        <= MOST_TURN
    )


def test_codes_of_the_identity_itself_are_zero_but_for_the_gaps() -> None:
    """Which are absolute: 0 is closed for everyone."""
    wide = (
        np.asarray(
            sliders.motion(sliders.Script(jaw=1.0, blink=1.0), [0], Fraction(1, 25)).arrays[
                "expression"
            ][0]
        )
        + neutral()
    )
    rows, rest = measured(wide, np.zeros(3)), measured(neutral(), np.zeros(3))
    own = code(rows, rows)
    assert own[GAPS].min() > 1 and np.abs(np.delete(own, (0, 1))).max() == 0
    assert code(rows, rest)[EYES] < -2 and abs(code(rest, rest)[0]) < 0.2


@given(seed=st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_mirroring_twice_is_nothing(seed: int) -> None:
    codes_ = np.random.default_rng(seed).normal(size=(3, 12)).astype(np.float32)
    np.testing.assert_array_equal(mirrored(mirrored(codes_)), codes_)


def voice(seed: int = 0) -> Small:
    torch.manual_seed(1)
    net = DiffusedHeads(TINY)
    torch.nn.init.normal_(net.state_dict()["out.2.weight"], 0.0, 0.02)
    return Small(net, Opening(), RunOptions(device="cpu", seed=seed), steps=4)


@pytest.mark.slow
def test_it_paints_within_the_face_and_nowhere_else() -> None:
    portrait = np.random.default_rng(0).integers(60, 200, (CROP, CROP, 3)).astype(np.uint8)
    painter = voice()
    assert isinstance(painter, PictureVoice) and painter.template == "close"

    def made(who: Small) -> list[Array32]:
        pts = np.arange(3, dtype=np.int64)
        return [
            np.asarray(p)
            for p in who.pictures(portrait, Second(), pts, Fraction(1, 25), VoiceOptions())
        ]

    first, again, other = made(painter), made(voice()), made(voice(seed=9))
    assert len(first) == 3 and all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    changed = np.abs(first[0].astype(int) - portrait).max(2)
    assert (
        changed[120:180, 100:156].max() > 0 and changed[:8].max() == 0 and changed[:, :8].max() == 0
    )


def test_a_portrait_that_does_not_change_keeps_every_pixel() -> None:
    portrait = np.random.default_rng(0).integers(0, 256, (CROP, CROP, 3)).astype(np.uint8)
    assert np.array_equal(enlarged(portrait, np.zeros((24, 24, 3), np.float32)), portrait)


@pytest.mark.slow
def test_the_bundled_one_loads_and_is_for_research_only() -> None:
    found = VOICES.backend("dh-s").load(RunOptions(device="cpu", offline=True))
    assert isinstance(found, Small) and found.network.shape == small.SHAPE
    with pytest.raises(WeightsError, match="--licence free"):
        VOICES.backend("dh-s").load(RunOptions(licence="free"))
