"""Back of a head behind an ear: its outline, its texture, and what a turn shows of it."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.geometry import matrix_from_rotvec
from thcli.core.types import Crop, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head import back_of_head
from thcli.engines.mesh.head.back_of_head import DEPTH, HALF, SAMPLES
from thcli.engines.mesh.head.outline import LEFT_SIDE, RIGHT_SIDE
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.source_networks import ParsedSource
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions
from thcli.motion.render_target import RenderTarget

SIDE = 256
HAIR, EAR, WALL = (40, 30, 25), (230, 120, 110), (150, 190, 240)
MESH = faces.centred_mesh(SIDE, SIDE)
HEIGHT = anatomy.face_height(MESH)
MIDDLE = (MESH[anatomy.FOREHEAD, :2] + MESH[anatomy.CHIN, :2]) / 2
BELOW, ACROSS = (np.mgrid[:SIDE, :SIDE] - MIDDLE[::-1, None, None]) / HEIGHT
FACE = faces.polygon_mask(MESH[OVAL, :2], SIDE, SIDE)
Mask = npt.NDArray[np.bool_]


def draw(**extra: Mask) -> tuple[Image, Mask, Regions]:
    """Draw a head with hair, ears and neck before a wall; extra: regions by name, over all."""
    parts: dict[str, Mask] = {}
    parts["neck"] = (np.abs(ACROSS) < 0.3) & (BELOW > 0.2)
    parts["hair"] = ((ACROSS / 0.5) ** 2 + ((BELOW + 0.25) / 0.45) ** 2 < 1) & (BELOW < 0)
    for name, point, side in (("r_ear", LEFT_SIDE, -1), ("l_ear", RIGHT_SIDE, 1)):
        across = (ACROSS - (MESH[point, 0] - MIDDLE[0]) / HEIGHT) * side
        inside = ((across - 0.04) / 0.09) ** 2 + ((BELOW + 0.05) / 0.14) ** 2 < 1
        parts[name] = inside & ~FACE
    parts["skin"] = FACE
    parts |= extra
    image = np.full((SIDE, SIDE, 3), WALL, np.uint8)
    colours = {"neck": faces.SKIN, "hair": HAIR, "l_ear": EAR, "r_ear": EAR, "skin": faces.SKIN}
    planes = np.zeros((len(CLASSES), SIDE, SIDE), np.float32)
    planes[class_number("background")] = 1
    person = np.zeros((SIDE, SIDE), bool)
    for name, mask in parts.items():
        image[mask] = colours.get(name, (90, 90, 90))
        planes[:, mask] = 0
        planes[class_number(name), mask] = 1
        person |= mask
    image[FACE] = faces.render_face(MESH, SIDE, SIDE)[FACE]
    return image, person, Regions(Crop(np.eye(3), (SIDE, SIDE)), planes)


def make_source(*, cut: bool = False) -> MeshSource:
    image, person, regions = draw()
    face = faces.make_face(MESH, faces.iris_points(MESH))
    persons = SeenPersons(person.astype(np.float32), cut=cut)
    source = prepare(image, face, persons, parsed=ParsedSource(regions, regions))
    assert source.back is not None and len(source.back.sides) == 2
    return source


def rows_of(heights: tuple[float, float]) -> slice:
    return slice(*(round(HALF + SAMPLES * value) for value in heights))


def test_the_outline_does_without_the_ear_and_narrows_at_its_lower_half() -> None:
    image, _, regions = draw()
    back = back_of_head.prepare(image, MESH, regions)
    assert back is not None
    assert back.axis - np.append(MIDDLE, MESH[[anatomy.FOREHEAD, anatomy.CHIN], 2].mean()) == (
        pytest.approx(np.array([0, 0, DEPTH * HEIGHT]), abs=0.06 * HEIGHT)
    )
    rim = (MESH[RIGHT_SIDE, 0] - MIDDLE[0]) / HEIGHT + 0.13
    for side in back.sides:
        across = side.edge[rows_of((-0.19, 0.09))]
        assert across.max() < rim - 0.02 and across.min() > 0.29
        assert (np.diff(across) <= 1e-3).all()
        upper, lower = -np.diff(side.edge[rows_of((-0.15, -0.05))]), -np.diff(across[-6:])
        assert upper.mean() < lower.mean()
        assert side.ear == pytest.approx((-0.19, 0.09), abs=0.04)


def test_its_texture_is_of_hair_above_and_of_skin_below() -> None:
    image, _, regions = draw()
    back = back_of_head.prepare(image, MESH, regions)
    assert back is not None
    for side in back.sides:
        # neither wall, nor ear, nor forehead; darker towards the outline
        for texture, colour in ((side.hair, HAIR), (side.neck, faces.SKIN)):
            light = texture.pixels.astype(float) / colour
            assert light.min() > 0.65 and light.max() < 2.2
            assert light[:, 0].mean() < light[:, -1].mean() - 0.05


def circle(x: float, y: float, radius: float) -> Mask:
    return np.asarray(np.hypot(ACROSS - x, BELOW - y) < radius)


TUFT, SCALP = circle(0, -0.55, 0.22), circle(0, -0.4, 0.42) | FACE


@pytest.mark.parametrize(
    "extra, sides",
    [
        ({}, [-1, 1]),
        ({"l_ear": np.zeros((SIDE, SIDE), bool)}, [-1]),
        ({"hat": circle(0, -0.6, 0.2)}, []),
        ({"hair": circle(0.4, 0.2, 0.3)}, [-1]),  # hangs below an ear
        ({"hair": TUFT, "skin": SCALP & ~TUFT}, []),  # no hair is seen above the ears
        ({"hair": TUFT & ~TUFT, "skin": SCALP}, [-1, 1]),  # bald
    ],
)
def test_only_a_side_whose_ear_is_seen_has_one(extra: dict[str, Mask], sides: list[int]) -> None:
    image, _, regions = draw(**extra)
    back = back_of_head.prepare(image, MESH, regions)
    assert [side.side for side in back.sides] == sides if back is not None else not sides


def turned_about_axis(source: MeshSource, angle: float) -> RenderTarget:
    assert source.back is not None
    rotation = matrix_from_rotvec(np.radians(np.array([0.0, angle, 0.0])))
    target = (MESH - source.back.axis) @ rotation.T + source.back.axis
    return replace(faces.rest_target(source), points=target)


def changed(source: MeshSource, target: RenderTarget) -> Mask:
    """Return the pixels of a frame that show the back of the head."""
    bare = render_frame(replace(source, back=None), target, None).astype(int)
    return np.asarray(np.abs(render_frame(source, target, None) - bare).max(-1) > 6)


@pytest.mark.parametrize("angle", [-35.0, 28.0])
def test_a_turn_shows_it_behind_the_near_ear_where_the_outline_was(angle: float) -> None:
    """The law of `DEPTH`: a turn about the axis leaves the outline in its place."""
    source = make_source()
    assert source.back is not None
    target = turned_about_axis(source, angle)
    shown = changed(source, target)
    nose = target.points[4, 0] - source.back.axis[0]
    y, x = np.nonzero(shown)
    assert shown.sum() > 0.02 * HEIGHT**2
    assert ((x - source.back.axis[0]) * nose < 0).all()  # on the side that comes nearer
    side = next(each for each in source.back.sides if each.side * nose < 0)
    rows = np.arange(len(side.edge))
    for row in range(round(MIDDLE[1] + 0.1 * HEIGHT), round(MIDDLE[1] + 0.25 * HEIGHT), 3):
        height = (row - MIDDLE[1]) / HEIGHT
        edge = np.interp(height * SAMPLES + HALF - 0.5, rows, side.edge) * HEIGHT
        found = np.abs(x[y == row] - source.back.axis[0])
        assert len(found) and found.max() == pytest.approx(edge, abs=3)
    out = render_frame(source, target, None)
    above = shown & (np.arange(SIDE)[:, None] < MIDDLE[1] - 0.2 * HEIGHT)
    below = shown & (np.arange(SIDE)[:, None] > MIDDLE[1] + 0.15 * HEIGHT)
    assert np.abs(np.median(out[above], 0) - HAIR).max() < 30
    assert np.abs(np.median(out[below], 0) / np.array(faces.SKIN) - 0.85).max() < 0.2


def test_a_head_that_moves_without_a_turn_shows_none_of_it() -> None:
    source = make_source()
    for target in (
        faces.rest_target(source),
        faces.make_target(source, turn=(0, 2, 10)),
        faces.make_target(source, grow=1.1, shift=(0.1, 0.05)),
    ):
        assert not changed(source, target).any()


def test_it_comes_up_steadily() -> None:
    source = make_source()
    areas = [int(changed(source, turned_about_axis(source, a)).sum()) for a in range(0, 40, 5)]
    assert areas[0] == 0 and areas[-1] > 0.02 * HEIGHT**2
    assert (np.diff(areas) > -0.002 * HEIGHT**2).all()


def test_a_person_that_is_cut_out_has_it_in_its_alpha() -> None:
    source = make_source(cut=True)
    target = turned_about_axis(source, -35.0)
    bare = render_frame(replace(source, back=None), target, None)
    out = render_frame(source, target, None)
    grown = (bare[..., 3] < 20) & (out[..., 3] > 235)
    assert grown.sum() > 0.02 * HEIGHT**2
    assert (out[..., :3] <= out[..., 3:].astype(int) + 1).all()


def test_a_prepared_source_can_be_sent_to_another_process() -> None:
    source = make_source()
    sent = pickle.loads(pickle.dumps(source))
    target = turned_about_axis(source, 30.0)
    assert np.array_equal(render_frame(sent, target, None), render_frame(source, target, None))


def test_it_goes_with_a_person_who_moves_as_a_whole() -> None:
    source = make_source()
    target = turned_about_axis(source, 30.0)
    shown = changed(source, target)
    shift = np.array([-24.0, 0.0])
    moved = changed(source, replace(target, body=shift))
    assert (np.roll(shown, -24, 1) != moved)[:, :-24].mean() < 0.1 * shown.mean()
