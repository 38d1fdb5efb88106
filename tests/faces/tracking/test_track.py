"""Face tracker on scripted frames: the image encodes its frame number for fake networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from thcli.core.errors import UsageError
from thcli.core.geometry import bounding_box
from thcli.core.types import Array32, Face
from thcli.faces.detection.blazeface import BlazeFace
from thcli.faces.identity.encoder import AlignedCropEncoder
from thcli.faces.landmarks.facemesh import FaceMesh
from thcli.faces.tracking.track import Tracker, TrackerOptions
from thcli.motion.canonical import neutral

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ScriptedFace:
    """One face in one scripted frame. person: also decides the face's shape and colour."""

    person: int
    x: float
    y: float = 150.0
    size: float = 60.0
    logit: float = 25.0

    def mesh(self) -> Array32:
        """Return a mesh; persons from 4 on have long heads, the others share one shape."""
        shape = neutral() * (1, 1.2 if self.person >= 4 else 1, 1)
        return np.asarray(self.size * shape + (self.x, self.y, 0), np.float32)

    def face(self) -> Face:
        mesh = self.mesh()
        return Face(
            bounding_box(mesh), 0.9, None, mesh, np.zeros((2, 5, 2), np.float32), self.logit
        )


class ByColour(AlignedCropEncoder):
    """Identity encoder by the colour of faces. encoded: number of crops so far."""

    name, same_person = "fake", 0.5

    def __init__(self) -> None:
        self.encoded = 0

    def encode_crops(self, crops: Sequence[Pixels]) -> Array32:
        self.encoded += len(crops)
        out = np.zeros((len(crops), 512), np.float32)
        out[
            np.arange(len(crops)), [round(float(crop[40:72, 40:72].mean()) / 25) for crop in crops]
        ] = 1
        return out


@dataclass
class ScriptedClip:
    """Fake detector and landmarker that find the faces of a script."""

    frames: Sequence[Sequence[ScriptedFace]]
    backdrops: Sequence[int] = ()
    painted: bool = False  # draw faces in a colour, for ByColour
    detected: int = 0
    refitted: list[Face] = field(default_factory=list)  # faces from which others were fitted
    now: list[ScriptedFace] = field(default_factory=list)

    def image(self, frame: int) -> Pixels:
        self.now = list(self.frames[frame])
        seed = self.backdrops[frame] if self.backdrops else 0
        rng = np.random.default_rng(seed)
        small = rng.uniform(0, 255, (6, 8, 3)).astype(np.float32)
        small *= rng.uniform(0.4, 1, 3).astype(np.float32)
        large = cv2.resize(small, (800, 300), interpolation=cv2.INTER_CUBIC)
        out = np.clip(large, 0, 255).astype(np.uint8)
        for face in self.now if self.painted else ():
            cv2.circle(
                out,
                (round(face.x), round(face.y)),
                round(0.5 * face.size),
                (25 * face.person,) * 3,
                -1,
            )
        return out

    def detect(self, image: Pixels) -> list[Face]:
        if image.shape[1] < 800:  # a crop around a doubtful box
            return []
        self.detected += 1
        return [Face(scripted.face().box, 0.9) for scripted in self.now]

    def fit(self, image: Pixels, face: Face) -> Face | None:
        middle = (face.box[:2] + face.box[2:]) / 2
        reach = float(max(face.box[2:] - face.box[:2]))
        for scripted in self.now:
            found = scripted.face()
            if np.abs((found.box[:2] + found.box[2:]) / 2 - middle).max() < 0.5 * reach:
                return replace(found, track=face.track)
        return None

    def refit(self, image: Pixels, face: Face) -> Face | None:
        self.refitted.append(face)
        return self.fit(image, face)

    def play(
        self, *, identity: ByColour | None = None, options: TrackerOptions | None = None
    ) -> list[list[int]]:
        """Track the clip; returns the track numbers in each frame, left to right."""
        tracker = Tracker(self, self, identity=identity, options=options)
        out = []
        for i in range(len(self.frames)):
            faces = tracker.update(self.image(i))
            assert all(f.mesh is not None for f in faces)
            out.append([f.track for f in sorted(faces, key=lambda f: f.box[0])])
        return out


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
