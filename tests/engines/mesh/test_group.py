"""Persons of one picture who move together: who is in front, and what each leaves behind."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.background.test_persons import COATS, HEIGHT, SEAM, WIDTH, couple
from thcli.core.imaging import lay_over, split_alpha
from thcli.core.options import RunOptions
from thcli.core.protocols import EncodedGroup
from thcli.core.types import Array, Array32, Face, Image
from thcli.engines.mesh.background.owners import NOBODY, REACH, SOMEBODY, Owners
from thcli.engines.mesh.engine import MeshEngine
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.group import nearest_first
from thcli.engines.mesh.source_networks import SourceNetworks
from thcli.faces.landmarks.topology import OVAL

BACKGROUND = np.array(faces.GROUND, np.int16)


def see(image: Image) -> Array32:
    """Tell persons from the ground by their colours, as a network would."""
    away = np.abs(image.astype(np.int16) - BACKGROUND).max(-1)
    return np.asarray(away > 10, np.float32)


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> tuple[Image, list[Face], EncodedGroup]:
    image, meshes, _ = couple()
    monkeypatch.setattr(SourceNetworks, "person_network", lambda *_, **__: see)
    engine = MeshEngine(RunOptions(licence="free"), "auto", mouth="synthetic")
    found = [faces.make_face(mesh, faces.iris_points(mesh)) for mesh in meshes]
    encoded = engine.encode_group(image, found, [True, True])
    assert encoded is not None
    return image, found, encoded


def draw(group: EncodedGroup, moved: int, shift: tuple[float, float]) -> Image:
    """Draw the persons of a group, one of whom has moved."""
    out = group.plate
    for number, source in group.layers:
        away = shift if number == moved else (0, 0)
        rendered = render_frame(source, faces.make_target(source, shift=away), None)
        out = lay_over(*split_alpha(rendered), out)
    return out


def test_at_rest_a_group_is_the_picture(group: tuple[Image, list[Face], EncodedGroup]) -> None:
    image, _, encoded = group
    assert sorted(number for number, _ in encoded.layers) == [0, 1]
    drawn = draw(encoded, 0, (0, 0)).astype(int)
    faces_of_both = np.zeros((HEIGHT, WIDTH), bool)
    for mesh in (source.mesh for _, source in encoded.layers):
        faces_of_both |= faces.polygon_mask(mesh[OVAL, :2], WIDTH, HEIGHT, 4)
    assert np.abs(drawn - image)[~faces_of_both].max() <= 1
    assert np.abs(drawn - image).mean() < 2  # eyes and mouths are drawn anew


@pytest.mark.parametrize("moved", [0, 1])
def test_one_who_moves_leaves_nobody_else_changed(
    group: tuple[Image, list[Face], EncodedGroup], moved: int
) -> None:
    _, found, encoded = group
    still, drawn = (draw(encoded, moved, shift) for shift in ((0, 0), (0, -0.15)))
    mesh = found[1 - moved].mesh
    assert mesh is not None
    outline = np.asarray(mesh, np.float64)[OVAL, :2]
    beside = faces.polygon_mask(outline, WIDTH, HEIGHT, 6)
    np.testing.assert_array_equal(drawn[beside], still[beside])
    assert np.abs(drawn.astype(int) - still).mean() > 1


def test_behind_persons_is_the_background(group: tuple[Image, list[Face], EncodedGroup]) -> None:
    """Those beside are no part of it, though their coats fill the lower half of the picture."""
    _, found, encoded = group
    for face in found:
        assert face.mesh is not None
        x, y = np.rint(face.mesh[OVAL, :2].mean(0)).astype(int).tolist()
        there = encoded.plate[y - 30 : y + 30, x - 20 : x + 20].astype(int)
        assert np.abs(there - BACKGROUND).max() < 12


def divided() -> tuple[Owners, Array32, npt.NDArray[np.bool_]]:
    """Return two coats side by side, owned by two persons, and the hole that the first leaves."""
    image = np.full((60, 200, 3), faces.GROUND, np.float32)
    image[20:, :100], image[20:, 100:] = COATS
    person = np.full((60, 200), NOBODY, np.int16)
    person[20:, :100], person[20:, 100:] = 0, 1
    seen = np.repeat((person != NOBODY).astype(np.float32)[None], 2, 0)
    hole = np.zeros((60, 200), bool)
    hole[18:, :102] = True
    return Owners(person, seen, np.array([0.2, 0.2]), (200, 60)), image, hole


@pytest.mark.parametrize("owned", [True, False])
def test_one_behind_goes_on_a_little_then_there_is_the_background(owned: bool) -> None:
    """A coat that no face touches goes on as well: it may be of the person who is taken away."""
    owners, image, hole = divided()
    if not owned:
        owners = replace(owners, person=np.where(owners.person == 1, SOMEBODY, owners.person))
    filled = owners.fill(0, (slice(0, 60), slice(0, 200)), image, hole)
    np.testing.assert_array_equal(filled[~hole], image[~hole])
    reach = round(REACH * 0.2 * 200)
    np.testing.assert_allclose(filled[50, 102 - reach + 6 : 102], np.tile(COATS[1], (reach - 6, 1)))
    np.testing.assert_allclose(filled[50, : 102 - reach - 6] - BACKGROUND, 0, atol=2)


def test_what_goes_on_behind_belongs_to_who_is_there() -> None:
    owners, _, hole = divided()
    person = np.zeros((60, 200, 4), np.uint8)
    person[..., 3] = 255 * hole
    left = owners.without(person)
    reach = round(REACH * 0.2 * 200)
    assert set(np.unique(left.person[50, 102 - reach + 2 :])) == {1}
    assert set(np.unique(left.person[50, : 102 - reach - 2])) == {NOBODY}
    assert left.seen[1, 50, 101] == 1 and left.seen[0, 50, 101] == 0
    assert left.share(1)[50, 101] == 1


def test_small_persons_are_seen_closely() -> None:
    """In the whole picture the network sees nothing; around each face it does."""
    single = faces.centred_mesh(90, 90, 0.5)
    meshes = [single + np.array([x, y, 0]) for x, y in ((40, 40), (640, 380))]
    image = np.full((600, 800, 3), faces.GROUND, np.uint8)
    for mesh in meshes:
        inside = faces.polygon_mask(mesh[OVAL, :2], 800, 600)
        image[inside] = faces.render_face(mesh, 800, 600)[inside]

    def near(picture: Image) -> Array32:
        small = picture.shape[1] < 400
        return see(picture) if small else np.ones(picture.shape[:2], np.float32)

    owners = Owners.find(image, near, meshes)
    for number, mesh in enumerate(meshes):
        scale = owners.person.shape[1] / 800
        inside = faces.polygon_mask(mesh[OVAL, :2] * scale, 768, 576, -3)
        around = faces.polygon_mask(mesh[OVAL, :2] * scale, 768, 576, 20)
        beyond = around & ~faces.polygon_mask(mesh[OVAL, :2] * scale, 768, 576, 6)
        assert np.all(owners.person[inside] == number)
        assert np.all(owners.person[beyond] == NOBODY)


def test_hair_before_a_coat_of_its_colour_is_of_the_face_beside_it() -> None:
    """The coat is that of the nearer person, whose shoulder rises beside the other's face."""
    behind = faces.centred_mesh(200, 320, 0.35) + np.array([20, -60, 0])
    front = faces.centred_mesh(200, 320, 0.35) + np.array([190, 40, 0])
    image = np.full((320, 420, 3), faces.GROUND, np.uint8)
    right, top, chin = (
        int(behind[OVAL, 0].max()),
        int(behind[OVAL, 1].min()),
        int(behind[OVAL, 1].max()),
    )
    image[top + 10 :, right:] = COATS[0]  # hair, then the coat
    image[chin + 10 :, :right] = COATS[1]
    for mesh in (behind, front):
        inside = faces.polygon_mask(mesh[OVAL, :2], 420, 320)
        image[inside] = faces.render_face(mesh, 420, 320)[inside]
    owners = Owners.find(image, see, [front, behind])
    y = (top + chin) // 2
    assert np.all(owners.person[y, right + 2 : right + 14] == 1)
    assert np.all(owners.person[chin + 30, right + 60 :] == 0)


def test_slivers_between_persons_are_of_the_nearest() -> None:
    image, meshes, _ = couple()

    def torn(picture: Image) -> Array32:
        seen = see(picture)
        if picture.shape[:2] == (HEIGHT, WIDTH):
            seen[-80:, SEAM - 4 : SEAM + 4] = 0.3
        return seen

    owners = Owners.find(image, torn, list(meshes))
    assert np.all(owners.person[-40:] != NOBODY)


def test_parts_of_the_picture_that_no_face_touches_are_of_nobody() -> None:
    image, meshes, _ = couple()
    image[:12, 200:230] = COATS[0]
    owners = Owners.find(image, see, list(meshes))
    assert np.all(owners.person[:12, 200:230] == NOBODY)
    assert owners.seen[:, 4, 215].min() == 1


def placed(scale: float, y: float) -> Array:
    return np.asarray(scale * faces.centred_mesh(100, 100, 0.5) + np.array([0, y, 0]))


def test_the_nearest_is_larger_or_lower() -> None:
    rows = [placed(1.0, 0), placed(1.0, 120), placed(2.0, 0), placed(0.8, 160)]
    assert nearest_first(rows[:2]) == [1, 0]
    assert nearest_first([rows[0], rows[2]]) == [1, 0]
    assert nearest_first([rows[0], rows[3]]) == [1, 0]  # a child before a grown-up


def test_without_the_network_a_group_is_rendered_as_whole_pictures() -> None:
    image, meshes, _ = couple()
    found = [faces.make_face(mesh) for mesh in meshes]
    off = MeshEngine(RunOptions(licence="free"), "off", mouth="synthetic")
    assert off.encode_group(image, found, [True, True]) is None


@pytest.mark.parametrize("driven", [(True, True), (True, False)])
def test_a_group_that_is_cut_out_is_opaque_where_somebody_is(
    monkeypatch: pytest.MonkeyPatch, driven: tuple[bool, bool]
) -> None:
    """So it is where persons touch. Who stays is part of the plate, and so is a hat of nobody's."""
    image, meshes, _ = couple()
    hat = slice(0, 70), slice(SEAM - 60, SEAM + 60)
    image[hat] = COATS[0]
    monkeypatch.setattr(SourceNetworks, "person_network", lambda *_, **__: see)
    engine = MeshEngine(RunOptions(licence="free"), "auto", mouth="synthetic", cut_out=True)
    found = [faces.make_face(mesh, faces.iris_points(mesh)) for mesh in meshes]
    encoded = engine.encode_group(image, found, driven)
    assert encoded is not None and len(encoded.layers) == sum(driven)
    out = encoded.plate
    for _, source in encoded.layers:
        rendered = render_frame(source, faces.rest_target(source), None)
        out = lay_over(rendered, rendered[..., 3], out)
    somebody = see(image).astype(np.uint8)
    inside, around = (
        each(somebody, np.ones((17, 17), np.uint8)) > 0 for each in (cv2.erode, cv2.dilate)
    )
    assert out.shape == (*image.shape[:2], 4)
    assert np.quantile(out[..., 3][inside], 0.005) > 240 and out[..., 3][~around].max() < 20
    assert encoded.plate[hat][20:-20, 20:-20, 3].min() > 240
    assert np.abs(out[..., :3].astype(int) - image)[inside].mean() < 4


def test_a_group_of_whom_the_network_misses_one_is_not_cut_out_as_layers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, meshes, _ = couple()

    def blind(picture: Image) -> Array32:
        return np.asarray(see(picture) * (np.arange(picture.shape[1]) < SEAM), np.float32)

    monkeypatch.setattr(SourceNetworks, "person_network", lambda *_, **__: blind)
    engine = MeshEngine(RunOptions(licence="free"), "auto", mouth="synthetic", cut_out=True)
    found = [faces.make_face(mesh) for mesh in meshes]
    assert engine.encode_group(image, found, [True, True]) is None


def test_a_person_whom_the_network_misses_moves_with_the_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, meshes, _ = couple()

    def blind(picture: Image) -> Array32:
        seen = see(picture)
        seen[:, SEAM:] = 0
        return seen

    monkeypatch.setattr(SourceNetworks, "person_network", lambda *_, **__: blind)
    engine = MeshEngine(RunOptions(licence="free"), "auto", mouth="synthetic")
    encoded = engine.encode_group(image, [faces.make_face(mesh) for mesh in meshes], [True, True])
    assert encoded is not None
    sources = dict(encoded.layers)
    channels = {n: render_frame(s, faces.rest_target(s), None).shape[2] for n, s in sources.items()}
    assert channels == {0: 4, 1: 3}
    assert encoded.whole == {1}
    assert cv2.absdiff(sources[1].image, image)[: HEIGHT // 2, SEAM + 20 :].max() == 0
