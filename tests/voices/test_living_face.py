"""Head, brows, eyes and emotion around a speaking mouth."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.voices.test_a2m import Sound, syllables
from thcli.audio.prosody import Prosody
from thcli.core.errors import UsageError
from thcli.core.options import VoiceOptions
from thcli.core.types import Array
from thcli.motion import emotions
from thcli.motion.canonical import eye_openings, lip_gaps, neutral
from thcli.motion.sliders import load_slider_shapes
from thcli.voices.shared.curves import wander
from thcli.voices.shared.head_motion import TalkingFace
from thcli.voices.shared.living_eyes import LivingEyes, draw_blink_times
from thcli.voices.shared.living_head import FADE_IN, LIMIT, LivingHead, still_head

HOUR = 3600.0


def talk(duration: float = 120.0, seed: int = 0) -> Prosody:
    """Return phrases of about 2.5 s with pauses of 0.6 s, and 1.3 accents per second in them."""
    draw = np.random.default_rng(seed)
    edges = np.cumsum(draw.uniform([2, 0.3], [3, 0.9], size=(int(duration / 3.1), 2)).reshape(-1))
    phrases = np.append(0.5, edges[:-1]).reshape(-1, 2)
    times = np.cumsum(draw.uniform(0.5, 1.0, size=int(duration / 0.75)))
    inside = ((times[:, None] > phrases[:, 0]) & (times[:, None] < phrases[:, 1])).any(-1)
    accents = np.stack([times, draw.uniform(0.2, 0.8, len(times))], -1)[inside]
    return Prosody(phrases, accents, 7)


def speeds(rotation: Array, step: float) -> Array:
    return np.asarray(np.degrees(np.linalg.norm(np.diff(rotation, axis=0), axis=-1)) / step)


@pytest.mark.parametrize("part", [slice(0, 1), slice(700, 760), slice(5, 3000, 7)])
def test_values_depend_on_seed_sound_and_time_alone(part: slice) -> None:
    seconds = np.arange(0, 120, 0.04)
    head, other = LivingHead(talk(), 3), LivingHead(talk(), 4)
    whole, some = head.motion(seconds), head.motion(seconds[part])
    for name in ("rotation", "zoom", "shift", "brow"):
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name)[part])
        assert not np.allclose(getattr(other.motion(seconds), name), getattr(whole, name))
    eyes = LivingEyes(talk(), 3, VoiceOptions(), 120.0)
    gaze = eyes.gaze(seconds, whole.rotation)
    np.testing.assert_array_equal(eyes.gaze(seconds[part], whole.rotation[part]), gaze[part])


def test_a_head_moves_as_fast_as_talkers_and_stays_within_its_limits_for_an_hour() -> None:
    """Talkers: 9 to 33 degrees per second, half of the energy between 0.5 and 2 Hz."""
    head = LivingHead(talk(HOUR), 1)
    for begin in (0.0, 1800.0, 3500.0):
        seconds = np.arange(begin, begin + 60, 0.04)
        motion = head.motion(seconds)
        assert (np.abs(motion.rotation) < LIMIT).all()
        assert np.abs(np.degrees(motion.rotation.mean(0))).max() < 4
        assert 11 < speeds(motion.rotation, 0.04).mean() < 25
        power = np.abs(np.fft.rfft(np.diff(motion.rotation, axis=0), axis=0)) ** 2
        hertz = np.fft.rfftfreq(len(seconds) - 1, 0.04)
        inside = power[(hertz > 0.5) & (hertz <= 2)].sum() / power[hertz > 0.1].sum()
        assert 0.35 < inside < 0.7
        assert 0.1 < motion.brow.std() < 0.5


def test_a_head_nods_into_an_accent_and_lifts_its_brows_there() -> None:
    seconds = np.arange(0, 6, 0.02)
    nods, brows = [], []
    for seed in range(40):
        motions = [
            LivingHead(Prosody(np.array([[1.0, 5.0]]), accents, 0), seed).motion(seconds)
            for accents in (np.array([[3.0, 1.0]]), np.zeros((0, 2)))
        ]
        nods.append(np.degrees(motions[0].rotation[:, 0] - motions[1].rotation[:, 0]))
        brows.append(motions[0].brow - motions[1].brow)
    nod, brow = np.mean(nods, 0), np.mean(brows, 0)
    assert nod[(seconds > 2.5) & (seconds < 2.75)].mean() < -0.4
    assert nod[(seconds > 3.0) & (seconds < 3.2)].mean() > 2
    assert brow[np.abs(seconds - 3.05) < 0.05].mean() > 0.2
    assert np.abs(nod[(seconds < 1.9) | (seconds > 4.1)]).max() == 0


def test_motion_begins_at_rest_and_is_smaller_in_silence() -> None:
    seconds = np.arange(0, 60, 0.04)
    spoken = LivingHead(talk(), 3).motion(seconds)
    silent = LivingHead(Prosody(np.zeros((0, 2)), np.zeros((0, 2)), 0), 3).motion(seconds)
    assert not spoken.rotation[0].any() and not spoken.brow[0].any() and spoken.zoom[0] == 1
    later = seconds[1:] > FADE_IN
    pace = [speeds(motion.rotation, 0.04)[later].mean() for motion in (spoken, silent)]
    assert 1 < pace[1] < 0.6 * pace[0]


def test_one_breathes_in_before_a_phrase() -> None:
    seconds = np.arange(0, 12, 0.04)
    phrases = np.array([[6.0, 11.0]])
    breathing, holding = (
        LivingHead(Prosody(found, np.zeros((0, 2)), 0), 2)._breath(seconds, np.ones(300))
        for found in (phrases, phrases[:0])
    )
    assert breathing[np.abs(seconds - 5.96) < 0.03].min() > 0.9 and not holding.any()


def test_a_still_head_does_not_move() -> None:
    motion = still_head(np.arange(0, 9, 0.04))
    assert not motion.rotation.any() and not motion.shift.any() and not motion.brow.any()
    assert (motion.zoom == 1).all()


def test_blinks_keep_their_rate_and_prefer_the_ends_of_phrases() -> None:
    prosody = talk(HOUR)
    places = prosody.phrases[:, 1] + 0.08
    for rate in (8.0, 20.0, 60.0):
        times = draw_blink_times(HOUR, 1, rate, places)
        assert len(times) == pytest.approx(60 * rate, rel=0.2)
        assert np.diff(times).min() > 0.4
    eyes = LivingEyes(prosody, 1, VoiceOptions(), HOUR)
    near, chance = (
        np.mean(np.abs(times[:, None] - places).min(1) < 0.1)
        for times in (eyes.blink_times, np.arange(0, HOUR, 0.7))
    )
    assert near > 3 * chance
    assert not len(draw_blink_times(HOUR, 1, 0.0, places))
    assert eyes.blinks_near(np.array([10.0, 20.0])) != eyes.blinks_near(np.array([20.0, 30.0]))


def test_gaze_holds_the_camera_or_a_direction_while_the_head_turns() -> None:
    """A nose to the image's left (+y) or down (+x) moves the irises to the right or up."""
    seconds = np.arange(0, 60, 0.04)
    rotation = LivingHead(talk(), 3).motion(seconds).rotation
    held, aside, natural = (
        LivingEyes(talk(), 3, VoiceOptions(gaze=gaze), 60.0).gaze(seconds, rotation)
        for gaze in ("camera", "20,-10", "natural")
    )
    np.testing.assert_allclose(held, 0.4 * np.stack([rotation[:, 1], -rotation[:, 0]], -1))
    expected = 0.4 * np.sin(np.radians([20, -10]))
    np.testing.assert_allclose(aside - held, np.broadcast_to(expected, held.shape))
    assert np.corrcoef(rotation[:, 1], natural[:, 0])[0, 1] > 0.3
    assert 0.01 < (natural - 0.8 * held).std() < 0.06


def test_a_curve_through_knots_has_their_spread_in_any_window() -> None:
    seconds = np.arange(0, 400, 0.1)
    whole = wander(seconds, 0.5, (3, 1), 2)
    np.testing.assert_array_equal(wander(seconds[317:921:3], 0.5, (3, 1), 2), whole[317:921:3])
    assert whole[::5].std() == pytest.approx(1, rel=0.1)
    assert np.abs(np.diff(whole, axis=0)).max() < 2


@pytest.mark.parametrize("name", ["happy", "sad", "angry", "surprised"])
def test_an_emotion_keeps_lips_as_far_open_and_is_symmetric(name: str) -> None:
    jaw = load_slider_shapes().jaw
    shape = neutral() + np.array([0.0, 0.3, 1.0])[:, None, None] * jaw
    gaps = lip_gaps(shape)
    gaps[0] = 0
    shape[0] = neutral()
    expected = lip_gaps(shape)
    before = shape.copy()
    lids = emotions.apply_emotion(shape, name, 0.8)
    np.testing.assert_allclose(lip_gaps(shape), expected, atol=1e-9)
    moved = np.linalg.norm(shape - before, axis=-1)
    assert 0.03 < moved.max() < 0.2 and (lids < 0) == (name == "surprised")
    change = emotions.emotion_shape(name)
    left, right = change[107], change[336]
    np.testing.assert_allclose(left * [-1, 1, 1], right, atol=2e-3)
    assert emotions.apply_emotion(before, "neutral", 1.0) == 0


def face(sound: Sound, seed: int, **options: Any) -> dict[str, Array]:
    pts = np.arange(75)
    talking = TalkingFace(sound, VoiceOptions(**options), seed)
    shapes = np.repeat(neutral()[None], len(pts), 0)
    motion = talking.motion(shapes, pts, Fraction(1, 25))
    return {name: np.asarray(values) for name, values in motion.arrays.items()}


def test_the_default_seed_differs_from_sound_to_sound_and_a_given_one_does_not() -> None:
    first, quieter = (Sound(gain * syllables(3.0, (0.5, 2.5))) for gain in (1.0, 0.98))
    drawn = [face(first, 0), face(quieter, 0), face(first, 0)]
    assert np.array_equal(drawn[0]["pose"], drawn[2]["pose"])
    assert np.abs(drawn[0]["pose"] - drawn[1]["pose"]).max() > 0.01
    given = [face(first, 5)["pose"], face(quieter, 5)["pose"]]
    assert np.allclose(given[0], given[1], atol=2e-3)


def test_emotion_and_gaze_reach_the_motion() -> None:
    sound = Sound(syllables(3.0, (0.5, 2.5)))
    plain, wide, aside = (
        face(sound, 1, pose="still", blink="none", **more)
        for more in ({}, {"emotion": "surprised:0.5"}, {"gaze": "15,0"})
    )
    opened = eye_openings(neutral() + wide["expression"]) / eye_openings(neutral())
    assert (opened > 1.1).all() and not plain["expression"].any()
    assert (aside["gaze"] - plain["gaze"])[..., 0].min() > 0.1


@pytest.mark.parametrize(
    "options", [{"emotion": "bored"}, {"emotion": "sad:9"}, {"emotion": "sad:x"}, {"gaze": "40,0"}]
)
def test_unknown_emotions_and_gazes_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"--(emotion|gaze) must be"):
        VoiceOptions(**options)
    assert VoiceOptions(emotion="happy:0.6").emotion_strength == ("happy", 0.6)
