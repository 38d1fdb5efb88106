"""mesh-parse: soft polygons, colours of a person, and regions that follow the mesh."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faces.parsing.synthetic_person import SIDE, face_of, person_mesh, render_person
from thcli.core.errors import NoFaceError
from thcli.core.types import Array32, Face, Image
from thcli.faces.compositing.guided_filter import guided_filter
from thcli.faces.compositing.person_matte import PersonMatte
from thcli.faces.landmarks.topology import PAIRS
from thcli.faces.parsing import CLASSES, EYES, FLIP, LIPS, class_number, group_probability
from thcli.faces.parsing.mesh import MeshParser
from thcli.faces.parsing.polygon import polygon_coverage, signed_distance


class GreenMatte:
    """Fake matte: everything but the green of the synthetic background."""

    def probability(self, image: npt.NDArray[Any]) -> Array32:
        red, green = (cv2.GaussianBlur(image[..., i].astype(np.float32), (0, 0), 2) for i in (0, 1))
        return np.asarray(np.clip((red - green + 40) / 20, 0, 1), np.float32)


PARSER = MeshParser(cast(PersonMatte, GreenMatte()))


def star_polygon(points: int, radius: float, x: float, y: float) -> npt.NDArray[np.float64]:
    angle = np.arange(points) * (2 * np.pi / points)
    length = radius * np.where(np.arange(points) % 2, 0.6, 1.0)
    return np.stack([x + length * np.cos(angle), y + length * np.sin(angle)], 1)


@given(st.integers(3, 8), st.floats(8, 20), st.floats(25, 35), st.floats(25, 35), st.booleans())
def test_distances_are_signed_and_coverage_is_area(
    n: int, radius: float, x: float, y: float, back: bool
) -> None:
    outline = star_polygon(2 * n, radius, x, y)[:: -1 if back else 1]
    found = signed_distance(outline, (64, 60))
    for px, py in ((30, 30), (5, 50), (31, 22), (40, 33)):
        expected = cv2.pointPolygonTest(outline.astype(np.float32), (px, py), True)
        assert found[py, px] == pytest.approx(expected, abs=1e-2)
    after = np.roll(outline, -1, axis=0)
    area = abs(float((outline[:, 0] * after[:, 1] - outline[:, 1] * after[:, 0]).sum())) / 2
    assert float(polygon_coverage(outline, (64, 60)).sum()) == pytest.approx(area, rel=0.06, abs=2)


@given(st.floats(0, 1), st.floats(0, 1))
def test_coverage_is_sub_pixel(dx: float, dy: float) -> None:
    mask = polygon_coverage(star_polygon(12, 9, 30 + dx, 28 + dy), (64, 60))
    y, x = np.mgrid[:60, :64]
    assert float((x * mask).sum() / mask.sum()) == pytest.approx(30 + dx, abs=0.05)
    assert float((y * mask).sum() / mask.sum()) == pytest.approx(28 + dy, abs=0.05)


def test_a_closing_outline_fades_out() -> None:
    sums = []
    for gap in (4.0, 1.0, 0.3, 0.0):
        lids = [(10, 20), (20, 20 - gap / 2), (30, 20), (20, 20 + gap / 2)]
        sums.append(float(polygon_coverage(lids, (40, 40)).sum()))
    assert sums == sorted(sums, reverse=True)
    assert sums[-1] == 0
    assert not polygon_coverage([(100, 100), (110, 100), (105, 110)], (40, 40)).any()


def test_the_guided_filter_keeps_what_its_guide_explains() -> None:
    rng = np.random.default_rng(0)
    guide = rng.random((40, 50, 3)).astype(np.float32)
    explained = (guide @ np.array([0.5, 0.2, -0.1], np.float32) + np.float32(0.1)).astype(
        np.float32
    )
    np.testing.assert_allclose(guided_filter(guide, explained, 4, 1e-6), explained, atol=2e-3)
    constant = np.full((2, 40, 50), 0.3, np.float32)
    np.testing.assert_allclose(guided_filter(guide, constant, 4, 1e-3), constant, atol=1e-5)
    image = np.repeat((np.arange(50) >= 25).astype(np.float32)[None, :, None], 40, 0).repeat(3, 2)
    late = np.repeat((np.arange(50) >= 28).astype(np.float32)[None], 40, 0)
    moved = guided_filter(image, late, 6, 1e-4)[20]
    assert abs(int(np.argmax(np.diff(moved))) - 24) <= 1


def test_a_batch_equals_its_items_and_sums_to_one() -> None:
    meshes = [person_mesh(), person_mesh((120, 130), 90), person_mesh((140.4, 150.2), 120)]
    images = [render_person(mesh)[0] for mesh in meshes]
    faces = [face_of(mesh) for mesh in meshes]
    found = PARSER.parse(images, faces)
    assert found.shape == (3, 19, SIDE, SIDE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert found.min() >= 0
    for image, face, one in zip(images, faces, found, strict=True):
        np.testing.assert_array_equal(PARSER.parse([image], [face])[0], one)
    assert PARSER.parse([], []).shape == (0, 19, SIDE, SIDE)


def test_a_synthetic_person_is_segmented() -> None:
    mesh = person_mesh()
    image, labels = render_person(mesh)
    found = PARSER.parse([image], [face_of(mesh)])[0].argmax(0)
    on_skin = np.isin(
        found,
        [
            class_number(n)
            for n in ("nose", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip")
        ],
    )
    found = np.where(on_skin, 1, found)
    for name, least in (
        ("background", 0.93),
        ("skin", 0.9),
        ("hair", 0.85),
        ("neck", 0.6),
        ("cloth", 0.8),
    ):
        a, b = found == class_number(name), labels == class_number(name)
        assert (a & b).sum() / (a | b).sum() > least, name


def test_features_are_where_the_mesh_has_them() -> None:
    mesh = person_mesh()
    found = PARSER.parse([render_person(mesh)[0]], [face_of(mesh)])[0]
    y, x = np.mgrid[:SIDE, :SIDE]
    for name, points in (
        ("r_eye", (33, 133)),
        ("l_eye", (263, 362)),
        ("nose", (4, 5)),
        ("u_lip", (0, 13)),
        ("l_lip", (14, 17)),
    ):
        mask = found[class_number(name)]
        middle = np.array([(x * mask).sum(), (y * mask).sum()]) / mask.sum()
        assert np.abs(middle - mesh[list(points), :2].mean(0)).max() < 5, name
    assert float(group_probability(found, EYES).sum()) > 60
    assert float(group_probability(found, LIPS).sum()) > 100


def test_a_mirrored_face_has_mirrored_regions() -> None:
    mesh = person_mesh((124.0, 140.0))
    image = render_person(mesh)[0]
    other = mesh[PAIRS].copy()
    other[:, 0] = SIDE - 1 - other[:, 0]
    found = PARSER.parse([image], [face_of(mesh)])[0]
    mirrored = PARSER.parse([np.ascontiguousarray(image[:, ::-1])], [face_of(other)])[0]
    assert np.abs(mirrored[list(FLIP)][..., ::-1] - found).mean() < 2e-3


@settings(max_examples=8, deadline=None)
@given(st.floats(0, 1))
def test_masks_follow_the_mesh_sub_pixel(shift: float) -> None:
    """The image is fixed and the mesh shifted: lips and eyes follow continuously."""
    mesh = person_mesh()
    image = render_person(mesh)[0]
    x = np.arange(SIDE)

    def centroids(mesh: Array32) -> npt.NDArray[np.float64]:
        found = PARSER.parse([image], [face_of(mesh)])[0]
        masks = [group_probability(found, LIPS), group_probability(found, EYES)]
        return np.array([float((mask.sum(0) * x).sum() / mask.sum()) for mask in masks])

    np.testing.assert_allclose(
        centroids(mesh + np.array([shift, 0, 0], np.float32)) - centroids(mesh), shift, atol=0.1
    )


def test_a_face_without_a_mesh_is_refused() -> None:
    with pytest.raises(NoFaceError, match="468"):
        PARSER.parse(
            [np.zeros((SIDE, SIDE, 3), np.uint8)], [Face(np.array([0, 0, 9, 9], np.float32), 1.0)]
        )


@pytest.mark.parametrize("level", [0, 255])
def test_grey_images_and_faces_half_outside_are_parsed(level: int) -> None:
    blank: Image = np.full((SIDE, SIDE, 3), level, np.uint8)
    found = PARSER.parse(
        [blank, blank], [face_of(person_mesh()), face_of(person_mesh((5.0, 250.0), 200.0))]
    )
    assert np.isfinite(found).all()
    assert len(CLASSES) == found.shape[1]
