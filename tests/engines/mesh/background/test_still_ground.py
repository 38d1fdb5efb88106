"""Background of a source video's frames: still beside the person, whatever its head does."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.anatomy import face_height
from thcli.engines.mesh.background import still_ground
from thcli.engines.mesh.background.still_ground import StillGround
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import resize
from thcli.engines.mesh.warp import WarpMap

SIZE = (160, 120)
STEP = 2
EDGE = still_ground.COARSER * STEP  # pixels over which an edge is soft


def moved_map(x: float, y: float = 0.0) -> WarpMap:
    """Return a map over a picture that shows, everywhere, what lies (x, y) pixels further on."""
    columns, rows = (side // STEP for side in SIZE)
    displacement = np.zeros((rows, columns, 2), np.float32)
    displacement[:] = x, y
    grid = SampleGrid(0, 0, STEP, columns, rows)
    none = np.zeros((rows, columns), np.float32)
    return WarpMap(grid, displacement, grid, np.full((rows, columns), -1, np.int32), none)


def frames() -> tuple[Image, Image]:
    """Return a frame and one that was rendered from it, with nothing in common."""
    frame, rendered = np.random.default_rng(2).integers(0, 256, (2, SIZE[1], SIZE[0], 3), np.uint8)
    return frame, rendered


def ground_with(columns: slice, rows: slice = slice(None), ends_above: float = 0.0) -> StillGround:
    """Return the background of a frame whose person stands in a rectangle."""
    person = np.zeros((SIZE[1], SIZE[0]), np.float32)
    person[rows, columns] = 1
    return StillGround(person, 1.0, ends_above)


def find_in(seen: Array32, mesh: Array, held: float = 1.0) -> StillGround | None:
    """Find the background of a frame of 256 x 256 in which a network sees a person."""
    frame = np.zeros((256, 256, 3), np.uint8)

    def find_person(reduced: Image) -> Array32:
        return resize(seen, (reduced.shape[1], reduced.shape[0]), shrink=True)

    return still_ground.find(frame, mesh, held, find_person)


@pytest.mark.parametrize("x", [20.0, -20.0])
def test_the_person_is_shown_where_it_was_and_is_and_nothing_else_changes(x: float) -> None:
    frame, rendered = frames()
    out = rendered.copy()
    still_ground.hold(out, frame, ground_with(slice(60, 100)), moved_map(x))
    first, last = sorted((60, 60 - int(x))), sorted((100, 100 - int(x)))
    inside = slice(first[0] + EDGE, last[1] - EDGE)
    assert np.array_equal(out[:, inside], rendered[:, inside])
    for beside in (slice(0, first[0] - EDGE), slice(last[1] + EDGE, None)):
        assert np.array_equal(out[:, beside], frame[:, beside])


def test_what_does_not_move_and_a_frame_of_the_person_alone_stay_as_they_are() -> None:
    frame, rendered = frames()
    for ground, warp_map in (
        (ground_with(slice(60, 100)), moved_map(0.0)),
        (ground_with(slice(None)), moved_map(20.0)),
    ):
        out = rendered.copy()
        still_ground.hold(out, frame, ground, warp_map)
        assert np.array_equal(out, rendered)


def test_the_background_is_held_the_more_the_head_moves() -> None:
    mesh = faces.make_source(256, 256).mesh
    shifts = np.linspace(0, 0.04, 9) * face_height(mesh)
    held = [still_ground.strength(mesh, mesh + np.array([x, 0, 0])) for x in shifts]
    assert held[0] == 0 and held[-1] == 1
    assert held == sorted(held) and np.diff(held).max() < 0.4


def test_a_head_that_ends_below_the_edge_moves_down_whole_before_the_background() -> None:
    """Its mirror image above the frame would be a second head."""
    frame = np.full((SIZE[1], SIZE[0], 3), 200, np.uint8)
    frame[12:, 66:94] = 20  # what is next to it moves with it
    rendered = np.full_like(frame, 20)
    whole, cut = rendered.copy(), rendered.copy()
    moves = moved_map(0.0, -30.0)
    still_ground.hold(whole, frame, ground_with(slice(60, 100), slice(6, None), 1.0), moves)
    still_ground.hold(cut, frame, ground_with(slice(60, 100), slice(6, None), 0.0), moves)
    assert whole[:28].min() > 195
    assert whole[36 + EDGE :, 66:94].max() < 25
    assert np.array_equal(cut[6 + EDGE :, 70:90], rendered[6 + EDGE :, 70:90])


@pytest.mark.parametrize("y", [-28.0, -30.5, -33.0, -35.25, -37.0])
def test_no_line_of_the_person_is_left_where_the_frame_s_edge_comes_down(y: float) -> None:
    frame = np.full((SIZE[1], SIZE[0], 3), 200, np.uint8)
    frame[12:, 66:94] = 20
    out = np.full_like(frame, 200)  # what is drawn in beside the person
    person = np.zeros((SIZE[1] // 4, SIZE[0] // 4), np.float32)
    person[2:, 15:25] = 1
    still_ground.hold(out, frame, StillGround(person, 1.0, 1.0), moved_map(20.0, y))
    assert out[:, 82:].min() > 195


def test_a_person_ends_at_the_upper_edge_unless_that_cuts_off_much_of_it() -> None:
    mesh = faces.make_source(256, 256).mesh
    middle, size = int(mesh[:, 0].mean()), face_height(mesh)
    ends = []
    for chord in (0.0, 0.2, 0.6, 1.2):
        seen = np.zeros((256, 256), np.float32)
        seen[16:, int(mesh[:, 0].min()) - 10 : int(mesh[:, 0].max()) + 10] = 1
        seen[:16, middle - int(chord * size / 2) : middle + int(chord * size / 2)] = 1
        ground = find_in(seen, mesh)
        assert ground is not None
        ends.append(ground.ends_above)
    assert ends[:2] == [1, 1] and 0 < ends[2] < 1 and ends[3] == 0


def test_the_person_is_what_the_network_sees_with_its_face_and_what_is_next_to_it() -> None:
    mesh = faces.make_source(256, 256).mesh
    left, right = int(mesh[:, 0].min()), int(mesh[:, 0].max())
    seen = np.zeros((128, 128), np.float32)  # half as fine as the frame
    seen[:, left // 2 : right // 2] = 1
    ground = find_in(seen, mesh, 0.5)
    assert ground is not None and ground.held == 0.5
    person = ground.person
    scale = person.shape[1] / 256
    reach, row = still_ground.REACH * face_height(mesh) * scale, person.shape[0] // 2
    assert person[row, int(left * scale) : int(right * scale)].min() > 0.99
    assert person[row, int(right * scale + 0.5 * reach)] > 0.9
    assert person[:, : int(left * scale - 4 * reach)].max() == 0


def test_without_a_face_that_the_network_sees_all_may_move() -> None:
    mesh = faces.make_source(256, 256).mesh
    for seen in (np.zeros((64, 64), np.float32), np.full((64, 64), 0.5, np.float32)):
        assert find_in(seen, mesh) is None
    frame = np.zeros((256, 256, 3), np.uint8)
    assert still_ground.find(frame, mesh, 1.0, lambda _: None) is None
