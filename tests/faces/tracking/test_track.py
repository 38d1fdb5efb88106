"""Tracks on a scripted stage: the picture carries its frame number, and fakes see the faces that the script puts there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from thcli.core.errors import UsageError
from thcli.core.geometry import box_of
from thcli.core.types import Array32, Face
from thcli.faces.detection.blazeface import BlazeFace
from thcli.faces.identity.encoder import CropEncoder
from thcli.faces.landmarks.facemesh import FaceMesh
from thcli.faces.tracking.track import Tracker, TrackOptions
from thcli.motion.canonical import neutral

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SourceFace:
    """Someone on the stage in one frame. who: also decides the face's shape and vector."""

    who: int
    x: float
    y: float = 150.0
    size: float = 60.0
    logit: float = 25.0

    def mesh(self) -> Array32:
        """People from 4 on have long heads, the others are alike in shape."""
        shape = neutral() * (1, 1.2 if self.who >= 4 else 1, 1)
        return np.asarray(self.size * shape + (self.x, self.y, 0), np.float32)

    def face(self) -> Face:
        mesh = self.mesh()
        return Face(box_of(mesh), 0.9, None, mesh, np.zeros((2, 5, 2), np.float32), self.logit)


class ByColour(CropEncoder):
    """An identity backend that knows people by the colour of their faces. asked: how many crops it saw."""

    name, same_person = "fake", 0.5

    def __init__(self) -> None:
        self.asked = 0

    def vectors(self, crops: Sequence[Picture]) -> Array32:
        self.asked += len(crops)
        out = np.zeros((len(crops), 512), np.float32)
        out[
            np.arange(len(crops)), [round(float(crop[40:72, 40:72].mean()) / 25) for crop in crops]
        ] = 1
        return out


@dataclass
class Stage:
    """The fakes: a detector that sees every actor, a landmarker that finds whoever stands under the given face."""

    frames: Sequence[Sequence[SourceFace]]
    backdrops: Sequence[int] = ()
    painted: bool = False  # whether faces have a colour, by which ByColour knows them
    detected: int = 0
    now: list[SourceFace] = field(default_factory=list)

    def picture(self, frame: int) -> Picture:
        self.now = list(self.frames[frame])
        seed = self.backdrops[frame] if self.backdrops else 0
        rng = np.random.default_rng(seed)
        small = rng.uniform(0, 255, (6, 8, 3)).astype(np.float32) * rng.uniform(0.4, 1, 3).astype(
            np.float32
        )
        out = np.clip(cv2.resize(small, (800, 300), interpolation=cv2.INTER_CUBIC), 0, 255).astype(
            np.uint8
        )
        for actor in self.now if self.painted else ():
            cv2.circle(
                out,
                (round(actor.x), round(actor.y)),
                round(0.5 * actor.size),
                (25 * actor.who,) * 3,
                -1,
            )
        return out

    def detect(self, picture: Picture) -> list[Face]:
        self.detected += 1
        return [Face(a.face().box, 0.9) for a in self.now]

    def fit(self, picture: Picture, face: Face) -> Face | None:
        middle = (face.box[:2] + face.box[2:]) / 2
        reach = float(max(face.box[2:] - face.box[:2]))
        for actor in self.now:
            own = actor.face()
            if np.abs((own.box[:2] + own.box[2:]) / 2 - middle).max() < 0.5 * reach:
                return replace(own, track=face.track)
        return None

    def refit(self, picture: Picture, face: Face) -> Face | None:
        return self.fit(picture, face)

    def play(
        self, *, identity: ByColour | None = None, options: TrackOptions | None = None
    ) -> list[list[int]]:
        """The track numbers in each frame, left to right."""
        tracker = Tracker(self, self, identity=identity, options=options)
        out = []
        for i in range(len(self.frames)):
            faces = tracker.update(self.picture(i))
            assert all(f.mesh is not None for f in faces)
            out.append([f.track for f in sorted(faces, key=lambda f: f.box[0])])
        return out


def test_one_face_needs_the_detector_once_in_a_while() -> None:
    stage = Stage([[SourceFace(1, 100 + 3 * i)] for i in range(60)])
    assert stage.play() == [[0]] * 60
    assert stage.detected == 3


def test_faces_are_numbered_from_left_to_right() -> None:
    stage = Stage([[SourceFace(3, 600), SourceFace(1, 100), SourceFace(2, 350)]] * 4)
    assert stage.play() == [[0, 1, 2]] * 4


def test_no_face() -> None:
    assert Stage([[]] * 5).play() == [[]] * 5


def test_a_face_that_leaves_for_twenty_frames_keeps_its_number() -> None:
    frames = [[SourceFace(1, 100)]] * 5 + [[]] * 20 + [[SourceFace(1, 160)]] * 5
    assert Stage(frames).play() == [[0]] * 5 + [[]] * 20 + [[0]] * 5


def test_somebody_far_away_or_much_larger_is_somebody_else() -> None:
    far = Stage([[SourceFace(1, 100)]] * 3 + [[]] * 2 + [[SourceFace(1, 700)]] * 2)
    assert far.play()[-1] == [1]
    larger = Stage(
        [[SourceFace(1, 100, size=30)]] * 3 + [[]] * 2 + [[SourceFace(1, 100, size=90)]] * 2
    )
    assert larger.play()[-1] == [1]


def test_another_shape_in_the_same_place_is_somebody_else() -> None:
    stage = Stage([[SourceFace(1, 100)]] * 3 + [[]] * 5 + [[SourceFace(5, 100)]] * 2)
    assert stage.play()[-1] == [1]


def test_a_second_face_is_found_later() -> None:
    frames = [[SourceFace(1, 100)]] * 10 + [[SourceFace(1, 100), SourceFace(2, 500)]] * 30
    tracks = Stage(frames).play()
    first = next(i for i, found in enumerate(tracks) if found == [0, 1])
    assert 10 <= first <= 10 + TrackOptions().every
    assert tracks[first:] == [[0, 1]] * (40 - first)


def test_the_others_go_on_while_one_is_away() -> None:
    frames = (
        [[SourceFace(1, 100), SourceFace(2, 500)]] * 5
        + [[SourceFace(2, 500)]] * 20
        + [[SourceFace(1, 120), SourceFace(2, 500)]] * 8
    )
    tracks = Stage(frames).play()
    assert tracks[4] == [0, 1]
    assert tracks[5:25] == [[1]] * 20
    assert tracks[-1] == [0, 1]
    assert {number for found in tracks for number in found} == {0, 1}


def test_two_tracks_never_share_a_face() -> None:
    """One walks behind the other: the landmarker finds the front one for both."""
    frames = [[SourceFace(1, 100), SourceFace(2, 300 - 10 * i)] for i in range(14)] + [
        [SourceFace(1, 100)]
    ] * 30
    tracks = Stage(frames).play()
    assert tracks[0] == [0, 1]
    assert tracks[-1] == [0]


def test_a_doubtful_mesh_ends_the_track() -> None:
    stage = Stage(
        [
            [SourceFace(1, 100)],
            [SourceFace(1, 100, logit=6)],
            [SourceFace(1, 100, logit=4)],
            [SourceFace(1, 100, logit=8)],
            [SourceFace(1, 100)],
        ]
    )
    assert stage.play() == [[0], [0], [], [], [0]]


def test_a_face_out_of_the_picture_is_gone() -> None:
    assert Stage([[SourceFace(1, 60)], [SourceFace(1, 20)], [SourceFace(1, -20)]]).play() == [
        [0],
        [0],
        [],
    ]


def test_over_a_cut_another_person_is_another_track() -> None:
    frames = [[SourceFace(1, 100)]] * 3 + [[SourceFace(5, 110)]] * 3 + [[SourceFace(1, 100)]] * 3
    stage = Stage(frames, backdrops=[0] * 3 + [7] * 3 + [0] * 3)
    assert stage.play() == [[0]] * 3 + [[1]] * 3 + [[0]] * 3


def test_over_a_cut_the_same_person_keeps_the_track() -> None:
    frames = [[SourceFace(1, 100)]] * 3 + [[SourceFace(1, 500, size=90)]] * 3
    assert Stage(frames, backdrops=[0] * 3 + [7] * 3).play() == [[0]] * 6


def test_cuts_are_told() -> None:
    stage = Stage([[]] * 4, backdrops=[0, 0, 7, 7])
    tracker = Tracker(stage, stage)
    told = []
    for i in range(4):
        tracker.update(stage.picture(i))
        told.append(tracker.cut)
    assert told == [False, False, True, False]


def test_with_an_identity_encoder_people_are_known_again() -> None:
    frames = (
        [[SourceFace(1, 100), SourceFace(2, 500)]] * 2
        + [[]] * 2
        + [[SourceFace(2, 100), SourceFace(1, 500)]] * 3
    )
    assert Stage(frames, painted=True).play()[-1] == [
        0,
        1,
    ]  # by place, since the shapes are alike enough
    assert Stage(frames, painted=True).play(identity=ByColour())[-1] == [1, 0]


def test_identity_decides_over_cuts() -> None:
    """Shot and reverse shot of two people of one shape in one place, and back after longer than the memory."""
    shots = [1, 2, 1, 3, 2]
    frames = [[SourceFace(who, 100, size=80)] for who in shots for _ in range(6)]
    backdrops = [who for who in shots for _ in range(6)]
    stage = Stage(frames, backdrops, painted=True)
    options = TrackOptions(memory=4)
    assert [found for (found,) in stage.play(identity=ByColour(), options=options)[::6]] == [
        0,
        1,
        0,
        2,
        1,
    ]
    assert [found for (found,) in stage.play(options=options)[::6]] != [0, 1, 0, 2, 1]


def test_one_person_alone_is_never_looked_at() -> None:
    """Not even when the face is lost and comes back where it was."""
    encoder = ByColour()
    frames = [[SourceFace(1, 100 + i)] for i in range(60)] + [[]] * 8 + [[SourceFace(1, 180)]] * 10
    assert Stage(frames, painted=True).play(identity=encoder)[-1] == [0]
    assert encoder.asked == 0


def test_a_place_that_fits_and_a_face_that_does_not_is_somebody_else() -> None:
    frames = (
        [[SourceFace(1, 100), SourceFace(2, 600)]] * 3
        + [[SourceFace(2, 600)]] * 8
        + [[SourceFace(3, 100), SourceFace(2, 600)]] * 8
    )
    assert Stage(frames, painted=True).play(identity=ByColour())[-1] == [2, 1]
    assert Stage(frames, painted=True).play()[-1] == [0, 1]


def test_memory_ends() -> None:
    frames = [[SourceFace(1, 100)]] + [[]] * 12 + [[SourceFace(1, 100)]]
    assert Stage(frames).play(options=TrackOptions(memory=10))[-1] == [1]


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_faces_than_wanted(most: int) -> None:
    stage = Stage([[SourceFace(1, 100), SourceFace(2, 350), SourceFace(3, 600)]] * 3)
    assert stage.play(options=TrackOptions(most=most)) == [list(range(most))] * 3


def test_a_landmarker_that_cannot_follow() -> None:
    class OnlyPoints:
        def fit(self, picture: Picture, face: Face) -> Face | None:
            return face

    with pytest.raises(UsageError, match="OnlyPoints fits no mesh"):
        Tracker(Stage([]), OnlyPoints())


def walk(astronaut: Picture, x: float, y: float, k: float = 1.0) -> Picture:
    """The astronaut's head on a grey stage of 400 x 640, its face's centre at (x, y)."""
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
    detector: BlazeFace, landmarker: FaceMesh, astronaut: Picture
) -> None:
    """It crosses the stage at 12 pixels a frame while it grows, goes out on the right, and comes back in."""
    tracker = Tracker(detector, landmarker)
    places = [150 + 12 * i for i in range(30)] + [760] * 6 + [480 - 6 * i for i in range(6)]
    seen = []
    for i, x in enumerate(places):
        faces = tracker.update(walk(astronaut, x, 200, 0.9 + 0.01 * i))
        assert len(faces) <= 1
        seen.append([f.track for f in faces])
        if faces:
            middle = (faces[0].box[0] + faces[0].box[2]) / 2
            assert abs(middle - x) < 12
    assert seen[:30] == [[0]] * 30
    assert seen[30:36] == [[]] * 6
    assert seen[36:] == [[0]] * 6


def test_two_real_faces(detector: BlazeFace, landmarker: FaceMesh, astronaut: Picture) -> None:
    tracker = Tracker(detector, landmarker)
    both = np.hstack([astronaut, astronaut[:, ::-1]])
    for shift in range(0, 30, 6):
        faces = tracker.update(np.roll(both, shift, 1))
        assert [f.track for f in faces] == [0, 1]
        assert [round(float(f.box[0])) // 512 for f in faces] == [0, 1]
