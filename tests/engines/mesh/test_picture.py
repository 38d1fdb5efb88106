"""The picture that moves with the camera, and the person who moves over the plate."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import compose, picture
from thcli.engines.mesh.background import edges
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.warp import WarpMap

SIZE = 96


def noise(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def shift(x: float, y: float) -> Array:
    return np.array([[1, 0, x], [0, 1, y]], np.float64)


def test_a_still_picture_is_the_same_array() -> None:
    image = noise()
    assert picture.move_picture(image, shift(0.01, 0)) is image


def test_whole_pixels_move_exactly_and_edges_are_repeated_then_smooth() -> None:
    image = noise(1)
    moved = picture.move_picture(image, shift(20, 0))
    assert np.array_equal(moved[:, 21:], image[:, 1 : SIZE - 20])
    far, near = moved[:, 2].astype(int), moved[:, 60].astype(int)
    assert np.abs(np.diff(far, axis=0)).mean() < 0.2 * np.abs(np.diff(near, axis=0)).mean()
    assert not np.array_equal(moved[:, 5], image[:, 16])  # no mirror


def test_large_pictures_move_by_whole_pixels_exactly_too() -> None:
    image = np.random.default_rng(5).integers(0, 256, (400, picture.WHOLE_PIXELS + 8, 3), np.uint8)
    moved = picture.move_picture(image, shift(20, 0))
    assert np.array_equal(moved[:, 20:], image[:, :-20])


def test_colours_are_moved_with_the_brightness_of_a_cubic() -> None:
    noise = np.random.default_rng(6).integers(90, 166, (200, 300, 3), np.uint8)
    image = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.0), np.uint8)
    matrix = np.array([[1.02, 0.05, -3.4], [-0.05, 1.02, 7.2]])
    moved, sampled = (
        one[20:-20, 20:-20]
        for one in (
            picture.move_picture(image, matrix),
            cv2.warpAffine(image, matrix, (300, 200), flags=cv2.INTER_CUBIC),
        )
    )
    grey, cubic = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(int) for one in (moved, sampled))
    assert np.abs(grey - cubic).max() <= 2
    assert np.abs(moved.astype(int) - sampled).max() <= 4


def test_only_what_lies_beyond_the_edges_is_smoothed() -> None:
    grey = np.random.default_rng(5).integers(0, 256, (200, 300), np.uint8)
    image = np.dstack([grey] * 3)
    matrices = [
        [[1.0, 0, 41.4], [0, 1, -17.2]],
        [[0.8, 0.1, 20], [-0.1, 0.8, 50]],
        [[1.0, 0, -90], [0, 1, 0]],
        [[0.5, 0, 75], [0, 0.5, 50]],
    ]
    for matrix in np.array(matrices):
        moved = picture.move_picture(image, matrix)
        sampled = cv2.warpAffine(
            image, matrix, (300, 200), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        corners = np.dstack(np.meshgrid(np.arange(300), np.arange(200))) - matrix[:, 2]
        source = corners @ np.linalg.inv(matrix[:, :2]).T
        beyond = np.maximum(-source, source - (299, 199)).max(-1)
        near, far = beyond <= -1, beyond > 40
        assert far.any()
        assert np.abs(moved[near].astype(int) - sampled[near]).max() <= 2
        steps, noise = (
            np.abs(np.diff(one.astype(int), axis=0))[far[1:] & far[:-1]].mean()
            + np.abs(np.diff(one.astype(int), axis=1))[far[:, 1:] & far[:, :-1]].mean()
            for one in (moved, sampled)
        )
        assert steps < 10 < noise


def test_fine_stripes_end_sooner_than_broad_ones_beyond_an_edge() -> None:
    rows = np.arange(256)
    contrasts = []
    for width in (4, 32):
        stripes = np.where(rows // width % 2, 200, 50).astype(np.uint8)
        image = np.repeat(np.repeat(stripes[:, None, None], 256, 1), 3, 2)
        moved = picture.move_picture(image, shift(100, 0))[64:192, :, 0].astype(float)
        contrasts.append([moved[:, 100 - distance].std() / 75 for distance in (10, 40, 80)])
    fine, broad = contrasts
    assert fine[0] > 0.4 and broad[0] > 0.8
    assert broad[1] > 10 * fine[1]
    assert broad[0] > broad[1] > broad[2]


def test_a_plain_edge_has_no_trace_of_what_is_further_inside() -> None:
    image = np.full((256, 256, 3), 120, np.uint8)
    image[:, 30:80] = np.random.default_rng(8).integers(0, 256, (256, 50, 3), np.uint8)
    moved = picture.move_picture(image, shift(60, 0))
    assert np.ptp(moved[:, :60].astype(int)) <= 2


@pytest.mark.parametrize("columns", [slice(14, 20), slice(18, 23)])
def test_texture_goes_on_beside_an_edge_without_streaks(columns: slice) -> None:
    image = noise(9)
    moved = picture.move_picture(image, shift(24, 0))[:, columns].astype(float)
    inside = image[:, 4:10].astype(float)
    assert moved.std() > 0.5 * inside.std()
    assert np.abs(np.diff(moved, axis=1)).mean() > 0.4 * np.abs(np.diff(inside, axis=1)).mean()


@pytest.mark.parametrize("lean", [-1.0, -0.4, 0.0, 0.6])
@pytest.mark.parametrize("side", [0, 1, 2, 3])
def test_outlines_that_an_edge_cuts_off_go_on_straight(lean: float, side: int) -> None:
    """They stood upright beyond it, and their texture bent back."""
    rows, columns = np.indices((296, 256))
    true = np.where(columns - lean * (rows - 256) > 128, 200, 60)
    true = np.dstack([true + np.random.default_rng(3).integers(-20, 20, true.shape)] * 3)
    window = np.rot90(true[:256].astype(np.uint8), side)
    moves = (0, -40), (-40, 0), (0, 40), (40, 0)
    moved = np.rot90(picture.move_picture(np.ascontiguousarray(window), shift(*moves[side])), -side)
    shown = cv2.blur(moved[-39:].astype(np.float32), (5, 5))[..., 0] > 130
    expected = cv2.blur(true[256:295].astype(np.float32), (5, 5))[..., 0] > 130
    wrong = (shown != expected).sum(1)
    assert (wrong <= 0.62 * abs(lean) * np.arange(39) + 3).all()


def test_zoom_in_leaves_no_edge() -> None:
    image = np.full((SIZE, SIZE, 3), 90, np.uint8)
    zoomed = picture.move_picture(image, np.array([[1.5, 0, -24], [0, 1.5, -24]], np.float64))
    assert (zoomed == 90).all()


def still_map() -> WarpMap:
    grid = SampleGrid(0, 0, 4, SIZE // 4, SIZE // 4)
    shape = (SIZE // 4, SIZE // 4)
    zero = np.zeros((*shape, 2), np.float32)
    return WarpMap(grid, zero, grid, np.full(shape, -1, np.int32), np.zeros(shape, np.float32))


def person_layers() -> MatteLayers:
    person = np.zeros((SIZE, SIZE, 4), np.uint8)
    person[40:, 30:60] = (200, 0, 0, 255)
    return MatteLayers.of(person, np.full((SIZE, SIZE, 3), (0, 0, 120), np.uint8))


def test_the_person_moves_over_a_still_plate() -> None:
    layers = person_layers()
    image = np.where(layers.person[..., 3:] > 0, layers.person[..., :3], layers.plate)
    moved = picture.move_person(image, person_of(layers), np.array([20.0, -10.0]))
    inside = moved[32:, 52:78]
    assert (inside == (200, 0, 0)).all()  # down to the edge: the person is extended there
    assert (moved[:, :46] == (0, 0, 120)).all() and (moved[:28] == (0, 0, 120)).all()


def person_of(layers: MatteLayers) -> picture.MovingPerson:
    return picture.MovingPerson(layers.plate, layers.person[..., 3].copy())


def cut_off_layers() -> MatteLayers:
    """Draw a person of noise that the left edge cuts off, before a plate of one colour."""
    person = np.zeros((SIZE, SIZE, 4), np.uint8)
    person[40:, :60, :3], person[40:, :60, 3] = noise(3)[40:, :60], 255
    return MatteLayers.of(person, np.full((SIZE, SIZE, 3), (0, 0, 120), np.uint8))


def test_a_person_who_is_cut_off_is_drawn_out_and_leaves_no_streaks() -> None:
    layers = cut_off_layers()
    image = np.where(layers.person[..., 3:] > 0, layers.person[..., :3], layers.plate)
    moved = picture.move_person(image, person_of(layers), np.array([20.0, 0.0]))
    beyond, shown = moved[45:, :18].astype(int), image[45:, :18].astype(int)
    assert np.abs(np.diff(beyond, axis=1)).mean() > 0.3 * np.abs(np.diff(shown, axis=1)).mean()
    assert np.abs(beyond[:, 0] - shown[:, 0]).mean() < 1  # from the edge itself on
    assert (moved[:38] == (0, 0, 120)).all()


def test_beyond_an_edge_a_person_goes_on_only_where_the_edge_cuts_it_off() -> None:
    person = cut_off_layers().person
    x, y = np.meshgrid(np.arange(-15, 10), np.arange(SIZE))
    positions = np.stack([x, y], -1).astype(np.float32)
    sampled = edges.sample_person(person, positions)
    assert np.array_equal(sampled[:, 15:], person[:, :10])
    assert np.array_equal(sampled[45:, :15], person[45:, 15:0:-1])
    assert (sampled[:40] == 0).all()
    right = positions + np.array([SIZE, 0], np.float32)
    assert (edges.sample_person(person, right)[:, 15:] == 0).all()
    above = positions[:, 20:] - np.array([0, 60], np.float32)
    assert (edges.sample_person(person, above)[above[..., 1] < 0] == 0).all()


def test_beyond_an_edge_a_persons_alpha_is_that_of_the_edge() -> None:
    generator = np.random.default_rng(5)
    alpha = generator.integers(0, 256, (SIZE, SIZE), np.uint8)  # as soft as a matte can be
    colour = noise(6).astype(np.uint16) * alpha[..., None] // 255
    person = np.dstack([colour.astype(np.uint8), alpha])
    x, y = np.meshgrid(np.arange(-20, SIZE + 20), np.arange(-20, SIZE))
    positions = np.stack([x, y], -1).astype(np.float32)
    sampled = edges.sample_person(person, positions)
    assert np.array_equal(sampled[20:, 20:-20], person)
    assert np.array_equal(sampled[20:, :20, 3], np.repeat(alpha[:, :1], 20, 1))
    assert (sampled[..., :3] <= sampled[..., 3:].astype(int) + 1).all()


def test_a_moved_person_is_sampled_as_a_warped_one() -> None:
    layers = cut_off_layers()
    moved = picture.move_person(layers.plate, person_of(layers), np.array([20.0, 7.0]))
    x, y = np.meshgrid(np.arange(SIZE) - 20.0, np.arange(SIZE) - 7.0)
    alpha = edges.sample_person(layers.person, np.stack([x, y], -1).astype(np.float32))[..., 3]
    assert (moved[alpha == 255] == (0, 0, 120)).all() and (alpha == 255).any()
    shown = picture.move_person(noise(4), person_of(layers), np.array([20.0, 7.0]))
    assert np.array_equal((shown != (0, 0, 120)).any(-1), alpha == 255)


def test_a_close_up_at_rest_is_not_sampled_beyond_its_edges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Array32] = []

    def sample(person: Image, positions: Array32) -> Image:
        calls.append(positions)
        return sample_person(person, positions)

    sample_person = edges.sample_person
    monkeypatch.setattr(edges, "sample_person", sample)
    grid = SampleGrid(-22, -22, 4, 36, 36)
    zero = np.zeros((36, 36, 2), np.float32)
    still = WarpMap(grid, zero, grid, np.full((36, 36), -1, np.int32), zero[..., 0])
    layers = cut_off_layers()
    shown = np.where(layers.person[..., 3:] > 0, layers.person[..., :3], layers.plate)
    assert np.array_equal(compose.render(shown, layers, still), shown)
    assert not calls


def test_without_layers_the_whole_picture_moves() -> None:
    image = noise(2)
    moved = picture.move_person(image, None, np.array([8.0, 0.0]))
    assert np.array_equal(moved, picture.move_picture(image, shift(8, 0)))


def test_a_person_moves_with_its_plate_and_its_alpha_or_not_at_all() -> None:
    layers = person_layers()
    for nothing in (None, np.array([0.01, 0.0])):
        assert picture.person_to_move(layers, nothing, still_map()) is None
    assert picture.person_to_move(None, np.array([20.0, 0.0]), still_map()) is None
    person = picture.person_to_move(layers, np.array([20.0, 0.0]), still_map())
    assert person is not None and person.plate is layers.plate
    assert np.array_equal(person.alpha, layers.person[..., 3])
    person.alpha[:] = 0
    assert layers.person[..., 3].any()


def test_a_small_move_tells_where_the_head_has_turned_by_itself() -> None:
    layers, shift = person_layers(), np.array([0.4, 0.0])
    turning = still_map()
    grid = turning.grid
    turning.displacement[: grid.rows // 2] = (9, 0)
    person = picture.person_to_move(layers, shift, turning)
    assert person is not None and person.turned is not None
    edge = grid.y0 + grid.rows // 2 * grid.step
    assert (person.turned[: edge - grid.step] == 255).all()
    assert not person.turned[edge + grid.step :].any()
    far = picture.person_to_move(layers, np.array([20.0, 0.0]), turning)
    assert far is not None and far.turned is None  # nothing stays behind


def test_a_frame_gives_the_alpha_of_the_person_that_it_shows() -> None:
    layers = cut_off_layers()
    image = np.where(layers.person[..., 3:] > 0, layers.person[..., :3], layers.plate)
    alpha = person_of(layers).alpha
    compose.render(image, layers, still_map(), alpha)
    assert np.array_equal(alpha, layers.person[..., 3])
    moving = still_map()
    moving.displacement[:] = (-8, -4)
    out = compose.render(image, layers, moving, alpha)
    inside = slice(8, -8), slice(12, -8)
    assert np.array_equal(alpha[inside] == 255, (out[inside] != (0, 0, 120)).any(-1))
    assert np.array_equal(alpha[inside], layers.person[4:-12, 4:-16, 3])
