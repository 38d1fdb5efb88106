"""Crops for parsers and masks in other crops: positions, sub-pixel accuracy, labels."""

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
from thcli.faces.parsing.crops import (
    Regions,
    class_numbers,
    full_frame_crop,
    parse_faces,
    template_crop,
)

SIDE = 64


def face_at(x: float, y: float, eye: float, angle: float = 0.0) -> Face:
    """Return a face by its five points, with eyes `eye` pixels apart."""
    five = np.array([[-0.5, -0.3], [0.5, -0.3], [0.0, 0.2], [-0.4, 0.6], [0.4, 0.6]]) * eye
    c, s = np.cos(angle), np.sin(angle)
    points = (five @ np.array([[c, s], [-s, c]]) + [x, y]).astype(np.float32)
    return Face(geometry.bounding_box(points), 1.0, points=points)


class DiscParser:
    """Fake parser: a disc of skin around the middle of the five points; red is hair."""

    crop_size = SIDE
    template: Template = "ffhq"

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        out = np.zeros((len(crops), len(CLASSES), SIDE, SIDE), np.float32)
        y, x = np.mgrid[:SIDE, :SIDE]
        for row, image, face in zip(out, crops, faces, strict=True):
            assert image.shape == (SIDE, SIDE, 3)
            assert image.dtype == np.uint8
            assert face.points is not None
            middle = face.points.mean(0)
            row[1] = np.clip(8.5 - np.hypot(x - middle[0], y - middle[1]), 0, 1)
            row[13] = (1 - row[1]) * image[..., 0] / 255
            row[0] = 1 - row[1] - row[13]
        return out


def middle_of(mask: Array32) -> tuple[float, float]:
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    return float((x * mask).sum() / mask.sum()), float((y * mask).sum() / mask.sum())


placements = st.tuples(
    st.floats(-np.pi, np.pi),
    st.floats(0.3, 3.0),
    st.floats(-20, 20),
    st.floats(-20, 20),
    st.floats(30, 80),
)


@settings(max_examples=40, deadline=None)
@given(placements)
def test_a_mask_follows_its_points(placement: tuple[float, float, float, float, float]) -> None:
    """At any rotation, scale and shift the disc is at the same points, with its size."""
    angle, zoom, dx, dy, eye = placement
    face = face_at(150.3 + dx, 140.7 + dy, eye, angle)
    image = np.zeros((300, 320, 3), np.uint8)
    found = parse_faces(DiscParser(), [image], [face])[0]
    assert found.placement.size == (SIDE, SIDE)
    other = Crop(geometry.square_crop_matrix([150.0, 140.0], 300 / zoom, 0.4, 300), (300, 300))
    mask = found.mask_in(other, SKIN)
    assert face.points is not None
    expected = geometry.transform_points(other.crop_from_frame, face.points.mean(0))
    scale = np.sqrt(
        np.linalg.det(
            (other.crop_from_frame @ np.linalg.inv(found.placement.crop_from_frame))[:2, :2]
        )
    )
    if (np.abs(expected - 150) < 140 - 9 * scale).all():
        assert np.abs(np.array(middle_of(mask)) - expected).max() < 0.1
        assert float(mask.sum()) == pytest.approx(
            float(found.mask(SKIN).sum()) * scale**2, rel=0.05
        )


def test_the_same_crop_gives_the_mask_itself() -> None:
    found = parse_faces(
        DiscParser(), [np.full((200, 200, 3), 90, np.uint8)], [face_at(100, 100, 40)]
    )[0]
    np.testing.assert_allclose(found.mask_in(found.placement, SKIN), found.mask(SKIN), atol=1e-6)
    np.testing.assert_allclose(found.mask("hair"), found.probabilities[13])
    np.testing.assert_array_equal(found.labels_in(found.placement), found.probabilities.argmax(0))
    every = found.mask(range(19))
    np.testing.assert_allclose(every, 1, atol=1e-6)


def test_everything_outside_of_the_crop_is_background() -> None:
    found = parse_faces(
        DiscParser(), [np.full((400, 500, 3), 255, np.uint8)], [face_at(60, 70, 40)]
    )[0]
    frame = full_frame_crop((500, 400))
    hair, behind = found.mask_in(frame, HAIR), found.mask_in(frame, {0})
    assert hair.shape == (400, 500)
    assert hair[70, 120] == 1
    assert not hair[300:, 300:].any()
    np.testing.assert_allclose(behind[300:, 300:], 1)
    np.testing.assert_allclose(found.mask_in(frame, range(19)), 1, atol=1e-6)
    labels, person = found.labels_and_foreground_in(frame)
    assert set(np.unique(labels)) == {0, 1, 13}
    np.testing.assert_allclose(person, 1 - behind, atol=1e-6)
    far = Crop(np.array([[1.0, 0, -2000], [0, 1, 0], [0, 0, 1]]), (50, 40))
    assert not found.mask_in(far, FACE).any()
    assert not found.labels_in(far).any()


def test_shrinking_does_not_alias() -> None:
    """Stripes finer than the pixels of the target become uniform grey."""
    probabilities = np.zeros((19, 256, 256), np.float32)
    probabilities[13, :, ::2] = 1
    probabilities[0] = 1 - probabilities[13]
    found = Regions(full_frame_crop((256, 256)), probabilities)
    small = found.mask_in(align.resize(full_frame_crop((256, 256)), 40), HAIR)
    assert float(np.abs(small[3:-3, 3:-3] - 0.5).max()) < 0.1


def test_a_batch_equals_its_items_in_any_dtype() -> None:
    faces = [face_at(90, 100, 30), face_at(120, 80, 50, 0.3)]
    shallow = [np.full((200, 220, 3), level, np.uint8) for level in (40, 200)]
    batch = parse_faces(DiscParser(), [p.astype(np.uint16) * 257 for p in shallow], faces)
    for image, face, one in zip(shallow, faces, batch, strict=True):
        alone = parse_faces(DiscParser(), [image], [face])[0]
        np.testing.assert_array_equal(alone.probabilities, one.probabilities)
        np.testing.assert_array_equal(
            alone.placement.crop_from_frame, one.placement.crop_from_frame
        )
    assert parse_faces(DiscParser(), [], []) == []


def test_a_given_placement_is_used_at_any_size() -> None:
    face = face_at(100, 100, 40)
    placement = align.resize(template_crop(face, "square", SIDE), 200)
    found = parse_faces(DiscParser(), [np.zeros((200, 200, 3), np.uint8)], [face], [placement])[0]
    assert found.placement.size == (SIDE, SIDE)
    assert face.points is not None
    expected = geometry.transform_points(
        full_frame_crop((200, 200)).crop_from_frame, face.points.mean(0)
    )
    assert (
        np.abs(
            np.array(middle_of(found.mask_in(full_frame_crop((200, 200)), SKIN))) - expected
        ).max()
        < 0.1
    )


def test_a_face_without_landmarks_is_refused() -> None:
    with pytest.raises(NoFaceError):
        parse_faces(
            DiscParser(),
            [np.zeros((50, 50, 3), np.uint8)],
            [Face(np.array([5, 5, 40, 40], np.float32), 1.0)],
        )


def test_regions_have_names_and_numbers() -> None:
    assert class_numbers("face") == FACE
    assert class_numbers(["hair", 17]) == {13, 17}
    assert class_numbers("mouth") == {10, 11, 12}
    assert class_numbers("l_ear") == {8}
    with pytest.raises(UsageError, match="beard"):
        class_numbers("beard")


@pytest.mark.parametrize("template", get_args(Template))
def test_every_template_is_placed(template: Template) -> None:
    """It is around the middle of the face, with the requested size."""
    face = face_at(110, 90, 40, 0.2)
    placement = template_crop(face, template, 96)
    assert placement.size == (96, 96)
    assert face.points is not None
    inside = geometry.transform_points(placement.crop_from_frame, face.points)
    assert inside.min() > 0
    assert inside.max() < 95
