"""Tracks over cuts, and with an identity encoder, on scripted frames."""

from __future__ import annotations

from tests.faces.tracking.scripted import ByColour, ScriptedClip, ScriptedFace
from thcli.faces.tracking.track import Tracker, TrackerOptions


def test_over_a_cut_another_person_is_another_track() -> None:
    frames = (
        [[ScriptedFace(1, 100)]] * 3 + [[ScriptedFace(5, 110)]] * 3 + [[ScriptedFace(1, 100)]] * 3
    )
    clip = ScriptedClip(frames, backdrops=[0] * 3 + [7] * 3 + [0] * 3)
    assert clip.play() == [[0]] * 3 + [[1]] * 3 + [[0]] * 3


def test_over_a_cut_the_same_person_keeps_the_track() -> None:
    frames = [[ScriptedFace(1, 100)]] * 3 + [[ScriptedFace(1, 500, size=90)]] * 3
    assert ScriptedClip(frames, backdrops=[0] * 3 + [7] * 3).play() == [[0]] * 6


def test_the_tracker_reports_cuts() -> None:
    clip = ScriptedClip([[]] * 4, backdrops=[0, 0, 7, 7])
    tracker = Tracker(clip, clip)
    cuts = []
    for i in range(4):
        tracker.update(clip.image(i))
        cuts.append(tracker.cut)
    assert cuts == [False, False, True, False]


def test_with_an_identity_encoder_people_are_known_again() -> None:
    frames = (
        [[ScriptedFace(1, 100), ScriptedFace(2, 500)]] * 2
        + [[]] * 2
        + [[ScriptedFace(2, 100), ScriptedFace(1, 500)]] * 3
    )
    assert ScriptedClip(frames, painted=True).play()[-1] == [
        0,
        1,
    ]  # by place, since the shapes are alike enough
    assert ScriptedClip(frames, painted=True).play(identity=ByColour())[-1] == [1, 0]


def test_identity_decides_over_cuts() -> None:
    """Shot and reverse shot of two people of one shape in one place, and back after the memory."""
    scenes = [1, 2, 1, 3, 2]
    frames = [[ScriptedFace(person, 100, size=80)] for person in scenes for _ in range(6)]
    backdrops = [person for person in scenes for _ in range(6)]
    clip = ScriptedClip(frames, backdrops, painted=True)
    options = TrackerOptions(memory=4)
    assert [found for (found,) in clip.play(identity=ByColour(), options=options)[::6]] == [
        0,
        1,
        0,
        2,
        1,
    ]
    assert [found for (found,) in clip.play(options=options)[::6]] != [0, 1, 0, 2, 1]


def test_a_single_person_is_never_encoded() -> None:
    """The face is also lost and returns to its place."""
    encoder = ByColour()
    frames = (
        [[ScriptedFace(1, 100 + i)] for i in range(60)] + [[]] * 8 + [[ScriptedFace(1, 180)]] * 10
    )
    assert ScriptedClip(frames, painted=True).play(identity=encoder)[-1] == [0]
    assert encoder.encoded == 0


def test_a_place_that_fits_and_a_face_that_does_not_is_somebody_else() -> None:
    frames = (
        [[ScriptedFace(1, 100), ScriptedFace(2, 600)]] * 3
        + [[ScriptedFace(2, 600)]] * 8
        + [[ScriptedFace(3, 100), ScriptedFace(2, 600)]] * 8
    )
    assert ScriptedClip(frames, painted=True).play(identity=ByColour())[-1] == [2, 1]
    assert ScriptedClip(frames, painted=True).play()[-1] == [0, 1]
