"""Choice of the face of a clip, from scripted boxes."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thcli.core.errors import NoFaceError, UsageError
from thcli.core.types import Array32, Face, Identity
from thcli.faces.detection.blazeface import BlazeFace
from thcli.faces.landmarks.facemesh import FaceMesh
from thcli.faces.tracking import select
from thcli.faces.tracking.select import (
    ReferenceFace,
    TrackStatistics,
    is_reference_image,
    read_reference_face,
)
from thcli.faces.tracking.shape import SAME_PERSON_CERTAIN, shape_distance
from thcli.motion.canonical import neutral

Pixels = npt.NDArray[np.uint8]
BLANK = np.zeros((4, 4, 3), np.uint8)


def face(
    track: int, x: float, width: float, *, logit: float = 25.0, mesh: Array32 | None = None
) -> Face:
    return Face(
        np.array([x, 10, x + width, 10 + width], np.float32), 0.9, None, mesh, None, logit, track
    )


def mesh_of_person(kind: int) -> Array32:
    """Return the mesh of one of two people, one of them with a long head."""
    return np.asarray(100 * neutral() * (1, 1.3 if kind else 1, 1), np.float32)


def statistics_of(*frames: list[Face]) -> TrackStatistics:
    out = TrackStatistics()
    for faces in frames:
        out.add(faces)
    return out


SMALL_LONG = [face(4, 300, 20)]
BOTH = [face(4, 300, 20), face(7, 50, 80)]


def test_largest_weighs_size_and_time() -> None:
    assert statistics_of(BOTH, BOTH).choose("largest") == [7]
    assert statistics_of(BOTH, *[SMALL_LONG] * 20).choose("largest") == [4]
    assert statistics_of([], BOTH, []).choose("largest") == [7]


def test_a_face_is_one_of_several_beside_another_of_about_its_size() -> None:
    pair = [face(4, 300, 70), face(7, 50, 80)]
    for frames, is_one in (
        ([pair] * 3, True),
        ([BOTH] * 3, False),
        ([[face(7, 50, 80)], *[pair] * 3], False),  # comes in later
        ([pair, *[[face(7, 50, 80)]] * 9], False),  # leaves
    ):
        statistics = statistics_of(*frames)
        assert statistics.choose("largest") == [7]
        assert statistics.is_one_of_several(7) == is_one


def test_first_is_the_first_to_appear_and_of_several_the_largest() -> None:
    assert statistics_of([], SMALL_LONG, BOTH).choose("first") == [4]
    assert statistics_of(BOTH, BOTH).choose("first") == [7]


def test_all_are_sorted() -> None:
    assert statistics_of(BOTH[::-1], [face(2, 0, 9)]).choose("all") == [2, 4, 7]


def test_numbers_count_from_the_left_of_the_first_frame_with_faces() -> None:
    clip = statistics_of([], BOTH, [face(9, 0, 50), *BOTH])
    assert [clip.choose(str(n)) for n in (0, 1)] == [[7], [4]]
    with pytest.raises(NoFaceError, match=r"no face number 2 in frame 1 of x\.mp4") as caught:
        clip.choose("2", where="x.mp4")
    assert "0: 80 pixels wide at (90, 50); 1: 20 pixels wide at (310, 20)" in caught.value.hint


@pytest.mark.parametrize("select", ["largest", "first", "all", "0"])
def test_a_clip_without_faces(select: str) -> None:
    with pytest.raises(NoFaceError, match=r"No face was found in x\.mp4"):
        statistics_of([], []).choose(select, where="x.mp4")


@given(st.lists(st.floats(4, 4000), min_size=1, max_size=40))
def test_the_median_area_is_from_a_histogram(widths: list[float]) -> None:
    clip = statistics_of(*[[face(0, 0, width)] for width in widths])
    areas = sorted(float(f.area) for f in (face(0, 0, width) for width in widths))
    assert np.isclose(clip.summaries[0].area, areas[(len(areas) - 1) // 2], rtol=0.06)


def test_a_reference_decides_by_shape_and_warns() -> None:
    clip = statistics_of(
        [face(4, 300, 80, mesh=mesh_of_person(1)), face(7, 50, 80, mesh=mesh_of_person(0))]
    )
    warnings: list[str] = []
    assert clip.choose(
        "person.png",
        warnings.append,
        reference=lambda: ReferenceFace("person.png", mesh_of_person(1)),
    ) == [4]
    assert clip.choose(
        "person.png",
        warnings.append,
        reference=lambda: ReferenceFace("person.png", mesh_of_person(0)),
    ) == [7]
    assert len(warnings) == 2
    assert "shape" in warnings[0]


def test_a_reference_without_a_match() -> None:
    clip = statistics_of([face(7, 50, 80, mesh=mesh_of_person(0))])
    with pytest.raises(
        NoFaceError,
        match=r"None of the 1 faces in the clip has the shape of the one in person\.png",
    ):
        clip.choose("person.png", reference=lambda: ReferenceFace("person.png", mesh_of_person(1)))
    with pytest.raises(NoFaceError, match="can be compared"):
        statistics_of(BOTH).choose(
            "person.png", reference=lambda: ReferenceFace("person.png", mesh_of_person(1))
        )


class ByWidth:
    """Fake identity encoder by the width of the box."""

    name, same_person = "fake", 0.3

    def __init__(self) -> None:
        self.encoded = 0

    def encode_crops(self, crops: Sequence[Pixels]) -> Array32:
        self.encoded += len(crops)
        vectors = np.zeros((len(crops), 512), np.float32)
        for vector, crop in zip(vectors, crops, strict=True):
            vector[crop[0, 0, 0]] = 1
        return vectors

    def identify(self, image: Pixels, face: Face) -> Identity:
        return Identity(self.encode_crops([box_width(image, face)])[0], "fake")


def box_width(image: Pixels, face: Face) -> Pixels:
    """Stand in for `aligned_crop`: pixels of the box's width."""
    return np.full((1, 1, 3), round(float(face.box[2] - face.box[0])), np.uint8)


def test_a_reference_decides_by_identity_where_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "aligned_crop", box_width)
    encoder = ByWidth()
    clip = TrackStatistics(encoder)
    for _ in range(60):
        clip.add([replace(f, mesh=mesh_of_person(0)) for f in BOTH], BLANK)
    assert encoder.encoded == 0  # the network is loaded when a face is compared
    assert [len(t.crops) for t in clip.summaries.values()] == [3, 3]  # not in every frame
    warnings: list[str] = []
    for width, track in ((20, 4), (80, 7)):
        vector = encoder.identify(BLANK, face(0, 0, width)).vector
        reference = ReferenceFace("person.png", mesh_of_person(0), vector)
        assert clip.choose("person.png", warnings.append, reference=partial(copy, reference)) == [
            track
        ]
    assert warnings == []
    stranger = encoder.identify(BLANK, face(0, 0, 33)).vector
    with pytest.raises(NoFaceError, match="None of the 2 faces") as caught:
        clip.choose(
            "person.png", reference=lambda: ReferenceFace("person.png", mesh_of_person(0), stranger)
        )
    assert "cosine of 0.00" in caught.value.hint


def test_the_values_of_the_face_option(tmp_path: Path) -> None:
    image = tmp_path / "person.png"
    image.touch()
    assert is_reference_image(str(image))
    assert not any(
        is_reference_image(word) for word in ("largest", "first", "all", "speaking", "0", "12")
    )
    with pytest.raises(UsageError, match="neither largest"):
        is_reference_image("biggest")
    with pytest.raises(UsageError, match="cannot be used here"):
        statistics_of(BOTH).choose(str(image))


def test_a_reference_image(detector: BlazeFace, landmarker: FaceMesh, astronaut: Pixels) -> None:
    plain = read_reference_face(astronaut, "a.png", detector, landmarker)
    mirrored = read_reference_face(
        np.ascontiguousarray(astronaut[40:400, 100:400]), "b.png", detector, landmarker
    )
    assert plain.mesh is not None
    assert mirrored.mesh is not None
    assert shape_distance(plain.mesh, mirrored.mesh) < SAME_PERSON_CERTAIN
    with pytest.raises(NoFaceError, match=r"No face was found in c\.png"):
        read_reference_face(np.zeros((64, 64, 3), np.uint8), "c.png", detector, landmarker)


def test_the_shape_distance_ignores_pose_and_size() -> None:
    turn = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])
    moved = np.asarray(3 * mesh_of_person(0) @ turn.T + (50, 60, 70), np.float32)
    assert shape_distance(mesh_of_person(0), moved) < 1e-4
    assert shape_distance(mesh_of_person(1), moved) > 0.03
