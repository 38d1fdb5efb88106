"""Far side of a turned source: an ear and hair from its mirror image, no second shoulder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.head.cheeks.turned_source import CLOTH, HAIR, HELD, SIDE, source
from thcli.core.types import Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.cheeks import far_side
from thcli.engines.mesh.head.cheeks.mirror_room import MirrorRoom
from thcli.engines.mesh.prepared_source import prepare
from thcli.faces.landmarks.topology import OVAL


def is_blue(image: Image) -> npt.NDArray[np.bool_]:
    """Return which pixels of a frame are those of an ear, in any light."""
    red, green, blue = (image[..., k].astype(int) for k in range(3))
    return np.asarray(blue > np.maximum(red, green) + 60)


@pytest.mark.parametrize("angle", [30.0, -30.0])
@pytest.mark.parametrize("share", [0.7, 1.0])
def test_nothing_of_what_lies_beside_the_far_cheek_shows_in_it(angle: float, share: float) -> None:
    turned = source(angle, hair_on="near")
    target = faces.make_target(turned, turn=(0, -share * angle, 0))
    inner = faces.polygon_mask(target.points[OVAL, :2], SIDE, SIDE, grow=-3)
    inner &= angle * (target.points[4, 0] - np.arange(SIDE)) > 0
    inner[: int(target.points[4, 1])] = False  # below the eyes
    assert inner.sum() > 500
    assert not is_blue(render_frame(turned, target, None))[inner].any()


def test_hair_shows_on_the_far_side_up_to_the_edge_of_the_mirror_image() -> None:
    turned = source(-30.0, -0.16, hair_on="near")  # hair lies on the left
    target = faces.make_target(turned, turn=(0, 30, 0))
    out = render_frame(turned, target, None)
    alone = render_frame(replace(turned, far_side=None), target, None)
    hair = np.abs(out.astype(int) - HAIR).max(-1) < 40
    changed = np.abs(out.astype(int) - alone).max(-1).max(0)
    assert turned.far_side is not None
    edge = turned.far_side.shift + SIDE
    assert hair[:, int(target.points[4, 0]) :].sum() > 50
    assert changed[edge - 8 :].max() < 16
    assert not changed[edge:].any()


def test_the_far_side_of_a_slightly_turned_head_comes_without_a_jump() -> None:
    turned = source(10.0)
    assert turned.far_side is not None
    turns = np.arange(2, 14, 0.6)
    targets = [faces.make_target(turned, turn=(0, -turn, 0)) for turn in turns]
    frames = np.stack([render_frame(turned, target, None).astype(np.int16) for target in targets])
    steps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    assert steps.max() < 2.5 * np.median(steps)


@pytest.mark.parametrize(("angle", "turn"), [(30.0, -30.0), (-30.0, 30.0), (7.0, -25.0)])
def test_the_far_side_shows_the_near_ones_ear_and_no_second_cloth(
    angle: float, turn: float
) -> None:
    """Of a head that is turned by 7 degrees the ear is hidden, too: its cheek grew to a balloon."""
    turned = source(angle)
    assert turned.far_side is not None
    target = faces.make_target(turned, turn=(0, turn, 0))
    out, middle = render_frame(turned, target, None), target.points[4]
    ear, cloth = is_blue(out), np.abs(out.astype(int) - CLOTH).max(-1) < 60
    near = np.sign(np.flatnonzero(cloth.any(0)).mean() - middle[0])
    far = near * (np.arange(SIDE) - middle[0]) < 0
    assert ear[:, far].sum() > 0.3 * ear[:, ~far].sum() > 0
    beyond = near * (np.arange(SIDE) - turned.mesh[anatomy.CHIN, 0]) < -0.1 * SIDE
    assert not cloth[:, beyond].any()


@pytest.mark.parametrize("angle", [30.0, -30.0])
def test_the_rim_of_mirrored_cloth_that_the_parser_misses_draws_no_line(
    angle: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def second_cloth(rim: int) -> int:
        turned = source(angle, rim=rim, collar=0.35)
        target = faces.make_target(turned, turn=(0, -angle, 0))
        far = angle * (target.points[4, 0] - np.arange(SIDE)) > 0
        out = render_frame(turned, target, None)[:, far].astype(int)
        return int((np.minimum(out[..., 0], out[..., 1]) - out[..., 2] > 75).sum())

    known = second_cloth(0)
    assert abs(second_cloth(2) - known) < 5
    monkeypatch.setattr(far_side, "CLOTH_GAIN", 1.0)
    assert second_cloth(2) - known > 8


@pytest.mark.parametrize("angle", [30.0, -30.0])
def test_a_thing_beside_the_head_is_not_there_twice(angle: float) -> None:
    turned = source(angle, seen="held")
    target = faces.make_target(turned, turn=(0, -angle, 0))
    out = render_frame(turned, target, None)
    thing = np.abs(out.astype(int) - HELD).max(-1) < 60
    far = angle * (target.points[4, 0] - np.arange(SIDE)) > 0
    assert is_blue(out)[:, far].sum() > 50  # the mirrored ear
    assert thing[:, ~far].sum() > 300
    assert not thing[:, far].any()


@pytest.mark.parametrize("angle", [30.0, -30.0])
def test_a_neck_comes_with_the_far_side_hardly_more_than_cloth(angle: float) -> None:
    def second(lower: str) -> int:
        turned = source(angle, lower=lower, collar=0.35)
        target = faces.make_target(turned, turn=(0, -angle, 0))
        far = angle * (target.points[4, 0] - np.arange(SIDE)) > 0.3 * anatomy.face_height(
            target.points
        )
        out = render_frame(turned, target, None)[:, far].astype(int)
        return int((np.abs(out - CLOTH).max(-1) < 60).sum())

    assert second("neck") < 2.5 * second("cloth")


def test_hair_of_the_far_side_is_not_transparent_beside_the_head() -> None:
    turned = source(30.0, hair_on="near")
    target = faces.make_target(turned, turn=(0, -20, 0))
    nose = target.points[4].astype(int)
    row = render_frame(turned, target, None)[nose[1], : nose[0]].astype(int)
    hair = np.subtract(HAIR, faces.GROUND)
    mixed = ((row - faces.GROUND) @ hair / (hair @ hair))[np.abs(row - HAIR).max(-1) < 120]
    assert 5 * ((mixed > 0.2) & (mixed < 0.8)).sum() < (mixed > 0.9).sum()


def test_hair_of_the_far_side_is_whole_behind_the_soft_edge_of_the_first_pictures() -> None:
    """The wall behind both shone through as a grey line along the first picture's hair."""
    first, share = np.array([0, 0.6, 0.8, 0.98], np.float32), np.full(4, 0.3, np.float32)
    shown = far_side._with_whole_hair(share, np.ones(4, np.float32), first)
    assert shown[:2] == pytest.approx([1, 1]) and 0.6 < shown[2] < 0.8
    assert shown[3] == pytest.approx(0.3)
    bald = far_side._with_whole_hair(share, np.zeros(4, np.float32), first)
    assert np.array_equal(bald, share)


def test_the_mirror_image_shows_as_the_head_turns_back_alone() -> None:
    turned = source(30.0)
    for turn in (0.0, 10.0):
        target = faces.make_target(turned, turn=(0, turn, 0))
        ear = is_blue(render_frame(turned, target, None))
        sides = ear[:, : int(target.points[4, 0])].any(), ear[:, int(target.points[4, 0]) :].any()
        assert sum(sides) == 1


@pytest.mark.parametrize("share", [0.3, 0.4, 0.5])
def test_the_first_pictures_far_cheek_is_not_seen_beside_the_mirrored_one(share: float) -> None:
    """Its lips lay beside the jaw, where the mirror image ends, as the head turned back."""
    for angle in (30.0, -30.0):
        turned = source(angle, seen="marked")
        target = faces.make_target(turned, turn=(0, -2 * share * angle, 0))
        assert turned.far_side is not None
        assert far_side.turned_back(turned.far_side, target.points) > 0
        red, green, blue = np.moveaxis(render_frame(turned, target, None).astype(int), -1, 0)
        beside = ~faces.polygon_mask(target.points[OVAL, :2], SIDE, SIDE)
        assert (beside & (green > np.maximum(red, blue) + 80)).sum() < 10


@pytest.mark.parametrize("angle", [30.0, -30.0])
def test_a_hand_beside_the_far_cheek_stays_before_mirrored_hair(angle: float) -> None:
    shown = []
    for seen in ("hand", "thing"):
        turned = source(angle, hair_on="near", seen=seen)
        assert turned.far_side is not None
        target = faces.make_target(turned, turn=(0, -1.2 * angle, 0))
        frame = render_frame(turned, target, None).astype(int)
        shown.append((np.abs(frame - HELD).max(-1) < 60).sum())
    kept, covered = shown
    assert kept > 300 and kept > 2 * covered


def test_a_frontal_source_and_one_without_regions_have_none() -> None:
    turned = source(30.0)
    assert faces.astronaut().far_side is None
    persons = SeenPersons(np.ones((8, 8), np.float32))
    assert prepare(turned.image, turned.face, persons).far_side is None


def test_hair_that_is_blown_to_the_far_side_does_not_vanish_in_a_mirror_image() -> None:
    near, both = (source(-25.0, hair_on=sides).far_side for sides in ("near", "near far"))
    assert near is not None and both is not None and near.later == 0 < both.later
    assert source(-25.0, hair_on="far").far_side is None
    turned = faces.make_target(source(-25.0), turn=(0, 16.0, 0)).points
    assert far_side.turned_back(near, turned) > 0.9
    late = replace(near, later=far_side.LATER)
    assert far_side.turned_back(late, turned) < 0.5


@pytest.mark.parametrize("angle", [30.0, -30.0])
def test_skin_that_the_parser_misses_is_no_hole_in_a_mirrored_face(angle: float) -> None:
    far = source(angle, seen="no jaw").far_side
    assert far is not None
    jaw = faces.polygon_mask(far.mesh[OVAL, :2], SIDE, SIDE, grow=-6)
    jaw[: int(far.mesh[4, 1])] = False
    skin = np.abs(far.person[..., :3].astype(int) - faces.SKIN).max(-1) < 60
    assert far.person[jaw & skin][:, 3].min() > 240
    assert (jaw & skin).sum() > 0.6 * jaw.sum()


def test_a_masked_face_is_not_mirrored() -> None:
    """Masks were torn, with what lay beside them in their middle."""
    assert source(30.0, seen="masked").far_side is None


def test_a_person_that_moves_takes_its_far_side_along() -> None:
    turned = source(30.0)
    target = faces.make_target(turned, turn=(0, -45, 0))
    still = render_frame(turned, target, None)
    moved = render_frame(turned, replace(target, body=np.array([0.0, -24.0])), None)
    rows, columns = np.nonzero(is_blue(still))
    assert len(rows) > 100
    assert is_blue(moved)[rows - 24, columns].mean() > 0.9


def test_the_far_side_comes_into_view_next_to_the_cheek_first() -> None:
    near, far = (np.full(1, distance) for distance in (0.0, 0.5))
    for back in (0.3, 0.6):
        assert far_side._uncovered(back, near) > far_side._uncovered(back, far) + 0.5
    assert far_side._uncovered(0.0, near) == 0
    assert far_side._uncovered(1.0, np.full(1, 3.0)) == 1
    turned = source(30.0, hair_on="near")
    assert turned.far_side is not None
    veiled = []
    for share in np.linspace(0.4, 1.0, 13):
        target = faces.make_target(turned, turn=(0, -share * 30, 0))
        row = render_frame(turned, target, None)[int(target.points[4, 1])].astype(int)
        hair = np.subtract(HAIR, faces.GROUND)
        mixed = (row - faces.GROUND) @ hair / (hair @ hair)
        apart = np.abs(row - faces.GROUND - mixed[:, None] * hair).max(-1)
        veiled.append(((apart < 12) & (mixed > 0.2) & (mixed < 0.8)).sum())
    assert max(veiled) < 20  # the hair's edges, not all of it at once


def test_hair_that_a_side_of_the_picture_cuts_off_does_not_end_in_a_straight_line() -> None:
    turned = source(30.0)
    assert turned.far_side is not None
    mesh = turned.far_side.mesh
    middle, size = (mesh[anatomy.FOREHEAD] + mesh[anatomy.CHIN]) / 2, anatomy.face_height(mesh)
    heights = middle[1] - size * np.array([-0.5, 0.0, 0.4, 0.7, 1.0])
    across = np.arange(SIDE, dtype=np.float32)
    positions = np.stack(np.meshgrid(across, heights), -1).astype(np.float32)
    room = turned.far_side.room.at(positions)
    assert (np.diff((room > 0.5).sum(1)) <= 0).all()
    ends = [np.flatnonzero(line > 0.5)[[0, -1]] for line in room]
    assert ends[0].tolist() == ends[1].tolist()  # hair that hangs down goes on to the side
    assert ends[-1][0] > ends[1][0] + 0.25 * size and ends[-1][1] < ends[1][1] - 0.25 * size
    assert room[-1, int(middle[0])] == 1


def test_hair_that_a_side_cuts_off_ends_along_the_jaw_beside_a_bare_cheek() -> None:
    mesh = faces.centred_mesh(SIDE, SIDE)
    middle, size = (mesh[anatomy.FOREHEAD] + mesh[anatomy.CHIN]) / 2, anatomy.face_height(mesh)
    heights = middle[1] + size * np.array([-0.5, 0.0, 0.15, 0.35, 0.6])
    across = np.arange(SIDE, dtype=np.float32)
    positions = np.stack(np.meshgrid(across, heights), -1).astype(np.float32)
    assert (MirrorRoom.of(mesh, (SIDE, SIDE), 0.0).hair_at(positions) == 1).all()
    room = MirrorRoom.of(mesh, (SIDE, SIDE), 1.0).hair_at(positions)
    assert (room[:2] == 1).all()
    left = [int(np.argmax(line > 0.5)) for line in room[2:]]
    outline = mesh[OVAL, :2]
    half = outline[outline[:, 0] < middle[0]]
    half = half[np.argsort(half[:, 1])]
    edge = np.interp(heights, half[:, 1], half[:, 0])
    assert edge[3] - edge[1] > 0.05 * size
    assert left[1] - left[0] == pytest.approx(edge[3] - edge[2], abs=2)
    assert left[1] <= left[2] < edge[1]
    np.testing.assert_allclose(room, room[:, ::-1], atol=0.02)


@pytest.mark.parametrize("angle", [30.0, -30.0])
def test_a_head_that_the_picture_cuts_off_has_no_far_side(angle: float) -> None:
    """Its mirror image ended within the other cheek, whose lips lay beside the first ones."""
    near = np.sign(angle)  # 30 degrees turn the nose to the left, so that the right is near
    for shift, has_one in ((0.0, True), (0.18, True), (0.26, False), (-0.26, True)):
        turned = source(angle, float(near) * shift)
        room = np.array([turned.mesh[OVAL, 0].min(), SIDE - 1 - turned.mesh[OVAL, 0].max()])
        cut = room[int(near > 0)] < far_side.LEAST_HEAD * anatomy.face_height(turned.mesh)
        assert cut != has_one
        assert (turned.far_side is not None) == has_one
