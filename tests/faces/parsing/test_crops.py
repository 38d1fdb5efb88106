"""From frames to a parser's crops and back: places, sub-pixel masks, labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core import geometry
from thcli.core.errors import NoFaceError, UsageError
from thcli.core.options import Template
from thcli.core.types import Array32, Crop, Face, Image
from thcli.faces.crops import align
from thcli.faces.parsing import CLASSES, FACE, HAIR, SKIN
from thcli.faces.parsing.crops import Regions, numbers, place_of, regions, whole

SIDE = 64


def face_at(x: float, y: float, eye: float, angle: float = 0.0) -> Face:
    """A face by its five points: eyes `eye` pixels apart."""
    five = np.array([[-0.5, -0.3], [0.5, -0.3], [0.0, 0.2], [-0.4, 0.6], [0.4, 0.6]]) * eye
    c, s = np.cos(angle), np.sin(angle)
    points = (five @ np.array([[c, s], [-s, c]]) + [x, y]).astype(np.float32)
    return Face(geometry.box_of(points), 1.0, points=points)


class Spots:
    """A parser for tests: a disc of skin around the middle of the five points that it is given, the picture's red is hair."""

    crop_size = SIDE
    template: Template = "ffhq"

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        out = np.zeros((len(crops), len(CLASSES), SIDE, SIDE), np.float32)
        y, x = np.mgrid[:SIDE, :SIDE]
        for row, picture, face in zip(out, crops, faces, strict=True):
            assert picture.shape == (SIDE, SIDE, 3)
            assert picture.dtype == np.uint8
            assert face.points is not None
            middle = face.points.mean(0)
            row[1] = np.clip(8.5 - np.hypot(x - middle[0], y - middle[1]), 0, 1)
            row[13] = (1 - row[1]) * picture[..., 0] / 255
            row[0] = 1 - row[1] - row[13]
        return out


def middle_of(mask: Array32) -> tuple[float, float]:
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    return float((x * mask).sum() / mask.sum()), float((y * mask).sum() / mask.sum())


places = st.tuples(
    st.floats(-np.pi, np.pi),
    st.floats(0.3, 3.0),
    st.floats(-20, 20),
    st.floats(-20, 20),
    st.floats(30, 80),
)


@settings(max_examples=40, deadline=None)
@given(places)
def test_a_mask_lands_where_its_points_do(place: tuple[float, float, float, float, float]) -> None:
    """At any turn, size and part of a pixel the disc comes out around the same points of the frame, as large as it shall be."""
    angle, zoom, dx, dy, eye = place
    face = face_at(150.3 + dx, 140.7 + dy, eye, angle)
    picture = np.zeros((300, 320, 3), np.uint8)
    found = regions(Spots(), [picture], [face])[0]
    assert found.where.size == (SIDE, SIDE)
    other = Crop(geometry.rotated_square([150.0, 140.0], 300 / zoom, 0.4, 300), (300, 300))
    mask = found.mask_in(other, SKIN)
    assert face.points is not None
    wanted = geometry.transform(other.crop_from_frame, face.points.mean(0))
    scale = np.sqrt(
        np.linalg.det((other.crop_from_frame @ np.linalg.inv(found.where.crop_from_frame))[:2, :2])
    )
    if (np.abs(wanted - 150) < 140 - 9 * scale).all():
        assert np.abs(np.array(middle_of(mask)) - wanted).max() < 0.1
        assert float(mask.sum()) == pytest.approx(
            float(found.mask(SKIN).sum()) * scale**2, rel=0.05
        )


def test_the_own_crop_gives_the_mask_itself() -> None:
    found = regions(Spots(), [np.full((200, 200, 3), 90, np.uint8)], [face_at(100, 100, 40)])[0]
    np.testing.assert_allclose(found.mask_in(found.where, SKIN), found.mask(SKIN), atol=1e-6)
    np.testing.assert_allclose(found.mask("hair"), found.probabilities[13])
    np.testing.assert_array_equal(found.labels_in(found.where), found.probabilities.argmax(0))
    every = found.mask(range(19))
    np.testing.assert_allclose(every, 1, atol=1e-6)


def test_outside_of_the_crop_all_is_background() -> None:
    found = regions(Spots(), [np.full((400, 500, 3), 255, np.uint8)], [face_at(60, 70, 40)])[0]
    frame = whole((500, 400))
    hair, behind = found.mask_in(frame, HAIR), found.mask_in(frame, {0})
    assert hair.shape == (400, 500)
    assert hair[70, 120] == 1
    assert not hair[300:, 300:].any()
    np.testing.assert_allclose(behind[300:, 300:], 1)
    np.testing.assert_allclose(found.mask_in(frame, range(19)), 1, atol=1e-6)
    labels, person = found.decided_in(frame)
    assert set(np.unique(labels)) == {0, 1, 13}
    np.testing.assert_allclose(person, 1 - behind, atol=1e-6)
    far = Crop(np.array([[1.0, 0, -2000], [0, 1, 0], [0, 0, 1]]), (50, 40))
    assert not found.mask_in(far, FACE).any()
    assert not found.labels_in(far).any()


def test_shrinking_does_not_alias() -> None:
    """Stripes finer than the target's pixels become an even grey."""
    probabilities = np.zeros((19, 256, 256), np.float32)
    probabilities[13, :, ::2] = 1
    probabilities[0] = 1 - probabilities[13]
    found = Regions(whole((256, 256)), probabilities)
    small = found.mask_in(align.resized(whole((256, 256)), 40), HAIR)
    assert float(np.abs(small[3:-3, 3:-3] - 0.5).max()) < 0.1


def test_a_batch_is_its_items_and_deep_pictures_are_taken() -> None:
    faces = [face_at(90, 100, 30), face_at(120, 80, 50, 0.3)]
    shallow = [np.full((200, 220, 3), level, np.uint8) for level in (40, 200)]
    together = regions(Spots(), [p.astype(np.uint16) * 257 for p in shallow], faces)
    for picture, face, one in zip(shallow, faces, together, strict=True):
        alone = regions(Spots(), [picture], [face])[0]
        np.testing.assert_array_equal(alone.probabilities, one.probabilities)
        np.testing.assert_array_equal(alone.where.crop_from_frame, one.where.crop_from_frame)
    assert regions(Spots(), [], []) == []


def test_a_given_place_counts_whatever_its_size() -> None:
    face = face_at(100, 100, 40)
    place = align.resized(place_of(face, "square", SIDE), 200)
    found = regions(Spots(), [np.zeros((200, 200, 3), np.uint8)], [face], [place])[0]
    assert found.where.size == (SIDE, SIDE)
    assert face.points is not None
    wanted = geometry.transform(whole((200, 200)).crop_from_frame, face.points.mean(0))
    assert np.abs(np.array(middle_of(found.mask_in(whole((200, 200)), SKIN))) - wanted).max() < 0.1


def test_a_face_without_landmarks_is_told() -> None:
    with pytest.raises(NoFaceError):
        regions(
            Spots(),
            [np.zeros((50, 50, 3), np.uint8)],
            [Face(np.array([5, 5, 40, 40], np.float32), 1.0)],
        )


def test_regions_are_named_or_numbered() -> None:
    assert numbers("face") == FACE
    assert numbers(["hair", 17]) == {13, 17}
    assert numbers("mouth") == {10, 11, 12}
    assert numbers("l_ear") == {8}
    with pytest.raises(UsageError, match="beard"):
        numbers("beard")


@pytest.mark.parametrize("template", get_args(Template))
def test_every_template_has_its_place(template: Template) -> None:
    """Around the face's middle, and as large as was asked."""
    face = face_at(110, 90, 40, 0.2)
    where = place_of(face, template, 96)
    assert where.size == (96, 96)
    assert face.points is not None
    inside = geometry.transform(where.crop_from_frame, face.points)
    assert inside.min() > 0
    assert inside.max() < 95
