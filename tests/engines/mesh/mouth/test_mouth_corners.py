"""The raised corner of a mouth that opens at one side."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.motion.synthetic_motion import TIME_BASE
from thcli.core.geometry import matrix_from_rotvec
from thcli.core.types import Array, Array32, Crop, Frame, Image
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.mouth import lip_rims, mouth_corners, mouth_interior
from thcli.engines.mesh.prepared_source import prepare
from thcli.engines.mesh.source_networks import ParsedSource
from thcli.engines.mesh.video import collect
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions
from thcli.motion import anatomy, canonical
from thcli.motion.file.buffer import MotionBuffer
from thcli.motion.observe import observe

RAISED = anatomy.INNER_MOUTH_CORNERS[1]


def smirk(*, seen: float) -> tuple[Image, Array, Array]:
    """Return a picture whose right corner is raised, its true mesh and landmarks that follow.

    seen: share of the raise that the landmarks follow.
    """
    mesh = faces.centred_mesh(256, 256, 0.8)
    width = float(np.ptp(mesh[LIPS, 0]))
    across = (mesh[:, 0] - mesh[78, 0]) / width
    near = np.exp(-((np.linalg.norm((mesh - mesh[RAISED])[:, :2], axis=1) / width / 0.4) ** 2))
    lower = mesh[:, 1] > mesh[LIPS, 1].mean()
    raised, opened = (near[:, None] * np.array([[0.06, -0.3, 0]]) * width, np.zeros_like(mesh))
    opened[:, 1] = np.where(lower, 0.12, -0.06) * width * np.clip(across, 0, 1) * near
    opened[RAISED] = 0
    true = mesh + raised + opened
    image = faces.render_face(true, 256, 256)
    ring = np.rint(true[LIPS, :2] * 16).astype(np.int32)
    cv2.fillPoly(image, [ring], (25, 10, 10), cv2.LINE_AA, 4)
    return image, true, mesh + seen * raised + opened


def test_landmarks_that_miss_a_raised_corner_are_moved_to_it() -> None:
    image, true, tracked = smirk(seen=0.65)
    shift = mouth_corners.find_shift(image, tracked)
    before, after = (np.linalg.norm((m - true)[RAISED, :2]) for m in (tracked, tracked + shift))
    assert after < 0.6 * before
    assert np.abs(shift[anatomy.FOREHEAD]).max() < 0.01
    moved = mouth_corners.refine(image, faces.make_face(tracked)).mesh
    assert moved is not None
    np.testing.assert_allclose(moved, tracked + shift, atol=1e-3)


@pytest.mark.parametrize("mirrored", [False, True])
def test_either_side_is_found(*, mirrored: bool) -> None:
    image, _, tracked = smirk(seen=0.65)
    shift = mouth_corners.find_shift(image, tracked)
    assert shift[RAISED, 0] >= 0 > shift[RAISED, 1]
    if mirrored:
        twins = np.arange(468)
        flat = faces.centred_mesh(256, 256, 0.8)
        for i, point in enumerate(flat * (-1, 1, 1) + (255, 0, 0)):
            twins[i] = np.linalg.norm(flat - point, axis=1).argmin()
        other = (tracked * (-1, 1, 1) + (255, 0, 0))[twins]
        found = mouth_corners.find_shift(np.ascontiguousarray(image[:, ::-1]), other)
        np.testing.assert_allclose(found[anatomy.INNER_MOUTH_CORNERS[0], 0], -shift[RAISED, 0], 0.2)


def test_a_straight_mouth_keeps_its_landmarks() -> None:
    mesh = faces.centred_mesh(256, 256, 0.8)
    image = faces.render_face(mesh, 256, 256)
    face = faces.make_face(mesh)
    assert mouth_corners.refine(image, face) is face


def found_in(frames: list[Array32]) -> mouth_corners.Smirks | None:
    """Return what a clip of one shot keeps whose frames show this at the right corner."""
    stamps = np.arange(len(frames), dtype=np.int64) * 10
    shot = np.zeros(len(frames), np.intp)
    return mouth_corners.collect(stamps, shot, {i: (True, row) for i, row in enumerate(frames)})


def shifts(found: mouth_corners.Smirks | None, mesh: Array, count: int) -> Array:
    """Return how far the right corner moves in each frame of `found_in`, pixels."""
    if found is None:
        return np.zeros(count)
    moved = [found.correct(10 * i, mesh, mesh, 0.0)[0] for i in range(count)]
    return np.array([np.linalg.norm((one - mesh)[RAISED]) for one in moved])


def test_single_frames_of_a_video_move_no_landmarks() -> None:
    image, _, tracked = smirk(seen=0.65)
    row = mouth_corners.measure(image, tracked)
    spikes = [row * (i in (9, 20, 21, 40)) for i in range(41)]
    assert row.any() and shifts(found_in(spikes), tracked, 41).max() == 0
    assert found_in([row]) is None


def test_a_smirk_of_a_video_that_lasts_comes_and_goes_smoothly() -> None:
    image, _, tracked = smirk(seen=0.65)
    row = mouth_corners.measure(image, tracked)
    full = np.linalg.norm(mouth_corners.find_shift(image, tracked)[RAISED])
    flickering = [row * (10 <= i < 40 and i != 20) for i in range(50)]
    found = shifts(found_in(flickering), tracked, 50)
    np.testing.assert_allclose(found[14:36], full, rtol=1e-3)
    assert found[:8].max() == found[42:].max() == 0
    assert np.abs(np.diff(found)).max() < 0.25 * full


def test_frames_of_another_shot_do_not_count() -> None:
    image, _, tracked = smirk(seen=0.65)
    row, stamps = mouth_corners.measure(image, tracked), np.arange(20, dtype=np.int64)
    shot = np.repeat([0, 1], 10).astype(np.intp)
    found = mouth_corners.collect(stamps, shot, {i: (True, row) for i in range(10)})
    assert found is not None and found.seen[0, :10].all(0).any() and not found.seen[:, 10:].any()


def test_a_target_keeps_the_shift_as_far_as_it_keeps_the_smirk() -> None:
    image, _, tracked = smirk(seen=0.65)
    straight = faces.centred_mesh(256, 256, 0.8)
    found = found_in([mouth_corners.measure(image, tracked)] * 20)
    assert found is not None
    own, same = found.correct(100, tracked, tracked, 0.0)
    np.testing.assert_allclose(own, tracked + mouth_corners.find_shift(image, tracked), atol=1e-4)
    np.testing.assert_allclose(same, own)
    np.testing.assert_allclose(found.correct(100, tracked, straight, 0.0)[1], straight, atol=1)
    # under a hand, and at a time that the clip does not have
    assert found.correct(100, tracked, tracked, 1.0)[0] is tracked
    assert found.correct(105, tracked, tracked, 0.0)[0] is tracked


def test_frames_of_a_video_are_smoothed_in_its_first_pass() -> None:
    image, _, tracked = smirk(seen=0.65)
    face = faces.make_face(tracked, faces.iris_points(tracked))
    plain = np.full_like(image, faces.SKIN)
    for shown, kept in ((range(20), True), (range(9, 11), False)):
        pictures = [image if i in shown else plain for i in range(20)]
        frames = [Frame(one, i, TIME_BASE, i, 1) for i, one in enumerate(pictures)]
        own = MotionBuffer(observe(frames, [face] * 20))
        video = collect(own, frames, lambda *_: None)
        assert (video.smirks is not None) == kept


def test_small_mouths_keep_their_landmarks() -> None:
    image, _, tracked = smirk(seen=0.65)
    width = float(np.ptp(tracked[LIPS, 0]))
    assert mouth_corners.find_shift(image, tracked).any()
    scale = 30 / width
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    centre = np.array([0.5, 0.5, 0])
    mesh = (tracked + centre) * scale - centre
    assert not mouth_corners.find_shift(np.asarray(small, np.uint8), mesh).any()


def test_no_corner_is_sought_behind_a_mask() -> None:
    image, _, tracked = smirk(seen=0.65)
    face = faces.make_face(tracked, faces.iris_points(tracked))
    everywhere = np.zeros((len(CLASSES), 256, 256), np.float32)
    everywhere[class_number("cloth")] = 1
    seen = Regions(Crop(np.eye(3), (256, 256)), everywhere)
    masked = prepare(image, face, None, parsed=ParsedSource(seen, seen))
    assert masked.mouth_hidden
    refined = lip_rims.refine(image, face).mesh
    np.testing.assert_array_equal(masked.mesh, np.asarray(refined, np.float64))
    assert not np.array_equal(prepare(image, face, None).mesh, masked.mesh)


def test_teeth_do_not_follow_a_smirk_aside() -> None:
    _, true, _ = smirk(seen=1.0)
    moved = true.copy()
    moved[[mouth_interior.UPPER_LIP, mouth_interior.LOWER_LIP], 0] += 8
    interior = mouth_interior.prepare(moved, np.full(3, 150.0))
    assert abs(interior.upper[0]) < 0.5 and abs(interior.lower[0]) < 0.5
    straight = faces.centred_mesh(256, 256, 0.8)
    straight[mouth_interior.UPPER_LIP, 0] += 8
    assert mouth_interior.prepare(straight, np.full(3, 150.0)).upper[0] > 2


def test_teeth_of_a_turned_smirk_are_where_those_of_a_straight_mouth_are() -> None:
    turn = matrix_from_rotvec(np.array([0, np.radians(20.0), 0]))
    found = []
    for mesh in (smirk(seen=1.0)[1], faces.centred_mesh(256, 256, 0.8)):
        posed = canonical.decompose(mesh)
        turned = replace(posed, rotation=turn @ posed.rotation).mesh()
        interior = mouth_interior.prepare(turned, np.full(3, 150.0))
        found.append((interior.upper[0], interior.lower[0]))
    np.testing.assert_allclose(found[0], found[1], atol=0.3)
    assert abs(found[1][0]) > 2 and abs(found[1][1]) > 5


def test_a_turned_head_is_no_smirk() -> None:
    posed = canonical.decompose(smirk(seen=1.0)[1])
    shares = []
    for degrees in (0.0, 32.0, 45.0):
        turn = matrix_from_rotvec(np.array([0, np.radians(degrees), 0]))
        shares.append(mouth_corners.smirk_share(replace(posed, rotation=turn).mesh()))
    assert shares[0] == 1 > shares[1] > shares[2] == 0
