"""Camera rows: packing, removal from poses, and the picture that follows the driver's camera."""

from __future__ import annotations

import cmath
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.motion import synthetic_motion as synthetic
from thcli.core.options import MotionOptions
from thcli.core.types import Array, Motion
from thcli.faces.tracking.head_motion import Similarity
from thcli.motion import canonical
from thcli.motion.picture import camera
from thcli.motion.retarget import RetargetedMotion

small = st.floats(-0.4, 0.4)
pixels = st.floats(-200, 200)


@st.composite
def similarities(draw: st.DrawFn) -> Similarity:
    a = cmath.exp(complex(draw(small), draw(small)))
    return Similarity(a, complex(draw(pixels), draw(pixels)))


@given(similarities(), st.integers(16, 4000), st.integers(16, 4000))
def test_a_row_moves_points_about_the_middle_of_the_frame(
    seen: Similarity, width: int, height: int
) -> None:
    zoom, roll, x, y = camera.pack_camera(seen, (width, height))
    middle = complex((width - 1) / 2, (height - 1) / 2)
    moved = cmath.exp(complex(zoom, roll)) * -middle + middle + complex(x, y) * height
    assert abs(moved - seen.b) < 1e-6


def move(meshes: Array, cameras: list[Similarity]) -> Array:
    """Show meshes (T, 468, 3) of the scene through cameras; depth is scaled alike."""
    out = meshes.copy()
    for mesh, seen in zip(out, cameras, strict=True):
        mesh[:, :2] = seen.apply(mesh[:, :2])
        mesh[:, 2] *= abs(seen.a)
    return out


@given(st.lists(similarities(), min_size=1, max_size=4))
def test_removal_gives_the_pose_in_the_scene(cameras: list[Similarity]) -> None:
    motion = synthetic.driver()
    size = (int(motion.constants["size"][0]), int(motion.constants["size"][1]))
    meshes = synthetic.meshes(motion)[: len(cameras)]
    seen = canonical.pack_pose(canonical.decompose(move(meshes, cameras)), size)
    rows = np.stack([camera.pack_camera(c, size) for c in cameras])
    wanted = canonical.pack_pose(canonical.decompose(meshes), size)
    assert np.abs(camera.remove_camera(seen, rows) - wanted).max() < 1e-6


def rows_of(motion: Motion, name: str) -> Array:
    return np.asarray(motion.arrays[name], np.float64)


def with_camera(motion: Motion, cameras: list[Similarity]) -> Motion:
    """Return a motion as cameras see it, with their rows."""
    size = (int(motion.constants["size"][0]), int(motion.constants["size"][1]))
    seen = canonical.decompose(move(synthetic.meshes(motion), cameras))
    rows = np.stack([camera.pack_camera(c, size) for c in cameras])
    arrays = {
        **motion.arrays,
        "pose": canonical.pack_pose(seen, size),
        "expression": seen.shape - canonical.neutral(),
        "camera": rows,
    }
    return replace(motion, arrays=arrays)


def path(count: int) -> list[Similarity]:
    return [
        Similarity(cmath.exp(complex(0.05, 0.03) * np.sin(i / 9)), 25 * (cmath.exp(0.2j * i) - 1))
        for i in range(count)
    ]


def test_the_head_moves_as_without_the_camera_and_the_picture_with_it() -> None:
    motion = synthetic.driver(degrees=5)
    cameras, options = path(len(motion)), MotionOptions(smooth=0)
    seen = with_camera(motion, cameras)
    face = synthetic.face(synthetic.meshes(motion)[0])

    def retarget(driver: Motion) -> Motion:
        store = RetargetedMotion(face, synthetic.buffer(driver), options, reference=0)
        return store.window(0, len(driver))

    still = retarget(with_camera(motion, [Similarity()] * len(motion)))
    moving = retarget(seen)
    assert np.abs(rows_of(moving, "points") - rows_of(still, "points")).max() < 1e-3
    identity = np.array([[1.0, 0, 0], [0, 1, 0]])
    assert np.abs(still.arrays["camera"] - identity).max() < 1e-9
    # the source is the reference frame: its picture sees what the cameras see
    for matrix, points, true in zip(
        moving.arrays["camera"], still.arrays["points"], cameras, strict=True
    ):
        flat = np.asarray(points, np.float64)[:, :2]
        assert np.abs(flat @ matrix[:, :2].T + matrix[:, 2] - true.apply(flat)).max() < 0.5


@pytest.mark.parametrize("region", ["lips", "eyes", "expression"])
def test_the_picture_is_still_where_no_pose_is_transferred(region: str) -> None:
    motion = with_camera(synthetic.driver(), path(len(synthetic.driver())))
    options = MotionOptions(region=region)  # type: ignore[arg-type]  # a Region
    out = RetargetedMotion(synthetic.source(), synthetic.buffer(motion), options)
    rows = out.window(0, len(motion)).arrays["camera"]
    assert np.abs(rows - np.array([[1.0, 0, 0], [0, 1, 0]])).max() < 1e-9


def test_motion_of_the_picture_is_limited() -> None:
    far, near = np.array([[9.0, 3.0, 9.0, 9.0]]), np.zeros((1, 4))
    place = camera.PicturePlace(np.zeros(2), np.array([50.0, 60.0]), 500.0, 100.0)
    matrix = camera.picture_motion(far, near, np.ones(1), place)[0]
    zoom = np.sqrt(np.linalg.det(matrix[:, :2]))
    assert zoom <= np.exp(camera.MAX_LOG_ZOOM) + 1e-9
    moved = matrix[:, :2] @ [50.0, 60.0] + matrix[:, 2]
    assert np.abs(moved - [50, 60]).max() <= camera.MAX_SHIFT * 100 + 1e-6


def test_the_picture_of_a_small_face_follows_the_camera_as_far_as_the_face_has_room() -> None:
    side, near = np.zeros((1, 4)), np.zeros((1, 4))
    side[0, 2] = 0.3  # of 1000 pixels, 3 face heights
    room = np.array([400.0, 100.0]), np.array([400.0, 100.0])
    place = camera.PicturePlace(np.zeros(2), np.array([500.0, 200.0]), 1000.0, 100.0, room)
    assert camera.picture_motion(side, near, np.ones(1), place)[0, 0, 2] == pytest.approx(300)
    close = camera.PicturePlace(np.zeros(2), np.array([500.0, 200.0]), 1000.0, 100.0)
    moved = camera.picture_motion(side, near, np.ones(1), close)[0, 0, 2]
    assert 0.95 * camera.MAX_SHIFT * 100 < moved <= camera.MAX_SHIFT * 100


@given(st.floats(-0.6, 0.6), st.floats(-0.5, 0.5), st.floats(-1, 1), st.floats(-1, 1))
def test_little_shows_beyond_the_edges_of_a_strangers_picture(
    zoom: float, roll: float, x: float, y: float
) -> None:
    row, still, size = np.array([[zoom, roll, x, y]]), np.zeros((1, 4)), (800, 600)
    place = camera.PicturePlace(np.zeros(2), np.array([300.0, 200.0]), 900.0, 150.0, None, size)
    matrix = camera.picture_motion(row, still, np.ones(1), place)[0]
    scale = np.sqrt(np.linalg.det(matrix[:, :2]))
    centre = matrix[:, :2] @ [300.0, 200.0] + matrix[:, 2]
    low = centre - scale * np.array([300.0, 200.0])  # the roll turns the picture about its face
    high = centre + scale * np.array([499.0, 399.0])
    most = camera.MAX_BEYOND * np.array(size)
    rest = (
        2 * most if scale < 1 else most
    )  # zoomed out, a face at one side leaves more at the other
    assert (low <= rest + 1e-6).all() and (high >= np.array(size) - 1 - rest - 1e-6).all()
    assert abs(np.arctan2(matrix[1, 0], matrix[0, 0])) <= 2 * camera.MAX_BEYOND


def test_a_frame_of_the_clip_moves_as_far_as_its_camera() -> None:
    motion = synthetic.driver(degrees=5)
    cameras = [Similarity(1, complex(4 * i, 0)) for i in range(len(motion))]
    seen, size = with_camera(motion, cameras), (800, 900)
    moves = []
    for face in (synthetic.face(synthetic.meshes(motion)[0]), synthetic.source()):
        store = RetargetedMotion(face, synthetic.buffer(seen), MotionOptions(smooth=0), size=size)
        shifts = np.asarray(store.window(0, len(seen)).arrays["camera"])[:, 0, 2]
        moves.append(float(np.ptp(shifts)))
    assert moves[0] > 0.9 * np.ptp([one.b.real for one in cameras])
    assert 0 < moves[1] <= 2 * camera.MAX_BEYOND * size[0]


def test_a_far_shift_moves_the_whole_person() -> None:
    motion = synthetic.driver(degrees=0)
    pose = rows_of(motion, "pose").copy()
    pose[:, 4] += np.linspace(0, 0.8, len(pose))  # image heights
    moved = replace(motion, arrays={**motion.arrays, "pose": pose})
    out = RetargetedMotion(
        synthetic.source(), synthetic.buffer(moved), MotionOptions(smooth=0), reference=0
    ).window(0, len(moved))
    body = np.asarray(out.arrays["body"])
    assert np.abs(body[0]).max() < 1e-6 and body[-1, 0] > 20
    assert (np.diff(body[:, 0]) > -1e-6).all()


@pytest.mark.parametrize("room", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("zoom", [1.0, 1.6])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_face_does_not_leave_its_picture(room: float, zoom: float, side: int) -> None:
    """However far the driver walks aside, and however near it comes."""
    motion = synthetic.driver(degrees=0)
    pose = rows_of(motion, "pose").copy()
    ramp = np.linspace(0, 1, len(pose))
    pose[:, 4] += side * 0.8 * ramp
    pose[:, 3] += np.log(zoom) * ramp
    moved = synthetic.buffer(replace(motion, arrays={**motion.arrays, "pose": pose}))
    face = synthetic.source()
    assert face.mesh is not None
    mesh = np.asarray(face.mesh, np.float64)
    height = np.ptp(mesh[:, 1])
    mesh[:, 0] += room * height - mesh[:, 0].min()
    width, edge = 2000, 0.0
    if side > 0:
        edge = mesh[:, 0].max() + room * height
        width = int(edge) + 1
    face = replace(face, mesh=mesh.astype(np.float32), iris=None)

    def beyond(size: tuple[int, int] | None) -> Array:
        retargeted = RetargetedMotion(face, moved, MotionOptions(smooth=0), reference=0, size=size)
        arrays = retargeted.window(0, len(pose)).arrays
        points, body = (np.asarray(arrays[name], np.float64) for name in ("points", "body"))
        x = points[..., 0] + body[:, :1]
        return np.asarray((side * (x - edge)).max(1) / height)

    kept, free = beyond((width, 2000)), beyond(None)
    assert kept.max() < 0.02 < free.max()
    assert kept[-1] > -0.01  # and comes as near to the edge


def test_a_camera_that_makes_the_head_move_more_is_discarded() -> None:
    motion = synthetic.driver(degrees=5)
    cameras = path(len(motion))
    seen = with_camera(motion, cameras)
    rows, pose = rows_of(seen, "camera"), rows_of(seen, "pose")
    valid, shot = np.ones(len(motion), bool), np.zeros(len(motion), np.intp)
    assert np.array_equal(camera.discard_unlikely(rows, pose, valid, shot), rows)
    assert not camera.discard_unlikely(-rows, pose, valid, shot).any()
    shot[20:] = 1  # only the shot whose camera is wrong
    mixed = np.where(shot[:, None] == 0, rows, -rows)
    kept = camera.discard_unlikely(mixed, pose, valid, shot)
    assert np.array_equal(kept[:20], rows[:20]) and not kept[20:].any()


def test_a_strangers_picture_is_unmoved_in_the_middle_of_each_shot() -> None:
    rows = np.zeros((9, 4))
    rows[:5, 2], rows[5:, 0] = [0, 1, 2, 3, 9], [0, 0, 0.2, 0.2]
    shot = np.repeat([0, 1], [5, 4])
    middle = camera.find_base(rows, shot, None)
    assert (middle[:5, 2] == 2).all() and np.allclose(middle[5:, 0], 0.1)
    itself = camera.find_base(rows, shot, 4)
    assert (itself[:5, 2] == 9).all() and np.array_equal(itself[5:], middle[5:])
