"""Face tracker on scripted frames, and on real faces."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.faces.tracking.scripted import Pixels, ScriptedClip, ScriptedFace
from thcli.core.errors import UsageError
from thcli.core.types import Face
from thcli.faces.detection.blazeface import BlazeFace
from thcli.faces.landmarks.facemesh import FaceMesh
from thcli.faces.tracking.track import Tracker, TrackerOptions


def test_one_face_needs_the_detector_once_in_a_while() -> None:
    clip = ScriptedClip([[ScriptedFace(1, 100 + 3 * i)] for i in range(60)])
    assert clip.play() == [[0]] * 60
    assert clip.detected == 3


@pytest.mark.parametrize(("step", "ahead"), [(0.02, 0.0), (0.045, 0.5), (0.08, 1.0)])
def test_a_fast_face_is_expected_further_on(step: float, ahead: float) -> None:
    side = float(np.ptp(ScriptedFace(1, 0).face().box.reshape(2, 2), axis=0).max())
    places = 100 + step * side * np.arange(12)
    clip = ScriptedClip([[ScriptedFace(1, float(x))] for x in places])
    clip.play()
    still = ScriptedFace(1, 0).face()
    # the first frame is detected, and the second one's face has not been seen to move
    for x, face in zip(places[1:], clip.refitted[1:], strict=False):
        shift = float(x) + ahead * step * side
        assert face.mesh is not None and still.mesh is not None
        assert np.allclose(face.box - still.box, (shift, 0, shift, 0), atol=0.02)
        assert np.allclose(face.mesh - still.mesh, (shift, 0, 0), atol=0.02)


def test_faces_are_numbered_from_left_to_right() -> None:
    clip = ScriptedClip([[ScriptedFace(3, 600), ScriptedFace(1, 100), ScriptedFace(2, 350)]] * 4)
    assert clip.play() == [[0, 1, 2]] * 4


def test_no_face() -> None:
    assert ScriptedClip([[]] * 5).play() == [[]] * 5


def test_a_face_that_leaves_for_twenty_frames_keeps_its_number() -> None:
    frames = [[ScriptedFace(1, 100)]] * 5 + [[]] * 20 + [[ScriptedFace(1, 160)]] * 5
    assert ScriptedClip(frames).play() == [[0]] * 5 + [[]] * 20 + [[0]] * 5


def test_somebody_far_away_or_much_larger_is_somebody_else() -> None:
    far = ScriptedClip([[ScriptedFace(1, 100)]] * 3 + [[]] * 2 + [[ScriptedFace(1, 700)]] * 2)
    assert far.play()[-1] == [1]
    larger = ScriptedClip(
        [[ScriptedFace(1, 100, size=30)]] * 3 + [[]] * 2 + [[ScriptedFace(1, 100, size=90)]] * 2
    )
    assert larger.play()[-1] == [1]


def test_another_shape_in_the_same_place_is_somebody_else() -> None:
    clip = ScriptedClip([[ScriptedFace(1, 100)]] * 3 + [[]] * 5 + [[ScriptedFace(5, 100)]] * 2)
    assert clip.play()[-1] == [1]


def test_a_second_face_is_found_later() -> None:
    frames = [[ScriptedFace(1, 100)]] * 10 + [[ScriptedFace(1, 100), ScriptedFace(2, 500)]] * 30
    tracks = ScriptedClip(frames).play()
    first = next(i for i, found in enumerate(tracks) if found == [0, 1])
    assert 10 <= first <= 10 + TrackerOptions().detect_every
    assert tracks[first:] == [[0, 1]] * (40 - first)


def test_the_others_go_on_while_one_is_away() -> None:
    frames = (
        [[ScriptedFace(1, 100), ScriptedFace(2, 500)]] * 5
        + [[ScriptedFace(2, 500)]] * 20
        + [[ScriptedFace(1, 120), ScriptedFace(2, 500)]] * 8
    )
    tracks = ScriptedClip(frames).play()
    assert tracks[4] == [0, 1]
    assert tracks[5:25] == [[1]] * 20
    assert tracks[-1] == [0, 1]
    assert {number for found in tracks for number in found} == {0, 1}


def test_two_tracks_never_share_a_face() -> None:
    """One person passes behind the other: the landmarker finds the front one for both."""
    frames = [[ScriptedFace(1, 100), ScriptedFace(2, 300 - 10 * i)] for i in range(14)] + [
        [ScriptedFace(1, 100)]
    ] * 30
    tracks = ScriptedClip(frames).play()
    assert tracks[0] == [0, 1]
    assert tracks[-1] == [0]


def test_a_doubtful_mesh_ends_the_track() -> None:
    clip = ScriptedClip(
        [
            [ScriptedFace(1, 100)],
            [ScriptedFace(1, 100, logit=6)],
            [ScriptedFace(1, 100, logit=4)],
            [ScriptedFace(1, 100, logit=8)],
            [ScriptedFace(1, 100)],
        ]
    )
    assert clip.play() == [[0], [0], [], [], [0]]


def test_a_doubtful_box_begins_a_track_only_alone_or_when_found_again() -> None:
    wall = ScriptedFace(2, 500, size=120, logit=11.4)
    assert ScriptedClip([[wall]] * 3).play() == [[0]] * 3
    assert ScriptedClip([[ScriptedFace(1, 100), wall]] * 30).play() == [[0]] * 30


def test_a_face_outside_of_the_image_is_lost() -> None:
    assert ScriptedClip(
        [[ScriptedFace(1, 60)], [ScriptedFace(1, 20)], [ScriptedFace(1, -20)]]
    ).play() == [
        [0],
        [0],
        [],
    ]


def test_memory_ends() -> None:
    frames = [[ScriptedFace(1, 100)]] + [[]] * 12 + [[ScriptedFace(1, 100)]]
    assert ScriptedClip(frames).play(options=TrackerOptions(memory=10))[-1] == [1]


@pytest.mark.parametrize("count", [1, 2])
def test_no_more_faces_than_wanted(count: int) -> None:
    clip = ScriptedClip([[ScriptedFace(1, 100), ScriptedFace(2, 350), ScriptedFace(3, 600)]] * 3)
    assert clip.play(options=TrackerOptions(max_faces=count)) == [list(range(count))] * 3


def test_a_landmarker_that_cannot_follow() -> None:
    class OnlyPoints:
        def fit(self, image: Pixels, face: Face) -> Face | None:
            return face

    with pytest.raises(UsageError, match="OnlyPoints fits no mesh"):
        Tracker(ScriptedClip([]), OnlyPoints())


def render_head(astronaut: Pixels, x: float, y: float, k: float = 1.0) -> Pixels:
    """Render the astronaut's head on grey, 400 x 640, with the centre of its face at (x, y)."""
    head = np.array([[k, 0, x - 110 * k], [0, k, y - 97 * k]])
    return np.asarray(
        cv2.warpAffine(
            astronaut[30:250, 115:335],
            head,
            (640, 400),
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(128, 128, 128),
        ),
        np.uint8,
    )


def test_a_real_face_is_followed(
    detector: BlazeFace, landmarker: FaceMesh, astronaut: Pixels
) -> None:
    """It crosses the frame at 12 px per frame while it grows, leaves on the right, and returns."""
    tracker = Tracker(detector, landmarker)
    positions = [150 + 12 * i for i in range(30)] + [760] * 6 + [480 - 6 * i for i in range(6)]
    seen = []
    for i, x in enumerate(positions):
        faces = tracker.update(render_head(astronaut, x, 200, 0.9 + 0.01 * i))
        assert len(faces) <= 1
        seen.append([f.track for f in faces])
        if faces:
            middle = (faces[0].box[0] + faces[0].box[2]) / 2
            assert abs(middle - x) < 12
    assert seen[:30] == [[0]] * 30
    assert seen[30:36] == [[]] * 6
    assert seen[36:] == [[0]] * 6


def test_two_real_faces(detector: BlazeFace, landmarker: FaceMesh, astronaut: Pixels) -> None:
    tracker = Tracker(detector, landmarker)
    both = np.hstack([astronaut, astronaut[:, ::-1]])
    for shift in range(0, 30, 6):
        faces = tracker.update(np.roll(both, shift, 1))
        assert [f.track for f in faces] == [0, 1]
        assert [round(float(f.box[0])) // 512 for f in faces] == [0, 1]
