"""Persons of one picture: whose a pixel is, and that those who do not move stay."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.options import RunOptions
from thcli.core.types import Array, Array32, Face, Image
from thcli.engines.mesh.background.cut_out import cut_out
from thcli.engines.mesh.background.persons import SeenPersons, own_share
from thcli.engines.mesh.engine import MeshEngine
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.picture import finish_cut_out
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.source_networks import SourceNetworks
from thcli.faces.landmarks.topology import OVAL

WIDTH, HEIGHT = 480, 320
COATS = (30, 40, 90), (150, 60, 40)
SEAM = WIDTH // 2


def draw_face(image: Image, mesh: Array) -> npt.NDArray[np.bool_]:
    """Draw the face of a mesh on a picture, in place, and return where it is."""
    face = faces.polygon_mask(mesh[OVAL, :2], WIDTH, HEIGHT)
    image[face] = faces.render_face(mesh, WIDTH, HEIGHT)[face]
    return face


def couple(shift: float = 0.0) -> tuple[Image, tuple[Array, Array], Array32]:
    """Draw two persons whose coats meet at SEAM, their meshes, and where they are.

    shift: pixels by which the faces are further to the right, as the heads are tilted.
    """
    single = faces.centred_mesh(SEAM, HEIGHT, 0.35) - (0, 40, 0)
    meshes = single + np.array([shift, 0, 0]), single + np.array([SEAM + shift, 0, 0])
    image = np.full((HEIGHT, WIDTH, 3), faces.GROUND, np.uint8)
    person = np.zeros((HEIGHT, WIDTH), np.float32)
    below = int(single[:, 1].max()) + 12
    for mesh, coat, side in zip(meshes, COATS, (0, SEAM), strict=True):
        image[below:, side : side + SEAM] = coat
        face = faces.polygon_mask(mesh[OVAL, :2], WIDTH, HEIGHT)
        head = cv2.dilate(face.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
        neck = np.zeros_like(head)
        neck[below - 30 : below, side + SEAM // 2 - 20 : side + SEAM // 2 + 20] = True
        image[head | neck] = (60, 40, 30)
        draw_face(image, mesh)
        person[head | neck] = 1
    person[below:] = 1
    return image, meshes, person


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("shift", [-25.0, 0.0, 25.0])
def test_persons_who_touch_are_divided_where_their_clothes_meet(first: int, shift: float) -> None:
    image, meshes, person = couple(shift)
    mesh, other = meshes[first], meshes[1 - first]
    share = cv2.resize(own_share(image, person, mesh, [other]), (WIDTH, HEIGHT))
    halves = share[:, : SEAM - 6], share[:, SEAM + 6 :]
    mine, theirs = (half[person[:, : SEAM - 6] > 0] for half in halves[:: 1 - 2 * first])
    assert mine.min() > 0.95
    assert theirs.max() < 0.05


def test_a_trunk_ends_at_the_face_before_it() -> None:
    """Of a person behind another only the head is seen."""
    front = faces.centred_mesh(WIDTH, HEIGHT, 0.35) + np.array([0, 60, 0])
    behind = front - (0, 150, 0)
    image = np.full((HEIGHT, WIDTH, 3), (90, 90, 90), np.uint8)
    for mesh in (behind, front):
        draw_face(image, mesh)
    person = np.ones((HEIGHT, WIDTH), np.float32)
    share = cv2.resize(own_share(image, person, behind, [front]), (WIDTH, HEIGHT))
    assert share[faces.polygon_mask(front[OVAL, :2], WIDTH, HEIGHT, -4)].max() < 0.05
    assert share[faces.polygon_mask(behind[OVAL, :2], WIDTH, HEIGHT, -4)].min() > 0.95
    assert share[-1, WIDTH // 2] < 0.05


@pytest.mark.parametrize("side", [-1, 1])
def test_a_coat_behind_a_lower_head_is_its_wearers(side: int) -> None:
    """A third head hides its middle, and its one half meets a coat of nearly its colour."""
    behind = faces.centred_mesh(WIDTH, HEIGHT, 0.22) - np.array([0, 90, 0])
    front, beside = behind + np.array([0, 122, 0]), behind + np.array([side * 85, 132, 0])
    image = np.full((HEIGHT, WIDTH, 3), faces.GROUND, np.uint8)
    person = np.zeros((HEIGHT, WIDTH), np.float32)
    coats = (behind, 42, (30, 34, 40)), (front, 24, (180, 60, 60)), (beside, 42, (30, 32, 34))
    for mesh, half, coat in coats:
        middle, chin = round(float(mesh[:, 0].mean())), int(mesh[:, 1].max())
        for picture, colour in ((image, coat), (person, 1)):
            corner = middle + half, HEIGHT
            cv2.rectangle(picture, (middle - half, chin + 14), corner, colour, -1)
            cv2.rectangle(picture, (middle - 14, chin - 9), (middle + 14, chin + 14), colour, -1)
        if mesh is behind:  # a shirt
            cv2.rectangle(image, (middle - 22, chin - 9), (middle + 22, HEIGHT), (230,) * 3, -1)
        person[draw_face(image, mesh)] = 1
    share = cv2.resize(own_share(image, person, beside, [behind, front]), (WIDTH, HEIGHT))
    shoulder = int(behind[:, 1].max()) + 24, WIDTH // 2 + side * 36
    chest = HEIGHT - 4, WIDTH // 2 + side * 85
    assert share[shoulder] < 0.05
    assert share[chest] > 0.95


def test_another_person_stays_as_a_head_turns_and_leans() -> None:
    image, (mesh, other), person = couple()
    image = faces.add_relief(image)
    face = faces.make_face(mesh, faces.iris_points(mesh))
    own = own_share(image, person, mesh, [other])
    beside = np.s_[:, SEAM + 30 :]
    changes = []
    for persons in (SeenPersons(person), SeenPersons(person, own)):
        source = prepare(image, face, persons)
        target = faces.make_target(source, turn=(0, 25, 15), shift=(0.1, 0.1))
        out = render_frame(source, target, None)
        changes.append(int(np.abs(out[beside].astype(int) - image[beside]).max()))
        own_face = faces.polygon_mask(mesh[OVAL, :2], WIDTH, HEIGHT)
        assert np.abs(out.astype(int) - image)[own_face].mean() > 5
    assert changes[0] > 60
    assert changes[1] == 0


def test_another_person_who_touches_is_behind_one_that_is_cut_out() -> None:
    image, (mesh, other), person = couple()
    own = own_share(image, person, mesh, [other])
    layers = cut_out(image, SeenPersons(person, own, cut=True), mesh)
    assert layers.strangers is not None
    here, there = np.s_[-20, SEAM // 2], np.s_[-20, SEAM + SEAM // 2]
    for pixels, mine, theirs in ((here, 255, 0), (there, 0, 255)):
        assert (layers.person[pixels][3], layers.strangers[pixels][3]) == (mine, theirs)
    still = np.zeros(2)
    for shift in (still, np.array([-3.0, 0])):  # no gap opens between them
        whole = finish_cut_out(layers.person[..., :3], layers.person[..., 3], layers, shift)
        assert whole[-20, SEAM - 20 : SEAM + 20, 3].min() > 250


def test_faces_without_a_mesh_move_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    image, (mesh, other), person = couple()
    monkeypatch.setattr(SourceNetworks, "person_probability", lambda *_, **__: person)
    engine = MeshEngine(RunOptions(licence="free"), "auto", mouth="synthetic")
    face = faces.make_face(mesh, faces.iris_points(mesh))
    boxed = Face(np.array([300, 60, 400, 200], np.float32), 1.0)

    def alpha(*neighbours: Face) -> int:
        source = engine.encode_among(image, face, neighbours)
        assert isinstance(source, MeshSource) and source.layers is not None
        return int(source.layers.person[-20, SEAM + SEAM // 2, 3])

    assert alpha() == alpha(boxed) == 255
    assert alpha(faces.make_face(other)) == alpha(boxed, faces.make_face(other)) == 0
